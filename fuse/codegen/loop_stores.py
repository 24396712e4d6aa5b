"""Stores into parts of arrays, in a loop's step, without copies of these arrays.

``x.at[1:-1].set(v)`` and the gradients of stencils are arrays of which all but a frame is computed: what computes ``v``
writes into the new array, and of ``x`` only what lies around that part is copied, or cleared. What a step made itself
and only the store reads is changed where it is.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from fuse.codegen.frames import margins
from fuse.codegen.loop_emit import Place
from fuse.codegen.loop_parts import part
from fuse.codegen.region import SCATTERS, Region, see_through
from fuse.codegen.stores import reads, stored_value
from fuse.codegen.text import as_dtype
from fuse.expr import Expr, make
from fuse.op import OPS

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer


def stores_over(w: Writer) -> set[Expr]:
    """Stores that change the array which they are given: the step made it, and nothing else reads it.

    It is computed where the changed array is to be, where that is somewhere.
    """
    units = w.plan.units
    made = {v for u in units for v in (u.outputs if isinstance(u, Region) else (u,))}
    wanted, found = _wanted(w), set[Expr]()
    for node in reversed(units):
        if not isinstance(node, Expr) or node.op.name not in ("set_subtensor", "inc_subtensor"):
            continue
        base = node.args[0]
        of_this = base.op.name in ("set_subtensor", "inc_subtensor") or base.op.kind == "elementwise"
        if not of_this or base not in made or base in wanted or base in w.given or base.type.dtype != node.type.dtype:
            continue
        if sum(reads(w.sizes, u, base) for u in units) == 1 and see_through(node.args[1], w.sizes).base is not base:
            found.add(node)
            if node in w.given:
                w.given[base] = w.given[node]
    return found


def direct_stores(w: Writer) -> dict[Expr, Expr]:
    """What kernels of the step compute that is stored into an inner part of an array, and where each is stored."""
    computed = {v for u in w.plan.units if isinstance(u, Region) for v in u.outputs if v.op.name not in SCATTERS}
    wanted, found = _wanted(w), dict[Expr, Expr]()
    changed = {node.args[0] for node in w.over}
    for node in w.plan.units:
        if not isinstance(node, Expr) or node.op.name != "set_subtensor" or len(node.args) > 2 or not margins(node):
            continue
        value, sizes = stored_value(node), w.sizes
        if node in w.over or value not in computed or value.type.dtype != node.type.dtype:
            continue
        if value in wanted or value in found or value in w.given:
            continue
        if node in changed and sum(reads(sizes, u, value) for u in w.plan.units) > 1:
            continue  # others may read it when a further store has changed it there
        if any(t.op.name != "shape_i" or not t.args[0].is_leaf for n in sizes.of[node] for t in sizes.terminals(n)):
            continue  # where it is must be known before its kernel runs
        part_of, own = sizes.sizes_of(_view(node)), sizes.of[value]
        if len(part_of) == len(own) and all(sizes.find(n) == sizes.find(m) for n, m in zip(part_of, own, strict=True)):
            found[value] = node
    return found


def _wanted(w: Writer) -> set[Expr]:
    """The arrays that are to be had after the step."""
    return {see_through(o, w.sizes).base for o in w.plan_roots if o.type.ndim}


def _view(node: Expr) -> Expr:
    return make(OPS["subtensor"], (node.args[0],), node.params)


def begin(w: Writer, value: Expr, node: Expr) -> None:
    """Say where ``value`` is computed: in the array that ``node`` makes."""
    out = w.begun[node] = w.new(node)
    w.given[value] = part(w, out, node, (), [w.size(n) for n in w.sizes.of[value]])


def finish(w: Writer, node: Expr) -> None:
    """Write what lies around the part of ``node``, which is there already."""
    out, base = w.begun[node], node.args[0]
    source = number = None
    if base.op.name == "broadcast_to" and base.args[0].type.ndim == 0 and base not in w.values:
        number = as_dtype(w.number(base.args[0]), node.type.dtype)
    else:
        source = w.place(base)
    w.lines += frame_lines(w.fresh("c"), out, source, number, margins(node) or ())
    w.values[node] = out


def frame_lines(name: str, out: Place, source: Place | None, number: str | None, widths: tuple[int, ...]) -> list[str]:
    """The elements of ``source``, or a number, in all of ``out`` that is within these margins.

    Of an axis that is shorter than its two margins everything is, as slices have it.
    """
    bounds: list[str] = []
    lines: list[str] = []
    index: list[str] = []
    for d, n in enumerate(out.shape):
        low, high, pad = widths[2 * d], widths[2 * d + 1], "    " * d
        first, last = "0" if low == 0 else f"{name}_s{d}", n if high == 0 else f"{name}_e{d}"
        if low:
            bounds.append(f"{first} = {low} if {low} < {n} else {n}")
        if high:
            bounds += [f"{last} = {n} - {high}", f"{last} = {first} if {last} < {first} else {last}"]
        for k, (start, stop) in enumerate((("0", first), (last, n))):
            if start == stop:
                continue
            inner = [f"{name}_{d}_{k}_{j}" for j in range(d, len(out.shape))]
            ranges = [f"{start}, {stop}", *out.shape[d + 1 :]]
            lines += [f"{pad}{'    ' * j}for {i} in range({r}):"
                      for j, (i, r) in enumerate(zip(inner, ranges, strict=True))]
            pad_in = pad + "    " * len(inner)
            at = [*index, *inner]
            text = number if source is None else f"load({source.buffer}, {source.at(*at)})"
            lines += [f"{pad_in}independent()", f"{pad_in}store({out.buffer}, {out.at(*at)}, {text})"]
        if not any(widths[2 * d + 2 :]):
            break
        index.append(f"{name}_{d}")
        lines.append(f"{pad}for {index[-1]} in range({first}, {last}):")
    return [*bounds, *lines]
