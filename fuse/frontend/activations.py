"""Activations of neural networks: elementwise ops, and functions written in other ops."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.expr import Expr, as_expr, constant
from fuse.frontend.arithmetic import abs, clip, minimum, sgn
from fuse.frontend.logic import literal, switch
from fuse.frontend.special import scipy_special
from fuse.frontend.transcendental import exp, inexact_real
from fuse.op import elementwise

if TYPE_CHECKING:
    from fuse.codegen import mathlib


@elementwise(dtype=inexact_real, numpy=scipy_special("expit"), sympy="1/(1 + exp(-x))", latex=r"\sigma(#1)",
             domain=(-5.0, 5.0), grad=(lambda g, out, x: g * out * (1 - out),), builtin=True,
             traits="dear finite-slopes increasing nonnegative simple-logarithm")
def sigmoid(x):
    """The logistic function ``1 / (1 + exp(-x))``, without overflow.

    >>> sigmoid([0.0, -1000.0]).eval()
    array([0.5, 0. ])
    """
    return mathlib.sigmoid(x)


@elementwise(dtype=inexact_real, numpy=lambda x: np.logaddexp(x, np.zeros_like(x)), sympy="log(1 + exp(x))",
             latex=r"\log(1 + e^{#1})", domain=(-5.0, 5.0), grad=(lambda g, out, x: g * sigmoid(x),), builtin=True,
             traits="dear finite-slopes increasing nonnegative")
def softplus(x):
    """``log(1 + exp(x))``, without overflow and accurate far below 0.

    >>> softplus([0.0, 1000.0]).eval()
    array([6.93147181e-01, 1.00000000e+03])
    """
    return mathlib.softplus(x)


@elementwise(
    name="relu", dtype=inexact_real, numpy=lambda x: np.maximum(x, 0) + np.zeros_like(x), sympy="Max(x, 0)",
    latex=r"\max(#1, 0)", domain=(-5.0, 5.0),
    grad=(lambda g, out, x: switch(x > 0, g, switch(x < 0, 0, g * 0.5)),), builtin=True, traits="finite-slopes",
)
def _relu(x):
    """``x`` where it is positive, else 0 (or ``alpha * x``); its derivative at 0 is the mean of the two slopes.

    ``alpha``: the slope below 0, a number or an expression.

    >>> relu([-2.0, 3.0]).eval(), relu([-2.0, 3.0], alpha=0.5).eval()
    (array([0., 3.]), array([-1.,  3.]))
    """
    return 0 if x <= 0 else x


@elementwise(
    dtype=inexact_real, numpy=lambda x, alpha: np.where(x > 0, x, alpha * x), domain=(-5.0, 5.0),
    sympy="Piecewise((x, x > 0), (y*x, True))",
    grad=(lambda g, out, x, alpha: switch(x > 0, g, switch(x < 0, g * alpha, g * (0.5 * (1 + alpha)))),
          lambda g, out, x, alpha: switch(x > 0, 0, g * x)), builtin=True,
)
def leaky_relu(x, alpha):
    """``x`` where it is positive, else ``alpha * x``; its derivative at 0 is the mean of the two slopes.

    >>> leaky_relu([-2.0, 3.0], 0.25).eval()
    array([-0.5,  3. ])
    """
    return x if x > 0 else alpha * x


def relu(x: Any, alpha: Any = 0) -> Expr:
    x = as_expr(x)
    if isinstance(alpha, (bool, int, float)):
        if alpha == 0:
            return _relu(x)
        alpha = constant(alpha, dtype=ty.inexact(x.dtype))
    return leaky_relu(x, alpha)


relu.__doc__ = _relu.__doc__
relu.op = _relu.op  # type: ignore[attr-defined]


@elementwise(
    name="elu", dtype=inexact_real, numpy=lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x))),
    sympy="Piecewise((x, x > 0), (y*(exp(x) - 1), True))", domain=(-5.0, 5.0),
    grad=(lambda g, out, x, alpha: switch(x > 0, g, g * alpha * exp(minimum(x, literal(0, out)))),
          lambda g, out, x, alpha: switch(x > 0, 0, g * elu(x))), builtin=True,
)
def _elu(x, alpha):
    """``x`` where it is positive, else ``alpha * expm1(x)``. ``alpha`` is 1 where it is not given.

    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units", 2015.

    >>> elu([-1.0, 3.0]).eval()
    array([-0.63212056,  3.        ])
    """
    return x if x > 0 else alpha * mathlib.expm1(x)


def elu(x: Any, alpha: Any = 1) -> Expr:
    x = as_expr(x)
    if isinstance(alpha, (bool, int, float)):
        alpha = constant(alpha, dtype=ty.inexact(x.dtype))
    return _elu(x, alpha)


elu.__doc__ = _elu.__doc__
elu.op = _elu.op  # type: ignore[attr-defined]

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def selu(x: Any) -> Expr:
    """The scaled ``elu`` that keeps mean 0 and variance 1 (Klambauer et al., "Self-normalizing neural networks", 2017).

    >>> selu([-1.0, 1.0]).eval()
    array([-1.11133074,  1.05070099])
    """
    inner = elu(x, _SELU_ALPHA)
    return literal(_SELU_SCALE, inner) * inner


def softsign(x: Any) -> Expr:
    """``x / (1 + abs(x))``.

    >>> softsign([-1.0, 3.0]).eval()
    array([-0.5 ,  0.75])
    """
    x = as_expr(x)
    return x / (1.0 + abs(x))


def hard_sigmoid(x: Any) -> Expr:
    """``clip(0.2 * x + 0.5, 0, 1)``: three straight lines near the sigmoid.

    >>> hard_sigmoid([-3.0, 0.0, 1.0]).eval()
    array([0. , 0.5, 0.7])
    """
    x = as_expr(x)
    dtype = ty.inexact(x.dtype)
    slope, shift = constant(0.2, dtype=dtype), constant(0.5, dtype=dtype)
    return clip(x * slope + shift, 0, 1)


def ultra_fast_sigmoid(x: Any) -> Expr:
    """Theano's approximation of the sigmoid without an exponential, within 0.04.

    >>> ultra_fast_sigmoid([0.0, 10.0]).eval()
    array([0.5       , 0.99752738])
    """
    x = as_expr(x)
    dtype = ty.inexact(x.dtype)
    c = {value: constant(value, dtype=dtype) for value in (0.5, 1.5, 0.935409070603099, 0.0458812946797165, 1.7)}
    half = x * c[0.5]
    size = abs(half)
    outer = switch(size < 3, c[0.935409070603099] + c[0.0458812946797165] * (size - c[1.7]),
                   constant(0.99505475368673, dtype=dtype))
    z = switch(size < c[1.7], c[1.5] * half / (1 + size), sgn(half) * outer)
    return c[0.5] * (z + 1)


