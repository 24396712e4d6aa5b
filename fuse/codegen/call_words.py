"""Call plans in the making: rows of words for the interpreter of ``native_call``, and what they keep alive."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any

from fuse.codegen import memory
from fuse.codegen.assembly import KEYWORDS, builtin
from fuse.codegen.kept_arrays import Kept, places
from fuse.codegen.native import Kernel

# Instructions and the names of their operands: r a register, s a size, p an object, i an integer; lists come last.
OPERATIONS = {
    "array": "r dtype:p ndim:i",  # the input r is an ndarray of this very dtype and rank
    "float64": "r dtype:p",  # a float, or a 0-d array, which becomes one
    "float32": "r dtype:p",  # a float32 scalar or 0-d array, which becomes a float
    "int64": "r dtype:p",  # an int, or an int64 scalar or 0-d array, which becomes one
    "integer": "r low:i high:i",  # an int of a smaller type
    "constant": "r p",
    "dimension": "s r axis:i",
    "number": "s i",
    "add": "s s s",
    "sub": "s s s",
    "mul": "s s s",
    "max": "s s s",
    "min": "s s s",
    "less": "s s s",  # 1 or 0
    "equal": "s s s",
    "divide": "s s s",  # the floor of a quotient
    "select": "s condition:s s s",
    "unbox": "s r",  # a Python int as a size
    "check": "s s",
    # an array; where ``kept`` is no 0 it is the address of where the one of an earlier call may be (`kept_arrays`)
    "new": "r dtype:p itemsize:i kept:i ndim:i sizes",
    # 0 is success; for anything else the general launcher, whose results replace those made; the kernel is the one that
    # ``Taken`` holds at that time
    "kernel": "taken:i general:p count:i registers made:i registers",
    "call": "r p count:i registers",
    # r[...]: for each entry what it is (VIEWS), its index or the ends of its slice, and the step of the slice
    "view": "r r entries:i quadruples of kind:i s s step:i",
    # a view of an input in memory of the call's own, number i, which kernels alone may read; the same operands then
    "lend": "i r r entries:i quadruples of kind:i s s step:i",
    "tuple": "r count:i registers",
    "quiet": "",  # what is called next is a product
    "box": "r s",  # a size as a Python int
    "alias": "r r",
    "drop": "r",
    "keep": "r kept:i",  # lets go of an array that a later call may have
    "read": "r cell:p",  # cell.array
    "store": "cell:p r kept:i held:r",  # ``held`` may have the old value too, and is not read any more
    # old, unless it is borrowed; then goes on to the "new" that follows
    "reuse": "r old:r cell:p skip:i",
    "single": "r",
    "list": "count:i registers",
    "dict": "count:i pairs of key:p and r",
    "none": "",
}
CODES = {name: code for code, name in enumerate(OPERATIONS)}
VIEWS = {"slice": 0, "integer": 1, "new": 2}
# Views at most that a call lends at a time, and dimensions of one; objects begin with a count and a type.
LENT, MOST_LENT = 32 if object.__basicsize__ == 16 else 0, 8
LENT_TABLES = 96  # bytes of an array object before its sizes and strides, where it is on the stack
LENT_SIZE = LENT_TABLES + 2 * 8 * MOST_LENT
REGISTERS = 1024  # at most, of either kind, and of arguments of one call


class Plan(bytes):
    """The words of a call plan; keeps alive what they point to."""

    keep: tuple[Any, ...]


class Taken:
    """Where call plans find the kernel that they call, and the address of its machine code, or 0."""

    def __init__(self, kernel: Callable[..., Any]) -> None:
        self.pair = (ctypes.c_int64 * 2)()
        self.take(kernel)

    def take(self, kernel: Callable[..., Any]) -> None:
        """Let calls from now on call ``kernel``, which whoever owns this keeps for as long as there are any.

        After machine code comes nothing else: a call may lend it views that Python must not see.
        """
        owner = getattr(kernel, "__self__", None)
        entry = owner.address if isinstance(owner, Kernel) else 0
        if entry or not self.pair[1]:
            self.pair[0], self.pair[1] = id(kernel), entry


class Words:
    """A call plan in the making. Operands that are objects are kept alive; the others are numbers."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.words: list[int] = []
        self.keep: list[Any] = []
        self.arguments = inputs  # of one call, at most
        self.lent = 0  # views at a time, at most
        self.places: list[tuple[int, int]] = []  # of words that are addresses of arrays kept between calls: which

    def __call__(self, operation: str, *operands: Any) -> None:
        """Add an instruction; an operand that is no int is a Python object to point to, in a ``Pointer``."""
        self.words.append(CODES[operation])
        if operation in ("kernel", "call"):
            self.arguments = max(self.arguments, operands[2])
        elif operation == "lend":
            self.lent = max(self.lent, operands[0] + 1)
        for operand in operands:
            if isinstance(operand, Pointer):
                self.keep.append(operand.value)
                self.words.append(id(operand.value))
            elif isinstance(operand, Kept):
                self.places.append((len(self.words), operand.number))
                self.words.append(0)
            elif isinstance(operand, Taken):
                self.keep.append(operand)
                self.words.append(ctypes.addressof(operand.pair))
            else:
                self.words.append(operand)

    def callable(self, python: Callable[..., Any], registers: int, sizes: int) -> Callable[..., Any] | None:
        """The built-in function that runs the plan, with ``python`` behind it; None where this Python has none."""
        address = memory.addresses().get("fuse_call")
        if not address or max(registers + self.inputs, sizes, self.arguments) > REGISTERS:
            return None
        arrays, addresses = places(1 + max([number for _, number in self.places], default=-1))
        for word, number in self.places:
            self.words[word] = addresses[number]
        rooms = registers + self.inputs, sizes, self.arguments, self.lent * LENT_SIZE // 8
        words = [id(python), self.inputs, registers, *rooms, *self.words]
        plan = Plan(struct.pack(f"={len(words)}q", *words))
        plan.keep = (python, *self.keep, arrays)
        return builtin("call", address, KEYWORDS, plan)


class Pointer:
    """An object among numbers."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value
