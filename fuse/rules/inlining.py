"""What only gradients ask for goes once they have been taken: graphs with derivatives of their own, identities."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.expr import Expr, rebuild, toposort, transform
from fuse.op import OPS
from fuse.types import TupleType

_NAME = "from_graph"


def inlined(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` without such nodes."""
    current = list(outputs)
    if _NAME not in OPS:  # registered when the first one is made
        return current
    while any(node.op.name == _NAME for node in toposort(current)):
        current = transform(current, _visit)
    return current


def _body(node: Expr, args: tuple[Expr, ...]) -> Any:
    assert node.op.define is not None
    return node.op.define(*args, **node.params)


def _visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
    if node.is_leaf:
        return node
    if node.op.name == _NAME and not isinstance(node.type, TupleType):
        return _body(node, args)
    if node.op.name == "part" and args[0].op.name == _NAME:
        return _body(args[0], args[0].args)[node.params["i"]]
    return rebuild(node, args)


def without_identities(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` of a function, in which nothing is differentiated any more, without the identities of gradients.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> without_identities([fuse.gradient.grad_clip(T.exp(x), -1, 1) * 2])[0] is T.exp(x) * 2
    True
    """
    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.op.meta.get("for_gradients") and args[0].type == node.type and not any(a.type.ndim for a in args[1:]):
            return args[0]
        return rebuild(node, args) if args else node

    if not any(node.op.meta.get("for_gradients") for node in toposort(outputs)):
        return list(outputs)
    return transform(outputs, visit)
