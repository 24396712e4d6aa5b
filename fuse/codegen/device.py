"""The provider: everything that fuse asks of CUDA, through numba-cuda's kernel language, or of Numba's simulator.

Nothing else in fuse imports ``numba.cuda``, so another provider of the same kernel language takes this module's place.
The simulator runs kernels in plain Python, one Python thread for each of theirs: it checks what kernels compute, on
small arrays, where there is no GPU. It is used where NUMBA_ENABLE_CUDASIM is set, or `simulate` is called.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from fuse.codegen.device_math import numpy_of_device
from fuse.codegen.simulated import SCALARS
from fuse.devices import is_simulated, resolve
from fuse.errors import DeviceError

_state = threading.local()
_lock = threading.RLock()


class Device:
    """A device and what was done with it so far (``counts``: launches, bytes moved each way, allocations)."""

    simulated = False
    name = ""
    multiprocessors = 1
    threads = 2048  # that a multiprocessor holds at once
    block = 256
    capability = (0, 0)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.free: dict[int, list[Any]] = {}

    # ------------------------------------------------------------ memory
    def take(self, count: int) -> Any:
        """A block of at least ``count`` bytes: one that was given back, or a new one. Blocks have a few sizes only."""
        size = _rounded(count)
        kept = self.free.get(size)
        if kept:
            return kept.pop(), size
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

    def allocate(self, size: int) -> Any:
        raise NotImplementedError

    def typed(self, block: Any, dtype: str, start: int, count: int) -> Any:
        """``count`` elements of a block, from byte ``start`` on, as what kernels take."""
        raise NotImplementedError

    def upload(self, target: Any, array: Any) -> None:
        raise NotImplementedError

    def download(self, source: Any) -> Any:
        raise NotImplementedError

    def copy(self, target: Any, source: Any) -> None:
        raise NotImplementedError

    def clear(self, target: Any) -> None:
        """Zero every byte."""
        raise NotImplementedError

    def pointer(self, block: Any) -> int:
        raise NotImplementedError

    def wrapped(self, pointer: int, count: int, owner: Any) -> Any:
        """Memory of another library as a block."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until all launches have run."""

    # ------------------------------------------------------------ kernels
    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool]
    ) -> Any:
        """The kernel ``entry`` of a source, to be launched with arguments of these dtypes."""
        raise NotImplementedError

    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        raise NotImplementedError


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
        cuda = _cuda()
        try:
            device = cuda.get_current_device()
            self.capability = tuple(device.compute_capability)
            self.name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
            self.multiprocessors = int(device.MULTIPROCESSOR_COUNT)
            self.threads = int(device.MAX_THREADS_PER_MULTI_PROCESSOR)
        except Exception as error:
            raise DeviceError(f"there is no NVIDIA GPU that fuse can use: {_first_line(error)}") from None
        if self.capability < (7, 0):
            major, minor = self.capability
            raise DeviceError(f"{self.name} has compute capability {major}.{minor}: kernels need 7.0 or more")

    def allocate(self, size: int) -> Any:
        return _cuda().device_array(size, np.uint8)

    def typed(self, block: Any, dtype: str, start: int, count: int) -> Any:
        kind = np.dtype(dtype)
        return block[start : start + count * kind.itemsize].view(kind)

    def upload(self, target: Any, array: Any) -> None:
        self.counts["bytes to the device"] += array.nbytes
        target.copy_to_device(array)

    def download(self, source: Any) -> Any:
        self.counts["bytes to the host"] += source.nbytes
        return source.copy_to_host()

    def copy(self, target: Any, source: Any) -> None:
        target.copy_to_device(source)

    def clear(self, target: Any) -> None:
        from numba.cuda.cudadrv import driver

        driver.device_memset(target, 0, target.nbytes)

    def pointer(self, block: Any) -> int:
        return int(block.__cuda_array_interface__["data"][0])

    def wrapped(self, pointer: int, count: int, owner: Any) -> Any:
        interface = {"shape": (count,), "typestr": "|u1", "data": (pointer, False), "version": 3, "strides": None}
        return _cuda().as_cuda_array(SimpleNamespace(__cuda_array_interface__=interface, owner=owner))

    def synchronize(self) -> None:
        _cuda().synchronize()

    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool]
    ) -> Any:
        self.counts["compiled kernels"] += 1
        return _cuda().jit(signature(dtypes, arrays))(function_of(text, entry, helpers))

    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        self.counts["launches"] += 1
        kernel[blocks, threads](*arguments)


def signature(dtypes: Sequence[str], arrays: Sequence[bool]) -> tuple[Any, ...]:
    """The types of a kernel's arguments: contiguous vectors, and numbers."""
    from numba.core import types

    found = []
    for dtype, is_array in zip(dtypes, arrays, strict=True):
        kind = types.boolean if dtype == "bool" else getattr(types, dtype)
        found.append(kind[::1] if is_array else kind)
    return tuple(found)


def ptx(
    text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool],
    capability: tuple[int, int],
) -> str:
    """The PTX of a kernel for cards of a compute capability; no driver is needed."""
    cuda = _cuda()
    from numba.cuda import dispatcher

    asked = dispatcher.get_current_device
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A function of the device asks the driver for the capability that it is compiled for.
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        try:
            kernel, kinds = function_of(text, entry, helpers), signature(dtypes, arrays)
            found, _ = cuda.compile(kernel, kinds, cc=capability, device=False, abi="numba", output="ptx")
        finally:
            dispatcher.get_current_device = asked
    return str(found)


def function_of(text: str, entry: str, helpers: Mapping[str, Any]) -> Any:
    """The Python function of a source, in a scope with what kernels for numba-cuda use."""
    cuda = _cuda()
    from numba.core import types

    scope: dict[str, Any] = {"cuda": cuda, "math": math, "np": numpy_of_device()}
    scope |= {"device": cuda.jit(device=True), "exchange": _shuffle()}
    scope |= {name: getattr(types, name) for name in SCALARS}
    scope |= intrinsics()
    scope |= {name: device_function(helper) for name, helper in helpers.items()}
    exec(compile(text, f"<fuse {entry}>", "exec"), scope)
    return scope[entry]


@cache
def _shuffle() -> Any:
    cuda = _cuda()

    def exchange(value: Any, offset: Any) -> Any:
        return cuda.shfl_xor_sync(0xFFFFFFFF, value, offset)

    return cuda.jit(device=True)(exchange)


@cache
def intrinsics() -> dict[str, Any]:
    """What the functions of mathlib call besides ``math``, for numba-cuda."""
    cuda = _cuda()
    from numba.core import types
    from numba.cuda import libdevice

    def fma(x: Any, y: Any, z: Any) -> Any:
        return cuda.fma(x, y, z)

    def f2i(x: Any) -> Any:
        return libdevice.double_as_longlong(x)

    def i2f(x: Any) -> Any:
        return libdevice.longlong_as_double(x)

    def f2i32(x: Any) -> Any:
        return libdevice.float_as_int(x)

    def i2f32(x: Any) -> Any:
        return libdevice.int_as_float(x)

    def fabs(x: Any) -> Any:
        return abs(x)

    def copysign(x: Any, y: Any) -> Any:
        return math.copysign(x, y)

    def half(x: Any) -> Any:
        return types.float32(types.float16(x))

    found = {f.__name__: cuda.jit(device=True)(f) for f in (fma, f2i, i2f, f2i32, i2f32, fabs, copysign, half)}
    for count in (2, 4):
        found |= {f"load{count}": _loading(count), f"store{count}": _storing(count)}
    return found


def _vector(context: Any, builder: Any, array: Any, args: Sequence[Any], count: int) -> Any:
    """A pointer to ``count`` neighbouring elements."""
    from llvmlite import ir

    pointer = builder.gep(context.make_array(array)(context, builder, value=args[0]).data, [args[1]])
    return builder.bitcast(pointer, ir.PointerType(ir.VectorType(context.get_data_type(array.dtype), count)))


def _loading(count: int) -> Any:
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def load(typingctx: Any, array: Any, at: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            width = count * array.dtype.bitwidth // 8
            read = builder.load(_vector(context, builder, array, args, count), align=width)
            parts = [builder.extract_element(read, ir.Constant(ir.IntType(32), k)) for k in range(count)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(array.dtype, count)(array, types.int64), build

    return load


def _storing(count: int) -> Any:
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    def build_for(array: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.get_data_type(array.dtype)
            made = ir.Constant(ir.VectorType(kind, count), ir.Undefined)
            for k in range(count):
                value = context.cast(builder, args[2 + k], signature.args[2 + k], array.dtype)
                made = builder.insert_element(made, value, ir.Constant(ir.IntType(32), k))
            width = count * array.dtype.bitwidth // 8
            builder.store(made, _vector(context, builder, array, args, count), align=width)
            return context.get_dummy_value()

        return build

    if count == 2:

        @intrinsic
        def store(typingctx: Any, array: Any, at: Any, a: Any, b: Any) -> Any:
            return types.none(array, types.int64, a, b), build_for(array)

        return store

    @intrinsic
    def store4(typingctx: Any, array: Any, at: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        return types.none(array, types.int64, a, b, c, d), build_for(array)

    return store4


_device_functions: dict[Any, Any] = {}


def device_function(helper: Any) -> Any:
    """A helper of a kernel, and the functions that it calls, as functions of the device."""
    if not isinstance(helper, FunctionType):
        return helper
    known = _device_functions.get(helper)
    if known is None:
        cuda = _cuda()
        from numba.core import types

        scope = {name: numpy_of_device() if value is np else value for name, value in helper.__globals__.items()}
        names = helper.__code__.co_names
        scope |= {name: getattr(types, name) for name in names if name in SCALARS}
        scope |= {name: f for name, f in intrinsics().items() if name in names}
        for name in names:
            if name not in intrinsics() and isinstance(scope.get(name), FunctionType) and scope[name] is not helper:
                scope[name] = device_function(scope[name])
        function = FunctionType(helper.__code__, scope, helper.__name__, helper.__defaults__, helper.__closure__)
        known = _device_functions[helper] = cuda.jit(device=True)(function)
    return known


# ---------------------------------------------------------------- the simulator
class SimulatedDevice(Device):
    """Numba's simulator: kernels in Python threads, on memory of the host."""

    simulated = True
    name = "Numba's CUDA simulator"
    multiprocessors = 2  # so few threads, each of Python's, that loops over blocks go round
    threads = 8
    block = 8
    capability = (9, 0)

    def allocate(self, size: int) -> Any:
        return np.full(size, 0xA5, np.uint8)  # what nobody has written shows

    def typed(self, block: Any, dtype: str, start: int, count: int) -> Any:
        kind = np.dtype(dtype)
        return block[start : start + count * kind.itemsize].view(kind)

    def upload(self, target: Any, array: Any) -> None:
        self.counts["bytes to the device"] += array.nbytes
        target[...] = array

    def download(self, source: Any) -> Any:
        self.counts["bytes to the host"] += source.nbytes
        return source.copy()

    def copy(self, target: Any, source: Any) -> None:
        target[...] = source

    def clear(self, target: Any) -> None:
        target.view(np.uint8)[...] = 0

    def pointer(self, block: Any) -> int:
        return int(block.ctypes.data)

    def wrapped(self, pointer: int, count: int, owner: Any) -> Any:
        import ctypes

        return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(pointer))

    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool]
    ) -> Any:
        from fuse.codegen.simulated import kernel_of

        self.counts["compiled kernels"] += 1
        return kernel_of(_cuda(), text, entry, helpers, tuple(dtypes), tuple(arrays))

    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        self.counts["launches"] += 1
        with _lock:  # one block at a time, for all threads
            kernel(blocks, threads, arguments)


# ---------------------------------------------------------------- which one
def simulate() -> None:
    """Use the simulator in this process from now on. Raises DeviceError where CUDA is in use already."""
    import numba.core.config as settings

    if not settings.ENABLE_CUDASIM and "numba.cuda" in __import__("sys").modules:
        raise DeviceError("numba.cuda was imported before the simulator was asked for: set NUMBA_ENABLE_CUDASIM=1")
    settings.ENABLE_CUDASIM = 1


@cache
def _cuda() -> Any:
    """The module ``numba.cuda``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from numba import cuda
        except Exception as error:
            raise DeviceError(f"numba.cuda cannot be used: {_first_line(error)}; pip install 'fuse[cuda]'") from None
    return cuda


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


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def counted() -> Iterator[Callable[[], dict[str, int]]]:
    """What is done with the device inside a block: ``with counted() as seen: ...; seen()["launches"]``."""
    start = dict(current().counts)
    yield lambda: {k: n - start.get(k, 0) for k, n in current().counts.items() if n != start.get(k, 0)}
