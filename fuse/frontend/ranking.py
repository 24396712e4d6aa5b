"""Places in an order: topk, argtopk, median, quantiles."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.axes import flatten, moveaxis
from fuse.frontend.join import slice_axis
from fuse.frontend.layout import dimshuffle, iota, reshape
from fuse.frontend.reductions import kept
from fuse.frontend.scans import cumsum
from fuse.frontend.selecting import take_along_axis
from fuse.frontend.sizes import (
    Size,
    as_size_expr,
    normalize_axis,
    reduced_axes,
    size_floordiv,
    size_product,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.frontend.sorting import argsort, sort
from fuse.types import COMPLEX, DISCRETE


def _along(x: Any, axis: Any) -> tuple[Expr, int]:
    x = as_expr(x)
    return (flatten(x), 0) if axis is None else (x, normalize_axis(axis, x.type.ndim))


def argtopk(x: Any, kth: int, axis: int | None = -1, sorted: bool = True, idx_dtype: Any = "int64") -> Expr:
    """The positions of the elements that ``topk`` gives.

    ``kth`` is an integer known while the graph is built, not 0 (FuseValueError).

    >>> argtopk([3.0, 1.0, 2.0], 2).eval()
    array([2, 0])
    """
    count = static_int(kth)
    if not count:
        raise FuseValueError(f"the number of elements of topk is an integer other than 0, not {kth!r}")
    x, axis = _along(x, axis)
    chosen = slice(-count, None) if count > 0 else slice(None, -count)
    return ew.cast(slice_axis(argsort(x, axis), axis, chosen.start, chosen.stop), idx_dtype)


def topk(x: Any, kth: int, axis: int | None = -1, sorted: bool = True) -> Expr:
    """The ``kth`` largest elements of ``x`` along ``axis`` (smallest where ``kth`` is negative), in rising order.

    >>> import fuse.tensor as T
    >>> topk(T.constant([3.0, 1.0, 2.0]), 2).eval()
    array([2., 3.])
    """
    x, axis = _along(x, axis)
    return take_along_axis(x, argtopk(x, kth, axis), axis)


def topk_and_argtopk(x: Any, kth: int, axis: int | None = -1, sorted: bool = True,
    idx_dtype: Any = "int64") -> list[Expr]:
    """``topk`` and ``argtopk``.

    >>> values, places = topk_and_argtopk([3.0, 1.0, 2.0], -2)
    >>> values.eval(), places.eval()
    (array([1., 2.]), array([1, 2]))
    """
    return [topk(x, kth, axis), argtopk(x, kth, axis, idx_dtype=idx_dtype)]


def _ordered(x: Expr, axis: Any) -> tuple[tuple[int, ...], list[int], Expr]:
    """The axes meant, the others, and the elements over those that are meant in rising order along a last axis."""
    axes = reduced_axes(axis, x.type.ndim)
    rest = [a for a in range(x.type.ndim) if a not in axes]
    sizes = sizes_of(x)
    n = size_product([sizes[a] for a in axes])
    ordered = sort(reshape(dimshuffle(x, [*rest, *axes]), [*[sizes[a] for a in rest], n]), -1)
    if isinstance(n, Expr) or n == 0:
        text = "medians and quantiles over an axis of size 0 have no value"
        ordered = required(ordered, [as_expr(ew.gt(n, 0))], text, "FuseIndexError")
    return axes, rest, ordered


def median(x: Any, axis: Any = None, keepdims: bool = False, skip_nan: bool = False) -> Expr:
    """The middle element in rising order over ``axis``, or the mean of the two middle ones; NaN where there is one.

    With ``skip_nan`` NaN does not count.

    >>> import fuse.tensor as T
    >>> median(T.constant([3.0, 1.0, 2.0, 10.0])).eval()
    array(2.5)
    """
    x = as_expr(x)
    axes, _, ordered = _ordered(x, axis)
    if skip_nan and x.type.dtype not in DISCRETE:
        count = ew.cast(ew.invert(ew.isnan(ordered)), "int64").sum(axis=-1, keepdims=True)
        places = [ew.int_div(ew.maximum(ew.sub(count, 1), 0), 2), ew.int_div(count, 2)]
        middle = [take_along_axis(ordered, at, -1)[..., 0] for at in places]
    else:
        n = sizes_of(ordered)[-1]
        low: Size = size_floordiv(size_sub(n, 1), 2)
        middle = [ordered[..., at] for at in (low, size_floordiv(n, 2))]
    dtype = "float64" if x.type.dtype in DISCRETE else x.type.dtype
    wide = "float32" if dtype == "float16" else dtype  # whose largest numbers have no sum
    both = ew.cast(ew.mul(ew.add(*[ew.cast(m, wide) for m in middle]), constant(0.5, dtype=wide)), dtype)
    last = ordered[..., -1]
    out = both if skip_nan else ew.switch(ew.isnan(last), ew.cast(last, dtype), both)
    return kept(out, axes, x.type.ndim) if keepdims else out


_METHODS = {"linear", "lower", "higher", "nearest", "midpoint"}


def quantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False, skip_nan: bool = False
) -> Expr:
    """The values below which the parts ``q`` (in [0, 1]) of the elements over ``axis`` lie; NaN where one is NaN.

    ``method``, between two elements: 'linear', 'lower', 'higher', 'nearest' or 'midpoint', as in NumPy. The axes of
    ``q`` come first. With ``skip_nan`` NaN does not count. Between an infinite and a finite element lies the infinite
    one, where NumPy may give NaN.

    >>> import fuse.tensor as T
    >>> quantile(T.constant([3.0, 1.0, 2.0, 10.0]), [0.5, 1.0]).eval()
    array([ 2.5, 10. ])
    """
    if method not in _METHODS:
        raise FuseValueError(f"quantile has the methods {', '.join(sorted(_METHODS))}; not {method!r}")
    x, q = as_expr(x), as_expr(q)
    if x.type.dtype in COMPLEX:
        raise FuseTypeError("complex numbers have no quantiles: take those of x.real, x.imag or abs(x)")
    between = method in ("linear", "midpoint")
    x = ew.cast(x, "float64") if x.type.dtype in DISCRETE and between else x
    dtype = x.type.dtype
    axes, rest, ordered = _ordered(x, axis)
    sizes, n = sizes_of(x), sizes_of(ordered)[-1]
    present = ew.cast(ew.invert(ew.isnan(ordered)), "int64")
    last = ew.sub(present.sum(axis=-1) if skip_nan else as_expr(n), 1)  # the position of the largest
    front = ["x"] * q.type.ndim
    last = dimshuffle(last, [*front, *range(last.type.ndim)])
    q = dimshuffle(ew.cast(q, "float64"), [*range(q.type.ndim), *["x"] * len(rest)])
    at = ew.mul(q, ew.cast(last, "float64"))
    low = {"nearest": ew.round_half_to_even, "higher": ew.ceil}.get(method, ew.floor)(at)
    high = ew.ceil(at) if between else low
    outer = [
        dimshuffle(iota(sizes[a]), [*front, *["x"] * k, 0, *["x"] * (len(rest) - k - 1)]) for k, a in enumerate(rest)
    ]
    below, above = [ordered[(*outer, ew.cast(ew.maximum(place, 0), "int64"))] for place in (low, high)]
    out = below
    if high is not low:
        part = ew.sub(at, low) if method == "linear" else ew.switch(ew.gt(at, low), 0.5, 0.0)
        out = ew.add(below, ew.mul(ew.sub(above, below), ew.cast(part, dtype)))
        infinite = ew.or_(ew.isinf(below), ew.isinf(above))  # the sum is the limit there, and the difference is none
        out = ew.switch(ew.eq(part, 0), below, ew.switch(infinite, ew.add(below, above), out))
    if not skip_nan and dtype not in DISCRETE:
        out = ew.switch(ew.isnan(ordered[..., -1]), ordered[..., -1], out)
    if not keepdims:
        return out
    lead = out.type.ndim - len(rest)
    return dimshuffle(out, [*range(lead), *["x" if a in axes else lead + rest.index(a) for a in range(x.type.ndim)]])


def weighted_quantile(x: Any, q: Any, weights: Any, axis: Any = None, keepdims: bool = False) -> Expr:
    """The least elements up to which the weights make up the part ``q`` of all: NumPy's method 'inverted_cdf'.

    ``weights`` has the shape of ``x``, or is a vector along ``axis``, one axis or None. Raises FuseValueError at run
    time for weights that are negative, not finite or all 0.

    >>> import fuse.tensor as T
    >>> weighted_quantile(T.constant([3.0, 1.0, 2.0]), [0.1, 0.6], weights=[1.0, 1.0, 2.0]).eval()
    array([1., 2.])
    """
    x, q, w = as_expr(x), as_expr(q), ew.cast(weights, "float64")
    ndim = x.type.ndim
    axes = reduced_axes(axis, ndim)
    if q.type.ndim > 1 or axis is not None and len(axes) != 1 or w.type.ndim not in (1, ndim):
        raise FuseTypeError("weighted quantiles are taken over one axis or all, at a number or a vector of numbers")
    if w.type.ndim != ndim:
        w = ew.fill(x, dimshuffle(w, [0 if a == axes[0] else "x" for a in range(ndim)]))
    x, w = [v.flatten() if axis is None else moveaxis(v, axes[0], -1) for v in (x, w)]
    order = argsort(x, axis=-1)
    ordered, w = take_along_axis(x, order, -1), take_along_axis(w, order, -1)
    total = w.sum(axis=-1, keepdims=True)
    right = [ew.ge(w, 0).all(), ew.and_(ew.gt(total, 0), ew.lt(total, np.inf)).all()]
    text = "the weights of a quantile are finite, not negative and not all 0"
    share = required(cumsum(w, axis=-1) / total, right, text, "FuseValueError")
    parts = dimshuffle(q, ["x" if q.type.ndim == 0 else 0, *["x"] * x.type.ndim])
    below = ew.or_(ew.lt(share, parts), ew.eq(share, 0)).sum(axis=-1)  # at 0 the first element that counts is wanted
    places = ew.minimum(below, as_size_expr(sizes_of(ordered)[-1]) - 1)
    out = moveaxis(take_along_axis(ordered, moveaxis(places, 0, -1), -1), -1, 0)
    if x.type.dtype not in DISCRETE:
        out = ew.switch(ew.isnan(ordered[..., -1]), ordered[..., -1], out)
    out = out if q.type.ndim else out[0]
    if not keepdims:
        return out
    lead, rest = q.type.ndim, iter(range(q.type.ndim, out.type.ndim))
    return dimshuffle(out, [*range(lead), *["x" if a in axes else next(rest) for a in range(ndim)]])


__all__ = ["argtopk", "median", "quantile", "topk", "topk_and_argtopk", "weighted_quantile"]
