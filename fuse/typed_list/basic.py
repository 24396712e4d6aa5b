"""Operations on symbolic lists: each gives a new list."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.config import config
from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend.apply import Apply
from fuse.frontend.class_op import Op
from fuse.typed_list.type import TypedListType
from fuse.types import DISCRETE, TensorType


def _list(x: Any) -> Any:
    if not isinstance(x, Expr) or not isinstance(x.type, TypedListType):
        raise FuseTypeError(f"a variable of a TypedListType is needed, not {x!r:.60}")
    return x


def _entry(x: Any, entry: Any) -> Expr:
    """``entry`` as a variable of the type of the list's entries."""
    kind = x.type.ttype
    if not isinstance(entry, Expr) and isinstance(kind, TensorType):
        entry = as_expr(kind.filter(entry))
    if entry.type != kind:
        raise FuseTypeError(f"the entries of this list are of {kind}, not of {entry.type}")
    return entry


def _position(index: Any) -> Expr:
    index = as_expr(index)
    if not isinstance(index.type, TensorType) or index.type.ndim or index.type.dtype not in DISCRETE:
        raise FuseTypeError(f"the position in a list is an integer, not a {index.type}")
    return index


class _ListOp(Op):
    """An op on a list (and more): ``_read`` checks its arguments, ``_result`` tells its type, ``_run`` computes.

    Theano's ``Append(inplace=True)`` and its kin may change the list that they are given; here results are new lists.
    """

    __props__: tuple[str, ...] = ()
    _read: Callable[..., Sequence[Expr]]
    _run: Callable[..., Any]

    def __init__(self, inplace: bool = False) -> None:
        """``inplace`` has no effect."""

    def _result(self, x: Expr) -> Any:
        return x.type

    def make_node(self, *inputs: Any) -> Apply:
        args = list(type(self)._read(*inputs))
        return Apply(self, args, [self._result(args[0])()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        output_storage[0][0] = type(self)._run(*inputs)


class GetItem(_ListOp):
    """The entry at an integer; of a slice of integers, which the op holds, the list of its entries."""

    __props__ = ("bounds",)

    def __init__(self, bounds: tuple[Any, ...] | None = None) -> None:
        self.bounds = bounds

    def make_node(self, *inputs: Any) -> Apply:
        x = _list(inputs[0])
        if self.bounds is None and isinstance(inputs[1], slice):
            made: Apply = getitem(x, inputs[1]).owner
            return made
        if self.bounds is not None:
            return Apply(self, [x], [x.type()])
        return Apply(self, [x, _position(inputs[1])], [x.type.ttype()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        at = slice(*self.bounds) if self.bounds is not None else int(inputs[1])
        output_storage[0][0] = inputs[0][at]


class Append(_ListOp):
    """The list with one more entry at its end."""

    _read = staticmethod(lambda x, entry: (_list(x), _entry(x, entry)))
    _run = staticmethod(lambda x, entry: [*x, entry])


class Extend(_ListOp):
    """The list with the entries of another after it."""

    _read = staticmethod(lambda x, other: (_list(x), _same(x, _list(other))))
    _run = staticmethod(lambda x, other: [*x, *other])


class Insert(_ListOp):
    """The list with an entry put before a position."""

    _read = staticmethod(lambda x, index, entry: (_list(x), _position(index), _entry(x, entry)))

    @staticmethod
    def _run(x: list[Any], index: Any, entry: Any) -> list[Any]:
        found = list(x)
        found.insert(int(index), entry)
        return found


class Reverse(_ListOp):
    """The list backwards."""

    _read = staticmethod(lambda x: (_list(x),))
    _run = staticmethod(lambda x: x[::-1])


class Length(_ListOp):
    """The number of entries: int64."""

    _read = staticmethod(lambda x: (_list(x),))
    _run = staticmethod(lambda x: np.asarray(len(x), dtype="int64"))

    def _result(self, x: Expr) -> Any:
        return TensorType("int64", ())


class _Searching(_ListOp):
    """An op that compares entries with one, as their type does."""

    _read = staticmethod(lambda x, entry: (_list(x), _entry(x, entry)))

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        x, entry = inputs
        kind: Any = node.inputs[0].type
        equal = kind.ttype.values_eq
        output_storage[0][0] = type(self)._run(x, [i for i, v in enumerate(x) if equal(v, entry)])


def _first(places: list[int]) -> int:
    if not places:
        raise ValueError("the entry is not in the list")
    return places[0]


class Remove(_Searching):
    """The list without the first entry that equals one; ValueError where there is none."""

    _run = staticmethod(lambda x, places: [*x[: _first(places)], *x[_first(places) + 1 :]])


class Index(_Searching):
    """The position of the first entry that equals one, a number of ``floatX`` as in Theano."""

    _run = staticmethod(lambda x, places: np.asarray(_first(places), dtype=config.floatX))

    def _result(self, x: Expr) -> Any:
        return TensorType(config.floatX, ())


class Count(Index):
    """How many entries equal one."""

    _run = staticmethod(lambda x, places: np.asarray(len(places), dtype=config.floatX))


class MakeList(_ListOp):
    """The list of several variables of one type."""

    _run = staticmethod(lambda *entries: list(entries))

    def make_node(self, *inputs: Any) -> Apply:
        entries = [as_expr(e) for e in (inputs[0] if len(inputs) == 1 else inputs)]
        if not entries or any(e.type != entries[0].type for e in entries):
            raise FuseTypeError("a list is made of variables of one type, at least one")
        return Apply(self, entries, [TypedListType(entries[0].type)()])


def _same(x: Expr, other: Expr) -> Expr:
    if x.type != other.type:
        raise FuseTypeError(f"lists of two types cannot be joined: {x.type} and {other.type}")
    return other


append, extend, insert, remove = Append(), Extend(), Insert(), Remove()
reverse, length, count, index_, make_list = Reverse(), Length(), Count(), Index(), MakeList()


def getitem(x: Expr, index: Any) -> Expr:
    """``x[index]``: an entry at an integer (IndexError outside), or the list of a slice of integers.

    >>> import fuse, fuse.tensor as T
    >>> x = TypedListType(T.dscalar)("x")
    >>> fuse.function([x], [length(x), getitem(x, 0), x[1:], append(x, 5.0)])([1.0, 2.0])
    [array(2), array(1.), [array(2.)], [array(1.), array(2.), array(5.)]]
    """
    if not isinstance(index, slice):
        return GetItem()(x, index)
    bounds = (index.start, index.stop, index.step)
    if not all(b is None or isinstance(b, (int, np.integer)) for b in bounds):
        raise FuseTypeError("the bounds of a slice of a list are integers known while the graph is built")
    return GetItem(tuple([None if b is None else int(b) for b in bounds]))(x)


TypedListType.methods = {
    "append": append, "extend": extend, "insert": insert, "remove": remove, "reverse": reverse, "count": count,
    "ind": index_,
}
