"""Rows that are added up in groups as source text: one loop along several rows, and the rest one by one."""

from __future__ import annotations

from fuse.codegen.emit_lanes import LaneEmitter
from fuse.codegen.emit_rows import Rows
from fuse.codegen.kernel import Loop


class GroupEmitter(LaneEmitter):
    """The part of an emitter that writes loops over rows of some width."""

    def in_groups(self, s: Loop) -> None:
        """A loop over rows that are added up, so many at a time, in their order."""
        name, rows = s.axis.name, Rows(s, s.width, summed=True)
        low, high = self.rows_of(s)
        count, first = (high, "") if low == "0" else (f"({high} - {low})", f"{low} + ")
        self.line(f"{name}_groups = {count} // {s.width}")
        self.line(f"for {name}_group in range({name}_groups):")
        self.depth += 1
        for k, copy in enumerate(rows.copies):
            self.size_text[copy] = self.size_text[s.axis]
            self.line(f"{copy.name} = {first}{name}_group * {s.width} + {k}")
        before, self.in_order = self.in_order, True
        self.statement(rows.together(s.body[0]))
        self.in_order = before
        self.depth -= 1
        self.line(f"for {name} in range({first}{name}_groups * {s.width}, {high}):")
        self.depth += 1
        self.body(s.body)
        self.depth -= 1
