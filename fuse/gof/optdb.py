"""Theano's ``gof.optdb``: rewrites of the user's own by name and tags; fuse's rules are one whole."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fuse.internals import lookup as _lookup
from fuse.mode import Rules
from fuse.rules.named import REGISTERED, Database

__all__ = ["DB", "EquilibriumDB", "LocalGroupDB", "Query", "SequenceDB", "optdb", "rewrite_graph"]


class Query(Rules):
    """Which rewrites are wanted; as the optimizer of a Mode ``'none'`` for no tags, ``'fast_compile'`` for that tag
    alone, and ``'fast_run'`` for others.

    >>> import fuse
    >>> [fuse.Mode("py", Query(tags)).rewriting for tags in (["canonicalize"], ["fast_compile"], [])]
    ['default', 'FAST_COMPILE', 'none']
    """

    def __new__(cls, include: Iterable[str] = (), require: Any = (), exclude: Any = (), *_: Any, **__: Any) -> Query:
        wanted = set(include)
        made = super().__new__(cls, "fast_run" if wanted - {"fast_compile"} else "fast_compile" if wanted else "none")
        made.include, made.require, made.exclude = wanted, set(require or ()), set(exclude or ())
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


def rewrite_graph(
    graph: Any, include: Iterable[str] = ("canonicalize",), custom_rewrite: Any = None, clone: bool = False,
    **query: Any,
) -> Any:
    """An expression, a list of them or a FunctionGraph, rewritten by all rules and then by ``custom_rewrite``.

    A FunctionGraph is changed itself, unless it is to be cloned. Tags have no effect: fuse's rules are one whole.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> rewrite_graph(T.log(1 + x), include=("canonicalize", "specialize"))
    log1p(x)
    """
    from fuse.gof.fg import FunctionGraph

    several = isinstance(graph, (list, tuple))
    if isinstance(graph, FunctionGraph):
        fgraph = graph.clone() if clone else graph
    else:
        fgraph = FunctionGraph(outputs=list(graph) if several else [graph], clone=False)
    Rules("fast_run").rewrite(fgraph)
    if custom_rewrite is not None:
        custom_rewrite.rewrite(fgraph)
    return fgraph if isinstance(graph, FunctionGraph) else list(fgraph.outputs) if several else fgraph.outputs[0]


optdb = REGISTERED
optdb.query = _query  # type: ignore[method-assign, assignment]
__getattr__ = _lookup(__name__)
