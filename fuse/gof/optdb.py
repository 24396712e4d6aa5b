"""Theano's ``gof.optdb``: rewrites of the user's own by name and tags; fuse's rules are one whole."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fuse.internals import lookup as _lookup
from fuse.mode import Rules
from fuse.rules.named import REGISTERED, Database

__all__ = ["DB", "EquilibriumDB", "LocalGroupDB", "Query", "SequenceDB", "optdb"]


class Query(Rules):
    """Which rewrites are wanted; as the optimizer of a Mode it means ``'fast_run'``, whatever its tags are.

    >>> import fuse
    >>> fuse.Mode("py", Query(["canonicalize"])).rewriting
    'default'
    """

    def __new__(cls, include: Iterable[str] = (), require: Any = (), exclude: Any = (), *_: Any, **__: Any) -> Query:
        made = super().__new__(cls, "fast_run")
        made.include, made.require, made.exclude = set(include), set(require or ()), set(exclude or ())
        made.position_cutoff = None
        return made

    include: set[str]
    require: set[str]
    exclude: set[str]
    position_cutoff: float | None

    def including(self, *tags: str) -> Query:
        """The same query with more tags."""
        return Query({*self.include, *tags}, self.require, self.exclude)

    def excluding(self, *tags: str) -> Query:
        """The same query without these tags."""
        return Query(self.include, self.require, {*self.exclude, *tags})

    def requiring(self, *tags: str) -> Query:
        """The same query with more tags that must be there."""
        return Query(self.include, {*self.require, *tags}, self.exclude)


EquilibriumDB = SequenceDB = LocalGroupDB = DB = Database


def _query(*tags: Any, **subquery: Any) -> Rules:
    """What rewrites graphs: all rules, whatever is asked for.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> optdb.query(Query(["fast_run"])).optimize(fuse.FunctionGraph([x], [T.log(1 + x)])).outputs
    [log1p(x)]
    """
    return Rules("fast_run")


optdb = REGISTERED
optdb.query = _query  # type: ignore[method-assign, assignment]
__getattr__ = _lookup(__name__)
