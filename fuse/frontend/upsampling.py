"""Images made larger by linear interpolation."""
from __future__ import annotations

from math import gcd
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle, iota
from fuse.frontend.selecting import take
from fuse.frontend.sizes import (
    Size,
    as_size,
    as_size_expr,
    constant_value,
    size_add,
    size_floordiv,
    size_mul,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.types import FLOATING, dtype_name

__all__ = ["bilinear_kernel_1D", "bilinear_kernel_2D", "bilinear_upsampling"]


def bilinear_kernel_1D(ratio: Any, normalize: bool = True) -> Expr:
    """The triangle of ``2 * ratio - 1`` weights that interpolates linearly between elements ``ratio`` apart.

    With ``normalize`` its largest weight is 1, so that the elements themselves are kept. ``ratio`` is an integer or a
    0-d expression.

    >>> bilinear_kernel_1D(2).eval()
    array([0.5, 1. , 0.5])
    """
    n = as_size(ratio)
    last = size_sub(n, 1)
    places = ew.abs_(ew.sub(iota(size_add(size_mul(2, last), 1)), as_size_expr(last)))
    kernel = ew.cast(ew.sub(as_size_expr(n), places), dtype_name("floatX"))
    kernel = ew.true_div(kernel, ew.cast(as_size_expr(n), kernel.type.dtype)) if normalize else kernel
    known = constant_value(kernel)
    return kernel if known is None else constant(known)


def bilinear_kernel_2D(ratio: Any, normalize: bool = True) -> Expr:
    """The outer product of ``bilinear_kernel_1D`` with itself.

    >>> bilinear_kernel_2D(1).eval()
    array([[1.]])
    """
    kernel = bilinear_kernel_1D(ratio, normalize)
    return ew.mul(dimshuffle(kernel, 0, "x"), kernel)


def bilinear_upsampling(
    input: Any, ratio: Any = None, frac_ratio: Any = None, batch_size: Any = None, num_input_channels: Any = None,
    use_1D_kernel: bool = True,
) -> Expr:
    """Images (images, channels, rows, columns) made ``ratio`` times larger by linear interpolation in each direction.

    Beyond the first and the last element their values are repeated: ``(ratio - 1) // 2`` times before the first, the
    rest after the last. ``ratio`` is an integer or a 0-d integer expression; ``frac_ratio`` (larger, smaller), or one
    pair for rows and one for columns, takes every ``smaller``-th element of images that many times larger.
    Raises ShapeError for other ranks than 4, FuseValueError for both ratios or none.

    >>> import fuse.tensor as T
    >>> x = T.tensor4("x")
    >>> bilinear_upsampling(x, 2).eval({x: [[[[1.0, 3.0]]]]})
    array([[[[1., 2., 3., 3.],
             [1., 2., 3., 3.]]]])
    """
    x = as_expr(input)
    if x.type.ndim != 4:
        raise ShapeError(f"bilinear_upsampling takes images of rank 4, not a {x.type.describe()}")
    if (ratio is None) == (frac_ratio is None):
        raise FuseValueError("bilinear_upsampling takes one of ratio and frac_ratio")
    pairs: Any = ((ratio, 1), (ratio, 1)) if frac_ratio is None else _pairs(frac_ratio)
    x = x if x.type.dtype in FLOATING else ew.cast(x, dtype_name("floatX"))
    for axis, (up, down) in zip((2, 3), pairs, strict=True):
        x = _interpolated(x, axis, as_size(up), down)
    return x


def _pairs(given: Any) -> tuple[tuple[int, int], ...]:
    pairs = given if isinstance(given[0], (tuple, list)) else (given, given)
    found = []
    for pair in pairs:
        up, down = [static_int(n) for n in pair] if len(pair) == 2 else (None, None)
        if up is None or down is None or up < 1 or down < 1:
            raise FuseTypeError(f"a ratio is a pair of positive integers, not {pair!r}")
        found.append((up // gcd(up, down), down // gcd(up, down)))
    return tuple(found)


def _interpolated(x: Expr, axis: int, up: Size, down: int) -> Expr:
    """Along ``axis``, every ``down``-th of ``up`` places for each element."""
    n = sizes_of(x)[axis]
    count = size_add(size_floordiv(size_sub(size_mul(n, up), 1), down), 1)
    whole, last = as_size_expr(up), size_sub(n, 1)
    before = as_size_expr(size_floordiv(size_sub(up, 1), 2))
    # places in units of 1 / up of the distance of two elements
    place = ew.clip(ew.sub(ew.mul(iota(count), down), before), 0, as_size_expr(size_mul(last, up)))
    here = ew.int_div(place, whole)
    there = ew.minimum(ew.add(here, 1), as_size_expr(last))
    weight = ew.cast(ew.true_div(ew.mod(place, whole), whole), x.type.dtype)
    weight = dimshuffle(weight, *["x"] * axis, 0, *["x"] * (x.type.ndim - axis - 1))
    low = take(x, here, axis=axis)
    return ew.add(low, ew.mul(ew.sub(take(x, there, axis=axis), low), weight))
