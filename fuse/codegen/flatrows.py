"""Flat rows: which loops over rows of narrow arrays can be loops over the elements of many rows at once.

Rows that lie one behind the other in memory are one long row. A loop along them is over the elements of many rows where
it reads and writes nothing but elements of that place, what belongs to the whole column, and what is the same for all.
`emit_flat.py` writes such loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fuse.codegen.emit_sums import REORDERED
from fuse.codegen.kernel import Axis, Buffer, Compute, Const, Kernel, Load, Loop, Store, Update, walk

FEW_COLUMNS = 64  # of an array that is narrow, at most: wider ones fill most vectors


def may_be_flat(s: Any, buffers: Mapping[str, Buffer]) -> bool:
    """Whether a statement is a loop over rows that can be one over the elements of several of them."""
    if not isinstance(s, Loop) or s.kind not in ("serial", "tile") or len(s.body) != 1:
        return False
    along = s.body[0]
    if not isinstance(along, Loop) or along.kind != "serial" or along.split is not None:
        return False
    rows, lanes = s.axis, along.axis
    added: dict[str, set[bool]] = {}
    for c in along.body:
        match c:
            case Const() | Compute():
                continue
            case Load() | Store():
                fits = c.index[-2:] == (rows, lanes) or isinstance(c, Load) and rows not in c.index
            case Update():
                fits = is_of_column(c, rows, lanes) and c.op.name in REORDERED
            case _:
                return False
        if not fits or lanes in c.index[:-1] or buffers[c.buffer].layout != "C":
            return False
        if any(isinstance(i, str) for i in c.index):
            return False
        added.setdefault(c.buffer, set()).add(isinstance(c, Update))
    return all(len(kinds) == 1 for kinds in added.values())  # what is added up is not read meanwhile


def is_of_column(s: Any, rows: Axis, lanes: Axis) -> bool:
    """Whether an access is to what belongs to a column, along which rows are walked."""
    return isinstance(s, (Load, Update)) and s.index[-1:] == (lanes,) and rows not in s.index


def flat_nests(kernel: Kernel) -> list[Loop]:
    """The loops over rows of a kernel by rows that can be walked flat."""
    buffers = {b.name: b for b in kernel.buffers}
    return [s for s in walk(kernel.body) if may_be_flat(s, buffers)]
