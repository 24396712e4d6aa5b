"""Error functions, the gamma family, and logarithms and products that stay finite at their edges."""
from __future__ import annotations

from collections.abc import Callable
from math import pi as _pi
from math import sqrt as _sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.errors import FuseValueError
from fuse.expr import Expr
from fuse.frontend.arithmetic import cast, chained
from fuse.frontend.logic import and_, eq, isinf, literal, neq, or_, switch
from fuse.frontend.transcendental import exp, expm1, inexact_real, log, log1p
from fuse.op import elementwise

if TYPE_CHECKING:
    from fuse.codegen import mathlib


def scipy_special(name: str) -> Callable[..., Any]:
    """The function of that name in ``scipy.special``, which is imported at its first call."""

    def reference(*args: Any) -> Any:
        from scipy import special

        return getattr(special, name)(*args)

    return reference


def _normal(*args: Any, **_: Any) -> Any:
    """Where SciPy can be relied on: not at infinities, nor where it takes a subnormal number for 0."""
    return np.logical_and.reduce([(a == 0) | (np.abs(a) >= np.finfo(a.dtype).tiny) & np.isfinite(a) for a in args])


# SciPy's own error is as large, relative to the result and near a zero to 1; tests measure ours against mpmath.
ROUGH = {"reference_error": 1e-9, "defined": _normal, "zero_sign": False}


def special_function(
    numpy: Callable[..., Any] | None = None, **fields: Any
) -> Callable[[Callable[..., Any]], Callable[..., Expr]]:
    """``elementwise`` for a real function whose reference is ``numpy``, or SciPy's of the same name."""

    def decorate(kernel: Callable[..., Any]) -> Callable[..., Expr]:
        record = elementwise(
            dtype=inexact_real, numpy=numpy or scipy_special(kernel.__name__), meta=ROUGH, builtin=True, **fields
        )
        return record(kernel)

    return decorate


# ---------------------------------------------------------------- error functions
def _gauss_reference(x: Any) -> Any:
    square = x * x  # what it lost: Dekker, Numer. Math. 18 (1971) 224
    with np.errstate(all="ignore"):
        big = x * x.dtype.type(2 ** (np.finfo(x.dtype).nmant // 2 + 1) + 1)
        high = big - (big - x)
        rest = ((high * high - square) + 2 * high * (x - high)) + (x - high) * (x - high)
        return np.exp(-square) * (1 - np.where(np.abs(x) < 30, rest, 0))


@elementwise(dtype=inexact_real, numpy=_gauss_reference, sympy="exp(-x**2)", latex="e^{-#1^2}", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * (-2 * x * out),), builtin=True, traits="simple-logarithm")
def gauss(x):
    """``exp(-x**2)``, what the square loses by rounding made good; the derivatives of erf and erfc are made of it.

    >>> gauss([0.0, 1.0]).eval()
    array([1.        , 0.36787944])
    """
    return mathlib.gauss(x)


def _gaussian(g: Any, out: Any, x: Any, sign: float) -> Any:
    return g * literal(sign * 2 / _sqrt(_pi), out) * gauss(x)


@elementwise(dtype=inexact_real, numpy=scipy_special("erf"), sympy="erf(x)", domain=(-3.0, 3.0),
             grad=(lambda g, out, x: _gaussian(g, out, x, 1.0),), builtin=True,
             traits="dear finite-slopes increasing odd")
def erf(x):
    """The error function, ``2/sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to ``x``.

    >>> erf([0.0, 1.0]).eval()
    array([0.        , 0.84270079])
    """
    return mathlib.erf(x)


@special_function(sympy="erfc(x)", domain=(-3.0, 3.0), grad=(lambda g, out, x: _gaussian(g, out, x, -1.0),),
                  traits="dear finite-slopes nonnegative")
def erfc(x):
    """``1 - erf(x)``, accurate for large ``x``.

    >>> erfc([0.0, 10.0]).eval()
    array([1.00000000e+00, 2.08848758e-45])
    """
    return mathlib.erfc(x)


@special_function(
    sympy="exp(x**2)*erfc(x)", domain=(-3.0, 3.0),
    grad=(lambda g, out, x: g * (2 * x * out - literal(2 / _sqrt(_pi), out)),), traits="nonnegative",
)
def erfcx(x):
    """``exp(x**2) * erfc(x)``, which decreases as ``1 / (x * sqrt(pi))`` where ``erfc`` underflows.

    >>> erfcx([100.0]).eval()
    array([0.00564161])
    """
    return mathlib.erfcx(x)


@special_function(
    sympy="erfinv(x)", domain=(-0.95, 0.95), latex=r"\operatorname{erf}^{-1} #1",
    grad=(lambda g, out, x: g * literal(_sqrt(_pi) / 2, out) * exp(out * out),),
)
def erfinv(x):
    """The inverse of ``erf``: ±inf at ±1, NaN outside [-1, 1].

    >>> erfinv([0.0, 0.5]).eval()
    array([0.        , 0.47693628])
    """
    return mathlib.erfinv(x)


@special_function(
    sympy="erfcinv(x)", domain=(0.05, 1.95), latex=r"\operatorname{erfc}^{-1} #1",
    grad=(lambda g, out, x: -(g * literal(_sqrt(_pi) / 2, out) * exp(out * out)),),
)
def erfcinv(x):
    """The inverse of ``erfc``: inf at 0, -inf at 2, NaN outside [0, 2].

    >>> erfcinv([0.5, 1e-10]).eval()
    array([0.47693628, 4.57282497])
    """
    return mathlib.erfcinv(x)


# ---------------------------------------------------------------- the gamma family
@special_function(sympy="gamma(x)", latex=r"\Gamma(#1)", domain=(0.5, 5.0), grad=(lambda g, out, x: g * out * psi(x),))
def gamma(x):
    """The gamma function: ``gamma(n + 1)`` is the factorial of ``n``; ±inf at ±0, NaN at the negative integers.

    >>> gamma([5.0, 0.5]).eval()
    array([24.        ,  1.77245385])
    """
    return mathlib.gamma(x)


@special_function(
    sympy="loggamma(x)", latex=r"\log \Gamma(#1)", domain=(0.5, 50.0), grad=(lambda g, out, x: g * psi(x),),
    traits="dear",
)
def gammaln(x):
    """The logarithm of the absolute value of ``gamma(x)``: inf at 0 and the negative integers.

    >>> gammaln([5.0, 1000.0]).eval()
    array([3.17805383e+00, 5.90522042e+03])
    """
    return mathlib.lgamma(x)


@elementwise(dtype=inexact_real, numpy=scipy_special("digamma"), sympy="digamma(x)", latex=r"\psi(#1)",
             domain=(0.5, 50.0), grad=(lambda g, out, x: g * tri_gamma(x),), meta=ROUGH, builtin=True, traits="dear")
def psi(x):
    """The digamma function, the derivative of ``gammaln``: NaN at the negative integers, -inf at 0, inf at -0.

    >>> psi([1.0, 10.0]).eval()
    array([-0.57721566,  2.25175259])
    """
    return mathlib.digamma(x)


def _polygamma(x: Any, n: int = 1) -> Any:
    from scipy.special import factorial, zeta

    # (-1)**(n + 1) n! times the sum of (x + k)**-(n + 1), which SciPy has for x > 0 only: below 0, with x = d - m, the
    # sum over all whole numbers from d on in both directions, less what lies beyond m
    x = np.asarray(x)
    wide, s = x.astype("float64"), n + 1
    m = np.where(wide > 0, 0, -np.floor(wide))
    d = wide + m
    rest = -(wide + (m - 1))  # 1 - d, without its rounding
    below = zeta(s, d) + (-1) ** s * (zeta(s, rest) - zeta(s, 1 - wide))
    pole = np.inf if s % 2 == 0 else np.nan
    total = np.where(wide > 0, zeta(s, np.where(wide > 0, wide, 1.0)), np.where(d == 0, pole, below))
    return ((-1) ** s * factorial(n) * total).astype(x.dtype)


@elementwise(dtype=inexact_real, numpy=_polygamma, sympy="polygamma(1, x)", latex=r"\psi_1(#1)",
             domain=(0.5, 50.0), grad=(lambda g, out, x: g * polygamma(2, x),), meta=ROUGH, builtin=True)
def tri_gamma(x):
    """The trigamma function, the derivative of ``psi``: inf at 0 and the negative integers.

    >>> tri_gamma([1.0]).eval()
    array([1.64493407])
    """
    return mathlib.trigamma(x)


@elementwise(name="polygamma", dtype=inexact_real, numpy=_polygamma, domain=(0.5, 50.0),
             meta={"params": ("n",), "examples": ({"n": 2}, {"n": 5}), **ROUGH},
             grad=(lambda g, out, x, n: g * polygamma(n + 1, x),), builtin=True)
def _polygamma_op(x, n):
    """The ``n``-th derivative of ``psi`` for a whole number ``n`` >= 0.

    >>> polygamma(2, [1.0]).eval()
    array([-2.40411381])
    """
    return mathlib.polygamma(x, n)


def polygamma(n: int, x: Any) -> Expr:
    if int(n) != n or n < 0:
        raise FuseValueError(f"polygamma takes a whole number n >= 0, not {n!r}")
    named = {0: psi, 1: tri_gamma}.get(int(n))
    return named(x) if named else _polygamma_op(x, n=int(n))


polygamma.__doc__ = _polygamma_op.__doc__
polygamma.op = _polygamma_op.op  # type: ignore[attr-defined]


# ---------------------------------------------------------------- stable logarithms
@elementwise(dtype=inexact_real, numpy=lambda x: np.where(x > -0.6931, np.log(-np.expm1(x)), np.log1p(-np.exp(x))),
             sympy="log(1 - exp(x))", latex=r"\log(1 - e^{#1})", domain=(-5.0, -0.1),
             grad=(lambda g, out, x: -g / expm1(abs(x)),), builtin=True)  # -inf at 0, whatever its sign
def log1mexp(x):
    """``log(1 - exp(x))`` for ``x`` <= 0, accurate near 0 and far below: -inf at 0, NaN above.

    Mächler, "Accurately computing log(1 - exp(-|a|))", 2012.

    >>> log1mexp([-1e-20, -50.0]).eval()
    array([-4.60517019e+01, -1.92874985e-22])
    """
    return mathlib.log1mexp(x)


def _sigmoid_of_difference(x: Any, y: Any) -> Any:
    from fuse.frontend.activations import sigmoid

    # equal infinities have no difference: each gets the weight 1/2 of a tie
    return sigmoid(switch(and_(eq(x, y), isinf(x)), literal(0, x - y), x - y))


@chained
@elementwise(
    dtype=inexact_real, numpy=np.logaddexp, sympy="log(exp(x) + exp(y))", domain=(-5.0, 5.0),
    latex=r"\log(e^{#1} + e^{#2})", grad=(lambda g, out, x, y: g * _sigmoid_of_difference(x, y),
                                          lambda g, out, x, y: g * _sigmoid_of_difference(y, x)), builtin=True,
    traits="commutative", meta={"reference_error": 1e-15},  # where the result is near 0 the sum cancels
)
def logaddexp(x, y):
    """``log(exp(x) + exp(y))`` without overflow. Takes more operands, combined from the left.

    >>> logaddexp([1000.0, 0.0], [1000.0, -800.0]).eval()
    array([1000.69314718,    0.        ])
    """
    return mathlib.logaddexp(x, y)


# ---------------------------------------------------------------- products with a logarithm
def _log_part(g: Any, x: Any, inside: Any, logarithm: Any, y: Any) -> Any:
    """``g * logarithm(y)``, but 0, with its derivatives, where ``x`` is 0 and the logarithm is infinite or NaN."""
    known = or_(inside, neq(x, 0))
    return switch(known, g * logarithm(switch(known, y, 1)), 0)


def _quotient(g: Any, x: Any, y: Any) -> Any:
    """``g * x / y``, but 0 where both are 0; there, and only there, its derivatives are 0 too."""
    lost = and_(eq(x, 0), eq(y, 0))
    return switch(lost, 0, g * x / switch(lost, 1, y))


@elementwise(dtype=inexact_real, numpy=lambda x: np.where(x == 0, 0, x * np.log(x)).astype(x.dtype),
             sympy="x*log(x)", latex=r"#1 \log #1", domain=(0.1, 5.0),
             grad=(lambda g, out, x: g * (1 + log(x)),), builtin=True)
def xlogx(x):
    """``x * log(x)``, which is 0 at ``x`` = 0.

    >>> xlogx([0.0, 2.0]).eval()
    array([0.        , 1.38629436])
    """
    return 0 if x == 0 else x * mathlib.log(x)


@elementwise(dtype=inexact_real, numpy=scipy_special("xlogy"), sympy="x*log(y)", latex=r"#1 \log #2",
             domain=(0.1, 5.0), builtin=True,
             grad=(lambda g, out, x, y: _log_part(g, x, y > 0, log, cast(y, out.dtype)),
                   lambda g, out, x, y: _quotient(g, x, y)))
def xlogy(x, y):
    """``x * log(y)``, which is 0 where ``x`` is 0, whatever ``y`` but NaN; so are its derivatives at ``y`` = 0.

    >>> xlogy([0.0, 2.0], 0.0).eval()
    array([  0., -inf])
    """
    return x * mathlib.log(y) if x != 0 or y != y else 0


xlogy0 = xlogy


@elementwise(dtype=inexact_real, numpy=scipy_special("xlog1py"), sympy="x*log(1 + y)", latex=r"#1 \log(1 + #2)",
             domain=(0.1, 5.0), builtin=True,
             grad=(lambda g, out, x, y: _log_part(g, x, y > -1, log1p, cast(y, out.dtype)),
                   lambda g, out, x, y: _quotient(g, x, 1 + y)))
def xlog1py(x, y):
    """``x * log1p(y)``, which is 0 where ``x`` is 0, whatever ``y`` but NaN.

    >>> xlog1py([0.0, 2.0], [-1.0, 1e-20]).eval()
    array([0.e+00, 2.e-20])
    """
    return x * mathlib.log1p(y) if x != 0 or y != y else 0
