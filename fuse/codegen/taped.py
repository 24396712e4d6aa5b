"""Tapes at run time: a kernel with the code of its tape and a table of pointers; nothing in here compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.native import ArgType
from fuse.frozen import dataclass

if TYPE_CHECKING:
    from fuse.codegen.tape import Tape


@dataclass(frozen=True)
class TapeRecipe:
    """A `Tape` as plain data: its steps are (key, source, argument types) of their compiled block operations."""

    steps: tuple[tuple[str, str, tuple[ArgType, ...]], ...]
    code: tuple[int, ...]
    registers: int
    width: int
    constants: tuple[tuple[str, Any], ...]
    slots: int


def recipe_of(tape: Tape, operations: Sequence[Any]) -> TapeRecipe:
    """How to have ``tape`` again where its operations are stored."""
    steps = tuple([(o.key, o.source, o.argtypes) for o in operations])
    constants = tuple([(dtype, np.asarray(value, dtype).item()) for dtype, value in tape.constants])
    return TapeRecipe(steps, tuple(map(int, tape.code)), tape.registers, tape.width, constants, tape.slots)


def with_tape(kernel: Callable[..., int], tape: Tape | TapeRecipe, operations: Sequence[Any]) -> Callable[..., int]:
    """``kernel`` called with the tape's code and a table of pointers into memory of its own, kept between calls."""
    code = np.array(tape.code, "int64")
    at = 0
    while at < len(code):
        code[at] = operations[code[at]].address
        at += 2 + int(code[at + 1])
    pool: list[tuple[Any, Any]] = []

    def memory() -> tuple[Any, Any]:
        width = -(-tape.width // 64) * 64
        space = np.empty(tape.registers * width + 16 * len(tape.constants) + 64, "uint8")
        start = -space.ctypes.data % 64
        table = np.zeros(tape.registers + len(tape.constants) + tape.slots, "int64")
        registers = space.ctypes.data + start + width * np.arange(tape.registers)
        table[tape.slots : tape.slots + tape.registers] = registers
        for k, (dtype, value) in enumerate(tape.constants):
            offset = start + tape.registers * width + 16 * k
            data = np.frombuffer(np.asarray(value, dtype).tobytes(), "uint8")
            space[offset : offset + len(data)] = data
            table[tape.slots + tape.registers + k] = space.ctypes.data + offset
        return table, space

    def call(*args: Any) -> int:
        own = pool.pop() if pool else memory()
        try:
            return kernel(*args, code, own[0])
        finally:
            pool.append(own)

    call.operations = operations  # type: ignore[attr-defined]  # their machine code lives as long as they do
    return call
