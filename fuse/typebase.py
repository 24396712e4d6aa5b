"""Type: what values a variable may hold. Arrays have TensorType; a user's own types are of any other objects."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fuse.errors import FuseTypeError, MethodNotDefined


class NotAnArrayError(FuseTypeError, AttributeError):
    """A value of a user's own type was used as an array."""


class Type:
    """Base of types. A type of a user's own is of objects that are no arrays, which the user's ops read and make.

    ``filter`` gives the value for one that is passed in, or raises TypeError; ``values_eq`` compares two of them.
    ``__props__`` names the attributes that tell types apart. Functions with such values run op by op in Python.

    >>> import fuse, fuse.tensor as T
    >>> class Text(Type):
    ...     __props__ = ()
    ...     def filter(self, value, strict=False, allow_downcast=None):
    ...         if not isinstance(value, str):
    ...             raise TypeError("a text is needed")
    ...         return value
    >>> class Length(fuse.Op):
    ...     __props__ = ()
    ...     def make_node(self, text):
    ...         return fuse.Apply(self, [text], [T.lscalar()])
    ...     def perform(self, node, inputs, output_storage):
    ...         output_storage[0][0] = np.array(len(inputs[0]))
    >>> import numpy as np
    >>> text = Text()("text")
    >>> int(fuse.function([text], Length()(text) ** 2)("four"))
    16
    """

    __props__: tuple[str, ...]
    methods: Mapping[str, Callable[..., Any]] = MappingProxyType({})  # of the variables of a type, beside those of all

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "__props__" in own and "__eq__" not in own:
            cls.__eq__, cls.__hash__ = equal_props, _hash  # type: ignore[method-assign]
        elif "__eq__" in own and own.get("__hash__") is None:  # types are told apart in tables
            cls.__hash__ = _hash_of_class  # type: ignore[method-assign]

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        """``value`` as a value of this type; raises TypeError where it is none."""
        raise MethodNotDefined(f"{type(self).__name__} has no filter(value, strict, allow_downcast): write it")

    def filter_variable(self, other: Any, allow_convert: bool = True) -> Any:
        """``other`` as a variable of this type; raises FuseTypeError where it is of another."""
        if getattr(other, "type", None) == self:
            return other
        kind = getattr(other, "type", type(other).__name__)
        raise FuseTypeError(f"a variable of {self} is needed, not of {kind}")

    def convert_variable(self, var: Any) -> Any:
        """``var`` as a variable of this type where its type says the same; else None."""
        return var if var.type == self else None

    def is_valid_value(self, value: Any, strict: bool = True) -> bool:
        """Whether ``value`` is a value of this type, or with ``strict=False`` can be made one."""
        try:
            self.filter(value, strict=strict)
        except (TypeError, ValueError):
            return False
        return True

    def value_validity_msg(self, value: Any) -> str:
        """What a message says of a value that is none."""
        return "none"

    def values_eq(self, a: Any, b: Any) -> bool:
        """Whether two values are equal."""
        return bool(a == b)

    def values_eq_approx(self, a: Any, b: Any) -> bool:
        """Whether two values are equal up to rounding."""
        return self.values_eq(a, b)

    @staticmethod
    def may_share_memory(a: Any, b: Any) -> bool:
        """Whether a change of ``a`` may change ``b``."""
        return a is b

    def copied(self, value: Any) -> Any:
        """A value that shares nothing with ``value``."""
        return deepcopy(value)

    def make_variable(self, name: str | None = None) -> Any:
        """A new input variable of this type."""
        return input_maker(self, name)

    def __call__(self, name: str | None = None) -> Any:
        return self.make_variable(name)

    def make_constant(self, value: Any, name: str | None = None) -> Any:
        """A constant of this type."""
        return constant_maker(self, value, name)

    def clone(self) -> Any:
        """The same type."""
        return self

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("dtype", "ndim", "shape", "broadcastable"):
                raise NotAnArrayError(f"a value of the type {self} is no array: only ops made for such values take it")
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def describe(self) -> str:
        """In words, for messages."""
        return str(self)

    def __str__(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        return str(self)


def props(value: Any) -> tuple[Any, ...]:
    """The class of a type or an op, and the values of what its ``__props__`` name: two that agree in them are equal."""
    return (type(value), *[getattr(value, name) for name in value.__props__])


def equal_props(self: Any, other: object) -> bool:
    return type(self) is type(other) and props(self) == props(other)


def _hash(self: Any) -> int:
    return hash(props(self))


def _hash_of_class(self: Any) -> int:
    return hash(type(self))


def _too_early(*_: Any) -> Any:
    raise RuntimeError("fuse.expr is not imported")


# Set by fuse.expr: types come first in the order of imports and cannot make expressions themselves.
input_maker: Callable[[Any, str | None], Any] = _too_early
constant_maker: Callable[[Any, Any, str | None], Any] = _too_early


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
