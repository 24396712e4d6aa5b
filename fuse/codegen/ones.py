"""Sizes of 1 that formulas have in a call, though no type says so: seen by the interpreter, and made known to a plan.

``x + y.reshape((n, -1))`` repeats the one row that the reshape has where ``n`` is 1; a plan takes run-time sizes that
meet to be equal. Where calls with such a size come, the formulas are planned again with it declared, as by
``addbroadcast``, which checks it in each call.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fuse import reference
from fuse.expr import Expr, make, rebuild, toposort, transform
from fuse.looping.narrow import narrowed
from fuse.op import OPS
from fuse.types import TensorType

Found = frozenset[tuple[Expr, int]]  # nodes and axes


def observed(outputs: Sequence[Expr], values: Mapping[Expr, Any]) -> tuple[list[Any], Found]:
    """The values of ``outputs``, and where the sizes of nodes that are no elementwise formulas turn out to be 1.

    Those of elementwise ones follow. Where branches are chosen, nothing is asked of what may not be computed.
    """
    nodes = toposort(outputs, known=values)
    if any(n.op.name == "ifelse" for n in nodes):
        return reference.evaluate(outputs, values), frozenset()
    asked = [
        (n, axis) for n in nodes if not n.is_leaf and isinstance(n.type, TensorType) and n.op.kind != "elementwise"
        for axis, size in enumerate(n.type.shape) if size is None
    ]
    sizes = [make(OPS["shape_i"], (n,), {"axis": axis}) for n, axis in asked]  # first: no node waits for its question
    found = reference.evaluate([*sizes, *outputs], values)
    return found[len(asked) :], frozenset([at for at, size in zip(asked, found, strict=False) if size == 1])


def declared(outputs: Sequence[Expr], found: Found) -> list[Expr]:
    """``outputs`` with the sizes of 1 that were found as part of the types, and checked."""

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.is_leaf:
            return node
        new = rebuild(node, args)
        shape = getattr(new.type, "shape", ())
        pattern = tuple([True if size is None and (node, axis) in found else None for axis, size in enumerate(shape)])
        return make(OPS["rebroadcast"], (new,), {"pattern": pattern}) if True in pattern else new

    return narrowed(transform(outputs, visit))
