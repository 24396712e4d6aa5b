"""The workloads: a table of records by name, and the programs whose first answer is timed in a fresh process."""

from __future__ import annotations

from benchmarks.records import Workload
from benchmarks.workloads import calls, elementwise, learning, rows

__all__ = ["FIRST_ANSWERS", "WORKLOADS"]

WORKLOADS: dict[str, Workload] = {
    workload.name: workload for module in (calls, elementwise, rows, learning) for workload in module.WORKLOADS
}

FIRST_ANSWERS: dict[str, tuple[str, str]] = {  # name: workload and size
    "first/x+y": ("call/x+y", "float"),
    "first/logistic gradient": ("learn/logistic_gradient", "400x784"),
    "first/network step": ("learn/network_step", "b60"),
}
