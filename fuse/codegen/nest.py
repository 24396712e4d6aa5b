"""Nests: which axis is walked innermost, and the tree of loops over the statements of each level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fuse.codegen.kernel import Axis, Index, Local, Loop
from fuse.codegen.lanes import in_lanes
from fuse.codegen.region import INDEXED, SCATTERS, Operand, Region, index_axes
from fuse.codegen.sizes import Sizes
from fuse.expr import Expr

Context = tuple[int, ...]
Levels = Sequence[frozenset[int]]


@dataclass(frozen=True)
class Binding:
    """What each parameter of a kernel stands for, in the order of its call."""

    buffers: tuple[Expr | Local, ...]
    scalars: tuple[Any, ...]  # expressions (0-d inputs), sizes


@dataclass
class Slot:
    """The statements of one level within one iteration: (time, sequence number, statement)."""

    items: list[tuple[int, int, Any]] = field(default_factory=list)


def axis_ranks(
    region: Region, levels: Levels, operands: Mapping[Expr, tuple[Operand, ...]], layout_of: Callable[[Expr], str]
) -> dict[int, float]:
    """For each axis how far from unit stride it is, over all accesses; the smallest is walked innermost."""
    total: dict[int, float] = {}
    for node in (*region.loads, *region.outputs):
        where = region.loads.get(node) or region.amap.get(node, ())
        layout = layout_of(node)
        for d, a in enumerate(where):
            if a is None:
                continue
            if layout == "C":
                distance = float(len(where) - 1 - d)
            else:
                unit = int(layout[1:])
                distance = 0.0 if d == unit else 1.0 + (len(where) - 1 - d) / 8
            total[a] = total.get(a, 0.0) + distance * len(where)
    for node, where in region.amap.items():
        if node.op.name != "gather":
            continue
        base, pattern = operands[node][0].base, operands[node][0].pattern
        rank, picked = base.type.ndim, len(node.args) - 1
        if rank - 1 in pattern[:picked]:  # elements beside one another: indices are often runs of those
            continue
        for a in index_axes(node, where):  # rows that lie anywhere
            total[a] = total.get(a, 0.0) + float(rank * rank)
        for axis, place in zip(where[len(where) - len(pattern) + picked :], pattern[picked:], strict=True):
            if axis is not None and place is not None:
                total[axis] = total.get(axis, 0.0) + float(rank * (rank - 1 - place))
    for node in region.across:
        if node.op.name in SCATTERS:  # equal indices are met in their order: those loops stand outside, in order
            order = index_axes(node, region.domain[node])
            for k, a in enumerate(order):
                total[a] = total.get(a, 0.0) + 1e6 * (len(order) - k)
    return {a: total.get(a, 0.5) for a in set().union(*levels)}


def unit_axis(index: Index, layout: str) -> Any:
    """What an access at ``index`` varies with where memory is contiguous: the axis, or None."""
    unit: Any = None
    d = 0
    for entry in index:
        width = entry.width if isinstance(entry, Axis) else 1
        if layout == "C" and entry != 0 or layout != "C" and d <= int(layout[1:]) < d + width:
            unit = entry
        d += width
    return unit if isinstance(unit, Axis) else None


def find_levels(region: Region, nodes: Sequence[Expr]) -> list[frozenset[int]]:
    """The nested axis sets of a region's values, the empty one first."""
    found = {frozenset[int]()}
    for node in nodes:
        if node in region.domain:
            found.add(frozenset(a for a in region.domain[node] if a is not None))
            if node not in region.across:
                found.add(region.span(node))
        elif node not in region.repeated:
            found.add(region.span(node))
    return sorted(found, key=len)


def with_index_levels(
    levels: list[frozenset[int]], region: Region, nodes: Sequence[Expr], inner: int | None
) -> list[frozenset[int]]:
    """``levels`` and those of the loops around the innermost one that index arrays vary with: they are read there."""
    for node in nodes:
        if node.op.name in INDEXED:
            span = frozenset(index_axes(node, region.domain.get(node, region.amap[node])))
            if inner not in span and span not in levels and all(s <= span or span <= s for s in levels):
                levels = sorted([*levels, span], key=len)
    return levels


def find_lane_level(inner: int | None, levels: Levels) -> int | None:
    """The level of the innermost axis where that is not the deepest: from there on, statements run in lanes."""
    if inner is None or len(levels) < 2 or inner not in levels[-2]:
        return None
    return next(k for k, s in enumerate(levels) if inner in s)


def reduced_by_extrema(region: Region, nodes: Sequence[Expr], axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes that each max and min reduces."""
    found: dict[Axis, None] = {}
    for node in nodes:
        if node in region.domain and node.op.name in ("max", "min"):
            reduced = frozenset(a for a in region.domain[node] if a is not None) - region.span(node)
            found.update((axes[a], None) for a in sorted(reduced))
    return tuple(found)


def size_source(
    a: int, region: Region, sizes: Sizes, buffers: Mapping[Expr, str], scalar: Callable[[Any, str], str]
) -> tuple[Any, ...]:
    """Where a kernel reads the size of axis ``a``: ("static", n), ("buffer", name, dimension) or ("scalar", name)."""
    size = region.sizes[a]
    if isinstance(size, int):
        return ("static", size)
    for base, name in buffers.items():
        where = region.loads.get(base) or region.amap.get(base, ())
        for d, axis in enumerate(where):
            if axis == a and sizes.find(sizes.of[base][d]) is sizes.find(size):
                return ("buffer", name, d)
    return ("scalar", scalar(("size", size), "int64"))


@dataclass
class Nest:
    """The loops of a kernel, from the statements of each level within each sequence of sweeps."""

    slots: Mapping[tuple[int, Context], Slot]
    levels: Levels
    axes: Sequence[Axis]
    rank: Mapping[int, float]
    inner: int | None
    lane_level: int | None
    locals: list[Local]
    new_name: Callable[[str], str]
    few: bool = False  # lanes run over rows, of which each is short

    def build(self) -> tuple[Any, ...]:
        # Built from the innermost level outwards, so that no call nests deeper than the loops do.
        bodies: dict[tuple[int, Context], tuple[Any, ...]] = {}
        for level in range(len(self.levels) - 1, -1, -1):
            prefixes = {p for lv, p in self.slots if lv == level} | {p[:-1] for lv, p in bodies if lv == level + 1}
            for prefix in prefixes:
                bodies[level, prefix] = self.level_body(level, prefix, bodies)
        return bodies.get((0, ()), ())

    def level_body(
        self, level: int, prefix: Context, bodies: dict[tuple[int, Context], tuple[Any, ...]]
    ) -> tuple[Any, ...]:
        slot = self.slots.get((level, prefix), Slot())
        sweeps = sorted(p[-1] for lv, p in bodies if lv == level + 1 and p[:-1] == prefix)
        out: list[Any] = []
        items = _ordered(slot.items)
        position = 0
        for sweep in sweeps:
            while position < len(items) and items[position][0] <= sweep:
                out.append(items[position][1])
                position += 1
            axes = sorted(self.levels[level + 1] - self.levels[level], key=lambda a: -self.rank[a])
            loop: tuple[Any, ...] = bodies[level + 1, (*prefix, sweep)]
            if self.lane_level == level + 1:
                assert self.inner is not None
                axes = [a for a in axes if a != self.inner]
                lanes = self.axes[self.inner]
                loop = (Loop(lanes, in_lanes(loop, lanes, self.locals, self.new_name, self.few), "block"),)
            for a in reversed(axes):
                loop = (Loop(self.axes[a], loop),)
            out.extend(loop)
        out.extend(s for _, s in items[position:])
        return tuple(out)


def _ordered(items: list[tuple[int, int, Any]]) -> list[tuple[int, Any]]:
    """Statements of one slot by time, then so that names are defined before they are used."""
    # Sequence numbers respect the order of definitions within one time.
    fixed = sorted(items, key=lambda item: (item[0], item[1]))
    return [(time, statement) for time, _, statement in fixed]
