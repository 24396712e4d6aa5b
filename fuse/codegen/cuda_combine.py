"""Reductions among threads, as text: what puts two partial results together, and those of several lanes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from fuse.codegen.cuda_parts import Done
from fuse.codegen.emit import Emitter
from fuse.codegen.inline import constant_text, inline
from fuse.codegen.kernel import Combine, Init, Loop, walk
from fuse.codegen.text import as_dtype, is_innermost, typed

if TYPE_CHECKING:
    from fuse.codegen.emit_cuda import CudaEmitter

_PLAIN = {"sum": "+", "prod": "*"}
_BOOLEAN = {"max": "|", "min": "&", "any": "|", "all": "&", "sum": "|", "prod": "&"}


class Combining:
    """Functions that put two partial results together, and the partial results of several threads."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.texts: list[str] = []
        self.names: dict[tuple[str, str], int] = {}

    def of(self, op: Any, dtype: str) -> int:
        key = (op.name, dtype)
        if key not in self.names:
            number = self.names[key] = len(self.names)
            self.texts += [self.combine(number, op, dtype), _TOGETHER.format(k=number, other=_exchanged(dtype))]
        return self.names[key]

    def combine(self, number: int, op: Any, dtype: str) -> str:
        lines: list[str] = []
        if dtype == "bool" and op.name in _BOOLEAN:
            result = f"a {_BOOLEAN[op.name]} b"
        elif op.name in _PLAIN:
            result = as_dtype(f"a {_PLAIN[op.name]} b", dtype)
        else:
            lines, result, helpers = inline(op, ["a", "b"], {}, dtype, self.emitter.resolve, "c")
            self.emitter.helpers.update(helpers)
            result = as_dtype(result, dtype)
        body = "".join(f"    {text}\n" for text in lines)
        return f"@device\ndef combine{number}(a, b):\n{body}    return {result}\n"


# Lanes of a row are neighbours (``apart`` is 1), or ``apart`` threads from one another; their number is a power of two.
_TOGETHER = '''@device
def together{k}(value, lanes, apart, room):
    tid = cuda.threadIdx.x
    if apart == 1:
        offset = min(lanes, 32) // 2
        while offset > 0:
            other = {other}
            value = combine{k}(value, other)
            offset //= 2
        if lanes > 32:
            if tid % 32 == 0:
                room[tid // 32] = value
            cuda.syncthreads()
            first = tid // lanes * (lanes // 32)
            value = room[first]
            for j in range(1, lanes // 32):
                value = combine{k}(value, room[first + j])
            cuda.syncthreads()
    else:
        room[tid] = value
        cuda.syncthreads()
        value = room[tid % apart]
        for j in range(1, lanes):
            value = combine{k}(value, room[tid % apart + j * apart])
        cuda.syncthreads()
    return value
'''


def added(target: str, cells: str, value: str, zero: str) -> list[str]:
    """``value`` added to the sum at ``at``; what rounding loses is ``cells`` elements behind it (Knuth's two-sum)."""
    return [
        f"there, value = {target}[at], {value}",
        "after = there + value",
        "back = after - there",
        f"beside = unsigned(at + {cells})",
        f"lost = {target}[beside] + ((there - (after - back)) + (value - back))",
        f"{target}[at] = after",
        f"{target}[beside] = lost if lost == lost else {zero}",  # beside an infinite sum nothing is lost
    ]


def kept_sum(acc: str, value: str) -> list[str]:
    """``value`` added to a sum; what rounding loses is kept beside it (Knuth's two-sum)."""
    return [
        f"value = {value}",
        f"after = {acc} + value",
        f"back = after - {acc}",
        f"{acc}_lost += ({acc} - (after - back)) + (value - back)",
        f"{acc} = after",
    ]


def _exchanged(dtype: str) -> str:
    if dtype.startswith("complex"):
        return f"{dtype}(complex(exchange(value.real, offset), exchange(value.imag, offset)))"
    if dtype in ("int32", "int64", "float32", "float64"):
        return "exchange(value, offset)"
    wide = "int64" if dtype in ("uint64", "uint32") else "int32"
    taken = f"exchange({wide}(value), offset)"
    return f"{taken} != 0" if dtype == "bool" else f"{dtype}({taken})"


# ---------------------------------------------------------------- what launches leave
def leave(emitter: CudaEmitter, acc: Init) -> None:
    """Leave what this block has of an accumulator for the launches behind."""
    part = emitter.part
    innermost = [s for s in walk(part.body) if isinstance(s, Loop) and is_innermost(s)]
    uniform = not any(isinstance(c, Combine) and c.acc == acc.acc for s in innermost for c in s.body)
    partials = emitter.partials(acc, acc.acc, True)
    value = emitter.final(acc.acc)
    if part.alone and part.ordered:
        emitter.line(f"{partials}[0] = {value}")
        return
    assert acc.op.identity is not None
    if uniform:  # every lane has it
        nothing = typed(constant_text(acc.op.identity(acc.dtype), acc.dtype), acc.dtype)
        value = f"{value} if {emitter.once} else {nothing}"
    k = emitter.combining.of(acc.op, acc.dtype)
    emitter.line(f"{acc.acc} = together{k}({value}, cuda.blockDim.x, 1, {emitter.room(acc.dtype)})")
    emitter.line("if cuda.threadIdx.x == 0:")
    emitter.line(f"    {partials}[cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x] = {acc.acc}")


def leave_of_row(emitter: CudaEmitter, acc: Init) -> None:
    """Leave what this chunk has of an accumulator of its row."""
    k = emitter.combining.of(acc.op, acc.dtype)
    emitter.line(f"{acc.acc} = together{k}({emitter.final(acc.acc)}, lanes, apart, {emitter.room(acc.dtype)})")
    emitter.lost.discard(acc.acc)
    store_of_row(emitter, acc)


def store_of_row(emitter: CudaEmitter, acc: Init) -> None:
    """Store what all lanes of this chunk have of an accumulator of its row."""
    partials = emitter.partials(acc, acc.acc, True)
    emitter.line("if live and lane == 0:")
    emitter.line(f"    {partials}[row * cuda.gridDim.y + cuda.blockIdx.y] = {acc.acc}")


# ---------------------------------------------------------------- what earlier launches left
def joined(statements: Iterable[Any]) -> Iterator[Any]:
    """Statements, with neighbours that ask for what earlier launches left as one tuple."""
    for of_row, found in groupby(statements, lambda s: (s.of_row,) if isinstance(s, Done) else None):
        if of_row is None:
            yield from found
        else:
            yield tuple(found)


def collect(emitter: CudaEmitter, found: Sequence[Done]) -> None:
    """Put together what the blocks of earlier launches left of accumulators.

    One loop reads all of it: loops of their own, which NVVM writes out, took up to all registers of a thread.
    """
    lane, lanes, apart = ("lane", "lanes", "apart") if found[0].of_row else ("cuda.threadIdx.x", "cuda.blockDim.x", "1")
    counts = [emitter.count(s.name) for s in found]
    most = counts[0] if len(found) == 1 else f"max({', '.join(counts)})"
    for s in found:
        emitter.line(f"{s.name} = {typed(constant_text(s.op.identity(s.dtype), s.dtype), s.dtype)}")
    emitter.line(f"for j in range({lane}, {most}, {lanes}):")
    for s, count in zip(found, counts, strict=True):
        at = f"unsigned(row * {count} + j)" if s.of_row else "unsigned(j)"
        k = emitter.combining.of(s.op, s.dtype)
        text = f"{s.name} = combine{k}({s.name}, {emitter.partials(s, s.name)}[{at}])"
        emitter.line(f"    {text}" if len(found) == 1 else f"    if j < {count}: {text}")
    for s in found:
        k = emitter.combining.of(s.op, s.dtype)
        emitter.line(f"{s.name} = together{k}({s.name}, {lanes}, {apart}, {emitter.room(s.dtype)})")
