"""Databases of the user's own rewrites of graphs, chosen by tags when a function is made (Theano's ``optdb``)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fuse.errors import FuseValueError, MethodNotDefined
from fuse.expr import Expr
from fuse.frontend.apply import Apply
from fuse.frontend.fgraph import FunctionGraph
from fuse.op import NAMED_REWRITES
from fuse.rules.user import rewritten, same_op


class Optimizer:
    """Base of rewrites of whole graphs: ``apply(fgraph)`` looks at ``fgraph.toposort()`` and calls ``fgraph.replace``.

    >>> import fuse, fuse.tensor as T
    >>> class Simplify(Optimizer):
    ...     def apply(self, fgraph):
    ...         for node in fgraph.toposort():
    ...             if node.op == T.mul and node.inputs[0] is node.inputs[1]:
    ...                 fgraph.replace_validate(node.outputs[0], T.sqr(node.inputs[0]))
    >>> x = T.dvector("x")
    >>> Simplify().optimize(fuse.FunctionGraph([x], [T.exp(x * x)])).outputs
    [exp(sqr(x))]
    """

    name: str | None = None

    def add_requirements(self, fgraph: Any) -> None:
        """What the graph has to note while it changes: nothing here."""

    def apply(self, fgraph: Any) -> Any:
        """Rewrite ``fgraph``."""
        raise MethodNotDefined(f"{type(self).__name__} has no apply(fgraph): write it; it calls fgraph.replace")

    def optimize(self, fgraph: Any, *args: Any, **kwargs: Any) -> Any:
        """``fgraph``, rewritten."""
        self.add_requirements(fgraph)
        self.apply(fgraph, *args, **kwargs)
        return fgraph

    __call__ = rewrite = optimize


class LocalOptimizer:
    """Base of rewrites of one application: ``transform(node)`` gives replacements of its outputs, or False.

    ``tracks()`` may name the ops of the applications that are tried.

    >>> import fuse.tensor as T
    >>> class AddToSub(LocalOptimizer):
    ...     def tracks(self):
    ...         return [T.add]
    ...     def transform(self, node):
    ...         return [T.sub(*node.inputs)]
    >>> x = T.dvector("x")
    >>> rewritten([T.exp(x + 1)], [AddToSub()])
    [exp(x - 1)]
    """

    def tracks(self) -> Any:
        """The ops whose applications are tried; None for all."""
        return None

    def transform(self, node: Apply) -> Any:
        """Replacements of the outputs of ``node``, or False."""
        raise MethodNotDefined(
            f"{type(self).__name__} has no transform(node): write it; it returns replacements of node.outputs, or False"
        )

    def add_requirements(self, fgraph: Any) -> None:
        """What the graph has to note while it changes: nothing here."""

    def __call__(self, node: Apply) -> Any:
        tracked = self.tracks()
        if tracked is not None and not any(same_op(node.op, t) for t in tracked):
            return None
        return self.transform(node)


def apply_to(fgraph: Any, rewrite: Any) -> None:
    """Let a rewrite of graphs, of applications, or a database change ``fgraph``."""
    whole = getattr(rewrite, "optimize", None) or getattr(rewrite, "apply", None)
    if whole is None:
        fgraph.outputs = rewritten(fgraph.outputs, [rewrite])
    else:
        whole(fgraph)


class Database:
    """Rewrites by name, each with a position and tags.

    A function gets those that have a tag of its mode: ``'fast_run'`` or ``'fast_compile'``, what the mode includes
    (names count as tags), less what it excludes.

    >>> import fuse, fuse.tensor as T
    >>> from fuse.gof import OpSub, TopoOptimizer
    >>> mine = Database()
    >>> mine.register("to_cos", TopoOptimizer(OpSub(T.sin, T.cos)), 10, "fast_run")
    >>> x = T.dvector("x")
    >>> mine.optimize(fuse.FunctionGraph([x], [T.sin(x)])).outputs, "to_cos" in mine
    ([cos(x)], True)
    """

    name: str | None = None

    def __init__(self, *_: Any, **__: Any) -> None:
        self._entries: dict[str, tuple[float, Any, set[str] | None]] = {}  # tags None: a part, always looked into

    def register(self, name: str, obj: Any, *tags: Any, position: float | str = 50.0, **_: Any) -> None:
        """Enter a rewrite; numbers among the tags are its position. FuseValueError where the name is taken."""
        if name in self._entries:
            raise FuseValueError(f"the name {name!r} is taken in this database")
        for tag in tags:
            if not isinstance(tag, str) or tag == "last":
                position = tag
        place = float("inf") if isinstance(position, str) else float(position)
        self._entries[name] = place, obj, {name, *[t for t in tags if isinstance(t, str)]}

    def __getitem__(self, name: str) -> Any:
        """The rewrite of this name, or a part of its own: ``optdb["specialize"].register(...)``."""
        return self._entries.setdefault(name, (50.0, Database(), None))[1]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def add_tags(self, name: str, *tags: str) -> None:
        """More tags for a rewrite."""
        (self._entries[name][2] or set()).update(tags)

    def remove_tags(self, name: str, *tags: str) -> None:
        """Fewer tags for a rewrite."""
        (self._entries[name][2] or set()).difference_update(tags)

    def chosen(
        self, wanted: Iterable[str] | None = None, unwanted: Iterable[str] = (), required: Iterable[str] = ()
    ) -> list[Any]:
        """The rewrites with a wanted tag (None: all), all required ones and no unwanted one, by position."""
        want, leave, need = None if wanted is None else set(wanted), set(unwanted), set(required)
        found = [
            (place, obj) for place, obj, tags in self._entries.values()
            if tags is None or not tags & leave and need <= tags and (want is None or tags & want)
        ]
        rewrites: list[Any] = []
        for _, obj in sorted(found, key=lambda entry: entry[0]):
            rewrites += obj.chosen(wanted, unwanted, required) if isinstance(obj, Database) else [obj]
        return rewrites

    def query(self, *tags: Any, **_: Any) -> Database:
        """Those with one of the tags ``"+tag"``, all of ``"&tag"`` and none of ``"-tag"``; a database of its own."""
        asked = [t for t in tags if isinstance(t, str) and not hasattr(t, "include")]
        queries = [t for t in tags if hasattr(t, "include")]
        wanted = {*[t.lstrip("+") for t in asked if t[:1] not in "-&"], *[t for q in queries for t in q.include]}
        unwanted = {*[t[1:] for t in asked if t[:1] == "-"], *[t for q in queries for t in q.exclude]}
        required = {*[t[1:] for t in asked if t[:1] == "&"], *[t for q in queries for t in q.require]}
        found = Database()
        for place, rewrite in enumerate(self.chosen(wanted, unwanted, required)):
            found.register(str(place), rewrite, position=place)
        return found

    def optimize(self, fgraph: Any) -> Any:
        """``fgraph`` after all rewrites."""
        for rewrite in self.chosen():
            apply_to(fgraph, rewrite)
        return fgraph

    apply = rewrite = optimize


REGISTERED = Database()
REGISTERED._entries = NAMED_REWRITES


def after(leaves: Iterable[Expr], roots: Iterable[Expr], rewrites: Iterable[Any]) -> list[Expr]:
    """``roots`` after rewrites of graphs."""
    fgraph = FunctionGraph.of(list(leaves), list(roots))
    for rewrite in rewrites:
        apply_to(fgraph, rewrite)
    return list(fgraph.outputs)
