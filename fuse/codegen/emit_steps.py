"""Loops over arrays that are walked backwards or in twos, as source text: LLVM makes vectors of steps that it knows."""

from __future__ import annotations

from collections.abc import Callable

from fuse.codegen.emit import Emitter
from fuse.codegen.kernel import Axis, Kernel, Load, Loop, Put, Store

MOST = 12  # statements of a body that is written out for several steps


class StepEmitter(Emitter):
    """Innermost loops once for each step that is common, and once for any; asked for at run time."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.known_steps: dict[tuple[str, int], int] = {}

    def step(self, buffer: str, dimension: int) -> str:
        known = self.known_steps.get((buffer, dimension))
        return super().step(buffer, dimension) if known is None else f"({known})"

    def with_steps(self, s: Loop, write: Callable[[], None]) -> None:
        """The innermost loop ``s``, as ``write`` writes it, for its accesses in known steps and for any."""
        places = {self.walked(c, s.axis) for c in s.body if isinstance(c, (Load, Store))}
        walked = sorted([p for p in places if p is not None])
        if not walked or self.known_steps or len(s.body) > MOST:
            write()
            return
        copies = all(isinstance(c, (Load, Put)) for c in s.body)
        depth = self.depth
        for step in (-1, 2) if copies else (-1,):
            self.line("if " + " and ".join(f"stride({b}, {d}) == {step}" for b, d in walked) + ":")
            self.depth += 1
            self.known_steps = dict.fromkeys(walked, step)
            write()
            self.known_steps = {}
            self.depth -= 1
            self.line("else:")
            self.depth += 1
        write()
        self.depth = depth

    def walked(self, s: Load | Store, axis: Axis) -> tuple[str, int] | None:
        """The (buffer, dimension) that an access walks along ``axis`` in steps of a number known at run time alone."""
        layout = self.buffers[s.buffer].layout
        dimension = 0
        for entry in s.index:
            if entry == axis:
                return None if layout == "C" or int(layout[1:]) == dimension else (s.buffer, dimension)
            dimension += entry.width if isinstance(entry, Axis) else 1
        return None
