"""Walks over expression graphs: never by recursion, arguments first."""
from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuse.expr import Expr


def toposort(outputs: Iterable[Expr], known: Iterable[Expr] = ()) -> list[Expr]:
    """Every node that ``outputs`` need, arguments first; the walk does not go below ``known``."""
    order: list[Expr] = []
    stop: Container[Expr] = known if isinstance(known, (set, frozenset, Mapping)) else set(known)
    done: set[Expr] = set()
    for output in outputs:
        stack = [output] if output not in stop else []
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            waiting = [a for a in node.args if a not in done and a not in stop]
            if waiting:
                stack += waiting[::-1]
            else:
                stack.pop()
                done.add(node)
                order.append(node)
    return order


def transform(outputs: Sequence[Expr], visit: Callable[[Expr, tuple[Expr, ...]], Expr]) -> list[Expr]:
    """``outputs`` with every node replaced by ``visit(node, transformed arguments)``, arguments first."""
    new: dict[Expr, Expr] = {}
    for node in toposort(outputs):
        new[node] = visit(node, tuple([new[a] for a in node.args]))
    return [new[o] for o in outputs]


def leaves(outputs: Iterable[Expr]) -> Iterator[Expr]:
    """The leaves that ``outputs`` need, each once, in order of first use."""
    return (n for n in toposort(outputs) if n.is_leaf)
