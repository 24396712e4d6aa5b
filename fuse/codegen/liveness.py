"""Liveness: how long the values of a plan are read, and which of them leave the call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fuse.codegen.finishing import Plan
from fuse.codegen.region import SEEN_THROUGH, Region, see_through
from fuse.codegen.sizes import Sizes
from fuse.expr import SHARED, Expr, leaves
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


def last_reads(plan: Plan) -> dict[Expr, int]:
    """For each value the position of the last unit that it is part of, results left aside."""
    last: dict[Expr, int] = {}
    seen: set[Expr] = set()
    for position in reversed(range(len(plan.units))):
        unit = plan.units[position]
        if isinstance(unit, Region):
            for base in unit.loads:
                last.setdefault(base, position)
            continue
        waiting = [unit]  # all that the unit is made from, by views and words too
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                last.setdefault(node, position)
                waiting.extend(node.args)
    return last


def updated(results: Sequence[Expr], updates: Sequence[tuple[Expr, Expr]]) -> dict[Expr, Expr]:
    """The shared variables that updates change, by the new values, the last of ``results``; each of both once."""
    times = Counter(results)
    cells = Counter([id(leaf.container) for leaf in leaves(results) if leaf.op is SHARED])
    pairs = zip([target for target, _ in updates], results[len(results) - len(updates) :], strict=True)
    return {v: t for t, v in pairs if times[v] == 1 and cells[id(t.container)] == 1}


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
