"""Places that go around: ``arange(n) - a``, which count from the end below zero; periodic boundaries.

Along a piece of a row such places are one run of memory or, where they pass the end, two. `staging` gives each array
that is read so a loop of its own, and the emitter of the CPU writes that as copies of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fuse.codegen.kernel import Axis, Compute, Const, Load, Position, Put


@dataclass(frozen=True)
class Around:
    """A loop that picks elements: what computes the place, the load, which of its indices the place is, the tile."""

    values: tuple[Any, ...]
    load: Load
    k: int
    put: Put


def around(body: Sequence[Any], axis: Axis) -> Around | None:
    """``body`` as that of a loop along ``axis`` which picks elements from places that go around; None for any other."""
    match body:
        case [*values, Load() as load, Put(value=value) as put] if value == load.name:
            pass
        case _:
            return None
    if not all(isinstance(s, (Const, Compute, Position)) for s in values):
        return None
    places = [k for k, i in enumerate(load.index) if isinstance(i, str)]
    if len(places) != 1 or axis in load.index or not _grows(str(load.index[places[0]]), values, axis):
        return None
    return Around(tuple(values), load, places[0], put)


def _grows(place: str, values: Sequence[Any], axis: Axis) -> bool:
    """Whether a place grows by one along ``axis``."""
    made = {s.name: s for s in values}
    s = made.get(place)
    while isinstance(s, Compute) and s.op.name in ("add", "sub") and {s.dtype, *s.signature} == {"int64"}:
        moving = [a for a in s.args if a in made and not isinstance(made[a], Const)]
        if len(moving) != 1 or s.op.name == "sub" and moving[0] != s.args[0]:
            return False
        s = made[moving[0]]
    return isinstance(s, Position) and s.axes == (axis,) and s.dtype == "int64"
