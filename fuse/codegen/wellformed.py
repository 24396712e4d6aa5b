"""Whether a kernel is well formed: names are defined before use, indices in scope, and threads share what they may."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Combine,
    Compute,
    Get,
    Init,
    Kernel,
    Load,
    Loop,
    Position,
    Put,
    Store,
    Update,
    index_width,
    uses,
    walk,
)


def conflict(loop: Loop, private: Collection[str]) -> str:
    """Why iterations of ``loop`` cannot run in any order and at once, but for its split's accumulators; or nothing.

    ``private`` names memory that each thread has for itself.
    """
    own = {i.acc for i in loop.split.accs} if loop.split else set()
    own |= {s.acc for s in walk(loop.body) if isinstance(s, Init)}
    sums = set(loop.split.sums) if loop.split else set()
    summed = {s.buffer for s in sums}
    places: dict[str, set[tuple[int, ...]]] = {}
    for s in walk(loop.body):
        match s:
            case Combine() if s.acc not in own:
                return f"iterations meet in {s.acc}"
            case Load() | Store() | Update() if s.buffer in summed:
                if s not in sums:
                    return f"{s.buffer} is summed in blocks, and more than that"
            case Store() | Update() if s.buffer not in private:
                where = tuple([k for k, i in enumerate(s.index) if i == loop.axis])
                if not where:
                    return f"iterations meet in {s.buffer}"
                places.setdefault(s.buffer, set()).add(where)
    for s in walk(loop.body):
        if isinstance(s, (Load, Store, Update)) and s.buffer in places:
            where = tuple([k for k, i in enumerate(s.index) if i == loop.axis])
            if {where} != places[s.buffer]:
                return f"an iteration may reach what another one stores in {s.buffer}"
    return ""


def check(kernel: Kernel) -> Kernel:
    """``kernel`` itself if it is well formed: names defined before use and inside their loop, indices in scope."""
    _Check(kernel).body(kernel.body, frozenset(), frozenset())
    return kernel


class _Check:
    """What is known of a kernel's names while its statements are looked at, in order."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.locals = {x.name for x in kernel.locals}
        self.private = {x.name for x in kernel.locals if not x.row}
        widths = {x.name: index_width(x.axes) for x in kernel.locals if not x.row}
        self.ranks = {b.name: b.ndim for b in kernel.buffers} | widths
        self.scalars = {s.name for s in kernel.scalars}
        self.bounded: set[str] = set()  # values, and rows of values, that are checked indices
        self.accs: set[str] = set()

    def fail(self, statement: Any, why: str) -> None:
        from fuse.codegen.listing import text_of

        raise AssertionError(f"malformed kernel: {why} in {text_of(statement)!r}\n{self.kernel}")

    def body(self, body: tuple[Any, ...], axes: frozenset[Axis], outer: frozenset[str]) -> None:
        """Statements inside loops over ``axes``, which see the names ``outer`` and those defined before them."""
        names = set(outer)
        for s in body:
            if isinstance(s, Loop):
                self.loop(s, axes)
                self.body(s.body, axes if s.kind == "block" else axes | {s.axis}, frozenset(names))
                continue
            self.statement(s, axes)
            for name in uses(s):
                if name not in names and name not in self.accs and name not in self.scalars:
                    self.fail(s, f"{name} is used before it is defined")
            if hasattr(s, "name"):
                names.add(s.name)

    def loop(self, s: Loop, axes: frozenset[Axis]) -> None:
        if s.axis in axes:
            self.fail(s, "the axis is looped over twice")
        if s.split is not None:
            why = "inside another loop" if axes else conflict(s, self.private)
            if why:
                self.fail(s, f"a loop shared among threads: {why}")
            self.accs.update(i.acc for i in s.split.accs)

    def statement(self, s: Any, axes: frozenset[Axis]) -> None:
        match s:
            case Load() | Store() | Update():
                self.element(s, axes)
            case Bounded():
                self.bounded.add(s.name)
            case Compute():
                if len(s.args) != len(s.signature) or len(s.args) != len(s.arg_dtypes):
                    self.fail(s, "arity")
            case Position():
                if not set(s.axes) <= axes:
                    self.fail(s, "axis not in scope")
            case Init():
                self.accs.add(s.acc)
            case Combine():
                if s.acc not in self.accs:
                    self.fail(s, "accumulator without identity")
            case Get() | Put():
                source, target = (s.value, s.local) if isinstance(s, Put) else (s.local, s.name)
                if source in self.bounded:
                    self.bounded.add(target)
                if s.local not in self.locals and s.local not in self.accs:
                    self.fail(s, "unknown local")

    def element(self, s: Load | Store | Update, axes: frozenset[Axis]) -> None:
        if index_width(s.index) != self.ranks.get(s.buffer):
            self.fail(s, "buffer or rank")
        for i in s.index:
            if isinstance(i, Axis) and i not in axes:
                self.fail(s, f"axis {i.name} is not being looped over")
            if isinstance(i, str) and i not in self.bounded and not isinstance(s, Load):
                self.fail(s, f"{i} is not known to be an index")
