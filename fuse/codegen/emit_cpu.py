"""Emission for the CPU: a Kernel as the source of one Python function that Numba compiles.

The function returns a status of `runner.py`, so that no kernel ever raises. Every array's sizes are checked against the
loops before anything is read. The parts of this emitter build on one another: steps (`emit_steps.py`), reductions
(`emit_sums.py`), stores (`emit_streams.py`), threads (`emit_parts.py`), tapes (`emit_tape.py`), tiles that are turned
(`emit_turning.py`), lanes (`emit_lanes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fuse.codegen import tape
from fuse.codegen.emit import first_indices
from fuse.codegen.emit_flat import FlatEmitter
from fuse.codegen.emit_parts import reorders_sums
from fuse.codegen.emit_sums import CHUNK
from fuse.codegen.emit_tape import table_sizes
from fuse.codegen.kernel import (
    Buffer,
    Combine,
    Kernel,
    Loop,
    Put,
    Store,
    Update,
)
from fuse.codegen.lanes import (
    MANY_ROWS,
    TILE,
    lane_block,
)
from fuse.codegen.load import ArgType
from fuse.codegen.native import PART
from fuse.codegen.runner import EMPTY_REDUCTION, LONG_ROWS, OK, OUT_OF_BOUNDS, SHORT_ROWS
from fuse.codegen.text import is_innermost, parameter_dtype


@dataclass(frozen=True)
class Source:
    """Source text of a kernel, its entry, its argument types, and the helpers it calls."""

    text: str
    entry: str
    argtypes: tuple[ArgType, ...]
    helpers: Mapping[str, Any]
    tape: tape.Tape | None = None


class CpuEmitter(FlatEmitter):
    """The whole of a kernel. ``much``: threads may share it; ``tapes``: long bodies may become tapes."""

    target = "cpu"

    def __init__(self, kernel: Kernel, much: bool = False, tapes: bool = True, fused: bool = False) -> None:
        super().__init__(kernel)
        self.much, self.fused = much, fused
        if tapes:
            self.find_tapes()

    # ------------------------------------------------------------ whole
    def emit(self) -> Source:
        kernel = self.kernel
        given = [b for b in kernel.buffers if not b.lent]
        names = [b.name for b in given] + [s.name for s in kernel.scalars]
        is_shared = self.much and any(isinstance(s, Loop) and s.split for s in kernel.body)
        self.prologue()
        if is_shared:
            self.parts()
        elif self.is_taped(kernel.body):
            self.taped(kernel.body, None)
        else:
            self.whole()
        self.line(f"return {OK}")
        found = self.recorder.finish() if self.recorder else None
        if found is not None and is_shared:
            self.lines.insert(0, f"    {table_sizes(found)}")
        names += ["code", "table"] if self.recorder else []
        names += ["part"] if is_shared else []
        text = f"def kernel({', '.join(names)}):\n" + "\n".join(self.lines) + "\n"
        argtypes = [ArgType(b.dtype, b.ndim, b.output) for b in given]
        argtypes += [ArgType(parameter_dtype(s.dtype), None) for s in kernel.scalars]
        argtypes += tape.ARGTYPES if self.recorder else ()
        argtypes += [ArgType(PART, self.slots)] * is_shared
        return Source(text, "kernel", tuple(argtypes), self.helpers, found)

    def prologue(self) -> None:
        kernel = self.kernel
        self.name_sizes()
        first = first_indices(kernel)
        self.check_buffers([(b, self.extents(b, first.get(b.name, ()))) for b in kernel.buffers if not b.lent])
        if kernel.nonempty:
            self.line(f"if {' or '.join(f'{self.size_text[a]} == 0' for a in kernel.nonempty)}:")
            self.line(f"    return {EMPTY_REDUCTION}")
        self.look_at_indices()
        if kernel.rows is not None:
            across, along = [self.size_text[a] for a in kernel.rows]
            short = f"{along} <= {kernel.short} and {across} >= {MANY_ROWS}"
            self.line(f"if not ({short}):" if kernel.turned else f"if {short}:")
            self.line(f"    return {LONG_ROWS if kernel.turned else SHORT_ROWS}")
        for acc, dtype in self.row_sums() if self.recorder is None else []:
            self.line(f"{acc}_row = scratch('{dtype}', {CHUNK})")
        rows = [x for x in kernel.locals if x.row]
        for row in rows:
            self.line(f"{row.name} = scratch('{row.dtype}', {lane_block(rows) if len(row.axes) == 1 else TILE})")

    def check_buffers(self, wanted: list[tuple[Buffer, list[str]]]) -> None:
        """One test of the layouts and sizes of all arrays: statement by statement it took most of the compile time."""
        if not wanted:
            return
        sizes = dict.fromkeys(n for _, extents in wanted for n in extents if n.isidentifier())
        exact = reorders_sums(self.kernel)  # then bits must not tell of earlier calls, with arrays of another layout
        layouts = [f"{b.layout}!" if exact and b.layout != "C" else b.layout for b, _ in wanted]
        text = "; ".join(" ".join([layout, *extents]) for layout, (_, extents) in zip(layouts, wanted, strict=True))
        self.line(f"status = refused({', '.join([repr(text), *(b.name for b, _ in wanted), *sizes])})")
        self.line("if status != 0:")
        self.line("    return status")

    def look_at_indices(self) -> None:
        """Leave calls to whoever looks at all indices where the loops that check some of them never run."""
        for index, others in self.kernel.unseen:
            self.line(f"if {' or '.join(f'{self.size_text[a]} == 0' for a in others)}:")
            inner = f"if {' and '.join(f'{self.size_text[a]} != 0' for a in index)}:" if index else ""
            self.line(f"    {inner}" if inner else f"    return {OUT_OF_BOUNDS}")
            if inner:
                self.line(f"        return {OUT_OF_BOUNDS}")

    # ------------------------------------------------------------ loops
    def loop(self, s: Loop) -> None:
        axis = s.axis
        if self.is_taped(s.body):
            self.taped(s.body, axis)
            return
        if s.kind == "block":
            self.blocked(s)
            return
        if self.is_turning(s):
            self.turning(s)
            return
        if self.is_flat_nest(s):
            self.flat(s)
            return
        if s.kind == "lane":
            combined = [c for c in s.body if isinstance(c, Combine) and c.acc in self.compensated]
            with self.summed_lanes({c.acc: c.dtype for c in combined}):
                self.lanes(s)
            return
        if s.width:
            self.in_groups(s)
            return
        if s.kind in ("tile", "head"):
            self.tile(s)
            return
        sums = [c for c in s.body if isinstance(c, Combine) and c.acc in self.compensated] if is_innermost(s) else []
        if sums and not self.is_short(axis) and axis != self.tiled:
            self.chunked(s, sums)
            return
        if self.has_two_forms(s):
            self.in_two_forms(s)
            return

        def write() -> None:
            self.line(f"for {axis.name} in {self.indices(axis)}:")
            self.depth += 1
            if is_innermost(s):
                self.independent(s)
            self.body(s.body)
            self.depth -= 1

        self.with_steps(s, lambda: self.either(s, *self.range(axis), write)) if is_innermost(s) else write()

    def independent(self, s: Loop) -> None:
        for c in s.body:
            scattered = isinstance(c, Store) and any(isinstance(i, str) for i in c.index)
            if (scattered or isinstance(c, Update)) and s.axis not in c.index:
                return  # iterations meet in one element
        if any(isinstance(c, (Store, Update, Put)) or isinstance(c, Combine) and c.lane for c in s.body):
            self.line("independent()")


def emit(kernel: Kernel, much: bool = False, fused: bool = False) -> Source:
    """The source of ``kernel`` for the CPU: the short one, which refuses much work, or the one that threads share.

    Work that the short one does has one block in each reduction of the other, so that both give the same bits, unless
    LLVM takes another number of partial sums for the lanes of a loop in one of them (seen where rows are summed beside
    columns).
    """
    return CpuEmitter(kernel, much, fused=fused).emit()


def has_tape(kernel: Kernel) -> bool:
    """Whether a tape runs part of the kernel."""
    return CpuEmitter(kernel).recorder is not None
