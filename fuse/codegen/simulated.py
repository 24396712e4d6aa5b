"""Kernels for the simulator: the same source, with NumPy's arithmetic under the names of the device's.

Python's own functions would not do: ``math.log(0.0)`` raises, and ``math.exp`` of a float32 is a float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from fuse.codegen.turns import Cuda, run

SCALARS = (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()
)
_SIZE = 1024


def _cast(dtype: str) -> Any:
    """A dtype as a cast, wrapping around as C does, and as what memory is made of."""
    kind = np.dtype(dtype)

    class Cast:
        numpy = kind

        def __new__(cls, value: Any) -> Any:
            with np.errstate(all="ignore"):
                if isinstance(value, int) and kind.kind in "iu":
                    return np.array(value & (2 ** (8 * kind.itemsize) - 1), f"u{kind.itemsize}").view(kind)[()]
                return np.asarray(value).astype(kind)[()]

    return Cast


@cache
def _namespace() -> dict[str, Any]:
    """Free names of kernels, but for ``cuda`` and what it is needed for."""
    from scipy import special

    def kept(function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` of NumPy's scalars, in their dtype."""

        def call(*args: Any) -> Any:
            with np.errstate(all="ignore"):
                found = [np.asarray(a) for a in args]
                kind = np.result_type(*found)
                kind = kind if kind.kind in "fc" else np.dtype(np.float64)
                return np.asarray(function(*[a.astype(kind) for a in found])).astype(kind)[()]

        return call

    direct = (
        "acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh exp expm1 floor fmod hypot log log10 log1p log2 "
        "pow sin sinh sqrt tan tanh trunc isnan isinf isfinite"
    ).split()
    names = {"acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
             "atan2": "arctan2", "atanh": "arctanh", "pow": "power"}  # fmt: skip
    math: dict[str, Any] = {n: kept(getattr(np, names.get(n, n))) for n in direct}
    math |= {n: getattr(np, n) for n in ("isnan", "isinf", "isfinite")}
    special_names = {"erf": special.erf, "erfc": special.erfc, "lgamma": special.gammaln, "gamma": special.gamma}
    math |= {name: kept(function) for name, function in special_names.items()}
    math |= {"inf": np.float64(np.inf), "nan": np.float64(np.nan), "pi": np.pi}

    def bits(source: str, target: str) -> Callable[[Any], Any]:
        return lambda x: np.asarray(x, source).view(target)[()]

    def fma(x: Any, y: Any, z: Any) -> Any:
        wide = np.longdouble  # rounded once, but for rare halves
        return np.asarray(x).dtype.type(wide(x) * wide(y) + wide(z))

    def half(x: Any) -> Any:
        return np.float32(np.float16(x))

    scope: dict[str, Any] = {
        "half": half, "unsigned": _unsigned,
        "math": SimpleNamespace(**math), "np": np, "fma": fma, "rint": np.rint, "fabs": np.abs,
        "copysign": kept(np.copysign), "f2i": bits("float64", "int64"), "i2f": bits("int64", "float64"),
        "f2i32": bits("float32", "int32"), "i2f32": bits("int32", "float32"), "device": lambda function: function,
    }  # fmt: skip
    for count in (2, 4, 8):
        scope |= {f"load{count}": _loading(count), f"store{count}": _storing}
    for name in SCALARS:
        scope[name] = _cast(name.strip("_"))
    return scope


def _unsigned(place: int) -> int:
    """A place in memory, which NumPy would count from the end where it is negative."""
    if place < 0:
        raise IndexError(f"place {place} of an array")
    return place


def _check(array: Any, at: int, count: int) -> None:
    """A GPU reads several elements at once from multiples of their bytes only; elsewhere its context ends."""
    width = count * array.itemsize
    if at < 0 or (array.ctypes.data + at * array.itemsize) % width:
        raise IndexError(f"{width} bytes at place {at} of an array")


def _loading(count: int) -> Callable[[Any, int], tuple[Any, ...]]:
    def load(array: Any, at: int) -> tuple[Any, ...]:
        _check(array, at, count)
        return tuple([array[at + k] for k in range(count)])

    return load


def _storing(array: Any, at: int, *values: Any) -> None:
    _check(array, at, len(values))
    for k, value in enumerate(values):
        array[at + k] = value


# Lanes hand each other values through memory; blocks run one after the other, so one such memory does.
_EXCHANGE = '''
def exchange(value, offset):
    tid = cuda.threadIdx.x
    between[tid] = value
    cuda.syncthreads()
    other = between[tid ^ offset] if (tid ^ offset) < cuda.blockDim.x else value
    cuda.syncthreads()
    return other
'''


def kernel_of(
    text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool]
) -> Callable[[tuple[int, int], int, Sequence[Any]], None]:
    """What launches the kernel ``entry`` of a source with (blocks, threads, arguments); one launch at a time."""
    cuda = Cuda()
    scope = {**_namespace(), "cuda": cuda, "between": [None] * _SIZE}
    scope |= {name: _helper(helper) for name, helper in helpers.items()}
    # Memory that a block shares is asked for by dtype.
    for name in SCALARS:
        text = text.replace(f"cuda.shared.array(512, {name})", f"cuda.shared.array(512, {name}.numpy)")
    exec(compile(_EXCHANGE + text, f"<fuse {entry}>", "exec"), scope)
    inner = scope[entry]

    def quiet(*args: Any) -> None:
        with np.errstate(all="ignore"):
            inner(*args)

    meets = "syncthreads(" in text or "exchange(" in text
    pairs = zip(dtypes, arrays, strict=True)
    casts = [None if is_array else scope[f"{d}_" if d == "bool" else d] for d, is_array in pairs]

    def launch(blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        given = [a if c is None else int(c(a)) if _is_whole(d) else c(a)
                 for a, c, d in zip(arguments, casts, dtypes, strict=True)]  # fmt: skip
        run(cuda, quiet, meets, blocks, threads, given)

    return launch


def _is_whole(dtype: str) -> bool:
    return dtype == "int64"


_helpers: dict[Any, Any] = {}


def _helper(helper: Any) -> Any:
    """A function of mathlib, or of a user, with NumPy's arithmetic for what it calls."""
    if not isinstance(helper, FunctionType):
        return helper
    known = _helpers.get(helper)
    if known is None:
        scope = {**helper.__globals__}
        for name in helper.__code__.co_names:
            if name in _namespace() and name != "np":
                scope[name] = _namespace()[name]
            elif isinstance(scope.get(name), FunctionType) and scope[name] is not helper:
                scope[name] = _helper(scope[name])
        known = _helpers[helper] = FunctionType(
            helper.__code__, scope, helper.__name__, helper.__defaults__, helper.__closure__
        )
    return known
