"""Narrow arrays done by rows, as source text: rows that follow one another in memory are walked as one.

A row of ten numbers fills no vector, and what is left over of it is computed one by one: an exponential of such an
array takes ten times as long as of a wide one. Here several rows are one loop, as long as their elements together. What
is known of each column is first written so many times beside itself; what is added up over rows has as many parts,
which are put together at the end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from fuse.codegen.emit_groups import GroupEmitter
from fuse.codegen.emit_sums import REORDERED
from fuse.codegen.flatrows import flat_nests, is_of_column, may_be_flat
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Axis, Buffer, Index, Loop, Update

FULL = 64  # elements that fill vectors: several of the largest number of lanes
LEAST, MOST = 256, 2048  # elements of rows that are walked as one


class FlatEmitter(GroupEmitter):
    """The part of an emitter that writes loops over rows of narrow arrays."""

    def name_sizes(self) -> None:
        super().name_sizes()
        self.beside_text: dict[Axis, str] = {}  # how many rows are walked as one, by their lanes
        if not self.kernel.narrow:
            return
        nests, kept = flat_nests(self.kernel), Counter[str]()
        for lanes in dict.fromkeys(s.body[0].axis for s in nests):
            n, rows = self.size_text[lanes], f"{lanes.name}_rows"
            self.beside_text[lanes] = rows
            self.line(f"{rows} = {FULL} // smaller(larger({n} & -{n}, 1), {FULL})")
            self.line(f"{rows} = larger(smaller({rows}, {MOST} // larger({n}, 1)), 1)")
            self.line(f"{rows} = {rows} * larger({LEAST} // larger({rows} * {n}, 1), 1)")
        for s in nests:
            kept |= Counter(self.buffers[buffer].dtype for buffer, _ in _of_columns(s))
        for dtype, count in kept.items():
            for k in range(count):
                name = f"{dtype}_beside{k}"
                self.buffers[name] = Buffer(name, dtype, 1, True)
                self.line(f"{name} = scratch('{dtype}', {MOST})")

    def is_flat_nest(self, s: Loop) -> bool:
        return self.kernel.narrow and may_be_flat(s, self.buffers)

    def flat(self, s: Loop) -> None:
        """Several rows at once, as one loop over their elements."""
        rows, lanes = s.axis, s.body[0].axis
        (low, high), n, beside = self.rows_of(s), self.size_text[lanes], self.beside_text[lanes]
        begin, group, place = f"{rows.name}_begin", f"{rows.name}_group", f"{rows.name}_group * {n} + {lanes.name}"

        def for_each(*lines: str) -> None:
            self.line(f"for {group} in range({beside}):")
            self.line(f"    for {lanes.name} in range({n}):")
            for line in lines:
                self.line(f"        {line}")

        taken, copies = Counter[str](), {}
        for (buffer, index), c in _of_columns(s).items():
            dtype = self.buffers[buffer].dtype
            copies[buffer, index] = name = f"{dtype}_beside{taken[dtype]}"
            taken[dtype] += 1
            value = self.loaded(buffer, self.offset(buffer, index))
            if isinstance(c, Update):
                assert c.op.identity is not None
                value = constant_text(c.op.identity(c.dtype), c.dtype)
            for_each(f"store({name}, {place}, {value})")

        def moved(c: Any) -> Any:
            return replace(c, buffer=copies[c.buffer, c.index], index=(lanes,)) if is_of_column(c, rows, lanes) else c

        self.line(f"{begin} = {low}")
        self.line(f"for {group} in range(({high} - {begin} + {beside} - 1) // {beside}):")
        self.depth += 1
        self.line(f"{rows.name} = {begin} + {group} * {beside}")
        self.bounds[lanes] = "0", f"smaller({beside}, {high} - {rows.name}) * {n}"
        self.loop(replace(s.body[0], body=tuple(map(moved, s.body[0].body))))
        del self.bounds[lanes]
        self.depth -= 1
        for (buffer, index), c in _of_columns(s).items():
            if isinstance(c, Update):
                at, part = self.offset(buffer, index), self.loaded(copies[buffer, index], place)
                sum_ = f"{REORDERED[c.op.name]}({self.loaded(buffer, at)}, {part})"
                for_each("independent()", self.kept(buffer, at, sum_))


def _of_columns(nest: Loop) -> dict[tuple[str, Index], Any]:
    """What a loop over rows reads or adds up of each column."""
    lanes = nest.body[0]
    return {(s.buffer, s.index): s for s in lanes.body if is_of_column(s, nest.axis, lanes.axis)}
