"""numexpr: expressions parsed once, then called; workloads give them under the key "numexpr"."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.records import Data, Program, Workload


def load() -> str:
    """Import numexpr and return its version."""
    import numexpr

    return str(numexpr.__version__)


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload's text as a compiled numexpr expression."""
    if "numexpr" not in workload.by_hand:
        raise Unsupported
    import numexpr

    signature = [(name, numexpr.necompiler.getType(np.asarray(value))) for name, value in inputs.items()]
    compiled = numexpr.NumExpr(workload.by_hand["numexpr"], signature)
    return Program(compiled, tuple(inputs.values()), lambda output: [np.asarray(output)])


def environment(folder: Path) -> dict[str, str]:
    """numexpr keeps nothing on disk."""
    return {}
