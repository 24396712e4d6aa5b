"""PyTensor's ``graph.traversal``: walks over graphs."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from fuse.expr import Expr
from fuse.frontend.apply import Apply
from fuse.frontend.graph import ancestors as ancestors
from fuse.frontend.graph import applications
from fuse.frontend.graph import inputs as graph_inputs
from fuse.frontend.graph import io_toposort as io_toposort
from fuse.frontend.graph import ops as applys_between
from fuse.frontend.graph import orphans as orphans_between
from fuse.frontend.graph import variables as vars_between
from fuse.gof.graph import general_toposort as general_toposort

__all__ = [
    "ancestors", "apply_ancestors", "apply_depends_on", "applys_between", "explicit_graph_inputs", "general_toposort",
    "get_var_by_name", "graph_inputs", "io_toposort", "orphans_between", "toposort", "truncated_graph_inputs",
    "variable_depends_on", "vars_between", "walk",
]


def walk(
    nodes: Iterable[Any], expand: Callable[[Any], Any], bfs: bool = True, return_children: bool = False,
    hash_fn: Callable[[Any], Any] = id,
) -> Iterator[Any]:
    """``nodes`` and everything that ``expand(node)`` leads to, each once: breadth first, or depth first.

    With ``return_children`` pairs of a node and what ``expand`` gave for it.

    >>> list(walk([3], lambda n: [n - 1] if n else None))
    [3, 2, 1, 0]
    """
    waiting, seen = deque(nodes), set()
    while waiting:
        node = waiting.popleft() if bfs else waiting.pop()
        if hash_fn(node) in seen:
            continue
        seen.add(hash_fn(node))
        found = expand(node)
        yield (node, found) if return_children else node
        waiting.extend(found or ())


def explicit_graph_inputs(graph: Expr | Iterable[Expr]) -> list[Expr]:
    """The inputs that a graph (an expression, or several) needs: no constants, no shared variables.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> explicit_graph_inputs(x * fuse.shared(2.0) + 1)
    [x]
    """
    roots = [graph] if isinstance(graph, Expr) else list(graph)
    return [v for v in graph_inputs(roots) if v.op.name == "input"]


def toposort(graphs: Iterable[Expr], blockers: Iterable[Expr] | None = None) -> list[Apply]:
    """The applications that ``graphs`` need, each after those it reads; nothing below ``blockers``."""
    return applications(list(graphs), list(blockers or ()))


def apply_ancestors(graphs: Iterable[Expr], blockers: Iterable[Expr] | None = None) -> list[Apply]:
    """The applications that ``graphs`` need."""
    return toposort(graphs, blockers)[::-1]


def apply_depends_on(apply: Apply, depends_on: Apply | Collection[Apply]) -> bool:
    """Whether ``apply`` is, or reads directly or through others, one of the applications ``depends_on``.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> apply_depends_on(T.exp(T.sin(x)).owner, T.sin(x).owner)
    True
    """
    wanted = {depends_on} if isinstance(depends_on, Apply) else set(depends_on)
    return not wanted.isdisjoint(applications(apply.outputs))


def variable_depends_on(variable: Expr, depends_on: Expr | Collection[Expr]) -> bool:
    """Whether ``variable`` is, or is computed from, one of the variables ``depends_on``.

    >>> import fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> variable_depends_on(T.exp(x), x), variable_depends_on(T.exp(x), y)
    (True, False)
    """
    wanted = {depends_on} if isinstance(depends_on, Expr) else set(depends_on)
    return not wanted.isdisjoint(ancestors([variable]))


def truncated_graph_inputs(outputs: Iterable[Expr], ancestors_to_include: Collection[Expr] | None = None) -> list[Expr]:
    """The variables that are enough to compute ``outputs`` from, those of ``ancestors_to_include`` first of all.

    Constants are left out. What is computed from nothing of ``ancestors_to_include`` is taken as it is.

    >>> import fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> truncated_graph_inputs([T.exp(x) + T.sin(y)], [T.exp(x)])
    [exp(x), sin(y)]
    """
    wanted = set(ancestors_to_include or ())
    if not wanted:
        return [v for v in graph_inputs(list(outputs)) if v.op.name != "constant"]
    found: list[Expr] = []
    for node in walk(list(outputs), lambda v: None if v in wanted or v.owner is None else v.owner.inputs):
        if node in wanted or node.is_leaf or not variable_depends_on(node, wanted):
            found.append(node)
    below = {a for v in found if v not in wanted for a in ancestors([v]) if a is not v}
    return [v for v in found if v.op.name != "constant" and (v in wanted or v not in below)]


def get_var_by_name(graphs: Iterable[Expr], target_var_id: str, ids: str = "CHAR") -> tuple[Expr, ...]:
    """The variables of the graphs with this name.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> get_var_by_name([T.exp(x)], "x")
    (x,)
    """
    found = [v for v in ancestors(list(graphs)) if target_var_id in (v.name, getattr(v, "auto_name", None))]
    return tuple(found)
