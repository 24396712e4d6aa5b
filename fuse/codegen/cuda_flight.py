"""Loops of a GPU's threads with several elements under way: what a thread waits for, it waits for once.

A thread that loads one element, computes and stores leaves memory idle most of the time, however many threads there
are. So it begins the loads of several iterations before it uses the first: of groups of neighbours, which one
instruction moves (`cuda_wide.py`), and of single elements, which lie a step apart. Long formulas are left as they are:
they have several loads each, and their threads wait for arithmetic.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from fuse.codegen.cuda_wide import Wide, copies
from fuse.codegen.kernel import Bounded, Combine, Compute, Const, Load, Loop, Position, Store

if TYPE_CHECKING:
    from fuse.codegen.emit_cuda import CudaEmitter

SINGLE = 4  # elements under way that are read one by one
MOST = 96  # statements of all copies of a body whose groups are under way together
MOST_SINGLE = 48  # and of one whose elements are
_KNOWN = (Load, Store, Compute, Const, Position, Combine, Bounded)


def groups_of(emitter: CudaEmitter, s: Loop, wide: Wide) -> str:
    """The loop over whole groups of elements; the text of where a thread begins with the rest."""
    axis, count, n = s.axis.name, wide.count, emitter.size_text[s.axis]
    from fuse.codegen.emit_cuda import Argument

    allowed = emitter.argument(f"wide_{axis}", Argument("wide", (s.axis, count, wide.arrays)), "int64")
    emitter.line(f"{axis}_groups = {n} // {count} * {allowed}")
    loads = [x for x in wide.accesses if isinstance(x, Load)]
    start = "first"
    if 0 < len(loads) < 3 and 2 * count * len(s.body) <= MOST:
        start = f"{axis}_group"
        emitter.line(f"{start} = first")
        emitter.line(f"while {start} < {axis}_groups - step:")
        emitter.depth += 1
        for later in range(2):
            emitter.line(f"{axis} = {start if not later else f'({start} + step)'} * {count}")
            for x in loads:
                emitter.load_wide([f"{x.name}_{k}_{'ab'[later]}" for k in range(count)], x)
        for later in range(2):
            for x in loads:
                for k in range(count):
                    emitter.line(f"{x.name}_{k} = {x.name}_{k}_{'ab'[later]}")
            _group(emitter, s, wide, f"({start} + step)" if later else start)
        emitter.line(f"{start} += 2 * step")
        emitter.depth -= 1
    emitter.line(f"for {axis}_group in range({start}, {axis}_groups, step):")
    emitter.depth += 1
    emitter.line(f"{axis} = {axis}_group * {count}")
    for x in loads:
        emitter.load_wide([f"{x.name}_{k}" for k in range(count)], x)
    _group(emitter, s, wide, f"{axis}_group")
    emitter.depth -= 1
    return f"{axis}_groups * {count} + first"


def _group(emitter: CudaEmitter, s: Loop, wide: Wide, group: str) -> None:
    """What is done with one group, which is loaded."""
    axis, count = s.axis.name, wide.count
    for k, body in enumerate(copies(s, wide)):
        emitter.line(f"{axis} = {group} * {count}{f' + {k}' if k else ''}")
        emitter.body(body)
    emitter.line(f"{axis} = {group} * {count}")
    own = {x.name for x in s.body if hasattr(x, "name")}
    for x in wide.accesses:
        if isinstance(x, Store):
            values = [emitter.final(f"{x.value}_{k}" if x.value in own else x.value) for k in range(count)]
            emitter.store_wide(x, values)


def singles_of(emitter: CudaEmitter, s: Loop, start: str) -> str:
    """A loop over elements one by one, several of them under way; the text of where a thread begins with the rest.

    Each statement is written for all of them before the next one is: loads stand side by side, of indices too.
    """
    loads = sum(isinstance(x, Load) for x in s.body)
    if not loads or SINGLE * len(s.body) > MOST_SINGLE or not all(isinstance(x, _KNOWN) for x in s.body):
        return start
    axis, n, turn = s.axis.name, emitter.size_text[s.axis], f"{s.axis.name}_turn"
    emitter.line(f"{turn} = {start}")
    emitter.line(f"while {turn} < {n} - {SINGLE - 1} * step:")
    emitter.depth += 1
    for each in zip(*copies(s, Wide(SINGLE, (), ())), strict=True):
        for k, statement in enumerate(each):
            emitter.line(f"{axis} = {turn}{f' + {k} * step' if k else ''}")
            emitter.body((statement,))
    emitter.line(f"{turn} += {SINGLE} * step")
    emitter.depth -= 1
    return turn
