"""The workloads: a table of records by name, and the programs that are timed from their first line to their answer."""

from __future__ import annotations

from benchmarks.records import Workload
from benchmarks.workloads import (
    calls,
    elementwise,
    finance,
    images,
    layouts,
    learning,
    long,
    loops,
    models,
    ocean,
    recursions,
    rows,
    sums,
)

__all__ = ["FIRST_ANSWERS", "MEMORY", "WORKLOADS"]

_MODULES = (elementwise, calls, finance, rows, sums, learning, images, long, loops, recursions, ocean, models, layouts)

WORKLOADS: dict[str, Workload] = {workload.name: workload for module in _MODULES for workload in module.WORKLOADS}

FIRST_ANSWERS: dict[str, tuple[str, str]] = {  # name: workload and size
    "x + y": ("call/x+y", "float"),
    "logistic gradient": ("learn/logistic gradient", "b600"),
    "network step": ("learn/network step", "b60"),
    "200 operations": ("long/200 operations", "1000"),
    "greeks": ("black-scholes/greeks", "1e4"),
    "200 with gradient": ("long/200 with gradient", "1000"),
    "2000 with gradient": ("long/2000 with gradient", "1000"),
}

MEMORY: tuple[tuple[str, str, str], ...] = (  # workload, the size whose memory counts as none, the size measured
    ("elementwise/gauss", "10", "1e7"),
    ("black-scholes/greeks", "1", "1e6"),
    ("rows/softmax", "1000x10", "10000x1000"),
    ("rows/layer_norm gradient", "1000x10", "10000x1000"),
)
