"""Row blocks: sweeps over rows are done for a few rows at a time, and what stands between them in vectors.

A loop over rows that reads each row in short steps (a product with a vector) and computes a few functions of what it
finds (a loss) spends its time on those functions, one row after the other; and where the row is then added to sums
(a gradient), on loading and storing these once a row. In blocks of rows that stay in cache each step is a loop of its
own: the functions are computed for all rows of the block at once, and the sweeps walk several rows side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fuse.codegen.inline import kernel_cost
from fuse.codegen.kernel import (
    Bounded,
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
    Store,
    Update,
    uses,
    walk,
)

ROWS = 16  # of a block at most
BESIDE = 4  # rows that a sweep walks side by side
LIGHT_SWEEP = 8  # operations of a sweep's step up to which it waits for memory, or for the next row
WORTH = 12  # operations per row between the sweeps that are worth a block


def in_row_blocks(kernel: Kernel) -> Kernel:
    """``kernel`` with those of its loops over rows in blocks for which that pays."""
    if any(isinstance(s, Loop) and s.kind != "serial" for s in walk(kernel.body)):
        return kernel
    rows: list[Local] = []
    scratch = {b.name for b in kernel.buffers if b.scratch} | {x.name for x in kernel.locals}
    body = tuple([
        _Blocks(s, rows).loop() if isinstance(s, Loop) and _pays(s, scratch) else s for s in kernel.body
    ])
    return replace(kernel, body=body, locals=(*kernel.locals, *rows)) if rows else kernel


def _pays(loop: Loop, scratch: set[str]) -> bool:
    """Whether the loop's iterations are rows with light sweeps, and can be done a block at a time."""
    sweeps = [s for s in loop.body if isinstance(s, Loop)]
    between = [s for s in loop.body if not isinstance(s, Loop)]
    if loop.split is None or not sweeps or any(isinstance(s, Loop) for sweep in sweeps for s in sweep.body):
        return False
    summed = {s.buffer for s in loop.split.sums}
    for s in walk(loop.body):
        if isinstance(s, Bounded) or isinstance(s, (Load, Store, Update)) and any(isinstance(i, str) for i in s.index):
            return False
        if isinstance(s, (Load, Store, Update)) and s.buffer in scratch - summed:
            return False
    if any(_cost(sweep.body) > LIGHT_SWEEP for sweep in sweeps):
        return False
    combined = [{c.acc for c in sweep.body if isinstance(c, Combine)} for sweep in sweeps]
    started = {s.acc for s in between if isinstance(s, Init)}
    if sum(map(len, combined)) != len(set().union(*combined)) or set().union(*combined) != started:
        return False  # an accumulator goes on in another sweep, or over all rows
    if any(isinstance(s, Combine) and s.acc in started for s in between):
        return False
    return bool(loop.split.sums) or _cost(tuple(between)) >= WORTH


def _cost(body: tuple[Any, ...]) -> int:
    return sum(kernel_cost(s.op) for s in body if isinstance(s, Compute))


def _renamed(body: Iterable[Any], names: Mapping[str, str]) -> tuple[Any, ...]:
    """``body`` with other names for some of the values that it uses."""
    out: list[Any] = []
    for s in body:
        match s:
            case Loop():
                s = replace(s, body=_renamed(s.body, names))
            case Compute():
                s = replace(s, args=tuple([names.get(a, a) for a in s.args]))
            case Store() | Update() | Combine() | Put():
                s = replace(s, value=names.get(s.value, s.value))
        out.append(s)
    return tuple(out)


class _Blocks:
    """One loop over rows, taken apart: its sweeps, and the runs of statements between them."""

    def __init__(self, loop: Loop, rows: list[Local]) -> None:
        self.whole, self.axis, self.rows = loop, loop.axis, rows
        self.groups: list[list[Any]] = [[]]
        self.inits = {s.acc: s for s in loop.body if isinstance(s, Init)}
        for s in loop.body:
            if isinstance(s, Loop):
                self.groups.extend(([s], []))
            elif not isinstance(s, Init):
                self.groups[-1].append(s)
        self.dtypes = {s.name: s.dtype for s in loop.body if hasattr(s, "name")}
        self.dtypes |= {acc: init.dtype for acc, init in self.inits.items()}

    def loop(self) -> Loop:
        self.sink()
        home = {name: k for k, group in enumerate(self.groups) for name in self.made(group)}
        needs = [self.needed(group) for group in self.groups]
        crossing = {name for k, names in enumerate(needs) for name in names if home.get(name, k) != k}
        kept = {name: Local(f"r{name}", self.dtypes[name], (self.axis,), row=True) for name in sorted(crossing)}
        self.rows.extend(kept.values())
        body: list[Any] = []
        for k, group in enumerate(self.groups):
            if not group:
                continue
            far = {n: f"g{k}{n}" for n in sorted(needs[k]) if home.get(n, k) != k}
            gets = [Get(name, self.dtypes[n], kept[n].name) for n, name in far.items()]
            starts = [self.inits[a] for a in self.made(group) if a in self.inits]
            puts = [Put(kept[n].name, n) for n in self.made(group) if n in crossing]
            together = BESIDE if any(isinstance(s, Update) for s in walk(tuple(group))) else 0
            body.append(Loop(self.axis, (*gets, *starts, *_renamed(group, far), *puts), "lane", width=together))
        along = next(s.axis for s in self.whole.body if isinstance(s, Loop))
        split = self.whole.split
        assert split is not None
        summed = {s.buffer for s in split.sums}
        sums = tuple([s for s in walk(tuple(body)) if isinstance(s, Update) and s.buffer in summed])  # with new names
        return Loop(self.axis, tuple(body), "block", replace(split, sums=sums), ROWS, along)

    def made(self, group: list[Any]) -> list[str]:
        """The values and accumulators that others can read of a group."""
        if group and isinstance(group[0], Loop):
            return [s.acc for s in group[0].body if isinstance(s, Combine)]
        return [s.name for s in group if hasattr(s, "name")]

    def needed(self, group: list[Any]) -> set[str]:
        return {name for s in walk(tuple(group)) for name in uses(s) if name in self.dtypes}

    def sink(self) -> None:
        """Move what is read and computed before it is needed to where it is: it need not be kept."""
        last = len(self.groups) - 1
        for k in range(last - 1, -1, -1):
            if self.groups[k] and isinstance(self.groups[k][0], Loop):
                continue
            for s in reversed(self.groups[k]):
                if not isinstance(s, (Load, Const, Compute, Position)):
                    continue
                users = [m for m, group in enumerate(self.groups) if s.name in self.needed(group)]
                if not users or users[0] == k or isinstance(self.groups[users[0]][0], Loop):
                    continue
                passed = [w for group in self.groups[k : users[0]] for w in walk(tuple(group))]
                if isinstance(s, Load) and any(isinstance(w, (Store, Update)) for w in passed):
                    continue  # an output may stand in the memory of what it is computed from
                self.groups[k].remove(s)
                self.groups[users[0]].insert(0, s)
