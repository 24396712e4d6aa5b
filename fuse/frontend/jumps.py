"""Values that move in jumps with what they are made of: identities that say so, where a gradient would pass."""
from __future__ import annotations

from typing import Any

from fuse.expr import Constant, Expr, as_expr
from fuse.op import elementwise

_AROUND = (
    "fuse.stop_gradient(...) (Theano's disconnected_grad) around it, or consider_constant=[...] in grad, takes it as a "
    "constant"
)
DRAW = (
    "a draw of a discrete distribution moves in jumps with the parameters of that distribution and has no derivative "
    f"in them: {_AROUND}; log_probability * stop_gradient(cost) (the score function) or a continuous relaxation "
    "of the draw gives an estimate of the gradient of its mean"
)
PLACES = f"positions of elements move in jumps with them and have no derivative: {_AROUND}"
SIZES = f"a matrix of zeros and ones moves in jumps with its sizes and diagonal, and has no derivative: {_AROUND}"


def _first(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    return dtypes, dtypes[0]


def _rule(why: str) -> dict[str, Any]:
    """What an op of one argument has that is the identity, but has no gradient."""
    return {
        "numpy": lambda x: x, "dtype": _first, "sympy": "x", "grad": (why,), "jvp": lambda *_: None,
        "meta": {"for_gradients": True, "undefined": why}, "builtin": True,
    }


@elementwise(name="drawn_by", **_rule(DRAW))
def _drawn_by(x):
    """``x``, a parameter of a discrete draw. Tangents take the draw as a constant, as Theano's ``Rop`` does."""
    return x


@elementwise(name="placed_by", **_rule(SIZES))
def _placed_by(x):
    """``x``, a size or the number of a diagonal, on which it depends where ones stand."""
    return x


def drawn_by(x: Any) -> Expr:
    """``x`` as a parameter of a discrete draw, through which no gradient passes: NullTypeGradError.

    >>> import fuse, fuse.tensor as T
    >>> p = T.dscalar("p")
    >>> fuse.grad(p * (drawn_by(p) > 0.5), p)
    Traceback (most recent call last):
    fuse.errors.NullTypeGradError: ...
    """
    x = as_expr(x)
    return x if isinstance(x, Constant) else _drawn_by(x)


def placed_by(x: Any) -> Any:
    """``x``, a size or the number of a diagonal, as one on which it depends where ones stand; ints as they are."""
    return x if not isinstance(x, Expr) or isinstance(x, Constant) else _placed_by(x)
