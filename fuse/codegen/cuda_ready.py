"""Launches that are ready: what a call of a kernel does, worked out once for arrays of some shapes and places.

Geometry, sizes, strides and memory depend on shapes, strides and how addresses are aligned (`DeviceArray.told`), never
on values. So they are kept, and a call only fills in addresses and numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.cuda_array import DeviceArray, empty
from fuse.codegen.cuda_block import groups_of_block
from fuse.codegen.cuda_parts import EFFECTS
from fuse.codegen.emit_cuda import Argument, PartSource
from fuse.codegen.kernel import Axis

if TYPE_CHECKING:
    from fuse.codegen.cuda_launch import Launches
    from fuse.codegen.device import Device

KEPT = 256  # kinds of calls of a kernel


@dataclass(frozen=True)
class Room:
    """Memory that a call takes for itself; blocks begin at multiples of more bytes than any access takes."""

    shape: tuple[int, ...]
    dtype: str
    address: int = 0

    @property
    def itemsize(self) -> int:
        return int(np.dtype(self.dtype).itemsize)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(slots=True)
class Step:
    """One launch. Slots are the values that the kernel is called with, then the status, then memory in order.

    ``makes`` is memory that is taken before it, of which ``clears`` (slots) is zeroed. ``arguments`` are known but for
    the ``arrays`` and ``numbers``: (place among them, slot) and the dtype of numbers. ``adds`` are pairs of slots: sums
    of the copies in the second are added to the first, behind it.
    """

    kernel: Any
    blocks: tuple[int, int]
    threads: int
    arguments: list[Any]
    arrays: list[tuple[int, int]] = field(default_factory=list)
    numbers: list[tuple[int, int, str]] = field(default_factory=list)
    makes: list[Room] = field(default_factory=list)
    clears: list[int] = field(default_factory=list)
    adds: list[tuple[int, int]] = field(default_factory=list)


def run(on: Device, steps: Sequence[Step], slots: list[Any], add: Callable[[Any, Any], None]) -> None:
    """Launch all ``steps``; ``slots`` are the values that the kernel is given, and the status."""
    for step in steps:
        for room in step.makes:
            slots.append(empty(room.shape, room.dtype))
        for slot in step.clears:
            on.clear(slots[slot].flat())
        arguments = step.arguments.copy()
        for place, slot in step.arrays:
            arguments[place] = on.argument(*slots[slot].place)
        for place, slot, dtype in step.numbers:
            arguments[place] = on.number(slots[slot], dtype)
        on.launch(step.kernel, step.blocks, step.threads, arguments)
        for target, copies in step.adds:
            add(slots[target], slots[copies])


class Preparing:
    """The steps of one kind of call, one after the other."""

    def __init__(
        self, launches: Launches, on: Device, arrays: Mapping[str, DeviceArray], numbers: Mapping[str, Any],
        sizes: Mapping[Axis, int],
    ) -> None:
        self.launches, self.on, self.sizes, self.numbers = launches, on, sizes, numbers
        self.arrays: dict[str, DeviceArray | Room] = dict(arrays)
        self.slot = {name: k for k, name in enumerate((*arrays, *numbers))}
        self.status = len(self.slot)
        self.count = self.status + 1
        self.cells: dict[str, int] = {}
        self.parts: dict[str, tuple[int, Room]] = {}  # slots of what blocks leave of accumulators
        self.steps: list[Step] = []

    def make(self, step: Step, shape: Sequence[int], dtype: str) -> tuple[int, Room]:
        """The slot of memory that is taken before ``step``, and the memory."""
        room = Room(tuple(shape), dtype)
        step.makes.append(room)
        self.count += 1
        return self.count - 1, room

    def add(self, source: PartSource) -> None:
        """One more launch."""
        part, on, launches = source.part, self.on, self.launches
        total = math.prod(self.sizes[a] for a in part.groups)
        writes = part.accs or any(isinstance(s, EFFECTS) for s in part.before)
        if part.groups and not total and not writes:
            return
        blocks, threads, lanes = launches.geometry(on, source, total, self.sizes)
        groups = blocks * (threads // lanes)
        chunks = launches.chunks(on, source, blocks, lanes, self.sizes) if part.chunked else 1
        kernel = launches.kernel_of(on, source.of_lanes(lanes))
        step = Step(kernel, (blocks, chunks), threads, [None] * len(source.arguments))
        self.make_scratch(step, source, total if part.chunked else groups)
        copies = self.make_copies(step, source, groups)
        for acc in part.accs:
            self.parts[acc.acc] = self.make(step, (blocks * chunks,), acc.dtype)
        for acc in part.rows:
            self.parts[acc.acc] = self.make(step, (total, chunks), acc.dtype)
        for place, argument in enumerate(source.arguments):
            slot = self.slot_of(argument, copies)
            if argument.kind == "scalar":
                step.numbers.append((place, self.slot[argument.of], source.dtypes[place]))
            elif slot is not None:
                step.arrays.append((place, slot))
            else:
                known = total if argument.kind == "total" else self.number_of(argument, copies)
                step.arguments[place] = on.number(known, source.dtypes[place])
        self.steps.append(step)

    def make_scratch(self, step: Step, source: PartSource, slots: int) -> None:
        """Memory that the kernel's launches share, or that each of ``slots`` has for itself, where it is read first."""
        read = {a.of for a in source.arguments if a.kind == "array"}
        for buffer in self.launches.kernel.buffers:
            name = buffer.name
            if buffer.scratch and name not in self.arrays and name in read:
                shape = self.launches.scratch_shape(buffer, self.sizes)
                count = math.prod(shape)
                whole = (slots * count,) if name in self.launches.private else shape
                self.slot[name], self.arrays[name] = self.make(step, whole, buffer.dtype)
                self.cells[name] = count

    def make_copies(self, step: Step, source: PartSource, groups: int) -> dict[str, tuple[int, Room]]:
        """Memory of the results that groups add up in copies, or with what rounding loses beside them.

        One block for all parts clears and adds them itself.
        """
        part, copies, launches = source.part, {}, self.launches
        for name in dict.fromkeys((*part.copied, *part.summed)):
            if source.whole:
                sharing = [s.part for s in launches.sources if name in s.part.copied]
                groups = max([groups_of_block(p, self.sizes, step.threads) for p in sharing], default=1)
            rows = (groups if name in part.copied else 1) * (1 + (name in part.summed))
            shape = [rows, self.arrays[name].size if source.whole else max(self.arrays[name].size, 1)]
            copies[name] = self.make(step, shape, launches.copied_dtype(name))
            if not source.whole:
                step.clears.append(copies[name][0])
                step.adds.append((self.slot[name], copies[name][0]))
        return copies

    def slot_of(self, argument: Argument, copies: Mapping[str, tuple[int, Room]]) -> int | None:
        """The slot of an argument that is an array; None for numbers."""
        match argument.kind:
            case "array":
                return self.slot[argument.of]
            case "partials":
                return self.parts[argument.of][0]
            case "copies":
                return copies[argument.of][0]
            case "status":
                return self.status
        return None

    def number_of(self, argument: Argument, copies: Mapping[str, tuple[int, Room]]) -> int:
        """An argument that follows from shapes and places."""
        of = argument.of
        match argument.kind:
            case "stride":
                return self.given(of).steps[argument.dimension]
            case "offset":
                return self.given(of).start
            case "extent":
                return self.arrays[of].shape[argument.dimension]
            case "size":
                return self.sizes[of]
            case "count":
                return self.parts[of][1].shape[-1]
            case "cells":
                return copies[of][1].shape[1] if of in copies else self.cells[of]
            case "wide":
                axis, count, among = of
                return int(is_wide(axis, count, among, self.arrays, self.sizes))
        raise AssertionError(argument.kind)

    def given(self, name: str) -> DeviceArray:
        found = self.arrays[name]
        assert isinstance(found, DeviceArray)
        return found


def is_wide(
    axis: Axis, count: int, among: Sequence[tuple[str, bool]], arrays: Mapping[str, DeviceArray | Room],
    sizes: Mapping[Axis, int],
) -> bool:
    """Whether all accesses along ``axis`` may take ``count`` elements at once: each at a multiple of its bytes."""
    if any(has_rows for _, has_rows in among) and sizes[axis] % count:
        return False
    return all(arrays[name].address % (count * arrays[name].itemsize) == 0 for name, _ in among)


def compiled(on: Device, known: dict[tuple[str, bool], Any], source: PartSource) -> Any:
    """The kernel of a launch, compiled once."""
    key = source.text, source.broad
    if key not in known:
        start = time.perf_counter()
        threads = on.broad if source.broad else 0
        known[key] = on.compile(source.text, source.entry, source.helpers, source.dtypes, source.arrays, threads)
        on.compiling += time.perf_counter() - start
    return known[key]
