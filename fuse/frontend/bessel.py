"""Bessel functions: of the first and second kind, modified ones, and those scaled by exponentials; SciPy computes them.

Derivatives in the argument are those of DLMF 10.6.1 and 10.29.1; in the order there are none.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.frontend.arithmetic import cast, sgn
from fuse.frontend.logic import literal
from fuse.frontend.special import scipy_special, special_function

if TYPE_CHECKING:
    from fuse.codegen import mathlib

_ORDER = "the derivative in the order of a Bessel function has no closed form"


_FAR = 1e8  # from here on two terms of expansions for large arguments are exact; from 1e9 on SciPy has NaN


def _at_infinity(name: str, sign: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """SciPy's function, which has NaN at infinities."""
    return lambda x: np.where(np.isinf(x), sign(x), scipy_special(name)(x)).astype(x.dtype)


def _from_far_on(name: str, far: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """SciPy's function, from ``_FAR`` on another one, of real numbers in double."""

    def value(v: Any, x: Any) -> Any:
        near = scipy_special(name)(v, x)
        v, x = (np.asarray(a, "float64") for a in (v, x))
        with np.errstate(all="ignore"):
            return np.where((np.abs(x) >= _FAR) & (np.abs(v) < np.abs(x) / 2), far(v, x), near).astype(near.dtype)

    return value


def _far_scaled(v: Any, x: Any, sign: int) -> Any:
    """``ive`` of positive ``x`` for ``sign`` 1, ``kve / pi`` for -1, by DLMF 10.41.3 and 10.41.4."""
    w = np.hypot(v, x)
    grown = np.exp(sign * v * (v / (w + x) - np.arcsinh(v / x)))
    return grown * (1 + sign * (3 - 5 * (v / w) ** 2) / (24 * w)) / np.sqrt(2 * np.pi) / np.sqrt(w)


def _parity(v: Any, x: Any) -> Any:
    return np.where(x > 0, 1, np.where(np.floor(v) == v, 1 - 2 * np.mod(v, 2), np.nan))


_far_iv = _from_far_on("iv", lambda v, x: _parity(v, x) * np.inf)
_far_ive = _from_far_on("ive", lambda v, x: _parity(v, x) * _far_scaled(v, np.abs(x), 1))
_far_kve = _from_far_on("kve", lambda v, x: np.where(x > 0, np.pi * _far_scaled(v, np.abs(x), -1), np.nan))


def _half(out):
    return literal(0.5, out)


def _next(v, out, step):
    """The order ``v``, which may be an unsigned integer, plus ``step``, in the dtype of ``out``."""
    return cast(v, out.dtype) + literal(step, out)


@special_function(latex="J_0(#1)", domain=(-5.0, 5.0), grad=(lambda g, out, x: -g * j1(x),))
def j0(x):
    """The Bessel function of the first kind of order 0.

    >>> j0([0.0, 1.0]).eval()
    array([1.        , 0.76519769])
    """
    return mathlib.j0(x)


@special_function(
    latex="J_1(#1)", domain=(-5.0, 5.0), grad=(lambda g, out, x: g * _half(out) * (j0(x) - jv(literal(2, out), x)),),
)
def j1(x):
    """The Bessel function of the first kind of order 1.

    >>> j1([0.0, 1.0]).eval()
    array([0.        , 0.44005059])
    """
    return mathlib.j1(x)


@special_function(
    latex="J_{#1}(#2)", domain=(0.5, 5.0),
    grad=(_ORDER, lambda g, out, v, x: g * _half(out) * (jv(_next(v, out, -1), x) - jv(_next(v, out, 1), x))),
)
def jv(v, x):
    """The Bessel function of the first kind of real order ``v`` at ``x``.

    >>> jv(0.5, [1.0, 2.0]).eval()
    array([0.67139671, 0.51301614])
    """
    return mathlib.jv(v, x)


@special_function(latex="Y_0(#1)", domain=(0.5, 5.0), grad=(lambda g, out, x: -g * y1(x),))
def y0(x):
    """The Bessel function of the second kind of order 0: -inf at 0, NaN below.

    >>> y0([1.0, 2.0]).eval()
    array([0.08825696, 0.51037567])
    """
    return mathlib.y0(x)


@special_function(
    latex="Y_1(#1)", domain=(0.5, 5.0), grad=(lambda g, out, x: g * _half(out) * (y0(x) - yv(literal(2, out), x)),),
)
def y1(x):
    """The Bessel function of the second kind of order 1: -inf at 0, NaN below.

    >>> y1([1.0, 2.0]).eval()
    array([-0.78121282, -0.10703243])
    """
    return mathlib.y1(x)


@special_function(
    latex="Y_{#1}(#2)", domain=(0.5, 5.0),
    grad=(_ORDER, lambda g, out, v, x: g * _half(out) * (yv(_next(v, out, -1), x) - yv(_next(v, out, 1), x))),
)
def yv(v, x):
    """The Bessel function of the second kind of real order ``v`` at ``x`` > 0.

    >>> yv(0.5, [1.0, 2.0]).eval()
    array([-0.43109887,  0.23478571])
    """
    return mathlib.yv(v, x)


@special_function(
    _at_infinity("i0", np.abs), latex="I_0(#1)", domain=(-5.0, 5.0), grad=(lambda g, out, x: g * i1(x),),
)
def i0(x):
    """The modified Bessel function of the first kind of order 0.

    >>> i0([0.0, 1.0]).eval()
    array([1.        , 1.26606588])
    """
    return mathlib.i0(x)


@special_function(
    _at_infinity("i1", np.asarray), latex="I_1(#1)", domain=(-5.0, 5.0),
    grad=(lambda g, out, x: g * _half(out) * (i0(x) + iv(literal(2, out), x)),),
)
def i1(x):
    """The modified Bessel function of the first kind of order 1.

    >>> i1([0.0, 1.0]).eval()
    array([0.        , 0.5651591])
    """
    return mathlib.i1(x)


@special_function(
    _far_iv, latex="I_{#1}(#2)", domain=(0.5, 5.0),
    grad=(_ORDER, lambda g, out, v, x: g * _half(out) * (iv(_next(v, out, -1), x) + iv(_next(v, out, 1), x))),
)
def iv(v, x):
    """The modified Bessel function of the first kind of real order ``v`` at ``x``.

    >>> iv(0.5, [1.0, 2.0]).eval()
    array([0.93767489, 2.04623686])
    """
    return mathlib.iv(v, x)


def _ive_grad(g, out, v, x):
    return g * (_half(out) * (ive(_next(v, out, -1), x) + ive(_next(v, out, 1), x)) - sgn(x) * out)


@special_function(_far_ive, latex="e^{-|#2|} I_{#1}(#2)", domain=(0.5, 5.0), grad=(_ORDER, _ive_grad))
def ive(v, x):
    """``iv(v, x) * exp(-abs(x))``, which does not overflow.

    >>> ive(0.5, [1.0, 1000.0]).eval()
    array([0.34495131, 0.01261566])
    """
    return mathlib.ive(v, x)


@special_function(latex="K_0(#1)", domain=(0.5, 5.0), grad=(lambda g, out, x: -g * k1(x),))
def k0(x):
    """The modified Bessel function of the second kind of order 0: inf at 0, NaN below.

    >>> k0([1.0, 2.0]).eval()
    array([0.42102444, 0.11389387])
    """
    return mathlib.k0(x)


@special_function(
    latex="K_1(#1)", domain=(0.5, 5.0), grad=(lambda g, out, x: -g * _half(out) * (k0(x) + kv(literal(2, out), x)),),
)
def k1(x):
    """The modified Bessel function of the second kind of order 1: inf at 0, NaN below.

    >>> k1([1.0, 2.0]).eval()
    array([0.60190723, 0.13986588])
    """
    return mathlib.k1(x)


@special_function(
    latex="K_{#1}(#2)", domain=(0.5, 5.0),
    grad=(_ORDER, lambda g, out, v, x: -g * _half(out) * (kv(_next(v, out, -1), x) + kv(_next(v, out, 1), x))),
)
def kv(v, x):
    """The modified Bessel function of the second kind of real order ``v`` at ``x`` > 0.

    >>> kv(0.5, [1.0, 2.0]).eval()
    array([0.4610685 , 0.11993777])
    """
    return mathlib.kv(v, x)


@special_function(
    _far_kve, latex="e^{#2} K_{#1}(#2)", domain=(0.5, 5.0),
    grad=(_ORDER, lambda g, out, v, x: g * (
        out - _half(out) * (kve(_next(v, out, -1), x) + kve(_next(v, out, 1), x))
    )),
)
def kve(v, x):
    """``kv(v, x) * exp(x)``, which does not underflow.

    >>> kve(0.5, [1.0, 1000.0]).eval()
    array([1.25331414, 0.03963327])
    """
    return mathlib.kve(v, x)


__all__ = ["i0", "i1", "iv", "ive", "j0", "j1", "jv", "k0", "k1", "kv", "kve", "y0", "y1", "yv"]
