"""Core reductions: sum, prod, max, min, all, any; the axes they take, their dtypes and their gradients."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.errors import DTypeError, FuseTypeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle
from fuse.frontend.sizes import reduced_axes
from fuse.op import ZERO, Op, reduction
from fuse.types import COMPLEX, dtype_name

Axis = Any  # None (all), an int, or a sequence of ints


def kept(reduced: Expr, axis: tuple[int, ...], ndim: int) -> Expr:
    """A result of reducing ``axis`` of ``ndim`` dimensions, with the reduced axes back as size 1."""
    rest = iter(range(reduced.type.ndim))
    return dimshuffle(reduced, ["x" if a in axis else next(rest) for a in range(ndim)])


def literal(value: Any, dtype: str) -> Expr:
    """The constant ``value`` of ``dtype``."""
    return constant(value, dtype=dtype)


# ---------------------------------------------------------------- gradients
def _sum_grad(g: Expr, out: Expr, x: Expr, axis: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    return (ew.fill(x, kept(g, axis, x.type.ndim)),)


def _extreme_grad(g: Expr, out: Expr, x: Expr, axis: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    """1 to each of the tied elements (Theano's convention), nothing where the result is NaN."""
    ndim = x.type.ndim
    return (ew.switch(ew.eq(x, kept(out, axis, ndim)), kept(g, axis, ndim), literal(0, g.type.dtype)),)


def _prod_grad(g: Expr, out: Expr, x: Expr, axis: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    """The product of the other elements, exact with any number of zeros, and so is its own derivative.

    With p the product of the non-zero elements along the axis, n the number of zeros and z their sum (0, but with
    derivative 1 to each), the product of the others is out / x, p z / x (n = 1) or 0 for an element that is not zero,
    and p (n = 1), p (z - x) (n = 2) or 0 for one that is.
    """
    ndim = x.type.ndim
    x = ew.cast(x, dtype)
    one, zero = literal(1, dtype), literal(0, dtype)
    is_zero = ew.eq(x, zero)
    safe = ew.switch(is_zero, one, x)
    count = sum(ew.cast(is_zero, "int64"), axis=axis, keepdims=True)
    others = prod(safe, axis=axis, keepdims=True, dtype=dtype, acc_dtype=dtype)
    zeros = sum(ew.switch(is_zero, x, zero), axis=axis, keepdims=True, dtype=dtype, acc_dtype=dtype)
    at_zero = ew.switch(ew.eq(count, 1), others, ew.switch(ew.eq(count, 2), others * (zeros - x), zero))
    at_other = ew.switch(
        ew.eq(count, 0), kept(out, axis, ndim) / safe, ew.switch(ew.eq(count, 1), others * zeros / safe, zero)
    )
    product = ew.switch(is_zero, at_zero, at_other)
    return (kept(g, axis, ndim) * product,)


def _no_grad(g: Expr, out: Expr, x: Expr, axis: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    return (ZERO,)


# ---------------------------------------------------------------- identities
def _lowest(dtype: str) -> Any:
    if dtype == "bool":
        return np.bool_(False)
    return np.array(-np.inf, dtype)[()] if dtype in ty.FLOATING else np.array(np.iinfo(dtype).min, dtype)[()]


def _highest(dtype: str) -> Any:
    if dtype == "bool":
        return np.bool_(True)
    return np.array(np.inf, dtype)[()] if dtype in ty.FLOATING else np.array(np.iinfo(dtype).max, dtype)[()]


def _typed(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy reduction without dtype= as one with it."""
    return lambda x, axis, dtype: reduce(np.asarray(x, dtype=dtype), axis=axis)


# ---------------------------------------------------------------- the records
# meta["nonempty"]: without elements there is no result; run-time sizes of 0 along the axis are a ShapeError.
@reduction(
    name="sum", numpy=np.sum, identity=lambda dtype: np.array(0, dtype)[()], grad=_sum_grad, linear=True, builtin=True,
    traits="keeps-sign",
)
def SUM(acc, x):
    """The sum of elements."""
    return acc + x


@reduction(
    name="prod", numpy=np.prod, identity=lambda dtype: np.array(1, dtype)[()], grad=_prod_grad, builtin=True,
    traits="keeps-sign",
)
def PROD(acc, x):
    """The product of elements."""
    return acc * x


@reduction(
    name="max", numpy=_typed(np.max), identity=_lowest, grad=_extreme_grad, builtin=True, meta={"nonempty": True},
    traits="chooses",
)
def MAX(acc, x):
    """The largest element; NaN where there is one."""
    return x if x > acc or x != x else acc


@reduction(
    name="min", numpy=_typed(np.min), identity=_highest, grad=_extreme_grad, builtin=True, meta={"nonempty": True},
    traits="chooses",
)
def MIN(acc, x):
    """The smallest element; NaN where there is one."""
    return x if x < acc or x != x else acc


@reduction(name="all", numpy=_typed(np.all), identity=lambda dtype: np.bool_(True), grad=_no_grad, builtin=True)
def ALL(acc, x):
    """Whether all elements are true."""
    return acc and x


@reduction(name="any", numpy=_typed(np.any), identity=lambda dtype: np.bool_(False), grad=_no_grad, builtin=True)
def ANY(acc, x):
    """Whether any element is true."""
    return acc or x


# ---------------------------------------------------------------- builders
def reduce(op: Op, x: Expr, axis: Axis, dtype: str, keepdims: bool = False) -> Expr:
    """``op`` over ``axis`` of ``x``; a cast where there is nothing to reduce."""
    axes = reduced_axes(axis, x.type.ndim)
    out = op(x, axis=axes, dtype=dtype) if axes else ew.cast(x, dtype)
    return kept(out, axes, x.type.ndim) if keepdims else out


def sum_dtype(dtype: str) -> str:
    """The dtype of a sum or product: int64 for bool and signed integers, uint64 for unsigned, else unchanged.

    >>> sum_dtype("int8"), sum_dtype("uint8"), sum_dtype("float32")
    ('int64', 'uint64', 'float32')
    """
    return {"b": "int64", "i": "int64", "u": "uint64"}.get(ty.kind(dtype), dtype)


def _accumulated(op: Op, x: Any, axis: Axis, dtype: Any, keepdims: bool, acc_dtype: Any) -> Expr:
    x = as_expr(x)
    out = sum_dtype(x.type.dtype) if dtype is None else dtype_name(dtype)
    if x.type.dtype in COMPLEX and out not in COMPLEX:
        raise DTypeError(f"the {op} of {x.type.dtype} values as {out} would drop the imaginary part: take x.real")
    # float16 is summed in float32, as NumPy does: its own range ends at 65504
    acc = dtype_name(acc_dtype) if acc_dtype is not None else "float32" if out == "float16" else out
    return ew.cast(reduce(op, x, axis, acc, keepdims), out)


@also(input="x", a="x")
def sum(x: Any, axis: Axis = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Expr:
    """The sum of elements over ``axis`` (None: all, an int, or several).

    ``dtype`` is that of the result (default: int64 or uint64 for integers, else that of ``x``), ``acc_dtype`` that of
    the accumulator (default: as the result).

    >>> import fuse.tensor as T
    >>> sum(T.bmatrix("m"), axis=-1).type
    TensorType(int64, vector)
    """
    return _accumulated(SUM, x, axis, dtype, keepdims, acc_dtype)


@also(input="x", a="x")
def prod(
    x: Any, axis: Axis = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None,
    no_zeros_in_input: bool = False,
) -> Expr:
    """The product of elements over ``axis``; dtypes as for ``sum``. Its gradient is right where elements are 0.

    >>> import fuse.tensor as T
    >>> prod(T.vector("v")).ndim
    0
    """
    return _accumulated(PROD, x, axis, dtype, keepdims, acc_dtype)


def _extreme(op: Op, x: Any, axis: Axis, keepdims: bool) -> Expr:
    x = as_expr(x)
    if x.type.dtype in COMPLEX:
        raise FuseTypeError(f"complex numbers have no order: {op} of abs(x), x.real or x.imag is defined")
    return reduce(op, x, axis, x.type.dtype, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """The largest element over ``axis``; NaN where there is one. No elements are a ShapeError at run time.

    Each of several tied elements has gradient 1.

    >>> import fuse.tensor as T
    >>> max(T.matrix("m"), axis=0, keepdims=True).type
    TensorType(float64, row)
    """
    return _extreme(MAX, x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """The smallest element over ``axis``; NaN where there is one. No elements are a ShapeError at run time.

    Each of several tied elements has gradient 1.

    >>> min([[3, 1], [2, 5]], axis=1).eval()
    array([1, 2])
    """
    return _extreme(MIN, x, axis, keepdims)


def _truth(x: Any) -> Expr:
    x = as_expr(x)
    return x if x.type.dtype == "bool" else ew.neq(x, literal(0, x.type.dtype))


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """Whether all elements over ``axis`` are true (not 0); true where there are none.

    >>> import fuse.tensor as T
    >>> all(T.vector("v") > 0).dtype
    'bool'
    """
    return reduce(ALL, _truth(x), axis, "bool", keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """Whether any element over ``axis`` is true (not 0); false where there are none.

    >>> any([[0, 0], [0, 3]], axis=1).eval()
    array([False,  True])
    """
    return reduce(ANY, _truth(x), axis, "bool", keepdims)


__all__ = [
    "ALL", "ANY", "MAX", "MIN", "PROD", "SUM", "all", "any", "kept", "max", "min", "prod", "reduce", "sum", "sum_dtype",
]
