"""Time of calls on a GPU: batches of them between two events, or between two moments when nothing is left to do.

Events are recorded in the default stream, which fuse, PyTorch and CuPy launch into. JAX has a stream of its own: there
the clock runs until the last result is there. A batch is so long that the difference is far below one percent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from benchmarks.records import Program
from fuse.codegen import device
from fuse.codegen.device_code import numba_cuda

__all__ = ["batch", "calls_of", "interleaved"]


def batch(program: Program, calls: int) -> float:
    """Seconds per call of ``calls`` calls, one after the other."""
    on = device.current()
    on.synchronize()
    return _clocked(program, calls) if program.wait or on.simulated else _between_events(program, calls)


def _clocked(program: Program, calls: int) -> float:
    start = time.perf_counter()
    result: Any = None
    for _ in range(calls):
        result = program.function(*program.arguments)
    if program.wait:
        program.wait(result)
    return (time.perf_counter() - start) / calls


def _between_events(program: Program, calls: int) -> float:
    cuda = numba_cuda()
    start, end = cuda.event(timing=True), cuda.event(timing=True)
    start.record()
    for _ in range(calls):
        program.function(*program.arguments)
    end.record()
    end.synchronize()
    return float(cuda.event_elapsed_time(start, end)) / 1e3 / calls


def calls_of(program: Program, seconds: float) -> int:
    """How many calls take so long; at least one."""
    batch(program, 1)
    each = min(batch(program, 1) for _ in range(3))
    return max(min(int(seconds / max(each, 1e-7)), 10_000), 1)


def interleaved(
    programs: Mapping[str, Program], rounds: int, seconds: float, measure: Callable[..., float] = batch
) -> dict[str, float]:
    """The median seconds per call of each program, whose batches take turns."""
    counts = {name: calls_of(program, seconds) for name, program in programs.items()}
    seen: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            seen[name].append(measure(program, counts[name]))
    return {name: median(times) for name, times in seen.items()}
