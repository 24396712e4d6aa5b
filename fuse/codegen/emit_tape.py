"""Emission of tapes: what stands around the block operations of a long loop body in the generated source.

Before each block the kernel sets the pointers of the arrays that are read and written; values from outside of the
loop are cells of one element. What is not contiguous along the loop is copied to or from a row of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.codegen import tape
from fuse.codegen.emit_parts import PartEmitter
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import (
    Axis,
    Combine,
    Compute,
    Const,
    Kernel,
    Load,
    Local,
    Loop,
    Position,
    Store,
    index_width,
    uses,
    walk,
)
from fuse.codegen.native import NO_MEMORY
from fuse.codegen.text import typed


class TapeEmitter(PartEmitter):
    """The part of an emitter that runs long bodies from a tape."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.recorder: tape.Recorder | None = None
        self.taped_bodies: set[int] = set()
        self.table = "table"

    def find_tapes(self) -> None:
        """Which bodies become tapes; their constants are not written as statements."""
        kernel = self.kernel
        bodies = [(s.body, s) for s in walk(kernel.body) if isinstance(s, Loop) and s.kind == "serial"]
        for body, loop in [*bodies, (kernel.body, None)]:
            if not tape.is_long(body) or any(isinstance(s, Loop) for s in body):
                continue
            sums = self.taped_sums(body) if loop is not None and not self.is_short(loop.axis) else []
            if tape.fits(body, sums):
                self.taped_bodies.add(id(body))
        if self.taped_bodies:
            constants = {s.name: s for s in walk(kernel.body) if isinstance(s, Const)}
            self.recorder = tape.Recorder(constants)
            taped = {id(s) for b, _ in [*bodies, (kernel.body, None)] if id(b) in self.taped_bodies for s in b}
            self.written = {n for s in walk(kernel.body) if id(s) not in taped for n in uses(s)}

    def taped_sums(self, body: tuple[Any, ...]) -> list[Combine]:
        computed = {s.name for s in body if isinstance(s, Compute)}
        return [
            s
            for s in body
            if isinstance(s, Combine)
            and s.op.name == "sum"
            and s.dtype in ("float32", "float64")
            and s.value_dtype == s.dtype
            and s.lane is None
            and s.value in computed
            and self.is_looped(s.acc)
        ]

    def is_taped(self, body: tuple[Any, ...]) -> bool:
        return id(body) in self.taped_bodies

    def const(self, s: Const) -> None:
        if self.recorder is None or s.name in self.written:  # others are in the tape
            super().const(s)

    def allocate(self, loop: Loop) -> None:
        super().allocate(loop)
        if self.in_parts and any(isinstance(s, Loop) and self.is_taped(s.body) for s in walk((loop,))):
            self.own_table()

    def own_table(self) -> None:
        """A table for this part of the work, whose registers lie behind it: in the one that is given all but them and
        the pointers that are set before each block is right."""
        self.line("own_table = heap('int64', table_words + 8 + table_registers * register_words)")
        self.line("if missing(own_table):")
        self.leave(str(NO_MEMORY))
        self.own.append(Local("own_table", "int64", ()))
        self.line("for k in range(table_words):")
        self.line("    store(own_table, k, load(table, k))")
        self.line("registers = table_words + (8 - address(own_table, table_words) // 8 % 8) % 8")
        self.line("for k in range(table_registers):")
        self.line("    store(own_table, table_slots + k, address(own_table, registers + k * register_words))")
        self.table = "own_table"

    def free(self) -> None:
        super().free()
        self.table = "table"

    def is_unit(self, s: Any, axis: Axis | None, dtype: str) -> bool:
        """Whether elements that follow each other along the loop do so in memory, in the dtype of the value."""
        b = self.buffers[s.buffer]
        if b.dtype != dtype:
            return False
        if axis is None:
            return True
        if s.index.count(axis) != 1:
            return False
        if b.layout == "C":
            return all(e == 0 and not isinstance(e, Axis) for e in s.index[s.index.index(axis) + 1 :])
        return axis.width == 1 and int(b.layout[1:]) == index_width(s.index[: s.index.index(axis)])

    def taped(self, body: tuple[Any, ...], axis: Axis | None) -> None:
        """The loop over ``axis`` (once where that is None) as blocks of its tape."""
        recorder = self.recorder
        assert recorder is not None
        places: dict[str, tuple[str, int]] = {}
        targets: dict[str, list[tuple[str, int]]] = {}
        totals: dict[str, list[tuple[tuple[str, int], Combine]]] = {}
        pointers: list[str] = []
        before: list[tuple[Any, str, str]] = []
        after: list[tuple[Store, str]] = []
        computed = {s.name: s.dtype for s in body if isinstance(s, (Compute, Load, Position))}
        cells: dict[str, tuple[str, int]] = {}

        def point(text: str) -> tuple[str, int]:
            k = recorder.slot()
            pointers.append(f"store({self.table}, {k}, address({text}))")
            return "slot", k

        def row(name: str, dtype: str) -> tuple[str, int]:
            self.line(f"{name}_block = scratch({dtype!r}, {tape.WIDEST if axis else 1})")
            return point(f"{name}_block, 0")

        def cell(name: str, dtype: str) -> tuple[str, int]:
            if name not in cells:
                self.line(f"{name}_cell = scratch({dtype!r}, 1)")
                self.line(f"store({name}_cell, 0, {self.final(name)})")
                cells[name] = point(f"{name}_cell, 0")
            return cells[name]

        for s in body:
            if isinstance(s, Load) and self.is_unit(s, axis, s.dtype):
                places[s.name] = point(f"{s.buffer}, {self.offset(s.buffer, s.index)}")
            elif isinstance(s, (Load, Position)):
                places[s.name] = row(s.name, s.dtype)
                before.append((s, s.name, f"{s.name}_block"))
            elif isinstance(s, Store) and s.value in computed:
                if self.is_unit(s, axis, computed[s.value]):
                    targets.setdefault(s.value, []).append(point(f"{s.buffer}, {self.offset(s.buffer, s.index)}"))
                else:
                    name = f"{s.buffer}_{s.value}"
                    targets.setdefault(s.value, []).append(row(name, computed[s.value]))
                    after.append((s, f"load({name}_block, k)"))
            elif isinstance(s, Store):
                c = recorder.constants.get(s.value)
                after.append((s, typed(constant_text(c.value, c.dtype), c.dtype) if c else self.final(s.value)))
            elif isinstance(s, Combine):
                self.line(f"{s.acc}_state = scratch('float64', 2)")
                self.line(f"store({s.acc}_state, 0, {s.acc})")
                self.line(f"store({s.acc}_state, 1, {s.acc}_lost)")
                totals.setdefault(s.value, []).append((point(f"{s.acc}_state, 0"), s))
        first, last = tape.record(body, recorder, places, targets, totals, cell)

        def run(count: str) -> None:
            for text in pointers:
                self.line(text)
            self.around(before, after, axis, f"run(code, {first}, {last}, {self.table}, {count})")

        if axis is None:
            run("1")
        else:
            self.taped_blocks(axis, recorder.block(), [s for s in body if isinstance(s, Combine)], run)

    def taped_blocks(self, axis: Axis, width: int, sums: Sequence[Combine], run: Callable[[str], None]) -> None:
        """The loop over ``axis`` in blocks of ``width``; ``run`` writes what is done for so many elements."""
        name, (low, high) = axis.name, self.range(axis)
        start, stop = f"{name}_start", f"{name}_stop"
        self.line(f"for c{name} in range(({high} - {low} + {width - 1}) // {width}):")
        self.depth += 1
        self.line(f"{start} = {low} + c{name} * {width}")
        self.line(f"{stop} = min({start} + {width}, {high})")
        self.line(f"{name} = {start}")
        run(f"{stop} - {start}")
        self.depth -= 1
        for combine in sums:
            self.line(f"{combine.acc} = load({combine.acc}_state, 0)")
            self.line(f"{combine.acc}_lost = load({combine.acc}_state, 1)")
            self.total(combine.acc, combine.dtype)

    def around(
        self, before: list[tuple[Any, str, str]], after: list[tuple[Store, str]], axis: Axis | None, text: str
    ) -> None:
        """The call of the tape between the copies into and out of the kernel's rows."""
        count = f"{axis.name}_stop - {axis.name}_start" if axis else "1"

        def each(lines: list[Any]) -> None:
            if not lines:
                return
            self.line(f"for k in range({count}):")
            self.depth += 1
            if axis:
                self.line(f"{axis.name} = {axis.name}_start + k")
            for write in lines:
                write()
            self.depth -= 1

        def read(s: Any, name: str, row: str) -> Any:
            def write() -> None:
                self.body((s,))
                self.line(f"store({row}, k, {name})")

            return write

        def put(s: Store, value: str) -> Any:
            return lambda: self.line(f"store({s.buffer}, {self.offset(s.buffer, s.index)}, {value})")

        each([read(*b) for b in before])
        self.line(text)
        each([put(s, value) for s, value in after])


def table_sizes(found: tape.Tape) -> str:
    """The statement that names the sizes of a tape's table: a register is whole cache lines."""
    words = found.slots + found.registers + len(found.constants)
    names = "table_slots, table_registers, register_words, table_words"
    return f"{names} = {found.slots}, {found.registers}, {-(-found.width // 64) * 8}, {words}"
