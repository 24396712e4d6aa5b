"""Tapes: a long loop body as a list of block operations that are compiled already, rather than compiled statements.

Compiling a statement takes about a millisecond and more the longer the kernel; the operations of a formula are few.
So the body of a long innermost loop is run as numexpr does it: block by block, each operation over a whole block in
cache, by a function compiled once for its op, dtypes and which operands vary. The scalar functions are those of
kernels, so results are too. The kernel around the tape (sizes, checks, outer loops, sums) is generated as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fuse.codegen.emit_sums import LANES
from fuse.codegen.kernel import Axis, Buffer, Combine, Compute, Const, Kernel, Load, Loop, Position, Store, walk
from fuse.codegen.load import ArgType

LONG = 300  # operations of a loop body from which on it is a tape
WIDEST, NARROWEST = 512, 64  # elements of a block
IN_CACHE = 1 << 20  # bytes that the registers of a tape should fit


SUM = """
def kernel(total, a):
    n = size(a, 0)
    even = n - n % {lanes}
    part = {dtype}(0.0)
    for k in range(even):
        part = radd(part, load(a, k))
    for k in range(even, n):
        part = part + load(a, k)
    old = load(total, 0)
    new = old + float64(part)
    back = new - old
    store(total, 1, load(total, 1) + ((old - (new - back)) + (float64(part) - back)))
    store(total, 0, new)
    return 0
"""


@dataclass(frozen=True)
class Step:
    """One block operation: the statement with its operands named by position, and which of them vary.

    A `Combine` is the sum of a block, added to a total of two numbers: its value, and what rounding has lost.
    """

    compute: Compute | Combine
    varies: tuple[bool, ...]

    def sum_text(self) -> str:
        """The source of the sum of a block."""
        return SUM.format(dtype=self.compute.dtype, lanes=LANES)

    def sum_types(self) -> tuple[ArgType, ...]:
        return ArgType("float64", 0, True), ArgType(self.compute.dtype, 1)

    def kernel(self) -> Kernel:
        """The loop over one block."""
        c = self.compute
        assert isinstance(c, Compute)
        axis = Axis("i0", None)
        out = Buffer("o", c.dtype, 1, True)
        ins = [Buffer(f"a{k}", d, int(v)) for k, (d, v) in enumerate(zip(c.arg_dtypes, self.varies, strict=True))]
        loads = [Load(n, b.dtype, b.name, (axis,) if b.ndim else ()) for n, b in zip(c.args, ins, strict=True)]
        fixed = [s for s in loads if not s.index]
        body = (*[s for s in loads if s.index], c, Store("o", (axis,), c.name))
        return Kernel((out, *ins), (), (axis,), (("buffer", "o", 0),), (), (*fixed, Loop(axis, body)))


@dataclass(frozen=True)
class Tape:
    """The block operations of a kernel: ``code`` is function, number of operands, operands, for each step.

    Operands are places in a table of pointers: to what the kernel sets, to registers (blocks), and to constants.
    """

    steps: tuple[Step, ...]
    code: tuple[int, ...]
    registers: int
    width: int  # bytes of a register
    constants: tuple[tuple[str, Any], ...]
    slots: int


@dataclass
class Recorder:
    """Collects the tapes of one kernel."""

    constants: dict[str, Const]
    steps: dict[Step, int] = field(default_factory=dict)
    code: list[Any] = field(default_factory=list)  # numbers, and operands as (kind, number)
    cells: dict[tuple[str, bytes], int] = field(default_factory=dict)
    values: list[tuple[str, Any]] = field(default_factory=list)
    registers: int = 0
    widest: int = 1
    width: int = 0
    slots: int = 0

    def slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def constant(self, name: str) -> tuple[str, int]:
        c = self.constants[name]
        value = np.asarray(c.value, c.dtype)
        key = c.dtype, value.tobytes()
        if key not in self.cells:
            self.cells[key] = len(self.values)
            self.values.append((c.dtype, value[()]))
        return "constant", self.cells[key]

    def block(self) -> int:
        """Elements of a block, so many that all registers stay in cache."""
        count = IN_CACHE // max(self.registers * self.widest, 1)
        block = max(NARROWEST, min(WIDEST, count // NARROWEST * NARROWEST))
        self.width = max(self.width, block * self.widest)
        return block

    def table(self, operand: tuple[str, int]) -> int:
        """The place of an operand in the table, once all are known."""
        kind, k = operand
        return k + {"slot": 0, "register": self.slots, "constant": self.slots + self.registers}[kind]

    def finish(self) -> Tape:
        code = tuple([self.table(x) if isinstance(x, tuple) else x for x in self.code])
        width = max(self.width, self.widest)
        return Tape(tuple(self.steps), code, self.registers, width, tuple(self.values), self.slots)


def record(
    body: Sequence[Any],
    recorder: Recorder,
    places: Mapping[str, tuple[str, int]],
    targets: Mapping[str, Sequence[tuple[str, int]]],
    sums: Mapping[str, Sequence[tuple[tuple[str, int], Combine]]],
    fixed: Callable[[str, str], tuple[str, int]],
) -> tuple[int, int]:
    """Append the operations of ``body`` to the tape; (first, last) place of their code.

    ``places`` are where the varying operands lie that are there already, ``targets`` where values have to go, ``sums``
    where the totals of those lie that are summed; ``fixed`` gives the place of a value from outside of the loop, by
    name and dtype.
    """
    computes = [s for s in body if isinstance(s, Compute)]
    last = {name: i for i, c in enumerate(computes) for name in c.args}
    for name in sums:
        last.setdefault(name, -1)
    where = dict(places)
    own: dict[str, int] = {}
    free: list[int] = []
    first = len(recorder.code)
    for i, c in enumerate(computes):
        operands, varies = [], []
        for name, dtype in zip(c.args, c.arg_dtypes, strict=True):
            if name in where:
                operands.append(where[name])
                varies.append(True)
            else:
                operands.append(recorder.constant(name) if name in recorder.constants else fixed(name, dtype))
                varies.append(False)
        dying = [n for n in dict.fromkeys(c.args) if last[n] == i and n in own]
        # A result over an operand is right only where their elements lie at the same places.
        size = np.dtype(c.dtype).itemsize
        same = [n for n, d in zip(c.args, c.arg_dtypes, strict=True) if np.dtype(d).itemsize == size]
        free += [own.pop(n) for n in dying if n in same]
        wanted = targets.get(c.name, ())
        if wanted:
            out = wanted[0]
        elif c.name not in last:
            free += [own.pop(n) for n in dying if n in own]
            continue
        else:
            own[c.name] = free.pop() if free else recorder.registers
            recorder.registers = max(recorder.registers, own[c.name] + 1)
            out = "register", own[c.name]
        where[c.name] = out
        free += [own.pop(n) for n in dying if n in own]
        if last.get(c.name, i) < i and c.name in own:
            free.append(own.pop(c.name))
        recorder.widest = max(recorder.widest, size)
        _append(recorder, _canonical(c, tuple(varies)), out, operands)
        for other in wanted[1:]:
            _append(recorder, _copy(c.dtype), other, [out])
        for total, combine in sums.get(c.name, ()):
            step = Step(Combine("total", combine.op, combine.dtype, "x0", combine.dtype), (True,))
            _append(recorder, step, total, [out])
    for name, wanted in targets.items():
        if name in places:
            for other in wanted:
                _append(recorder, _copy(_dtype_of(body, name)), other, [places[name]])
    return first, len(recorder.code)


def _append(recorder: Recorder, step: Step, out: tuple[str, int], operands: Sequence[tuple[str, int]]) -> None:
    number = recorder.steps.setdefault(step, len(recorder.steps))
    recorder.code += [number, 1 + len(operands), out, *operands]


def _canonical(c: Compute, varies: tuple[bool, ...]) -> Step:
    """The statement with names that do not depend on where it stands; equal operands stay two."""
    names = tuple([f"x{k}" for k in range(len(c.args))])
    return Step(Compute("y", c.dtype, c.op, names, c.arg_dtypes, c.signature, c.params), varies)


def _copy(dtype: str) -> Step:
    from fuse.op import OPS

    cast = Compute("y", dtype, OPS["cast"], ("x0",), (dtype,), (dtype,), (("dtype", dtype),))
    return Step(cast, (True,))


def _dtype_of(body: Sequence[Any], name: str) -> str:
    return next(s.dtype for s in body if getattr(s, "name", None) == name)


def bodies(kernel: Kernel) -> list[tuple[Any, ...]]:
    """The loop bodies of a kernel, and the kernel's own."""
    return [kernel.body, *(s.body for s in walk(kernel.body) if isinstance(s, Loop))]


def is_long(body: Sequence[Any]) -> bool:
    """Whether a loop body is worth a tape."""
    return len(body) > LONG and sum(isinstance(s, Compute) for s in body) > LONG


def fits(body: Sequence[Any], sums: Sequence[Any]) -> bool:
    """Whether a loop body has only what a tape can do."""
    for s in body:
        match s:
            case Compute() | Const() | Store():
                continue
            case Load():
                if any(isinstance(i, str) for i in s.index):
                    return False
            case Position():
                continue
            case Combine():
                if s not in sums:
                    return False
            case _:
                return False
    return not any(isinstance(s, Store) and any(isinstance(i, str) for i in s.index) for s in body)


# ---------------------------------------------------------------- running
ARGTYPES = ArgType("int64", 1), ArgType("int64", 1, True)  # code and table, the last arguments of the kernel
