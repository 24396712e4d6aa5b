"""Identities whose gradient is not one: cut, zeroed, scaled or clipped on the way back."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fuse import tree
from fuse.autodiff.sweep import op
from fuse.expr import Expr, as_expr
from fuse.op import DISCONNECTED, ZERO, elementwise


def _first(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """Each argument as it is; the result has the dtype of the first."""
    return dtypes, dtypes[0]


def _identity(x: Any, *others: Any) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(*map(np.shape, (x, *others)))) if others else x


# An op that is its first argument but for the gradient; in a function, where none is taken any more, it goes.
_identity_but = partial(
    elementwise, numpy=_identity, dtype=_first, sympy="x", meta={"for_gradients": True}, builtin=True
)


@_identity_but(grad=(ZERO,))
def zero_grad(x):
    """``x``, through which no gradient flows: derivatives are zero, but the input counts as connected.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(x * fuse.gradient.zero_grad(x), x).eval({x: 3.0}))
    3.0
    """
    return x


@_identity_but(grad=(DISCONNECTED,))
def disconnected_grad(x):
    """``x``, cut from differentiation: ``grad`` treats the result as something that does not depend on ``x``.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(x * fuse.gradient.disconnected_grad(x), x).eval({x: 3.0}))
    3.0
    """
    return x


def stop_gradient(x: Any) -> Any:
    """``disconnected_grad`` of an expression, or of each leaf of a tree of them.

    >>> import fuse
    >>> fuse.grad(lambda p: p["w"] * stop_gradient(p)["w"])({"w": 3.0})
    {'w': array(3.)}
    """
    return tree.map(disconnected_grad, x)


@_identity_but(grad=(ZERO,))
def consider_constant(x):
    """``x``, taken as a constant by ``grad`` (Theano's older name for ``zero_grad``).

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(x * fuse.gradient.consider_constant(x), x).eval({x: 3.0}))
    3.0
    """
    return x


_UNDEFINED = "undefined_grad says that this value has no gradient"


@_identity_but(grad=(_UNDEFINED,), meta={"for_gradients": True, "undefined": _UNDEFINED})
def undefined_grad(x):
    """``x``, whose gradient is undefined: taking one through it raises NullTypeGradError.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> fuse.grad(fuse.gradient.undefined_grad(x) ** 2, x)
    Traceback (most recent call last):
    fuse.errors.NullTypeGradError: ...
    """
    return x


@_identity_but(
    name="grad_clip", grad=(lambda g, out, x, low, high: op("clip", g, low, high), DISCONNECTED, DISCONNECTED)
)
def _grad_clip(x, low, high):
    """``x``, whose gradient is limited to the interval from ``low`` to ``high``."""
    return x


def grad_clip(x: Any, lower_bound: Any, upper_bound: Any) -> Expr:
    """``x``, whose gradient is clipped to the interval from ``lower_bound`` to ``upper_bound`` on the way back.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(fuse.gradient.grad_clip(x, -1, 1) ** 2, x).eval({x: 5.0}))
    1.0
    """
    return _grad_clip(*_fitting(x, lower_bound, upper_bound))


@_identity_but(name="grad_scale", grad=(lambda g, out, x, factor: op("mul", g, factor), DISCONNECTED))
def _grad_scale(x, factor):
    """``x``, whose gradient is multiplied by ``factor``."""
    return x


def grad_scale(x: Any, multiplier: Any) -> Expr:
    """``x``, whose gradient is multiplied by ``multiplier`` on the way back (-1 reverses it).

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(fuse.gradient.grad_scale(x, -1) ** 2, x).eval({x: 5.0}))
    -10.0
    """
    return _grad_scale(*_fitting(x, multiplier))


def _fitting(x: Any, *settings: Any) -> tuple[Expr, ...]:
    """``x`` and the settings as expressions that do not change the shape of ``x``."""
    x = as_expr(x)
    nodes = [as_expr(s) for s in settings]
    for node in nodes:
        if node.type.ndim > x.type.ndim:
            from fuse.errors import ShapeError

            raise ShapeError(f"a bound or factor of rank {node.type.ndim} does not fit a {x.type.describe()}")
    return x, *nodes
