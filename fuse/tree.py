"""Trees of arrays: dicts, lists, tuples, named tuples and dataclasses, taken apart to a list of leaves and put back.

What is none of these containers is a leaf; None is a container of nothing. Dicts are walked in the order of their
sorted keys where they can be sorted, so that equal dicts have equal structures. Fields of a dataclass that are made
with ``field(metadata={"static": True})`` belong to the structure, not to the leaves.
"""
from __future__ import annotations

import builtins
import dataclasses
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fuse.errors import FuseTypeError, FuseValueError
from fuse.frozen import dataclass


def fixed_as(value: Any) -> Hashable:
    """What tells fixed values apart that ``==`` does not: 1, 1.0 and True, 0.0 and -0.0, in tuples too; NaN is NaN.

    >>> fixed_as((1, 0.0)) == fixed_as((1, -0.0)), fixed_as(1) == fixed_as(True)
    (False, False)
    """
    kind: Any = type(value)
    if kind in (float, complex):
        return kind, repr(value)
    if isinstance(value, (tuple, frozenset)):
        return kind, (frozenset if isinstance(value, frozenset) else tuple)(map(fixed_as, value))
    if hasattr(value, "dtype") and hasattr(value, "tobytes") and getattr(value, "ndim", None) == 0:
        return kind, value.dtype, value.tobytes()
    return kind, value


class Fixed:
    """A value that is part of a structure; equal to another where no program can tell the two apart."""

    __slots__ = ("told", "value")

    def __init__(self, value: Any) -> None:
        self.value, self.told = value, fixed_as(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and self.told == other.told

    def __hash__(self) -> int:
        return hash(self.told)

    def __repr__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class Structure:
    """The shape of a tree: the type of its root (None: a leaf), what tells its entries apart, and its subtrees."""

    kind: type | None
    data: Hashable = ()
    children: tuple[Structure, ...] = ()

    def __repr__(self) -> str:
        return str(unflatten(self, ["*"] * self.count)).replace("'*'", "*")

    @property
    def count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(c.count for c in self.children)


LEAF = Structure(None)


@dataclass(frozen=True)
class Container:
    """How one type of container is taken apart.

    ``split(value)`` gives subtrees and data, ``join(data, subtrees)`` the container again;
    ``label(data, i)`` is how entry number i is written behind the container's name in messages.
    """

    split: Callable[[Any], tuple[Sequence[Any], Hashable]]
    join: Callable[[Any, Sequence[Any]], Any]
    label: Callable[[Any, int], str] = lambda data, i: f"[{i}]"


def _keys(value: dict[Any, Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(value))
    except TypeError:  # keys of several kinds
        return tuple(value)


def _split_dict(value: dict[Any, Any]) -> tuple[Sequence[Any], Hashable]:
    keys = _keys(value)
    return [value[k] for k in keys], keys


def _split_default(value: Any) -> tuple[Sequence[Any], Hashable]:
    children, keys = _split_dict(value)
    return children, (value.default_factory, keys)


_BUILTIN: dict[type, Container] = {
    type(None): Container(lambda value: ((), ()), lambda data, children: None),
    tuple: Container(lambda value: (value, ()), lambda data, children: tuple(children)),
    list: Container(lambda value: (value, ()), lambda data, children: builtins.list(children)),
    dict: Container(_split_dict, lambda keys, c: dict(zip(keys, c, strict=True)), lambda keys, i: f"[{keys[i]!r}]"),
    OrderedDict: Container(
        lambda value: (tuple(value.values()), tuple(value)),
        lambda keys, c: OrderedDict(zip(keys, c, strict=True)), lambda keys, i: f"[{keys[i]!r}]",
    ),
    defaultdict: Container(
        _split_default, lambda data, c: defaultdict(data[0], zip(data[1], c, strict=True)),
        lambda data, i: f"[{data[1][i]!r}]",
    ),
}
_FOUND: WeakKeyDictionary[type, Container | None] = WeakKeyDictionary()


def container(kind: type) -> Container | None:
    """How objects of type ``kind`` are taken apart; None where they are leaves."""
    known = _BUILTIN.get(kind)
    if known is None and kind not in _FOUND:
        _FOUND[kind] = _made_for(kind)
    return known or _FOUND[kind]


def _made_for(kind: type) -> Container | None:
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        fields, make = kind._fields, getattr(kind, "_make")  # noqa: B009 (type checkers do not know it)
        return Container(lambda value: (value, ()), lambda _, c: make(c), lambda _, i: f".{fields[i]}")
    if dataclasses.is_dataclass(kind):
        return _made_for_dataclass(kind)
    return None


def _made_for_dataclass(kind: type) -> Container:
    fields = dataclasses.fields(kind)
    dynamic = [f.name for f in fields if not f.metadata.get("static")]
    static = [f.name for f in fields if f.metadata.get("static")]

    def split(value: Any) -> tuple[Sequence[Any], Hashable]:
        return [getattr(value, n) for n in dynamic], tuple([Fixed(getattr(value, n)) for n in static])

    def join(data: Any, children: Sequence[Any]) -> Any:
        new: Any = object.__new__(kind)  # the fields as they were: __post_init__ has seen them before
        values = [*children, *[each.value for each in data]]
        for name, value in zip([*dynamic, *static], values, strict=True):
            object.__setattr__(new, name, value)
        return new

    return Container(split, join, lambda data, i: f".{dynamic[i]}")


def register(
    kind: type, split: Callable[[Any], tuple[Sequence[Any], Hashable]], join: Callable[[Any, Sequence[Any]], Any]
) -> None:
    """Let objects of the class ``kind`` be containers.

    ``split(value)`` gives the subtrees and hashable data, ``join(data, subtrees)`` makes such an object again.

    >>> class Pair:
    ...     def __init__(self, a, b): self.a, self.b = a, b
    >>> register(Pair, lambda p: ((p.a, p.b), ()), lambda data, parts: Pair(*parts))
    >>> leaves(Pair(1, [2, 3]))
    [1, 2, 3]
    """
    _FOUND[kind] = Container(split, join)


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """The leaves of ``tree`` in order, and its structure.

    >>> flatten({"w": 1.0, "b": [2.0, None]})
    ([2.0, 1.0], {'b': [*, None], 'w': *})
    """
    found: list[Any] = []
    return found, _walk(tree, found, is_leaf)


def _walk(tree: Any, found: list[Any], is_leaf: Callable[[Any], bool] | None) -> Structure:
    known = container(type(tree))
    if known is None or is_leaf is not None and is_leaf(tree):
        found.append(tree)
        return LEAF
    children, data = known.split(tree)
    return Structure(type(tree), data, tuple([_walk(c, found, is_leaf) for c in children]))


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of ``structure`` with these leaves.

    >>> values, structure = flatten((1, {"a": 2}))
    >>> unflatten(structure, [10, 20])
    (10, {'a': 20})
    """
    rest = iter(leaves)
    tree = _put(structure, rest)
    if next(rest, LEAF) is not LEAF:
        raise FuseValueError(f"there are more leaves than the {structure.count} of {structure}")
    return tree


def _put(structure: Structure, rest: Iterator[Any]) -> Any:
    if structure.kind is None:
        for leaf in rest:
            return leaf
        raise FuseValueError("there are fewer leaves than the structure has")
    known = container(structure.kind)
    assert known is not None
    return known.join(structure.data, [_put(c, rest) for c in structure.children])


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves of ``tree`` in order.

    >>> leaves([1, (2, None), {"a": 3}])
    [1, 2, 3]
    """
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Structure:
    """The structure of ``tree``: equal for trees that differ in their leaves only.

    >>> structure([1, 2]) == structure([3, 4]), structure([1, 2]) == structure((1, 2))
    (True, False)
    """
    return flatten(tree, is_leaf)[1]


def map(function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """``function`` of each leaf of ``tree``, and of the leaves of ``rest`` at the same places.

    A tree of ``rest`` may have whole subtrees where ``tree`` has leaves.

    >>> map(lambda p, g: p - 0.5 * g, {"w": 2.0, "b": 1.0}, {"w": 2.0, "b": 4.0})
    {'b': -1.0, 'w': 1.0}
    """
    first, shape = flatten(tree, is_leaf)
    return unflatten(shape, [function(*row) for row in zip(first, *[upto(shape, t) for t in rest], strict=True)])


_NOTHING = object()


def reduce(
    function: Callable[[Any, Any], Any], tree: Any, initializer: Any = _NOTHING,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """``function`` of the leaves of ``tree``, two at a time from the first on: ``functools.reduce`` for trees.

    >>> reduce(lambda total, w: total + w**2, {"w": 2.0, "b": [1.0, 3.0]}, 0.0)
    14.0
    """
    return functools.reduce(function, leaves(tree, is_leaf), *([] if initializer is _NOTHING else [initializer]))


def transpose(outer: Structure, inner: Structure, tree: Any) -> Any:
    """A tree of structure ``outer`` whose leaves are trees of structure ``inner``, turned inside out.

    Raises FuseTypeError where ``tree`` is none.

    >>> transpose(structure([0, 0]), structure({"a": 0, "b": 0}), [{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    {'a': [1, 3], 'b': [2, 4]}
    """
    rows = [upto(inner, each) for each in upto(outer, tree)]
    return unflatten(inner, [unflatten(outer, [row[i] for row in rows]) for i in range(inner.count)])


def upto(shape: Structure, tree: Any) -> list[Any]:
    """The subtrees of ``tree`` at the leaves of ``shape``."""
    if shape.kind is None:
        return [tree]
    known = container(type(tree))
    children, data = known.split(tree) if known is not None else ((), None)
    if type(tree) is not shape.kind or data != shape.data or len(children) != len(shape.children):
        raise FuseTypeError(f"trees of different structure: {shape} and {structure(tree)}")
    return [leaf for s, c in zip(shape.children, children, strict=True) for leaf in upto(s, c)]


def spread(prefix: Any, tree: Any) -> list[Any]:
    """For each leaf of ``tree`` the leaf of ``prefix`` that stands at its place or above it (None is a leaf there).

    >>> spread((0, None), ([1, 2], {"a": 3}))
    [0, 0, None]
    """
    known = container(type(prefix)) if prefix is not None else None
    if known is None:
        return [prefix] * structure(tree).count
    own = container(type(tree))
    children, data = known.split(prefix)
    parts, other = own.split(tree) if own is not None else ((), None)
    alike = type(prefix) is type(tree) or {type(prefix), type(tree)} == {list, tuple}
    if not alike or data != other or len(children) != len(parts):
        raise FuseTypeError(f"{prefix!r:.60} does not have the structure of {structure(tree)}")
    return [leaf for p, t in zip(children, parts, strict=True) for leaf in spread(p, t)]


def paths(shape: Structure, name: str = "") -> list[str]:
    """Where each leaf stands, as one writes it: ``params['w']``.

    >>> paths(structure({"w": 1, "layers": [2, 3]}), "params")
    ["params['layers'][0]", "params['layers'][1]", "params['w']"]
    """
    if shape.kind is None:
        return [name]
    known = container(shape.kind)
    assert known is not None
    return [p for i, c in enumerate(shape.children) for p in paths(c, name + known.label(shape.data, i))]


__all__ = [
    "Structure", "flatten", "leaves", "map", "paths", "reduce", "register", "spread", "structure", "transpose",
    "unflatten", "upto",
]
