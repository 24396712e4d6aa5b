"""Rows held in registers: what the sweeps over one row read and keep, a GPU's threads read once and keep by name.

Where a row is short enough, each lane has a fixed number of *slots*: its elements, or groups of neighbouring ones that
one instruction moves. The loops over the row are then written out slot by slot. What a sweep loads, later ones know;
what it would leave in scratch memory for them has no memory at all.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.cuda_parts import Part
from fuse.codegen.cuda_wide import Wide, copies, widened
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Axis, Buffer, Load, Loop, Store, Update, walk
from fuse.codegen.text import is_innermost, typed

if TYPE_CHECKING:
    from fuse.codegen.emit_cuda import CudaEmitter

SLOTS = {True: 4, False: 8}  # groups of elements at once, or elements one by one
MOST_REGISTERS = 64  # of 32 bits, for what a lane holds; the place of an element that is read by itself takes two
MOST_STATEMENTS = 600  # of all slots of all sweeps

Key = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Held:
    """``slots`` of ``count`` elements for each lane along ``axis``; the loads and scratch memory that are held.

    ``arrays`` are those that are read and written wide, as in `Wide`.
    """

    axis: Axis
    slots: int
    count: int
    keys: tuple[tuple[Key, str], ...]  # with the dtype of the values
    arrays: tuple[tuple[str, bool], ...]

    def name(self, key: Key, slot: int, element: int) -> str | None:
        """The name of a held value, if it is one."""
        for k, (known, _) in enumerate(self.keys):
            if known == key:
                return f"h{k}_{slot}_{element}"
        return None

    @property
    def names(self) -> Iterator[tuple[str, str]]:
        """All names with their dtypes."""
        for k, (_, dtype) in enumerate(self.keys):
            for slot in range(self.slots):
                for element in range(self.count):
                    yield f"h{k}_{slot}_{element}", dtype

    def lanes(self, along: int) -> int:
        """How many lanes hold rows of so many elements: a warp's, unless it takes more."""
        groups = -(-along // self.count)
        return max(_power(-(-groups // self.slots)), min(_power(groups), 32))


def _power(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


def held(
    part: Part, buffers: Mapping[str, Buffer], private: set[str], wide: bool, much: bool = False
) -> Held | None:
    """What the lanes of a part can hold of their rows, by groups of elements or one by one; or None.

    ``much``: with twice the slots, or not at all.
    """
    loops = [s for s in part.body if isinstance(s, Loop)]
    if len(loops) < 2 or not part.groups or part.alone or part.chunked:
        return None
    axis = loops[0].axis
    if any(s.axis != axis or not is_innermost(s) for s in loops):
        return None
    plans = widened(part.body, buffers, private)
    if wide and (part.spread or not all(s in plans for s in loops)):
        return None
    count = plans[loops[0]].count if wide else 1
    keys = _keys(part.body, loops, axis, buffers, private)
    slots = SLOTS[wide] * (1 + much)
    size = sum(len(s.body) for s in loops) * count
    registers = count * sum(-(-np.dtype(dtype).itemsize // 4) for dtype in keys.values()) + (0 if wide else 2)
    while slots > 1 and (slots * size > MOST_STATEMENTS or slots * registers > MOST_REGISTERS):
        slots //= 2
    if not keys or slots * size > MOST_STATEMENTS or slots * registers > MOST_REGISTERS:
        return None
    if much and slots <= SLOTS[wide]:
        return None
    arrays = {pair for s in loops for pair in plans[s].arrays if not buffers[pair[0]].scratch} if wide else ()
    return Held(axis, slots, count, tuple(keys.items()), tuple(sorted(arrays)))


def _keys(
    body: Sequence[Any], loops: Sequence[Loop], axis: Axis, buffers: Mapping[str, Buffer], private: set[str]
) -> dict[Key, str]:
    """What is read in several sweeps, and what one leaves for another, with dtypes."""
    written = {s.buffer for s in walk(tuple(body)) if isinstance(s, (Store, Update))}
    updated = {s.buffer for s in walk(tuple(body)) if isinstance(s, Update)}
    reads: dict[Key, list[str]] = {}
    places: dict[str, set[Key]] = {}
    for loop in loops:
        for s in loop.body:
            if isinstance(s, (Load, Store)) and axis in s.index and all(isinstance(i, (Axis, int)) for i in s.index):
                key = s.buffer, s.index
                places.setdefault(s.buffer, set()).add(key)
                if isinstance(s, Load):
                    reads.setdefault(key, []).append(s.dtype)
    found: dict[Key, str] = {}
    for key, dtypes in reads.items():
        buffer = key[0]
        kept = buffer in private and buffer not in updated and len(places[buffer]) == 1
        again = buffer not in written and not buffers[buffer].scratch and len(dtypes) > 1
        if len(set(dtypes)) == 1 and (again or kept and buffers[buffer].dtype == dtypes[0] and buffer in written):
            found[key] = dtypes[0]
    own = [s.buffer for loop in loops for s in loop.body if isinstance(s, (Load, Store))]
    everywhere = [s.buffer for s in walk(tuple(body)) if isinstance(s, (Load, Store, Update))]
    return {k: d for k, d in found.items() if not buffers[k[0]].scratch or own.count(k[0]) == everywhere.count(k[0])}


# ---------------------------------------------------------------- text
def begin(emitter: CudaEmitter, plan: Held) -> None:
    """Names before there are values, for lanes that have nothing in some slots."""
    for name, dtype in plan.names:
        emitter.line(f"{name} = {typed(constant_text(0, dtype), dtype)}")


def sweep(emitter: CudaEmitter, s: Loop, plan: Held, wide: Wide | None, seen: set[Key]) -> None:
    """One loop over the row, written out for each slot; ``seen`` are the values that are there."""
    axis = s.axis.name
    new = {(x.buffer, x.index): x for x in s.body if isinstance(x, Load) and (x.buffer, x.index) not in seen}
    loads = [x for key, x in new.items() if plan.name(key, 0, 0) and not emitter.buffers[x.buffer].scratch]
    alone = [x for x in loads if wide is None or x not in wide.accesses]
    for slot in range(plan.slots if loads else 0):  # all of them under way before anything waits for one
        _in_slot(emitter, s, plan, slot)
        for x in [*[x for x in loads if x not in alone], *alone]:  # wide ones take the group's first place
            names = [str(plan.name((x.buffer, x.index), slot, k)) for k in range(plan.count)]
            if x in alone:
                for k, name in enumerate(names):
                    emitter.line(f"{axis} = {axis}_slot * {plan.count} + {k}")
                    emitter.statement(x)
                    emitter.line(f"{name} = {x.name}")
            else:
                emitter.load_wide(names, x)
        emitter.depth -= 1
    seen |= {(x.buffer, x.index) for x in loads}
    before = set(seen)
    for slot in range(plan.slots):
        seen.clear()
        seen |= before
        _in_slot(emitter, s, plan, slot)
        if wide is None:
            _statements(emitter, s.body, plan, slot, 0, seen)
        else:
            _group(emitter, s, plan, wide, slot, seen)
        emitter.depth -= 1


def _in_slot(emitter: CudaEmitter, s: Loop, plan: Held, slot: int) -> None:
    axis, n = s.axis.name, emitter.size_text[s.axis]
    emitter.line(f"{axis}_slot = {f'first + {slot} * step' if slot else 'first'}")
    emitter.line(f"if {axis}_slot < {n}{f' // {plan.count}' if plan.count > 1 else ''}:")
    emitter.depth += 1
    emitter.line(f"{axis} = {axis}_slot{f' * {plan.count}' if plan.count > 1 else ''}")


def _group(emitter: CudaEmitter, s: Loop, plan: Held, wide: Wide, slot: int, seen: set[Key]) -> None:
    axis, count = s.axis.name, plan.count
    for x in wide.accesses:
        if isinstance(x, Load):
            names = [f"{x.name}_{k}" for k in range(count)]
            known = [plan.name((x.buffer, x.index), slot, k) for k in range(count)]
            if known[0] is None:
                emitter.load_wide(names, x)
            else:
                for name, value in zip(names, known, strict=True):
                    emitter.line(f"{name} = {value}")
    before = set(seen)
    for k, body in enumerate(copies(s, wide)):
        seen.clear()
        seen |= before
        if k:
            emitter.line(f"{axis} = {axis}_slot * {count} + {k}")
        _statements(emitter, body, plan, slot, k, seen)
    emitter.line(f"{axis} = {axis}_slot * {count}")
    own_names = {x.name for x in s.body if hasattr(x, "name")}
    for x in wide.accesses:
        if isinstance(x, Store):
            values = [emitter.final(f"{x.value}_{k}" if x.value in own_names else x.value) for k in range(count)]
            key = x.buffer, x.index
            if plan.name(key, slot, 0) is not None:
                for k, value in enumerate(values):
                    emitter.line(f"{plan.name(key, slot, k)} = {value}")
                seen.add(key)
                continue
            emitter.store_wide(x, values)


def _statements(
    emitter: CudaEmitter, body: Sequence[Any], plan: Held, slot: int, element: int, seen: set[Key]
) -> None:
    """The statements for one element, with held values by their names."""
    for s in body:
        key = (s.buffer, s.index) if isinstance(s, (Load, Store)) else None
        name = plan.name(key, slot, element) if key is not None else None
        if name is None or key is None:
            emitter.statement(s)
        elif isinstance(s, Store):
            emitter.line(f"{name} = {emitter.final(s.value)}")
            seen.add(key)
        else:
            assert key in seen
            emitter.line(f"{s.name} = {name}")
