"""Streaming stores: large results go to memory past the caches, which saves reading what is overwritten as a whole.

A loop that writes such results is written twice, with streaming stores and with ordinary ones, and each run chooses:
streaming where the arrays of the kernel do not fit into the last cache together, the result is a fair part of it, it
is no operand written in place, and it begins, here, at an address that vectors can be streamed to.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.codegen.emit_sums import SumEmitter
from fuse.codegen.inline import kernel_cost
from fuse.codegen.kernel import Axis, Buffer, Compute, Kernel, Load, Loop, Store, Update, index_width, walk
from fuse.codegen.processor import cache_bytes

LIGHT = 12  # operations of a loop's body at most: beside longer ones the next loads wait for stores
SHARE = 8  # a result is streamed from this part of the cache on
ROW = 512  # elements at least of a loop that runs many times
ALIGNMENT = 16  # bytes: what every vector can be stored by without a detour, and every allocator gives


class StreamEmitter(SumEmitter):
    """The part of an emitter that chooses how results are stored."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.may_stream: set[str] = set()  # inside of a loop that threads share, at whose end streams are drained
        self.streamed: set[str] = set()
        self.once: set[str] | None = None

    @abstractmethod
    def is_taped(self, body: tuple[Any, ...]) -> bool:
        """Whether a tape runs the loop of this body."""

    def stored(self, s: Store, value: str) -> str:
        if s.buffer not in self.streamed:
            return super().stored(s, value)
        return f"stream({s.buffer}_to, {self.offset(s.buffer, s.index)} - {s.buffer}_at, {value})"

    def streams(self, loop: Loop) -> dict[str, Store]:
        """The stores of an innermost loop that may stream: of results written once, and one element after another."""
        found = [s for s in loop.body if isinstance(s, Store) and s.buffer in self.written_once()]
        if len({s.buffer for s in found}) < len(found):
            return {}  # several rows at once
        return {s.buffer: s for s in found if self.is_consecutive(s, loop.axis)}

    def written_once(self) -> set[str]:
        """The results that one store writes and nothing reads."""
        if self.once is None:
            accesses = [s for s in walk(self.kernel.body) if isinstance(s, (Load, Store, Update))]
            stores = [s.buffer for s in accesses if isinstance(s, Store)]
            others = {s.buffer for s in accesses if not isinstance(s, Store)}
            given = {b.name for b in self.kernel.buffers if b.output and not (b.scratch or b.lent)}
            self.once = {name for name in given - others if stores.count(name) == 1}
        return self.once

    def is_consecutive(self, s: Store, axis: Axis) -> bool:
        if any(isinstance(i, str) for i in s.index) or s.index.count(axis) != 1:
            return False
        layout, place = self.buffers[s.buffer].layout, s.index.index(axis)
        if layout == "C":
            return all(i == 0 for i in s.index[place + 1 :])
        return axis.width == 1 and layout == f"S{index_width(s.index[:place])}"

    def decide(self, loop: Loop) -> None:
        """Before a loop that threads share: whether the sizes are worth streaming, for each result that may be."""
        serial = [s for s in walk((loop,)) if isinstance(s, Loop) and s.kind == "serial"]
        names = dict.fromkeys(name for s in serial if not self.is_taped(s.body) for name in self.streams(s))
        if not names or not all(self.is_light(s) for s in walk((loop,)) if isinstance(s, Loop)):
            return
        self.may_stream = set(names)
        given = {b.name: b for b in self.kernel.buffers if not b.lent}
        read = dict.fromkeys(s.buffer for s in walk(self.kernel.body) if isinstance(s, Load) and s.buffer in given)
        self.line(f"large = {' + '.join(self.bytes_of(b) for b in given.values())} >= {cache_bytes()}")
        for name in names:
            tests = ["large", f"{self.bytes_of(given[name])} >= {cache_bytes() // SHARE}"]
            tests += [f"address({name}, 0) != address({operand}, 0)" for operand in read]
            self.line(f"{name}_streams = {' and '.join(tests)}")

    def is_light(self, loop: Loop) -> bool:
        return sum(kernel_cost(s.op) for s in loop.body if isinstance(s, Compute)) <= LIGHT

    def bytes_of(self, b: Buffer) -> str:
        return " * ".join([*(f"size({b.name}, {d})" for d in range(b.ndim)), str(np.dtype(b.dtype).itemsize)])

    def either(self, loop: Loop, low: str, high: str, write: Callable[[], None]) -> None:
        """What ``write`` writes, the loop from ``low`` to ``high``: with streaming stores, and with ordinary ones."""
        stores = {name: s for name, s in self.streams(loop).items() if name in self.may_stream}
        if not stores or self.streamed or self.in_order:
            write()
            return
        starts = {
            name: re.sub(rf"\b{loop.axis.name}\b", f"({low})", self.offset(name, s.index))
            for name, s in stores.items()
        }
        for name, at in starts.items():
            self.line(f"{name}_at = {at}")
        tests = [f"{name}_streams and address({name}, {name}_at) & {ALIGNMENT - 1} == 0" for name in stores]
        if not self.is_whole(loop):
            tests.insert(0, f"{high} - {low} >= {ROW}")
        self.line(f"if {' and '.join(tests)}:")
        self.depth += 1
        for name in stores:
            self.line(f"{name}_to = aligned({name}, {name}_at, {ALIGNMENT})")
        self.streamed = set(stores)
        write()
        self.streamed = set()
        self.depth -= 1
        self.line("else:")
        self.depth += 1
        write()
        self.depth -= 1

    def is_whole(self, loop: Loop) -> bool:
        """Whether the loop is one that threads share, so that it runs once in each part of the work."""
        return any(s is loop or isinstance(s, Loop) and s.body == loop.body for s in self.kernel.body)
