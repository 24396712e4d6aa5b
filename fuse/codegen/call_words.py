"""Call plans in the making: rows of words for the interpreter of ``native_call``, and what they keep alive."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from fuse.codegen import memory
from fuse.codegen.assembly import KEYWORDS, builtin
from fuse.codegen.native_call import CODES, REGISTERS


class Plan(bytes):
    """The words of a call plan; keeps alive what they point to."""

    keep: tuple[Any, ...]


class Words:
    """A call plan in the making. Operands that are objects are kept alive; the others are numbers."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.words: list[int] = []
        self.keep: list[Any] = []

    def __call__(self, operation: str, *operands: Any) -> None:
        """Add an instruction; an operand that is no int is a Python object to point to, in a ``Pointer``."""
        self.words.append(CODES[operation])
        for operand in operands:
            if isinstance(operand, Pointer):
                self.keep.append(operand.value)
                self.words.append(id(operand.value))
            else:
                self.words.append(operand)

    def callable(self, python: Callable[..., Any], registers: int) -> Callable[..., Any] | None:
        """The built-in function that runs the plan, with ``python`` behind it; None where this Python has none."""
        address = memory.addresses().get("fuse_call")
        if not address or registers + self.inputs > REGISTERS:
            return None
        words = [id(python), self.inputs, registers, *self.words]
        plan = Plan(struct.pack(f"={len(words)}q", *words))
        plan.keep = (python, *self.keep)
        return builtin("call", address, KEYWORDS, plan)


class Pointer:
    """An object among numbers."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value
