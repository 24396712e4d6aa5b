"""The end of planning: what the outputs need of the units, what each must store, and an order to run them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuse.codegen.precedence import in_order
from fuse.codegen.region import GENERATORS, INDEXED, Operand, Region, see_through
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.fusion import Planner


@dataclass(frozen=True)
class Plan:
    """The units of a graph in an order of execution: regions, and single nodes (opaque calls and views)."""

    units: tuple[Region | Expr, ...]
    cuts: tuple[tuple[Expr, str], ...]
    operands: dict[Expr, tuple[Operand, ...]]  # of each fused node, seen through views


def finished(planner: Planner) -> Plan:
    """The plan of the units that the outputs need; the regions among them keep the nodes that are needed."""
    needs = _Needs(planner)
    for number, nodes in needs.used.items():
        region = planner.units[number]
        assert isinstance(region, Region)
        region.amap = {n: m for n, m in region.amap.items() if n in nodes}
        region.outputs = [n for n in region.amap if n in needs.wanted.get(number, ())]
    order = in_order(needs.units)
    return Plan(tuple([planner.units[u] for u in order]), tuple(planner.cuts), planner.operands)


class _Needs:
    """What the outputs need: ``units`` by those that each needs, the nodes ``used`` in regions, and those ``wanted``
    of regions by others."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.wanted: dict[int, set[Expr]] = {}
        self.units: dict[int, set[int]] = {}
        self.used: dict[int, set[Expr]] = {}
        self.visited: set[tuple[int, Expr]] = set()
        self.stack: list[tuple[int, Expr]] = []
        for output in planner.outputs:
            self.want_array(output, None)
            for base in planner.size_bases(output):
                self.want(base, None)
        for guard in planner.sizes.guards:  # a size that is taken to be another one is read nowhere but there
            for base in planner.behind_sizes((guard.left, guard.right)):
                self.want(base, None)
        while self.stack:
            self.visit(*self.stack.pop())

    def want(self, value: Expr, user: int | None) -> None:
        """The value is read in memory by a unit, or is a result."""
        planner = self.planner
        for base in planner.behind(value):
            unit = planner.unit_of[base]
            if user is not None and unit != user:
                self.units.setdefault(user, set()).add(unit)
            self.units.setdefault(unit, set())
            if isinstance(planner.units[unit], Region):
                self.wanted.setdefault(unit, set()).add(base)
            self.find(unit, base)

    def want_array(self, value: Expr, user: int | None) -> None:
        self.want(see_through(value, self.planner.sizes).base if hasattr(value.type, "shape") else value, user)

    def find(self, unit: int, node: Expr) -> None:
        if (unit, node) not in self.visited:
            self.visited.add((unit, node))
            self.stack.append((unit, node))

    def visit(self, number: int, node: Expr) -> None:
        """A unit computes the node."""
        planner, unit = self.planner, self.planner.units[number]
        for base in [b for n in (node, *node.args) for b in planner.size_bases(n)]:
            if base is not node and planner.unit_of[base] != number:
                self.want(base, number)
        if not isinstance(unit, Region):
            for arg in node.args:
                self.want_array(arg, number)
            return
        self.used.setdefault(number, set()).add(node)
        for i, operand in enumerate(planner.operands[node]):
            base = operand.base
            whole = node.op.name in INDEXED and i == 0
            if base.op.name in GENERATORS and not (whole and base.op.name != "iota"):
                continue
            if base in unit.amap and base not in unit.across and not whole:
                self.find(number, base)
            else:
                self.want(base, number)
