"""The device of numba-cuda: memory, copies and launches on the legacy default stream, which all threads share.

Launches go past numba-cuda's dispatcher, which takes longer than a small kernel runs, straight to ``cuda.core`` with
the arguments that numba-cuda itself would hand on. Whether they are the same is looked at once; where they are not, or
something is not there that this knows of, launches take the dispatcher's way.
"""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.device import StreamingDevice, broad_on
from fuse.codegen.device_code import compiled, first_line, function_of, numba_cuda, signature
from fuse.codegen.device_memory import Driver, Span, driver_of
from fuse.devices import LEAST, too_old
from fuse.errors import DeviceError

if TYPE_CHECKING:
    from fuse.codegen.cuda_array import Memory
    from fuse.codegen.cuda_transfers import Near

LEGACY = 1  # the legacy default stream, by CUDA's name for it
# Threads that a multiprocessor holds: CUDA's own name, and that of numba-cuda where it has its own binding.
_THREADS = "MAX_THREADS_PER_MULTIPROCESSOR", "MAX_THREADS_PER_MULTI_PROCESSOR"
KINDS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
         "bool", "complex64", "complex128")  # fmt: skip


class NumbaDevice(StreamingDevice):
    """The current device of numba-cuda."""

    def __init__(self) -> None:
        super().__init__()
        cuda = numba_cuda()
        try:
            device = cuda.get_current_device()
            self.capability = tuple(device.compute_capability)
            self.broad = broad_on(self.capability)
            self.index = int(device.id)
            self.name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
            self.multiprocessors = int(device.MULTIPROCESSOR_COUNT)
            self.threads = _attribute(device, *_THREADS)
            # 0 is the stream of the thread where the user asks for that; blocks of memory are shared by all threads.
            self.stream = cuda.legacy_default_stream() if _per_thread() else 0
        except Exception as error:
            raise DeviceError(f"there is no NVIDIA GPU that fuse can use: {first_line(error)}") from None
        if self.capability < LEAST:
            raise DeviceError(f"{self.name} {too_old(self.capability)}")
        self.process = os.getpid()
        self.direct: Direct | None = None  # how kernels are launched; None: by numba-cuda's dispatcher
        self._asked = False
        self._driver: Driver | None = None  # how small arrays are copied; None: by numba-cuda
        self._tried = False

    def enter(self) -> None:
        """Make the device's context that of this thread: the driver has one for each. Raises DeviceError in a fork."""
        if os.getpid() != self.process:
            raise DeviceError(
                "this process was forked from one that uses the GPU, and CUDA does not survive that: start processes "
                "by multiprocessing's 'spawn' or 'forkserver', or use the GPU first in the forked one"
            )
        numba_cuda().current_context()

    # ------------------------------------------------------------ memory
    def allocate(self, size: int) -> Any:
        return numba_cuda().device_array(size, np.uint8)

    @property
    def driver(self) -> Driver | None:
        """Copies straight by the driver; None where it is asked for in a way that fuse does not know."""
        if not self._tried:
            self._driver, self._tried = driver_of(LEGACY if self.stream else 0, self._copies), True
        return self._driver

    def _copies(self, driver: Driver) -> bool:
        """Whether copies by the driver are those of numba-cuda."""
        block = self.allocate(512)
        whole = self.typed(block, self.pointer(block), np.uint8, 0, 512)
        given, found = np.arange(512, dtype=np.uint8), np.zeros(256, np.uint8)
        driver.write(whole, given)
        driver.copy(whole[256:512], whole[:256])
        driver.clear(whole[:100])
        driver.read(whole[256:512], found)
        want = np.concatenate([np.zeros(100, np.uint8), given[100:256], given[:256]])
        return bool((found == given[:256]).all() and (block.copy_to_host() == want).all())

    def typed(self, block: Any, pointer: int, dtype: Any, start: int, count: int) -> Any:
        return Span(block, pointer, start, np.dtype(dtype), count)

    def write(self, target: Any, array: Any) -> None:
        if self.driver is not None and array.flags.c_contiguous:
            self.driver.write(target, array)
            return
        target.array.copy_to_device(array, stream=self.stream)
        if self.stream:  # copies on a stream that is named may read the array later
            self.stream.synchronize()

    def read(self, source: Any, target: Any = None) -> Any:
        if self.driver is not None and (target is None or target.flags.c_contiguous):
            found = np.empty(source.shape, source.dtype) if target is None else target
            self.driver.read(source, found)
            return found
        found = source.array.copy_to_host(target, stream=self.stream)
        if self.stream:
            self.stream.synchronize()
        return found

    def copy(self, target: Any, source: Any) -> None:
        if self.driver is not None:
            self.driver.copy(target, source)
        else:
            target.array.copy_to_device(source.array, stream=self.stream)

    def clear(self, target: Any) -> None:
        if self.driver is not None:
            self.driver.clear(target)
            return
        from numba.cuda.cudadrv import driver

        driver.device_memset(target.array, 0, target.nbytes, stream=self.stream)

    def drop(self) -> None:
        super().drop()
        context = numba_cuda().current_context()
        for owner in (context, getattr(context, "memory_manager", None)):  # which free blocks in batches
            pending: Any = getattr(owner, "deallocations", None)
            with suppress(AttributeError, IndexError):  # another thread may clear them, too
                pending.clear()

    def pointer(self, block: Any) -> int:
        return int(block.__cuda_array_interface__["data"][0])

    def wrapped(self, pointer: int, count: int, owner: Any) -> Any:
        interface = {"shape": (count,), "typestr": "|u1", "data": (pointer, False), "version": 3, "strides": None}
        return numba_cuda().as_cuda_array(SimpleNamespace(__cuda_array_interface__=interface, owner=owner))

    def synchronize(self) -> None:
        numba_cuda().synchronize()

    @property
    def near(self) -> Near | None:
        return super().near if self.driver is not None else None  # numba-cuda's own copies take longer than it saves

    def wait(self) -> None:
        if self.driver is not None:
            self.driver.wait()
        else:
            self.synchronize()

    # ------------------------------------------------------------ streams
    def side_stream(self) -> Any:
        from cuda.core import Device as Core

        core = Core(numba_cuda().get_current_device().id)
        core.set_current()
        return core.create_stream()  # one that does not wait for the default stream, as numba-cuda's do

    def event(self) -> Any:
        return numba_cuda().event(timing=False)

    def pinned(self, size: int) -> Any:
        return numba_cuda().pinned_array(size, np.uint8)

    def send(self, target: Any, array: Any, stream: Any) -> None:
        if stream is self.stream and self.driver is not None:
            self.driver.send(target, array)
            return
        target.array.copy_to_device(array, stream=stream)

    def fetch(self, source: Any, array: Any, stream: Any) -> None:
        if stream is self.stream and self.driver is not None:
            self.driver.fetch(source, array)
            return
        from numba.cuda.cudadrv import driver

        # numba-cuda takes the stream 0 for a copy that is waited for
        driver.device_to_host(array, source.array, source.nbytes, stream=stream or numba_cuda().legacy_default_stream())

    def follow(self, stream: int) -> None:
        if stream != LEGACY:
            event = numba_cuda().event(timing=False)
            event.record(numba_cuda().external_stream(stream))
            event.wait(self.stream)

    def lead(self, stream: int) -> None:
        if stream != LEGACY:
            event = numba_cuda().event(timing=False)
            event.record(self.stream)
            event.wait(numba_cuda().external_stream(stream))

    # ------------------------------------------------------------ kernels
    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool],
        threads: int = 0,
    ) -> Any:
        self.counts["compiled kernels"] += 1
        try:
            kernel = compiled(function_of(text, entry, helpers), signature(dtypes, arrays), threads)
        except Exception as error:
            raise DeviceError(
                f"a kernel cannot be compiled or loaded for {self.name}: {type(error).__name__}: {first_line(error)}. "
                f"{_versions()}"
            ) from error
        if not self._asked:
            self.direct, self._asked = direct(kernel), True
        return Loaded(kernel, self.direct, self.stream)

    def argument(self, memory: Memory, dtype: np.dtype[Any], start: int, count: int) -> Any:
        if self.direct is None:
            return memory.typed(dtype, start, count).array
        return pointed(memory.pointer + start, count, dtype.itemsize)

    def number(self, value: Any, dtype: str) -> Any:
        return value if self.direct is None else NUMBERS[dtype](value)

    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        self.counts["launches"] += 1
        try:
            kernel(blocks, threads, arguments)
        except (IndexError, ValueError, OverflowError) as error:
            # As errors of a call these would send it to the CPU, and nobody would see it.
            raise DeviceError(f"a launch of {blocks} blocks of {threads} threads fails: {first_line(error)}") from error


def _attribute(device: Any, *names: str) -> int:
    """The attribute of a device that has one of these names."""
    for name in names[:-1]:
        with suppress(AttributeError):
            return int(getattr(device, name))
    return int(getattr(device, names[-1]))


def _versions() -> str:
    """What takes part in compiling, for errors: a linker older than the compiler, or a driver than both, is no use."""
    found = []
    for name in ("numba-cuda", "cuda-core", "cuda-bindings", "nvidia-nvvm", "nvidia-nvjitlink", "numpy"):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    with suppress(Exception):
        found.append("driver for CUDA {}.{}".format(*numba_cuda().cudadrv.driver.get_version()))
    return f"Here are {', '.join(found)}"


def _per_thread() -> bool:
    """Whether the default stream is each thread's own: numba-cuda's setting, or that of the bindings it uses."""
    if os.environ.get("CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM", "0").strip() not in ("", "0"):
        return True
    try:
        from numba.cuda.core import config
    except ImportError:
        from numba.core import config
    return bool(getattr(config, "CUDA_PER_THREAD_DEFAULT_STREAM", 0))


# ---------------------------------------------------------------- arguments, as numba-cuda hands them on
def pointed(address: int, count: int, width: int) -> tuple[int, ...]:
    """A vector of ``count`` elements: no owners, its size, bytes of an element, address, shape and strides."""
    return (0, 0, count, width, address, count, width)


def _complex(part: Any) -> Callable[[Any], tuple[Any, Any]]:
    return lambda value: (part(value.real), part(value.imag))


NUMBERS: dict[str, Callable[[Any], Any]] = {name: getattr(ctypes, f"c_{name}") for name in KINDS[:8]} | {
    "float16": lambda value: ctypes.c_uint16(int(np.float16(value).view(np.uint16))),
    "float32": ctypes.c_float, "float64": ctypes.c_double, "bool": bool,
    "complex64": _complex(ctypes.c_float), "complex128": _complex(ctypes.c_double),
}  # fmt: skip


def flat(arguments: Sequence[Any]) -> list[Any]:
    """Arguments one by one: those of arrays and complex numbers are tuples."""
    found: list[Any] = []
    for argument in arguments:
        if type(argument) is tuple:
            found += argument
        else:
            found.append(argument)
    return found


def agrees(prepare: Callable[[Any, Any, Any, list[Any], list[Any]], None], array: Any) -> bool:
    """Whether numba-cuda (``_Kernel._prepare_args``) makes the same of a vector on the device and of numbers."""
    from numba.core import types

    theirs: list[Any] = []
    prepare(types.float64[::1], array, 0, [], theirs)
    ours = flat([pointed(int(array.__cuda_array_interface__["data"][0]), array.size, 8)])
    for name in KINDS:
        value = np.asarray(True if name == "bool" else 3).astype(name)[()]
        prepare(types.boolean if name == "bool" else getattr(types, name), value, 0, [], theirs)
        ours += flat([NUMBERS[name](value)])
    return [_seen(a) for a in theirs] == [_seen(a) for a in ours]


def _seen(argument: Any) -> tuple[int, Any]:
    """Bytes and value of an argument."""
    if isinstance(argument, ctypes._SimpleCData):
        return ctypes.sizeof(argument), argument.value
    return (1, bool(argument)) if isinstance(argument, (bool, np.bool_)) else (8, int(argument))


# ---------------------------------------------------------------- launches
class Direct:
    """What ``cuda.core`` launches with: its function, configurations made once, and the stream."""

    def __init__(self, launch: Any, config: Any, stream: Any) -> None:
        self.launch, self.config, self.stream = launch, config, stream
        self.configured: dict[tuple[tuple[int, int], int], Any] = {}

    def configuration(self, blocks: tuple[int, int], threads: int) -> Any:
        found = self.configured.get((blocks, threads))
        if found is None:
            if len(self.configured) >= 1024:
                self.configured.clear()
            found = self.configured[blocks, threads] = self.config(grid=(*blocks, 1), block=(threads, 1, 1))
        return found


def direct(kernel: Any) -> Direct | None:
    """How to launch kernels such as this one without numba-cuda's dispatcher; None where that is not known."""
    try:
        from cuda.core import LEGACY_DEFAULT_STREAM, LaunchConfig, launch

        prepare = next(iter(kernel.overloads.values()))._prepare_args
        _function(kernel)
        if not agrees(prepare, numba_cuda().device_array(3, np.float64)):
            return None
        return Direct(launch, LaunchConfig, LEGACY_DEFAULT_STREAM)
    except Exception:
        return None


def _function(kernel: Any) -> Any:
    """The kernel as ``cuda.core`` knows it."""
    return next(iter(kernel.overloads.values()))._codelibrary.get_cufunc().kernel


class Loaded:
    """A kernel on the device: called with blocks, threads and arguments, it is launched."""

    def __init__(self, kernel: Any, how: Direct | None, stream: Any) -> None:
        self.kernel, self.how, self.stream = kernel, how, stream
        self.function = _function(kernel) if how is not None else None
        self.configured = threading.local()  # a configuration of numba-cuda keeps the arguments of its call

    def __call__(self, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        how = self.how
        if how is not None:
            how.launch(how.stream, how.configuration(blocks, threads), self.function, *flat(arguments))
            return
        known: dict[Any, Any] = self.configured.__dict__
        found = known.get((blocks, threads))
        if found is None:
            with warnings.catch_warnings():  # of few blocks, which small arrays have
                warnings.simplefilter("ignore")
                found = known[blocks, threads] = self.kernel[blocks, threads, self.stream]
        found(*arguments)


__all__ = ["NumbaDevice"]
