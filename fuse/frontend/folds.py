"""What NumPy's ufuncs make of the elements so far, or of all along an axis: running extremes, bits of integers."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.errors import DTypeError, FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.reductions import Axis, reduce
from fuse.frontend.selecting import take_along_axis
from fuse.frontend.sizes import normalize_axis
from fuse.op import ZERO, Op, op_record, reduction
from fuse.types import COMPLEX, DISCRETE, TensorType


# ---------------------------------------------------------------- running extremes
def _positions(x: Any, axis: int, largest: bool) -> Any:
    """Where the largest (smallest) element so far stands, the first of equal ones; NaN is beyond all numbers."""
    so_far = np.moveaxis((np.maximum if largest else np.minimum).accumulate(x, axis=axis), axis, 0)
    new = np.ones(so_far.shape, bool)
    new[1:] = (so_far[1:] != so_far[:-1]) & (so_far[:-1] == so_far[:-1])
    order = np.arange(len(so_far)).reshape(-1, *[1] * (x.ndim - 1))
    return np.moveaxis(np.maximum.accumulate(np.where(new, order, 0), axis=0), 0, axis)


@op_record(
    "opaque", numpy=_positions, infer=lambda x, *, axis, largest: TensorType("int64", x.type.shape),
    shape=lambda node, x: x, grad=lambda g, out, x, axis, largest: (ZERO,), traits="along",
)
def running_position(op: Op, x: Any, axis: int, largest: bool = True) -> Expr:
    """The position, along ``axis``, of the largest element up to each one; of the smallest without ``largest``.

    >>> import fuse.tensor as T
    >>> running_position(T.constant([3.0, 1.0, 4.0, 4.0]), 0).eval()
    array([0, 0, 2, 2])
    """
    return op(x, axis=axis, largest=largest)


def _running(largest: bool, truth: bool = False) -> Callable[..., Expr]:
    def build(array: Any, axis: int = 0, dtype: Any = None) -> Expr:
        x = as_expr(array)
        if x.type.dtype in COMPLEX:
            raise FuseTypeError("complex numbers have no order: take the extremes of abs(x), x.real or x.imag")
        if truth or dtype is not None:
            x = ew.neq(x, 0) if truth else ew.cast(x, dtype)
        axis = normalize_axis(axis, x.type.ndim)
        return take_along_axis(x, running_position(x, axis, largest), axis)

    return build


running_max, running_min, running_all, running_any = (
    _running(True), _running(False), _running(False, True), _running(True, True))


# ---------------------------------------------------------------- bits
def _every_bit(dtype: str) -> Any:
    return ~np.zeros((), dtype)[()]


def _no_bit(dtype: str) -> Any:
    return np.zeros((), dtype)[()]


@reduction(numpy=lambda x, axis, dtype: np.bitwise_and.reduce(x, axis=axis), identity=_every_bit)
def _bits_of_all(acc, x):
    """The bits that all elements have."""
    return acc & x


@reduction(numpy=lambda x, axis, dtype: np.bitwise_or.reduce(x, axis=axis), identity=_no_bit)
def _bits_of_any(acc, x):
    """The bits that some element has."""
    return acc | x


@reduction(numpy=lambda x, axis, dtype: np.bitwise_xor.reduce(x, axis=axis), identity=_no_bit)
def _bits_of_odd(acc, x):
    """The bits that an odd number of elements have."""
    return acc ^ x


def _bits(op: Op) -> Callable[..., Expr]:
    def build(array: Any, axis: Axis = 0, dtype: Any = None, keepdims: bool = False) -> Expr:
        x = as_expr(array) if dtype is None else ew.cast(array, dtype)
        if x.type.dtype not in DISCRETE:
            raise DTypeError(f"bits are those of integers and truth values, not of a {x.type.describe()}")
        return reduce(op, x, axis, x.type.dtype, keepdims)

    return build


and_bits, or_bits, xor_bits = map(_bits, (_bits_of_all, _bits_of_any, _bits_of_odd))

__all__ = ["and_bits", "or_bits", "running_all", "running_any", "running_max", "running_min", "running_position",
           "xor_bits"]
