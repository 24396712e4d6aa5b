"""Kernels written by hand in Numba, one maker for each workload that has a limit to be compared with.

``KERNELS[workload](inputs)`` compiles for the types of the inputs and returns a function of their values. What a person
who knows the machine would do: one pass over memory where there can be one, outputs that are used again from call to
call, rows and blocks that stay in cache, straight-line functions that LLVM widens (``mathematics``), threads where the
work is worth them. Shorter than fuse could afford: domains are those of the workloads, sums are reordered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.by_hand import columns, learning, loops, normalise, pointwise, recursions, reduce

__all__ = ["KERNELS"]


def _by_shape(name: str, stripes: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel by whole rows where there is one and the array is tall, else the one that ``stripes`` makes."""
    tall = columns.KERNELS.get(name)
    return stripes if tall is None else lambda inputs: (tall if columns.is_tall(inputs["x"]) else stripes)(inputs)


KERNELS: dict[str, Callable[..., Any]] = {
    **pointwise.KERNELS,
    **columns.KERNELS,
    **{name: _by_shape(name, kernel) for name, kernel in (normalise.KERNELS | reduce.KERNELS).items()},
    **learning.KERNELS,
    **loops.KERNELS,
    **recursions.KERNELS,
}
