"""Scatters: values that are stored, or added, at computed places of a copy of an array, in the order of the indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fuse.codegen.kernel import Bounded, Const, Store, Update
from fuse.codegen.region import SCATTERS, index_rank, is_literal
from fuse.expr import Expr
from fuse.op import OPS

if TYPE_CHECKING:
    from fuse.codegen.nest import Context
    from fuse.codegen.region import Operand
    from fuse.codegen.schedule import Scheduler


def place_scatter(scheduler: Scheduler, node: Expr, level: int, context: Context) -> None:
    """Emit an inc_gather or set_gather.

    Where it starts from one number, that is stored first; otherwise the kernel is given a copy of the first operand.
    """
    region, prefix, time = scheduler.region, context[:level], context[level]
    base, value, *indices = scheduler.operands[node]
    axes, target = region.domain[node], scheduler.buffer(node)
    rows = tuple([0 if a is None else scheduler.axes[a] for a in region.amap[node]])
    entries, time = entries_of(scheduler, node, indices, level, prefix, time)
    index = (*entries, *rows[len(indices) :])
    name, at, have = scheduler.value(value, level, prefix, axes)
    if is_literal(base.base):
        start = scheduler.new_name()
        dtype = "float32" if node.type.dtype == "float16" else node.type.dtype
        scheduler.emit(0, (), 0, Const(start, dtype, base.base.data.reshape(())[()].astype(dtype)))
        scheduler.emit_over(rows, 0, (Store(target, rows, start),))
    if node.op.name == "set_gather":
        scheduler.emit(level, prefix, max(time, at), Store(target, index, name))
    else:
        scheduler.emit(level, prefix, max(time, at), Update(target, index, OPS["sum"], have, name, have))


def entries_of(
    scheduler: Scheduler, node: Expr, indices: Sequence[Operand], level: int, prefix: Context, time: int
) -> tuple[list[Any], int]:
    """What a node's ``indices`` are at this place, and the earliest time: axes that they count, or values, checked."""
    axes, rank = scheduler.region.domain.get(node, scheduler.region.amap[node]), index_rank(node)
    entries: list[Any] = []
    for k, operand in enumerate(indices):
        entry: Any = scheduler.direct_index(node, operand, k, axes, rank)
        if entry is None:
            entry, at = checked_index(scheduler, node, k, level, prefix, time)
            time = max(time, at)
        entries.append(entry)
    return entries, time


def checked_index(
    scheduler: Scheduler, node: Expr, k: int, level: int, prefix: Context, time: int
) -> tuple[str, int]:
    """(name, earliest time) of the index into dimension ``k`` as a node at this place uses it.

    It is checked where it is read: outside the loops over what the index does not vary with.
    """
    scatter = node.op.name in SCATTERS
    operand = scheduler.operands[node][1 + scatter + k]
    axes, rank = scheduler.region.domain.get(node, scheduler.region.amap[node]), index_rank(node)
    shift = rank - len(operand.pattern)
    name, at, _ = scheduler.value(operand, level, prefix, axes, offset=shift)
    span = frozenset([a for j, d in enumerate(operand.pattern) if d is not None and (a := axes[j + shift]) is not None])
    own = scheduler.level_for(span)
    scheduler.looks_at(span, own)
    source = scheduler.operands[node][0]
    if not scatter and own == level and source.pattern[k] is not None:
        return name, at  # a load checks it; one of an array that is the same along the dimension has no such index
    size = scheduler.sizes.of[node.args[0]][k]
    checked = scheduler.new_name()
    place = prefix[own] if own < level else max(time, at)
    scheduler.emit(own, prefix[:own], place, Bounded(checked, "int64", name, scheduler.bound(size)))
    return checked, at
