"""Theano's ``gof.utils``: the errors that programs catch, the hash of a class, small helpers."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from fuse.errors import MethodNotDefined as MethodNotDefined
from fuse.errors import TestValueError as TestValueError
from fuse.expr import Expr


def hashtype(self: object) -> int:
    """A number that is the same for all objects of a class: for ``__hash__`` of ops without parameters.

    >>> hashtype(1) == hashtype(2) != hashtype("1")
    True
    """
    return hash(type(self).__name__) ^ hash(type(self).__module__)


def give_variables_names(variables: Iterable[Expr]) -> None:
    """Give a name of its own to each variable that has none, or shares it.

    >>> import fuse.tensor as T
    >>> x, y = T.dvector(), T.dvector()
    >>> give_variables_names([x, y])
    >>> x.name, y.name
    ('vector_0', 'vector_1')
    """
    found = list(variables)
    count = Counter([v.name for v in found])
    taken = {name for name in count if name}
    for i, v in enumerate([v for v in found if not v.name or count[v.name] > 1]):
        stem = v.name or {0: "scalar", 1: "vector", 2: "matrix"}.get(v.type.ndim, f"tensor{v.type.ndim}")
        while f"{stem}_{i}" in taken:
            i += 1
        v.name = f"{stem}_{i}"
        taken.add(v.name)


def remove(predicate: Callable[[Any], Any], coll: Iterable[Any]) -> list[Any]:
    """The items of which ``predicate`` is false.

    >>> remove(lambda n: n % 2, range(5))
    [0, 2, 4]
    """
    return [x for x in coll if not predicate(x)]


def unique(x: Sequence[Any]) -> bool:
    """Whether no item occurs twice.

    >>> unique([1, 2]), unique([1, 1])
    (True, False)
    """
    return len(set(x)) == len(x)


def flatten(a: Any) -> list[Any]:
    """The entries of nested lists, tuples and sets, in order.

    >>> flatten([1, [2, (3,)]])
    [1, 2, 3]
    """
    if not isinstance(a, (list, tuple, set)):
        return [a]
    return [inner for entry in a for inner in flatten(entry)]


def uniq(seq: Iterable[Any]) -> list[Any]:
    """The different entries, in the order of their first places.

    >>> uniq([2, 1, 2])
    [2, 1]
    """
    return list(dict.fromkeys(seq))


def difference(seq1: Iterable[Any], seq2: Iterable[Any]) -> list[Any]:
    """The entries of ``seq1`` that are not in ``seq2``.

    >>> difference([1, 2, 3], [2])
    [1, 3]
    """
    gone: Any = list(seq2)
    with suppress(TypeError):  # what is not hashable stays in a list
        gone = set(gone)
    return [x for x in seq1 if x not in gone]
