"""Row groups: sweeps that add rows to columns take several rows at a time.

A sum over rows that is kept for each column is loaded and stored once a row, and so is what else a column has (the
mean that is taken away, the largest value). Where a row's own arithmetic is short that is most of the work. Several
rows in one loop along them do it once for all; they are added in their order, so that nothing else changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fuse.codegen.inline import kernel_cost
from fuse.codegen.kernel import Axis, Combine, Compute, Const, Get, Kernel, Load, Loop, Position, Store, Update, walk

GROUPS = (8, 4, 2)  # rows of a group: as many as keep its loop short
GROUP_WORK = 64  # operations and loads of a group at most, for its values are to stay in registers


def in_row_groups(kernel: Kernel) -> Kernel:
    """``kernel`` with the rows of its light sweeps in groups."""
    lanes = {x.name: x.axes for x in kernel.locals}
    return replace(kernel, body=_grouped(kernel.body, lanes, False))


def _grouped(body: tuple[Any, ...], lanes: Mapping[str, tuple[Axis, ...]], in_strips: bool) -> tuple[Any, ...]:
    """``body`` with its sweeps in groups, but for those that read whole rows of memory that none has read before."""
    out: list[Any] = []
    near: set[str] = set()
    for s in body:
        if isinstance(s, Loop):
            strips = in_strips or s.kind == "block"
            read = {c.buffer for c in walk(s.body) if isinstance(c, Load) and s.axis in c.index}
            rows = rows_together(s, lanes) if strips or s.kind == "tile" and read & near else 0
            near |= read
            s = replace(s, width=rows) if rows else replace(s, body=_grouped(s.body, lanes, strips))
        out.append(s)
    return tuple(out)


def rows_together(loop: Loop, lanes: Mapping[str, tuple[Axis, ...]]) -> int:
    """How many rows of a loop over rows are worth a group; 0 where it is no sweep that adds them up.

    ``lanes``: the axes of scratch memory.
    """
    if loop.kind not in ("serial", "tile") or loop.width or len(loop.body) != 1:
        return 0
    along = loop.body[0]
    if not isinstance(along, Loop) or along.kind not in ("serial", "lane") or along.width or along.split:
        return 0
    work = kept = 0
    sums = [s for s in along.body if isinstance(s, (Combine, Update))]
    written = {s.acc if isinstance(s, Combine) else s.buffer for s in sums}
    for s in along.body:
        match s:
            case Compute():
                work += kernel_cost(s.op)
            case Load() if s.buffer not in written and not any(isinstance(i, str) for i in s.index):
                work += 1
            case Combine(lane=along.axis):
                work, kept = work + 1, kept + 1
            case Update() if along.axis in s.index and _is_kept(s, loop):
                work, kept = work + 1, kept + 1
            case Get() if s.local not in written and loop.axis not in lanes[s.local]:
                pass
            case Store() if loop.axis in s.index and along.axis in s.index:
                work += 1
            case Const() | Position():
                pass
            case _:
                return 0
    most = loop.axis.size
    return next((n for n in GROUPS if n * work <= GROUP_WORK and (most is None or n <= most)), 0) if kept else 0


def _is_kept(s: Update, loop: Loop) -> bool:
    """Whether all rows of a loop meet in the same elements."""
    return loop.axis not in s.index and not any(isinstance(i, str) for i in s.index)
