"""bfloat16: arrays of it are given and stored as their bits, uint16, and computed with as float32.

NumPy has no such dtype, so fuse has none; a formula says where it reads and writes one. Kernels widen and round where
they load and store, so that nothing but two bytes an element goes through memory.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.errors import FuseTypeError
from fuse.op import elementwise

if TYPE_CHECKING:
    from fuse.codegen import mathlib


def _bits(dtype: str) -> tuple[tuple[str, ...], str]:
    if dtype != "uint16":
        raise FuseTypeError(f"the bits of bfloat16 are uint16, not {dtype}")
    return ("uint16",), "float32"


def _single(dtype: str) -> tuple[tuple[str, ...], str]:
    if dtype not in ("float16", "float32"):
        raise FuseTypeError(f"bfloat16 is rounded from float32, not from {dtype}: cast to float32 first")
    return ("float32",), "uint16"


def _widened(x: Any) -> Any:
    return (np.asarray(x).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _nearest(x: Any) -> Any:
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32).astype(np.uint64)
    half = np.uint64(0x7FFF) + ((bits >> np.uint64(16)) & np.uint64(1))
    quiet = (bits >> np.uint64(16)) & np.uint64(0x8000) | np.uint64(0x7FC0)
    return np.where(np.isnan(x), quiet, (bits + half) >> np.uint64(16)).astype(np.uint16)


_META = {"floats": True}  # the integers that are taken or made are the bits of floats
_NO_NUMBERS = (
    "bits are integers; take it with respect to from_bfloat16(bits), and index or reshape that instead of the bits"
)


def _of_bits(g: Any, out: Any, x: Any) -> Any:
    return g if x.op.name == "to_bfloat16" else _NO_NUMBERS  # rounding passes gradients on, as any cast to a float does


@elementwise(dtype=_bits, numpy=_widened, grad=(_of_bits,), meta=_META, builtin=True, traits="light")
def from_bfloat16(x):
    """The numbers of dtype float32 whose bfloat16 bits are ``x``, of dtype uint16; exact.

    Gradients go to the result, not to the bits: ``T.grad(cost, from_bfloat16(bits))``; with respect to bits they are
    a NullTypeGradError. ``from_bfloat16(to_bfloat16(x))`` is a cast: what arrives goes on to ``x``.
    Raises FuseTypeError for any other dtype.

    >>> from_bfloat16(np.array([0x3F80, 0xC049], "uint16")).eval()
    array([ 1.      , -3.140625], dtype=float32)
    """
    return mathlib.from_bfloat16(x)


@elementwise(dtype=_single, numpy=_nearest, grad=(lambda g, out, x: g,), meta=_META, builtin=True)
def to_bfloat16(x):
    """The bits, uint16, of ``x`` rounded to bfloat16: to the nearest number, of two equally near ones to the even one.

    ``x`` is float32 or float16. Raises FuseTypeError for other dtypes: from float64 it would be rounded twice.

    >>> from_bfloat16(to_bfloat16(np.array([1 / 3, -257, np.inf], "float32"))).eval()
    array([   0.33398438, -256.        ,           inf], dtype=float32)
    """
    return mathlib.to_bfloat16(x)


__all__ = ["from_bfloat16", "to_bfloat16"]
