"""Assert: an identity that raises where a condition is false while a compiled function runs."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse import errors
from fuse.errors import FuseTypeError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.op import DISCONNECTED, Op, register
from fuse.types import TensorType


class Assert:
    """``Assert("message")(x, *conditions)`` is ``x``; a call in which a scalar condition is 0 or False is an error.

    The error is an AssertionError with the message and the line that wrote the expression. Only what a function needs
    is checked: use the result in place of ``x``. The gradient passes through unchanged.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> f = fuse.function([x], fuse.Assert("no elements")(x, x.size > 0).sum())
    >>> float(f([1.0, 2.0]))
    3.0
    >>> f([])
    Traceback (most recent call last):
        ...
    fuse.errors.FuseAssertionError: no elements...
    """

    def __init__(self, msg: str = "Theano Assert failed!") -> None:
        self.msg = str(msg)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Assert) and self.msg == other.msg

    def __hash__(self) -> int:
        return hash((Assert, self.msg))

    def __repr__(self) -> str:
        return f"Assert({self.msg!r})"

    def __call__(self, value: Any, *conds: Any) -> Expr:
        return required(value, conds, self.msg)


def required(value: Any, conditions: Any, message: str, error: str = "FuseAssertionError") -> Expr:
    """``value``; an ``error`` (the name of a class of ``fuse.errors``) at run time where a condition is false."""
    return ASSERT(as_expr(value), *map(as_expr, conditions), msg=message, error=error)


def _type(x: Expr, *conditions: Expr, msg: str, error: str) -> TensorType:
    for condition in conditions:
        if not isinstance(condition.type, TensorType):
            raise FuseTypeError("the conditions of Assert are scalars")
        if condition.type.ndim:
            raise ShapeError(
                f"the conditions of Assert are scalars, not a {condition.type.describe()}: write all(condition)"
            )
    return x.type


def _checked(value: Any, *conditions: Any, msg: str, error: str) -> Any:
    if not all(np.all(c) for c in conditions):
        raise getattr(errors, error)(msg)
    return value


ASSERT = register(Op(
    name="assert", kind="view", numpy=_checked, infer=_type, shape=lambda node, sizes, *_: sizes,
    grad=lambda g, out, x, *conditions, msg, error: (g, *[DISCONNECTED] * len(conditions)),
    jvp=lambda tangents, out, x, *conditions, msg, error: tangents[0],
    doc="The identity, which raises where a condition is false.",
))
