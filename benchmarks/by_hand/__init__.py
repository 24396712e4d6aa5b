"""Kernels written by hand in Numba, one maker for each workload that has a limit to be compared with.

``KERNELS[workload](inputs)`` compiles for the types of the inputs and returns a function of their values. What a person
who knows the machine would do: one pass over memory where there can be one, outputs that are used again from call to
call, rows and blocks that stay in cache, straight-line functions that LLVM widens (``mathematics``), threads where the
work is worth them. Shorter than fuse could afford: domains are those of the workloads, sums are reordered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.by_hand import learning, normalise, pointwise, reduce

__all__ = ["KERNELS"]

KERNELS: dict[str, Callable[..., Any]] = {
    **pointwise.KERNELS,
    **normalise.KERNELS,
    **reduce.KERNELS,
    **learning.KERNELS,
}
