"""Rounding to whole numbers; the results stay floats, and no gradient flows."""
from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend.arithmetic import cast
from fuse.frontend.transcendental import inexact_real
from fuse.op import ZERO, elementwise, public

if TYPE_CHECKING:
    from fuse.codegen import mathlib


@elementwise(dtype=inexact_real, numpy=np.floor, sympy="floor(x)", latex=r"\left\lfloor #1 \right\rfloor",
             domain=(-5.0, 5.0), grad=(ZERO,), builtin=True)
def floor(x):
    """The greatest whole number not above ``x``.

    >>> floor([1.5, -1.5]).eval()
    array([ 1., -2.])
    """
    return mathlib.floor(x)


@elementwise(dtype=inexact_real, numpy=np.ceil, sympy="ceiling(x)", latex=r"\left\lceil #1 \right\rceil",
             domain=(-5.0, 5.0), grad=(ZERO,), builtin=True)
def ceil(x):
    """The least whole number not below ``x``.

    >>> ceil([1.5, -1.5]).eval()
    array([ 2., -1.])
    """
    return mathlib.ceil(x)


@elementwise(dtype=inexact_real, numpy=np.trunc, domain=(-5.0, 5.0), grad=(ZERO,), builtin=True)
def trunc(x):
    """The whole number next to ``x`` towards zero.

    >>> trunc([1.5, -1.5]).eval()
    array([ 1., -1.])
    """
    return mathlib.trunc(x)


@elementwise(name="round_half_to_even", dtype=inexact_real, numpy=np.rint, ufunc=np.rint, domain=(-5.0, 5.0),
             grad=(ZERO,), builtin=True)
def _round_half_to_even(x):
    """The nearest whole number, the even one of two; integers stay as they are.

    >>> round_half_to_even([0.5, 1.5, 2.5]).eval()
    array([0., 2., 2.])
    """
    return mathlib.rint(x)


def _half_away(x: Any) -> Any:
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(np.ones_like(x), x), whole)


@elementwise(name="round_half_away_from_zero", dtype=inexact_real, numpy=_half_away, domain=(-5.0, 5.0),
             grad=(ZERO,), builtin=True)
def _round_half_away_from_zero(x):
    """The nearest whole number, the one further from zero of two; integers stay as they are.

    >>> round_half_away_from_zero([0.5, 1.5, -2.5]).eval()
    array([ 1.,  2., -3.])
    """
    whole = mathlib.trunc(x)
    return whole + mathlib.copysign(1, x) if mathlib.absolute(x - whole) >= 0.5 else whole


def _of_floats(build: Any) -> Any:
    @functools.wraps(build)
    def builder(x: Any) -> Expr:
        x = as_expr(x)
        if x.dtype == "bool":
            raise FuseTypeError("rounding a bool has no meaning: cast it first")
        return x if x.dtype in ty.INTEGER else build(x)

    return builder


round_half_to_even = public(_of_floats(_round_half_to_even))
round_half_away_from_zero = public(_of_floats(_round_half_away_from_zero))
_MODES = {"half_to_even": round_half_to_even, "half_away_from_zero": round_half_away_from_zero}


@also(a="x")
def round(x: Any, mode: str | None = None) -> Expr:
    """The nearest whole number; ``mode`` is ``half_to_even`` (the default, as in NumPy) or ``half_away_from_zero``.

    Raises FuseValueError for another mode.

    >>> round([0.5, 1.5], mode="half_away_from_zero").eval()
    array([1., 2.])
    """
    mode = "half_to_even" if mode is None else mode
    if mode not in _MODES:
        raise FuseValueError(f"round has the modes {' and '.join(_MODES)}, not {mode!r}")
    return _MODES[mode](x)


@also(a="x")
def iround(x: Any, mode: str | None = None) -> Expr:
    """``round(x, mode)`` as int64.

    >>> iround([0.5, 1.5]).eval()
    array([0, 2])
    """
    return cast(round(x, mode), "int64")
