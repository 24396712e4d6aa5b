"""The kernel language of the provider (`device.py`): generated source as functions for numba-cuda.

Kernels name ``cuda``, ``math``, ``np``, the types of numbers, and what stands here: intrinsics, loads and stores of
several elements, the exchange of values within a warp.
"""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from fuse.codegen.device_math import numpy_of_device
from fuse.codegen.simulated import SCALARS
from fuse.errors import DeviceError
from fuse.forks import lock_for_threads

_lock = lock_for_threads()


@cache
def numba_cuda() -> Any:
    """The module ``numba.cuda``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _older_names():
                from numba import cuda

                with suppress(ModuleNotFoundError):  # it would be imported when the first kernel is compiled
                    from numba.cuda.np import arrayobj  # noqa: F401
        except Exception as error:
            raise DeviceError(f"numba.cuda cannot be used: {first_line(error)}; pip install 'fuse[cuda]'") from None
    return cuda


@contextmanager
def _older_names() -> Iterator[None]:
    """Names that numba-cuda 0.30's modules take from NumPy when they are imported; NumPy 2.5 has them no more."""
    given = [] if hasattr(np, "row_stack") else ["row_stack"]
    for name in given:
        setattr(np, name, np.vstack)
    try:
        yield
    finally:
        for name in given:
            delattr(np, name)


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def signature(dtypes: Sequence[str], arrays: Sequence[bool]) -> tuple[Any, ...]:
    """The types of a kernel's arguments: contiguous vectors, and numbers."""
    from numba.core import types

    found = []
    for dtype, is_array in zip(dtypes, arrays, strict=True):
        kind = types.boolean if dtype == "bool" else getattr(types, dtype)
        found.append(kind[::1] if is_array else kind)
    return tuple(found)


# Without a rounding of its own, an instruction may become part of another one when machine code is made.
UNROUNDED = re.compile(r"\b(?:mul|add|sub)(?:\.ftz|\.sat)*\.f(?:16|32|64)\b")
_warned: list[str] = []


@contextmanager
def rounding_each() -> Iterator[None]:
    """What is compiled inside rounds products and sums one by one, as the CPU does.

    NVVM would make a * b + c one operation, so that a * b - c * d is not zero where both products are the same; where
    it is asked for by name (``fma``), it stays. numba-cuda hands this option on, but has none of its own for it, so
    the function that calls NVVM is replaced. Whether that helped, what comes of it tells; where not, a warning does.
    """
    from numba.cuda.cudadrv import nvvm

    if getattr(nvvm, "compile_ir", None) is None:
        _not_each("calls NVVM in a way that fuse does not know")
        with _lock:  # `ptx` replaces a function inside, too
            yield
        return
    made: list[str] = []

    compile_ir: Any = None

    def each(ir: Any, **options: Any) -> Any:
        found = compile_ir(ir, **{**options, "fma": False})
        # What is left to the linker it makes as it likes: nvJitLink passes the option to nobody.
        made.append("add.f32" if "gen-lto" in options else bytes(found).decode(errors="replace"))
        return found

    with _lock:
        compile_ir = nvvm.compile_ir  # not what another thread has put there meanwhile
        nvvm.compile_ir = each
        try:
            yield
        finally:
            nvvm.compile_ir = compile_ir
    if not made:
        _not_each("calls NVVM in a way that fuse does not know")
    elif any(map(UNROUNDED.search, made)):
        _not_each("does not pass on that each operation is to be rounded")


def _not_each(why: str) -> None:
    """Warn, once in a process."""
    if not _warned:
        text = (
            f"numba-cuda {_version()} {why}: a * b + c may be rounded once on the GPU instead of twice, and last "
            "digits may differ from those on the CPU; with numba-cuda 0.30 they do not"
        )
        _warned.append(text)
        warnings.warn(text, stacklevel=4)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("numba-cuda")
    except metadata.PackageNotFoundError:
        return "(of Numba itself)"


def compiled(kernel: Any, kinds: tuple[Any, ...], threads: int = 0) -> Any:
    """A function as a kernel for the current device, by way of PTX: nvJitLink does not round each (`rounding_each`).

    ``threads`` are those of its largest blocks, whose registers must be enough for all; 0 where that is no matter.
    """
    jit = numba_cuda().jit
    options: dict[str, Any] = {"lto": False} if "lto" in inspect.signature(jit).parameters else {}
    options |= {"launch_bounds": threads} if threads else {}
    with rounding_each():
        return jit(kinds, **options)(kernel)


def ptx(
    text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool],
    capability: tuple[int, int], threads: int = 0,
) -> str:
    """The PTX of a kernel for cards of a compute capability; no driver is needed."""
    cuda = numba_cuda()
    from numba.cuda import dispatcher

    asked = dispatcher.get_current_device
    with rounding_each(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A function of the device asks the driver for the capability that it is compiled for.
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        try:
            kernel, kinds = function_of(text, entry, helpers), signature(dtypes, arrays)
            options = {"launch_bounds": threads} if threads else {}
            found, _ = cuda.compile(kernel, kinds, cc=capability, device=False, abi="numba", output="ptx", **options)
        finally:
            dispatcher.get_current_device = asked
    return str(found)


def function_of(text: str, entry: str, helpers: Mapping[str, Any]) -> Any:
    """The Python function of a source, in a scope with what kernels for numba-cuda use."""
    cuda = numba_cuda()
    from numba.core import types

    # Numba counts negative places from the end, which takes three instructions each time: there are none.
    scope: dict[str, Any] = {"cuda": cuda, "math": math, "np": numpy_of_device(), "unsigned": types.uint64}
    scope |= {"device": cuda.jit(device=True), "exchange": _shuffle()}
    scope |= {name: getattr(types, name) for name in SCALARS}
    scope |= intrinsics()
    scope |= {name: device_function(helper) for name, helper in helpers.items()}
    exec(compile(text, f"<fuse {entry}>", "exec"), scope)
    return scope[entry]


@cache
def _shuffle() -> Any:
    cuda = numba_cuda()

    def exchange(value: Any, offset: Any) -> Any:
        return cuda.shfl_xor_sync(0xFFFFFFFF, value, offset)

    return cuda.jit(device=True)(exchange)


@cache
def intrinsics() -> dict[str, Any]:
    """What the functions of mathlib call besides ``math``, for numba-cuda."""
    cuda = numba_cuda()
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
    for count in (2, 4, 8):
        found |= {f"load{count}": _loading(count), f"store{count}": _storing(count)}
    return found


class _Vector:
    """``count`` neighbouring elements of an array at a place: how they are read and written with one instruction."""

    def __init__(self, context: Any, builder: Any, array: Any, args: Sequence[Any], count: int) -> None:
        from llvmlite import ir

        self.ir, self.builder = ir, builder
        self.kind = ir.VectorType(context.get_data_type(array.dtype), count)
        self.width = count * array.dtype.bitwidth // 8
        self.words = self.width // 4 if array.dtype.bitwidth < 32 and self.width >= 8 else 0
        self.pointer = builder.gep(context.make_array(array)(context, builder, value=args[0]).data, [args[1]])

    def read(self) -> Any:
        if not self.words:
            return self.builder.load(self.builder.bitcast(self.pointer, self.kind.as_pointer()), align=self.width)
        names = ", ".join([f"${k}" for k in range(self.words)])
        text, word = f"ld.global.v{self.words}.b32 {{{names}}}, [${self.words}];", self.ir.IntType(32)
        made = self.ir.LiteralStructType([word] * self.words)
        found = self.assembled(text, made, ["=r"] * self.words + ["l"], [])
        whole = self.ir.Constant(self.ir.VectorType(word, self.words), self.ir.Undefined)
        for k in range(self.words):
            whole = self.builder.insert_element(whole, self.builder.extract_value(found, k), self.place(k))
        return self.builder.bitcast(whole, self.kind)

    def write(self, value: Any) -> None:
        if not self.words:
            pointer = self.builder.bitcast(self.pointer, self.kind.as_pointer())
            self.builder.store(value, pointer, align=self.width)
            return
        names = ", ".join([f"${k + 1}" for k in range(self.words)])
        text, word = f"st.global.v{self.words}.b32 [$0], {{{names}}};", self.ir.IntType(32)
        whole = self.builder.bitcast(value, self.ir.VectorType(word, self.words))
        parts = [self.builder.extract_element(whole, self.place(k)) for k in range(self.words)]
        self.assembled(text, self.ir.VoidType(), ["l"] + ["r"] * self.words, parts)

    def assembled(self, text: str, made: Any, constraints: Sequence[str], values: Sequence[Any]) -> Any:
        """An instruction in PTX itself: of short elements NVVM would move four at most, as often as it takes."""
        there = self.pointer.type.pointee.as_pointer(1)  # in global memory
        pointer = self.builder.addrspacecast(self.pointer, there)
        kinds = [there, *[v.type for v in values]]
        asked = ",".join([*constraints, "~{memory}"])
        code = self.ir.InlineAsm(self.ir.FunctionType(made, kinds), text, asked, side_effect=True)
        return self.builder.call(code, [pointer, *values])

    def place(self, k: int) -> Any:
        return self.ir.Constant(self.ir.IntType(32), k)


def _loading(count: int) -> Any:
    from numba.core import types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def load(typingctx: Any, array: Any, at: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vector = _Vector(context, builder, array, args, count)
            read = vector.read()
            parts = [builder.extract_element(read, vector.place(k)) for k in range(count)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(array.dtype, count)(array, types.int64), build

    return load


def _storing(count: int) -> Any:
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    def build_for(array: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vector = _Vector(context, builder, array, args, count)
            made = ir.Constant(vector.kind, ir.Undefined)
            for k in range(count):
                value = context.cast(builder, args[2 + k], signature.args[2 + k], array.dtype)
                made = builder.insert_element(made, value, vector.place(k))
            vector.write(made)
            return context.get_dummy_value()

        return build

    if count == 2:

        @intrinsic
        def store(typingctx: Any, array: Any, at: Any, a: Any, b: Any) -> Any:
            return types.none(array, types.int64, a, b), build_for(array)

        return store

    if count == 4:

        @intrinsic
        def store4(typingctx: Any, array: Any, at: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
            return types.none(array, types.int64, a, b, c, d), build_for(array)

        return store4

    @intrinsic
    def store8(
        typingctx: Any, array: Any, at: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any
    ) -> Any:
        return types.none(array, types.int64, a, b, c, d, e, f, g, h), build_for(array)

    return store8


_device_functions: dict[Any, Any] = {}


def device_function(helper: Any) -> Any:
    """A helper of a kernel, and the functions that it calls, as functions of the device."""
    if not isinstance(helper, FunctionType):
        return helper
    known = _device_functions.get(helper)
    if known is None:
        cuda = numba_cuda()
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
