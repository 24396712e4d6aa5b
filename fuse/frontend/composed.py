"""Elementwise functions that are written in other ops and need no record of their own."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend.arithmetic import abs, cast
from fuse.frontend.complexes import complex, imag, real
from fuse.frontend.logic import and_, eq, gt, invert, isfinite, isnan, literal, lt, or_, switch, xor
from fuse.frontend.special import gammaln
from fuse.frontend.transcendental import log


def logical_and(x: Any, y: Any) -> Expr:
    """Whether both are true (not zero): bool.

    >>> logical_and([0.0, 2.0], 3).eval()
    array([False,  True])
    """
    return and_(cast(x, "bool"), cast(y, "bool"))


def logical_or(x: Any, y: Any) -> Expr:
    """Whether one or both are true (not zero): bool.

    >>> logical_or([0.0, 2.0], 0).eval()
    array([False,  True])
    """
    return or_(cast(x, "bool"), cast(y, "bool"))


def logical_xor(x: Any, y: Any) -> Expr:
    """Whether exactly one is true (not zero): bool.

    >>> logical_xor([0.0, 2.0], 3).eval()
    array([ True, False])
    """
    return xor(cast(x, "bool"), cast(y, "bool"))


def logical_not(x: Any) -> Expr:
    """Whether ``x`` is zero: bool.

    >>> logical_not([0.0, 2.0]).eval()
    array([ True, False])
    """
    return invert(cast(x, "bool"))


def _ordered(x: Any) -> Expr:
    if (x := as_expr(x)).type.dtype in ty.COMPLEX:
        raise FuseTypeError("complex infinities have no sign: take x.real, x.imag or isinf(x)")
    return x


def isposinf(x: Any) -> Expr:
    """Whether a real ``x`` is inf: bool.

    >>> isposinf([float("inf"), float("-inf")]).eval()
    array([ True, False])
    """
    return eq(_ordered(x), np.inf)


def isneginf(x: Any) -> Expr:
    """Whether a real ``x`` is -inf: bool.

    >>> isneginf([float("inf"), float("-inf")]).eval()
    array([False,  True])
    """
    return eq(_ordered(x), -np.inf)


@also(a="x", b="y")
def isclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Expr:
    """Whether ``abs(x - y) <= atol + rtol * abs(y)``, or both are the same infinity: bool.

    >>> isclose([1.0, 1.1], 1.0 + 1e-7).eval()
    array([ True, False])
    """
    x, y = as_expr(x), as_expr(y)
    wide = cast(y, "float64") if y.type.dtype in ty.DISCRETE else y  # differences of integers may wrap around
    near = and_(isfinite(y), abs(x - wide) <= atol + rtol * abs(wide))
    close = or_(near, eq(x, y))
    return or_(close, and_(isnan(x), isnan(y))) if equal_nan else close


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Expr:
    """``x`` with NaN and infinities replaced; infinities by the greatest finite numbers where nothing else is given.

    >>> nan_to_num([float("nan"), 1.0, float("inf")], posinf=9.0).eval()
    array([0., 1., 9.])
    """
    x = as_expr(x)
    if x.type.dtype in ty.COMPLEX:
        return complex(*[nan_to_num(part, nan, posinf, neginf) for part in (real(x), imag(x))])
    if x.type.dtype not in ty.FLOATING:
        return x
    limits = np.finfo(x.type.dtype)
    high = literal(limits.max if posinf is None else posinf, x)
    low = literal(limits.min if neginf is None else neginf, x)
    return switch(isnan(x), literal(nan, x), switch(isposinf(x), high, switch(isneginf(x), low, x)))


def logit(x: Any) -> Expr:
    """``log(x / (1 - x))``, the inverse of ``sigmoid``.

    >>> logit([0.5, 0.75]).eval()
    array([0.        , 1.09861229])
    """
    x = as_expr(x)
    return log(x / (constant(1, dtype=ty.inexact(x.dtype)) - x))


@also(a="x", b="y")
def betaln(x: Any, y: Any) -> Expr:
    """The logarithm of the beta function, ``gammaln(x) + gammaln(y) - gammaln(x + y)``.

    Where one argument is much larger than the other, by the expansion of ``gammaln(y) - gammaln(x + y)`` in 1 / y, as
    the difference cancels (F. G. Tricomi, A. Erdelyi, Pacific J. Math. 1 (1951) 133).

    >>> betaln([2.0], 3.0).eval()
    array([-2.48490665])
    """
    x, y = as_expr(x), as_expr(y)
    dtype = ty.inexact(ty.promote(x.type.dtype, y.type.dtype))
    x, y = cast(x, dtype), cast(y, dtype)

    def number(value: float) -> Expr:
        return constant(value, dtype=dtype)

    less = lt(x, y)
    small, large = switch(less, x, y), switch(less, y, x)
    bound = number(1e3 if dtype == "float64" else 32)  # from where the expansion is exact but for rounding
    far = and_(gt(large, bound * abs(small)), gt(large, bound))
    base = switch(far, large, bound)
    t, u, twelfth = small / base, number(1) / base, number(1 / 12)
    series = number(0.5) + (u - number(2) * t) * twelfth - t * (u - t) * twelfth
    series = series + (u - number(2) * t) * (number(3) * t * (t - u) - u * u) * number(1 / 120)
    expanded = t * (number(1) - small) * series - small * log(base)
    return gammaln(small) + switch(far, expanded, gammaln(large) - gammaln(small + large))
