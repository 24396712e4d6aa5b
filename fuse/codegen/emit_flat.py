"""Narrow arrays as source text: rows that follow one another in memory are walked as one.

A row of ten numbers fills no vector, and what is left over of it is computed one by one: an exponential of such an
array takes ten times as long as of a wide one. Here several rows are one loop, as long as their elements together. What
is known of each column is first written so many times beside itself, and what is known of each row as often as the row
has elements; what is added up over rows has as many parts as there are rows, which are put together at the end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from fuse.codegen.emit_groups import GroupEmitter
from fuse.codegen.emit_sums import REORDERED
from fuse.codegen.flatrows import ENOUGH, by_row, few_columns, is_of_column, may_be_flat, of_rows
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Buffer, Index, Load, Loop, Update, walk
from fuse.codegen.runner import MANY_COLUMNS, NARROW_ROWS

FULL = 64  # elements that fill vectors: several of the largest number of lanes
LEAST, MOST = 256, 2048  # elements of rows that are walked as one
BESIDE = "rows_beside"  # how many rows these are


class FlatEmitter(GroupEmitter):
    """The part of an emitter that writes loops over rows of narrow arrays."""

    def name_sizes(self) -> None:
        super().name_sizes()
        if self.kernel.narrow is None:
            return
        rows, lanes, is_narrow = self.kernel.narrow
        n, beside = self.size_text[lanes], BESIDE
        few = f"{n} <= {few_columns(self.kernel)} and {self.size_text[rows]} * {n} >= {ENOUGH}"
        self.line(f"if not ({few}):" if is_narrow else f"if {few}:")
        self.line(f"    return {MANY_COLUMNS if is_narrow else NARROW_ROWS}")
        nests = [s for s in walk(self.kernel.body) if self.is_flat_nest(s)]
        if not is_narrow or not nests:
            return
        self.line(f"{beside} = {FULL} // smaller(larger({n} & -{n}, 1), {FULL})")
        self.line(f"{beside} = smaller({beside}, {MOST} // larger({n}, 1))")
        self.line(f"{beside} = {beside} * larger({LEAST} // larger({beside} * {n}, 1), 1)")
        kept = Counter[str]()
        for s in nests:
            dtypes = [self.buffers[buffer].dtype for buffer, _ in _of_columns(s)]
            kept |= Counter([*dtypes, *of_rows(s).values()])
        for dtype, count in kept.items():
            for k in range(count):
                name = f"{dtype}_beside{k}"
                self.buffers[name] = Buffer(name, dtype, 1, True)
                self.line(f"{name} = scratch('{dtype}', {MOST})")

    def is_flat_nest(self, s: Any) -> bool:
        narrow = self.kernel.narrow
        if narrow is None or not narrow[2]:
            return False
        strided = {b.name for b in self.kernel.buffers if b.layout != "C"}
        return may_be_flat(s, strided) and s.body[-1].axis == narrow[1]

    def flat(self, s: Loop) -> None:
        """Several rows at once, as one loop over their elements."""
        (before, inside), along = by_row(s), s.body[-1]
        rows, lanes = s.axis, along.axis
        (low, high), n, beside = self.rows_of(s), self.size_text[lanes], BESIDE
        begin, group, place = f"{rows.name}_begin", f"{rows.name}_group", f"{rows.name}_beside * {n} + {lanes.name}"
        taken, copies = Counter[str](), {}

        def for_each(count: str, *lines: str) -> None:
            self.line(f"for {rows.name}_beside in range({count}):")
            self.line(f"    for {lanes.name} in range({n}):")
            for line in lines:
                self.line(f"        {line}")

        def memory(dtype: str) -> str:
            taken[dtype] += 1
            return f"{dtype}_beside{taken[dtype] - 1}"

        for (buffer, index), c in _of_columns(s).items():
            copies[buffer, index] = name = memory(self.buffers[buffer].dtype)
            value = self.loaded(buffer, self.offset(buffer, index))
            if isinstance(c, Update):
                assert c.op.identity is not None
                value = constant_text(c.op.identity(c.dtype), c.dtype)
            for_each(beside, f"store({name}, {place}, {value})")

        def moved(c: Any) -> Any:
            return replace(c, buffer=copies[c.buffer, c.index], index=(lanes,)) if is_of_column(c, rows, lanes) else c

        own = {name: (dtype, memory(dtype)) for name, dtype in of_rows(s).items()}
        body = [Load(name, dtype, buffer, (lanes,)) for name, (dtype, buffer) in own.items()]
        body += map(moved, inside)
        self.line(f"{begin} = {low}")
        self.line(f"for {group} in range(({high} - {begin} + {beside} - 1) // {beside}):")
        self.depth += 1
        first, count = f"{begin} + {group} * {beside}", f"smaller({beside}, {high} - {rows.name}_first)"
        self.line(f"{rows.name}_first = {first}")
        self.line(f"{rows.name}_many = {count}")
        if own:
            self.line(f"for {rows.name}_beside in range({rows.name}_many):")
            self.depth += 1
            self.line(f"{rows.name} = {rows.name}_first + {rows.name}_beside")
            self.body(before)
            for name, (_, buffer) in own.items():
                self.line(f"for {lanes.name} in range({n}):")
                self.line(f"    store({buffer}, {place}, {name})")
            self.depth -= 1
        self.line(f"{rows.name} = {rows.name}_first")
        self.bounds[lanes] = "0", f"{rows.name}_many * {n}"
        self.loop(replace(along, body=tuple(body)))
        del self.bounds[lanes]
        self.depth -= 1
        for (buffer, index), c in _of_columns(s).items():
            if isinstance(c, Update):
                at, part = self.offset(buffer, index), self.loaded(copies[buffer, index], place)
                sum_ = f"{REORDERED[c.op.name]}({self.loaded(buffer, at)}, {part})"
                for_each(beside, "independent()", self.kept(buffer, at, sum_))


def _of_columns(nest: Loop) -> dict[tuple[str, Index], Any]:
    """What a loop over rows reads or adds up of each column."""
    lanes = nest.body[-1]
    return {(s.buffer, s.index): s for s in lanes.body if is_of_column(s, nest.axis, lanes.axis)}
