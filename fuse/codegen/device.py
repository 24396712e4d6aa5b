"""The provider: everything that fuse asks of CUDA, through numba-cuda's kernel language, or of a simulator.

Nothing else in fuse imports ``numba.cuda``, but for `device_code.py` and `device_math.py`, which belong to it, so
another provider of the same kernel language takes their place.

The simulator runs kernels in plain Python, where the threads of a block take turns (`turns.py`): it checks what
kernels compute, on small arrays, where there is no GPU. It is used where NUMBA_ENABLE_CUDASIM is set, or `simulate` is
called.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from fuse.codegen.device_code import compiled, first_line, function_of, numba_cuda, signature
from fuse.devices import is_simulated, resolve
from fuse.errors import DeviceError

_state = threading.local()
_lock = threading.RLock()


class Device(ABC):
    """A device and what was done with it so far (``counts``: launches, bytes moved each way, allocations)."""

    simulated = False
    name = ""
    multiprocessors = 1
    threads = 2048  # that a multiprocessor holds at once
    block = 256
    capability = (0, 0)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.compiling = 0.0  # seconds
        self.free: dict[int, list[Any]] = {}

    # ------------------------------------------------------------ memory
    def take(self, count: int) -> Any:
        """A block of at least ``count`` bytes: one that was given back, or a new one. Blocks have a few sizes only."""
        size = _rounded(count)
        with suppress(KeyError, IndexError):  # another thread may take the last one, or drop all
            return self.free[size].pop(), size
        self.counts["allocations"] += 1
        try:
            return self.allocate(size), size
        except Exception as error:
            self.drop()
            try:
                return self.allocate(size), size
            except Exception:
                why = f"{type(error).__name__}: {error}"
                raise DeviceError(f"{self.name}: no memory for {count:,} bytes ({why})") from None

    def give(self, block: Any, size: int) -> None:
        """Take a block back, for arrays to come. Launches run in order, so what still uses it comes first."""
        self.free.setdefault(size, []).append(block)

    def drop(self) -> None:
        """Give the memory that no array uses back to the driver."""
        self.free.clear()

    @abstractmethod
    def allocate(self, size: int) -> Any:
        """A block of new memory, of ``size`` bytes; raises whatever the driver does where there is none."""

    def typed(self, block: Any, dtype: str, start: int, count: int) -> Any:
        """``count`` elements of a block, from byte ``start`` on, as what kernels take."""
        kind = np.dtype(dtype)
        return block[start : start + count * kind.itemsize].view(kind)

    @abstractmethod
    def upload(self, target: Any, array: Any) -> None:
        """Copy an array of the host to the device."""

    @abstractmethod
    def download(self, source: Any, target: Any = None) -> Any:
        """A copy on the host; ``target``, where it is given."""

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
        blocks = self.allocate(size), self.allocate(size)
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
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool]
    ) -> Any:
        """The kernel ``entry`` of a source, to be launched with arguments of these dtypes."""

    @abstractmethod
    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        """Run a kernel; it need not have ended when this returns."""


def _rounded(count: int) -> int:
    """The size of blocks for ``count`` bytes: four sizes for each power of two, 512 bytes at least."""
    if count <= 512:
        return 512
    step = 1 << max((count - 1).bit_length() - 3, 9)
    return -(-count // step) * step


# ---------------------------------------------------------------- numba-cuda
class NumbaDevice(Device):
    """The current device of numba-cuda."""

    def __init__(self) -> None:
        super().__init__()
        cuda = numba_cuda()
        try:
            device = cuda.get_current_device()
            self.capability = tuple(device.compute_capability)
            self.name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
            self.multiprocessors = int(device.MULTIPROCESSOR_COUNT)
            self.threads = int(device.MAX_THREADS_PER_MULTI_PROCESSOR)
        except Exception as error:
            raise DeviceError(f"there is no NVIDIA GPU that fuse can use: {first_line(error)}") from None
        if self.capability < (7, 0):
            major, minor = self.capability
            raise DeviceError(f"{self.name} has compute capability {major}.{minor}: kernels need 7.0 or more")

    def allocate(self, size: int) -> Any:
        return numba_cuda().device_array(size, np.uint8)

    def upload(self, target: Any, array: Any) -> None:
        self.counts["bytes to the device"] += array.nbytes
        target.copy_to_device(array)

    def download(self, source: Any, target: Any = None) -> Any:
        self.counts["bytes to the host"] += source.nbytes
        return source.copy_to_host(target)

    def copy(self, target: Any, source: Any) -> None:
        target.copy_to_device(source)

    def clear(self, target: Any) -> None:
        from numba.cuda.cudadrv import driver

        driver.device_memset(target, 0, target.nbytes)

    def pointer(self, block: Any) -> int:
        return int(block.__cuda_array_interface__["data"][0])

    def wrapped(self, pointer: int, count: int, owner: Any) -> Any:
        interface = {"shape": (count,), "typestr": "|u1", "data": (pointer, False), "version": 3, "strides": None}
        return numba_cuda().as_cuda_array(SimpleNamespace(__cuda_array_interface__=interface, owner=owner))

    def synchronize(self) -> None:
        numba_cuda().synchronize()

    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool]
    ) -> Any:
        self.counts["compiled kernels"] += 1
        return compiled(function_of(text, entry, helpers), signature(dtypes, arrays))

    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        self.counts["launches"] += 1
        kernel[blocks, threads](*arguments)


# ---------------------------------------------------------------- the simulator
class SimulatedDevice(Device):
    """The simulator: kernels in plain Python, on memory of the host."""

    simulated = True
    name = "a simulator of CUDA in Python"
    multiprocessors = 2  # so few threads, each of Python's, that loops over blocks go round
    threads = 8
    block = 8
    capability = (9, 0)

    def allocate(self, size: int) -> Any:
        room = np.full(size + 256, 0xA5, np.uint8)  # what nobody has written shows
        start = -room.ctypes.data % 256  # as the driver gives it
        return room[start : start + size]

    def upload(self, target: Any, array: Any) -> None:
        self.counts["bytes to the device"] += array.nbytes
        target[...] = array

    def download(self, source: Any, target: Any = None) -> Any:
        self.counts["bytes to the host"] += source.nbytes
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
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool]
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
    return getattr(_state, "device", None) or _found()


@cache
def _found() -> Device:
    import numba.core.config  # noqa: F401  (reads the environment)

    resolve("cuda")
    return SimulatedDevice() if is_simulated() else NumbaDevice()


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
