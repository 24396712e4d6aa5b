"""PyTensor's ``raise_op``: Assert, and the same with an exception of the user's choice."""
from __future__ import annotations

from typing import Any

from fuse.autodiff.absent import DisconnectedType
from fuse.errors import ShapeError
from fuse.expr import as_expr
from fuse.frontend.apply import Apply
from fuse.frontend.asserting import Assert as _Assert
from fuse.frontend.class_op import Op
from fuse.gof.type import Generic


class ExceptionType(Generic):
    """The type of exceptions, to be compared with."""


class CheckAndRaise(Op):
    """``CheckAndRaise(ValueError, "message")(x, *conditions)`` is ``x``; where a scalar condition is false, an error.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> f = fuse.function([x], CheckAndRaise(ValueError, "too large")(x, x < 2))
    >>> float(f(1.0))
    1.0
    >>> f(3.0)
    Traceback (most recent call last):
    ...
    ValueError: too large
    """

    __props__ = ("msg", "exc_type")
    view_map = {0: [0]}

    def __init__(self, exc_type: type[Exception], msg: str = "") -> None:
        if not issubclass(exc_type, Exception):
            raise ValueError("`exc_type` must be an Exception subclass")
        self.exc_type, self.msg, self.passed_on = exc_type, msg, (exc_type,)

    def __str__(self) -> str:
        return f"CheckAndRaise{{{self.exc_type}({self.msg})}}"

    def make_node(self, value: Any, *conds: Any) -> Apply:
        value, *conditions = map(as_expr, (value, *conds))
        if any(c.type.ndim for c in conditions):
            raise ShapeError("the conditions of CheckAndRaise are scalars: write all(condition)")
        return Apply(self, [value, *conditions], [value.type()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        output_storage[0][0], *conditions = inputs
        if not all(conditions):
            raise self.exc_type(self.msg)

    def grad(self, inputs: list[Any], output_grads: list[Any]) -> list[Any]:
        return [*output_grads, *[DisconnectedType()()] * (len(inputs) - 1)]

    def connection_pattern(self, node: Apply) -> list[list[int]]:
        return [[1], *[[0]] * (len(node.inputs) - 1)]

    def infer_shape(self, node: Apply, shapes: list[Any]) -> list[Any]:
        return [shapes[0]]


class Assert(_Assert):
    """``fuse.Assert``: CheckAndRaise with an AssertionError."""

    exc_type = AssertionError

    def __init__(self, msg: str = "PyTensor Assert failed!") -> None:
        super().__init__(msg)

    def __str__(self) -> str:
        return f"Assert{{msg={self.msg}}}"


assert_op = Assert()

exception_type = ExceptionType()
__all__ = ["Assert", "CheckAndRaise", "ExceptionType", "assert_op", "exception_type"]
