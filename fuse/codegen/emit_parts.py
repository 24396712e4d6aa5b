"""Kernels that threads share as source text: segments, blocks of reductions, and what passes between parts.

Such a kernel has a last parameter, the part of its work that is to be done: a segment (none: all of them in order) and
the items of it from `low` to below `high`. Asked for everything, it first sees whether that is much work, and if so
does nothing but tell how much there is of each segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from operator import is_
from typing import Any

import numpy as np

from fuse.codegen.emit import first_indices
from fuse.codegen.emit_streams import StreamEmitter
from fuse.codegen.emit_sums import CHUNK, REORDERED, SHORT_BODY
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import (
    Axis,
    Buffer,
    Combine,
    Init,
    Kernel,
    Local,
    Loop,
    Split,
    Update,
    uses,
    walk,
)
from fuse.codegen.lanes import FEW_ROWS, NARROW_BLOCK, longest_sweep
from fuse.codegen.longrows import LONG_ROW, PIECE_BYTES
from fuse.codegen.native import NO_MEMORY, PLAN
from fuse.codegen.onesweep import MOST_TILE_ROWS, TILE_BYTES, TILE_ROWS
from fuse.codegen.parallel import BLOCK_WORK, BLOCKS, HEAD, at_once, crossing, segments, shared_loop, work_text
from fuse.codegen.pool import ASK, MUCH, MUCH_WORK, OTHER
from fuse.codegen.runner import LITTLE_WORK, OUT_OF_BOUNDS
from fuse.codegen.text import as_dtype, is_innermost

ROWS = 8  # of a block at least, where each has memory for a row of sums
PIECES = 4  # into how many pieces each thread's share is cut
UNIT = 64  # elements that are never divided among threads, so that no cache line is
# The same of lanes. Where there are more rows than stay in cache, memory must be read in long pieces: a matrix of
# 10,000 rows takes three times as long by strips of half a row each.
MANY_LANES = 64 * NARROW_BLOCK  # of fewer lanes, tall arrays are done by rows
LANE_UNIT, WIDE_LANE_UNIT = NARROW_BLOCK, 16 * NARROW_BLOCK


class PartEmitter(StreamEmitter):
    """The part of an emitter that writes the outermost level of a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.own: list[Local] = []
        self.blocks: dict[str, tuple[int, int]] = {}
        self.slots = 0
        self.tiled: Axis | None = None
        self.in_parts = False

    def tiles(self, tile: Axis, rows: Axis, lanes: Axis | None, size: int) -> None:
        """How many rows a tile has, and how many tiles there are: from sizes alone, as results depend on it."""
        down = self.size_text[rows]
        if lanes is None:
            self.line(f"{tile.name}_rows = {max(PIECE_BYTES // size // CHUNK, 1) * CHUNK}")
        else:
            across = self.size_text[lanes]
            near = f"smaller({TILE_BYTES} // larger({across} * {size}, 1), {MOST_TILE_ROWS})"
            self.line(f"{tile.name}_rows = larger({near}, {TILE_ROWS})")
        self.line(f"{tile.name}s = ({down} + {tile.name}_rows - 1) // {tile.name}_rows")
        self.size_text[tile] = f"{tile.name}s"
        self.tiled = tile

    def tile(self, s: Loop) -> None:
        """The rows of a tile."""
        low, high = self.rows_of(s)
        if is_innermost(s):
            axis = s.axis
            self.line(f"{axis.name}_low = {low}")
            self.line(f"{axis.name}_high = {high.replace(low, f'{axis.name}_low')}")
            self.bounds[axis] = f"{axis.name}_low", f"{axis.name}_high"
            if len(s.body) <= SHORT_BODY:  # a piece is one chunk
                self.single.add(axis)
            self.loop(replace(s, kind="serial"))
            self.single.discard(axis)
            del self.bounds[axis]
            return
        self.line(f"for {s.axis.name} in range({low}, {high}):")
        self.depth += 1
        self.body(s.body)
        self.depth -= 1

    def rows_of(self, s: Loop) -> tuple[str, str]:
        """The text of the first row of a loop over rows, or over those of a tile, and of the one after its last."""
        if s.kind not in ("tile", "head"):
            return self.range(s.axis)
        assert self.tiled is not None
        low = f"{self.tiled.name} * {self.tiled.name}_rows"
        count = f"{self.tiled.name}_rows" if s.kind == "tile" else f"{self.tiled.name}_rows // {HEAD}"
        return low, f"smaller({low} + {count}, {self.size_text[s.axis]})"

    def leave(self, status: str) -> None:
        """Return ``status``, giving back the memory of this part."""
        for local in self.own:
            self.line(f"    release({local.name})")
        if self.may_stream:
            self.line("    drain()")
        self.line(f"    return {status}")

    def refuse(self) -> None:
        self.leave(str(OUT_OF_BOUNDS))

    def total_work(self) -> str:
        """The text of how much work threads could share, which the forms for little and for much of it agree on."""
        plain = self.kernel.plain or self.kernel
        loops = [s for s in plain.body if isinstance(s, Loop) and s.split is not None]
        return " + ".join(work_text(plain, s, self.size_text.__getitem__) for s in loops)

    def whole(self) -> None:
        """The whole of a kernel for little work; much of it is refused where threads could share it."""
        total = self.total_work()
        if total:
            self.line(f"if {total} >= {MUCH_WORK}:")
            self.line(f"    return {MUCH}")
        for s in self.kernel.body:
            if isinstance(s, Loop) and s.split is not None:
                self.allocate(s)
                for init in s.split.accs:
                    self.init(init)
                self.body((s,))
                self.free()
            else:
                self.body((s,))

    def parts(self) -> None:
        """The whole of a kernel in segments."""
        self.in_parts = True
        parts = segments(self.kernel)
        total = self.total_work() if reorders_sums(self.kernel) else ""
        if total:  # in here LLVM may take other lanes than there: bits must not tell of earlier calls
            self.line(f"if part.segment == {ASK} and {total} < {MUCH_WORK}:")
            self.line(f"    return {LITTLE_WORK}")
        self.body(at_once(self.kernel))
        names = crossing(parts)
        self.slots = 1 + PLAN * len(parts)
        places = {name: self.take() for name in names}
        self.plan(parts)
        left: tuple[Init, ...] = ()
        sums: tuple[Update, ...] = ()
        for k, part in enumerate(parts):
            if len(parts) > 1:
                self.line(f"if wanted(part, {k + 1}):")
                self.depth += 1
            used = {name for s in walk(part) for name in uses(s)}
            own = _defined(part) | {i.acc for i in left}
            for name, place in places.items():
                if name in used and name not in own:
                    self.line(f"{self.final(name)} = get(part, {place}, '{names[name]}')")
            for init in left:
                self.gather_blocks(init)
            for s in sums:
                self.gather_sum(s, k)
            loop = shared_loop(part)
            if loop is not None and loop.split is not None:
                left, sums = loop.split.accs, loop.split.sums
                self.shared(loop)
            else:
                left, sums = (), ()
                self.body(part)
            for name, place in places.items():
                if name in own:
                    self.line(f"put(part, {place}, {self.final(name)})")
            if len(parts) > 1:
                self.depth -= 1

    def take(self, count: int = 1) -> int:
        """The first of so many new slots of shared memory."""
        self.slots += count
        return self.slots - count

    def plan(self, parts: list[tuple[Any, ...]]) -> None:
        """Sizes of blocks, and, asked for much work, the plan instead of the work."""
        rows: list[tuple[str, str, str, str]] = []
        for k, part in enumerate(parts):
            loop = shared_loop(part)
            if loop is None or loop.split is None:
                rows.append(("1", "0", "1", "1"))
                continue
            n, work = self.size_text[loop.axis], f"work{k + 1}"
            self.line(f"{work} = {work_text(self.kernel, loop, self.size_text.__getitem__)}")
            if loop.split.accs or loop.split.sums:
                length, count = f"length{k + 1}", f"blocks{k + 1}"
                if self.is_flat(loop):  # then a block has the chunks of the whole
                    each = work_text(self.kernel, loop, self.size_text.__getitem__, whole=False)
                    least = BLOCK_WORK // int(each) // CHUNK * CHUNK
                    self.line(f"{length} = larger(({n} + {BLOCKS * CHUNK - 1}) // {BLOCKS * CHUNK} * {CHUNK}, {least})")
                else:
                    worth = f"{n} if {work} < {BLOCK_WORK} else {n} * {BLOCK_WORK} // {work}"
                    fewest = ROWS if loop.split.sums else 1
                    self.line(f"{length} = larger(larger(({n} + {BLOCKS - 1}) // {BLOCKS}, {worth}), {fewest})")
                self.line(f"{count} = 1 if {n} <= {length} else ({n} + {length} - 1) // {length}")
                rows.append((count, work, "1", str(PIECES)))
            elif loop.along:
                rows.append((n, work, str(loop.width), str(PIECES)))
            elif loop.kind == "block":
                sweep = longest_sweep(loop.body, self.size_text)
                unit = f"{LANE_UNIT} if {sweep} <= {FEW_ROWS} else {WIDE_LANE_UNIT}" if sweep else str(LANE_UNIT)
                rows.append((n, work, unit, str(PIECES)))
            else:
                rows.append((n, work, str(UNIT if self.is_flat(loop) else 1), str(PIECES)))
        total = " + ".join(row[1] for row in rows if row[1] != "0")
        memory = self.lend(parts)
        if self.kernel.tall is not None:
            lanes, down = self.kernel.tall
            height = " * ".join(self.size_text[a] for a in down)
            tall = f"{height} > {FEW_ROWS} and {self.size_text[lanes]} < {MANY_LANES}"
            strips = any(isinstance(s, Loop) and s.kind == "block" for s in self.kernel.body)
            unfit = f"({tall})" if strips else f"not ({tall})"
            self.line(f"if part.segment == {ASK} and {total} >= {MUCH_WORK} and {unfit}:")
            self.line(f"    return {OTHER}")
        if self.kernel.long is not None:
            along, size, is_long = self.kernel.long
            unfit = f"{self.size_text[along]} * {size} {'<' if is_long else '>='} {LONG_ROW}"
            self.line(f"if part.segment == {ASK} and {unfit}:")  # however little: bits must not tell of earlier calls
            self.line(f"    return {OTHER}")
        self.line(f"if part.segment == {ASK}{'' if memory != '0' else f' and {total} >= {MUCH_WORK}'}:")
        self.line(f"    put(part, 0, {len(rows)})")
        self.line(f"    ask(part, {memory})")
        for k, row in enumerate(rows):
            self.line(f"    tell(part, {k + 1}, {', '.join(row)})")
        self.line(f"    return {MUCH}")
        for b in [b for b in self.kernel.buffers if b.lent]:
            self.line(f"{b.name} = lent(part, '{b.dtype}', {b.name}_at)")

    def lend(self, parts: list[tuple[Any, ...]]) -> str:
        """Places for lent rows and for the sums of each block; the text of how many bytes they take."""
        end, indices = "0", first_indices(self.kernel)
        for b in [b for b in self.kernel.buffers if b.lent]:
            count = " * ".join(self.size_text[a] for a in indices[b.name])
            self.line(f"{b.name}_at = {end}")
            self.line(f"{b.name}_over = {b.name}_at + ({count} * {np.dtype(b.dtype).itemsize} + 127) // 64 * 64")
            end = f"{b.name}_over"
        for k, part in enumerate(parts):
            loop = shared_loop(part)
            for s in loop.split.sums if loop is not None and loop.split is not None else ():
                size = np.dtype(s.dtype).itemsize
                self.line(f"{s.buffer}_start = {end}")  # rows of two blocks are in no common cache line
                self.line(f"{s.buffer}_step = ({self.extent(s)} * {size} + 127) // 64 * 64")
                self.line(f"{s.buffer}_end = {s.buffer}_start + blocks{k + 1} * {s.buffer}_step")
                end = f"{s.buffer}_end"
        return end

    def is_flat(self, loop: Loop) -> bool:
        return not any(isinstance(s, Loop) for s in loop.body)

    def shared(self, loop: Loop) -> None:
        n, k = self.size_text[loop.axis], loop.axis.name
        self.allocate(loop)
        self.decide(loop)
        if loop.split is not None and (loop.split.accs or loop.split.sums):
            self.in_blocks(loop, loop.split, n)
        else:
            self.line(f"{k}_low, {k}_high = part.low, reach(part, {n})")
            self.bounds[loop.axis] = f"{k}_low", f"{k}_high"
            self.body((loop,))
            del self.bounds[loop.axis]
        if self.may_stream:
            self.line("drain()")
        self.may_stream = set()
        self.free()

    def allocate(self, loop: Loop) -> None:
        """Memory that each part of a loop has for itself."""
        users = {s.buffer for s in walk((loop,)) if hasattr(s, "buffer")}
        self.own = [x for x in self.kernel.locals if not x.row and x.name in users]
        for position, local in enumerate(self.own):
            count = " * ".join(self.size_text[a] for a in local.axes) or "1"
            self.line(f"{local.name} = heap('{local.dtype}', {count})")
            self.line(f"if missing({local.name}):")
            self.own, whole = self.own[:position], self.own
            self.leave(str(NO_MEMORY))
            self.own = whole

    def free(self) -> None:
        for local in self.own:
            self.line(f"release({local.name})")
        self.own = []

    # ------------------------------------------------------------ reductions
    def in_blocks(self, loop: Loop, split: Split, n: str) -> None:
        """Each block of the loop with accumulators of its own, left in shared memory."""
        k, accs = loop.axis.name, split.accs
        number = segments(self.kernel).index((loop,)) + 1
        self.line(f"for block{number} in range(part.low, reach(part, blocks{number})):")
        self.depth += 1
        self.line(f"{k}_low = block{number} * length{number}")
        self.line(f"{k}_high = smaller({k}_low + length{number}, {n})")
        for init in accs:
            self.init(init)
        for s in split.sums:
            self.start_sum(s, number)
            loop = replace(loop, body=_with_own(loop.body, s.buffer))
        self.bounds[loop.axis] = f"{k}_low", f"{k}_high"
        self.body((loop,))
        del self.bounds[loop.axis]
        for init in accs:
            kept = [init.acc, f"{init.acc}_lost"] if init.acc in self.compensated else [init.acc]
            first = self.take(len(kept) * BLOCKS)
            self.blocks[init.acc] = first, number
            for j, name in enumerate(kept):
                self.line(f"put(part, {first + j * BLOCKS} + block{number}, {name})")
        self.depth -= 1

    def extent(self, s: Update) -> str:
        """The text of how many elements a sum in blocks has."""
        return " * ".join(self.size_text[a] for a in s.index if isinstance(a, Axis)) or "1"

    def start_sum(self, s: Update, number: int) -> None:
        """Memory of this block for a sum, cleared."""
        own, n = f"{s.buffer}_own", self.extent(s)
        assert s.op.identity is not None
        self.buffers[own] = Buffer(own, s.dtype, len(s.index), True)
        place = f"{s.buffer}_start + block{number} * {s.buffer}_step"
        self.line(f"{own} = lent(part, '{s.dtype}', {place})")
        self.line(f"for k in range({n}):")
        self.line(f"    store({own}, k, {constant_text(s.op.identity(s.dtype), s.dtype)})")

    def gather_sum(self, s: Update, number: int) -> None:
        """Add what the blocks left, in their order."""
        own, depth, axes = f"{s.buffer}_own", self.depth, [a for a in s.index if isinstance(a, Axis)]
        place = f"{s.buffer}_start + block{number} * {s.buffer}_step"
        self.line(f"for block{number} in range(blocks{number}):")
        self.line(f"    {own} = lent(part, '{s.dtype}', {place})")
        self.depth += 1
        for axis in axes:
            self.line(f"for {axis.name} in range({self.size_text[axis]}):")
            self.depth += 1
        if axes:
            self.line("independent()")
        at, step = self.offset(s.buffer, s.index), REORDERED[s.op.name]
        value = as_dtype(f"load({own}, {self.offset(own, s.index)})", s.dtype)
        self.line(f"store({s.buffer}, {at}, {step}(load({s.buffer}, {at}), {value}))")
        self.depth = depth

    def gather_blocks(self, init: Init) -> None:
        """An accumulator from what the blocks left, in their order."""
        acc = init.acc
        first, number = self.blocks[acc]
        self.init(init)
        self.line(f"for block{number} in range(blocks{number}):")
        self.depth += 1
        if acc in self.compensated:
            self.line(f"{acc}_part = get(part, {first} + block{number}, 'float64')")
            self.line(f"{acc}_lost += get(part, {first + BLOCKS} + block{number}, 'float64')")
            self.add_compensated(acc)
        else:
            self.line(f"{acc}_left = get(part, {first} + block{number}, '{init.dtype}')")
            step = Combine(acc, init.op, init.dtype, f"{acc}_left", init.dtype)
            self.line(f"{acc} = {as_dtype(self.combined(step, acc, f'{acc}_left'), init.dtype)}")
        self.depth -= 1
        if acc in self.compensated:
            self.total(acc, init.dtype)


def reorders_sums(kernel: Kernel) -> bool:
    """Whether the kernel adds up numbers in an order that LLVM chooses."""
    return any(
        isinstance(s, (Combine, Update)) and s.op.name in ("sum", "prod") and np.dtype(s.dtype).kind in "fc"
        for s in walk(kernel.body)
    )


def is_tall(lanes: Axis, down: Sequence[Axis], size: Callable[[Axis], int]) -> bool:
    """Whether the kernel by rows is the one for these sizes: `PartEmitter.plan` asks the same when it runs."""
    return prod(map(size, down)) > FEW_ROWS and size(lanes) < MANY_LANES


def _with_own(body: tuple[Any, ...], buffer: str) -> tuple[Any, ...]:
    """``body`` with updates of ``buffer`` made in the block's own memory; parts without any are themselves."""
    own = tuple([
        replace(s, body=inner) if isinstance(s, Loop) and (inner := _with_own(s.body, buffer)) is not s.body
        else replace(s, buffer=f"{buffer}_own") if isinstance(s, Update) and s.buffer == buffer
        else s
        for s in body
    ])
    return body if all(map(is_, own, body)) else own


def _defined(part: tuple[Any, ...]) -> set[str]:
    """The names that a segment defines at its outermost level."""
    return {s.acc if isinstance(s, Init) else s.name for s in part if isinstance(s, Init) or hasattr(s, "name")}
