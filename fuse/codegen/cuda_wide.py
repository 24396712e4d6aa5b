"""Wide accesses: a loop of a GPU that reads and writes several neighbouring elements at once, up to 16 bytes.

One instruction then moves what takes four, and a thread has all its loads under way before it computes. The loop is
written twice: for whole groups of elements, where memory allows it (``wide``), and for those that are left over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Buffer,
    Combine,
    Compute,
    Const,
    Load,
    Loop,
    Position,
    Store,
    Update,
    renamed,
    walk,
)
from fuse.codegen.text import is_innermost

ACCESSES = (Load, Store, Update)
WIDE_BYTES = 16
MOST = 160  # statements of all copies of a body: a longer one waits for arithmetic, not for memory
MOST_AT_ONCE = 8  # elements, where they are short
_MOVED = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")


@dataclass(frozen=True)
class Wide:
    """``count`` elements at once: the loads and stores that do it, and (buffer, whether rows follow one another)."""

    count: int
    accesses: tuple[Any, ...]
    arrays: tuple[tuple[str, bool], ...]


def widened(body: Sequence[Any], buffers: Mapping[str, Buffer], private: Collection[str] = ()) -> dict[Loop, Wide]:
    """How the innermost loops of ``body`` read and write wide; ``private`` is memory of which each group has its own.

    Loops over one axis agree: they take as many elements at once, and may do so under one condition. So a lane finds
    in scratch memory what it has stored there itself; where one of the loops that use such memory cannot be wide, none
    of them is.
    """
    loops = [s for s in walk(tuple(body)) if isinstance(s, Loop) and is_innermost(s)]
    found: dict[Loop, Wide] = {}
    for axis in dict.fromkeys(loop.axis for loop in loops):
        own = [loop for loop in loops if loop.axis == axis]
        kept = [loop for loop in own if any(buffers[s.buffer].scratch for s in loop.body if isinstance(s, ACCESSES))]
        plans = {loop: plan for loop in own if (plan := _widened(loop, buffers, private)) is not None}
        if not all(loop in plans for loop in kept):
            plans = {loop: plan for loop, plan in plans.items() if loop not in kept}
        if plans:
            count = min([plan.count for plan in plans.values()])
            arrays = tuple(sorted({pair for plan in plans.values() for pair in plan.arrays}))
            found |= {loop: Wide(count, plan.accesses, arrays) for loop, plan in plans.items()}
    return found


def _widened(loop: Loop, buffers: Mapping[str, Buffer], private: Collection[str]) -> Wide | None:
    """How one loop reads and writes wide; None where it does not pay or cannot be."""
    known = (Load, Store, Compute, Const, Position, Combine, Bounded)
    if not all(isinstance(s, known) for s in loop.body):
        return None
    found = [s for s in loop.body if isinstance(s, (Load, Store)) and _is_along(s, loop.axis, buffers[s.buffer])]
    if not found:
        return None
    stores = {s.buffer for s in loop.body if isinstance(s, Store)}
    if any(isinstance(s, Load) and s.buffer in stores for s in loop.body):
        return None  # what it stores it reads
    width = max([np.dtype(buffers[s.buffer].dtype).itemsize for s in found])
    count = min(WIDE_BYTES // width, MOST_AT_ONCE)
    if count < 2 or count * len(loop.body) > MOST:
        return None
    rows = {s.buffer: len(s.index) > 1 or s.buffer in private for s in found}
    return Wide(count, tuple(found), tuple(sorted(rows.items())))


def _is_along(s: Any, axis: Axis, buffer: Buffer) -> bool:
    """Whether neighbours of an access along ``axis`` are neighbours in memory."""
    whole = all(isinstance(i, Axis) for i in s.index) and buffer.dtype in _MOVED
    contiguous = buffer.scratch or buffer.layout == "C"
    return bool(whole and contiguous and s.index[-1:] == (axis,) and s.index.count(axis) == 1)


def copies(loop: Loop, wide: Wide) -> list[tuple[Any, ...]]:
    """The body for each element of a group, its values named apart; without its wide accesses."""
    own = {s.name for s in loop.body if hasattr(s, "name")}
    out = []
    for k in range(wide.count):

        def named(name: Any, k: int = k) -> Any:
            return f"{name}_{k}" if name in own else name

        body: list[Any] = []
        for s in loop.body:
            if s in wide.accesses:
                continue
            s = renamed(s, named)
            body.append(replace(s, name=named(s.name)) if hasattr(s, "name") else s)
        out.append(tuple(body))
    return out
