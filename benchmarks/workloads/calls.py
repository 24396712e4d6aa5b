"""The cost of a call: so little arithmetic that everything around it is what is timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]


def _data(names: str, kind: str) -> Data:
    values = [1.5, 2.5, -0.5, 3.0][: len(names)]
    makers: dict[str, Callable[[float], Any]] = {
        "float": float,
        "0d": np.array,
        "n3": lambda value: np.linspace(value, value + 1, 3),
    }
    return {name: makers[kind](value) for name, value in zip(names, values, strict=True)}


_SIZES = {kind: {"kind": kind} for kind in ("float", "0d", "n3")}

WORKLOADS = (
    Workload(
        name="call/x+y",
        sizes=_SIZES,
        quick=("n3",),
        data=lambda rng, kind: _data("xy", kind),
        formula=lambda m, x, y: x + y,
        pointwise=True,
    ),
    Workload(
        name="call/(x+y)*x",
        sizes=_SIZES,
        quick=(),
        data=lambda rng, kind: _data("xy", kind),
        formula=lambda m, x, y: (x + y) * x,
        pointwise=True,
    ),
    Workload(
        name="call/4in3out",
        sizes=_SIZES,
        quick=("n3",),
        data=lambda rng, kind: _data("abcd", kind),
        formula=lambda m, a, b, c, d: (a + b, c * d - a, (a - d) * b),
        pointwise=True,
    ),
)
