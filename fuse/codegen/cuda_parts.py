"""Parts of a kernel for a GPU: what one launch runs, and how its threads share it.

A kernel is a sequence of statements and loops at its outermost level. Each loop is a launch of its own, since only the
end of a launch is a barrier for all threads. What stands between the loops costs next to nothing and is computed again
by every launch that needs it, by each thread for itself.

Few long rows would leave most of a GPU idle. There each loop of a row is a launch as well, over *chunks* of the row,
whose results the next launch puts together (`in_chunks`).

Within a launch, *groups* of threads run over the outer axes, and the threads of a group, its *lanes*, over the
innermost loops. What a group sums up is put together where the sum is complete, so that every lane has it. A loop
whose iterations meet in memory has copies of that memory, one per group, which are added up, in order, by a launch
behind it: the bits of a result depend on the sizes and on the device, never on which thread came first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fuse.codegen.kernel import (
    Axis,
    Combine,
    Get,
    Init,
    Kernel,
    Load,
    Loop,
    Put,
    Split,
    Store,
    Update,
    uses,
    walk,
)
from fuse.codegen.lanes import accumulator_dtype
from fuse.codegen.text import is_innermost
from fuse.codegen.wellformed import conflict

EFFECTS = (Store, Update, Put)


@dataclass(frozen=True)
class Part:
    """One launch: ``before`` is recomputed by each thread; ``body`` is run by each group, once per point of ``groups``.

    ``accs`` are accumulators that begin outside of the launch: each block leaves what it has of them. ``copied`` are
    the buffers of which each group has a copy of its own; beside those that are ``summed`` what rounding loses is kept,
    in memory that is added to them behind the launch. ``lanes`` is what the innermost loops run over; ``spread``
    says that neighbouring threads belong to neighbouring groups, where the groups' last axis is the one along memory.
    ``chunked``: several blocks share the loops of a group; each leaves a part of its accumulators, ``rows``.
    ``rising``: largest values, with the sums of exponentials relative to them that the same sweep takes; of chunks both
    are among the ``rows``.
    ``alone``: one lane per group; ``ordered``: one group, in whose outer loops every thread meets all iterations.
    """

    before: tuple[Any, ...]
    groups: tuple[Axis, ...]
    body: tuple[Any, ...]
    accs: tuple[Init, ...] = ()
    copied: tuple[str, ...] = ()
    summed: tuple[str, ...] = ()
    lanes: tuple[Axis, ...] = ()
    spread: bool = False
    alone: bool = False
    ordered: bool = False
    rows: tuple[Init, ...] = ()
    chunked: bool = False
    rising: tuple[tuple[str, Init], ...] = ()

    @property
    def is_flat(self) -> bool:
        """Whether all threads of all blocks share the innermost loops, there being one group."""
        return not self.groups


def parts_of(kernel: Kernel) -> list[Part]:
    """The launches of ``kernel``, in order."""
    scratch = {b.name for b in kernel.buffers if b.scratch}
    found: list[Part] = []
    before: list[Any] = []
    pending = False  # whether something at the outermost level is still to be written
    for s in kernel.body:
        if isinstance(s, Loop):
            part = _needed(_part(kernel, tuple(before), s, scratch))
            found.append(part)
            before = [b for b in before if not isinstance(b, EFFECTS)]
            before.extend(Done(acc.acc, acc.op, acc.dtype) for acc in part.accs)
            done = {acc.acc for acc in part.accs}
            before = [b for b in before if not (isinstance(b, Init) and b.acc in done)]
            pending = False
        else:
            before.append(s)
            pending = pending or isinstance(s, EFFECTS)
    if pending or not found:
        found.append(_needed(Part(tuple(before), (), ())))
    return found


@dataclass(frozen=True)
class Done:
    """An accumulator that an earlier launch has left parts of: they are put together where it is needed.

    ``of_row``: each group has parts of its own. ``top``: the largest value that each part, a sum of exponentials, is
    relative to its own part of.
    """

    name: str
    op: Any
    dtype: str
    of_row: bool = False
    top: str = ""


def _needed(part: Part) -> Part:
    """``part`` with the statements before it that it needs, and its own stores."""
    begun = {acc.acc for acc in part.accs}
    return replace(part, before=_slice(part.before, {name for s in walk(part.body) for name in _reads(s)}, begun))


def _slice(
    before: Sequence[Any], needed: set[str], begun: set[str], outer: Collection[str] = ()
) -> tuple[Any, ...]:
    """Those of the statements ``before`` something that define what it needs, and those that write or add.

    The starts of accumulators in ``begun`` are left out; additions to the ``outer`` ones are for this launch to make.
    """
    needed, kept = needed | begun, []
    for s in reversed(before):
        name = s.acc if isinstance(s, (Init, Combine)) else getattr(s, "name", "")
        adds = isinstance(s, Combine) and s.acc in outer
        if (adds or isinstance(s, EFFECTS) or name in needed) and not (isinstance(s, Init) and s.acc in begun):
            kept.append(s)
            needed = needed | set(_reads(s))
    return tuple(reversed(kept))


def in_chunks(part: Part) -> list[Part] | None:
    """The launches of a part whose groups are few and whose loops long; None where chunks need each other."""
    loops = [s for s in part.body if isinstance(s, Loop)]
    nested = [s for loop in loops for s in walk(loop.body)]
    if not part.groups or part.alone or not loops or any(isinstance(s, Init) for s in nested):
        return None
    outer = {acc.acc: acc for acc in part.accs}
    found: list[Part] = []
    before: list[Any] = []

    def launch(body: tuple[Any, ...]) -> None:
        begun = {s.acc: s for s in before if isinstance(s, Init)}
        summed = dict.fromkeys(c.acc for c in walk(body) if isinstance(c, Combine))
        rising = tuple([(top, total) for top, total in part.rising if top in summed])
        rows = (*[begun[a] for a in summed if a in begun], *[total for _, total in rising])
        own = _slice(before, {n for s in walk(body) for n in _reads(s)}, {acc.acc for acc in rows}, set(outer))
        whole = (*own, *body)
        met = {s.buffer for s in walk(whole) if isinstance(s, Update)}
        used = {c.acc for c in walk(whole) if isinstance(c, Combine)}
        found.append(replace(
            part, body=whole, accs=tuple([a for a in part.accs if a.acc in used]), rows=rows, chunked=True,
            lanes=_lane_axes(whole), copied=tuple([b for b in part.copied if b in met]),
            summed=tuple([b for b in part.summed if b in met]), rising=rising,
        ))
        tops = {total.acc: top for top, total in rising}
        done = [Done(acc.acc, acc.op, acc.dtype, True, tops.get(acc.acc, "")) for acc in rows]
        rest = [s for s in before if not isinstance(s, EFFECTS) and not (isinstance(s, Combine) and s.acc in outer)]
        before[:] = [s for s in rest if not (isinstance(s, Init) and s.acc in summed)] + done

    for s in part.body:
        if isinstance(s, Loop):
            launch((s,))
        else:
            before.append(s)
    if any(isinstance(s, EFFECTS) or isinstance(s, Combine) and s.acc in outer for s in before):
        launch(())
    return [replace(p, before=_slice(part.before, _wanted(p), {a.acc for a in p.accs})) for p in found]


def _wanted(part: Part) -> set[str]:
    return {name for s in walk(part.body) for name in _reads(s)}


def _reads(s: Any) -> tuple[str, ...]:
    match s:
        case Get():
            return (*uses(s), s.local)
        case Done(top=str(top)) if top:
            return (top,)
    return uses(s)


# ---------------------------------------------------------------- one loop
def _part(kernel: Kernel, before: tuple[Any, ...], loop: Loop, scratch: set[str]) -> Part:
    begun = {s.acc: s for s in before if isinstance(s, Init)}
    combined = dict.fromkeys(c.acc for c in walk(loop.body) if isinstance(c, Combine))
    accs = tuple([begun[a] for a in combined if a in begun])
    if _scatters(loop):
        return _scattering(kernel, before, loop, accs)
    groups: list[Axis] = []
    s = loop
    while not is_innermost(s) and len(s.body) == 1 and isinstance(s.body[0], Loop):
        groups.append(s.axis)
        s = s.body[0]
    if is_innermost(s):
        body: tuple[Any, ...] = (s,)
    else:
        groups.append(s.axis)
        body = s.body
    lanes = _lane_axes(body)
    private = _private(kernel, groups, scratch)
    copied, summed = _met(body, groups), _summed(body)
    safe = _is_safe(loop, groups, scratch, copied)
    crossing = {u for u in walk(body) if isinstance(u, Update)}
    alone = not _own_lanes(body, private | set(copied)) or not safe and bool(crossing)
    if not safe:
        return Part(before, (), (loop,), accs, (), summed, alone=True, ordered=True)
    spread = bool(groups) and not alone and _is_along(kernel, groups[-1], lanes)
    return Part(before, tuple(groups), body, accs, tuple(copied), summed, lanes, spread, alone)


def _lane_axes(body: Sequence[Any]) -> tuple[Axis, ...]:
    loops = [s for s in walk(tuple(body)) if isinstance(s, Loop) and is_innermost(s)]
    return tuple(dict.fromkeys(s.axis for s in loops))


def _private(kernel: Kernel, groups: Sequence[Axis], scratch: set[str]) -> set[str]:
    """Scratch memory of which each group needs its own: its place does not tell the groups apart."""
    return {
        s.buffer
        for s in walk(kernel.body)
        if isinstance(s, (Store, Load)) and s.buffer in scratch and not set(groups) <= set(s.index)
    }


def _met(body: Sequence[Any], groups: Sequence[Axis]) -> list[str]:
    """The buffers that several groups add to at one place."""
    return list(dict.fromkeys(
        s.buffer for s in walk(tuple(body)) if isinstance(s, Update) and not set(groups) <= set(s.index)
    ))


def _summed(body: Sequence[Any]) -> tuple[str, ...]:
    """The buffers of sums over rows that the CPU would keep in a wider dtype.

    What is added at computed places is rounded each time, as on the CPU.
    """
    return tuple(dict.fromkeys(
        s.buffer for s in walk(tuple(body))
        if isinstance(s, Update) and accumulator_dtype(s.op, s.dtype) != s.dtype
        and not any(isinstance(i, str) for i in s.index)
    ))


def _is_safe(loop: Loop, groups: Sequence[Axis], scratch: set[str], copied: Sequence[str]) -> bool:
    """Whether groups may run the iterations of the outer axes in any order and at once."""
    for axis in groups:
        here: Any = loop
        while here.axis is not axis:
            here = here.body[0]
        accs = tuple([Init(c.acc, c.op, c.dtype) for c in walk(here.body) if isinstance(c, Combine)])
        bare = Loop(here.axis, _without(here.body, set(copied)), "serial")
        if conflict(Loop(bare.axis, bare.body, "serial", Split(accs)), scratch):
            return False
    return True


def _without(body: tuple[Any, ...], copied: set[str]) -> tuple[Any, ...]:
    return tuple([
        Loop(s.axis, _without(s.body, copied)) if isinstance(s, Loop) else s
        for s in body
        if not (isinstance(s, Update) and s.buffer in copied)
    ])


def _own_lanes(body: Sequence[Any], private: set[str]) -> bool:
    """Whether what lanes write to memory of their group, no other lane reads or writes."""
    places: dict[str, set[Any]] = {}
    stack: list[tuple[Any, Axis | None]] = [(s, None) for s in body]
    while stack:
        s, lane = stack.pop()
        if isinstance(s, Loop):
            inner = s.axis if is_innermost(s) else None
            stack.extend((b, inner) for b in s.body)
        elif isinstance(s, (Store, Load, Update)) and s.buffer in private:
            if lane is not None and lane not in s.index:
                if isinstance(s, Load):
                    places.setdefault(s.buffer, set()).add(None)
                    continue
                return False
            places.setdefault(s.buffer, set()).add(lane)
    written = {s.buffer for s in walk(tuple(body)) if isinstance(s, EFFECTS) and hasattr(s, "buffer")}
    return all(len(axes) <= 1 for buffer, axes in places.items() if buffer in written)


def _is_along(kernel: Kernel, outer: Axis, lanes: Sequence[Axis]) -> bool:
    """Whether neighbours along ``outer``, rather than along the lanes' axes, are neighbours in memory."""
    layouts = {b.name: b.layout for b in kernel.buffers if not b.scratch}
    votes = 0
    for s in walk(kernel.body):
        if isinstance(s, (Load, Store, Update)) and s.buffer in layouts and len(s.index) > 1:
            layout = layouts[s.buffer]
            last = s.index[-1] if layout == "C" else s.index[int(layout[1:])] if layout != "S-1" else None
            votes += (last == outer) - (last in lanes)
    return votes > 0


# ---------------------------------------------------------------- values stored at computed places
def _scatters(loop: Loop) -> list[Any]:
    return [s for s in walk(loop.body) if isinstance(s, (Store, Update)) and any(isinstance(i, str) for i in s.index)]


def _scattering(kernel: Kernel, before: tuple[Any, ...], loop: Loop, accs: tuple[Init, ...]) -> Part:
    """A loop with stores at computed places, which are made in the order of the indices.

    Where an innermost axis tells the places apart, its threads meet all indices in order, each at places of its own.
    Otherwise sums are taken by groups, each of consecutive indices, in copies; and what is stored, by one thread.
    """
    stores = _scatters(loop)
    lanes, summed = _lane_axes((loop,)), _summed((loop,))
    along = all(
        is_innermost(s) is False or all(s.axis in t.index for t in s.body if t in stores)
        for s in walk((loop,))
        if isinstance(s, Loop)
    )
    direct = [s for inner in walk((loop,)) if isinstance(inner, Loop) and not is_innermost(inner) for s in inner.body]
    sums_up = any(isinstance(s, Init) for s in walk(loop.body))  # along rows, which blocks would share
    if along and not sums_up and not is_innermost(loop) and not any(s in stores for s in direct):
        others = [s for s in walk(loop.body) if isinstance(s, (Store, Update)) and s not in stores]
        if all(set(lanes) & set(s.index) for s in others):
            return Part(before, (), (loop,), accs, (), summed, lanes, ordered=True)
    targets = {s.buffer for s in stores}
    if all(isinstance(s, Update) and s.op.name == "sum" for s in stores) and not any(
        isinstance(s, (Load, Store)) and s.buffer in targets for s in walk(loop.body)
    ):
        rest = _without(loop.body, targets)
        inner = tuple([Init(c.acc, c.op, c.dtype) for c in walk(loop.body) if isinstance(c, Combine)])
        if not conflict(Loop(loop.axis, rest, "serial", Split(inner)), {b.name for b in kernel.buffers if b.scratch}):
            return Part(before, (loop.axis,), loop.body, accs, tuple(sorted(targets)), summed, alone=True)
    return Part(before, (), (loop,), accs, (), summed, alone=True, ordered=True)


def private_buffers(kernel: Kernel, parts: Sequence[Part]) -> set[str]:
    """Scratch memory of which each group of a launch has its own; copies of what groups meet in are no part of it."""
    scratch = {b.name for b in kernel.buffers if b.scratch}
    found: set[str] = set()
    for part in parts:
        for s in walk(part.body):
            own = isinstance(s, (Store, Load, Update)) and s.buffer in scratch and s.buffer not in part.copied
            if own and not set(part.groups) <= set(s.index):
                found.add(s.buffer)
    return found
