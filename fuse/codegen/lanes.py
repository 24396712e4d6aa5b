"""Lanes: kernel bodies whose innermost axis is walked in blocks, and scratch memory that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Combine,
    Compute,
    Get,
    Init,
    Load,
    Local,
    Loop,
    Put,
    Store,
    Update,
    uses,
)
from fuse.op import Op

NARROW_BLOCK = 256  # lanes of a block of which FEW_ROWS rows stay in the second-level cache
FEW_ROWS = 128
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


def on_heap(body: tuple[Any, ...], heap: Mapping[str, Local]) -> tuple[Any, ...]:
    """``body`` with scratch memory of run-time size, which is passed in as buffers, loaded and stored as such."""

    def statement(s: Any) -> Any:
        match s:
            case Loop():
                return Loop(s.axis, tuple(map(statement, s.body)), s.kind)
            case Get() if s.local in heap:
                return Load(s.name, s.dtype, s.local, heap[s.local].axes)
            case Put() if s.local in heap:
                return Store(s.local, heap[s.local].axes, s.value)
        return s

    return tuple(map(statement, body))


def accumulator_dtype(op: Op, dtype: str) -> str:
    """The dtype in which a reduction over many rows is kept: sums of float32 in float64, as rows are added in order."""
    return "float64" if op.name == "sum" and dtype == "float32" else dtype


def in_lanes(
    body: tuple[Any, ...], axis: Axis, locals_: list[Local], new_name: Callable[[str], str], few: bool = False
) -> tuple[Any, ...]:
    """The body of a block loop: runs of statements become lane loops, what crosses between them becomes rows.

    ``few``: reductions combine few rows, and need no wider accumulator.
    """
    defined_in: dict[str, int] = {}
    dtypes: dict[str, str] = {}
    groups: list[int] = [0]
    accumulators: dict[str, str] = {}
    wide: dict[str, str] = {}
    crossing: dict[str, str] = {}

    def scan(statements: tuple[Any, ...]) -> None:
        groups[0] += 1
        for s in statements:
            if isinstance(s, Loop):
                scan(s.body)
                groups[0] += 1
                continue
            if isinstance(s, Init):
                accumulators[s.acc] = s.dtype
                wide[s.acc] = s.dtype if few else accumulator_dtype(s.op, s.dtype)
            for name in uses(s):
                if name in defined_in and defined_in[name] != groups[0]:
                    crossing[name] = dtypes[name]
            if hasattr(s, "name"):
                defined_in[s.name] = groups[0]
                dtypes[s.name] = s.dtype

    scan(body)
    rows = {name: Local(f"r{name}", dtype, (axis,), row=True) for name, dtype in crossing.items()}
    locals_.extend(rows.values())
    for acc, dtype in wide.items():
        locals_.append(Local(acc, dtype, (axis,), row=True))

    def rewrite(statements: tuple[Any, ...]) -> tuple[Any, ...]:
        out: list[Any] = []
        group: list[Any] = []
        here: dict[str, str] = {}

        def local_name(name: str) -> str:
            if name in here:
                return here[name]
            if name in rows or name in accumulators:
                fresh = new_name("v")
                source, dtype = (rows[name].name, rows[name].dtype) if name in rows else (name, accumulators[name])
                group.append(Get(fresh, dtype, source))
                here[name] = fresh
                return fresh
            return name

        def flush() -> None:
            if group:
                out.append(Loop(axis, tuple(group), "lane"))
                group.clear()
            here.clear()

        for s in statements:
            match s:
                case Loop():
                    flush()
                    out.append(Loop(s.axis, rewrite(s.body), s.kind))
                    continue
                case Init():
                    group.append(Init(s.acc, s.op, wide[s.acc], axis))
                    continue
                case Combine():
                    lane, kept = (axis, wide[s.acc]) if s.acc in accumulators else (None, s.dtype)
                    group.append(Combine(s.acc, s.op, kept, local_name(s.value), s.value_dtype, lane))
                    continue
                case Compute():
                    args = tuple(local_name(a) for a in s.args)
                    s = Compute(s.name, s.dtype, s.op, args, s.arg_dtypes, s.signature, s.params)
                case Store():
                    index = tuple(local_name(i) if isinstance(i, str) else i for i in s.index)
                    s = Store(s.buffer, index, local_name(s.value))
                case Put():
                    s = Put(s.local, local_name(s.value))
                case Bounded():
                    s = Bounded(s.name, s.dtype, local_name(s.value), s.size)
                case Update():
                    index = tuple(local_name(i) if isinstance(i, str) else i for i in s.index)
                    s = Update(s.buffer, index, s.op, s.dtype, local_name(s.value), s.value_dtype)
                case Load():
                    index = tuple(local_name(i) if isinstance(i, str) else i for i in s.index)
                    s = Load(s.name, s.dtype, s.buffer, index)
            group.append(s)
            if hasattr(s, "name"):
                here[s.name] = s.name
                if s.name in rows:
                    group.append(Put(rows[s.name].name, s.name))
        flush()
        return tuple(out)

    return rewrite(body)


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
                return Loop(s.axis, tuple(map(statement, s.body)), s.kind)
            case Load() if strided(s.buffer, s.index):
                return Get(s.name, s.dtype, tile("load", s.buffer, s.index))
            case Store() if strided(s.buffer, s.index):
                return Put(tile("store", s.buffer, s.index), s.value)
        return s

    inner = tuple(map(statement, body))
    return (*before, *inner, *after)
