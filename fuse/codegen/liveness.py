"""Liveness: how long the values of a plan are read, and which of them leave the call."""

from __future__ import annotations

from collections.abc import Sequence

from fuse.codegen.finishing import Plan
from fuse.codegen.region import SEEN_THROUGH, Region, see_through
from fuse.codegen.sizes import Sizes
from fuse.expr import Expr
from fuse.types import TensorType


def last_uses(plan: Plan, results: Sequence[Expr], sizes: Sizes) -> dict[Expr, int]:
    """For each materialised value the position of the last unit that reads it (or a view of it)."""
    last: dict[Expr, int] = {}
    for position, unit in enumerate(plan.units):
        if isinstance(unit, Region):
            for base in unit.loads:
                last[base] = max(position, last.get(base, 0))
        else:
            for k, arg in enumerate(unit.args):
                base = see_through(arg, sizes).base if isinstance(arg.type, TensorType) else arg
                viewed = k == 0 and unit.op.kind == "view"  # the view lives on: never written over
                last[base] = len(plan.units) if viewed else max(position, last.get(base, 0))
    for result in results:
        base = see_through(result, sizes).base if isinstance(result.type, TensorType) else result
        last[base] = len(plan.units)
    return last


def escaping(results: Sequence[Expr]) -> set[Expr]:
    """Values that leave the call: results, and what results are views of."""
    found: set[Expr] = set()
    for result in results:
        node = result
        found.add(node)
        while isinstance(node.type, TensorType) and (
            node.op.name in SEEN_THROUGH or node.op.kind == "view" or "inplace" in node.op.meta
        ):
            node = node.args[0]
            found.add(node)
    return found
