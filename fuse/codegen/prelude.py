"""What exported kernels need besides Numba's own names: memory without checks, sums that may be reordered, bits.

Exported files begin with this text, in which that of `shared_intrinsics` stands in the place of its import, so it
imports nothing but NumPy and Numba (with its llvmlite).
"""
import math

import numpy as np
from numba import njit
from numba.core.errors import TypingError
from numba.core.types import (
    Array,
    Float,
    Integer,
    Number,
    bool_,
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    none,
    uint8,
    uint16,
    uint32,
    uint64,
    unliteral,
)
from numba.extending import intrinsic, overload
from numba.np.numpy_support import as_dtype

from fuse.codegen.shared_intrinsics import *  # noqa: F403 (their text stands here in files)

NUMBERS = bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, complex64, complex128
inlined = njit(error_model="numpy", forceinline=True)
compiled = njit(error_model="numpy")
checked = njit(error_model="numpy", boundscheck=True)


# ---------------------------------------------------------------- memory
def _pointer(context, builder, array, value, k):
    return builder.gep(context.make_array(array)(context, builder, value=value).data, [k])


@intrinsic
def load(typingctx, a, k):
    """Element ``k``, counted in C order, of a contiguous array."""

    def build(context, builder, signature, args):
        return context.unpack_value(builder, a.dtype, _pointer(context, builder, a, *args))

    return a.dtype(a, int64), build


@intrinsic
def store(typingctx, a, k, v):
    """Write ``v``, cast to the array's dtype, to element ``k`` of a contiguous array."""

    def build(context, builder, signature, args):
        value = context.cast(builder, args[2], signature.args[2], a.dtype)
        context.pack_value(builder, a.dtype, value, _pointer(context, builder, a, *args[:2]))
        return context.get_dummy_value()

    return none(a, int64, v), build


@njit
def size(a, d):
    return a.shape[d]


@njit
def stride(a, d):
    """From one element of dimension ``d`` to the next one, in elements of a contiguous array."""
    count = 1
    for k in range(d + 1, a.ndim):
        count *= a.shape[k]
    return count


@njit
def longer(a, rows):
    """An array of so many rows, of which the first ones are those of ``a``."""
    made = np.empty((rows,) + a.shape[1:], a.dtype)  # noqa: RUF005 (Numba adds tuples)
    made[: len(a)] = a
    return made


@njit
def independent():
    pass


@njit
def smaller(a, b):
    return a if a < b else b


@njit
def larger(a, b):
    return a if a > b else b


# ---------------------------------------------------------------- angles beyond the reach of straight lines
@intrinsic
def quarters(typingctx, x):
    """How large an angle may be for straight lines of arithmetic."""
    kind = float_kind(x)  # noqa: F405
    limit = 2.0**16 if kind == float32 else 2.0**40
    return kind(kind), lambda context, builder, signature, args: context.get_constant(kind, limit)


@njit
def far_sin(x, near):
    return near if not abs(x) > quarters(x) else math.sin(x)


@njit
def far_cos(x, near):
    return near if not abs(x) > quarters(x) else math.cos(x)


@njit
def far_tan(x, near):
    return near if not abs(x) > quarters(x) else math.tan(x)


# ---------------------------------------------------------------- arguments
def given(x, kind, ndim):
    """``x`` as a contiguous array of ``ndim`` axes, or a number, of dtype ``kind``; casts that lose are refused."""
    array = np.asarray(x)
    if array.ndim != ndim or not np.can_cast(array.dtype, kind, "safe") and not _fits(x, array, kind):
        raise TypeError(f"an array of {np.dtype(kind)} with {ndim} axes is needed, not {array.dtype} with {array.ndim}")
    return np.ascontiguousarray(array, kind) if ndim else np.dtype(kind).type(array)


def _fits(x, array, kind):
    """Whether Python numbers, which have no dtype of their own, are values of dtype ``kind``."""
    plain = not isinstance(x, (np.ndarray, np.generic))
    if array.dtype.kind == "f":
        return plain and np.dtype(kind).kind in "fc"
    return array.dtype.kind in "biu" and bool(np.all(array.astype(kind) == array))


def _wanted(x, kind, ndim):
    """The dtypes that ``x`` has and is to have, and whether it is an array; TypingError where it does not fit."""
    rank = getattr(ndim, "literal_value", 0)
    want = as_dtype(kind.instance_type)
    have = as_dtype(x.dtype if isinstance(x, Array) else unliteral(x)) if isinstance(x, (Array, Number)) else None
    # A number is int64 or float64 to Numba: it may become a float of any size, and an integer that it fits.
    number = isinstance(x, (Integer, Float)) and have is not None
    fits = number and (want.kind in "fc" or have.kind in "iu" and want.kind in "iu")
    if have is None or not (np.can_cast(have, want, "safe") or fits) or rank != getattr(x, "ndim", 0):
        raise TypingError(f"an array of {want} with {rank} axes is needed, not {x}")
    return have, want, isinstance(x, Array)


@overload(given, prefer_literal=True)
def _given(x, kind, ndim):
    have, want, is_array = _wanted(x, kind, ndim)
    if is_array and x.ndim:
        if have != want:
            return lambda x, kind, ndim: np.ascontiguousarray(x.astype(kind))
        return (lambda x, kind, ndim: x) if x.layout == "C" else lambda x, kind, ndim: np.ascontiguousarray(x)
    if is_array:
        return lambda x, kind, ndim: kind(x[()])
    if want.kind in "iu" and not np.can_cast(have, want, "safe"):
        return _narrowed
    return lambda x, kind, ndim: kind(x)


def _narrowed(x, kind, ndim):
    if kind(x) != x:
        raise ValueError("a number does not fit into the dtype of its input")
    return kind(x)
