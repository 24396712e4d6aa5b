"""Theano's ``tensor.var``: the classes of variables."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Constant, Expr
from fuse.frontend.shared import SharedVariable

__all__ = [
    "Constant", "DenseTensorConstant", "DenseTensorVariable", "TensorConstant", "TensorSharedVariable",
    "TensorVariable", "Variable",
]


class _Asked(type):
    """Of a class that is only asked for: expressions are ``Expr``, ``Constant`` or ``SharedVariable``."""

    def __instancecheck__(cls, value: object) -> bool:
        return cls is TensorVariable and isinstance(value, Expr) and not isinstance(value, (Constant, SharedVariable))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not TensorVariable:
            raise FuseTypeError(
                f"{cls.__name__}: expressions have no subclasses, as equal ones are one object; keep an expression in "
                "an attribute of a class of your own, or notes on it in x.tag"
            )
        return Expr(*args, **kwargs)


class TensorVariable(Expr, metaclass=_Asked):
    """Theano's class of inputs and of what is computed, to ask for: neither constants nor shared variables are such.

    Libraries of layers tell by it whether they were given an expression or parameters of their own.

    >>> import fuse, fuse.tensor as T
    >>> x, w = T.vector("x"), fuse.shared([1.0, 2.0])
    >>> [isinstance(v, T.TensorVariable) for v in (x, x + w, w, T.constant(1.0), 1.0)]
    [True, True, False, False, False]
    """

    __slots__ = ()


Variable = Expr
DenseTensorVariable = TensorVariable
TensorConstant = DenseTensorConstant = Constant
TensorSharedVariable = SharedVariable
