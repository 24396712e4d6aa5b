"""Units of a loop's body that move values: slices, stores into arrays, joins and reshapes, as text."""
from __future__ import annotations

from typing import TYPE_CHECKING

from fuse.codegen import loop_stores
from fuse.codegen.loop_emit import NotCompiled, Place, copy_lines, plus, product, total
from fuse.codegen.loop_parts import part
from fuse.codegen.text import as_dtype
from fuse.expr import Expr, make
from fuse.op import OPS

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer


def _subtensor(w: Writer, node: Expr) -> None:
    w.values[node] = part(w, w.place(node.args[0]), node, node.args[1:], w.shape(node))


def _stored(w: Writer, node: Expr) -> None:
    """set_subtensor and inc_subtensor: a copy of the array, of which a part is changed."""
    if node in w.begun:
        loop_stores.finish(w, node)
        return
    base = node.args[0]
    out = w.place(base) if node in w.over else w.new(node)
    if node in w.over:  # which is the array to change
        pass
    elif base.op.name == "broadcast_to" and base.args[0].type.ndim == 0 and base not in w.values:
        w.filled(out, base)
    else:
        w.lines += copy_lines(w.fresh("c"), w.place(base), out)
    store_into(w, out, node)
    w.values[node] = out


def store_into(w: Writer, out: Place, node: Expr) -> None:
    """Write what ``node``, a set_subtensor or an inc_subtensor, stores: ``out`` has its array."""
    value, dtype = node.args[1], node.type.dtype
    if value.type.dtype != dtype:
        raise NotCompiled("a store of another dtype")
    view = make(OPS["subtensor"], (node.args[0], *node.args[2:]), {"spec": node.params["spec"]})
    sizes = [w.size(n) for n in w.sizes.sizes_of(view)]
    place = part(w, out, node, node.args[2:], sizes)
    for n, m in zip(reversed(w.shape(value)), reversed(sizes), strict=False):
        if n not in (m, "1"):
            w.lines += [f"if {n} != {m}:", "    return 3"]
    index = [w.fresh("s") for _ in sizes]
    if value.type.ndim:
        source = w.place(value)
        lead = len(sizes) - value.type.ndim
        read = source.at(*["0" if n == "1" else i for i, n in zip(index[lead:], source.shape, strict=True)])
        text = f"load({source.buffer}, {read})"
    else:
        text = w.number(value)
    at = place.at(*index)
    if node.op.name == "inc_subtensor":
        if dtype not in ("float64", "int64", "float32"):
            raise NotCompiled("an increment of this dtype")
        text = f"load({place.buffer}, {at}) + {text}"
    lines = ["    " * d + f"for {i} in range({n}):" for d, (i, n) in enumerate(zip(index, sizes, strict=True))]
    if index:
        lines.append("    " * len(index) + "independent()")
    w.lines += [*lines, "    " * len(index) + f"store({place.buffer}, {at}, {text})"]


def _chosen(w: Writer, node: Expr) -> None:
    """A value of one branch or the other, of the same sizes."""
    condition, *values = node.args
    sizes = [w.sizes.of[x][row:] for x, row in zip(values, node.params["rows"], strict=True)]
    for m, n in zip(*sizes, strict=True):
        w.equal(m, n)
    sources = []
    for x, row in zip(values, node.params["rows"], strict=True):
        found = w.place(x) if row or node.type.ndim else None
        sources.append(w.number(x) if found is None else found.row(found.offset) if row else found)
    if node.type.ndim:
        out = w.values[node] = w.new(node)
        assert isinstance(out, Place)
        lines = [copy_lines(w.fresh("c"), x, out) for x in sources if isinstance(x, Place)]
    else:
        name = w.values[node] = w.fresh("v")
        texts = [f"load({x.buffer}, {x.offset})" if isinstance(x, Place) else x for x in sources]
        lines = [[f"{name} = {as_dtype(text, node.type.dtype)}"] for text in texts]
    for test, inner in zip((f"if {w.number(condition)}:", "else:"), lines, strict=True):
        w.lines += [test, *["    " + line for line in inner]]


def _join(w: Writer, node: Expr) -> None:
    """Arrays one after the other along an axis."""
    out, axis = w.new(node), node.params["axis"]
    start: list[str] = []
    for arg in node.args:
        source = w.place(arg)
        if arg.type.dtype != node.type.dtype:
            raise NotCompiled("a join of several dtypes")
        offset = total([out.offset, plus(f"({total(start)})", out.stride(axis)) if start else "0"])
        strides = tuple([out.stride(d) for d in range(len(out.shape))])
        w.lines += copy_lines(w.fresh("c"), source, Place(out.buffer, offset, source.shape, strides))
        start.append(source.shape[axis])
    w.values[node] = out


def _make_vector(w: Writer, node: Expr) -> None:
    out = w.new(node)
    for k, arg in enumerate(node.args):
        number = as_dtype(w.number(arg), node.type.dtype) if arg.type.dtype != node.type.dtype else w.number(arg)
        w.lines.append(f"store({out.buffer}, {out.at(str(k))}, {number})")
    w.values[node] = out


def _reshape(w: Writer, node: Expr) -> None:
    source = w.place(node.args[0])
    if source.strides is not None:
        copy = w.scratch(node.type.dtype, source.shape)
        w.lines += copy_lines(w.fresh("c"), source, copy)
        source = copy
    shape = w.shape(node)
    w.lines += [f"if {product(shape)} != {product(source.shape)}:", "    return 3"]
    w.values[node] = Place(source.buffer, source.offset, shape)


def _specified(w: Writer, node: Expr) -> None:
    found = w.place(node.args[0])
    for have, want in zip(found.shape, w.shape(node), strict=True):
        if have != want:
            w.lines += [f"if {have} != {want}:", "    return 3"]
    w.values[node] = found


def _diagonal(w: Writer, node: Expr) -> None:
    """The diagonals of matrices: a place that goes along both axes at once."""
    x, k = w.place(node.args[0]), node.params["offset"]
    rows, columns = node.params["axis1"], node.params["axis2"]
    name = w.fresh("p")
    w.lines.append(f"{name} = {total([x.offset, plus(str(abs(k)), x.stride(columns if k > 0 else rows))])}")
    others = [x.stride(d) for d in range(len(x.shape)) if d not in (rows, columns)]
    step = total([x.stride(rows), x.stride(columns)])
    w.values[node] = Place(x.buffer, name, w.shape(node), (*others, step))


UNITS = {
    "subtensor": _subtensor, "set_subtensor": _stored, "inc_subtensor": _stored, "join": _join,
    "make_vector": _make_vector, "reshape": _reshape, "chosen": _chosen,
    "diagonal": _diagonal, "specify_shape": _specified,
}
