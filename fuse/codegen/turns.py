"""Blocks of threads in plain Python: what the simulator runs kernels in, one thread at a time.

Numba's own simulator polls all threads of a block until they stand at a barrier, which takes most of the time of a
test. Here each runs until its next barrier, and hands on to the next one: the same in every run. Threads take turns
from the first to the last and, after the next barrier, from the last to the first, so that what a barrier is missing
for is seen from both sides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = ["Cuda", "run"]


class Abandoned(BaseException):
    """Raised within the other threads of a block in which one has failed."""


class Cuda:
    """What kernels read of ``numba.cuda``; one thread runs at a time, so it speaks of the one whose turn it is."""

    def __init__(self) -> None:
        self.threadIdx, self.blockIdx = SimpleNamespace(x=0, y=0, z=0), SimpleNamespace(x=0, y=0, z=0)
        self.blockDim, self.gridDim = SimpleNamespace(x=1, y=1, z=1), SimpleNamespace(x=1, y=1, z=1)
        self.shared = SimpleNamespace(array=self._array)
        self.turns: list[_Turn] = []  # of the threads of the block that runs
        self._rooms: list[Any] = []

    def grid(self, _: int) -> int:
        return self.blockIdx.x * self.blockDim.x + self.threadIdx.x

    def gridsize(self, _: int) -> int:
        return self.gridDim.x * self.blockDim.x

    def syncthreads(self) -> None:
        """Wait for the other threads of the block, which have their turns meanwhile."""
        if self.turns:
            self.turns[self.threadIdx.x].pause()
        elif self.blockDim.x > 1:
            raise RuntimeError("a barrier in a kernel that was taken to have none")

    def _array(self, count: int, dtype: Any) -> Any:
        """Memory of the block: all threads ask for the same rooms in the same order."""
        turn = self.turns[self.threadIdx.x] if self.turns else None
        place = turn.rooms if turn is not None else len(self._rooms)
        if turn is not None:
            turn.rooms += 1
        if place == len(self._rooms):
            kind = np.dtype(dtype)
            self._rooms.append(np.full(count * kind.itemsize, 0xA5, np.uint8).view(kind))  # what nobody wrote shows
        return self._rooms[place]

    def enter(self, block: tuple[int, int], turns: list[_Turn]) -> None:
        """Begin a block."""
        self.blockIdx.x, self.blockIdx.y = block
        self.turns, self._rooms = turns, []


class _Turn(threading.Thread):
    """A thread of a block: it runs from one barrier to the next when it is given its turn."""

    def __init__(self, body: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.body = body
        self.rooms = 0
        self.error: BaseException | None = None
        self.done = self.abandoned = False
        self._mine, self._given_back = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._given_back.acquire()

    def run(self) -> None:
        self._mine.acquire()
        try:
            if not self.abandoned:
                self.body()
        except Abandoned:
            pass
        except BaseException as error:
            self.error = error
        self.done = True
        self._given_back.release()

    def give(self) -> None:
        """Let it run to its next barrier, or to its end."""
        self._mine.release()
        self._given_back.acquire()

    def pause(self) -> None:
        self._given_back.release()
        self._mine.acquire()
        if self.abandoned:
            raise Abandoned


def run(cuda: Cuda, kernel: Callable[..., None], meets: bool, blocks: tuple[int, int], threads: int,
        arguments: Sequence[Any]) -> None:  # fmt: skip
    """Run ``kernel`` with every thread of every block; ``meets`` says whether it has barriers.

    Raises what a thread raises, with a note of which it was.
    """
    cuda.blockDim.x = threads
    cuda.gridDim.x, cuda.gridDim.y = blocks
    for y in range(blocks[1]):
        for x in range(blocks[0]):
            if not meets or threads == 1:
                _alone(cuda, kernel, (x, y), threads, arguments)
            else:
                _together(cuda, kernel, (x, y), threads, arguments)


def _alone(cuda: Cuda, kernel: Callable[..., None], block: tuple[int, int], threads: int, arguments: Any) -> None:
    """A block whose threads know nothing of each other."""
    for cuda.threadIdx.x in range(threads):
        cuda.enter(block, [])
        kernel(*arguments)


def _together(cuda: Cuda, kernel: Callable[..., None], block: tuple[int, int], threads: int, arguments: Any) -> None:
    turns = [_Turn(lambda: kernel(*arguments)) for _ in range(threads)]
    cuda.enter(block, turns)
    order = list(enumerate(turns))
    for turn in turns:
        turn.start()
    try:
        while order:
            for cuda.threadIdx.x, turn in order:
                turn.give()
                if turn.error is not None:
                    turn.error.add_note(f"in thread {cuda.threadIdx.x} of block {block}")
                    raise turn.error
            order = [(k, turn) for k, turn in reversed(order) if not turn.done]
    finally:
        for turn in turns:
            if not turn.done:
                turn.abandoned = True
                turn.give()
            turn.join()
