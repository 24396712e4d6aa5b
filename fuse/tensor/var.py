"""Theano's ``tensor.var``: the classes of variables."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import INPUT, Constant, Expr, leaf
from fuse.frontend.shared import SharedVariable
from fuse.typebase import Type

__all__ = [
    "Constant", "DenseTensorConstant", "DenseTensorVariable", "TensorConstant", "TensorSharedVariable",
    "TensorVariable", "Variable",
]


class _Asked(type):
    """Of the class that every input and every computed variable answers to; subclasses have instances of their own."""

    def __instancecheck__(cls, value: object) -> bool:
        if cls is not TensorVariable:
            return super().__instancecheck__(value)
        return isinstance(value, Expr) and not isinstance(value, (Constant, SharedVariable))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is TensorVariable:
            return Expr(*args, **kwargs)
        made = super().__call__(*args, **kwargs)
        if made.type is None:
            raise FuseTypeError(f"{cls.__name__}.__init__ has not called that of TensorVariable, which takes the type")
        return made


class TensorVariable(Expr, metaclass=_Asked):
    """Theano's class of inputs and of what is computed, to ask for: neither constants nor shared variables are such.

    Libraries of layers tell by it whether they were given an expression or parameters of their own. Subclasses make
    inputs with attributes and methods of their own, as random variables of a model are; what is computed from them is
    of no subclass. ``Apply(view_op, [x], [own])`` says that ``own``, which nothing has used yet, is ``x``.

    >>> import fuse, fuse.tensor as T
    >>> x, w = T.vector("x"), fuse.shared([1.0, 2.0])
    >>> [isinstance(v, T.TensorVariable) for v in (x, x + w, w, T.constant(1.0), 1.0)]
    [True, True, False, False, False]
    >>> class Parameter(T.TensorVariable):
    ...     def __init__(self, name, width):
    ...         super().__init__(T.dscalar, name=name)
    ...         self.width = width
    >>> p = Parameter("p", 0.5)
    >>> p.width, isinstance(p * 2, Parameter), float((p * 2).eval({p: 3.0}))
    (0.5, False, 6.0)
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An input whose type ``__init__`` will tell."""
        return leaf(cls, INPUT, None, None)  # type: ignore[arg-type]

    def __init__(self, type: Any, owner: Any = None, index: Any = None, name: str | None = None) -> None:
        if owner is not None or not isinstance(type, Type):
            raise FuseTypeError(
                f"variables of a class of one's own are made of a type, TensorVariable(type, None, None, name), not of "
                f"{owner if owner is not None else type!r:.60}; Apply(op, inputs, [variable]) says what computes one"
            )
        self.type, self.name = type, None if name is None else str(name)  # type: ignore[assignment]


Variable = Expr
DenseTensorVariable = TensorVariable
TensorConstant = DenseTensorConstant = Constant
TensorSharedVariable = SharedVariable
