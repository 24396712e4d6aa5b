"""Loops over the lanes of a block as source text: blocks of a width that suits the caches, and rows side by side.

Of few lanes that add up rows that indices pick, groups have accumulators with names (`picking.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fuse.codegen.around import Around, around
from fuse.codegen.emit_rows import Rows
from fuse.codegen.emit_turning import TurningEmitter
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Axis, Combine, Compute, Get, Init, Kernel, Loop, Put, Store, index_width
from fuse.codegen.lanes import (
    FEW_ROWS,
    FEWEST_ROWS,
    LANES_TOGETHER,
    NARROW_BLOCK,
    NARROWEST_BLOCK,
    ROW_BLOCK,
    TILE,
    lane_block,
    longest_sweep,
    rows_at_once,
)
from fuse.codegen.nest import unit_axis
from fuse.codegen.picking import NAMED
from fuse.codegen.text import as_dtype, cast, is_innermost, typed
from fuse.op import OPS


class LaneEmitter(TurningEmitter):
    """The part of an emitter that writes blocks and their lanes."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.lane_axes: list[Axis] = []
        self.row = 0  # of those that are side by side

    def lanes(self, s: Loop) -> None:
        axis, first = s.axis, ""
        if s.width:
            first = f"{axis.name}_whole, "
            self.side_by_side(s)
        self.with_steps(s, lambda: self.lane_loop(s, first)) if is_innermost(s) else self.lane_loop(s, first)

    def lane_loop(self, s: Loop, first: str) -> None:
        axis = s.axis
        if not first and self.is_every_second(s):
            self.every_second(s)
        elif not first and (found := around(s.body, axis)) is not None:
            self.in_runs(s, found)
        else:
            self.lane_range(s, f"{first}{axis.name}_count")

    def lane_range(self, s: Loop, limits: str) -> None:
        """One loop over lanes within ``limits``."""
        axis, lane = s.axis, f"{s.axis.name}_lane"
        self.line(f"for {lane} in range({limits}):")
        self.depth += 1
        if is_innermost(s):
            self.independent(s)
        self.line(f"{axis.name} = {axis.name}_start + {lane}")
        outer, self.lane = self.lane, lane
        self.lane_axes.append(axis)
        self.body(s.body)
        self.lane_axes.pop()
        self.lane = outer
        self.depth -= 1

    def in_runs(self, s: Loop, found: Around) -> None:
        """Lanes that pick elements from places that go around, as copies of one run of memory or two."""
        name, tile, buffer = s.axis.name, found.put.local, found.load.buffer
        count, size = f"{name}_count", self.size(buffer, index_width(found.load.index[: found.k]))
        first, last, before, at = (f"{tile}_{word}" for word in ("first", "last", "before", "at"))
        for end, position in ((first, f"{name}_start"), (last, f"{name}_start + {count} - 1")):
            self.line(f"{name} = {position}")
            self.body(found.values)
            self.index(end, str(found.load.index[found.k]), size)
        head = f"{tile}_head"  # how many there are before the end
        self.line(f"{head} = {count} if {last} - {first} == {count} - 1 else {size} - {first}")
        index = tuple([at if k == found.k else i for k, i in enumerate(found.load.index)])
        self.bounded.add(at)
        if self.is_copy(s, found):
            for start, to, lanes in ((first, "0", head), ("0", head, f"{count} - {head}")):
                self.line(f"{at} = {start}")
                self.line(f"copied({buffer}, {self.offset(buffer, index)}, {tile}, {to}, {lanes})")
            return
        shift = Compute(at, "int64", OPS["add"], (f"{name}_lane", before), ("int64",) * 2, ("int64",) * 2)
        run = replace(s, body=(shift, replace(found.load, index=index), found.put))
        for start, lanes in ((first, head), (f"{first} - {size}", f"{head}, {count}")):
            self.line(f"{before} = {start}")
            self.lane_range(run, lanes)

    def is_copy(self, s: Loop, found: Around) -> bool:
        """Whether such places follow one another in memory, and elements are stored as they are."""
        local, buffer = self.rows[found.put.local], self.buffers[found.load.buffer]
        index = tuple([s.axis if k == found.k else i for k, i in enumerate(found.load.index)])
        return local.axes == (s.axis,) and buffer.dtype == local.dtype and unit_axis(index, buffer.layout) == s.axis

    def side_by_side(self, s: Loop) -> None:
        """The lanes up to a multiple of ``s.width``, so many rows at a time."""
        name, rows = s.axis.name, Rows(s, s.width)
        self.line(f"{name}_whole = {name}_count - {name}_count % {s.width}")
        self.line(f"for {name}_group in range({name}_count // {s.width}):")
        self.depth += 1
        for k, copy in enumerate(rows.copies):
            self.size_text[copy] = self.size_text[s.axis]
            self.line(f"{copy.name}_lane = {name}_group * {s.width} + {k}")
            self.line(f"{copy.name} = {name}_start + {copy.name}_lane")
        self.beside = rows
        self.lane_axes.extend(rows.copies)
        for statement in s.body:
            if isinstance(statement, Loop):
                self.statement(rows.together(statement))
                continue
            for k in range(s.width):
                self.row = k
                self.statement(rows.copy(statement, k))
        self.beside = None
        del self.lane_axes[-s.width :]
        self.depth -= 1

    def blocked(self, s: Loop) -> None:
        """The lanes of ``s.axis`` in blocks: of about equal width, or of as many as a tile holds; or few, in groups."""
        if self.kernel.narrow is not None and self.kernel.narrow[1:] == (s.axis, True):
            self.few_lanes(s)
            return
        name, widest = s.axis.name, lane_block([x for x in self.kernel.locals if x.row])
        low, high = self.range(s.axis)
        n = high if low == "0" else f"{name}_lanes"
        if n != high:
            self.line(f"{n} = {high} - {low}")
        block, width = f"b{name}", f"{name}_width"
        if s.along is not None:
            fewer = f"{ROW_BLOCK} // larger({self.size_text[s.along]}, 1)"
            self.line(f"{width} = larger(smaller({fewer}, {min(s.width, widest)}), 1)")
        elif s.width:
            self.line(f"{width} = {min(s.width, widest)}")
            self.widths[s.axis] = str(min(s.width, widest))
        elif self.kernel.turned and self.kernel.rows is not None:
            along = self.size_text[self.kernel.rows[1]]
            self.line(f"{width} = smaller({TILE} // larger({along}, 1) & -{LANES_TOGETHER}, {widest})")
        else:
            self.even_width(s, n, width, widest)
        self.line(f"for {block} in range(({n} + {width} - 1) // {width}):")
        self.depth += 1
        self.line(f"{name}_start = {'' if low == '0' else f'{low} + '}{block} * {width}")
        self.line(f"{name}_count = smaller({width}, {high} - {name}_start)")
        self.body(s.body)
        self.depth -= 1

    def few_lanes(self, s: Loop) -> None:
        """The lanes in groups of `NAMED`; those beyond the last one do again what that does, and store nothing."""
        name, rows, (low, high) = s.axis.name, Rows(s, NAMED), self.range(s.axis)
        first, count = ("", high) if low == "0" else (f"{low} + ", f"{high} - {low}")
        self.line(f"for {name}_group in range(({count} + {NAMED - 1}) // {NAMED}):")
        self.depth += 1
        self.line(f"{name}_first = {first}{name}_group * {NAMED}")
        for k, copy in enumerate(rows.copies):
            self.size_text[copy] = self.size_text[s.axis]
            self.line(f"{copy.name} = smaller({name}_first + {k}, {high} - 1)")
        self.in_names(s.body, rows, high)
        self.depth -= 1

    def in_names(self, body: tuple[Any, ...], rows: Rows, high: str) -> None:
        """Statements for all lanes of a group, which are below ``high``."""
        for s in body:
            if isinstance(s, Loop):
                serial = s.axis != rows.axis
                if serial:
                    self.line(f"for {s.axis.name} in {self.indices(s.axis)}:")
                self.depth += serial
                self.in_names(s.body, rows, high)
                self.depth -= serial
                continue
            for k in range(NAMED if rows.varies(s) else 1):
                self.in_name(rows.copy(s, k), k, f"{rows.axis.name}_first + {k} < {high}")

    def in_name(self, s: Any, k: int, is_lane: str) -> None:
        """A statement for the lane numbered ``k`` of a group, where ``is_lane`` says whether there is one."""
        match s:
            case Init():
                assert s.op.identity is not None
                self.line(f"{s.acc} = {typed(constant_text(s.op.identity(s.dtype), s.dtype), s.dtype)}")
            case Combine():
                value = cast(self.final(s.value), s.value_dtype, s.dtype)
                self.line(f"{s.acc} = {self.combined(replace(s, lane=None), s.acc, value)}")
            case Put():
                self.line(f"{s.local}_row{k} = {as_dtype(self.final(s.value), self.rows[s.local].dtype)}")
            case Get():
                self.line(f"{s.name} = {as_dtype(f'{s.local}_row{k}', s.dtype)}")
            case Store():
                self.line(f"if {is_lane}:")
                self.depth += 1
                self.statement(s)
                self.depth -= 1
            case _:
                self.statement(s)

    def even_width(self, s: Loop, n: str, width: str, widest: int) -> None:
        """Wide blocks read memory in long pieces; where there are few rows, all of a narrow block stays in cache."""
        name = s.axis.name
        rows = longest_sweep(s.body, self.size_text) if widest > NARROW_BLOCK else ""
        if rows:
            together = rows_at_once(s.body, self.size_text)
            narrow = f"{NARROWEST_BLOCK} if {together} <= {FEWEST_ROWS} else {NARROW_BLOCK} if {rows} <= {FEW_ROWS}"
            self.line(f"{width} = {narrow} else {widest}")
        else:
            self.line(f"{width} = {widest}")
        self.line(f"{name}_blocks = larger(({n} + {width} - 1) // {width}, 1)")
        self.line(f"{width} = larger(({n} + {name}_blocks - 1) // {name}_blocks + 15 & -16, 16)")

    def point(self, local: str) -> str:
        """Where in the scratch memory ``local`` the element of this iteration is."""
        axes = self.rows[local].axes
        if self.beside is not None:
            axes = tuple([self.beside.copies[self.row] if a == self.beside.axis else a for a in axes])
        *outer, lane = [f"{a.name}_lane" if a in self.lane_axes else a.name for a in axes]
        assert len(outer) <= 1
        return f"{outer[0]} * {self.widths.get(axes[-1], f'{axes[-1].name}_width')} + {lane}" if outer else lane
