"""Lifting: an index into an elementwise formula becomes the formula of indexed operands.

``log_softmax(x)[arange(n), y]`` then reads one place of ``x`` per row, inside the kernel that goes over the rows,
instead of waiting for a whole matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuse.expr import Expr, make, toposort
from fuse.frontend.shape import shape_of
from fuse.op import OPS

LIMIT = 64  # nodes of one formula: beyond that the repeated work is not worth it


def lift_gather(node: Expr) -> Expr:
    """``gather(formula, *indices)`` with the indices moved below the formula's elementwise ops."""
    source, indices = node.args[0], node.args[1:]
    if not _passes(source):
        return node
    inner = _formula(source)
    if len(inner) > LIMIT:
        return node
    lifted: dict[Expr, Expr] = {}
    # Each node of the formula has the rank of the whole or is broadcast against it from the right.
    wanted: dict[Expr, tuple[Expr | None, ...]] = {source: tuple(indices)}
    for current in reversed(inner):
        per_axis = wanted[current]
        for arg, below in zip(current.args, _below(current, per_axis), strict=True):
            if wanted.setdefault(arg, below) != below:
                return node  # one operand would be needed at two different places
    formula = set(inner)
    kept = {i for arg, per_axis in wanted.items() if arg not in formula for i in per_axis if i is not None}
    if not kept.issuperset(indices):
        return node  # an index along an axis that has size 1 everywhere: its shape, and its check, would be lost
    rank = max(i.type.ndim for i in indices)
    for current in inner:
        args = [lifted[a] if a in lifted else _indexed(a, wanted[a], rank) for a in current.args]
        lifted[current] = make(current.op, tuple(args), dict(current.params))
    result = lifted[source]
    return result if result.type.ndim == node.type.ndim and result.type.dtype == node.type.dtype else node


def _passes(node: Expr) -> bool:
    return node.op.kind == "elementwise"


def _formula(source: Expr) -> list[Expr]:
    """The elementwise nodes above what has to be indexed itself, arguments first."""
    found: list[Expr] = []
    seen: set[Expr] = set()
    stack = [source]
    while stack and len(found) <= LIMIT:
        node = stack.pop()
        if node in seen or not _passes(node):
            continue
        seen.add(node)
        found.append(node)
        stack.extend(node.args)
    return [n for n in toposort([source], known=[a for n in found for a in n.args if a not in seen]) if n in seen]


def _below(node: Expr, per_axis: tuple[Expr | None, ...]) -> list[tuple[Expr | None, ...]]:
    """For each argument the index of each of its leading dimensions; None where that has size 1 or is missing."""
    out = []
    for arg in node.args:
        missing = node.type.ndim - arg.type.ndim
        own: list[Expr | None] = []
        for axis, index in enumerate(per_axis):
            if axis < missing:
                continue
            own.append(None if arg.type.shape[axis - missing] == 1 else index)
        out.append(tuple(own))
    return out


def _indexed(arg: Expr, per_axis: tuple[Expr | None, ...], rank: int) -> Expr:
    """An operand of the formula at the given indices, which have rank ``rank``."""
    keep = [axis for axis, index in enumerate(per_axis) if index is not None]
    rest = list(range(len(per_axis), arg.type.ndim))
    if not keep:
        if not rest and not per_axis:
            return arg
        return _shuffled(arg, [*rest])
    pattern = [*keep, *rest]
    base = _shuffled(arg, pattern)
    chosen = [per_axis[axis] for axis in keep]
    if len(chosen) == 1 and chosen[0] is not None and chosen[0].op.name == "iota" and rank == 1:
        size = shape_of(base)[0]
        count = chosen[0].args[0]
        if count is size or isinstance(size, int) and count.op.name == "constant" and int(count.data) == size:
            return base
    return make(OPS["gather"], (base, *_same_rank(chosen, rank)))


def _shuffled(arg: Expr, pattern: Sequence[int]) -> Expr:
    if list(pattern) == list(range(arg.type.ndim)):
        return arg
    # A dimshuffle of a dimshuffle is one.
    if arg.op.name == "dimshuffle":
        inner = arg.params["pattern"]
        composed = tuple([inner[d] for d in pattern])
        source = arg.args[0]
        if composed == tuple(range(source.type.ndim)):
            return source
        return make(OPS["dimshuffle"], (source,), {"pattern": composed})
    return make(OPS["dimshuffle"], (arg,), {"pattern": tuple(pattern)})


def _same_rank(indices: Sequence[Expr | None], rank: int) -> list[Expr]:
    out = []
    for index in indices:
        assert index is not None
        missing = rank - index.type.ndim
        if missing:
            index = make(OPS["dimshuffle"], (index,), {"pattern": ("x",) * missing + tuple(range(index.type.ndim))})
        out.append(index)
    return out
