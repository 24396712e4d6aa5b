"""Rows side by side: a loop whose rows are walked together, several in one loop along them.

What does not depend on the row is read once for all of them, and a sum over rows is loaded and stored once. Rows of a
block's lanes have accumulators of their own (`rowblocks.py`); those of a group are added up for each column
(`rowgroups.py`). Rows beyond a multiple of their number are walked one by one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from fuse.codegen.kernel import Axis, Combine, Compute, Get, Init, Load, Loop, Position, Put, Store, Update, uses
from fuse.op import OPS


class Rows:
    """``count`` copies of the body of a loop over rows, each for its own row; ``summed``: the rows are added up.

    ``narrow`` names sums of float32 that are kept in float64: the rows of a group are added in pairs, in float32.
    """

    def __init__(self, loop: Loop, count: int, summed: bool = False, narrow: Collection[str] = ()) -> None:
        self.axis, self.summed, self.narrow = loop.axis, summed, narrow
        self.copies = tuple([Axis(f"{loop.axis.name}_row{k}", loop.axis.size, loop.axis.parts) for k in range(count)])
        self.varying: set[str] = set()  # values and accumulators that each row has for itself
        self.find_varying(loop.body)

    def find_varying(self, body: tuple[Any, ...]) -> None:
        for s in body:
            match s:
                case Loop():
                    self.find_varying(s.body)
                case Init() | Combine() if not self.summed:
                    self.varying.add(s.acc)
                case Get() if not self.summed:
                    self.varying.add(s.name)
                case Load() if self.axis in s.index:
                    self.varying.add(s.name)
                case Position() if self.axis in s.axes:
                    self.varying.add(s.name)
                case Compute() if self.varying.intersection(s.args):
                    self.varying.add(s.name)

    def varies(self, s: Any) -> bool:
        """Whether each row has this statement for itself."""
        own = getattr(s, "name", None)
        if own is not None:
            return own in self.varying
        return not isinstance(s, Loop) or bool(self.varying.intersection(uses(s)))

    def name(self, name: str, k: int) -> str:
        return f"{name}_row{k}" if name in self.varying else name

    def copy(self, s: Any, k: int) -> Any:
        """The statement for the row numbered ``k``."""
        changes: dict[str, Any] = {}
        if hasattr(s, "name"):
            changes["name"] = self.name(s.name, k)
        if isinstance(s, (Init, Combine)):
            changes["acc"] = self.name(s.acc, k)
        if isinstance(s, (Combine, Put, Store, Update)):
            changes["value"] = self.name(s.value, k)
        if isinstance(s, Compute):
            changes["args"] = tuple([self.name(a, k) for a in s.args])
        if isinstance(s, (Load, Store, Update)):
            changes["index"] = tuple([self.copies[k] if i == self.axis else i for i in s.index])
        if isinstance(s, Position):
            changes["axes"] = tuple([self.copies[k] if a == self.axis else a for a in s.axes])
        return replace(s, **changes)

    def together(self, loop: Loop) -> Loop:
        """The loop along a row for all rows at once."""
        body: list[Any] = []
        for s in loop.body:
            if isinstance(s, (Combine, Update)) and self.is_narrow(s):
                body.extend(self.in_pairs(s))
            else:
                body.extend([self.copy(s, k) for k in range(len(self.copies))] if self.varies(s) else [s])
        return replace(loop, body=tuple(body))

    def is_narrow(self, s: Combine | Update) -> bool:
        kept = s.acc if isinstance(s, Combine) else s.buffer
        return kept in self.narrow and s.value_dtype == "float32" and s.value in self.varying

    def in_pairs(self, s: Combine | Update) -> list[Any]:
        """One step of a sum with what all rows add to it, put together in as few roundings as there can be."""
        kept = s.acc if isinstance(s, Combine) else s.buffer
        found: list[Any] = []
        names = [self.name(s.value, k) for k in range(len(self.copies))]
        while len(names) > 1:
            pairs = list(zip(names[::2], names[1::2], strict=True))
            names = [f"{kept}_{s.value}_{len(names)}_{k}" for k in range(len(pairs))]
            for name, pair in zip(names, pairs, strict=True):
                found.append(Compute(name, "float32", OPS["add"], pair, ("float32",) * 2, ("float32",) * 2))
        return [*found, replace(s, value=names[0])]
