"""Reductions as source text: accumulators, lanes of partial sums, and compensated totals.

A sum is taken in chunks; within a chunk the combining step alone may be reordered, so that it vectorises, and each
chunk's sum is added to the total with its rounding error kept. The user's arithmetic is never reordered. A product that
one sum reads is added to its lanes without being rounded first: half the instructions (not in mode ``strict``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fuse.codegen.emit_rows import Rows
from fuse.codegen.emit_steps import StepEmitter
from fuse.codegen.inline import constant_text, inline
from fuse.codegen.kernel import Axis, Combine, Compute, Init, Kernel, Loop, Update, uses, walk
from fuse.codegen.rowsums import row_sum
from fuse.codegen.text import as_dtype, cast, is_innermost, typed

CHUNK = 1024  # elements of float32 summed before their sum is added, compensated, to the total; of float64 half as many
LANES = 8  # a sum's elements beyond a multiple of this are added in order: short sums then round as NumPy's do
SHORT_BODY = 16  # statements that are written twice (for the lanes and for the rest) rather than kept in a row

REORDERED = {"sum": "radd", "prod": "rmul", "max": "vmax", "min": "vmin"}
_BOOLEAN = {"max": "|", "min": "&", "any": "|", "all": "&", "sum": "|", "prod": "&"}


class SumEmitter(StepEmitter):
    """The part of an emitter that writes reductions."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.compensated: set[str] = set()
        self.partial: dict[str, str] = {}
        self.rowed: dict[str, str] = {}
        self.in_order = False
        self.beside: Rows | None = None  # rows that are being walked together
        self.single: set[Axis] = set()  # axes that are no longer than a chunk
        self.lane: str | None = None  # of a block, in which accumulators are rows
        self.fused = False  # whether what sums add up of products is rounded once
        self.products: dict[str, tuple[str, str]] = {}  # those of a chunk's loop: their factors

    @abstractmethod
    def independent(self, s: Loop) -> None:
        """Say of an innermost loop that none of its iterations reads what another one writes, where that is so."""

    @abstractmethod
    def either(self, loop: Loop, low: str, high: str, write: Callable[[], None]) -> None:
        """What ``write`` writes, the loop from ``low`` to ``high``, in each of the ways that its results are stored."""

    def final(self, name: str) -> str:
        """A value as it is used: a compensated sum with its correction added."""
        return f"{name}_total" if name in self.compensated else name

    def row_sums(self) -> list[tuple[str, str]]:
        """(accumulator, dtype) of the sums whose loop has a long body."""
        found: dict[str, str] = {}
        for s in walk(self.kernel.body):
            long = isinstance(s, Loop) and is_innermost(s) and len(s.body) > SHORT_BODY
            if long and s.kind in ("serial", "tile", "head"):
                for c in s.body:
                    if (
                        isinstance(c, Combine)
                        and c.op.name == "sum"
                        and c.dtype in ("float32", "float64")
                        and self.is_looped(c.acc)
                    ):
                        found[c.acc] = c.dtype
        return list(found.items())

    def init(self, s: Init) -> None:
        assert s.op.identity is not None
        value = constant_text(s.op.identity(s.dtype), s.dtype)
        if s.lane is not None:
            self.line(f"store({s.acc}, {self.lane}, {value})")
            return
        if s.op.name == "sum" and s.dtype in ("float32", "float64") and self.is_looped(s.acc):
            self.compensated.add(s.acc)
            self.line(f"{s.acc} = 0.0")
            self.line(f"{s.acc}_lost = 0.0")
            self.line(f"{s.acc}_total = {typed('0.0', s.dtype)}")
            return
        self.line(f"{s.acc} = {typed(value, s.dtype)}")

    def is_looped(self, acc: str) -> bool:
        """Whether the accumulator is combined in a loop that its start lies outside of."""
        if self.beside is not None:
            acc = acc.rpartition("_row")[0]
        return any(
            isinstance(s, Loop)
            and s.kind != "block"
            and any(isinstance(c, Combine) and c.acc == acc and c.lane is None for c in s.body)
            and not any(isinstance(c, Init) and c.acc == acc for c in s.body)
            and not self.is_short(s.axis)
            for s in walk(self.kernel.body)
        )

    def is_short(self, axis: Axis) -> bool:
        return axis.size is not None and axis.size <= LANES

    def combine(self, s: Combine) -> None:
        value = cast(self.final(s.value), s.value_dtype, s.dtype)
        if s.lane is not None:
            old = f"load({s.acc}, {self.lane})"
            self.line(f"store({s.acc}, {self.lane}, {self.combined(s, old, value)})")
            return
        if s.acc in self.rowed:
            self.line(f"store({s.acc}_row, {self.rowed[s.acc]}, {value})")
        elif s.acc in self.partial:
            target = self.partial[s.acc]
            if s.dtype == "float32" and self.in_order and s.acc in self.compensated:
                value = f"float64({value})"
            if s.value in self.products and s.op.name == "sum" and s.value_dtype == s.dtype and not self.in_order:
                self.line(f"{target} = radd_product({target}, {', '.join(self.products[s.value])})")
            else:
                self.line(f"{target} = {self.combined(s, target, value)}")
        elif s.acc in self.compensated:
            self.line(f"{s.acc}_part = {self.final(s.value) if s.value_dtype == 'float64' else value}")
            self.add_compensated(s.acc)
            self.total(s.acc, s.dtype)
        else:
            self.line(f"{s.acc} = {self.combined(s, s.acc, value)}")

    def combined(self, s: Combine, old: str, value: str) -> str:
        if s.dtype == "bool" and s.op.name in _BOOLEAN:
            return f"({old} {_BOOLEAN[s.op.name]} {value})"
        reordered = REORDERED.get(s.op.name)
        if s.op.name == "sum" and (self.in_order or s.acc not in self.partial and s.lane is None):
            text = f"({old} + {value})"
            return as_dtype(text, s.dtype) if np.dtype(s.dtype).kind in "iu" else text  # sums of narrow integers wrap
        if reordered and not (s.op.name in ("max", "min") and s.dtype in ("complex64", "complex128")):
            return f"{reordered}({old}, {value})"
        name = f"{s.acc}_old"
        self.line(f"{name} = {old}")
        value_name = f"{s.acc}_new"
        self.line(f"{value_name} = {value}")
        lines, result, helpers = inline(s.op, [name, value_name], {}, s.dtype, self.resolve, f"{s.acc}_c")
        self.helpers.update(helpers)
        for text in lines:
            self.line(text)
        return as_dtype(result, s.dtype)

    def update(self, s: Update) -> None:
        at = self.offset(s.buffer, s.index)
        value = cast(self.final(s.value), s.value_dtype, s.dtype)
        old = self.loaded(s.buffer, at)
        in_order = self.in_order and s.op.name == "sum" and s.dtype in ("float32", "float64")
        new = f"{old} + {value}" if in_order else f"{REORDERED[s.op.name]}({old}, {value})"
        self.line(self.kept(s.buffer, at, new))

    def chunked(self, s: Loop, sums: list[Combine]) -> None:
        """The loop in chunks; each chunk's sum, which vectorises, is added to the total with the rounding error kept.

        A long body writes what it sums to a row, so that body and sum are each one simple loop.
        """
        axis = s.axis
        accs = {c.acc: c for c in sums}
        c, start, stop, even = f"c{axis.name}", f"{axis.name}_start", f"{axis.name}_stop", f"{axis.name}_even"
        low, high = self.range(axis)
        chunk = chunk_of(sums)
        whole = (low, high) == ("0", self.size_text[axis])  # flat rows are longer than the axis
        if axis in self.single or whole and axis.size is not None and axis.size <= chunk:
            self.line(f"{even} = {high} - {high if low == '0' else f'({high} - {low})'} % {LANES}")
            self.chunk(s, accs, low, even, high)
            for acc in accs:
                if self.is_fresh(acc):
                    self.line(f"{acc} = 0.0 + float64({acc}_part)")
                else:
                    self.add_compensated(acc)
        else:
            n, first = (high, "") if low == "0" else (f"{high} - {low}", f"{low} + ")
            self.line(f"for {c} in range(({n} + {chunk - 1}) // {chunk}):")
            self.depth += 1
            self.line(f"{start} = {first}{c} * {chunk}")
            self.line(f"{stop} = smaller({start} + {chunk}, {high})")
            self.line(f"{even} = {stop} - ({stop} - {start}) % {LANES}")
            self.chunk(s, accs, start, even, stop)
            fresh = [acc for acc in accs if self.is_fresh(acc)] if low == "0" else []
            for acc in accs:
                if acc not in fresh:
                    self.add_compensated(acc)
            if fresh:  # most rows are one chunk, of which nothing is lost
                self.line(f"if {n} <= {chunk}:")
                for acc in fresh:
                    self.line(f"    {acc} = 0.0 + float64({acc}_part)")
                self.line("else:")
                self.depth += 1
                for acc in fresh:
                    self.add_compensated(acc)
                self.depth -= 1
            self.depth -= 1
        for acc, combine in accs.items():
            self.total(acc, combine.dtype)

    def is_fresh(self, acc: str) -> bool:
        """Whether nothing has been added to an accumulator where the one loop begins that adds to it."""
        bodies = [self.kernel.body, *[s.body for s in walk(self.kernel.body) if isinstance(s, Loop)]]
        if self.beside is not None or sum(isinstance(s, Combine) and s.acc == acc for s in walk(self.kernel.body)) != 1:
            return False
        return any(
            any(isinstance(s, Init) and s.acc == acc for s in body)
            and any(isinstance(s, Loop) and any(isinstance(c, Combine) and c.acc == acc for c in s.body) for s in body)
            for body in bodies
        )

    def has_two_forms(self, s: Loop) -> bool:
        """Whether a loop over rows is so short that chunks take much of its time where each row is one chunk."""
        sweeps = [c for c in s.body if isinstance(c, Loop)]
        axes = {c.axis for c in sweeps if any(_is_float_sum(x) for x in c.body)}
        return (
            s.kind == "serial"
            and not self.single
            and self.beside is None
            and len(sweeps) == 1
            and is_innermost(sweeps[0])
            and len(axes) == 1
            and sweeps[0].kind == "serial"
            and sweeps[0].axis.size is None
            and self.range(sweeps[0].axis)[0] == "0"
            and len(s.body) + len(sweeps[0].body) <= SHORT_BODY
        )

    def in_two_forms(self, s: Loop) -> None:
        """A loop over rows twice: for rows that are one chunk, and for longer ones."""
        (along,) = [c.axis for c in s.body if isinstance(c, Loop)]
        sums = [x for c in s.body if isinstance(c, Loop) for x in c.body if _is_float_sum(x)]
        self.line(f"if {self.size_text[along]} <= {chunk_of(sums)}:")
        self.depth += 1
        self.single.add(along)
        self.loop(s)
        self.depth -= 1
        self.line("else:")
        self.depth += 1
        self.single = {s.axis}  # of the loop itself: it is not taken apart again
        self.loop(s)
        self.depth -= 1
        self.single = set()

    def chunk(self, s: Loop, accs: Mapping[str, Combine], start: str, even: str, stop: str) -> None:
        """The sums of one chunk."""
        if len(s.body) <= SHORT_BODY or self.beside is not None:
            narrow = [acc for acc, combine in accs.items() if combine.dtype == "float32"]
            self.partial.update({acc: f"{acc}_lanes" if acc in narrow else f"{acc}_part" for acc in accs})
            for acc, combine in accs.items():
                self.line(f"{self.partial[acc]} = {typed('0.0', combine.dtype)}")
            self.products = self.added_products(s) if self.fused else {}
            self.part(s, start, even)
            self.products = {}
            for acc in narrow:  # the rest costs no more in float64, and short sums are then exact, as Theano's
                self.partial[acc] = f"{acc}_part"
                self.line(f"{acc}_part = float64({acc}_lanes)")
            self.in_order = True
            self.part(s, even, stop)
            self.in_order = False
            for acc in accs:
                del self.partial[acc]
        else:
            self.rowed.update(dict.fromkeys(accs, f"{s.axis.name} - {start}"))
            self.part(s, start, stop)
            for acc, combine in accs.items():
                del self.rowed[acc]
                counts = f"{even} - {start}, {stop} - {start}"
                self.line(f"{acc}_part = row_sum({acc}_row, {counts}, {typed('0.0', combine.dtype)})")
            self.helpers["row_sum"] = row_sum

    @contextmanager
    def summed_lanes(self, accs: Mapping[str, str]) -> Iterator[None]:
        """Around a loop over the lanes of one block: its sum is added to the total (accumulator: dtype)."""
        for acc, dtype in accs.items():
            self.line(f"{acc}_lanes = {typed('0.0', dtype)}")
        self.partial.update({acc: f"{acc}_lanes" for acc in accs})
        yield
        for acc, dtype in accs.items():
            del self.partial[acc]
            self.line(f"{acc}_part = float64({acc}_lanes)")
            self.add_compensated(acc)
            self.total(acc, dtype)

    def added_products(self, s: Loop) -> dict[str, tuple[str, str]]:
        """The products of floats that one statement of a loop's body reads, and their factors."""
        count = Counter(name for c in s.body for name in uses(c))
        return {
            c.name: (self.final(c.args[0]), self.final(c.args[-1]))
            for c in s.body
            if isinstance(c, Compute) and c.op.name in ("mul", "sqr") and count[c.name] == 1
            and {*c.arg_dtypes, *c.signature} == {c.dtype} <= {"float32", "float64"}
        }

    def part(self, s: Loop, start: str, stop: str) -> None:
        def write() -> None:
            self.line(f"for {s.axis.name} in range({start}, {stop}):")
            self.depth += 1
            self.independent(s)
            self.body(s.body)
            self.depth -= 1

        self.either(s, start, stop, write)

    def add_compensated(self, acc: str) -> None:
        """Add the part to the accumulator; what rounding loses (Knuth's two-sum) is kept beside it."""
        self.line(f"{acc}_next = {acc} + float64({acc}_part)")
        self.line(f"{acc}_back = {acc}_next - {acc}")
        self.line(f"{acc}_lost += ({acc} - ({acc}_next - {acc}_back)) + (float64({acc}_part) - {acc}_back)")
        self.line(f"{acc} = {acc}_next")

    def total(self, acc: str, dtype: str) -> None:
        total = f"{acc} + {acc}_lost if {acc}_lost == {acc}_lost else {acc}"
        self.line(f"{acc}_total = {as_dtype(f'({total})', dtype)}")


def chunk_of(sums: Sequence[Combine]) -> int:
    """How many elements a chunk of these sums has: the same number of additions for each lane of a vector."""
    return CHUNK if all(s.dtype == "float32" for s in sums) else CHUNK // 2


def _is_float_sum(s: Any) -> bool:
    return isinstance(s, Combine) and s.op.name == "sum" and s.dtype in ("float32", "float64") and s.lane is None
