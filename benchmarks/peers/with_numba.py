"""Numba by hand: the limit that a person reaches with a kernel written for the workload, its outputs reused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.records import Data, Program, Workload


def load() -> str:
    """Import Numba and return its version."""
    import numba

    return str(numba.__version__)


def build(workload: Workload, inputs: Data) -> Program:
    """Return the kernel that ``benchmarks.by_hand`` has for the workload."""
    from benchmarks.by_hand import KERNELS

    if workload.name not in KERNELS:
        raise Unsupported
    return Program(KERNELS[workload.name](inputs), tuple(inputs.values()), _arrays)


def environment(folder: Path) -> dict[str, str]:
    """Keep what Numba caches in ``folder``."""
    return {"NUMBA_CACHE_DIR": str(folder / "numba")}


def _arrays(output: Any) -> list[np.ndarray]:
    return [np.asarray(value) for value in (output if isinstance(output, tuple) else (output,))]
