"""Lanes: kernel bodies whose innermost axis is walked in blocks, and scratch memory that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Combine,
    Compute,
    Const,
    Get,
    Init,
    Load,
    Local,
    Loop,
    Position,
    Put,
    Store,
    Update,
    renamed,
    uses,
    walk,
)
from fuse.op import Op

NARROW_BLOCK = 256  # lanes of a block of which FEW_ROWS rows stay in the second-level cache
FEW_ROWS = 128
NARROWEST_BLOCK = 64  # lanes of a block of FEWEST_ROWS rows of all arrays: the processor reads so many rows ahead
FEWEST_ROWS = 16
WIDE_BLOCK = 2048  # lanes of a block where memory is read in long pieces
ROW_BYTES = 65536  # of all rows of a block together
ROW_BLOCK = 32768  # elements of the rows of a block that sweeps read again
SHORT = 32  # the longest row of an array that is turned, so that lanes run over rows
SHORTEST = 7  # the same where little is done with an element: no vector is full
LIGHT_ROW = 4  # operations of a row and its one sweep that are done as fast along rows as across them
MANY_ROWS = 32  # the fewest rows for which that pays
TILE = 2048  # elements of a block of such rows
LANES_TOGETHER = 64  # lanes of such a block are a multiple of these: a vector loop leaves none over


def lane_block(rows: Sequence[Local]) -> int:
    """How many lanes the widest block has: few where the block keeps many rows, which are to stay in cache."""
    block, size = WIDE_BLOCK, sum(np.dtype(r.dtype).itemsize for r in rows if len(r.axes) == 1)
    while block > NARROW_BLOCK and block * size > ROW_BYTES:
        block //= 2
    return block


def longest_sweep(body: tuple[Any, ...], sizes: Mapping[Axis, str]) -> str:
    """Text of the largest number of rows that a nest of loops in a block walks; "" where there is none."""
    found: dict[str, None] = {}
    for s in body:
        factors = []
        while isinstance(s, Loop) and s.kind == "serial":
            factors.append(sizes[s.axis])
            s = next((inner for inner in s.body if isinstance(inner, Loop)), None)
        if factors:
            found[" * ".join(factors)] = None
    return next(iter(found)) if len(found) == 1 else f"max({', '.join(found)})" if found else ""


def rows_at_once(body: tuple[Any, ...], sizes: Mapping[Axis, str]) -> str:
    """Text of how many rows of memory a block has, those of all arrays; "" where no loop in it walks rows."""
    rows = longest_sweep(body, sizes)
    loops = tuple([s for s in body if isinstance(s, Loop) and s.kind == "serial"])
    arrays = {s.buffer for s in walk(loops) if isinstance(s, Load | Store)}
    return f"{len(arrays)} * {rows}" if rows and len(arrays) > 1 else rows


def on_heap(body: tuple[Any, ...], heap: Mapping[str, Local]) -> tuple[Any, ...]:
    """``body`` with scratch memory of run-time size, which is passed in as buffers, loaded and stored as such."""

    def statement(s: Any) -> Any:
        match s:
            case Loop():
                return replace(s, body=tuple(map(statement, s.body)))
            case Get() if s.local in heap:
                return Load(s.name, s.dtype, s.local, heap[s.local].axes)
            case Put() if s.local in heap:
                return Store(s.local, heap[s.local].axes, s.value)
        return s

    return tuple(map(statement, body))


def accumulator_dtype(op: Op, dtype: str) -> str:
    """The dtype that a reduction over many rows is kept in: float64 for sums of float32, to which groups are added."""
    return "float64" if op.name == "sum" and dtype == "float32" else dtype


def in_lanes(
    body: tuple[Any, ...], axis: Axis, locals_: list[Local], new_name: Callable[[str], str], few: bool = False
) -> tuple[Any, ...]:
    """The body of a block loop: runs of statements become lane loops, what crosses between them becomes rows.

    ``few``: reductions combine few rows, and need no wider accumulator.
    """
    met = _crossing(body, few)
    rows = {name: Local(f"r{name}", dtype, (axis,), row=True) for name, dtype in met.values.items()}
    locals_ += [*rows.values(), *[Local(acc, dtype, (axis,), row=True) for acc, dtype in met.kept_in.items()]]

    def rewrite(statements: tuple[Any, ...]) -> tuple[Any, ...]:
        out: list[Any] = []
        run = _Run(axis, met, rows, new_name)
        for k, s in enumerate(statements):
            if isinstance(s, Loop):
                out += [*run.loop(), replace(s, body=rewrite(s.body))]
                run = _Run(axis, met, rows, new_name)
                for acc in _rounded(statements, k, met):
                    # read for each row: rounded once, to a row
                    rows[acc] = Local(f"r{acc}", met.accumulators[acc], (axis,), row=True)
                    locals_.append(rows[acc])
                    run.round(acc)
            else:
                run.add(s)
        return (*out, *run.loop())

    return rewrite(body)


def _rounded(statements: tuple[Any, ...], k: int, met: _Crossing) -> list[str]:
    """The sums that are complete behind the loop at ``k``, kept in another dtype, and read in loops behind it."""
    started = {s.acc for s in statements[:k] if isinstance(s, Init) and met.kept_in[s.acc] != s.dtype}
    complete = {s.acc for s in walk((statements[k],)) if isinstance(s, Combine)}
    behind = [s for s in statements[k + 1 :] if isinstance(s, Loop)]
    read = {name for s in walk(tuple(behind)) for name in uses(s)}
    again = {s.acc for s in walk(tuple(behind)) if isinstance(s, Combine)}
    return sorted(started & complete & read - again)


@dataclass(frozen=True)
class _Crossing:
    """What runs of statements leave to others, as dtypes by name."""

    values: dict[str, str]
    accumulators: dict[str, str]
    kept_in: dict[str, str]  # of accumulators: that of the memory which they have between two runs


def _crossing(body: tuple[Any, ...], few: bool) -> _Crossing:
    """What crosses between the runs of statements of a body, and those of the loops in it."""
    found = _Crossing({}, {}, {})
    run = 0
    defined: dict[str, tuple[int, str]] = {}  # in which run, its dtype

    def scan(statements: tuple[Any, ...]) -> None:
        nonlocal run
        run += 1
        for s in statements:
            if isinstance(s, Loop):
                scan(s.body)
                run += 1
                continue
            if isinstance(s, Init):
                found.accumulators[s.acc] = s.dtype
                found.kept_in[s.acc] = s.dtype if few else accumulator_dtype(s.op, s.dtype)
            for name in uses(s):
                if name in defined and defined[name][0] != run:
                    found.values[name] = defined[name][1]
            if hasattr(s, "name"):
                defined[s.name] = run, s.dtype

    scan(body)
    return found


class _Run:
    """A run of statements, which becomes a lane loop: what others made is read from its row where it is used first."""

    def __init__(
        self, axis: Axis, met: _Crossing, rows: Mapping[str, Local], new_name: Callable[[str], str]
    ) -> None:
        self.axis, self.met, self.rows, self.new_name = axis, met, rows, new_name
        self.body: list[Any] = []
        self.here: dict[str, str] = {}

    def local(self, name: str) -> str:
        """The name that a value has in this run."""
        if name not in self.here:
            if name in self.rows:
                source, dtype = self.rows[name].name, self.rows[name].dtype
            elif name in self.met.accumulators:
                source, dtype = name, self.met.accumulators[name]
            else:
                return name
            self.here[name] = self.new_name("v")
            self.body.append(Get(self.here[name], dtype, source))
        return self.here[name]

    def round(self, acc: str) -> None:
        """Leave a sum in its own dtype to the runs behind this one."""
        self.here[acc] = self.new_name("v")
        self.body.append(Get(self.here[acc], self.met.accumulators[acc], acc))
        self.body.append(Put(self.rows[acc].name, self.here[acc]))

    def add(self, s: Any) -> None:
        """Take in a statement."""
        if isinstance(s, Init):
            self.body.append(Init(s.acc, s.op, self.met.kept_in[s.acc], self.axis))
            return
        s = renamed(s, self.local)
        if isinstance(s, Combine) and s.acc in self.met.accumulators:
            s = replace(s, dtype=self.met.kept_in[s.acc], lane=self.axis)
        self.body.append(s)
        if hasattr(s, "name"):
            self.here[s.name] = s.name
            if s.name in self.rows:
                self.body.append(Put(self.rows[s.name].name, s.name))

    def loop(self) -> tuple[Any, ...]:
        """The lane loop, behind the indices that are the same in all lanes; nothing where there are no statements."""
        first = _indices(self.body, self.axis)
        rest = tuple([s for s in self.body if s not in first])
        return (*first, Loop(self.axis, rest, "lane")) if rest else first


def _indices(body: Sequence[Any], lane: Axis) -> tuple[Any, ...]:
    """What tells the indices that are the same in all lanes: a check, which ends the kernel, would part the vectors.

    A block has a lane at least.
    """
    of_lanes = {lane, *lane.parts}
    written = {s.buffer for s in body if isinstance(s, Store | Update)}
    alike: dict[str, Any] = {}
    for s in body:
        match s:
            case Load() if s.buffer not in written:
                axes = [a for a in s.index if isinstance(a, Axis)]
            case Position():
                axes = list(s.axes)
            case Const() | Bounded() | Compute():
                axes = []
            case _:
                continue
        if all(of_lanes.isdisjoint((a, *a.parts)) for a in axes) and all(name in alike for name in uses(s)):
            alike[s.name] = s
    checked = [s.name for s in alike.values() if isinstance(s, Bounded)]
    needed: dict[str, None] = {}
    while checked:
        name = checked.pop()
        if name not in needed:
            needed[name] = None
            checked += uses(alike[name])
    return tuple([s for name, s in alike.items() if name in needed])


def turned(
    body: tuple[Any, ...],
    lanes: Axis,
    short: Axis,
    strided: Callable[[str, tuple[Any, ...]], bool],
    dtypes: Mapping[str, str],
    locals_: list[Local],
    new_name: Callable[[str], str],
) -> tuple[Any, ...]:
    """The body of a block whose lanes are rows of ``short`` length: arrays are copied to and from turned tiles.

    ``strided``: whether an access to a buffer at an index is not contiguous along the lanes.
    """
    tiles: dict[Any, str] = {}
    before: list[Any] = []
    after: list[Any] = []

    def over(*statements: Any) -> Loop:
        return Loop(short, (Loop(lanes, statements, "lane"),))

    def tile(kind: str, buffer: str, index: tuple[Any, ...]) -> str:
        key = kind, buffer, index
        if key not in tiles:
            tiles[key] = new_name("t")
            locals_.append(Local(tiles[key], dtypes[buffer], (short, lanes), row=True))
            value = new_name("v")
            if kind == "load":
                before.append(over(Load(value, dtypes[buffer], buffer, index), Put(tiles[key], value)))
            else:
                after.append(over(Get(value, dtypes[buffer], tiles[key]), Store(buffer, index, value)))
        return tiles[key]

    def statement(s: Any) -> Any:
        match s:
            case Loop():
                return replace(s, body=tuple(map(statement, s.body)))
            case Load() if strided(s.buffer, s.index):
                return Get(s.name, s.dtype, tile("load", s.buffer, s.index))
            case Store() if strided(s.buffer, s.index):
                return Put(tile("store", s.buffer, s.index), s.value)
        return s

    inner = tuple(map(statement, body))
    return (*before, *inner, *after)
