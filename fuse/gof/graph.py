"""Theano's ``gof.graph``: walks over graphs."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant as Constant
from fuse.expr import Expr
from fuse.frontend.apply import Apply as Apply
from fuse.frontend.graph import ancestors as ancestors
from fuse.frontend.graph import clone as clone
from fuse.frontend.graph import equal_computations as equal_computations
from fuse.frontend.graph import inputs as inputs
from fuse.frontend.graph import io_toposort as io_toposort
from fuse.frontend.graph import is_same_graph as is_same_graph
from fuse.frontend.graph import ops as ops
from fuse.frontend.graph import orphans as orphans
from fuse.frontend.graph import variables as variables

Variable = Expr


def as_string(
    i: Iterable[Expr], o: Iterable[Expr], leaf_formatter: Callable[[Expr], str] = str,
    node_formatter: Callable[[Apply, list[str]], str] | None = None,
) -> list[str]:
    """The formulas of ``o`` in terms of ``i`` as text; what is used several times is written once and numbered.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> as_string([x], [T.exp(x) * T.exp(x)])
    ['mul(*1 -> exp(x), *1)']
    """
    write = node_formatter or (lambda node, texts: f"{node.op}({', '.join(texts)})")
    stop, outs = set(i), list(o)
    inner = ops(stop, outs)
    readers = Counter([a.owner for a in outs] + [a.owner for n in inner for a in n.inputs if a not in stop])
    numbers: dict[Apply, int] = {}

    def at(x: Expr, node: Apply) -> str:
        return f"::{node.outputs.index(x)}" if len(node.outputs) > 1 else ""

    texts: dict[Expr, str] = {}
    written: list[str] = []
    for out in outs:
        waiting: list[tuple[Expr, bool]] = [(out, False)]
        parts: list[str] = []
        while waiting:  # each variable is met twice: before its operands are written, and after
            x, ready = waiting.pop()
            node = x.owner
            if x in stop or node is None:
                parts.append(leaf_formatter(x))
            elif ready:
                count = len(node.inputs)
                args = parts[len(parts) - count :]
                del parts[len(parts) - count :]
                text = write(node, args)
                parts.append(f"*{numbers[node]} -> {text}" if readers[node] > 1 else text)
                texts[x] = text
            elif node in numbers:
                parts.append(f"*{numbers[node]}{at(x, node)}")
            else:
                if readers[node] > 1:
                    numbers[node] = len(numbers) + 1
                waiting.append((x, True))
                waiting += [(a, False) for a in reversed(node.inputs)]
        written += parts
    return written


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
