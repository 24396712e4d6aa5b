"""Lending: what a sweep computes for a later one waits in the memory of a result, until that is stored there.

A value that is costly and that a later sweep over the same elements needs again, as the exponentials of a softmax over
columns, would need memory of its own to be kept. But the last sweep stores a result for each of these elements, and
until then the result's memory is free: what waits there for the same element is read before the result is stored. Of a
column reduction a strip stays in the cache meanwhile, so that nothing more goes to memory than the result would.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fuse.codegen.kernel import Get, Index, Load, Put, Store
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.schedule import Scheduler

Place = tuple[tuple[int, ...], int, int]  # when within an element a statement is met: its sweep, time and number


@dataclass(frozen=True)
class _Home:
    """A result's memory: where its elements are stored, and when."""

    buffer: str
    index: Index
    dtype: str
    stored: Place


def with_lending(scheduled: Callable[[Collection[Expr]], Scheduler], candidates: Collection[Expr]) -> Scheduler:
    """The schedule in which as many of the ``candidates`` as can wait in the memory of results do so.

    ``scheduled`` makes one in which column reductions rather keep the values it is given than compute them again.
    """
    found = scheduled(candidates)
    if found.lane_level is None:  # rows have a row of memory of their own for what they keep
        return found
    homes = _homes(found)
    if not all(x.name in homes for x in found.kept.values()):
        waiting = [base for base, x in found.kept.items() if x.name in homes]
        found = scheduled(waiting)
        homes = _homes(found)
        if not all(found.kept[base].name in homes for base in waiting if base in found.kept):
            found = scheduled(())
            homes = _homes(found)
    _lend(found, homes)
    return found


def _homes(scheduler: Scheduler) -> dict[str, _Home]:
    """For each kept value that can wait in the memory of a result, by the name of its own memory, that memory."""
    kept = {x.name: base for base, x in scheduler.kept.items() if not x.row}
    level_of = {name: scheduler.level[base] for name, base in kept.items()}
    first: dict[str, Place] = {}
    last: dict[str, Place] = {}
    stores: dict[int, dict[str, list[tuple[Store, Place]]]] = {}
    for (level, prefix), slot in scheduler.slots.items():
        for time, number, s in slot.items:
            place = prefix, time, number
            match s:
                case Put() if s.local in kept:
                    first[s.local] = place
                case Get() if s.local in kept:
                    last[s.local] = max(place, last.get(s.local, place))
                case Store():
                    stores.setdefault(level, {}).setdefault(s.buffer, []).append((s, place))
    results = {scheduler.buffers[o]: o for o in scheduler.region.outputs if o in scheduler.buffers}
    taken: dict[str, list[tuple[Place, Place]]] = {}
    found: dict[str, _Home] = {}
    for name in sorted(first, key=first.__getitem__):
        for home in _results(stores.get(level_of[name], {}), results, scheduler.levels[level_of[name]], scheduler.axes):
            begins, ends = first[name], last.get(name, first[name])
            free = all(before < begins or ends < after for after, before in taken.get(home.buffer, ()))
            if home.dtype == scheduler.kept[kept[name]].dtype and ends < home.stored and free:
                taken.setdefault(home.buffer, []).append((begins, ends))
                found[name] = home
                break
    return found


def _results(
    stores: Mapping[str, list[tuple[Store, Place]]],
    results: Mapping[str, Expr],
    span: Collection[int],
    axes: Any,
) -> list[_Home]:
    """The results of which each element is stored once, by the point of a level's loops that is its own."""
    wanted = {axes[a] for a in span}
    homes = []
    for buffer, found in stores.items():
        (s, place), *others = found
        if not others and buffer in results and {i for i in s.index if i != 0} == wanted:
            homes.append(_Home(buffer, s.index, results[buffer].type.dtype, place))
    return homes


def _lend(scheduler: Scheduler, homes: Mapping[str, _Home]) -> None:
    """Let values wait in the results' memory, and do without their own."""

    def moved(s: Any) -> Any:
        match s:
            case Put() if s.local in homes:
                return Store(homes[s.local].buffer, homes[s.local].index, s.value)
            case Get() if s.local in homes:
                return Load(s.name, s.dtype, homes[s.local].buffer, homes[s.local].index)
        return s

    for slot in scheduler.slots.values():
        slot.items = [(time, number, moved(s)) for time, number, s in slot.items]
    scheduler.locals = [x for x in scheduler.locals if x.name not in homes]
