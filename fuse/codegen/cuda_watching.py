"""Watching a GPU program for profiles: time, launches, transfers and allocations of each of its steps.

A watched step begins and ends with an idle device, so its time is the device's and not only that of its launch; a
function that is watched is slower for that. In the simulator it is the time of the threads in Python.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from fuse.codegen.region import Region
from fuse.codegen.watching import Step, counted, read_around, watch_further
from fuse.errors import origin_text
from fuse.expr import toposort

if TYPE_CHECKING:
    from fuse.codegen.cuda_launch import DeviceRegion
    from fuse.codegen.cuda_program import DeviceProgram

_STEP = re.compile(r"(kernel|call|host|loop|stored|take|resident|constant)\d+")
_SENT = ("take", "resident", "constant")
_KINDS = {"kernel": "kernel", "call": "call", "host": "call", "loop": "loop", "stored": "copy"}


@dataclass
class DeviceStep(Step):
    """What is known of one step of a GPU program, and what it did with the device."""

    counts: Counter[str] = field(default_factory=Counter)
    bandwidth: Callable[[], float | None] = lambda: None

    def further(self) -> dict[str, Any]:
        speed = self.bytes / self.seconds if self.seconds else 0.0
        copying = self.bandwidth() if self.kind == "kernel" else None
        return {
            "launches": self.counts["launches"], "allocations": self.counts["allocations"],
            "bytes_to_device": self.counts["bytes to the device"], "bytes_to_host": self.counts["bytes to the host"],
            "bandwidth_share": speed / copying if copying else None,
        }


def watch_device(program: DeviceProgram, steps: list[Step], note: str) -> None:
    """Time the steps of ``program`` from now on, as further ``steps``, and those of what it calls on the host."""
    scope, on = program.scope, program.on

    def step(kind: str, told: Callable[[], tuple[str, str]]) -> DeviceStep:
        made = DeviceStep(kind, told, bandwidth=lambda: on.bandwidth)
        steps.append(made)
        return made

    sent = step("copy", lambda: (f"inputs, constants and shared variables to the device{note}", ""))
    texts: dict[str, list[str]] = {}
    for kind, text in program.steps:
        texts.setdefault(kind, []).append(text)
    of = {
        "call": iter(texts.get("library call", ())), "host": iter(texts.get("on the host", ())),
        "loop": iter(texts.get("loop", ())),
    }  # fmt: skip
    for name, value in list(scope.items()):
        match = _STEP.fullmatch(name)
        if match is None:
            continue
        word = match.group(1)
        if word in _SENT:
            scope[name] = _sending(on, value, sent)
            continue
        if word == "kernel":
            told: Callable[[], tuple[str, str]] = partial(_kernel, value, name, note)
        else:
            title = {"call": "library call", "host": "on the host", "loop": "loop"}.get(word, "store into a part")
            text = next(of[word], "") if word in of else ""
            told = partial(_said, f"{title}: {text}{note}" if text else f"{title}{note}")
        scope[name] = _timed(on, value, step(_KINDS[word], told))
    fetched = step("copy", lambda: (f"results to the host{note}", ""))
    program.fetched = _timed(on, program.fetched, fetched)  # type: ignore[method-assign]
    program.made = lambda other, why: watch_further(other, steps, f"{note} ({why})")


def _said(text: str) -> tuple[str, str]:
    return text, ""


def _kernel(region: DeviceRegion, name: str, note: str) -> tuple[str, str]:
    found: Region = region.region
    nodes = toposort(found.outputs, known=read_around(found))
    return f"kernel {name[6:]}{note}: {counted(nodes)}", origin_text(found.outputs[-1].origin)


def _timed(on: Any, run: Callable[..., Any], step: DeviceStep) -> Callable[..., Any]:
    """``run`` between two moments when the device is idle."""

    def call(*args: Any) -> Any:
        on.synchronize()
        before, compiling = Counter(on.counts), on.compiling
        start = time.perf_counter()
        found = run(*args)
        on.synchronize()
        seconds = time.perf_counter() - start
        step.inside = on.compiling - compiling
        step.compile_seconds += step.inside
        done = on.counts - before
        step.compiles += done["compiled kernels"]
        step.counts += done
        step.seen(seconds, (*args, found))
        return found

    return call


def _sending(on: Any, run: Callable[..., Any], step: DeviceStep) -> Callable[..., Any]:
    """``run``, of whose arrays only those count that are copied to the device."""

    def call(*args: Any) -> Any:
        before = Counter(on.counts)
        start = time.perf_counter()
        found = run(*args)
        seconds = time.perf_counter() - start
        done = on.counts - before
        if done["bytes to the device"]:
            on.synchronize()
            step.counts += done
            step.seen(seconds, ())
            step.bytes += done["bytes to the device"]
        return found

    return call


__all__ = ["DeviceStep", "watch_device"]
