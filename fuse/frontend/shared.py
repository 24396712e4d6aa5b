"""Shared variables: leaves with a value of their own, which compiled functions read and update."""
from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from fuse.devices import resolve
from fuse.errors import FuseTypeError
from fuse.expr import SHARED, Expr, leaf, leaves
from fuse.flat import flattened, unflattened
from fuse.typebase import Type, generic
from fuse.types import BFLOAT16, TensorType, refuse_masked


class Container:
    """The cell that holds the value of a shared variable; clones hold the same one.

    ``borrowed`` is an array that others may have as well, since they gave it or were given it: as long as it is the
    value, updates are not made in place. Any other value is the cell's alone, and no other array shares its memory.
    """

    __slots__ = ("array", "borrowed")

    def __init__(self, value: np.ndarray[Any, Any], borrowed: bool = False) -> None:
        self.array = value
        self.borrowed = value if borrowed else None

    def read(self) -> np.ndarray[Any, Any]:
        """A copy of the value."""
        return self.array.copy()

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The value itself, which the caller may keep, and change."""
        value = self.borrowed = self.array
        return value

    @value.setter
    def value(self, value: np.ndarray[Any, Any]) -> None:
        self.borrowed = value  # in this order: another thread may be about to update in place
        self.array = value

    data = value

    @property
    def storage(self) -> list[np.ndarray[Any, Any]]:
        return [self.value]


_numbers = itertools.count()


class SharedVariable(Expr):
    """A leaf whose value lasts between calls: made by ``shared``, read with ``get_value``, changed by updates.

    ``default_update`` is an expression that every compiled function using the variable stores in it, unless the
    function is given an update of its own.

    >>> import fuse, fuse.tensor as T
    >>> count = shared(0, name="count")
    >>> count.default_update = count + 1
    >>> tick = fuse.function([], count)
    >>> int(tick()), int(tick()), int(count.get_value())
    (0, 1, 2)
    """

    __slots__ = ("container", "default_update", "strict", "allow_downcast", "number")

    container: Container
    number: int  # of those made so far
    default_update: Expr | None
    strict: bool
    allow_downcast: bool | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A variable that ``__init__``, which subclasses call, tells its type and value."""
        made: Any = leaf(cls, SHARED, None, None)  # type: ignore[arg-type]
        del made.type
        return made

    def __init__(
        self, name: str | None = None, type: Any = None, value: Any = None, strict: bool = False,
        allow_downcast: bool | None = None, container: Container | None = None,
    ) -> None:
        """Theano's constructor: a variable of a given type with a value, or with the ``container`` of another one."""
        if not isinstance(type, Type):
            raise FuseTypeError("a SharedVariable is made from a type and a value; shared(value, name) finds the type")
        if container is None:
            kept = type.filter(value, strict=strict, allow_downcast=allow_downcast)
            container = Container(_own(kept, value) if isinstance(type, TensorType) else type.copied(kept))
        self.type, self.name = type, None if name is None else str(name)  # type: ignore[assignment]
        _keep_in(container, self, strict, allow_downcast)

    def __bool__(self) -> bool:
        """True: programs ask ``if not bias:`` for whether one was given. The value has no part in it."""
        return True

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> np.ndarray[Any, Any]:
        """The value: a copy, or with ``borrow`` the array itself.

        What is written into that array is the variable's value, until an update or `set_value` gives it another one;
        functions on a GPU have a copy of their own, and may not see it.

        >>> shared([1.0, 2.0]).get_value()
        array([1., 2.])
        """
        container = self.container
        return container.value if borrow else _copied(self.type, container)

    def set_value(self, new_value: Any, borrow: bool = False) -> None:
        """Replace the value, by a copy unless ``borrow``; sizes may change where the type leaves them open.

        Raises FuseTypeError or ShapeError where the value does not fit the type.

        >>> w = shared([1.0, 2.0])
        >>> w.set_value([3, 4, 5])
        >>> w.get_value()
        array([3., 4., 5.])
        """
        value = self.type.filter(new_value, strict=self.strict, allow_downcast=self.allow_downcast)
        borrowed = borrow and value is new_value
        if not isinstance(self.type, TensorType):
            self.container.array = value if borrowed else self.type.copied(value)
            return
        if borrowed:
            self.container.value = value
        else:
            self.container.array = _own(value, new_value)
            self.container.borrowed = None

    def zero(self, borrow: bool = False) -> None:
        """Set every element to 0."""
        self.container.array = np.zeros_like(self.container.array)

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The value, as by ``get_value()``."""
        return self.get_value()

    def clone(self, name: str | None = None) -> SharedVariable:
        """Another variable with the same container: what is stored in one is seen in both."""
        return shared_leaf(self.type, name or self.name, self.container, self.strict, self.allow_downcast)

    def __reduce__(self) -> Any:
        update = None if self.default_update is None else flattened(self.default_update)
        if not isinstance(self.type, TensorType):
            return shared, (self.container.array, self.name)
        fields = (self.type.dtype, self.type.shape, self.name, self.container.array, self.strict, self.allow_downcast)
        return _restored, fields, update  # the update comes last: it may refer to this variable

    def __setstate__(self, update: Any) -> None:
        self.default_update = unflattened(update)

    def _own_copy(self, memo: dict[int, Any]) -> Expr:
        known = memo.get(id(self))
        if known is None:
            cell = Container(_copied(self.type, self.container))
            known = memo[id(self)] = shared_leaf(self.type, self.name, cell, self.strict, self.allow_downcast)
            known.default_update = copy.deepcopy(self.default_update, memo)
        return known


def _restored(
    dtype: str, shape: Any, name: str | None, value: np.ndarray[Any, Any], strict: bool, allow_downcast: bool | None
) -> SharedVariable:
    """A variable of a pickle: always a new one, so that neither it nor the one that was stored changes the other."""
    return shared_leaf(TensorType(dtype, shape), name, Container(_own(value, None)), strict, allow_downcast)


def _copied(type_: Any, container: Container) -> Any:
    return container.read() if isinstance(type_, TensorType) else type_.copied(container.array)


def _own(value: np.ndarray[Any, Any], given: Any) -> np.ndarray[Any, Any]:
    """``value`` as an array that nothing of the user's shares memory with."""
    # Lists and numbers became a new array; an object that has one of its own (``__array__``) may have given that.
    is_new = isinstance(given, (list, tuple, bool, int, float, complex, np.generic))
    if not is_new or not value.flags.owndata or not value.flags.writeable:
        return np.array(value, order="C" if value.flags.c_contiguous else "K", copy=True, subok=False)
    return value


def shared_leaf(
    type_: Any, name: str | None, container: Container, strict: bool, allow_downcast: bool | None
) -> SharedVariable:
    """A new shared variable that keeps its value in ``container``."""
    node: Any = leaf(SharedVariable, SHARED, type_, name)
    _keep_in(container, node, strict, allow_downcast)
    return node


def _keep_in(container: Container, node: Any, strict: Any, allow_downcast: bool | None) -> None:
    node.container = container
    node.default_update = None
    node.strict = bool(strict)
    node.allow_downcast = allow_downcast
    node.number = next(_numbers)


def made_since(number: int, values: Iterable[Expr]) -> list[SharedVariable]:
    """The shared variables with updates of their own in ``values`` that were made after that many."""
    found: list[Any] = [x for x in leaves(values) if x.op is SHARED]
    return [x for x in found if x.number >= number and x.default_update is not None]


def numbered() -> int:
    """A number that shared variables made from now on have at least."""
    return next(_numbers)


def shared(
    value: Any, name: str | None = None, strict: bool = False, allow_downcast: bool | None = None,
    borrow: bool = False, broadcastable: Any = None, shape: Any = None, device: str | None = None, **ignored: Any,
) -> SharedVariable:
    """A shared variable that starts with ``value``: a number, an array, a list of numbers, or a generator of NumPy's.

    Any other object, such as a text, is kept as it is, for ops of the user's own.

    An int is int64 and a float float64. The array is copied unless ``borrow``. Sizes may change later, unless
    ``shape`` (a size or None per axis) or ``broadcastable`` fixes them. Functions on a GPU keep the value in its
    memory; ``device="cuda"`` demands one (DeviceError where there is none). ``target`` is accepted and ignored.

    >>> w = shared([1.0, 2.0], name="w")
    >>> w.type, w.get_value()
    (TensorType(float64, vector), array([1., 2.]))
    """
    if isinstance(value, Expr):
        raise FuseTypeError("a shared variable starts with a value, not with an expression: .eval(...) gives its value")
    unknown = set(ignored) - {"target"}
    if unknown:
        raise FuseTypeError(f"shared has no option {', '.join(sorted(unknown))}")
    if device is not None:
        resolve(device)
    refuse_masked(value)
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        from fuse.frontend.raw_random import generator_type

        kind: Any = generator_type(value)
        own: Any = value if borrow else kind.copied(value)
        return shared_leaf(kind, name, Container(own), strict, allow_downcast)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise FuseTypeError(f"cannot make an array of {type(value).__name__}: {error}") from None
    if array.dtype.kind not in "biufc":
        if array.dtype.kind in "OUS" and not array.ndim and not isinstance(value, (np.ndarray, np.generic)):
            whatever: Any = generic
            return shared_leaf(whatever, name, Container(value if borrow else whatever.copied(value)), strict, None)
        hint = f"; {BFLOAT16}" if array.dtype.name == "bfloat16" else ""
        raise FuseTypeError(f"a shared variable holds numbers, not {type(value).__name__} ({array.dtype}){hint}")
    static = (None,) * array.ndim if shape is None and broadcastable is None else shape
    type_ = TensorType(array.dtype, static, broadcastable=broadcastable)
    array = type_.filter(array)
    borrowed = borrow and array is value and array.flags.writeable
    kept = array if borrowed else _own(array, value)
    return shared_leaf(type_, name, Container(kept, borrowed), strict, allow_downcast)


def vector_length(x: Expr) -> int | None:
    """The length of a vector if it is known while the graph is built; that of a shared one is its value's.

    >>> import fuse.tensor as T
    >>> vector_length(shared([2, 3])), vector_length(T.lvector("n"))
    (2, None)
    """
    if x.type.shape[0] is None and isinstance(x, SharedVariable):
        return len(x.container.array)
    return x.type.shape[0]


__all__ = ["Container", "SharedVariable", "shared"]
