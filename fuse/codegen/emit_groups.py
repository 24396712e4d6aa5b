"""Rows that are added up in groups as source text: one loop along several rows, the rest in pairs."""

from __future__ import annotations

from fuse.codegen.emit_lanes import LaneEmitter
from fuse.codegen.emit_rows import Rows
from fuse.codegen.kernel import Get, Load, Loop, walk
from fuse.forks import cached_property

PAIR = 2  # rows of the groups behind those of some width: few rows are all of the work where there are ten


class GroupEmitter(LaneEmitter):
    """The part of an emitter that writes loops over rows of some width."""

    def in_groups(self, s: Loop) -> None:
        """A loop over rows that are added up, so many at a time, in their order; the rest in pairs, the last alone."""
        name = s.axis.name
        low, high = self.rows_of(s)
        self.line(f"{name}_done = {low}")
        for width in (s.width, PAIR) if s.width > PAIR else (s.width,):
            rows = Rows(s, width, summed=True, narrow=self.narrow)
            self.line(f"{name}_groups = ({high} - {name}_done) // {width}")
            self.line(f"for {name}_group in range({name}_groups):")
            self.depth += 1
            for k, copy in enumerate(rows.copies):
                self.size_text[copy] = self.size_text[s.axis]
                self.line(f"{copy.name} = {name}_done + {name}_group * {width} + {k}")
            before, self.in_order = self.in_order, True
            self.statement(rows.together(s.body[0]))
            self.in_order = before
            self.depth -= 1
            self.line(f"{name}_done = {name}_done + {name}_groups * {width}")
        self.line(f"for {name} in range({name}_done, {high}):")
        self.depth += 1
        self.body(s.body)
        self.depth -= 1

    @cached_property
    def narrow(self) -> set[str]:
        """The memory of float64 in which sums are kept that are read as float32."""
        kernel = self.kernel
        read: dict[str, set[str]] = {}
        for s in walk(kernel.body):
            if isinstance(s, (Get, Load)):
                read.setdefault(s.local if isinstance(s, Get) else s.buffer, set()).add(s.dtype)
        kept = [x for x in kernel.locals if x.row] + [b for b in kernel.buffers if b.lent]
        return {x.name for x in kept if x.dtype == "float64" and read.get(x.name) == {"float32"}}
