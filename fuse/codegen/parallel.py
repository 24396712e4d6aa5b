"""Parallel: which outermost loops of a kernel threads may share, what each thread has for itself, and what work costs.

The outermost statements of a kernel are its segments: each shared loop is one, and so is each run of what stands
between them. One function serves one thread and many: it is called for everything, or for some items of one segment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fuse.codegen.inline import kernel_cost
from fuse.codegen.kernel import (
    IN_PARTS,
    Axis,
    Combine,
    Compute,
    Const,
    Get,
    Init,
    Kernel,
    Load,
    Local,
    Loop,
    Position,
    Put,
    Split,
    Store,
    Update,
    uses,
    walk,
)
from fuse.codegen.pool import MUCH_WORK
from fuse.codegen.wellformed import conflict

# Work is counted in units of about 1/40 nanosecond: one byte moved, or one operation of a vector's element.
BLOCKS = 64  # at most so many blocks of a reduction
HEAD = 8  # of the rows of a tile, or of a piece of a row, one in so many is its head
BLOCK_WORK = 1 << 19  # of a block of a reduction at least: the number of blocks is part of the result


def split(kernel: Kernel) -> Kernel:
    """``kernel`` with the outermost loops marked that threads may share, and scratch memory made private to them."""
    if not any(isinstance(s, Loop) for s in kernel.body) or static_work(kernel) < MUCH_WORK:
        return kernel
    private = private_scratch(kernel)
    inits = {s.acc: s for s in kernel.body if isinstance(s, Init)}
    body: list[Any] = []
    for s in kernel.body:
        if isinstance(s, Init):
            continue  # where it is needed
        met = dict.fromkeys(c.acc for c in walk((s,)) if isinstance(c, Combine) and c.acc in inits)
        starts = tuple([inits.pop(acc) for acc in met])
        if isinstance(s, Loop):
            marked = replace(s, split=Split(starts, sums_across(s)))
            if s.axis.size != 1 and not conflict(marked, private):
                body.append(marked)
                continue
        body.extend([*starts, s])
    body.extend(inits.values())
    if not any(isinstance(s, Loop) and s.split for s in body):
        return kernel
    shared = {b for s in body if isinstance(s, Loop) and s.split for b in _scratch_of(s) if b in private}
    own = [Local(b.name, b.dtype, private[b.name]) for b in kernel.buffers if b.name in shared]
    buffers = tuple([b for b in kernel.buffers if b.name not in shared])
    return replace(kernel, buffers=buffers, locals=(*kernel.locals, *own), body=tuple(body))


def sums_across(loop: Loop) -> tuple[Update, ...]:
    """The updates of memory that a loop's iterations meet in, where each block may have such memory for itself."""
    found: dict[str, Update] = {}
    for s in walk(loop.body):
        met = isinstance(s, Update) and loop.axis not in s.index and not any(isinstance(i, str) for i in s.index)
        if met and s.op.name in IN_PARTS:
            found[s.buffer] = s
    return tuple(found.values())


def private_scratch(kernel: Kernel) -> dict[str, tuple[Axis, ...]]:
    """Scratch memory that one outermost loop alone uses, and each of its iterations anew: its axes."""
    names = {b.name for b in kernel.buffers if b.scratch}
    loops: dict[str, list[Any]] = {}
    axes: dict[str, tuple[Axis, ...]] = {}
    for s in kernel.body:
        for inner in walk((s,)):
            if isinstance(inner, (Load, Store, Update)) and inner.buffer in names:
                loops.setdefault(inner.buffer, []).append(s)
                axes[inner.buffer] = tuple([a for a in inner.index if isinstance(a, Axis)])
    out: dict[str, tuple[Axis, ...]] = {}
    for name, users in loops.items():
        loop = users[0]
        if isinstance(loop, Loop) and all(u is loop for u in users) and loop.axis not in axes[name]:
            updated = any(isinstance(i, Update) and i.buffer == name for i in walk((loop,)))
            out |= {} if updated else {name: axes[name]}
    return out


def _scratch_of(loop: Loop) -> set[str]:
    return {s.buffer for s in walk((loop,)) if isinstance(s, (Load, Store, Update))}


def at_once(kernel: Kernel) -> tuple[Any, ...]:
    """The outermost values that every part may compute for itself: arithmetic on numbers that no statement changes."""
    loose = [s for s in kernel.body if not isinstance(s, Loop)]
    steady = not any(isinstance(s, (Store, Update)) for s in loose)
    known = {s.name for s in kernel.scalars}
    found = []
    for s in loose:
        is_load = isinstance(s, Load) and steady and not any(isinstance(i, str) for i in s.index)
        if isinstance(s, (Const, Position)) or (is_load or isinstance(s, Compute)) and known.issuperset(uses(s)):
            found.append(s)
            known.add(s.name)
    return tuple(found)


def segments(kernel: Kernel) -> list[tuple[Any, ...]]:
    """The outermost statements in runs: each shared loop alone, and after reductions in blocks what combines those."""
    out: list[tuple[Any, ...]] = []
    alone = True
    everywhere = {id(s) for s in at_once(kernel)}
    for s in kernel.body:
        if id(s) in everywhere:
            continue
        if isinstance(s, Loop) and s.split is not None:
            out.append((s,))
            alone = not (s.split.accs or s.split.sums)
            if not alone:
                out.append(())
        elif alone:
            out.append((s,))
            alone = False
        else:
            out[-1] += (s,)
    return out


def shared_loop(part: tuple[Any, ...]) -> Loop | None:
    """The loop that a segment is, where it is one that threads share."""
    return part[0] if part and isinstance(part[0], Loop) and part[0].split is not None else None


def crossing(parts: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """The values that one segment defines and another one uses, with their dtypes."""
    home: dict[str, int] = {}
    dtypes: dict[str, str] = {}
    found: dict[str, str] = {}
    for k, part in enumerate(parts):
        for s in walk(part):
            for name in uses(s):
                if home.get(name, k) != k:
                    found[name] = dtypes[name]
            if isinstance(s, Init):
                home[s.acc], dtypes[s.acc] = k, s.dtype
            elif hasattr(s, "name"):
                home[s.name], dtypes[s.name] = k, s.dtype
        loop = shared_loop(part)
        if loop is not None and loop.split is not None:
            for init in loop.split.accs:  # combined where the next segment begins
                home[init.acc], dtypes[init.acc] = k + 1, init.dtype
    return found


# ---------------------------------------------------------------- what work costs
def statement_cost(s: Any, itemsize: Callable[[str], int]) -> int:
    """Units of work of one statement, once."""
    match s:
        case Load() | Store():
            return itemsize(s.buffer)
        case Update():
            return 2 * itemsize(s.buffer)
        case Get() | Put():
            return 4
        case Combine():
            return 2 if s.lane is None else 6
        case Compute():
            return 1 + kernel_cost(s.op)
    return 0


def work_text(kernel: Kernel, loop: Loop, size: Callable[[Axis], str], whole: bool = True) -> str:
    """The units of work of a loop, or of one iteration of it, as a formula of its sizes."""
    sizes = _itemsizes(kernel)
    tiles = [a for a, source in zip(kernel.axes, kernel.sizes, strict=False) if source[0] == "tiles"]

    def body(statements: tuple[Any, ...]) -> str:
        own = sum(statement_cost(s, sizes) for s in statements if not isinstance(s, Loop))
        return " + ".join([str(own + 1), *[inner(s) for s in statements if isinstance(s, Loop)]])

    def inner(s: Loop) -> str:
        if s.kind == "block":  # its lanes are counted by the loops inside
            return body(s.body)
        if s.kind in ("tile", "head"):
            share = "" if s.kind == "tile" else f" // {HEAD}"
            return f"({size(s.axis)} // larger({size(tiles[0])}, 1){share} + 1) * ({body(s.body)})"
        return f"{size(s.axis)} * ({body(s.body)})"

    return inner(loop) if whole else body(loop.body)


def static_work(kernel: Kernel) -> float:
    """The units of work of the whole kernel; infinite where sizes are known at run time only."""
    sizes = _itemsizes(kernel)
    total = 0.0
    stack: list[tuple[Any, float]] = [(s, 1.0) for s in kernel.body]
    while stack:
        s, times = stack.pop()
        if isinstance(s, Loop):
            if s.axis.size is None:
                return float("inf")
            stack.extend((inner, times * (1 if s.kind == "block" else s.axis.size)) for inner in s.body)
        else:
            total += times * statement_cost(s, sizes)
    return total


def is_much(kernel: Kernel, size: Callable[[Axis], int]) -> bool:
    """Whether threads would share the kernel's work at these sizes: what its text asks when it runs."""
    sizes = _itemsizes(kernel)
    shared = [s for s in kernel.body if isinstance(s, Loop) and s.split is not None]
    return bool(shared) and sum([_work(s, size, sizes) for s in shared]) >= MUCH_WORK


def _work(s: Loop, size: Callable[[Axis], int], sizes: Callable[[str], int]) -> int:
    """The cost of a loop. (Functions within a function that call each other would keep what ``size`` knows: arrays.)"""
    body = 1 + sum([_work(x, size, sizes) if isinstance(x, Loop) else statement_cost(x, sizes) for x in s.body])
    return body if s.kind == "block" else size(s.axis) * body


def _itemsizes(kernel: Kernel) -> Callable[[str], int]:
    memory: list[Any] = [*kernel.buffers, *kernel.locals]
    sizes: Mapping[str, int] = {b.name: np.dtype(b.dtype).itemsize for b in memory}
    return lambda name: sizes.get(name, 8)
