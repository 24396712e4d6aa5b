"""Kernels for one block: all their parts in one launch, where work is little, or within a loop on a GPU.

A barrier of the block stands behind each part. Sums that groups of threads meet in are taken in copies, as they are in
launches of their own, which the block adds up. In a loop, where a kernel may be for one thread, too, the text reaches
arrays by ``load``, ``store``, ``size`` and ``stride``, as that of kernels for CPUs does, and is put there as theirs.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fuse.codegen import mathlib
from fuse.codegen.cuda_combine import Combining, kept_sum
from fuse.codegen.cuda_parts import Done, Part, parts_of, private_buffers
from fuse.codegen.emit import Emitter
from fuse.codegen.emit_cuda import Argument, CudaEmitter, PartSource
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Axis, Combine, Init, Kernel, Loop, Update, walk
from fuse.codegen.loop_emit import NotCompiled
from fuse.codegen.text import as_dtype, cast, is_innermost, scalar_type, typed

MOST_COPIES = 32  # groups of a block, where each has a copy of what they meet in
SYNC = "cuda.syncthreads()"
ALL = "lane, lanes, apart, live = cuda.threadIdx.x, cuda.blockDim.x, 1, True"
ALONE = "lane, lanes, apart, live = 0, 1, 1, True"
LANES = '''@device
def lanes_for(along, most):
    lanes = 1
    while lanes < along and lanes < most:
        lanes *= 2
    return lanes
'''


class Functions:
    """Functions that all kernels of a loop share: partial results put together, and memory of the block for that."""

    def __init__(self) -> None:
        self.helpers: dict[str, Any] = {}
        self.rooms: dict[str, None] = {}
        self.combining = Combining(self)  # type: ignore[arg-type]
        self.checks = False

    def resolve(self, name: str, dtype: str) -> tuple[str, Any]:
        found = mathlib.resolve(name, dtype, "cuda")
        return (found, None) if isinstance(found, str) else (f"{name}_{dtype}", found)

    def room(self, dtype: str) -> str:
        self.rooms[dtype] = None
        return f"room_{dtype}"

    def together(self, op: Any, dtype: str, value: str, lanes: str = "cuda.blockDim.x", apart: str = "1") -> str:
        """The text of what the lanes of a group, or all threads, have of a value, put together."""
        return f"together{self.combining.of(op, dtype)}({value}, {lanes}, {apart}, {self.room(dtype)})"

    @property
    def text(self) -> str:
        return "\n\n".join([LANES, *self.combining.texts])

    @property
    def memory(self) -> list[str]:
        return [f"room_{d} = cuda.shared.array(512, {scalar_type(d)})" for d in self.rooms]


class OneBlock(CudaEmitter):
    """Writes all parts of a kernel for one block: what is a launch otherwise is followed by a barrier of the block."""

    flies = False  # what is little has no time to win by it
    meets = True  # whether there may be memory for sums that groups meet in
    one_thread = False

    def __init__(self, kernel: Kernel) -> None:
        self.parts = parts_of(kernel)
        super().__init__(kernel, self.parts[0], 0, private_buffers(kernel, self.parts))
        self.wide = {}

    def part_of_block(self, part: Part) -> None:
        """Raises NotCompiled where groups add up in memory, and that cannot be copied."""
        met = (*part.copied, *part.summed)
        if met and not (self.meets and part.groups and part.lanes and not part.alone and not part.ordered):
            raise NotCompiled("sums that groups of threads meet in")
        if self.one_thread:
            self.line(ALONE)
            self.serial(part)
            return
        if part.alone and part.ordered:
            if part.accs or part.groups:
                raise NotCompiled("a sum in the order of its terms")
            self.line(ALL)
            self.part = replace(part, alone=False, ordered=False)  # what comes before the loop all threads may need
            self.beginning(part)
            self.part = part
            self.line(SYNC)
            self.line(ALONE)
            self.line("if cuda.threadIdx.x == 0:")
            self.depth += 1
            self.body(part.body)
            self.depth -= 1
        elif part.is_flat:
            self.line(ALL)
            self.line("first, step = lane, lanes")
            self.serial(part)
        else:
            self.grouped(part)
        for acc in part.accs:
            self.finish(acc)
        self.line(SYNC)

    def serial(self, part: Part) -> None:
        self.beginning(part)
        self.body(part.body)

    def grouped(self, part: Part) -> None:
        total = " * ".join([self.size_text[a] for a in part.groups])
        self.line(f"total = {total}")
        along = " , ".join(dict.fromkeys(self.size_text[a] for a in part.lanes))
        along = "1" if part.alone or not along else f"max({along}, 1)"
        most = "max(cuda.blockDim.x // lanes_for(total, 32), 1)" if part.spread else "cuda.blockDim.x"
        met = dict.fromkeys((*part.copied, *part.summed))
        least = f"max(lanes_for({along}, {most}), cuda.blockDim.x // {MOST_COPIES})"
        self.line(f"lanes = {least if met else f'lanes_for({along}, {most})'}")
        self.group_of_lanes(part)
        self.line("slot, live, first, step = group, True, lane, lanes")
        for name in met:
            self.clear_copies(name)
        if met:
            self.line(SYNC)
        self.beginning(part)
        self.line("for base in range(0, total, here):")
        self.depth += 1
        self.line("live = base + group < total")
        self.line("place = base + group if live else total - 1")
        self.group_indices(part)
        self.body(part.body)
        self.depth -= 1
        if met:
            self.line(SYNC)
        for name in met:
            self.add_copies(name)

    def copies(self, name: str) -> tuple[str, str, str, str]:
        """Copies of what groups meet in, how many there are, the elements of one, and the dtype."""
        part = self.part
        dtype = next(s.dtype for s in walk(part.body) if isinstance(s, Update) and s.buffer == name)
        rows = " * ".join([*["here"] * (name in part.copied), *["2"] * (name in part.summed)])
        cells = self.argument(f"{name}_cells", Argument("cells", name), "int64")
        return self.argument(f"{name}_copies", Argument("copies", name), dtype, True), rows, cells, dtype

    def clear_copies(self, name: str) -> None:
        copies, rows, cells, dtype = self.copies(name)
        self.line(f"for k in range(cuda.threadIdx.x, {rows} * {cells}, cuda.blockDim.x):")
        self.line(f"    {copies}[unsigned(k)] = {typed(constant_text(0, dtype), dtype)}")

    def add_copies(self, name: str) -> None:
        """Add what the groups have left, in order, to the sums themselves."""
        copies, rows, cells, dtype = self.copies(name)
        zero = typed(constant_text(0, dtype), dtype)
        self.line(f"for k in range(cuda.threadIdx.x, {cells}, cuda.blockDim.x):")
        self.depth += 1
        self.line(f"met = {as_dtype(self.loaded(name, 'k'), dtype)}")
        self.line(f"met_lost = {zero}")
        self.line(f"for j in range({rows}):")
        value = f"{copies}[unsigned(j * {cells} + k)]"
        exact = dtype in ("float32", "float64")
        for text in kept_sum("met", value) if exact else [f"met = {as_dtype(f'met + {value}', dtype)}"]:
            self.line(f"    {text}")
        whole = "(met + met_lost if met_lost == met_lost else met)" if exact else "met"
        self.line(self.kept(name, "k", whole))
        self.depth -= 1

    def finish(self, acc: Init) -> None:
        """Every thread has the whole of an accumulator."""
        value = self.final(acc.acc)
        innermost = [s for s in walk(self.part.body) if isinstance(s, Loop) and is_innermost(s)]
        if not any(isinstance(c, Combine) and c.acc == acc.acc for s in innermost for c in s.body):
            assert acc.op.identity is not None
            self.line(f"whole = {value}")
            self.line(f"{acc.acc} = {typed(constant_text(acc.op.identity(acc.dtype), acc.dtype), acc.dtype)}")
            self.line("if lane == 0:")
            self.line(f"    {acc.acc} = whole")
            value = acc.acc
        k = self.combining.of(acc.op, acc.dtype)
        self.line(f"{acc.acc} = together{k}({value}, cuda.blockDim.x, 1, {self.room(acc.dtype)})")
        self.lost.discard(acc.acc)

    def totals(self, found: tuple[Done, ...]) -> None:
        """What an earlier part has left is there."""

    def emit(self) -> PartSource:
        """The source of one launch for all parts."""
        for part in self.parts:
            self.part = part
            self.part_of_block(part)
        copied = dict.fromkeys(name for part in self.parts for name in part.copied)
        summed = dict.fromkeys(name for part in self.parts for name in part.summed)
        return self.source(Part((), (), (), copied=tuple(copied), summed=tuple(summed)), "whole", [LANES])


class BlockEmitter(OneBlock):
    """Writes a kernel for one block, or with ``alone`` for one thread, as a part of a longer function."""

    meets = False

    def __init__(self, kernel: Kernel, functions: Functions, alone: bool) -> None:
        super().__init__(kernel)
        self.size_text = {}
        self.functions, self.one_thread = functions, alone
        self.combining, self.helpers = functions.combining, functions.helpers

    # ------------------------------------------------------------ what a launch would be given
    def argument(self, name: str, argument: Argument, dtype: str, writes: bool = False) -> str:
        match argument.kind:
            case "scalar" | "array":
                return name
            case "cells":
                return self.cells(argument.of)
            case "status":
                self.functions.checks = True
                return "status"
        raise NotCompiled(f"a launch with {argument.kind}")

    def cells(self, buffer: str) -> str:
        return " * ".join([self.size(buffer, d) for d in range(self.buffers[buffer].ndim)]) or "1"

    def room(self, dtype: str) -> str:
        return self.functions.room(dtype)

    def size(self, buffer: str, dimension: int) -> str:
        return Emitter.size(self, buffer, dimension)

    def step(self, buffer: str, dimension: int) -> str:
        return Emitter.step(self, buffer, dimension)

    def loaded(self, buffer: str, at: str) -> str:
        return Emitter.loaded(self, buffer, at)

    def kept(self, buffer: str, at: str, value: str) -> str:
        return Emitter.kept(self, buffer, at, value)

    def update(self, s: Update) -> None:
        value = cast(self.final(s.value), s.value_dtype, s.dtype)
        guard, at = self.guard(s.buffer, s.index), self.offset(s.buffer, s.index)
        if guard:
            self.line(f"if {guard}:")
            self.depth += 1
        self.line(f"at = {at}")
        new = f"combine{self.combining.of(s.op, s.dtype)}({as_dtype(self.loaded(s.buffer, 'at'), s.dtype)}, {value})"
        self.line(self.kept(s.buffer, "at", new))
        if guard:
            self.depth -= 1

    def offset(self, buffer: str, index: Any) -> str:
        text = Emitter.offset(self, buffer, index)
        if buffer in self.private and self.part.groups:
            text = f"slot * ({self.cells(buffer)}) + {text}"
        return text

    def guard(self, buffer: str, index: Any) -> str:
        if self.one_thread:
            return self.checked(index).removeprefix(" and ")
        if buffer in self.buffers and not self.buffers[buffer].ndim:
            return ""  # a number, which every thread has
        return super().guard(buffer, index)

    # ------------------------------------------------------------ whole
    def written(self) -> str:
        """The text of a function that does what the kernel does."""
        self.name_sizes()
        for part in self.parts:
            self.part = part
            self.part_of_block(part)
        return "def kernel():\n" + "\n".join([*self.lines, "    return 0"]) + "\n"

    def complete(self, acc: Init, loop: Loop) -> None:
        if not self.one_thread:
            super().complete(acc, loop)

    def loop(self, s: Loop) -> None:
        if not self.one_thread:
            super().loop(s)
            return
        self.line(f"for {s.axis.name} in range({self.size_text[s.axis]}):")
        self.depth += 1
        self.body(s.body)
        self.depth -= 1


def emit_whole(kernel: Kernel) -> PartSource | None:
    """The source of one launch, of one block, for a kernel that takes several otherwise; None where that cannot be."""
    emitter = OneBlock(kernel)
    if len(emitter.parts) < 2:
        return None
    try:
        return replace(emitter.emit(), broad=True, whole=True)
    except NotCompiled:
        return None


def groups_of_block(part: Part, sizes: Mapping[Axis, int], block: int) -> int:
    """How many groups of a block there are for a part, copies of what they meet in."""
    total, along = math.prod(sizes[a] for a in part.groups), max([sizes[a] for a in part.lanes])
    most = max(block // _lanes_for(total, 32), 1) if part.spread else block
    return block // max(_lanes_for(along, most), block // MOST_COPIES)


def _lanes_for(along: int, most: int) -> int:
    """As in kernels."""
    return min(1 << max(along - 1, 0).bit_length(), 1 << max(most - 1, 0).bit_length())


__all__ = ["SYNC", "BlockEmitter", "Functions", "emit_whole", "groups_of_block"]
