"""Theano's ``gof.graph``: walks over graphs."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant as Constant
from fuse.expr import Expr
from fuse.frontend.apply import Apply as Apply
from fuse.frontend.fgraph import FunctionGraph
from fuse.frontend.graph import ancestors as ancestors
from fuse.frontend.graph import as_string as as_string
from fuse.frontend.graph import call_text
from fuse.frontend.graph import clone as clone
from fuse.frontend.graph import equal_computations as equal_computations
from fuse.frontend.graph import inputs as inputs
from fuse.frontend.graph import io_toposort as io_toposort
from fuse.frontend.graph import is_same_graph as is_same_graph
from fuse.frontend.graph import ops as ops
from fuse.frontend.graph import orphans as orphans
from fuse.frontend.graph import variables as variables

Variable = Expr


def general_toposort(
    outputs: Iterable[Any], deps: Callable[[Any], Any], debug_print: bool = False, **_: Any
) -> list[Any]:
    """What ``outputs`` depend on, each after its dependencies ``deps(item)``, of these the last first.

    Raises FuseValueError for a circle.

    >>> general_toposort([3], lambda n: [n - 1] if n else [])
    [0, 1, 2, 3]
    """
    order: list[Any] = []
    state: dict[Any, bool] = {}  # False: its dependencies are being found
    for output in outputs:
        waiting = [(output, False)]
        while waiting:
            item, ready = waiting.pop()
            if ready:
                state[item] = True
                order.append(item)
            elif item not in state:
                state[item] = False
                found = deps(item) or []
                if isinstance(found, (set, frozenset, dict)):
                    raise FuseTypeError("deps returns a list: the order of a set is not the same in every run")
                waiting.append((item, True))
                waiting += [(d, False) for d in found if not state.get(d)]
            elif not state[item]:
                raise FuseValueError("graph contains cycles")
    return order


def variables_and_orphans(i: Iterable[Expr], o: Iterable[Expr]) -> tuple[list[Expr], list[Expr]]:
    """The variables between ``i`` and ``o``, and those of them that nothing makes and that are not in ``i``.

    >>> import fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> variables_and_orphans([x], [x + y])
    ([x, y, x + y], [y])
    """
    ins, outs = list(i), list(o)
    return list(dict.fromkeys([*ins, *ancestors(outs, ins)])), orphans(ins, outs)


def stack_search(
    start: Any, expand: Callable[[Any], Any], mode: str = "bfs", build_inv: bool = False
) -> Any:
    """What ``expand`` reaches from ``start`` (a deque, which is empty then), each once, breadth or depth first.

    With ``build_inv`` also a dict from each item to those whose ``expand`` gave it. FuseValueError for an unknown
    ``mode``.

    >>> from collections import deque
    >>> stack_search(deque([3]), lambda n: [n - 1] if n else [])
    [3, 2, 1, 0]
    """
    if mode not in ("bfs", "dfs"):
        raise FuseValueError(f"mode should be bfs or dfs, not {mode!r}")
    take = start.popleft if mode == "bfs" else start.pop
    found: dict[Any, None] = {}
    above: dict[Any, list[Any]] = {}
    while start:
        item = take()
        if item not in found:
            found[item] = None
            below = list(expand(item) or [])
            for other in below:
                above.setdefault(other, []).append(item)
            start.extend(below)
    return (list(found), above) if build_inv else list(found)


def list_of_nodes(inputs: Iterable[Expr], outputs: Iterable[Expr]) -> list[Apply]:
    """The applications between ``inputs`` and ``outputs``, those of the outputs first.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> list_of_nodes([x], [T.exp(T.sin(x))])
    [exp(float64 vector), sin(x)]
    """
    return io_toposort(inputs, outputs)[::-1]


def clone_get_equiv(
    inputs: Iterable[Expr], outputs: Iterable[Expr], copy_inputs: bool = True, copy_orphans: bool = True,
    memo: dict[Any, Any] | None = None, **_: Any,
) -> dict[Any, Any]:
    """What becomes of each variable and application where the inputs are replaced by new ones (``copy_inputs``)."""
    graph = FunctionGraph.of(list(inputs), list(outputs))
    if copy_inputs:
        equal = graph.clone_get_equiv()[1]
    else:
        equal = {item: item for item in (*graph.variables, *graph.toposort())}
    equal.update(memo or {})
    return equal


def view_roots(r: Expr) -> list[Expr]:
    """The variables whose memory ``r`` shows, by the ``view_map`` of the ops; itself where there are none.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> view_roots(x)
    [x]
    """
    waiting, found = [r], []
    while waiting:
        item = waiting.pop()
        node = item.owner
        seen = (getattr(node.op, "view_map", None) or {}).get(node.outputs.index(item), []) if node else []
        if seen and node is not None:
            waiting += [node.inputs[k] for k in reversed(seen)]
        else:
            found.append(item)
    return found


def io_connection_pattern(inputs: Iterable[Expr], outputs: Iterable[Expr]) -> list[list[bool]]:
    """For each input, which of the outputs a gradient could reach it from.

    >>> import fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> io_connection_pattern([x, y], [x + 1, x * y])
    [[True, True], [False, True]]
    """
    ins, outs = list(inputs), list(outputs)
    reached: dict[Expr, set[Expr]] = {v: {v} for v in ins}
    for node in io_toposort(ins, outs):
        given = getattr(node.op, "connection_pattern", None)
        pattern = given(node) if callable(given) else None
        for k, out in enumerate(node.outputs):
            linked = [v for n, v in enumerate(node.inputs) if pattern is None or pattern[n][k]]
            reached[out] = set().union(*[reached.get(v, set()) for v in linked])
    return [[v in reached.get(o, ()) for o in outs] for v in ins]


def op_as_string(
    i: Iterable[Expr], op: Apply, leaf_formatter: Callable[[Expr], str] = str,
    node_formatter: Callable[[Apply, list[str]], str] = call_text,
) -> str:
    """One application as text, in terms of ``i``.

    >>> import fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> op_as_string([x, y], (T.exp(x) + y).owner)
    'add(exp(x), y)'
    """
    return node_formatter(op, as_string(i, op.inputs, leaf_formatter, node_formatter))
