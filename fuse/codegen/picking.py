"""Picked rows: which kernels add up rows of a table that indices pick, and have another form for few columns.

Lanes run along such rows. Of two or three lanes a loop takes longer to begin than to run, and what they add up would
wait in memory; in the other form (`emit_lanes.py`) groups of lanes have accumulators with names.
"""

from __future__ import annotations

from typing import Any

from fuse.codegen.emit_rows import Rows
from fuse.codegen.kernel import (
    Axis,
    Combine,
    Compute,
    Const,
    Get,
    Init,
    Kernel,
    Load,
    Loop,
    Position,
    Put,
    Store,
    uses,
    walk,
)

NAMED = 4  # lanes with accumulators that have names
FEW_LANES = 8  # of a row, for which they are worth while
STATEMENTS = (Loop, Init, Combine, Get, Load, Const, Compute, Position, Put, Store)  # what such lanes may have


def picked_axes(kernel: Kernel) -> tuple[Axis, Axis] | None:
    """Rows and columns of a kernel that adds up picked rows in lanes; None for any other."""
    if kernel.tall is not None or kernel.long is not None or kernel.turned or kernel.rows is not None:
        return None
    blocks = [s for s in walk(kernel.body) if isinstance(s, Loop) and s.kind == "block"]
    if len(blocks) != 1 or not _adds_picked_rows(kernel, blocks[0]):
        return None
    serial = [s.axis for s in walk(kernel.body) if isinstance(s, Loop) and s.kind == "serial"]
    return serial[0], blocks[0].axis


def _adds_picked_rows(kernel: Kernel, block: Loop) -> bool:
    """Whether lanes add up what rows have that an index picks, and do nothing else but store what comes of it."""
    inside, varying = list(walk(block.body)), Rows(block, NAMED).varying
    sums = {s.acc for s in inside if isinstance(s, Init)}
    loops = [s for s in inside if isinstance(s, Loop)]
    indexed = [s for s in inside if isinstance(s, (Load, Store)) and any(isinstance(i, str) for i in s.index)]
    kept: set[Any] = {s.local for s in inside if isinstance(s, (Get, Put))} - sums
    rows = {x.name for x in kernel.locals if x.axes == (block.axis,)}
    return (
        not block.width
        and all(isinstance(s, STATEMENTS) for s in inside)
        and all(s.kind == ("lane" if s.axis == block.axis else "serial") and not s.width for s in loops)
        and kept <= rows
        and all(s.lane == block.axis for s in inside if isinstance(s, (Init, Combine)))
        and all(block.axis in s.index for s in inside if isinstance(s, Store))
        and all(isinstance(s, Load) and varying.isdisjoint(uses(s)) for s in indexed)
        and any(s in indexed and block.axis in s.index for x in loops if x.kind == "serial" for s in walk(x.body))
    )
