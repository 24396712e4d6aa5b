"""Copies that overlap: of large arrays with the host's own copying, each other and launches; of small ones together.

The driver can copy to and from the device by itself only where the host's memory is page-locked. So large arrays go
piece by piece through *stages*, which are: while one piece is under way, the host fills or empties the next stage.

Uploads have a stream of their own, so that they pass while kernels run that were launched before. Events order what
must be: a copy waits for launches that still use its block of memory, launches wait for copies, and the host waits for
a stage before it is used again. Downloads run behind all launches, on their stream.

When is a block idle? Ticks count up; a block has that of the moment when it was given back, when all that uses it was
launched. A *mark* is an event behind all launches, with the tick before it was recorded: what was given back earlier is
idle once the event has passed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fuse.codegen.device import StreamingDevice

LARGE = 1 << 20  # bytes of arrays that are copied piece by piece
SMALL = 1 << 16  # bytes of those that are copied together
NEAR = 1 << 18  # bytes of a stage for these
APART = 256  # each begins at a multiple of so many bytes, as blocks of memory do
STAGE, STAGES = 4 << 20, 3  # bytes of a stage, and their number
MARKS = 8
Part = tuple[tuple[int, ...], Any, int]  # an array in a vector of bytes: its shape, dtype and first byte


class Stage:
    """Page-locked memory, and the event behind the copy that uses it."""

    def __init__(self, on: StreamingDevice, size: int) -> None:
        self.room = on.pinned(size)
        self.event = on.event()
        self.used = False

    def wait(self) -> None:
        if self.used:
            self.event.synchronize()
            self.used = False

    def of(self, array: Any) -> Any:
        """Room for the elements of ``array``."""
        return self.room[: array.nbytes].view(array.dtype)


class Transfers:
    """Copies to and from one device. Raises whatever the driver does where it has no streams or page-locked memory."""

    def __init__(self, on: StreamingDevice) -> None:
        self.on, self.lock = on, threading.RLock()
        self.side = on.side_stream()
        self.stages = [Stage(on, STAGE) for _ in range(STAGES)]
        self.turn = 0
        self.marks: deque[tuple[int, Any]] = deque(maxlen=MARKS)

    def stage(self) -> Stage:
        """The stage whose turn it is, once nothing uses it any more."""
        found = self.stages[self.turn]
        self.turn = (self.turn + 1) % len(self.stages)
        found.wait()
        return found

    def mark(self) -> tuple[int, Any]:
        """A new mark, behind all that is launched by now."""
        tick, event = self.on.tick(), self.on.event()
        event.record(self.on.stream)
        self.marks.append((tick, event))
        return tick, event

    def upload(self, target: Any, array: Any, since: int) -> None:
        """Copy to memory that nothing has used since the tick ``since``; launches from now on see it there."""
        with self.lock:
            before = next((event for tick, event in self.marks if tick > since), None)
            _, now = self.mark()
            if since > self.on.idle:
                (before or now).wait(self.side)
            stage = self.stages[0]
            for at in _pieces(array):
                stage = self.stage()
                room = stage.of(array[at])
                room[...] = array[at]
                self.on.send(target[at], room, self.side)
                stage.event.record(self.side)
                stage.used = True
            stage.event.wait(self.on.stream)

    def download(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Copy each source on the device to an array of the host, of its dtype and size."""
        with self.lock:
            tick = self.on.tick()
            under_way: deque[tuple[Stage, Any]] = deque()
            for source, target in pairs:
                for at in _pieces(target):
                    if len(under_way) == len(self.stages):
                        _arrived(*under_way.popleft())
                    stage = self.stage()
                    self.on.fetch(source[at], stage.of(target[at]), self.on.stream)
                    stage.event.record(self.on.stream)
                    under_way.append((stage, target[at]))
            while under_way:
                _arrived(*under_way.popleft())
            self.on.idle = max(self.on.idle, tick)


class Near:
    """Page-locked memory of one thread for copies of small arrays, on the stream of launches.

    Of two stages one is filled from its beginning on; when it is full, the other one's copies must have passed.
    """

    def __init__(self, on: StreamingDevice) -> None:
        self.on = on
        self.stages = [Stage(on, NEAR) for _ in range(2)]
        self.turn = self.at = 0
        self.busy = False  # what this thread does meanwhile, in a handler of signals, say, copies in another way

    def take(self, count: int) -> tuple[Any, int]:
        """Memory that nothing uses any more, and where ``count`` bytes of it begin."""
        stage = self.stages[self.turn]
        if self.at + count > NEAR:
            stage.event.record(self.on.stream)
            stage.used = True
            self.turn = 1 - self.turn
            stage, self.at = self.stages[self.turn], 0
            stage.wait()
        at, self.at = self.at, self.at + apart(count)
        return stage.room, at

    def upload(self, target: Any, arrays: Sequence[np.ndarray[Any, Any]], places: Sequence[int]) -> None:
        """Begin to copy arrays, which may change once this has returned, to these places of ``target``."""
        self.busy = True
        try:
            room, at = self.take(target.nbytes)
            fill(room, at, arrays, places)
            self.on.send(target, room[at : at + target.nbytes], self.on.stream)
        finally:
            self.busy = False

    def download(self, sources: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Copies of vectors on the device, once all launches have run."""
        places = list(accumulate([apart(s.nbytes) for s in sources], initial=0))
        return self._fetched(sources, places, [(s.shape, s.dtype, at) for s, at in zip(sources, places, strict=False)])

    def download_parts(self, source: Any, parts: Sequence[Part]) -> list[Any]:
        """Copies of arrays in a vector of bytes on the device, once all launches have run."""
        return self._fetched([source], (0, source.nbytes), parts)

    def _fetched(self, sources: Sequence[Any], places: Sequence[int], parts: Sequence[Part]) -> list[Any]:
        self.busy = True
        try:
            room, at = self.take(places[-1])
            for source, place in zip(sources, places, strict=False):
                self.on.fetch(source, room[at + place : at + place + source.nbytes].view(source.dtype), self.on.stream)
            self.on.wait()
            found = taken(room, at, parts)
            self.at = 0  # all that used the stages has passed
            for stage in self.stages:
                stage.used = False
            return found
        finally:
            self.busy = False


def apart(count: int) -> int:
    """The bytes that small arrays of ``count`` bytes take among others."""
    return -(-count // APART) * APART


def taken(room: Any, at: int, parts: Sequence[Part]) -> list[Any]:
    """Copies of arrays that begin behind the byte ``at`` of ``room``."""
    return [np.ndarray(shape, dtype, room, at + place).copy() for shape, dtype, place in parts]


def fill(room: Any, at: int, arrays: Sequence[np.ndarray[Any, Any]], places: Sequence[int]) -> None:
    """Copy arrays to places behind the byte ``at`` of ``room``."""
    for array, place in zip(arrays, places, strict=True):
        np.ndarray(array.shape, array.dtype, room, at + place)[...] = array


def _arrived(stage: Stage, target: Any) -> None:
    stage.event.synchronize()
    target[...] = stage.of(target)


def _pieces(array: np.ndarray[Any, Any]) -> Iterator[slice]:
    """Slices of a vector, of a stage's bytes each."""
    step = max(STAGE // array.itemsize, 1)
    for start in range(0, array.size, step):
        yield slice(start, min(start + step, array.size))


__all__ = ["LARGE", "SMALL", "Near", "Part", "Transfers", "apart", "fill", "taken"]
