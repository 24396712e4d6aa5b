"""Copies between arrays and the tiles that lie across them, as source text: one instruction for each, not a loop."""

from __future__ import annotations

import numpy as np

from fuse.codegen.emit_tape import TapeEmitter
from fuse.codegen.kernel import Axis, Get, Kernel, Load, Local, Loop, Put, Store
from fuse.codegen.nest import unit_axis


class TurningEmitter(TapeEmitter):
    """The part of an emitter that turns tiles."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.rows: dict[str, Local] = {x.name: x for x in kernel.locals}
        self.widths: dict[Axis, str] = {}

    def is_turning(self, s: Loop) -> bool:
        """Whether a nest of two loops copies a matrix to or from a tile that lies across it, element by element."""
        match s.body:
            case (Loop(body=(Load() as array, Put(value=value) as tile)),) if value == array.name:
                pass
            case (Loop(body=(Get() as tile, Store() as array)),) if array.value == tile.name:
                pass
            case _:
                return False
        inner, local, buffer = s.body[0], self.rows[tile.local], self.buffers[array.buffer]
        along, across = local.axes if len(local.axes) == 2 else (None, None)
        return (
            inner.kind == "lane"
            and {along, across} == {s.axis, inner.axis}
            and unit_axis(array.index, buffer.layout) == along
            and array.index.count(along) == array.index.count(across) == 1
            and not any(isinstance(i, str) for i in array.index)
            and all(kind == "lane" or self.range(a)[0] == "0" for a, kind in ((s.axis, s.kind), (inner.axis, "lane")))
            and buffer.dtype == local.dtype
            and np.dtype(local.dtype).itemsize <= 8
        )

    def turning(self, s: Loop) -> None:
        """Such a copy as one instruction, which turns blocks of the matrix in registers."""
        inner = s.body[0]
        first, second = inner.body
        array, tile = (first, second) if isinstance(first, Load) else (second, first)
        along, across = self.rows[tile.local].axes
        serial = s.axis if s.kind != "lane" else None
        at, step = f"{tile.local}_at", f"{tile.local}_step"
        for axis in (along, across):
            self.line(f"{axis.name} = {'0' if axis == serial else f'{axis.name}_start'}")
        place = self.offset(array.buffer, array.index)
        self.line(f"{at} = {place}")
        self.line(f"{across.name} = {across.name} + 1")
        self.line(f"{step} = {place} - {at}")
        length, rows = [self.size_text[a] if a == serial else f"{a.name}_count" for a in (along, across)]
        width = self.widths.get(across, f"{across.name}_width")
        if isinstance(first, Load):
            self.line(f"turn({array.buffer}, {at}, {step}, {tile.local}, 0, {width}, {rows}, {length})")
        else:
            self.line(f"turn({tile.local}, 0, {width}, {array.buffer}, {at}, {step}, {length}, {rows})")

    def is_every_second(self, s: Loop) -> bool:
        """Whether lanes copy every second element of a piece of a row, elements that vectors are made of."""
        match s.body:
            case (Load() as array, Put(value=value) as tile) if value == array.name:
                local, buffer = self.rows[tile.local], self.buffers[array.buffer]
                return (
                    list(self.known_steps.values()) == [2]
                    and local.axes == (s.axis,)
                    and buffer.dtype == local.dtype
                    and np.dtype(local.dtype).itemsize in (4, 8)
                )
        return False

    def every_second(self, s: Loop) -> None:
        """Such a copy as one instruction."""
        array, tile = s.body
        self.line(f"{s.axis.name} = {s.axis.name}_start")
        place = self.offset(array.buffer, array.index)
        self.line(f"every_second({array.buffer}, {place}, {tile.local}, {s.axis.name}_count)")
