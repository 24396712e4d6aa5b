"""The provider: everything that fuse asks of CUDA, through numba-cuda's kernel language, or of a simulator.

What all devices have is here; numba-cuda's is in `device_numba.py`, with its kernel language in `device_code.py` and
`device_math.py`. Nothing else in fuse imports ``numba.cuda``, so another provider can take their place.

The simulator runs kernels in plain Python, where the threads of a block take turns (`turns.py`): it checks what
kernels compute, on small arrays, where there is no GPU. It is used where NUMBA_ENABLE_CUDASIM is set, or `simulate` is
called.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen import cuda_transfers
from fuse.codegen.cuda_transfers import Near, Part, Transfers, taken
from fuse.devices import is_simulated, resolve
from fuse.errors import DeviceError
from fuse.forks import cached_property, lock_for_threads

if TYPE_CHECKING:
    from fuse.codegen.cuda_array import Memory

_state = threading.local()
_lock = lock_for_threads()


class Device(ABC):
    """A device and what was done with it so far (``counts``: launches, bytes moved each way, allocations)."""

    simulated = False
    name = ""
    index = 0  # of the GPU among those that the process sees
    multiprocessors = 1
    threads = 2048  # that a multiprocessor holds at once
    block = 256
    broad = 512  # threads of the blocks for long rows; as many as of others where there are no such blocks
    # Iterations of a loop that are as soon done by one block, which then does all loops of a kernel in one launch: a
    # launch takes longer than four of each thread's.
    little = 2048
    capability = (0, 0)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.compiling = 0.0  # seconds
        self.free: dict[int, list[Any]] = {}
        # Blocks that arrays have, by address. What only garbage in a cycle has, Python's collector takes as dead, with
        # all that numba-cuda would do then, before the array gives its block back.
        self.lent: dict[int, Any] = {}
        self._ticks = itertools.count(1)
        self.idle = 0  # what was given back before this tick nothing uses any more

    # ------------------------------------------------------------ memory
    def tick(self) -> int:
        """A number that grows from call to call, in any thread."""
        return next(self._ticks)

    def take(self, count: int, soon: bool = False) -> tuple[Any, int, int, int]:
        """A block of at least ``count`` bytes: it, its address and size, and the tick since which nobody has it.

        It was given back, or is new. Blocks have a few sizes only. ``soon``: it is written past the launches, so that
        of two blocks the one that is idle earlier is wanted.
        """
        size = _rounded(count)
        try:
            known = self.free[size]
            if not soon or len(known) > 1 or known[0][2] <= self.idle:
                block, pointer, since = known.pop(0 if soon else -1)
                self.lent[pointer] = block
                return block, pointer, size, since
        except (KeyError, IndexError):  # another thread may take the last one, or drop all
            pass
        self.counts["allocations"] += 1
        try:
            block = self.allocate(size)
        except Exception as error:
            self.drop()
            try:
                block = self.allocate(size)
            except Exception:
                why = f"{type(error).__name__}: {error}"
                raise DeviceError(f"{self.name}: no memory for {count:,} bytes ({why})") from None
        pointer = self.pointer(block)
        self.lent[pointer] = block
        return block, pointer, size, 0

    def give(self, block: Any, pointer: int, size: int) -> None:
        """Take a block back, for arrays to come. Launches run in order, so what still uses it comes first."""
        self.free.setdefault(size, []).append((block, pointer, self.tick()))
        self.lent.pop(pointer, None)

    def drop(self) -> None:
        """Give the memory that no array uses back to the driver."""
        self.free.clear()

    @abstractmethod
    def allocate(self, size: int) -> Any:
        """A block of new memory, of ``size`` bytes; raises whatever the driver does where there is none."""

    def typed(self, block: Any, pointer: int, dtype: Any, start: int, count: int) -> Any:
        """``count`` elements of a block, which is at ``pointer``, from byte ``start`` on."""
        return block[start : start + count * np.dtype(dtype).itemsize].view(dtype)

    def upload(self, target: Any, array: Any, since: int | None = None) -> None:
        """Copy an array of the host to the device, to memory that nothing has used since a tick, if one is given."""
        self.counts["bytes to the device"] += array.nbytes
        if since is not None and array.nbytes >= cuda_transfers.LARGE and self.transfers is not None:
            self.transfers.upload(target, array, since)
        else:
            self.write(target, array)

    def download(self, source: Any, target: Any = None) -> Any:
        """A copy on the host; ``target``, where it is given."""
        self.counts["bytes to the host"] += source.nbytes
        if source.nbytes >= cuda_transfers.LARGE and self.transfers is not None:
            found = np.empty(source.shape, source.dtype) if target is None else target
            self.transfers.download([(source, found)])
            return found
        tick = self.tick()
        found = self.read(source, target)
        self.idle = max(self.idle, tick)
        return found

    def upload_all(self, target: Any, arrays: Sequence[Any], places: Sequence[int]) -> None:
        """Copy small arrays of the host to places in ``target``, at once; they may change once this has returned."""
        self.counts["bytes to the device"] += sum([a.nbytes for a in arrays])
        near = self.near
        if near is not None:
            near.upload(target, arrays, places)
            return
        room = np.empty(target.nbytes, np.uint8)
        cuda_transfers.fill(room, 0, arrays, places)
        self.write(target, room)

    def download_all(self, sources: Sequence[Any]) -> list[Any]:
        """Copies of small vectors on the host, waiting for the device once."""
        near = self.near
        if near is None:
            return [self.download(source) for source in sources]
        self.counts["bytes to the host"] += sum([s.nbytes for s in sources])
        tick = self.tick()
        found = near.download(sources)
        self.idle = max(self.idle, tick)
        return found

    def download_parts(self, source: Any, parts: Sequence[Part]) -> list[Any]:
        """Copies on the host of small arrays in a vector of bytes."""
        self.counts["bytes to the host"] += source.nbytes
        near, tick = self.near, self.tick()
        found = near.download_parts(source, parts) if near is not None else taken(self.read(source), 0, parts)
        self.idle = max(self.idle, tick)
        return found

    @abstractmethod
    def write(self, target: Any, array: Any) -> None:
        """Copy an array of the host to the device; the array may change once this has returned."""

    @abstractmethod
    def read(self, source: Any, target: Any = None) -> Any:
        """A copy on the host, ``target`` where it is given, once all launches have run."""

    @cached_property
    def transfers(self) -> Transfers | None:
        """Copies that overlap, where there are streams for them."""
        return None

    @property
    def near(self) -> Near | None:
        """This thread's memory for copies of small arrays, where there is such a thing and it is not in use."""
        return None

    stream: Any = 0  # of launches

    @abstractmethod
    def copy(self, target: Any, source: Any) -> None:
        """Copy on the device."""

    @abstractmethod
    def clear(self, target: Any) -> None:
        """Zero every byte."""

    @abstractmethod
    def pointer(self, block: Any) -> int:
        """The address of a block."""

    @abstractmethod
    def wrapped(self, pointer: int, count: int, owner: Any) -> Any:
        """Memory of another library as a block."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all launches have run."""

    def enter(self) -> None:
        """Called once by each thread before anything else; raises DeviceError where the process cannot use it."""
        return

    def follow(self, stream: int) -> None:
        """What is launched from now on waits for what another library has on its ``stream`` by now."""
        return

    def lead(self, stream: int) -> None:
        """What another library puts on its ``stream`` from now on waits for what is launched by now."""
        return

    @cached_property
    def bandwidth(self) -> float | None:
        """Bytes per second that copies on the device read and write, measured once; None in the simulator."""
        if self.simulated:
            return None
        for size in (1 << 28, 1 << 24):
            try:
                return self._copied(size)
            except Exception:
                self.drop()  # too little memory
        return None

    def _copied(self, size: int) -> float:
        blocks = [self.typed(b, self.pointer(b), np.uint8, 0, size) for b in (self.allocate(size), self.allocate(size))]
        seconds = []
        for _ in range(6):
            self.synchronize()
            start = time.perf_counter()
            for _ in range(4):
                self.copy(*blocks)
            self.synchronize()
            seconds.append((time.perf_counter() - start) / 4)
        return 2 * size / min(seconds)

    # ------------------------------------------------------------ kernels
    @abstractmethod
    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool],
        threads: int = 0,
    ) -> Any:
        """The kernel ``entry`` of a source, to be launched with arguments of these dtypes.

        ``threads`` are those of its largest blocks, where these are larger than ``block``.
        """

    def argument(self, memory: Memory, dtype: np.dtype[Any], start: int, count: int) -> Any:
        """An array's elements (`DeviceArray.place`) as an argument of `launch`."""
        return memory.typed(dtype, start, count)

    def number(self, value: Any, dtype: str) -> Any:
        """A number of some dtype as an argument of `launch`."""
        return value

    @abstractmethod
    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        """Run a kernel; it need not have ended when this returns."""


def broad_on(capability: tuple[int, ...]) -> int:
    """Threads of the blocks for long rows: on older cards NVIDIA's assembler would spill registers of larger ones."""
    return Device.broad if capability >= (9, 0) else Device.block


def _rounded(count: int) -> int:
    """The size of blocks for ``count`` bytes: four sizes for each power of two, 512 bytes at least."""
    if count <= 512:
        return 512
    step = 1 << max((count - 1).bit_length() - 3, 9)
    return -(-count // step) * step


# ---------------------------------------------------------------- the simulator
class StreamingDevice(Device):
    """A device with streams, events and page-locked memory, for copies that overlap."""

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    @cached_property
    def transfers(self) -> Transfers | None:
        try:
            return Transfers(self)
        except Exception:  # whatever a driver says that has none of these: arrays are copied one after the other
            return None

    @property
    def near(self) -> Near | None:
        try:
            found: Near | None = self._of_thread.near
        except AttributeError:
            try:
                found = Near(self)
            except Exception:  # as above
                found = None
            self._of_thread.near = found
        return None if found is None or found.busy else found

    @abstractmethod
    def wait(self) -> None:
        """Wait until what is on the stream of launches has passed."""

    @abstractmethod
    def side_stream(self) -> Any:
        """A stream whose copies run beside launches."""

    @abstractmethod
    def event(self) -> Any:
        """An event, with ``record(stream)``, ``wait(stream)`` and ``synchronize()``."""

    @abstractmethod
    def pinned(self, size: int) -> Any:
        """Page-locked memory of the host, as uint8."""

    @abstractmethod
    def send(self, target: Any, array: Any, stream: Any) -> None:
        """Begin to copy page-locked memory to the device."""

    @abstractmethod
    def fetch(self, source: Any, array: Any, stream: Any) -> None:
        """Begin to copy from the device to page-locked memory."""


class SimulatedDevice(Device):
    """The simulator: kernels in plain Python, on memory of the host."""

    simulated = True
    name = "a simulator of CUDA in Python"
    multiprocessors = 2  # so few threads, each of Python's, that loops over blocks go round
    threads = 8
    block = 8
    broad = 16
    little = 0  # arrays of tests are little: they are to show what large ones meet
    capability = (9, 0)

    def allocate(self, size: int) -> Any:
        room = np.full(size + 256, 0xA5, np.uint8)  # what nobody has written shows
        start = -room.ctypes.data % 256  # as the driver gives it
        return room[start : start + size]

    def write(self, target: Any, array: Any) -> None:
        target[...] = array

    def read(self, source: Any, target: Any = None) -> Any:
        if target is None:
            return source.copy()
        target[...] = source
        return target

    def copy(self, target: Any, source: Any) -> None:
        target[...] = source

    def clear(self, target: Any) -> None:
        target.view(np.uint8)[...] = 0

    def pointer(self, block: Any) -> int:
        return int(block.ctypes.data)

    def synchronize(self) -> None:
        return None  # launches have run when they return

    def wrapped(self, pointer: int, count: int, owner: Any) -> Any:
        import ctypes

        return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(pointer))

    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool],
        threads: int = 0,
    ) -> Any:
        from fuse.codegen.simulated import kernel_of

        self.counts["compiled kernels"] += 1
        return kernel_of(text, entry, helpers, tuple(dtypes), tuple(arrays))

    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        self.counts["launches"] += 1
        with _lock:  # one block at a time, for all threads
            try:
                kernel(blocks, threads, arguments)
            except (IndexError, ValueError, OverflowError) as error:
                # As errors of a call these would send it to the CPU, and nobody would see what a GPU does here.
                raise AssertionError(f"a kernel does what it must not: {error}") from error


# ---------------------------------------------------------------- which one
def simulate() -> None:
    """Use the simulator in this process from now on. Raises DeviceError where CUDA is in use already."""
    import numba.core.config as settings

    if not settings.ENABLE_CUDASIM and "numba.cuda" in __import__("sys").modules:
        raise DeviceError("numba.cuda was imported before the simulator was asked for: set NUMBA_ENABLE_CUDASIM=1")
    settings.ENABLE_CUDASIM = 1


def current() -> Device:
    """The device that programs run on; raises DeviceError, which says what is missing, where there is none."""
    return getattr(_state, "device", None) or getattr(_state, "entered", None) or _entered()


def _entered() -> Device:
    found = _found()
    found.enter()
    _state.entered = found
    return found


def _found() -> Device:
    with _lock:  # one device, with one pool, for all threads
        return _made()


@cache
def _made() -> Device:
    import numba.core.config  # noqa: F401  (reads the environment)

    resolve("cuda")
    if is_simulated():
        return SimulatedDevice()
    from fuse.codegen.device_numba import NumbaDevice

    return NumbaDevice()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _state.__dict__.pop("entered", None))


@contextmanager
def working_on(chosen: Device) -> Iterator[Device]:
    """``chosen`` as the current device of this thread, inside a block."""
    before = getattr(_state, "device", None)
    _state.device = chosen
    try:
        yield chosen
    finally:
        _state.device = before


@contextmanager
def counted() -> Iterator[Callable[[], dict[str, int]]]:
    """What is done with the device inside a block: ``with counted() as seen: ...; seen()["launches"]``."""
    start = dict(current().counts)
    yield lambda: {k: n - start.get(k, 0) for k, n in current().counts.items() if n != start.get(k, 0)}
