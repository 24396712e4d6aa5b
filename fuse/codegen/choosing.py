"""Choosing a plan: of the ways in which a graph can be cut into kernels, the one that moves the least memory.

Kernels are joined greedily, operands first, which leaves one question open: a small value that is repeated along
leading axes (a row of parameters beside a matrix of data) can be computed in the kernel that repeats it, or before it.
The first saves a kernel; but then the loops over the small value's axes are outside, and nothing that runs over the
leading axes first can be in the same kernel. Both are planned where they differ, and what they read and write is
compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuse.codegen.finishing import Plan
from fuse.codegen.fusion import Planner
from fuse.codegen.region import MAX_ARRAYS, NODE_LIMITS, Region
from fuse.codegen.sizes import Sizes
from fuse.codegen.tape import LONG
from fuse.expr import Expr


def plan(outputs: Sequence[Expr], sizes: Sizes) -> Plan:
    """The regions and single steps that compute ``outputs``, in order."""
    for max_nodes in NODE_LIMITS:
        planner = Planner(outputs, sizes, max_nodes)
        found = planner.plan()
        if planner.widened and len(_regions(found)) > 1:
            other = Planner(outputs, sizes, max_nodes, small_first=True).plan()
            if _traffic(other, sizes) < _traffic(found, sizes):
                found = other
        if all(len(r.loads) + len(r.outputs) <= MAX_ARRAYS or r.flat and len(r.amap) > LONG for r in _regions(found)):
            break
    return found


def _regions(plan: Plan) -> list[Region]:
    return [u for u in plan.units if isinstance(u, Region)]


def _traffic(plan: Plan, sizes: Sizes) -> list[tuple[int, int]]:
    """(axes, how many arrays of these the kernels read and write), the most axes first: what is more is larger."""
    counts: dict[int, int] = {}
    for region in _regions(plan):
        for value in (*region.loads, *region.outputs):
            rank = sum(sizes.find(n) != 1 for n in sizes.of[value])
            counts[rank] = counts.get(rank, 0) + 1
    return sorted(counts.items(), reverse=True)
