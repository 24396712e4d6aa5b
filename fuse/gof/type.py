"""Theano's ``gof.type``: the base of types, and the type of any Python object."""
from __future__ import annotations

from typing import Any

from fuse.internals import lookup as _lookup
from fuse.typebase import Type as Type

__all__ = ["Generic", "PureType", "SingletonType", "Type", "generic"]

PureType = Type


class SingletonType(Type):
    """Base of types that have no attributes: one object per class."""

    __props__ = ()


class Generic(SingletonType):
    """The type of any Python object.

    >>> Generic() == generic, generic.filter("anything")
    (True, 'anything')
    >>> generic("options").type
    generic
    """

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        return value

    def __str__(self) -> str:
        return "generic"


generic = Generic()

__getattr__ = _lookup(__name__)
