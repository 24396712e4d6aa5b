"""Merging: two regions that a node joins become one, where nothing stands between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fuse.codegen.region import (
    GENERATORS,
    INDEXED,
    MAX_OPERANDS,
    MAX_RESULTS,
    SCATTERS,
    AxisMap,
    Operand,
    Region,
    equal_sizes,
    index_axes,
    keeps_order,
    operand_axes,
    widens,
)
from fuse.codegen.sizes import Size
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.fusion import Planner


def merge_others(planner: Planner, node: Expr, operands: tuple[Operand, ...], number: int) -> None:
    """Merge the regions of the node's other operands into the one it joined, where nothing stands between."""
    region = planner.units[number]
    assert isinstance(region, Region)
    for operand in operands[node.op.name in INDEXED :]:
        other = planner.unit_of.get(operand.base)
        if other is None or other == number or operand.base in region.amap or operand.base not in planner.operands:
            continue
        source = planner.units[other]
        if operand.base.op.name in GENERATORS or not isinstance(source, Region) or operand.base in source.across:
            continue
        if planner.order.is_after(number, other) and not planner.order.is_direct(number, other):
            continue
        if planner.order.is_after(other, number) or any(planner.unit_of[base] == other for base in region.early):
            continue
        if len(source.amap) + len(region.amap) > planner.max_nodes and not _both_flat(region, source):
            continue
        if source.results + region.results > MAX_RESULTS or len({**source.loads, **region.loads}) > MAX_OPERANDS:
            continue
        _merge(planner, region, number, source, other, operand, node)


def _both_flat(region: Region, source: Region) -> bool:
    """Whether two regions of one loop nest each are one together."""
    if not (region.flat and source.flat and len(region.sizes) == len(source.sizes)):
        return False
    return not any(b in region.loads for b in source.domain) and not any(b in source.loads for b in region.domain)


def _merge(
    planner: Planner, region: Region, number: int, source: Region, other: int, operand: Operand, node: Expr
) -> None:
    """Put all of ``source`` into ``region``, where their loops and what they read of one another allow it."""
    axes = region.domain.get(node, region.amap[node])
    wanted = operand_axes(operand, axes, node, planner.sizes)
    sizes = list(region.sizes)
    mapping = _mapping(source, source.amap[operand.base], wanted, sizes)
    if mapping is None:
        return

    def rename(m: AxisMap) -> AxisMap:
        return tuple([None if a is None else mapping[a] for a in m])

    spaces = [frozenset(mapping[a] for a in s) for s in source.spaces]
    whole = {b for b in region.whole | source.whole if b.op.name not in GENERATORS}
    if any(b in r.amap and b not in r.repeated for r in (region, source) for b in whole):
        return
    if not keeps_order(region, [*region.spaces, *spaces], [
        tuple([mapping[a] for a in index_axes(n, source.domain[n])]) for n in source.across if n.op.name in SCATTERS
    ]):
        return
    if widens(spaces, axes):
        planner.widened = True
        if planner.small_first:
            return
    if not all(s <= t or t <= s for s in spaces for t in [*region.spaces, *spaces]):
        return
    if _at_the_same_places(region, source, rename):
        region.flat = _both_flat(region, source) and len(sizes) == len(region.sizes)
        region.sizes[:] = sizes
        region.spaces.update(dict.fromkeys(spaces))
        _take_over(planner, region, number, source, other, rename)


def _mapping(source: Region, have: AxisMap, wanted: AxisMap, sizes: list[Size]) -> dict[int, int] | None:
    """The axis that each of the source's becomes, where ``have`` are to be ``wanted``; None where that cannot be.

    ``sizes`` are those of the axes so far; further ones are put behind them.
    """
    mapping: dict[int, int] = {}
    for a, b in zip(have, wanted, strict=True):
        if a is not None:
            if b is None or mapping.get(a, b) != b:
                return None
            mapping[a] = b
    if len(set(mapping.values())) != len(mapping):
        return None
    for a, n in enumerate(source.sizes):
        if a not in mapping:
            free = [b for b, m in enumerate(sizes) if b not in mapping.values() and equal_sizes(m, n)]
            if not free:
                sizes.append(n)
                free = [len(sizes) - 1]
            mapping[a] = free[0]
    return mapping


def _at_the_same_places(region: Region, source: Region, rename: Callable[[AxisMap], AxisMap]) -> bool:
    """Whether the values that one region reads of the other's, or both compute, are read where they are made."""
    for base, where in region.loads.items():
        if base in source.amap and (base in region.turned or rename(source.amap[base]) != where):
            return False
    for base, where in source.loads.items():
        if base in region.amap and (base in source.turned or region.amap[base] != rename(where)):
            return False
    if any(b in source.across for b in region.loads) or any(b in region.across for b in source.loads):
        return False
    return all(region.amap[b] == rename(m) for b, m in source.amap.items() if b in region.amap)


def _take_over(
    planner: Planner, region: Region, number: int, source: Region, other: int, rename: Callable[[AxisMap], AxisMap]
) -> None:
    """Make everything of ``source``, the unit ``other``, part of ``region``; an empty region stays in its place."""
    for base, m in source.amap.items():
        region.amap.setdefault(base, rename(m))
    region.results += source.results
    region.domain.update({b: rename(m) for b, m in source.domain.items()})
    region.repeated |= source.repeated
    region.across |= source.across
    region.whole |= source.whole
    region.early |= source.early
    region.repeated -= {b for b in region.amap if planner.unit_of.get(b) in (number, other)}
    region.turned |= source.turned
    for base, m in source.loads.items():
        if region.loads.setdefault(base, rename(m)) != rename(m):
            region.turned.add(base)
    for base in list(region.loads):
        if base in region.amap and base not in region.repeated:
            del region.loads[base]
    for base in source.amap:
        if planner.unit_of.get(base) == other:
            planner.unit_of[base] = number
    for base in source.loads:
        readers = planner.readers[base]
        planner.readers[base] = [number if r == other else r for r in readers]
    planner.order.merge(number, other)
    planner.units[other] = Region(other)  # empty: dropped at the end
