"""Theano's ``gof.type``: the base of types, and the type of any Python object."""
from __future__ import annotations

from typing import Any, NoReturn

from fuse.errors import FuseTypeError
from fuse.internals import lookup as _lookup
from fuse.types import TensorType as PureType
from fuse.types import TensorType as Type

__all__ = ["Generic", "PureType", "Type", "generic"]


class Generic:
    """The type of a value that is no array: to be compared with; variables of it cannot be made, they are arrays.

    >>> Generic() == generic, generic.filter("anything")
    (True, 'anything')
    """

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        return value

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return "generic"

    def __call__(self, name: str | None = None) -> NoReturn:
        raise FuseTypeError("variables are arrays: pass other objects as Python arguments or as __props__ of an op")


generic = Generic()

__getattr__ = _lookup(__name__)
