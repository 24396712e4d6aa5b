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


def _sum(m: Any, x: Any, y: Any) -> Any:
    return x + y


def _sum_by_hand(inputs: Data) -> Any:
    import numba

    return numba.njit(lambda x, y: x + y)


def _three(m: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    return a + b, c * d - a, (a - d) * b


def _three_by_hand(inputs: Data) -> Any:
    import numba

    return numba.njit(lambda a, b, c, d: (a + b, c * d - a, (a - d) * b))


_SIZES = {kind: {"kind": kind} for kind in ("float", "0d", "n3")}

WORKLOADS = (
    Workload(
        name="call/x+y",
        sizes=_SIZES,
        quick=("float", "0d", "n3"),
        data=lambda rng, kind: _data("xy", kind),
        formula=_sum,
        by_hand={"numexpr": "x + y", "numba": _sum_by_hand},
    ),
    Workload(
        name="call/4in3out",
        sizes=_SIZES,
        quick=("float", "n3"),
        data=lambda rng, kind: _data("abcd", kind),
        formula=_three,
        by_hand={"numba": _three_by_hand},
    ),
)
