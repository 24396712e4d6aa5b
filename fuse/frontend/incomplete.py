"""Incomplete gamma and beta functions, their inverses and derivatives in the parameters; relatives of theirs.

SciPy computes the functions, `mathlib.special` the derivatives in the parameters, of which there are none of second
order. Sources: DLMF 6, 8 and 15.5.1; D. B. Owen, Ann. Math. Statist. 27 (1956) 1075.
"""
from __future__ import annotations

import math
from math import pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.expr import Expr, as_expr
from fuse.frontend.arithmetic import abs as magnitude
from fuse.frontend.arithmetic import cast, reciprocal, sqr
from fuse.frontend.logic import literal, lt, switch
from fuse.frontend.special import (
    ROUGH,
    erf,
    gamma,
    gammaln,
    psi,
    special_function,
    xlog1py,
    xlogy,
)
from fuse.frontend.transcendental import exp, inexact_real, log
from fuse.op import elementwise, inexact

if TYPE_CHECKING:
    from fuse.codegen import mathlib

_TWICE = "it is itself a derivative in a parameter"
_PARAMETERS = "of the hypergeometric function only the derivative in its argument has a closed form"


# ---------------------------------------------------------------- incomplete gamma functions
def _gamma_density(out: Expr, k: Any, x: Any) -> Expr:
    """The derivative of ``gammainc(k, x)`` in ``x``: ``x**(k - 1) * exp(-x) / gamma(k)``, in the dtype of ``out``."""
    k, x = cast(k, out.dtype), cast(x, out.dtype)
    return exp(xlogy(k - literal(1, out), x) - x - gammaln(k))


@special_function(
    latex="P(#1, #2)", domain=(0.5, 5.0),
    grad=(lambda g, out, k, x: g * gammainc_da(k, x), lambda g, out, k, x: g * _gamma_density(out, k, x)),
)
def gammainc(k, x):
    """The regularised lower incomplete gamma function: the distribution function of a gamma variable of shape ``k``.

    >>> gammainc(2.0, [0.0, 1.0]).eval()
    array([0.        , 0.26424112])
    """
    return mathlib.gammainc(k, x)


@special_function(
    latex="Q(#1, #2)", domain=(0.5, 5.0),
    grad=(lambda g, out, k, x: -g * gammainc_da(k, x), lambda g, out, k, x: -g * _gamma_density(out, k, x)),
)
def gammaincc(k, x):
    """``1 - gammainc(k, x)``, accurate for large ``x``.

    >>> gammaincc(2.0, [0.0, 50.0]).eval()
    array([1.00000000e+00, 9.83662422e-21])
    """
    return mathlib.gammaincc(k, x)


@special_function(
    latex="P^{-1}(#1, #2)", domain=(0.1, 0.9),
    grad=(lambda g, out, k, y: -g * gammainc_da(k, out) / _gamma_density(out, k, out),
          lambda g, out, k, y: g / _gamma_density(out, k, out)),
)
def gammaincinv(k, y):
    """The ``x`` with ``gammainc(k, x) == y``.

    >>> gammaincinv(2.0, [0.0, 0.5]).eval()
    array([0.        , 1.67834699])
    """
    return mathlib.gammaincinv(k, y)


@special_function(
    latex="Q^{-1}(#1, #2)", domain=(0.1, 0.9),
    grad=(lambda g, out, k, y: -g * gammainc_da(k, out) / _gamma_density(out, k, out),
          lambda g, out, k, y: -g / _gamma_density(out, k, out)),
)
def gammainccinv(k, y):
    """The ``x`` with ``gammaincc(k, x) == y``.

    >>> gammainccinv(2.0, [1.0, 0.5]).eval()
    array([0.        , 1.67834699])
    """
    return mathlib.gammainccinv(k, y)


def _gammainc_da(a: Any, x: Any) -> Any:
    # up to a + 1 the power series, whose terms are all known at once, beyond it the continued fraction from its far end
    shape, dtype = np.broadcast_shapes(np.shape(a), np.shape(x)), np.result_type(a, x)
    a, x = (np.broadcast_to(np.asarray(v, "float64"), shape).reshape(-1) for v in (a, x))
    out = np.full(a.shape, np.nan)
    with np.errstate(all="ignore"):
        out[(a > 0) & (a < np.inf) & ((x == 0) | (x == np.inf))] = 0
        for k in np.flatnonzero((a > 0) & (a < np.inf) & (x > 0) & (x < np.inf)):
            out[k] = _gammainc_da_at(a[k], x[k])
    return out.reshape(shape).astype(dtype)


def _gammainc_da_at(a: float, x: float) -> float:
    from scipy.special import digamma
    from scipy.special import gammaln as log_gamma

    scale = np.exp(a * np.log(x) - x - log_gamma(a + 1))
    if scale == 0:
        return -0.0
    if max(a, x) > 4e8:
        return np.nan
    n = np.arange(200 + 12 * np.ceil(np.sqrt(max(a, x))))
    if x < a + 1:
        terms = np.exp(np.cumsum(np.concatenate([[0.0], np.log(x / (a + n[1:]))])))
        return float(scale * (terms * (np.log(x) - digamma(a + 1 + n))).sum())
    h = dh = 0.0
    for m in n[:0:-1]:
        under = x + 2 * m + 1 - a + h
        h, dh = m * (a - m) / under, (m - m * (a - m) / under * (dh - 1)) / under
    value = 1 / (x + 1 - a + h)
    return float(-a * scale * (value * (np.log(x) - digamma(a)) - value * value * (dh - 1)))


@elementwise(dtype=inexact_real, numpy=_gammainc_da, domain=(0.5, 5.0), builtin=True,
             meta={**ROUGH, "defined": lambda a, x: (np.maximum(a, x) < 1e4) & (np.minimum(a, x) > 1e-10)},
             grad=(_TWICE, lambda g, out, a, x: g * _gamma_density(out, a, x) * (
                 log(cast(x, out.dtype)) - psi(cast(a, out.dtype)))))
def gammainc_da(a, x):
    """The derivative of ``gammainc(a, x)`` in ``a``.

    >>> gammainc_da(2.0, [1.0]).eval()
    array([-0.27619605])
    """
    return mathlib.gammainc_da(a, x)


def gammal(k: Any, x: Any) -> Expr:
    """The lower incomplete gamma function, ``gammainc(k, x) * gamma(k)``.

    >>> gammal(3.0, [1.0]).eval()
    array([0.16060279])
    """
    value = gammainc(k, x)
    return value * gamma(cast(k, value.dtype))


def gammau(k: Any, x: Any) -> Expr:
    """The upper incomplete gamma function, ``gammaincc(k, x) * gamma(k)``.

    >>> gammau(3.0, [1.0]).eval()
    array([1.83939721])
    """
    value = gammaincc(k, x)
    return value * gamma(cast(k, value.dtype))


def chi2sf(x: Any, k: Any) -> Expr:
    """The probability that a chi-squared variable with ``k`` degrees of freedom is greater than ``x``: float64.

    >>> chi2sf([0.0, 3.84], 1).eval()
    array([1.        , 0.05004352])
    """
    half = np.float64(0.5)
    return gammaincc(cast(k, "float64") * half, cast(x, "float64") * half)


# ---------------------------------------------------------------- beta functions
@special_function(
    latex="B(#1, #2)", domain=(0.5, 5.0),
    grad=(lambda g, out, a, b: g * _beta_slope(out, a, b), lambda g, out, a, b: g * _beta_slope(out, b, a)),
)
def beta(a, b):
    """The beta function, ``gamma(a) * gamma(b) / gamma(a + b)``.

    >>> beta([2.0], 3.0).eval()
    array([0.08333333])
    """
    return mathlib.beta(a, b)


def _beta_slope(out: Expr, a: Any, b: Any) -> Expr:
    a, b = cast(a, out.dtype), cast(b, out.dtype)
    return out * (psi(a) - psi(a + b))


def _beta_density(out: Expr, a: Any, b: Any, x: Any) -> Expr:
    """The derivative of ``betainc(a, b, x)`` in ``x``, in the dtype of ``out``."""
    a, b, x = (cast(v, out.dtype) for v in (a, b, x))
    one = literal(1, out)
    return exp(xlogy(a - one, x) + xlog1py(b - one, -x) + gammaln(a + b) - gammaln(a) - gammaln(b))


def _betainc_db(out: Expr, a: Any, b: Any, x: Any) -> Expr:
    return -betainc_da(b, a, literal(1, out) - cast(x, out.dtype))


@special_function(
    latex="I_{#3}(#1, #2)", domain=(0.1, 0.9),
    grad=(lambda g, out, a, b, x: g * betainc_da(a, b, x),
          lambda g, out, a, b, x: g * _betainc_db(out, a, b, x),
          lambda g, out, a, b, x: g * _beta_density(out, a, b, x)),
)
def betainc(a, b, x):
    """The regularised incomplete beta function: the distribution function of a beta variable.

    >>> betainc(2.0, 3.0, [0.0, 0.5, 1.0]).eval()
    array([0.    , 0.6875, 1.    ])
    """
    return mathlib.betainc(a, b, x)


@special_function(
    latex="I^{-1}_{#3}(#1, #2)", domain=(0.3, 0.7),
    grad=(lambda g, out, a, b, y: -g * betainc_da(a, b, out) / _beta_density(out, a, b, out),
          lambda g, out, a, b, y: -g * _betainc_db(out, a, b, out) / _beta_density(out, a, b, out),
          lambda g, out, a, b, y: g / _beta_density(out, a, b, out)),
)
def betaincinv(a, b, y):
    """The ``x`` with ``betainc(a, b, x) == y``.

    >>> betaincinv(2.0, 3.0, [0.6875]).eval()
    array([0.5])
    """
    return mathlib.betaincinv(a, b, y)


def _betainc_da(a: Any, b: Any, x: Any) -> Any:
    # tanh-sinh quadrature of the density times log(t) less its mean: 60 points and their weights for t = x u
    shape, dtype = np.broadcast_shapes(np.shape(a), np.shape(b), np.shape(x)), np.result_type(a, b, x)
    a, b, x = (np.broadcast_to(np.asarray(v, "float64"), shape).reshape(-1) for v in (a, b, x))
    out = np.full(a.shape, np.nan)
    with np.errstate(all="ignore"):
        allowed = (a > 0) & (b > 0) & (a < np.inf) & (b < np.inf)
        out[allowed & ((x == 0) | (x == 1))] = 0
        for k in np.flatnonzero(allowed & (x > 0) & (x < 1)):
            out[k] = _betainc_da_at(a[k], b[k], x[k])
    return out.reshape(shape).astype(dtype)


def _betainc_da_at(a: float, b: float, x: float) -> float:
    from scipy.special import betainc as incomplete
    from scipy.special import digamma, gammaln

    # both ends may be singular, so it is over the nearer end that is integrated: over t from 0 to x, or x to 1
    log_beta = gammaln(a) + gammaln(b) - gammaln(a + b)
    mean = digamma(a) - digamma(a + b)
    u = np.linspace(-6.5, 6.5, 2001)
    left = 1 / (1 + np.exp(np.pi * np.sinh(u)))  # 1 - right, both exact near 0
    right = 1 / (1 + np.exp(-np.pi * np.sinh(u)))
    weight = (u[1] - u[0]) * np.pi * np.cosh(u) * left * right
    lower = x * (a + b) <= a
    t, rest, width = (x * right, 1 - x * right, x) if lower else (x + (1 - x) * right, (1 - x) * left, 1 - x)
    log_t = np.log(x) + np.log(right) if lower else np.log1p(-rest)
    log_rest = np.log1p(-t) if lower else np.log(rest)
    value = np.exp((a - 1) * log_t + (b - 1) * log_rest - log_beta) * (log_t - mean)
    total = width * np.sum(np.where(weight > 0, weight * value, 0))
    return float(total if lower else -total) if np.isfinite(incomplete(a, b, x)) else np.nan


def _within_reach(a: Any, b: Any, x: Any) -> Any:
    return (np.maximum(a, b) < 1e3) & (np.minimum(a, b) > 1e-3) & ((x == 0) | (x > 1e-300))


@elementwise(dtype=inexact_real, numpy=_betainc_da, domain=(0.1, 0.9), builtin=True,
             meta={**ROUGH, "defined": _within_reach},
             grad=(_TWICE, _TWICE, lambda g, out, a, b, x: g * _beta_density(out, a, b, x) * (
                 log(cast(x, out.dtype)) - psi(cast(a, out.dtype)) + psi(cast(a, out.dtype) + cast(b, out.dtype)))))
def betainc_da(a, b, x):
    """The derivative of ``betainc(a, b, x)`` in ``a``; that in ``b`` is ``-betainc_da(b, a, 1 - x)``.

    >>> betainc_da(1.0, 1.0, [0.5]).eval()
    array([-0.34657359])
    """
    return mathlib.betainc_da(a, b, x)


# ---------------------------------------------------------------- relatives
@special_function(
    latex="(#1)_{#2}", domain=(0.5, 5.0),
    grad=(lambda g, out, z, m: g * out * (_psi_of_sum(out, z, m) - psi(cast(z, out.dtype))),
          lambda g, out, z, m: g * out * _psi_of_sum(out, z, m)),
)
def poch(z, m):
    """Pochhammer's symbol, ``gamma(z + m) / gamma(z)``.

    >>> poch([2.0], 3.0).eval()
    array([24.])
    """
    return mathlib.poch(z, m)


def _psi_of_sum(out: Expr, z: Any, m: Any) -> Expr:
    return psi(cast(z, out.dtype) + cast(m, out.dtype))


@special_function(
    latex="T(#1, #2)", domain=(0.5, 3.0),
    grad=(lambda g, out, h, a: g * _owens_dh(out, h, a), lambda g, out, h, a: g * _owens_da(out, h, a)),
)
def owens_t(h, a):
    """Owen's T: the probability of ``X > h`` and ``0 < Y < a * X`` for independent standard normal X and Y.

    >>> owens_t([1.0], 0.5).eval()
    array([0.04306469])
    """
    return mathlib.owens_t(h, a)


def _owens_dh(out: Expr, h: Any, a: Any) -> Expr:
    h, a = cast(h, out.dtype), cast(a, out.dtype)
    return literal(-1 / sqrt(8 * pi), out) * exp(literal(-0.5, out) * h * h) * erf(a * h * literal(sqrt(0.5), out))


def _owens_da(out: Expr, h: Any, a: Any) -> Expr:
    h, a = cast(h, out.dtype), cast(a, out.dtype)
    wide = literal(1, out) + a * a
    return literal(0.5 / pi, out) * exp(literal(-0.5, out) * h * h * wide) * reciprocal(wide)


def _hyp2f1_grad(g: Expr, out: Expr, a: Any, b: Any, c: Any, z: Any) -> Expr:
    a, b, c = (cast(v, out.dtype) for v in (a, b, c))
    one = literal(1, out)
    return g * a * b / c * hyp2f1(a + one, b + one, c + one, z)


@special_function(latex="{}_2F_1(#1, #2; #3; #4)", grad=(_PARAMETERS, _PARAMETERS, _PARAMETERS, _hyp2f1_grad))
def hyp2f1(a, b, c, z):
    """Gauss's hypergeometric function of parameters ``a``, ``b``, ``c`` at a real ``z``.

    >>> hyp2f1(1.0, 1.0, 2.0, [0.5]).eval()
    array([1.38629436])
    """
    return mathlib.hyp2f1(a, b, c, z)


def factorial(n: Any) -> Expr:
    """``gamma(n + 1)``: of whole numbers the factorial.

    >>> factorial([0, 5]).eval()
    array([  1., 120.])
    """
    n = as_expr(n)
    return gamma(cast(n, inexact_real(n.dtype)[1]) + 1)


def sinc(x: Any) -> Expr:
    """``sin(pi * x) / (pi * x)``, which is 1 at 0 (``numpy.sinc``).

    >>> sinc([0.0, 0.5]).eval()
    array([1.        , 0.63661977])
    """
    from fuse.frontend.transcendental import sin

    x = as_expr(x)
    x = cast(x, inexact(x.dtype)[1])
    x = x * literal(pi, x)
    # near 0 the power series, whose derivatives do not cancel as those of the quotient do
    near = lt(magnitude(x), 0.5)
    square, series = sqr(switch(near, x, literal(0, x))), literal(0, x)
    for k in range(7, -1, -1):
        series = literal((-1) ** k / math.factorial(2 * k + 1), x) + square * series
    safe = switch(near, literal(1, x), x)
    return switch(near, series, sin(safe) / safe)


# ---------------------------------------------------------------- exponential integrals
@special_function(latex="E_1(#1)", domain=(0.5, 5.0), grad=(lambda g, out, x: -g * exp(-x) / x,))
def exp1(x):
    """The integral of ``exp(-t) / t`` from ``x`` > 0 on.

    >>> exp1([1.0, 2.0]).eval()
    array([0.21938393, 0.04890051])
    """
    return mathlib.exp1(x)


@special_function(latex="\\mathrm{Ei}(#1)", domain=(0.5, 5.0), grad=(lambda g, out, x: g * exp(x) / x,))
def expi(x):
    """The integral of ``exp(t) / t`` up to ``x``, around 0 its principal value.

    >>> expi([1.0, 2.0]).eval()
    array([1.89511782, 4.95423436])
    """
    return mathlib.expi(x)


__all__ = [
    "beta", "betainc", "betainc_da", "betaincinv", "chi2sf", "exp1", "expi", "factorial", "gammainc", "gammainc_da",
    "gammaincc", "gammainccinv", "gammaincinv", "gammal", "gammau", "hyp2f1", "owens_t", "poch", "sinc",
]
