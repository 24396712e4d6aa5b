"""Batching: an expression with a leading axis more, so that one sweep computes a whole Jacobian.

``vectorize`` rewrites a graph for batched inputs, one rule per kind of op. Nothing loops at run time, but for the
opaque ops (a user's own ``perform``, decompositions) that have no rule: these are called once per entry of the batch.
A graph whose sizes differ from entry to entry, such as that of ``x[:n]``, becomes a loop over the entries.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.autodiff.sweep import cotangents, op
from fuse.errors import FuseTypeError, ShapeError
from fuse.expr import Expr, constant, rebuild, substitute, toposort
from fuse.frontend import reductions
from fuse.frontend.axes import rebroadcast
from fuse.frontend.sizes import as_size_expr, sizes_of
from fuse.frontend.slices import FULL, is_dynamic, trimmed
from fuse.op import DISCONNECTED, OPS, Op
from fuse.types import TensorType, TupleType

Rule = Callable[["Batch", Expr, list[Expr], list[bool]], Expr]


class UnbatchedError(FuseTypeError):
    """An expression whose sizes differ within a batch."""


class Batch:
    """One vectorisation: the size of the new leading axis, and the helpers of the rules."""

    def __init__(self, size: Expr) -> None:
        self.size = size

    def widened(self, x: Expr) -> Expr:
        """``x``, which has no batch axis, repeated along one."""
        return op("broadcast_to", x, self.size, *map(as_size_expr, sizes_of(x)))

    def all(self, args: Sequence[Expr], flags: Sequence[bool]) -> list[Expr]:
        return [a if f else self.widened(a) for a, f in zip(args, flags, strict=True)]


def vectorize(outputs: Sequence[Expr], batched: Mapping[Expr, Expr], size: Expr) -> list[Expr]:
    """``outputs`` with each key of ``batched`` replaced by its value, which has one more axis, in front, of ``size``.

    Every output gets that axis; one that depends on no key is repeated along it.

    >>> import fuse.tensor as T
    >>> x, rows = T.vector("x"), T.matrix("rows")
    >>> [out] = vectorize([T.exp(x).sum()], {x: rows}, rows.shape[0])
    >>> out.type
    TensorType(float64, vector)
    """
    try:
        return _by_rules(outputs, batched, size)
    except UnbatchedError:
        from fuse.autodiff.batching_loops import in_turn  # for few graphs

        return in_turn(outputs, batched, size)


def _by_rules(outputs: Sequence[Expr], batched: Mapping[Expr, Expr], size: Expr) -> list[Expr]:
    batch = Batch(size)
    new: dict[Expr, Expr] = dict(batched)
    wide = set(batched)  # the nodes that have the axis; sizes of such nodes are rewritten too, and have none
    for node in toposort(outputs, known=batched):
        args = [new.get(a, a) for a in node.args]
        flags = [a in wide for a in node.args]
        if node.op.name == "shape_i" and flags[0]:
            new[node] = op("shape_i", args[0], axis=node.params["axis"] + 1)
        elif any(flags):
            new[node] = _batched_node(batch, node, args, flags)
            wide.add(node)
        elif any(a in new for a in node.args):
            new[node] = rebuild(node, args)
    return [new[o] if o in wide else batch.widened(new.get(o, o)) for o in outputs]


def _nonzero(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    raise UnbatchedError("each entry of a batch has a number of elements of its own that are not 0")


def _batched_node(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    own = getattr(node.op.meta.get("instance"), "batched_node", None)  # of a class of ops that knows how
    if own is not None:
        return own(args, flags, batch.size)
    return (rule_of(node.op) or one_by_one)(batch, node, args, flags)


def rule_of(op: Op) -> Rule | None:
    """The rule of an op: its own, or that of a trait or a kind. None where it is called for each entry of a batch."""
    by_trait = [TRAIT_RULES[t] for t in TRAIT_RULES if t in op.traits]
    return RULES.get(op.name) or (by_trait[0] if by_trait else KIND_RULES.get(op.kind))


# ---------------------------------------------------------------- layout helpers
def dimshuffle(x: Expr, *pattern: Any) -> Expr:
    return x if pattern == tuple(range(x.type.ndim)) else op("dimshuffle", x, pattern=pattern)


def _ranked(x: Expr, ndim: int) -> Expr:
    """Batched ``x`` with ones behind the batch axis, until each entry has ``ndim`` dimensions."""
    missing = ndim - (x.type.ndim - 1)
    return dimshuffle(x, 0, *["x"] * missing, *range(1, x.type.ndim))


def _batch_last(x: Expr) -> Expr:
    return dimshuffle(x, *range(1, x.type.ndim), 0)


def _batch_first(x: Expr) -> Expr:
    last = x.type.ndim - 1
    return dimshuffle(x, last, *range(last))


def _static(node: Expr, flags: Sequence[bool], first: int) -> None:
    """Sizes and positions must be the same for the whole batch."""
    if any(flags[first:]):
        raise UnbatchedError(
            f"{node.op} cannot be batched over its sizes or positions: one shape must hold for all"
        )


# ---------------------------------------------------------------- rules
def _elementwise(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    aligned = [_ranked(a, node.type.ndim) if f else a for a, f in zip(args, flags, strict=True)]
    return node.op(*aligned, **node.params)


def _shifted_axes(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """Ops with axes as parameters: each axis moves one to the right."""
    params = dict(node.params)
    for name in params.keys() & {"axis", "axis1", "axis2"}:
        value = params[name]
        if value is None:
            return one_by_one(batch, node, args, flags)
        ndim = node.args[0].type.ndim
        params[name] = tuple([a % ndim + 1 for a in value]) if isinstance(value, tuple) else value % ndim + 1
    return node.op(*batch.all(args, flags), **params)


def _dimshuffle(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """Axes that it drops had size 1 by their type, which a batched argument may not tell any more."""
    pattern = node.params["pattern"]
    dropped = [None, *[None if d in pattern else True for d in range(node.args[0].type.ndim)]]
    x = rebroadcast(args[0], dropped)
    return dimshuffle(x, 0, *[d if d == "x" else d + 1 for d in pattern])


def _to_sizes(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """broadcast_to and reshape: the batch size comes in front of the sizes."""
    _static(node, flags, 1)
    x = _ranked(args[0], node.type.ndim) if node.op.name == "broadcast_to" else args[0]
    return node.op(x, batch.size, *args[1:])


def _of_shape(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """specify_shape: the shape of all entries."""
    return one_by_one(batch, node, args, flags) if any(flags[1:]) else node.op(args[0], batch.size, *args[1:])


def _searchsorted(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """Values of all entries are looked for in one vector; vectors of their own are one by one."""
    return one_by_one(batch, node, args, flags) if flags[0] or any(flags[2:]) else node.op(*args, **node.params)


def _positions(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    _static(node, flags, 0)
    raise AssertionError("unreachable: a batched node has a batched argument")


def _make_vector(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    columns = [dimshuffle(a, 0, "x") for a in batch.all(args, flags)]
    return op("join", *columns, axis=1) if len(columns) > 1 else columns[0]


def _subtensor(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    spec = node.params["spec"]
    moving = [k for k, e in enumerate(spec) if e[0] == "int" and is_dynamic(e[1]) and flags[1 + e[1][1]]]
    if len(moving) == sum(flags[1:]) > 0:
        return _picked(batch, node, args, flags, moving)
    _static(node, flags, 1)
    return node.op(args[0], *args[1:], spec=(FULL, *spec))


def _picked(batch: Batch, node: Expr, args: list[Expr], flags: list[bool], moving: list[int]) -> Expr:
    """An index that each entry of the batch has its own of: what else the spec says, then a gather."""
    spec = node.params["spec"]
    first = int(flags[0])
    rest: list[tuple[Any, ...]] = [FULL if k in moving else e for k, e in enumerate(spec)]
    entries: list[Any] = [FULL] * first
    dynamic: list[Expr] = []
    for entry in rest:
        parts: list[Any] = []
        v: Any
        for v in entry[1:]:
            if is_dynamic(v):
                dynamic.append(args[1 + v[1]])
                v = "arg", len(dynamic) - 1
            parts.append(v)
        entries.append((entry[0], *parts))
    spec_left = trimmed(entries)
    view = node.op(args[0], *dynamic, spec=spec_left) if spec_left else args[0]
    kept = [k for k, e in enumerate(rest) if e[0] != "int"]
    places = [first + kept.index(k) for k in moving]
    order = [*range(first), *places, *[a for a in range(first, view.type.ndim) if a not in places]]
    indices = [args[1 + spec[k][1][1]] for k in moving]
    return op("gather", dimshuffle(view, *order), *[op("iota", batch.size)] * first, *indices)


def _write_subtensor(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    if any(flags[2:]):
        return _write_picked(batch, node, args, flags)
    spec = node.params["spec"]
    x, y = batch.all(args[:2], flags[:2])
    region = node.args[0].type.ndim - sum(entry[0] == "int" for entry in spec)
    params = {**node.params, "spec": (("slice", None, None, None), *spec)}
    return node.op(x, _ranked(y, region), *args[2:], **params)


def _write_picked(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """A store at an element that each entry of the batch has its own of; slices are done one by one."""
    spec = node.params["spec"]
    if any(entry[0] != "int" for entry in spec):
        return one_by_one(batch, node, args, flags)
    x, y = batch.all(args[:2], flags[:2])
    indices = [op("iota", batch.size)]
    for _, value in spec:
        index = args[2 + value[1]] if is_dynamic(value) else constant(value, dtype="int64")
        indices.append(index if index.type.ndim else dimshuffle(index, "x"))
    region = node.args[0].type.ndim - len(spec)
    return op(node.op.name.replace("subtensor", "gather"), x, _ranked(y, region), *indices)


def _gather(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    if not any(flags[1:]):
        return _batch_first(node.op(_batch_last(args[0]), *args[1:]))
    rank = max(i.type.ndim for i in node.args[1:])
    rows, *indices = _batched_indices(batch, rank, args[1:], flags[1:])
    return node.op(args[0], *[rows] * flags[0], *indices)


def _batched_indices(batch: Batch, rank: int, indices: list[Expr], flags: list[bool]) -> list[Expr]:
    """The index that counts the batch, and ``indices`` of the entries' rank ``rank``, as they broadcast together."""
    rows = dimshuffle(op("iota", batch.size), 0, *["x"] * rank)
    return [rows, *[
        _ranked(i, rank) if f else dimshuffle(i, "x", *range(i.type.ndim)) for i, f in zip(indices, flags, strict=True)
    ]]


def _write_gather(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    x, y = batch.all(args[:2], flags[:2])
    rank = max(i.type.ndim for i in node.args[2:])
    region = rank + node.args[0].type.ndim - len(node.args[2:])
    if any(flags[2:]):
        indices = _batched_indices(batch, rank, args[2:], flags[2:])
        return node.op(x, _ranked(y, region), *indices, **node.params)
    return _batch_first(node.op(_batch_last(x), _batch_last(_ranked(y, region)), *args[2:], **node.params))


def _dot(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """dot and matmul of ranks 1 and 2, as matmul with vectors made matrices."""
    (x, y), (bx, by) = args, flags
    rx, ry = node.args[0].type.ndim, node.args[1].type.ndim
    if bx and not by and rx == 1 and ry <= 2:
        return op("dot", x, y)
    if by and not bx and ry == 1 and rx <= 2:
        return op("dot", y, dimshuffle(x, 1, 0) if rx == 2 else x)
    row = (dimshuffle(x, 0, "x", 1) if bx else dimshuffle(x, "x", 0)) if rx == 1 else x
    column = (dimshuffle(y, 0, 1, "x") if by else dimshuffle(y, 0, "x")) if ry == 1 else y
    if bx and by:  # operands with several batch axes of different number align at the right
        inner = max(rx, ry, 2)
        row, column = _ranked(row, inner), _ranked(column, inner)
    elif bx:
        row = _ranked(row, max(rx, ry, 2))
    else:
        column = _ranked(column, max(rx, ry, 2))
    out = op("matmul", row, column)
    kept: list[Any] = list(range(out.type.ndim))
    if rx == 1:
        kept.remove(out.type.ndim - 2)
    if ry == 1:
        kept.remove(out.type.ndim - 1)
    return dimshuffle(out, *kept)


def _batched_dot(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """batched_dot pairs the first axes of ranks 2 and 3: a matmul with vectors made matrices."""
    rx, ry = node.args[0].type.ndim, node.args[1].type.ndim
    x, y = batch.all(args, flags)
    x = dimshuffle(x, 0, 1, "x", 2) if rx == 2 else x
    y = dimshuffle(y, 0, 1, 2, "x") if ry == 2 else y
    out = op("matmul", x, y)
    kept = [0, 1, *[2] * (rx == 3), *[3] * (ry == 3)]
    return dimshuffle(out, *kept)


def _one_axis_more(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """Ops that take any number of leading axes, such as those of stacks of matrices."""
    return node.op(*batch.all(args, flags), **node.params)


def _fourier_back(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """Its second argument is a size."""
    return one_by_one(batch, node, args, flags) if flags[1] else node.op(args[0], args[1])


def _solve(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """Linear systems, whose leading axes broadcast; vectors become columns of matrices."""
    vector = node.args[1].type.ndim == 1
    a, b = args[0], dimshuffle(args[1], *range(args[1].type.ndim), "x") if vector else args[1]
    inner = max(node.args[0].type.ndim, node.args[1].type.ndim + vector)
    a, b = (_ranked(x, inner) if f else x for x, f in zip((a, b), flags, strict=True))
    out = node.op(a, b, **node.params)
    return dimshuffle(out, *range(out.type.ndim - 1)) if vector else out


# ---------------------------------------------------------------- ops without a rule: one call per entry
def one_by_one(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """The op called once per entry of the batch."""
    template = node.op(*[a.type() for a in node.args], **node.params)
    return EACH(*args, batch.size, template=template, flags=tuple(flags))


def _each_value(*arrays: Any, template: Expr, flags: tuple[bool, ...]) -> Any:
    from fuse.reference import apply

    *values, size = arrays
    rows = [apply(template, [v[i] if f else v for v, f in zip(values, flags, strict=True)]) for i in range(int(size))]
    if isinstance(template.type, TupleType):
        return [_stacked([r[k] for r in rows], t) for k, t in enumerate(template.type.elements)]
    return _stacked(rows, template.type)


def _stacked(rows: list[Any], type_: TensorType) -> Any:
    if rows:
        shapes = {np.shape(r) for r in rows}
        if len(shapes) > 1:
            raise ShapeError(
                f"the entries of a batch gave results of different shapes, {' and '.join(map(str, list(shapes)[:2]))}: "
                f"call the function for one entry after the other"
            )
        return np.stack([np.asarray(r, dtype=type_.dtype) for r in rows])
    return np.zeros((0, *[n or 0 for n in type_.shape]), dtype=type_.dtype)


def _each_type(*args: Expr, template: Expr, flags: tuple[bool, ...]) -> Any:
    if isinstance(template.type, TupleType):
        return TupleType(tuple([TensorType(t.dtype, (None, *t.shape)) for t in template.type.elements]))
    return TensorType(template.type.dtype, (None, *template.type.shape))


def _each_grad(g: Any, out: Expr, *args: Expr, template: Expr, flags: tuple[bool, ...]) -> list[Any]:
    """The op's own rule, batched in turn; summed over the batch for arguments that all entries share."""
    *values, size = args
    several = isinstance(template.type, TupleType)
    results = [op("part", template, i=i) for i in range(len(g))] if several else [template]
    pairs = [(r, r.type(), h) for r, h in zip(results, g if several else [g], strict=True) if h is not DISCONNECTED]
    found = cotangents([(r, v) for r, v, _ in pairs], template.args)
    inner = [found[leaf] for leaf in template.args]
    live = [h for h in inner if isinstance(h, Expr)]
    shared = {leaf: v for leaf, v, f in zip(template.args, values, flags, strict=True) if not f}
    batched = {leaf: v for leaf, v, f in zip(template.args, values, flags, strict=True) if f}
    batched.update({v: h for _, v, h in pairs})
    wide = dict(zip(live, substitute(vectorize(live, batched, size), shared), strict=True))
    out_grads: list[Any] = []
    for h, flag in zip(inner, flags, strict=True):
        full = wide[h] if isinstance(h, Expr) else h
        out_grads.append(
            op("sum", full, axis=(0,), dtype=full.type.dtype) if isinstance(full, Expr) and not flag else full
        )
    return [*out_grads, DISCONNECTED]


EACH = Op(name="each", kind="opaque", numpy=_each_value, infer=_each_type, grad=_each_grad,
          doc="An op called once per entry of a leading axis.")
OPS.setdefault(EACH.name, EACH)


def _composite(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    from fuse.autodiff.batching_formulas import composite  # for few graphs

    return composite(batch, node, args, flags)


def _loop(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    from fuse.autodiff.batching_loops import batched

    return batched(batch, node, args, flags)


def _part(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    from fuse.autodiff.batching_loops import batched_part

    return batched_part(batch, node, args, flags)


def _assert(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """What is asked of each entry is asked of all."""
    conditions = [reductions.all(c) if f else c for c, f in zip(args[1:], flags[1:], strict=True)]
    return node.op(*batch.all(args[:1], flags[:1]), *conditions, **node.params)


def _ifelse(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """One condition chooses for the whole batch; one per entry means that both branches are computed."""
    branches = batch.all(args[1:], flags[1:])
    if not flags[0]:
        return node.op(args[0], *branches)
    return op("switch", _ranked(args[0], node.type.ndim), *branches)


TRAIT_RULES: dict[str, Rule] = {"along": _shifted_axes, "stacks": _one_axis_more}

KIND_RULES: dict[str, Rule] = {
    "elementwise": _elementwise, "reduction": _shifted_axes, "composite": _composite,
}

RULES: dict[str, Rule] = {
    "dimshuffle": _dimshuffle,
    "broadcast_to": _to_sizes,
    "reshape": _to_sizes,
    "specify_shape": _of_shape,
    "searchsorted": _searchsorted,
    "unbroadcast": _one_axis_more,
    "assert": _assert,
    "nonzero": _nonzero,
    "ifelse": _ifelse,
    "loop": _loop,
    "part": _part,
    "iota": _positions,
    "linear_index": _positions,
    "make_vector": _make_vector,
    "subtensor": _subtensor,
    "set_subtensor": _write_subtensor,
    "inc_subtensor": _write_subtensor,
    "gather": _gather,
    "set_gather": _write_gather,
    "inc_gather": _write_gather,
    "dot": _dot,
    "matmul": _dot,
    "batched_dot": _batched_dot,
    "fourier_back": _fourier_back,
    "solve": _solve,
    "solve_triangular": _solve,
}
