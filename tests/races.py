"""Races: what threads of a kernel in the simulator read and write without a barrier between them.

The simulator lets one thread run after the other, so a barrier that is missing often changes nothing there, and wrong
numbers would come on a card only. Here every access is noted. Between two barriers of its block no two threads may
write different values to one place, and none may read what another one writes; nor may blocks of a launch do so. Where
one reads so, the launch is run again, and the read gives the other value that a card may find there: it is a race if
that changes what the launch leaves. Shuffles within a warp order nothing, and all threads of a block must meet at the
same barriers.

    with watched() as found: ...  # calls, in the simulator
    assert not found
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fuse.codegen import simulated

LINES = simulated._EXCHANGE.count("\n")  # before the text of a kernel


class Cell:
    """What threads (or blocks) did with one place, and the lines where that was."""

    __slots__ = ("before", "reads", "writes")

    def __init__(self, before: bytes) -> None:
        self.before = before
        self.reads: dict[Any, tuple[bytes, int]] = {}  # by those that had written nothing there
        self.writes: dict[Any, tuple[set[bytes], int]] = {}

    def read(self, who: Any, value: bytes, line: int) -> None:
        if who not in self.writes:
            self.reads.setdefault(who, (value, line))

    def write(self, who: Any, value: bytes, line: int) -> None:
        self.writes.setdefault(who, (set(), line))[0].add(value)

    def clash(self) -> str | None:
        """Different values that are written by several."""
        if len(self.writes) > 1 and len({value for written, _ in self.writes.values() for value in written}) > 1:
            (a, (_, here)), (b, (_, there)) = list(self.writes.items())[:2]
            return f"{a} and {b} write different values, in lines {here} and {there}"
        return None

    def doubtful(self) -> Iterator[tuple[Any, bytes, str]]:
        """Who reads what another one may or may not have written, and what it may find instead."""
        for reader, (value, here) in self.reads.items():
            for writer, (written, there) in self.writes.items():
                other = next((v for v in (self.before, *sorted(written)) if v != value), None)
                if writer != reader and other is not None:
                    yield reader, other, f"{reader} reads in line {here} what {writer} writes in line {there}"
                    break


class Watched:
    """An array whose accesses are noted; ``room``: the number of it among those that a block has for itself."""

    def __init__(self, array: Any, log: Log, room: int | None = None) -> None:
        self.array, self.log, self.shared = array, log, room is not None
        self.start, self.itemsize = array.ctypes.data if room is None else room << 20, array.itemsize

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

    def __getitem__(self, at: Any) -> Any:
        value = self.array[at]
        other = self.log.read(self.start + int(at) * self.itemsize, value.tobytes(), self.shared)
        return value if other is None else np.frombuffer(other, self.array.dtype)[0]

    def __setitem__(self, at: Any, value: Any) -> None:
        before = self.array[at].tobytes()
        self.array[at] = value
        self.log.write(self.start + int(at) * self.itemsize, before, self.array[at].tobytes(), self.shared)


class Log:
    """The accesses of one launch; ``others`` are values that reads give instead, by who reads, and where."""

    def __init__(self, cuda: Any, others: Mapping[Any, bytes]) -> None:
        self.cuda, self.others = cuda, others
        self.faults: dict[str, None] = {}
        self.doubts: dict[Any, tuple[bytes, str]] = {}
        self.among: dict[Any, Cell] = {}
        self.within: dict[Any, Cell] = {}  # of the block, by barriers passed and address
        self.block: tuple[int, int] | None = None
        self.passed: dict[int, int] = {}  # barriers, by thread
        self.met: dict[int, list[Any]] = {}  # where the threads have met

    def seen(self, address: int, shared: bool) -> Iterator[tuple[dict[Any, Cell], Any, Any]]:
        thread = self.cuda.threadIdx.x
        yield self.within, (self.block, self.passed.get(thread, 0), address), f"thread {thread}"
        if not shared:
            yield self.among, address, f"block {self.block}"

    def read(self, address: int, value: bytes, shared: bool) -> bytes | None:
        (_, line), *_ = _where()
        other = None
        for cells, key, who in self.seen(address, shared):
            cells.setdefault(key, Cell(value)).read(who, value, line)
            other = other or self.others.get((key, who))
        return other

    def write(self, address: int, before: bytes, value: bytes, shared: bool) -> None:
        (_, line), *_ = _where()
        for cells, key, who in self.seen(address, shared):
            cells.setdefault(key, Cell(before)).write(who, value, line)

    def meet(self) -> None:
        thread, where = self.cuda.threadIdx.x, _where()
        met = self.met.setdefault(thread, [])
        met.append(where)
        first = self.met[next(iter(self.met))]
        if len(met) <= len(first) and first[len(met) - 1] != where:
            self.faults[f"threads meet at {first[len(met) - 1]} and {where}"] = None
        if where[0][0] != "exchange":
            self.passed[thread] = self.passed.get(thread, 0) + 1

    def enter(self, block: tuple[int, int] | None) -> None:
        """Threads of this block run from now on."""
        if block == self.block:
            return
        for cells in (self.within, *[self.among] * (block is None)):
            for key, cell in cells.items():
                clash = cell.clash()
                if clash is not None:
                    self.faults[clash] = None
                self.doubts.update({(key, who): (other, why) for who, other, why in cell.doubtful()})
        self.block, self.within, self.passed, self.met = block, {}, {}, {}


def _where() -> list[tuple[str, int]]:
    """The functions of a kernel that are under way, innermost first, and their lines."""
    found: list[tuple[str, int]] = []
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<fuse"):
            found.append((frame.f_code.co_name, frame.f_lineno - LINES))
        elif found:
            break
        frame = frame.f_back
    return found


def _logged(run: Any, cuda: Any, *how: Any, arguments: Sequence[Any], others: Mapping[Any, bytes]) -> Log:
    """A launch, with its accesses."""
    log = Log(cuda, others)
    rooms: dict[int, Watched] = {}
    array, syncthreads, enter = cuda.shared.array, cuda.syncthreads, cuda.enter

    def shared(count: int, dtype: Any) -> Watched:
        room = array(count, dtype)
        return rooms.setdefault(id(room), Watched(room, log, len(rooms)))

    def meet() -> None:
        log.meet()
        syncthreads()

    def begin(block: tuple[int, int], turns: Any) -> None:
        if block != log.block:
            rooms.clear()
        log.enter(block)
        enter(block, turns)

    cuda.shared.array, cuda.syncthreads, cuda.enter = shared, meet, begin
    try:
        run(cuda, *how, [Watched(a, log) if _is_array(a) else a for a in arguments])
    finally:
        cuda.shared.array = array
        del cuda.syncthreads, cuda.enter
    log.enter(None)
    return log


def _is_array(argument: Any) -> bool:
    return isinstance(argument, np.ndarray) and bool(argument.ndim)


@contextmanager
def watched() -> Iterator[dict[str, str]]:
    """What is wrong in launches inside the block, with the text of the kernel."""
    found: dict[str, str] = {}
    kernel_of, run = simulated.kernel_of, simulated.run

    def with_text(text: str, entry: str, helpers: Mapping[str, Any], *further: Any) -> Any:
        return kernel_of(text, entry, {**helpers, "whole_text": text}, *further)

    def watching(cuda: Any, kernel: Callable[..., None], meets: bool, blocks: Any, threads: int, given: Any) -> None:
        arrays = [a for a in given if _is_array(a)]
        before = [a.copy() for a in arrays]
        how = kernel, meets, blocks, threads
        log = _logged(run, cuda, *how, arguments=given, others={})
        faults = list(log.faults)
        if log.doubts:
            after = [a.copy() for a in arrays]
            for a, old in zip(arrays, before, strict=True):
                a[...] = old
            others = {key: other for key, (other, _) in log.doubts.items()}
            try:
                _logged(run, cuda, *how, arguments=given, others=others)
                same = [a.tobytes() for a in arrays] == [a.tobytes() for a in after]
            except Exception as error:
                same = False
                faults.append(f"{type(error).__name__}: {error}")
            if not same:
                faults += [why for _, why in log.doubts.values()]
            for a, new in zip(arrays, after, strict=True):
                a[...] = new
        if faults:
            text = kernel.__closure__[0].cell_contents.__globals__.get("whole_text", "")  # type: ignore[attr-defined]
            found.update(dict.fromkeys(faults, text))

    simulated.kernel_of, simulated.run = with_text, watching
    try:
        yield found
    finally:
        simulated.kernel_of, simulated.run = kernel_of, run
