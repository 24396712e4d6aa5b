"""Numba by hand: the loop that a person writes for the workload, given under the key "numba"."""

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
    """Return the workload's own kernel; ``by_hand["numba"](inputs)`` makes it."""
    if "numba" not in workload.by_hand:
        raise Unsupported
    return Program(workload.by_hand["numba"](inputs), tuple(inputs.values()), _arrays)


def environment(folder: Path) -> dict[str, str]:
    """Keep what Numba caches in ``folder``."""
    return {"NUMBA_CACHE_DIR": str(folder / "numba")}


def _arrays(output: Any) -> list[np.ndarray]:
    return [np.asarray(value) for value in (output if isinstance(output, tuple) else (output,))]
