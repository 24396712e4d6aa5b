"""A row's largest value and its sum of exponentials from one sweep, for rows that are not held in registers.

A sum of ``exp(x - max)`` needs the largest value first: a sweep of its own, which reads the row from memory again. Here
each lane adds up exponentials relative to the largest value that it has met, and scales what it has by
``exp(old - new)`` when it meets a larger one; lanes are put together in the same way, and so is what chunks of a long
row leave (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fuse.codegen.cuda_combine import kept_sum, store_of_row
from fuse.codegen.cuda_parts import Done, Part
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Combine, Compute, Const, Init, Load, Loop, Store, Update, walk
from fuse.codegen.text import is_innermost, typed
from fuse.op import OPS

if TYPE_CHECKING:
    from fuse.codegen.emit_cuda import CudaEmitter


# ---------------------------------------------------------------- which sums
def in_one_sweep(part: Part) -> Part:
    """``part`` with sums of exponentials taken in the sweep that finds the largest value, where it has such ones."""
    if not part.groups or part.alone or part.chunked:
        return part
    for first, loop in enumerate(part.body):
        for later in range(first + 1, len(part.body)):
            found = _pair(part, first, later) if isinstance(loop, Loop) else None
            if found is not None:
                body = [s for k, s in enumerate(part.body) if k != later and s != found[1]]
                return in_one_sweep(replace(part, body=tuple(body), rising=(*part.rising, found)))
    return part


def _pair(part: Part, first: int, later: int) -> tuple[str, Init] | None:
    """The largest value that the loop ``first`` finds, and the sum of exponentials relative to it of ``later``."""
    a, b = part.body[first], part.body[later]
    if not (isinstance(b, Loop) and a.axis == b.axis and is_innermost(a) and is_innermost(b)):
        return None
    written = {s.buffer for s in walk(part.body[first:later]) if isinstance(s, (Store, Update))}
    if not all(_is_plain(s) for s in b.body) or any(isinstance(s, Load) and s.buffer in written for s in b.body):
        return None  # what is read may be other values by then
    sums = [s for s in b.body if isinstance(s, Combine)]
    met = Counter([s.acc for s in walk(part.body) if isinstance(s, Combine)])
    begun = {s.acc: s for s in part.body if isinstance(s, Init) and met[s.acc] == 1}  # by one sweep
    if len(sums) != 1 or sums[0].acc not in begun or sums[0].op.name != "sum":
        return None
    total, known = sums[0], {s.name: s for s in b.body if not isinstance(s, Combine)}
    power = known.get(total.value)
    apart = known.get(power.args[0]) if isinstance(power, Compute) and power.op.name == "exp" else None
    if not (isinstance(power, Compute) and isinstance(apart, Compute) and apart.op.name == "sub"):
        return None
    dtypes = {total.dtype, total.value_dtype, *power.signature, power.dtype, *apart.signature, *apart.arg_dtypes}
    for s in a.body:
        if isinstance(s, Combine) and s.op.name == "max" and s.acc == apart.args[1] and s.acc in begun:
            same = _meaning(a.body, s.value) == _meaning(b.body, apart.args[0])
            free = s.acc not in dict(part.rising)
            if same and free and dtypes | {s.dtype, s.value_dtype} in ({"float32"}, {"float64"}):
                return s.acc, begun[total.acc]
    return None


def _is_plain(s: Any) -> bool:
    """Whether a statement computes, or loads at a place that is no value."""
    if isinstance(s, Load):
        return not any(isinstance(i, str) for i in s.index)
    return isinstance(s, (Compute, Const, Combine))


def _meaning(body: Sequence[Any], name: str) -> Any:
    """What a value of a loop's body is, whatever its parts are called there."""
    known = {s.name: s for s in body if hasattr(s, "name")}
    found: dict[str, Any] = {}
    for s in body:  # each after what it uses
        match s:
            case Load() if _is_plain(s):
                found[s.name] = s.dtype, s.buffer, s.index
            case Const():
                found[s.name] = replace(s, name="")
            case Compute():
                args = tuple([found.get(a, a) for a in s.args])
                found[s.name] = replace(s, name="", args=()), args
    return found.get(name, object() if name in known else name)


# ---------------------------------------------------------------- text
def begin(emitter: CudaEmitter, total: Init) -> None:
    zero = typed("0.0", total.dtype)
    emitter.line(f"{total.acc} = {zero}")
    emitter.line(f"{total.acc}_lost = {zero}")
    emitter.lost.add(total.acc)


def meet(emitter: CudaEmitter, top: str, total: Init, value: str) -> None:
    """One more element of the row: ``value``."""
    name, dtype = total.acc, total.dtype
    emitter.line(f"{top}_new = {value}")
    emitter.line(f"if {top}_new > {top} or {top}_new != {top}_new:")  # what is no number stays
    emitter.depth += 1
    _power(emitter, f"{top}_scale", f"{top} - {top}_new", dtype)
    emitter.line(f"{name} *= {top}_scale")
    emitter.line(f"{name}_lost *= {top}_scale")
    emitter.line(f"{top} = {top}_new")
    emitter.depth -= 1
    emitter.line(f"if {top} != {_nothing(dtype)}:")  # as long as all are -inf there is nothing to add
    emitter.depth += 1
    _power(emitter, f"{top}_part", f"{top}_new - {top}", dtype)
    for text in kept_sum(name, f"{top}_part"):
        emitter.line(text)
    emitter.depth -= 1


def complete(emitter: CudaEmitter, acc: Init, total: Init) -> None:
    """What the lanes have of a row, put together."""
    _complete(emitter, acc, total)
    _whole(emitter, acc.acc, total.acc)


def leave_of_row(emitter: CudaEmitter, acc: Init, total: Init) -> None:
    """Leave what this chunk of a row has, for `collect`."""
    _complete(emitter, acc, total)
    store_of_row(emitter, acc)
    store_of_row(emitter, total)


def collect(emitter: CudaEmitter, total: Done) -> None:
    """The sum of a row, from what its chunks left, where the largest value is there already."""
    name, top, dtype = total.name, total.top, total.dtype
    count, at = emitter.count(name), f"unsigned(row * {emitter.count(name)} + j)"
    emitter.line(f"{name} = {typed('0.0', dtype)}")
    emitter.line(f"for j in range(lane, {count}, lanes):")
    emitter.depth += 1
    emitter.line(f"{top}_part = {emitter.partials(replace(total, name=top), top)}[{at}]")
    _power(emitter, f"{top}_scale", f"{top}_part - {top}", dtype)
    emitter.line(f"if {top}_part != {_nothing(dtype)}:")
    emitter.line(f"    {name} = {name} + {emitter.partials(total, name)}[{at}] * {top}_scale")
    emitter.depth -= 1
    emitter.line(f"{name} = {_together(emitter, total.op, name, dtype)}")
    _whole(emitter, top, name)


def _complete(emitter: CudaEmitter, acc: Init, total: Init) -> None:
    top, name, dtype = acc.acc, total.acc, total.dtype
    emitter.line(f"{top}_all = {_together(emitter, acc.op, top, dtype)}")
    _power(emitter, f"{top}_scale", f"{top} - {top}_all", dtype)
    zero = typed("0.0", dtype)  # of lanes that have met nothing
    emitter.line(f"{name} = {emitter.final(name)} * {top}_scale if {top} != {_nothing(dtype)} else {zero}")
    emitter.lost.discard(name)
    emitter.line(f"{top} = {top}_all")
    emitter.line(f"{name} = {_together(emitter, total.op, name, dtype)}")


def _together(emitter: CudaEmitter, op: Any, name: str, dtype: str) -> str:
    return f"together{emitter.combining.of(op, dtype)}({name}, lanes, apart, {emitter.room(dtype)})"


def _whole(emitter: CudaEmitter, top: str, name: str) -> None:
    """A row of nothing but -inf has no sum: inf - inf is no number, and what is finite adds zero."""
    emitter.line(f"{name} = {name} + ({top} - {top})")


def _power(emitter: CudaEmitter, name: str, exponent: str, dtype: str) -> None:
    emitter.line(f"{name}_of = {exponent}")
    emitter.compute(Compute(name, dtype, OPS["exp"], (f"{name}_of",), (dtype,), (dtype,)))


def _nothing(dtype: str) -> str:
    maximum = OPS["max"].identity
    assert maximum is not None
    return typed(constant_text(maximum(dtype), dtype), dtype)


__all__ = ["in_one_sweep"]
