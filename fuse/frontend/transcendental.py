"""Exponentials, logarithms, roots, trigonometric and hyperbolic functions."""
from __future__ import annotations

from math import log as _log
from math import pi as _pi
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError
from fuse.frontend.logic import literal, switch
from fuse.op import elementwise, inexact

if TYPE_CHECKING:
    from fuse.codegen import mathlib


def inexact_real(*dtypes: str, **params: Any) -> tuple[tuple[str, ...], str]:
    """As ``inexact``; complex numbers have no such function."""
    if any(d in ty.COMPLEX for d in dtypes):
        raise FuseTypeError("not defined for complex numbers: take real(x), imag(x) or abs(x) first")
    return inexact(*dtypes, **params)


def finite_if_complex(*args: Any, **_: Any) -> Any:
    """Where results are promised: everywhere but at complex numbers with an infinite or NaN part, where C libraries
    differ among themselves."""
    complexes = [np.isfinite(a) for a in args if np.iscomplexobj(a)]
    return np.logical_and.reduce(complexes) if complexes else np.True_


_COMPLEX_TOO = {"defined": finite_if_complex}


# ---------------------------------------------------------------- exponentials and logarithms
@elementwise(numpy=np.exp, sympy="exp(x)", latex="e^{#1}", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * out,), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes increasing nonnegative simple-logarithm")
def exp(x):
    """The exponential function of ``x``.

    >>> exp([0.0, 1.0]).eval()
    array([1.        , 2.71828183])
    """
    return mathlib.exp(x)


@elementwise(numpy=np.exp2, sympy="2**x", latex="2^{#1}", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * out * literal(_log(2), out),), meta=_COMPLEX_TOO, builtin=True,
             traits="finite-slopes nonnegative increasing")
def exp2(x):
    """2 to the power ``x``.

    >>> exp2([3.0, -1.0]).eval()
    array([8. , 0.5])
    """
    return mathlib.exp2(x)


@elementwise(numpy=np.expm1, sympy="exp(x) - 1", latex="e^{#1} - 1", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * exp(x),), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes increasing")
def expm1(x):
    """``exp(x) - 1``, accurate for small ``x``.

    >>> expm1(1e-20).eval()
    array(1.e-20)
    """
    return mathlib.expm1(x)


@elementwise(numpy=np.log, sympy="log(x)", latex=r"\log #1", domain=(0.1, 50.0),
             grad=(lambda g, out, x: g / x,), meta=_COMPLEX_TOO, builtin=True, traits="dear finite-slopes")
def log(x):
    """The natural logarithm of ``x``: -inf at 0, NaN below.

    >>> log([1.0, 10.0]).eval()
    array([0.        , 2.30258509])
    """
    return mathlib.log(x)


@elementwise(numpy=np.log2, sympy="log(x)/log(2)", latex=r"\log_{2} #1", domain=(0.1, 50.0),
             grad=(lambda g, out, x: g / (x * literal(_log(2), out)),), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes")
def log2(x):
    """The logarithm of ``x`` to the base 2.

    >>> log2([8.0, 0.5]).eval()
    array([ 3., -1.])
    """
    return mathlib.log2(x)


@elementwise(numpy=np.log10, sympy="log(x)/log(10)", latex=r"\log_{10} #1", domain=(0.1, 50.0),
             grad=(lambda g, out, x: g / (x * literal(_log(10), out)),), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes")
def log10(x):
    """The logarithm of ``x`` to the base 10.

    >>> log10([100.0, 0.1]).eval()
    array([ 2., -1.])
    """
    return mathlib.log10(x)


@elementwise(numpy=np.log1p, sympy="log(1 + x)", latex=r"\log(1 + #1)", domain=(-0.9, 50.0),
             grad=(lambda g, out, x: g / (1 + x),), meta=_COMPLEX_TOO, builtin=True, traits="dear finite-slopes")
def log1p(x):
    """The natural logarithm of ``1 + x``, accurate for small ``x``.

    >>> log1p(1e-20).eval()
    array(1.e-20)
    """
    return mathlib.log1p(x)


# ---------------------------------------------------------------- roots
@elementwise(numpy=np.sqrt, sympy="sqrt(x)", latex=r"\sqrt{#1}", domain=(0.1, 50.0),
             grad=(lambda g, out, x: g * 0.5 / out,), meta=_COMPLEX_TOO, builtin=True, traits="dear nonnegative")
def sqrt(x):
    """The square root of ``x``; its derivative at 0 is inf.

    >>> sqrt([4.0, 2.0]).eval()
    array([2.        , 1.41421356])
    """
    return mathlib.sqrt(x)


@elementwise(dtype=inexact_real, numpy=np.cbrt, sympy="real_root(x, 3)", latex=r"\sqrt[3]{#1}", domain=(0.1, 50.0),
             grad=(lambda g, out, x: g / (3 * out * out),), builtin=True, traits="increasing odd")
def cbrt(x):
    """The real cube root of a real ``x``.

    >>> cbrt([27.0, -8.0]).eval()
    array([ 3., -2.])
    """
    return mathlib.cbrt(x)


@elementwise(
    dtype=inexact_real, numpy=np.hypot, sympy="sqrt(x**2 + y**2)", latex=r"\sqrt{#1^2 + #2^2}", domain=(-5.0, 5.0),
    grad=(lambda g, out, x, y: _of_radius(g, x, out), lambda g, out, x, y: _of_radius(g, y, out)), builtin=True,
)
def hypot(x, y):
    """``sqrt(x**2 + y**2)`` without overflow; its derivative at the origin is taken as 0.

    >>> hypot(3e200, 4e200).eval()
    array(5.e+200)
    """
    return mathlib.hypot(x, y)


def _of_radius(g: Any, x: Any, radius: Any) -> Any:
    """``g * (x / radius)``, which is 0 with all its derivatives where the radius is."""
    inside = radius > 0
    return switch(inside, g * (x / switch(inside, radius, 1)), 0)


# ---------------------------------------------------------------- trigonometry
@elementwise(numpy=np.sin, sympy="sin(x)", latex=r"\sin #1", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * cos(x),), meta=_COMPLEX_TOO, builtin=True, traits="dear finite-slopes odd")
def sin(x):
    """The sine of ``x`` in radians.

    >>> sin([0.0, 1.0]).eval()
    array([0.        , 0.84147098])
    """
    return mathlib.sin(x)


@elementwise(numpy=np.cos, sympy="cos(x)", latex=r"\cos #1", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: -(g * sin(x)),), meta=_COMPLEX_TOO, builtin=True, traits="dear finite-slopes")
def cos(x):
    """The cosine of ``x`` in radians.

    >>> cos([0.0, 1.0]).eval()
    array([1.        , 0.54030231])
    """
    return mathlib.cos(x)


@elementwise(numpy=np.tan, sympy="tan(x)", latex=r"\tan #1", domain=(-1.4, 1.4),
             grad=(lambda g, out, x: g * (1 + out * out),), meta=_COMPLEX_TOO, builtin=True, traits="dear odd")
def tan(x):
    """The tangent of ``x`` in radians.

    >>> tan([0.0, 1.0]).eval()
    array([0.        , 1.55740772])
    """
    return mathlib.tan(x)


@elementwise(numpy=np.arcsin, sympy="asin(x)", latex=r"\arcsin #1", domain=(-0.95, 0.95),
             grad=(lambda g, out, x: g / sqrt((1 - x) * (1 + x)),), meta=_COMPLEX_TOO, builtin=True,
             traits="odd")
def arcsin(x):
    """The angle in [-pi/2, pi/2] whose sine is ``x``; NaN outside [-1, 1].

    >>> arcsin([0.0, 1.0]).eval()
    array([0.        , 1.57079633])
    """
    return mathlib.arcsin(x)


@elementwise(numpy=np.arccos, sympy="acos(x)", latex=r"\arccos #1", domain=(-0.95, 0.95),
             grad=(lambda g, out, x: -(g / sqrt((1 - x) * (1 + x))),), meta=_COMPLEX_TOO, builtin=True)
def arccos(x):
    """The angle in [0, pi] whose cosine is ``x``; NaN outside [-1, 1].

    >>> arccos([1.0, 0.0]).eval()
    array([0.        , 1.57079633])
    """
    return mathlib.arccos(x)


@elementwise(numpy=np.arctan, sympy="atan(x)", latex=r"\arctan #1", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g / (1 + x * x),), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes increasing odd")
def arctan(x):
    """The angle in [-pi/2, pi/2] whose tangent is ``x``.

    >>> arctan([0.0, 1.0]).eval()
    array([0.        , 0.78539816])
    """
    return mathlib.arctan(x)


def _arctan2_rule(argument: int) -> Any:
    """d/dy = x / r^2 and d/dx = -y / r^2, scaled by r twice so that r^2 neither overflows nor vanishes."""

    def rule(g: Any, out: Any, y: Any, x: Any) -> Any:
        radius = hypot(y, x)
        inside = radius > 0
        radius = switch(inside, radius, 1)
        part = x / radius / radius if argument == 0 else -(y / radius / radius)
        return switch(inside, g * part, 0)

    return rule


@elementwise(dtype=inexact_real, numpy=np.arctan2, sympy="atan2(x, y)", domain=(0.2, 5.0),
             latex=r"\operatorname{atan2}(#1, #2)", grad=(_arctan2_rule(0), _arctan2_rule(1)), builtin=True)
def arctan2(y, x):
    """The angle in [-pi, pi] of the point ``(x, y)``; its derivative at the origin is taken as 0.

    >>> arctan2([1.0, -1.0], -1.0).eval()
    array([ 2.35619449, -2.35619449])
    """
    return mathlib.arctan2(y, x)


@elementwise(dtype=inexact_real, numpy=np.deg2rad, sympy="pi*x/180", domain=(-200.0, 200.0),
             grad=(lambda g, out, x: g * literal(_pi / 180, out),), builtin=True)
def deg2rad(x):
    """``x`` degrees in radians.

    >>> deg2rad([180.0]).eval()
    array([3.14159265])
    """
    return mathlib.deg2rad(x)


@elementwise(dtype=inexact_real, numpy=np.rad2deg, sympy="180*x/pi", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * literal(180 / _pi, out),), builtin=True)
def rad2deg(x):
    """``x`` radians in degrees.

    >>> rad2deg(3.141592653589793).eval()
    array(180.)
    """
    return mathlib.rad2deg(x)


# ---------------------------------------------------------------- hyperbolic functions
@elementwise(numpy=np.sinh, sympy="sinh(x)", latex=r"\sinh #1", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * cosh(x),), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes increasing odd")
def sinh(x):
    """The hyperbolic sine of ``x``.

    >>> sinh([0.0, 1.0]).eval()
    array([0.        , 1.17520119])
    """
    return mathlib.sinh(x)


@elementwise(numpy=np.cosh, sympy="cosh(x)", latex=r"\cosh #1", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * sinh(x),), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes nonnegative simple-logarithm")
def cosh(x):
    """The hyperbolic cosine of ``x``.

    >>> cosh([0.0, 1.0]).eval()
    array([1.        , 1.54308063])
    """
    return mathlib.cosh(x)


@elementwise(numpy=np.tanh, sympy="tanh(x)", latex=r"\tanh #1", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * (1 - out * out),), meta=_COMPLEX_TOO, builtin=True,
             traits="dear finite-slopes increasing odd")
def tanh(x):
    """The hyperbolic tangent of ``x``.

    >>> tanh([0.0, 1.0]).eval()
    array([0.        , 0.76159416])
    """
    return mathlib.tanh(x)


def _sech2_reference(x: Any) -> Any:
    decay = np.exp(-2 * np.abs(x))
    return 4 * decay / (1 + decay) ** 2


@elementwise(numpy=_sech2_reference, dtype=inexact_real, sympy="1/cosh(x)**2", latex=r"\operatorname{sech}^2 #1",
             domain=(-5.0, 5.0), grad=(lambda g, out, x: g * (-2 * out * tanh(x)),), builtin=True)
def sech2(x):
    """``1 / cosh(x)**2 = 1 - tanh(x)**2``, the derivative of tanh, without cancellation and without overflow.

    >>> sech2([0.0, 20.0]).eval()
    array([1.0000000e+00, 1.6993417e-17])
    """
    return mathlib.sech2(x)


def _arcsinh_rule(g: Any, out: Any, x: Any) -> Any:
    """The square of a large real number would be infinite."""
    return g / (sqrt(1 + x * x) if out.dtype in ty.COMPLEX else hypot(x, literal(1, out)))


@elementwise(numpy=np.arcsinh, sympy="asinh(x)", latex=r"\operatorname{arsinh} #1", domain=(-5.0, 5.0),
             grad=(_arcsinh_rule,), meta=_COMPLEX_TOO, builtin=True, traits="increasing odd")
def arcsinh(x):
    """The number whose hyperbolic sine is ``x``.

    >>> arcsinh([0.0, 1.0]).eval()
    array([0.        , 0.88137359])
    """
    return mathlib.arcsinh(x)


@elementwise(numpy=np.arccosh, sympy="acosh(x)", latex=r"\operatorname{arcosh} #1", domain=(1.1, 50.0),
             grad=(lambda g, out, x: g / (sqrt(x - 1) * sqrt(x + 1)),), meta=_COMPLEX_TOO, builtin=True)
def arccosh(x):
    """The non-negative number whose hyperbolic cosine is ``x``; NaN below 1.

    >>> arccosh([1.0, 2.0]).eval()
    array([0.       , 1.3169579])
    """
    return mathlib.arccosh(x)


@elementwise(numpy=np.arctanh, sympy="atanh(x)", latex=r"\operatorname{artanh} #1", domain=(-0.95, 0.95),
             grad=(lambda g, out, x: g / ((1 - x) * (1 + x)),), meta=_COMPLEX_TOO, builtin=True,
             traits="odd")
def arctanh(x):
    """The number whose hyperbolic tangent is ``x``; ±inf at ±1.

    >>> arctanh([0.0, 0.5]).eval()
    array([0.        , 0.54930614])
    """
    return mathlib.arctanh(x)
