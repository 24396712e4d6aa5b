"""The interpreter of kernels: each statement one NumPy scalar at a time, the oracle of the emitters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    Kernel,
    Load,
    Loop,
    Position,
    Put,
    Store,
    Update,
)

Array = Any
TILE = 3  # rows of a tile here: every case has several


def run(kernel: Kernel, arrays: Sequence[Array], scalars: Sequence[Any]) -> None:
    """Execute ``kernel`` on NumPy arrays (outputs are written); slow, strict, and independent of any emitter."""
    with np.errstate(all="ignore"):
        _Run(kernel, arrays, scalars).body(kernel.body)


class _Run:
    def __init__(self, kernel: Kernel, arrays: Sequence[Array], scalars: Sequence[Any]) -> None:
        self.arrays = {b.name: a for b, a in zip(kernel.buffers, arrays, strict=True)}
        self.values: dict[str, Any] = {
            s.name: np.dtype(s.dtype).type(v) for s, v in zip(kernel.scalars, scalars, strict=True)
        }
        self.sizes: dict[Axis, int] = {}
        for axis, source in zip(kernel.axes, kernel.sizes, strict=False):
            match source:
                case ("static", n):
                    self.sizes[axis] = n
                case ("buffer", name, d):
                    self.sizes[axis] = self.arrays[name].shape[d]
                case ("scalar", name):
                    self.sizes[axis] = int(self.values[name])
                case ("tiles", _, _, _):
                    self.tiles = axis
        for axis in kernel.axes:
            if axis.parts:
                self.sizes[axis] = int(np.prod([self.sizes[p] for p in axis.parts]))
        for axis, source in zip(kernel.axes, kernel.sizes, strict=False):
            if source[0] == "tiles":
                self.sizes[axis] = -(-self.sizes[source[1]] // TILE)
        for x in kernel.locals:
            if not x.row:
                shape = [self.sizes[p] for a in x.axes for p in (a.parts or (a,))]
                self.arrays[x.name] = np.empty(shape, x.dtype)
        self.index: dict[Axis, int] = {}
        self.rows: dict[str, dict[Any, Any]] = {x.name: {} for x in kernel.locals}
        self.row_axes = {x.name: x.axes for x in kernel.locals if x.row}

    def body(self, statements: tuple[Any, ...]) -> None:
        for s in statements:
            self.statement(s)

    def place(self, index: tuple[Any, ...], array: Array) -> tuple[int, ...]:
        out: list[int] = []
        if any(isinstance(e, Axis) and e.parts for e in index) and any(e == 0 for e in index):
            return self._place_around_ones(index, array)
        for entry in index:
            if isinstance(entry, Axis):
                shape = [self.sizes[p] for p in (entry.parts or (entry,))]
                out.extend(int(i) for i in np.unravel_index(self.index[entry], shape))
            elif isinstance(entry, str):
                i, n = int(self.values[entry]), array.shape[len(out)]
                i = i + n if i < 0 else i
                if not 0 <= i < n:
                    raise IndexError("an index is out of bounds")
                out.append(i)
            else:
                out.append(0)
        return tuple(out)

    def _place_around_ones(self, index: tuple[Any, ...], array: Array) -> tuple[int, ...]:
        """The place in an array whose sizes of 1 may stand between dimensions that are one axis here."""
        moving: list[int] = []
        for entry in index:
            if isinstance(entry, Axis):
                shape = [self.sizes[p] for p in (entry.parts or (entry,))]
                found = np.unravel_index(self.index[entry], shape)
                moving.extend(int(i) for i, n in zip(found, shape, strict=True) if n != 1)
        rest = iter(moving)
        return tuple([0 if n == 1 else next(rest) for n in array.shape])

    def statement(self, s: Any) -> None:
        match s:
            case Loop() if s.split is not None and s.split.accs:
                for start in s.split.accs:
                    self.statement(start)
                self.statement(replace(s, split=None))
            case Loop() if s.kind == "block":
                # One block as wide as the axis: rows are then indexed by the axis itself.
                self.body(s.body)
            case Loop():
                rows = range(self.sizes[s.axis])
                if s.kind in ("tile", "head"):
                    first = self.index[self.tiles] * TILE
                    rows = rows[first : first + (TILE if s.kind == "tile" else 1)]
                for i in rows:
                    self.index[s.axis] = i
                    self.body(s.body)
            case Load():
                array = self.arrays[s.buffer]
                self.values[s.name] = np.dtype(s.dtype).type(array[self.place(s.index, array)])
            case Const():
                self.values[s.name] = np.dtype(s.dtype).type(s.value)
            case Position():
                position = 0
                for axis in s.axes:
                    position = position * self.sizes[axis] + self.index[axis]
                self.values[s.name] = np.int64(position)
            case Bounded():
                i = int(self.values[s.value])
                n = self.sizes[s.size] if isinstance(s.size, Axis) else int(self.values[s.size])
                i = i + n if i < 0 else i
                if not 0 <= i < n:
                    raise IndexError("an index is out of bounds")
                self.values[s.name] = np.int64(i)
            case Compute():
                self.values[s.name] = np.dtype(s.dtype).type(self.apply(s))
            case Store():
                array = self.arrays[s.buffer]
                array[self.place(s.index, array)] = self.values[s.value]
            case Update():
                array = self.arrays[s.buffer]
                place = self.place(s.index, array)
                pair = np.array([array[place], self.values[s.value]], s.dtype)
                array[place] = s.op.numpy(pair, axis=(0,), dtype=s.dtype)
            case Init():
                self.set_acc(s.acc, s.lane, np.dtype(s.dtype).type(s.op.identity(s.dtype)))  # type: ignore[misc]
            case Combine():
                old = self.get_acc(s.acc, s.lane)
                pair = np.array([old, self.values[s.value]], s.dtype)
                self.set_acc(s.acc, s.lane, s.op.numpy(pair, axis=(0,), dtype=s.dtype))
            case Get():
                self.values[s.name] = np.dtype(s.dtype).type(self.rows[s.local][self.point(s.local)])
            case Put():
                self.rows[s.local][self.point(s.local)] = self.values[s.value]

    def apply(self, s: Compute) -> Any:
        args = [np.asarray(self.values[a]).astype(d) for a, d in zip(s.args, s.signature, strict=True)]
        return np.asarray(s.op.numpy(*args, **_parameters(s.params)))[()]

    def point(self, row: str) -> tuple[int, ...]:
        return tuple([self.index[a] for a in self.row_axes[row]])

    def get_acc(self, acc: str, lane: Axis | None) -> Any:
        return self.values[acc] if lane is None else self.rows[acc][(self.index[lane],)]

    def set_acc(self, acc: str, lane: Axis | None, value: Any) -> None:
        if lane is None:
            self.values[acc] = value
        else:
            self.rows[acc][(self.index[lane],)] = value


def _parameters(params: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    return dict(params)
