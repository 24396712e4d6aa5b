"""Places in an order: topk, argtopk, median."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseValueError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import flatten
from fuse.frontend.join import slice_axis
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.reductions import kept
from fuse.frontend.selecting import take_along_axis
from fuse.frontend.sizes import (
    Size,
    normalize_axes,
    normalize_axis,
    size_floordiv,
    size_product,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.frontend.sorting import argsort, sort
from fuse.types import DISCRETE


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


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Expr:
    """The middle element in rising order over ``axis``, or the mean of the two middle ones; NaN where there is one.

    >>> import fuse.tensor as T
    >>> median(T.constant([3.0, 1.0, 2.0, 10.0])).eval()
    array(2.5)
    """
    x = as_expr(x)
    axes = normalize_axes(axis, x.type.ndim)
    rest = [a for a in range(x.type.ndim) if a not in axes]
    sizes = sizes_of(x)
    n = size_product([sizes[a] for a in axes])
    ordered = sort(reshape(dimshuffle(x, [*rest, *axes]), [*[sizes[a] for a in rest], n]), -1)
    low: Size = size_floordiv(size_sub(n, 1), 2)
    high: Size = size_floordiv(n, 2)
    middle = [ordered[..., at] for at in (low, high)]
    floating = [ew.cast(m, "float64") if m.type.dtype in DISCRETE else m for m in middle]
    both = ew.mul(ew.add(*floating), constant(0.5, dtype=floating[0].type.dtype))
    last = ordered[..., -1]
    out = ew.switch(ew.isnan(last), ew.cast(last, both.type.dtype), both)
    return kept(out, axes, x.type.ndim) if keepdims else out


__all__ = ["argtopk", "median", "topk", "topk_and_argtopk"]
