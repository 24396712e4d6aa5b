"""Assembly: the statements placed in the sweeps of a region become a Kernel with its parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from fuse.codegen.collapse import entries, joined, joined_axes, with_joined
from fuse.codegen.inline import kernel_cost
from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Buffer,
    Combine,
    Compute,
    Const,
    Index,
    Init,
    Kernel,
    Load,
    Local,
    Loop,
    Position,
    Scalar,
    Update,
    prune,
    walk,
)
from fuse.codegen.lanes import LIGHT_ROW, SHORT, SHORTEST, on_heap, turned
from fuse.codegen.nest import (
    Binding,
    Context,
    Nest,
    Slot,
    axis_ranks,
    find_lane_level,
    find_levels,
    reduced_by_extrema,
    size_source,
    unit_axis,
    with_index_levels,
)
from fuse.codegen.region import Operand, Region, computed_nodes
from fuse.codegen.sizes import Sizes
from fuse.expr import Expr

UNTURNED = (Update, Bounded)  # what keeps a kernel from running with lanes over its rows
OUTSIDE = (Const, Load, Compute, Position, Init)  # what may stand before its loop


class Placement:
    """What scheduling has placed so far: names, levels, and the statements of each sweep."""

    def __init__(
        self,
        region: Region,
        sizes: Sizes,
        operands: Mapping[Expr, tuple[Operand, ...]],
        layout_of: Callable[[Expr], str],
        long: Placement | None = None,
        far: bool = False,
        waiting: Collection[Expr] = (),
    ) -> None:
        self.region = region
        self.sizes = sizes
        self.operands = operands
        self.layout_of = layout_of
        self.axes = [Axis(f"i{a}", n if isinstance(n, int) else None) for a, n in enumerate(region.sizes)]
        self.order = computed_nodes(region, operands)
        self.levels = find_levels(region, self.order)
        self.rank = axis_ranks(region, self.levels, operands, layout_of)
        self.inner = min(self.rank, key=lambda a: self.rank[a]) if self.rank else None
        self.levels = with_index_levels(self.levels, region, self.order, self.inner)
        self.far = far  # whether rows are longer than the cache
        self.waiting = waiting  # values that cost little to keep
        self.long = long  # the same with lanes along rows, where these lanes are rows
        if long is not None:
            self.inner = min(self.levels[-2], key=lambda a: self.rank[a])
        self.lane_level = find_lane_level(self.inner, self.levels)
        self.context: dict[Expr, Context] = {}
        self.level: dict[Expr, int] = {}
        self.names: dict[Any, str] = {}
        self.times: dict[Any, int] = {}
        self.slots: dict[tuple[int, Context], Slot] = {}
        self.buffers: dict[Expr, str] = long.buffers if long else {}
        self.scalars: dict[Any, tuple[str, str]] = long.scalars if long else {}
        self.locals: list[Local] = []
        self.kept: dict[Expr, Local] = {}
        self.counter: int = long.counter if long else 0
        self.short: int = long.short if long else 0  # up to so many elements rows are short
        self.unseen: dict[tuple[tuple[Axis, ...], tuple[Axis, ...]], None] = {}

    # ------------------------------------------------------------ preparation
    def level_for(self, span: frozenset[int]) -> int:
        return next(k for k, s in enumerate(self.levels) if span <= s)

    def new_name(self, prefix: str = "v") -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    def emit(self, level: int, prefix: Context, time: int, statement: Any) -> None:
        slot = self.slots.setdefault((level, prefix), Slot())
        self.counter += 1
        slot.items.append((time, self.counter, statement))

    def scalar(self, source: Any, dtype: str) -> str:
        if source not in self.scalars:
            self.scalars[source] = (f"s{len(self.scalars)}", dtype)
        return self.scalars[source][0]

    def buffer(self, base: Expr) -> str:
        if base not in self.buffers:
            self.buffers[base] = f"a{len(self.buffers)}"
        return self.buffers[base]

    def looks_at(self, span: frozenset[int], level: int) -> None:
        """Note that an index that varies with the axes ``span`` is checked in the loops of ``level``."""
        index, others = ([self.axes[a] for a in sorted(axes)] for axes in (span, self.levels[level] - span))
        if any(not a.size for a in others) and all(a.size != 0 for a in index):
            some, none = (tuple([a for a in axes if not a.size]) for axes in (index, others))
            self.unseen[some, none] = None

    def loops(self) -> tuple[Any, ...]:
        """The loops over the placed statements."""
        nest = Nest(
            self.slots,
            self.levels,
            self.axes,
            self.rank,
            self.inner,
            self.lane_level,
            self.locals,
            self.new_name,
            self.long is not None,
        )
        return prune(nest.build())

    def assembled(self) -> tuple[Kernel, Binding]:
        """The loops over the placed statements, and what their parameters stand for."""
        own_axes, scratch = tuple(self.axes), tuple([x for x in self.locals if not x.row])
        taken = self.join_axes()
        body = self.loops()
        rows = self.rows(body)
        if self.long is not None and rows is not None:
            body = tuple([self.turned(s, rows[1]) if isinstance(s, Loop) else s for s in body])
        buffers = tuple(
            [
                Buffer(n, b.type.dtype, b.type.ndim, b in self.region.outputs, self.layout_of(b))
                for b, n in self.buffers.items()
            ]
        )
        kernel_buffers = buffers + tuple([Buffer(x.name, x.dtype, len(x.axes), True, scratch=True) for x in scratch])
        sizes = tuple(
            [size_source(a, self.region, self.sizes, self.buffers, self.scalar) for a in range(len(own_axes))]
        )
        kernel = Kernel(
            kernel_buffers,
            tuple([Scalar(n, d) for n, d in self.scalars.values()]),
            own_axes + tuple(taken),
            sizes,
            tuple([x for x in self.locals if x.row]),
            on_heap(body, {x.name: replace(x, axes=entries(x.axes, taken)) for x in scratch}),
            reduced_by_extrema(self.region, self.order, own_axes),
            tuple(self.unseen),
            rows,
            self.long is not None,
            self.short,
        )
        return kernel, Binding(tuple(self.buffers) + scratch, tuple(self.scalars))

    # ------------------------------------------------------------ short rows
    def rows(self, body: tuple[Any, ...]) -> tuple[Axis, Axis] | None:
        """The axes (rows, along a row) of a kernel that reduces rows in one loop over rows; None for any other."""
        if [len(s) for s in self.levels] != [0, 1, 2] or (self.lane_level is None) != (self.long is None):
            return None
        if not any(isinstance(s, Combine) for s in walk(body)) or any(isinstance(s, UNTURNED) for s in walk(body)):
            return None
        (across,), (along,) = self.levels[1], self.levels[2] - self.levels[1]
        size = self.axes[along].size
        if any(isinstance(i, str) for s in loads(body) for i in s.index):
            return None
        loops = [k for k, s in enumerate(body) if isinstance(s, Loop)]
        if len(loops) != 1 or not all(isinstance(s, OUTSIDE) for s in body[: loops[0]]):
            return None
        if self.long is None:
            self.short = shortest(body[loops[0]])
        if not self.short or size is not None and size > self.short:
            return None
        return self.axes[across], self.axes[along]

    def turned(self, block: Loop, along: Axis) -> Loop:
        """The loop over blocks of rows, with its arrays copied to and from tiles that lie along the rows."""
        dtypes = {name: base.type.dtype for base, name in self.buffers.items()}
        layouts = {name: self.layout_of(base) for base, name in self.buffers.items()}

        def strided(buffer: str, index: Index) -> bool:
            return block.axis in index and unit_axis(index, layouts[buffer]) not in (None, block.axis)

        body = turned(block.body, block.axis, along, strided, dtypes, self.locals, self.new_name)
        return Loop(block.axis, body, block.kind)

    def join_axes(self) -> dict[Axis, tuple[Axis, Axis]]:
        """Make one axis of two where all accesses allow it; the joined axes, and what they are made of."""
        layouts = dict.fromkeys([x.name for x in self.locals], "C")
        layouts |= {name: self.layout_of(base) for base, name in self.buffers.items()}
        statements = [s for slot in self.slots.values() for _, _, s in slot.items]
        taken: dict[Axis, tuple[Axis, Axis]] = {}
        for o, i in joined_axes(statements, self.levels, self.axes, self.locals, layouts):
            outer, inner = self.axes[o], self.axes[i]
            both = self.axes[i] = joined(outer, inner)
            taken[both] = outer, inner
            self.levels = [level - {o} for level in self.levels]
            self.inner = i if self.inner == o else self.inner
            for slot in self.slots.values():
                slot.items = [(t, n, with_joined(s, outer, inner, both)) for t, n, s in slot.items]
        return taken


def shortest(loop: Loop) -> int:
    """Up to how many elements the rows of a loop over rows are better turned: 0 for none.

    Where little is done with an element, copies to tiles and accumulators in memory take most of the time.
    """
    sweeps = [s for s in loop.body if isinstance(s, Loop)]
    combined = [s for s in walk(loop.body) if isinstance(s, Combine)]
    cost = sum(kernel_cost(s.op) for s in walk(loop.body) if isinstance(s, Compute))
    if len(sweeps) == 1 and cost <= LIGHT_ROW:
        return 0 if all(s.op.name == "sum" and s.dtype.startswith("float") for s in combined) else SHORTEST
    return SHORT


def loads(body: tuple[Any, ...]) -> list[Load]:
    return [s for s in walk(body) if isinstance(s, Load)]
