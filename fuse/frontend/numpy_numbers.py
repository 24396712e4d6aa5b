"""NumPy's functions of the bits and divisors of numbers on expressions; loaded with `numpy_more`.

gcd, lcm, nextafter, spacing and the exponents of frexp are NumPy's own, called on whole arrays; the rest are formulas.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.sizes import broadcast_sizes
from fuse.op import Op, op_record
from fuse.types import COMPLEX, DISCRETE, TensorType


def _dtypes(ufunc: str, args: Sequence[Expr]) -> np.dtype[Any]:
    """The dtype of NumPy's result, the last of them where there are several; FuseTypeError where there is none."""
    named = getattr(np, ufunc)
    try:
        found = named.resolve_dtypes((*[x.type.numpy_dtype for x in args], *[None] * named.nout))[-1]
    except TypeError:
        kinds = " and ".join([x.type.dtype for x in args])
        raise FuseTypeError(f"numpy.{ufunc} is not defined for {kinds}") from None
    return np.dtype(found)


def _type(*args: Expr, ufunc: str) -> TensorType:
    return TensorType(_dtypes(ufunc, args).name, ty.broadcast_static([x.type.shape for x in args]))


def _called(*args: Any, ufunc: str) -> Any:
    with np.errstate(all="ignore"):
        found = getattr(np, ufunc)(*args)
    return found[-1] if isinstance(found, tuple) else found


@op_record(
    "opaque", name="numpy_ufunc", numpy=_called, infer=_type,
    shape=lambda node, *sizes: broadcast_sizes(sizes),
    grad="gcd, lcm, nextafter, spacing and the exponents of frexp move in jumps",
)
def _ufunc(op: Op, *args: Any, ufunc: str) -> Expr:
    """A ufunc of NumPy's, its last result."""
    return op(*[as_expr(a) for a in args], ufunc=ufunc)


def _own(name: str) -> Callable[..., Expr]:
    return lambda *args: _ufunc(*args, ufunc=name)


def ldexp(x: Any, n: Any) -> Expr:
    """``x * 2**n``, in three steps, so that no power of 2 is beyond the range where the result is within it."""
    x = as_expr(x)
    x = ew.cast(x, "float64") if x.type.dtype in DISCRETE else x
    most = 3 * (np.finfo(x.type.dtype).maxexp - 1)
    n = ew.cast(ew.clip(n, -most, most), "int64")  # in this order: not all of uint64 has a place in int64
    third = n // 3
    for part in (third, third, n - 2 * third):
        x = ew.mul(x, ew.exp2(ew.cast(part, x.type.dtype)))
    return x


def frexp(x: Any) -> tuple[Expr, Expr]:
    """Mantissas from 0.5 to 1, and exponents of 2."""
    x = as_expr(x)
    exponent = _ufunc(x, ufunc="frexp")
    return ldexp(x, -exponent), exponent


def bitwise_count(x: Any) -> Expr:
    """How many bits of each absolute value are 1: sums of neighbouring bits, pairs, fours and bytes."""
    x = as_expr(x)
    if x.type.dtype not in DISCRETE:
        raise FuseTypeError(f"numpy.bitwise_count is not defined for {x.type.dtype}")
    wide = x if x.type.dtype == "uint64" else ew.abs(ew.cast(x, "int64"))
    bits = ew.cast(wide, "uint64")
    for step, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        taken = constant(mask, dtype="uint64")
        bits = ew.add(ew.and_(bits, taken), ew.and_(ew.right_shift(bits, constant(step, dtype="uint64")), taken))
    total = ew.right_shift(ew.mul(bits, constant(0x0101010101010101, dtype="uint64")), constant(56, dtype="uint64"))
    return ew.cast(total, "uint8")


def float_power(x: Any, y: Any) -> Expr:
    """A power in double precision."""
    x, y = as_expr(x), as_expr(y)
    dtype = "complex128" if {x.type.dtype, y.type.dtype} & set(COMPLEX) else "float64"
    return ew.pow(ew.cast(x, dtype), ew.cast(y, dtype))


UFUNCS: dict[Any, Callable[..., Any]] = {
    **{getattr(np, name): _own(name) for name in ("gcd", "lcm", "nextafter", "spacing")},
    np.ldexp: ldexp, np.frexp: frexp, np.float_power: float_power,
}
if hasattr(np, "bitwise_count"):  # since NumPy 2.0
    UFUNCS[np.bitwise_count] = bitwise_count
