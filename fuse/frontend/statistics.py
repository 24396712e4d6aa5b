"""Statistics made of reductions: mean, var, std, ptp, norm, logsumexp."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle
from fuse.frontend.reductions import MAX, SUM, Axis, kept, literal, reduce
from fuse.frontend.reductions import all as all_
from fuse.frontend.reductions import max as max_
from fuse.frontend.reductions import min as min_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.sizes import as_size_expr, reduced_axes, size_product, sizes_of
from fuse.op import Op, elementwise, inexact, op_record
from fuse.types import COMPLEX, DISCRETE, TensorType, dtype_name

if TYPE_CHECKING:
    from fuse.codegen import mathlib


# ---------------------------------------------------------------- mean and variance
def _count(x: Expr, axes: tuple[int, ...], dtype: str) -> Expr:
    """The number of elements along ``axes``, in the real dtype that goes with ``dtype``."""
    n = as_size_expr(size_product([sizes_of(x)[a] for a in axes]))
    return ew.cast(n, {"float16": "float32", "complex64": "float32", "complex128": "float64"}.get(dtype, dtype))


@also(input="x", a="x")
def mean(
    x: Any, axis: Axis = None, dtype: Any = None, op: bool = False, keepdims: bool = False, acc_dtype: Any = None
) -> Expr:
    """The arithmetic mean over ``axis``: the sum divided by the number of elements (NaN where there are none).

    float64 for integers and bools (and where ``dtype`` is one of these), else the dtype of ``x``; float16 is summed in
    float32.

    >>> import fuse.tensor as T
    >>> mean(T.imatrix("m"), axis=0).type
    TensorType(float64, vector)
    """
    x = as_expr(x)
    axes = reduced_axes(axis, x.type.ndim)
    out = "float64" if x.type.dtype in DISCRETE else x.type.dtype
    if dtype is not None:
        out = "float64" if dtype_name(dtype) in DISCRETE else dtype_name(dtype)
    work = "float64" if out in DISCRETE else "float32" if out == "float16" else out
    if acc_dtype is not None and dtype_name(acc_dtype) not in DISCRETE:
        work = dtype_name(acc_dtype)
    total = sum_(x, axes, dtype=work, keepdims=keepdims, acc_dtype=work)
    return ew.cast(ew.true_div(total, _count(x, axes, work)), out)


@also(input="x", a="x")
def var(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False, corrected: bool = False) -> Expr:
    """The variance over ``axis``, about the mean, in two passes; ``ddof`` is taken from the number of elements.

    Real for complex ``x``, as in NumPy: the mean of abs(x - mean(x)) ** 2. ``corrected`` also subtracts the square of
    the mean deviation, which is 0 but for rounding.

    >>> import fuse.tensor as T
    >>> var(T.bvector("v")).dtype
    'float64'
    """
    x = as_expr(x)
    out = "float64" if x.type.dtype in DISCRETE else ty.real_of(x.type.dtype)
    if x.type.dtype == "float16":
        x = ew.cast(x, "float32")
    axes = reduced_axes(axis, x.type.ndim)
    deviation = ew.sub(x, mean(x, axes, keepdims=True))
    if x.type.dtype in COMPLEX:
        squares = ew.add(ew.sqr(ew.real(deviation)), ew.sqr(ew.imag(deviation)))
    else:
        squares = ew.sqr(deviation)
    total = sum_(squares, axes, keepdims=keepdims)
    n = _count(x, axes, squares.type.dtype)
    if corrected:
        error = sum_(deviation, axes, keepdims=keepdims)
        total = ew.sub(total, ew.true_div(ew.sqr(error), n))
    if ddof:
        n = ew.maximum(ew.sub(n, literal(ddof, n.type.dtype)), literal(0, n.type.dtype))  # no variance is negative
    return ew.cast(ew.true_div(total, n), out)


def _root_grad(g: Expr, out: Expr, x: Expr) -> Expr:
    at_zero = ew.eq(out, literal(0, out.type.dtype))
    twice = ew.mul(literal(2, out.type.dtype), ew.switch(at_zero, literal(1, out.type.dtype), out))
    return ew.switch(at_zero, literal(0, g.type.dtype), ew.true_div(g, twice))


@elementwise(name="root", dtype=inexact, numpy=np.sqrt, ufunc=(), sympy="sqrt(x)", latex=r"\sqrt{#1}",
    grad=(_root_grad,),
             domain=(0.01, 50.0), builtin=True)
def root(x):
    """The square root in ``norm`` and ``std``: as ``sqrt``, but with derivative 0 at 0.

    There the norm has no derivative; 0 is a subgradient, and what every user wants (a constant has std 0).
    """
    return mathlib.sqrt(x)


@also(input="x", a="x")
def std(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False, corrected: bool = False) -> Expr:
    """The standard deviation over ``axis``; its gradient is 0 where it is 0.

    >>> import fuse.tensor as T
    >>> std(T.fvector("v")).dtype
    'float32'
    """
    return root(var(x, axis, ddof, keepdims, corrected))


@also(a="x")
def ptp(x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """Peak to peak: the largest element minus the smallest over ``axis``.

    >>> ptp([[3, 1], [2, 8]], axis=1).eval()
    array([2, 6])
    """
    return ew.sub(max_(x, axis, keepdims), min_(x, axis, keepdims))


def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False, L: Any = None) -> Expr:
    """The vector norm of order ``ord`` (or ``L``) over ``axis`` (None: all): 2 (default), 1, 0, inf, -inf, any p.

    Matrices are taken elementwise (Frobenius for 2), as Theano's ``x.norm(L)``. The gradient at 0 is 0.
    Raises FuseTypeError for an order that is an expression, FuseValueError for an unknown one.

    >>> import fuse.tensor as T
    >>> norm(T.matrix("m"), 1, axis=0).ndim
    1
    """
    x, ord = as_expr(x), ord if L is None else L
    if isinstance(ord, Constant):
        ord = ord.data[()]
    if ord in (None, 2, "fro"):
        squares = ew.add(ew.sqr(ew.real(x)), ew.sqr(ew.imag(x))) if x.type.dtype in COMPLEX else ew.sqr(_floating(x))
        return root(sum_(squares, axis, keepdims=keepdims))
    if isinstance(ord, Expr):
        raise FuseTypeError("the order of a norm is a number known while the graph is built")
    if isinstance(ord, str):
        raise FuseValueError(f"norm has orders 0, 1, 2, inf, -inf, any p, and 'fro', not {ord!r}")
    size = ew.abs_(_floating(x))  # integers have no size of their least
    if ord == math.inf:
        return max_(size, axis, keepdims)
    if ord == -math.inf:
        return min_(size, axis, keepdims)
    if ord == 0:
        return sum_(ew.cast(ew.neq(x, 0), size.type.dtype), axis, keepdims=keepdims)
    if ord == 1:
        return sum_(size, axis, keepdims=keepdims)
    total = sum_(ew.pow(size, literal(ord, size.type.dtype)), axis, keepdims=keepdims)
    at_zero = ew.eq(total, literal(0, total.type.dtype))
    safe = ew.switch(at_zero, literal(1, total.type.dtype), total)
    zero = literal(0 if ord > 0 else math.inf, total.type.dtype)
    return ew.switch(at_zero, zero, ew.pow(safe, literal(1.0 / ord, total.type.dtype)))


def _floating(x: Expr) -> Expr:
    return ew.cast(x, "float64") if x.type.dtype in DISCRETE else x


# ---------------------------------------------------------------- logsumexp
def _logsumexp_type(x: Expr, *, axis: tuple[int, ...]) -> TensorType:
    if x.type.dtype in COMPLEX:
        raise FuseTypeError("logsumexp takes real numbers: of complex ones log(sum(exp(x)))")
    return TensorType(ty.inexact(x.type.dtype), [n for a, n in enumerate(x.type.shape) if a not in axis])


def _logsumexp_numpy(x: Any, axis: tuple[int, ...]) -> Any:
    from scipy.special import logsumexp as reference

    x = np.asarray(x, dtype=ty.inexact(x.dtype.name))
    if not x.size:  # of which SciPy finds the largest along one axis only
        return np.full(x.sum(axis=axis).shape, -math.inf, x.dtype)
    return reference(x, axis=axis)


def _logsumexp_define(x: Expr, axis: tuple[int, ...]) -> Expr:
    """log(sum(exp(x - m))) + m with m = max(x), or m itself where that is infinite (inf - inf is NaN).

    The exponentials are those of the softmax, its derivative, and computed once for both.
    """
    x = ew.cast(x, ty.inexact(x.type.dtype))
    dtype = x.type.dtype
    largest = reduce(MAX, x, axis, dtype, keepdims=True)
    total = reduce(SUM, ew.exp(ew.sub(x, largest)), axis, dtype)
    largest = _dropped(largest, axis)
    return ew.switch(ew.isinf(largest), largest, ew.add(ew.log(total), largest))


def _dropped(values: Expr, axis: tuple[int, ...]) -> Expr:
    return dimshuffle(values, [a for a in range(values.type.ndim) if a not in axis])


def _logsumexp_grad(g: Expr, out: Expr, x: Expr, axis: tuple[int, ...]) -> tuple[Any, ...]:
    """g * exp(x - out), the softmax. Where ``out`` is infinite: 1 for the elements +inf, 0 for the others."""
    ndim, dtype = x.type.ndim, out.type.dtype
    out = kept(out, axis, ndim)
    x = ew.cast(x, dtype)
    infinite = ew.isinf(out)
    zero = literal(0, dtype)  # both operands are made safe, not their difference: so is the next derivative
    weight = ew.exp(ew.sub(ew.switch(infinite, zero, x), ew.switch(infinite, zero, out)))
    largest = ew.cast(ew.eq(x, literal(math.inf, dtype)), dtype)
    return (ew.mul(kept(g, axis, ndim), ew.switch(infinite, largest, weight)),)


@op_record(
    "composite", name="logsumexp", numpy=_logsumexp_numpy, infer=_logsumexp_type, define=_logsumexp_define,
    grad=_logsumexp_grad, shape=lambda node, s: tuple([n for a, n in enumerate(s) if a not in node.params["axis"]]),
    latex=r"\operatorname{logsumexp}\left(#1\right)", traits="along",
)
def logsumexp(op: Op, x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """``log(sum(exp(x)))`` over ``axis``, without overflow; -inf elements count as nothing.

    >>> import fuse.tensor as T
    >>> logsumexp(T.matrix("m"), axis=1).ndim
    1
    """
    x = as_expr(x)
    axes = reduced_axes(axis, x.type.ndim)
    if not axes:
        return ew.cast(x, ty.inexact(x.type.dtype))
    out = op(x, axis=axes)
    return kept(out, axes, x.type.ndim) if keepdims else out


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Expr:
    """Whether all elements are near each other, in the sense of ``isclose``: a bool scalar.

    >>> allclose([1.0, 2.0], [1.0, 2.0 + 1e-9]).eval()
    array(True)
    """
    return all_(ew.isclose(a, b, rtol, atol, equal_nan))


__all__ = ["allclose", "logsumexp", "mean", "norm", "ptp", "root", "std", "var"]
