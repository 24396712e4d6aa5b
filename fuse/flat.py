"""Graphs as flat tables, for pickling: depth does not matter there.

Shared variables stand in the table as themselves: the pickler then stores each once, whatever refers to it.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.expr import SHARED, Constant, Expr, TensorVariable, make
from fuse.walks import toposort


def flattened(*roots: Expr) -> list[Any]:
    """The graph of ``roots`` as a list, without recursion: leaves and ``(op, places of arguments, ...)``, in order."""
    order = toposort(roots)
    index = {node: i for i, node in enumerate(order)}
    table: list[Any] = []
    for node in order:
        if node.op is SHARED:
            table.append(node)
        elif node.is_leaf:
            kind = Constant if isinstance(node, Constant) else TensorVariable  # subclasses of a user's are inputs there
            table.append((node.op.name, kind, node._leaf_state(), node.name))
        else:
            table.append((node.op, tuple([index[a] for a in node.args]), dict(node.params), node.name))
    return table


def unflattened(table: list[Any]) -> Expr:
    """The last root of a list that ``flattened`` made."""
    return _nodes_of(table)[-1]


def _nodes_of(table: list[Any]) -> list[Expr]:
    nodes: list[Expr] = []
    for entry in table:
        if isinstance(entry, Expr):
            nodes.append(entry)
            continue
        op, second, state, name = entry
        if isinstance(op, str):
            node = second._from_leaf_state(state, name)
        else:
            node = make(op, tuple([nodes[i] for i in second]), state)
            if name is not None and node.name is None:
                node.name = name
        nodes.append(node)
    return nodes


def pack(roots: Sequence[Expr]) -> Any:
    """Several expressions as one flat table to pickle: what they share is stored once."""
    table = flattened(*roots)
    index = {node: i for i, node in enumerate(toposort(roots))}
    return table, [index[root] for root in roots]


def unpack(packed: Any) -> list[Expr]:
    """The expressions that ``pack`` was given."""
    nodes = _nodes_of(packed[0])
    return [nodes[i] for i in packed[1]]
