"""Flat rows: which loops over rows of narrow arrays can be loops over the elements of many rows at once.

Rows that lie one behind the other in memory are one long row. A loop along them is over the elements of many rows where
it reads and writes nothing but elements of that place, what belongs to the whole column or the whole row, and what is
the same for all. `emit_flat.py` writes such loops.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fuse.codegen.emit_sums import REORDERED
from fuse.codegen.inline import kernel_cost
from fuse.codegen.kernel import Axis, Combine, Compute, Const, Kernel, Load, Loop, Store, Update, uses, walk
from fuse.codegen.picking import FEW_LANES, picked_axes

FEW_COLUMNS = 64  # of an array that is narrow, at most: wider ones fill most vectors
ENOUGH = 512  # elements for which it is worth while
WORTH_ROWS = 16  # operations of an element for which that is so where each row has a value of its own


def may_be_flat(s: Any, strided: Collection[str]) -> bool:
    """Whether a statement is a loop over rows that can be one over the elements of several of them.

    ``strided`` names the arrays that are not contiguous.
    """
    if not isinstance(s, Loop) or s.kind not in ("serial", "tile") or not s.body or not isinstance(s.body[-1], Loop):
        return False
    *before, along = s.body
    if along.kind != "serial" or along.split is not None or not all(isinstance(c, VALUES) for c in before):
        return False
    rows, lanes = s.axis, along.axis
    added: dict[str, set[bool]] = {}
    for c in along.body:
        match c:
            case Const() | Compute() | Combine(lane=None):
                continue
            case Load() | Store():
                fits = c.index[-2:] == (rows, lanes) or isinstance(c, Load) and not {rows, lanes} <= {*c.index}
            case Update():
                fits = is_of_column(c, rows, lanes) and c.op.name in REORDERED
            case _:
                return False
        if not fits or lanes in c.index[:-1] or c.buffer in strided:
            return False
        if any(isinstance(i, str) for i in c.index):
            return False
        added.setdefault(c.buffer, set()).add(isinstance(c, Update))
    return all(len(kinds) == 1 for kinds in added.values())  # what is added up is not read meanwhile


VALUES = (Const, Compute, Load)  # what a row may have before the loop along it


def is_of_column(s: Any, rows: Axis, lanes: Axis) -> bool:
    """Whether an access is to what belongs to a column, along which rows are walked."""
    return isinstance(s, (Load, Update)) and s.index[-1:] == (lanes,) and rows not in s.index


def by_row(nest: Loop) -> tuple[list[Any], list[Any]]:
    """What a loop over rows does for each row, and for each element of it."""
    *before, along = nest.body
    alone = [s for s in along.body if isinstance(s, Load) and nest.axis in s.index and along.axis not in s.index]
    return [*before, *alone], [s for s in along.body if s not in alone]


def of_rows(nest: Loop) -> dict[str, str]:
    """The values that each row has for itself and its elements need, with their dtypes."""
    before, inside = by_row(nest)
    used = {name for s in inside for name in uses(s)}
    return {s.name: s.dtype for s in before if s.name in used}


def flat_nests(kernel: Kernel) -> list[Loop]:
    """The loops over rows of a kernel that can be walked flat."""
    strided = {b.name for b in kernel.buffers if b.layout != "C"}
    return [s for s in walk(kernel.body) if may_be_flat(s, strided)]


def narrow_axes(kernel: Kernel) -> tuple[Axis, Axis] | None:
    """Rows and columns of a kernel that narrow arrays have another one for; None where there is none."""
    if (picked := picked_axes(kernel)) is not None:
        return picked
    blocks = any(isinstance(s, Loop) and s.kind == "block" for s in walk(kernel.body))
    if blocks or kernel.rows is not None or kernel.long is not None and kernel.long[2]:
        return None
    for s in flat_nests(kernel):
        work = sum(kernel_cost(c.op) for c in s.body[-1].body if isinstance(c, Compute))
        if not of_rows(s) or work >= WORTH_ROWS:
            return s.axis, s.body[-1].axis
    return None


def few_columns(kernel: Kernel) -> int:
    """How many columns an array has at most that is narrow for this kernel."""
    return FEW_COLUMNS if picked_axes(kernel) is None else FEW_LANES


def is_narrow(kernel: Kernel, rows: int, columns: int) -> bool:
    """Whether the kernel for few columns is the one for these sizes: `FlatEmitter` asks the same when it runs."""
    return columns <= few_columns(kernel) and rows * columns >= ENOUGH
