"""Launching on a GPU: one fused region as its kernels, with threads and blocks for the sizes of a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from fuse.codegen import device
from fuse.codegen.collapse import collapse
from fuse.codegen.cuda_array import DeviceArray, Memory
from fuse.codegen.cuda_block import emit_whole
from fuse.codegen.cuda_parts import Part, private_buffers
from fuse.codegen.cuda_ready import KEPT, Preparing, Room, Step, compiled, is_wide, run
from fuse.codegen.emit import extents, first_indices
from fuse.codegen.emit_cuda import WARP, PartSource, emit
from fuse.codegen.kernel import (
    Axis,
    Buffer,
    Combine,
    Compute,
    Init,
    Kernel,
    Load,
    Local,
    Loop,
    Store,
    Update,
    walk,
)
from fuse.codegen.launch import alike
from fuse.codegen.nest import Binding
from fuse.codegen.region import Operand, Region
from fuse.codegen.schedule import Scheduler
from fuse.codegen.sizes import Sizes
from fuse.codegen.wellformed import check
from fuse.expr import Expr
from fuse.op import OPS, Op

COPIES = 64 << 20  # bytes of all copies of a result that groups add up in
IN_CACHE = 8 << 20  # bytes that wait between sweeps in what cards have for a cache
LONG_LANE = 8  # elements of each lane that are worth chunks of rows
MOST_BLOCKS = 1024  # whose parts of a sum every block of the next launch reads


class _Scheduler1(Scheduler):
    """Loops for threads: no lanes of vectors, and sums in memory in their own dtype."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lane_level = None

    def summed_in(self, op: Op, dtype: str) -> str:
        return dtype


def schedule(
    region: Region, sizes: Sizes, operands: Mapping[Expr, tuple[Operand, ...]], layout_of: Callable[[Expr], str],
    far: bool = False,
) -> tuple[Kernel, Binding]:
    """The kernel of ``region`` as a GPU runs it, and what its parameters stand for; ``far``: for rows beyond caches."""
    found = _Scheduler1(region, sizes, operands, layout_of, far=far).placed()
    kernel, binding = found.assembled()
    return check(collapse(replace(kernel, rows=None, tall=None))), binding


class Launches:
    """A kernel compiled for arrays of some layouts: called with device arrays and numbers, in order.

    ``far`` takes the calls with rows whose values would wait in more memory than a cache has; it computes them again,
    and is not ``near``: rows so long are not held in registers.
    """

    def __init__(self, kernel: Kernel, far: Launches | None = None, near: bool = True) -> None:
        self.kernel, self.far = kernel, far
        self.sources = emit(kernel)
        chunked = emit(kernel, True)
        self.chunked = chunked if any(s.part.chunked for s in chunked) else ()  # for few long rows
        self.whole = emit_whole(kernel) if near else None  # for little work
        # For each launch those that hold rows in registers, where rows are short enough.
        held = [emit(kernel, hold=wide, much=much) for much in (False, True) for wide in (True, False)] if near else []
        self.held = [_holding(each) for each in zip(*held, strict=True)] or [()] * len(self.sources)
        self.private = private_buffers(kernel, [s.part for s in self.sources])
        self.compiled: dict[tuple[str, bool], Any] = {}
        self.own = sum(not b.scratch for b in kernel.buffers)  # arrays of a call
        named = {s.name: self.own + k for k, s in enumerate(kernel.scalars)}
        self.sizing = tuple([named[size[1]] for size in kernel.sizes if size[0] == "scalar"])
        self.ready: dict[Any, list[Step]] = {}

    # ------------------------------------------------------------ sizes
    def sizes(self, arrays: Mapping[str, DeviceArray], numbers: Mapping[str, Any]) -> dict[Axis, int]:
        """The sizes of all axes in a call."""
        found: dict[Axis, int] = {}
        for axis, source in zip(self.kernel.axes, self.kernel.sizes, strict=False):
            match source:
                case ("static", n):
                    found[axis] = n
                case ("buffer", name, d):
                    found[axis] = arrays[name].shape[d]
                case ("scalar", name):
                    found[axis] = int(numbers[name])
        for axis in self.kernel.axes:
            if axis.parts:
                found[axis] = math.prod(found[p] for p in axis.parts)
        return found

    # ------------------------------------------------------------ a call
    def __call__(self, given: Sequence[Any], status: DeviceArray | None) -> None:
        """Launch everything on the arrays and numbers ``given``, scratch memory left out."""
        on = device.current()
        key = (
            on.block, on.threads, on.multiprocessors, on.little, *[a.told for a in given[: self.own]],
            *[int(given[k]) for k in self.sizing],
        )
        steps = self.ready.get(key)
        if steps is None:
            if len(self.ready) >= KEPT:
                self.ready.clear()
            steps = self.ready[key] = self.prepared(on, given)
        run(on, steps, [*given, status], add_copies)

    def prepared(self, on: device.Device, given: Sequence[Any]) -> list[Step]:
        """What calls with arrays of these shapes and places do."""
        kernel = self.kernel
        own = [b.name for b in kernel.buffers if not b.scratch]
        arrays: dict[str, DeviceArray] = dict(zip(own, given, strict=False))
        numbers = dict(zip([s.name for s in kernel.scalars], given[self.own :], strict=True))
        sizes = self.sizes(arrays, numbers)
        first = first_indices(kernel)
        for buffer in kernel.buffers:
            wanted = extents(buffer, first.get(buffer.name, ())) if not buffer.scratch else []
            for n, have in zip(wanted, arrays[buffer.name].shape if wanted else (), strict=True):
                if n is not None and have != (sizes[n] if isinstance(n, Axis) else n):
                    raise Misfit
        if any(not sizes[a] for a in kernel.nonempty):
            raise Empty
        if any(all(sizes[a] for a in index) and not all(sizes[a] for a in none) for index, none in kernel.unseen):
            raise Empty
        found = Preparing(self, on, arrays, numbers, sizes)
        if self.whole is not None and max([work(s.part, sizes) for s in self.sources]) <= on.little:
            met = self.whole.part.copied  # of which each group has a copy
            if max([math.prod(sizes[a] for a in self.cells(name)) for name in met], default=0) <= on.little:
                found.add(self.whole)
                return found.steps
        sources = [self.holding(on, number, found.arrays, sizes) for number in range(len(self.sources))]
        few = bool(self.chunked) and any(s.held is None and self.is_few(on, s, sizes) for s in sources)
        if self.far is not None:  # which few rows want where that takes fewer launches
            fewer = few and len(self.far.chunked) < len(self.chunked)
            if fewer or self.waiting(on, sources, sizes) > IN_CACHE:
                return self.far.prepared(on, given)
        for source in self.chunked if few else sources:
            found.add(source)
        return found.steps

    def holding(
        self, on: device.Device, number: int, arrays: Mapping[str, DeviceArray | Room], sizes: Mapping[Axis, int]
    ) -> PartSource:
        """The source of a launch that holds rows of these sizes in registers, where one does."""
        fit = (s for s in self.held[number] if holds(on, s, arrays, sizes))
        return next(fit, self.sources[number])

    def waiting(self, on: device.Device, sources: Sequence[PartSource], sizes: Mapping[Axis, int]) -> int:
        """The bytes of values that wait in memory from one sweep over a row to the next, of rows under way."""
        most = on.multiprocessors * on.threads // on.block
        found = {
            name: min(math.prod(sizes[a] for a in source.part.groups), most)
            for source in sources for name in {a.of for a in source.arguments if a.kind == "cells"} & self.private
        }
        return sum([
            found[b.name] * math.prod(self.scratch_shape(b, sizes)) * np.dtype(b.dtype).itemsize
            for b in self.kernel.buffers if b.name in found
        ])

    def kernel_of(self, on: device.Device, source: PartSource) -> Any:
        return compiled(on, self.compiled, source)

    def is_few(self, on: device.Device, source: PartSource, sizes: Mapping[Axis, int]) -> bool:
        """Whether a part's groups leave half of the device's threads idle while they have much to do."""
        part = source.part
        if not part.groups or part.alone or not part.lanes:
            return False
        total = math.prod(sizes[a] for a in part.groups)
        blocks, threads, lanes = self.geometry(on, source, total, sizes)
        along = max([sizes[a] for a in part.lanes])
        return bool(total) and 2 * blocks * threads <= on.multiprocessors * on.threads and along >= LONG_LANE * lanes

    def chunks(
        self, on: device.Device, source: PartSource, blocks: int, lanes: int, sizes: Mapping[Axis, int]
    ) -> int:
        """In how many chunks, of a block each, the loops of a group are done."""
        along = max([sizes[a] for a in source.part.lanes], default=1)
        most = max(on.multiprocessors * on.threads // on.block // blocks, 1)
        return max(min(most, -(-along // (LONG_LANE // 2 * lanes)), MOST_BLOCKS), 1)

    def copied_dtype(self, name: str) -> str:
        return next(s.dtype for s in walk(self.kernel.body) if isinstance(s, Update) and s.buffer == name)

    def scratch_shape(self, buffer: Buffer, sizes: Mapping[Axis, int]) -> list[int]:
        """The sizes of scratch memory, from how it is indexed."""
        accesses = [s for s in walk(self.kernel.body) if isinstance(s, (Store, Load, Update))]
        index = next(s.index for s in accesses if s.buffer == buffer.name)
        return [sizes[p] for a in index for p in (a.parts or (a,))]

    def geometry(
        self, on: device.Device, source: PartSource, total: int, sizes: Mapping[Axis, int]
    ) -> tuple[int, int, int]:
        """(blocks, threads of a block, lanes of a group) for the sizes of a call."""
        part = source.part
        if part.alone and part.ordered:
            return 1, 1, 1
        block = on.broad if source.broad else on.block
        most = max(on.multiprocessors * on.threads // block, 1)
        if source.whole:
            return 1, block, 1
        if part.is_flat:
            if not part.lanes:
                return 1, on.block, on.block
            work = max([sizes[a] for a in part.lanes])
            limit = min(most, MOST_BLOCKS) if part.accs else most
            return max(min(limit, -(-work // on.block)), 1), on.block, on.block
        along = max([sizes[a] for a in part.lanes], default=1)
        lanes = 1 if part.alone else min(source.held.lanes(along) if source.held else _power(along), block)
        if part.spread:  # as many columns as a warp reads at once, and the rest of the block over rows
            lanes = min(lanes, max(on.block // min(_power(total), WARP), 1))
        groups = max(on.block // lanes, 1)
        blocks = max(min(most, -(-total // groups)), 1)
        if part.accs:
            blocks = min(blocks, MOST_BLOCKS)
        for name in part.copied:
            dtype = np.dtype(self.copied_dtype(name))
            cells = math.prod(sizes[p] for a in self.cells(name) for p in (a.parts or (a,)))
            cells *= 1 + (name in part.summed)
            slots = max(COPIES // max(cells * dtype.itemsize, 1), 1)
            while groups > max(slots, 1):
                groups //= 2
            blocks = max(min(blocks, slots // groups), 1)
        return blocks, groups * lanes, lanes

    def cells(self, name: str) -> list[Axis]:
        index = next(s.index for s in walk(self.kernel.body) if isinstance(s, (Store, Update)) and s.buffer == name)
        return [a for a in index if isinstance(a, Axis)]


def holds(
    on: device.Device, source: PartSource, arrays: Mapping[str, DeviceArray | Room], sizes: Mapping[Axis, int]
) -> bool:
    """Whether the slots of all lanes of a source that holds rows have room for rows of this size."""
    plan = source.held
    assert plan is not None
    if not sizes[plan.axis]:
        return False
    block = on.broad if source.broad else on.block
    lanes = max(block // WARP, 1) if source.part.spread else block
    if sizes[plan.axis] > plan.slots * plan.count * lanes or sizes[plan.axis] % plan.count:
        return False
    return plan.count == 1 or is_wide(plan.axis, plan.count, plan.arrays, arrays, sizes)


def work(part: Part, sizes: Mapping[Axis, int]) -> int:
    """The iterations of all innermost loops of a launch."""

    def within(body: Sequence[Any]) -> int:
        return max(sum([sizes[s.axis] * within(s.body) for s in body if isinstance(s, Loop)]), 1)

    return math.prod(sizes[a] for a in part.groups) * within(part.body)


def _holding(sources: Sequence[PartSource]) -> tuple[PartSource, ...]:
    """Those of the sources of a launch that hold rows, by how much that is, and then the same in larger blocks."""
    there = [s for s in sources if s.held is not None]
    broad = [replace(s, broad=True) for s in there if not s.part.spread]
    return tuple(sorted([*there, *broad], key=lambda s: (s.broad, s.held is not None and s.held.slots)))


class Misfit(Exception):
    """Sizes of arrays that a kernel does not expect: a call that is another program's, as on the CPU."""


class Empty(Exception):
    """A largest or smallest value of nothing is asked for, or indices that no thread would look at."""


def _power(n: int) -> int:
    """The smallest power of two that is not below ``n``."""
    return 1 << max(n - 1, 0).bit_length()


# ---------------------------------------------------------------- kernels of our own
@cache
def _adding(dtype: str, into: str) -> Launches:
    """``out[c] += sum over k of copies[k, c]``, in the order of k."""
    c, k = Axis("i0", None), Axis("i1", None)
    body = (
        Init("acc", OPS["sum"], dtype),
        Loop(k, (Load("v1", dtype, "copies", (k, c)), Combine("acc", OPS["sum"], dtype, "v1", dtype))),
        Load("v2", dtype, "out", (c,)),
        Combine("acc", OPS["sum"], dtype, "v2", dtype),
        Store("out", (c,), "acc"),
    )
    buffers = Buffer("copies", dtype, 2), Buffer("out", into, 1, True)
    sizes = ("buffer", "copies", 1), ("buffer", "copies", 0)
    return Launches(check(Kernel(buffers, (), (c, k), sizes, (), (Loop(c, body),))))


def add_copies(target: DeviceArray, copies: DeviceArray) -> None:
    """Add the sums over the first axis of ``copies`` to a contiguous ``target``."""
    if target.size:
        _adding(str(copies.dtype), str(target.dtype))([copies, target.reshape(-1)], None)


@cache
def _storing(dtype: str, ndim: int, layouts: tuple[str, str], added: bool) -> Launches:
    """What copies an array into another one, or adds it to that, element by element."""
    axes = tuple([Axis(f"i{d}", None) for d in range(ndim)])
    work = "float32" if dtype == "float16" else dtype
    body: tuple[Any, ...] = (Load("v1", work, "source", axes), Store("target", axes, "v1"))
    if added:
        add = Compute("v3", work, OPS["add"], ("v1", "v2"), (work, work), (work, work))
        loads = Load("v1", work, "target", axes), Load("v2", work, "source", axes)
        body = (*loads, add, Store("target", axes, "v3"))
    for axis in reversed(axes):
        body = (Loop(axis, body),)
    buffers = Buffer("source", dtype, ndim, layout=layouts[1]), Buffer("target", dtype, ndim, True, layout=layouts[0])
    sizes = tuple([("buffer", "target", d) for d in range(ndim)])
    return Launches(check(Kernel(buffers, (), axes, sizes, (), body)))


def copy_into(target: DeviceArray, source: DeviceArray) -> None:
    """Copy between arrays of one shape and dtype, with any strides."""
    _store_into(target, source, added=False)


def add_into(target: DeviceArray, source: DeviceArray) -> None:
    """Add ``source`` to ``target``, of one shape and dtype, with any strides."""
    _store_into(target, source, added=True)


def _store_into(target: DeviceArray, source: DeviceArray, added: bool) -> None:
    if target.size:
        layouts = target.told[0], source.told[0]
        _storing(str(target.dtype), target.ndim, layouts, added)([source, target], None)


class DeviceRegion:
    """The kernels of one region, made when arrays of their layouts come."""

    def __init__(self, region: Region, sizes: Sizes, operands: Mapping[Expr, tuple[Operand, ...]]) -> None:
        self.region, self.sizes_of, self.operands = region, sizes, operands
        kernel, binding = schedule(region, sizes, operands, lambda base: "C")
        self.default = kernel
        self.bases = tuple([b for b in binding.buffers if not isinstance(b, Local)])
        self.scalars = binding.scalars
        self.variants: dict[tuple[str, ...], tuple[Launches, tuple[int, ...]]] = {}
        self.launches(("C",) * len(self.bases))  # raises here where an op has no text for GPUs

    def launches(self, layouts: tuple[str, ...]) -> tuple[Launches, tuple[int, ...]]:
        """The kernels for these layouts, and in which order they take the arrays and numbers of a call."""
        if layouts not in self.variants:
            known = dict(zip(self.bases, layouts, strict=True))
            kernel, binding = schedule(self.region, self.sizes_of, self.operands, lambda base: known.get(base, "C"))
            bases = [b for b in binding.buffers if not isinstance(b, Local)]
            order = [self.bases.index(b) for b in bases]
            order += [len(self.bases) + self.scalars.index(s) for s in binding.scalars]
            self.variants[layouts] = Launches(kernel, self.far(kernel, binding, known)), tuple(order)
        return self.variants[layouts]

    def far(self, kernel: Kernel, binding: Binding, known: Mapping[Expr, str]) -> Launches | None:
        """What computes again instead of keeping for a row, where that is another kernel of the same arrays."""
        if not any(b.scratch for b in kernel.buffers):
            return None
        other, like = schedule(self.region, self.sizes_of, self.operands, lambda base: known.get(base, "C"), far=True)
        fewer = len(other.buffers) < len(kernel.buffers)
        return Launches(other, near=False) if fewer and alike(binding, like) else None

    @property
    def needs_status(self) -> bool:
        """Whether the kernels check indices."""
        found, _ = self.launches(("C",) * len(self.bases))
        return any(a.kind == "status" for s in found.sources for a in s.arguments)

    def __call__(self, arrays: Sequence[DeviceArray], numbers: Sequence[Any], status: DeviceArray | None) -> None:
        given = [*arrays, *numbers]
        found, order = self.launches(tuple([a.told[0] for a in arrays]))
        found([given[k] for k in order], status)


__all__ = ["DeviceRegion", "Empty", "Launches", "Memory", "Misfit", "add_copies", "copy_into", "schedule"]
