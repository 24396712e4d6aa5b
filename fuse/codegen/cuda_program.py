"""DeviceProgram: a function whose arrays live on a GPU: planned as for the CPU, run as launches and library calls.

The wrapper is Python text again, over device arrays: sizes and guards, then the units of the plan in order, then the
updates. Shared variables stay on the device; results are copied to the host when they are returned, or stay where
inputs were on the device already. What has no form for GPUs runs on the host and is counted as such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse import rules
from fuse.codegen import device, load
from fuse.codegen.assume import asked_sizes, assume_idioms, assume_rows, with_sure_sizes
from fuse.codegen.cuda_array import DeviceArray, all_to_host, is_on_device
from fuse.codegen.cuda_launch import DeviceRegion, Empty, Misfit
from fuse.codegen.cuda_loops import NoSteps
from fuse.codegen.cuda_replay import replays
from fuse.codegen.cuda_wrapper import DeviceWriter, Refused
from fuse.codegen.expand import expand, settle
from fuse.codegen.planning import check_inputs
from fuse.codegen.program import Program
from fuse.codegen.written import without_detours
from fuse.errors import FuseError
from fuse.expr import Expr
from fuse.forks import cached_property
from fuse.looping.tidy import tidied
from fuse.rules.inlining import without_identities

Array = Any


class DeviceProgram:
    """A compiled function on a GPU: ``program(*values)`` gives a list of arrays and stores the updates."""

    def __init__(
        self,
        inputs: Sequence[Expr],
        outputs: Sequence[Expr],
        updates: Sequence[tuple[Any, Expr]] = (),
        mode: str = "default",
        overwrites: Sequence[int] = (),
    ) -> None:
        self.on = device.current()
        self.inputs, self.outputs, self.updates = tuple(inputs), tuple(outputs), tuple(updates)
        self.mode = mode
        results = with_sure_sizes([*self.outputs, *[value for _, value in self.updates]])
        chosen, assumed = assume_idioms(results)
        self.trace: list[Any] = []
        results = tidied(rules.optimize(without_identities(chosen), mode=mode, trace=self.trace), mode)
        results, more = assume_rows(results)
        self.results, self.sizes = settle(without_detours(expand(results)), [*assumed, *more, *asked_sizes(chosen)])
        check_inputs(self.results, self.inputs)
        load.count("planned")
        writer = DeviceWriter(self)
        self.plan, self.wrapper_source, self.scope = writer.plan, writer.text, writer.scope
        self.regions: list[DeviceRegion] = writer.regions
        self.steps, self.loops = writer.steps, writer.loops
        self.made: Callable[[Any, str], object] = lambda other, why: None  # told of programs made for some calls
        exec(compile(self.wrapper_source, "<fuse device wrapper>", "exec"), self.scope)
        self._run: Callable[..., list[Any]] = self.scope["program"]
        self.replays = replays(self, writer)

    @cached_property
    def on_host(self) -> Program:
        """The same function on the CPU, for calls that need sizes of 1 to broadcast and for errors to be told."""
        found = Program(self.inputs, self.outputs, self.updates, self.mode)
        self.made(found, "on the CPU")
        return found

    def __call__(self, *values: Any) -> list[Any]:
        given = list(values)
        if self.replays is not None and (known := self.replays(given)) is not None:
            return known
        stays = any(map(is_on_device, given))
        found = self.launched(given)
        return found if stays else self.fetched(found)

    def fetched(self, results: Sequence[Any]) -> list[Any]:
        """Results as arrays of the host."""
        return all_to_host(results)

    def watched(self, steps: list[Any], note: str) -> None:
        """Time the steps from now on, for a profile."""
        from fuse.codegen.cuda_watching import watch_device

        self.replays = None
        watch_device(self, steps, note)

    def launched(self, values: Sequence[Any]) -> list[Any]:
        """The results, where they are."""
        try:
            return self._run(*values)
        except (Refused, Empty, Misfit, NoSteps, ValueError, IndexError, OverflowError) as error:
            if isinstance(error, FuseError):
                raise
            self.on.counts["calls on the host"] += 1
            hosted = [np.asarray(v) if is_on_device(v) else v for v in values]
            return self.on_host(*hosted)

    def into(self, values: Sequence[Any], outs: Sequence[Array | None]) -> list[Array]:
        """The results, copied from the device into the arrays given for them, where those are contiguous."""
        found = self.launched(values)
        return [a.get(out) if isinstance(a, DeviceArray) else a for a, out in zip(found, outs, strict=True)]

    def __reduce__(self) -> Any:
        return DeviceProgram, (self.inputs, self.outputs, self.updates, self.mode)

    def free(self) -> None:
        """Give the device memory that no array uses back to the driver."""
        if self.replays is not None:
            self.replays.forget()
        self.on.drop()

    # ------------------------------------------------------------ views for people
    @property
    def kernels(self) -> tuple[Any, ...]:
        """The Kernel of each fused region, for contiguous arrays."""
        return tuple([r.default for r in self.regions])

    @property
    def source(self) -> str:
        """The generated Python: kernels (for contiguous arrays, and each other layout met), then the wrapper."""
        parts = []
        for number, region in enumerate(self.regions):
            for layouts, (launches, _) in region.variants.items():
                note = "" if set(layouts) <= {"C"} else f" (layouts {', '.join(layouts)})"
                texts = "\n\n".join([s.text for s in launches.sources])
                parts.append(f"# kernel {number}{note}\n{texts}")
        parts += [f"# loop, {loop.described}\n{loop.text.text}" for loop in self.loops]
        return "\n".join([*parts, "# wrapper", self.wrapper_source])

    def explain(self) -> str:
        """What runs on the device, what on the host and why, and the launches of each kernel."""
        lines = [f"device: {self.on.name}"]
        for kind, what in self.steps:
            lines.append(f"{kind}: {what}")
        for number, region in enumerate(self.regions):
            launches, _ = region.launches(("C",) * len(region.bases))
            lines.append(f"\nkernel {number}: {len(launches.sources)} launches\n{region.default}")
            for k, source in enumerate(launches.sources):
                lines.append(f"  launch {k}: {describe(source.part)}")
            for k, source in enumerate(launches.chunked):
                lines.append(f"  with few long rows, launch {k}: {describe(source.part)}")
            if launches.far is not None:
                lines.append("  with many long rows: launches that compute again what these keep for a row")
            if launches.whole is not None:
                lines.append("  with little work: one launch of one block, which does these one after the other")
        return "\n".join(lines)


def describe(part: Any) -> str:
    """How threads share a launch, in words."""
    if part.alone and part.ordered:
        return "one thread: its iterations need each other's results"
    if part.ordered:
        return f"all threads over {', '.join(a.name for a in part.lanes)}, each meeting the indices in order"
    if part.is_flat:
        return f"all threads over {', '.join(a.name for a in part.lanes)}" if part.lanes else "one block"
    over = ", ".join(a.name for a in part.groups)
    lanes = ", ".join(a.name for a in part.lanes)
    how = "one thread each" if part.alone else f"a group of threads each over {lanes}"
    side = ", neighbours side by side" if part.spread else ""
    met = f"; {', '.join(part.copied)} in copies, added up in order" if part.copied else ""
    cut = ", in chunks" if part.chunked else ""
    return f"points of ({over}), {how}{cut}{side}{met}"
