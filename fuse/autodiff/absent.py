"""Gradients that are no tensors: disconnected ones, and those that an op does not define."""
from __future__ import annotations

from typing import Any

from fuse.expr import INPUT, Expr, TensorVariable, leaf
from fuse.frozen import dataclass


@dataclass(frozen=True)
class DisconnectedType:
    """The type of a gradient of something that is not a function of the variable in question.

    >>> DisconnectedType()().type
    DisconnectedType()
    """

    def __call__(self, name: str | None = None) -> Expr:
        """A placeholder variable of this type."""
        return leaf(TensorVariable, INPUT, self, name)  # type: ignore[arg-type]

    def describe(self) -> str:
        return "disconnected gradient"


@dataclass(frozen=True)
class NullType:
    """The type of a gradient that is undefined or not implemented; ``why_null`` says why.

    >>> NullType("rounding has no slope")().type.why_null
    'rounding has no slope'
    """

    why_null: str = "(no reason given)"

    def __call__(self, name: str | None = None) -> Expr:
        """A placeholder variable of this type: using it in a gradient raises NullTypeGradError."""
        return leaf(TensorVariable, INPUT, self, name)  # type: ignore[arg-type]

    def describe(self) -> str:
        return f"undefined gradient ({self.why_null})"


def is_disconnected(gradient: Any) -> bool:
    """Whether ``gradient`` is a placeholder of DisconnectedType."""
    return isinstance(getattr(gradient, "type", None), DisconnectedType)


def is_null(gradient: Any) -> bool:
    """Whether ``gradient`` is a placeholder of NullType."""
    return isinstance(getattr(gradient, "type", None), NullType)


def grad_not_implemented(op: Any, x_pos: int, x: Any, comment: str = "") -> Expr:
    """What ``grad`` of an op returns for argument ``x_pos`` where nobody has written its gradient yet.

    >>> grad_not_implemented("my_op", 0, None, "see issue 3").type.why_null
    'the gradient of my_op with respect to its argument 0 is not implemented: see issue 3'
    """
    text = f"the gradient of {op} with respect to its argument {x_pos} is not implemented"
    return NullType(f"{text}: {comment}" if comment else text)()


def grad_undefined(op: Any, x_pos: int, x: Any, comment: str = "") -> Expr:
    """What ``grad`` of an op returns for argument ``x_pos`` where the mathematics defines no gradient.

    >>> grad_undefined("my_op", 1, None).type.why_null
    'the gradient of my_op with respect to its argument 1 is undefined'
    """
    text = f"the gradient of {op} with respect to its argument {x_pos} is undefined"
    return NullType(f"{text}: {comment}" if comment else text)()
