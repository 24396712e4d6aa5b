"""Staging: arrays that a loop would walk in steps are copied to scratch memory first, in tiles that stay in cache.

LLVM makes vectors of a loop only where memory is contiguous. A transposed operand is read in square tiles, each along
its own unit stride; one without any unit stride in pieces of a row. Elements at computed places are picked for a piece
of a row too, where what is computed of them is dear: each place is checked, and a check would keep it from vectors;
where places go around (`around.py`), always.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from fuse.codegen.around import around
from fuse.codegen.inline import kernel_cost
from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Combine,
    Compute,
    Const,
    Get,
    Index,
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
from fuse.codegen.nest import unit_axis

SQUARE = 32  # lanes of either side of a tile
PIECE = 256  # lanes of a piece of a row
WORTH = 4  # operations of a body that are worth copying for, where no cache line is read twice
DEAR = 16  # operations that are worth copying for what is picked from computed places

VALUES = (Load, Const, Compute, Position)


def staged(kernel: Kernel) -> Kernel:
    """``kernel`` with the innermost loops in blocks that would else walk memory in steps."""
    stager = _Stager(kernel)
    body = tuple([stager.statement(s) for s in kernel.body])
    return replace(kernel, body=body, locals=(*kernel.locals, *stager.tiles)) if stager.tiles else kernel


def in_runs(kernel: Kernel) -> Kernel:
    """``kernel`` with nothing staged but what is read from places that go around."""
    stager = _Stager(kernel)
    body = tuple([stager.runs(s) for s in kernel.body])
    return replace(kernel, body=body, locals=(*kernel.locals, *stager.tiles)) if stager.tiles else kernel


class _Stager:
    def __init__(self, kernel: Kernel) -> None:
        self.layouts: Mapping[str, str] = {b.name: b.layout for b in kernel.buffers}
        self.dtypes = {b.name: "float32" if b.dtype == "float16" else b.dtype for b in kernel.buffers}
        self.tiles: list[Local] = []
        self.split_blocks = any(isinstance(s, Loop) and s.kind != "serial" for s in walk(kernel.body))

    def steps(self, s: Any, axis: Axis) -> bool:
        """Whether the access ``s`` walks memory in steps along ``axis``."""
        if not isinstance(s, (Load, Store)) or axis not in s.index or any(isinstance(i, str) for i in s.index):
            return False
        return unit_axis(s.index, self.layouts[s.buffer]) != axis

    def statement(self, s: Any) -> Any:
        if not isinstance(s, Loop) or s.kind != "serial" or self.split_blocks:
            return s
        *values, inner = s.body
        plain = all(isinstance(v, VALUES) for v in values)
        if plain and isinstance(inner, Loop) and inner.kind == "serial" and self.is_body(inner):
            stepping = [c for c in inner.body if self.steps(c, inner.axis)]
            if gains(inner) and any(unit_axis(c.index, self.layouts[c.buffer]) == s.axis for c in stepping):
                return self.square(s.axis, tuple(values), inner)
        if self.is_body(s):
            return self.piece(s)
        return replace(s, body=tuple([self.statement(c) for c in s.body]))

    def runs(self, s: Any) -> Any:
        if not isinstance(s, Loop) or s.kind != "serial" or self.split_blocks:
            return s
        if self.is_body(s):
            return self.picked(s, beside=False) or s
        return replace(s, body=tuple([self.runs(c) for c in s.body]))

    def is_body(self, s: Loop) -> bool:
        return not any(isinstance(c, (Loop, Update)) for c in s.body)

    # ------------------------------------------------------------ copies
    def copies(
        self, body: tuple[Any, ...], axes: tuple[Axis, ...], axis: Axis, over: Callable[..., Loop]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """(copies before, the body with scratch memory, copies after): accesses in steps along ``axis`` are staged."""
        before: list[Any] = []
        after: list[Any] = []
        inner: list[Any] = []
        known: dict[tuple[str, Index], str] = {}
        for s in body:
            if not self.steps(s, axis):
                inner.append(s)
                continue
            place = s.buffer, s.index
            if isinstance(s, Load):
                if place not in known:
                    known[place] = self.tile(s.buffer, axes)
                    value = f"{known[place]}_v"
                    before.append(over(Load(value, s.dtype, *place), Put(known[place], value)))
                inner.append(Get(s.name, s.dtype, known[place]))
            else:
                tile = self.tile(s.buffer, axes)
                inner.append(Put(tile, s.value))
                after.append(over(Get(f"{tile}_v", self.dtypes[s.buffer], tile), Store(*place, f"{tile}_v")))
        return before, inner, after

    def tile(self, buffer: str, axes: tuple[Axis, ...]) -> str:
        name = f"q{len(self.tiles)}"
        self.tiles.append(Local(name, self.dtypes[buffer], axes, row=True))
        return name

    def square(self, outer: Axis, values: tuple[Any, ...], loop: Loop) -> Loop:
        """Two nested loops in square tiles."""
        inner = loop.axis

        def over(*statements: Any) -> Loop:
            return Loop(inner, (Loop(outer, statements, "lane"),), "lane")

        before, body, after = self.copies(loop.body, (outer, inner), inner, over)
        rows = Loop(outer, (*values, Loop(inner, tuple(body), "lane")), "lane")
        tile = Loop(inner, (*before, rows, *after), "block", width=SQUARE)
        return Loop(outer, (tile,), "block", width=SQUARE)

    def piece(self, loop: Loop) -> Loop:
        """One loop in pieces, where vectors are worth the copies."""
        picked = self.picked(loop)
        if picked is not None:
            return picked
        if not gains(loop) or not any(self.steps(c, loop.axis) for c in loop.body):
            return loop
        axis = loop.axis

        def over(*statements: Any) -> Loop:
            return Loop(axis, statements, "lane")

        before, body, after = self.copies(loop.body, (axis,), axis, over)
        return Loop(axis, (*before, Loop(axis, tuple(body), "lane"), *after), "block", width=PIECE)

    def picked(self, loop: Loop, beside: bool = True) -> Loop | None:
        """One loop in pieces, whose elements at computed places are picked first; None where that does not serve.

        ``beside``: also those whose places do not go around.
        """
        axis = loop.axis
        made = {s.name: s for s in loop.body if isinstance(s, (*VALUES, Bounded))}
        picks = {s.name: s for s in made.values() if isinstance(s, Load) and made.keys() & uses(s)}
        if not picks or not all(isinstance(s, (*VALUES, Bounded, Store, Combine)) for s in loop.body):
            return None
        rest = _needed([n for s in loop.body if isinstance(s, (Store, Combine)) for n in uses(s)], made, picks)
        kept = [s for s in loop.body if isinstance(s, (Store, Combine)) or s.name in rest]
        if any(isinstance(s, Bounded) or isinstance(s, Store) and made.keys() & set(s.index) for s in kept):
            return None
        tiles = {name: self.tile(s.buffer, (axis,)) for name, s in picks.items() if name in rest}
        copies: list[Loop] = []
        others: list[str] = []  # that do not go around
        for name, tile in tiles.items():
            needed = _needed([name], made)
            body = (*[s for s in loop.body if getattr(s, "name", "") in needed], Put(tile, name))
            if around(body, axis) is None:
                others.append(name)
            else:
                copies.append(Loop(axis, body, "lane"))
        if others:
            if not beside or sum(kernel_cost(s.op) for s in kept if isinstance(s, Compute)) < DEAR:
                del self.tiles[len(self.tiles) - len(tiles) :]
                return None
            needed = _needed(others, made)
            values = [s for s in loop.body if getattr(s, "name", "") in needed]
            copies.append(Loop(axis, (*values, *[Put(tiles[n], n) for n in others]), "lane"))
        rest_of_it = [Get(s.name, s.dtype, tiles[s.name]) if getattr(s, "name", "") in tiles else s for s in kept]
        return Loop(axis, (*copies, Loop(axis, tuple(rest_of_it), "lane")), "block", width=PIECE)


def _needed(names: Iterable[str], made: Mapping[str, Any], ends: Collection[str] = ()) -> set[str]:
    """The values among ``made`` that ``names`` are computed from, themselves included; not beyond ``ends``."""
    found: set[str] = set()
    stack = [n for n in names if n in made]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += [n for n in uses(made[name]) if n in made] if name not in ends else []
    return found


def gains(loop: Loop) -> bool:
    """Whether vectors make up for copies."""
    work = sum(kernel_cost(c.op) for c in loop.body if isinstance(c, Compute))
    return work >= WORTH or any(isinstance(c, Combine) for c in loop.body)
