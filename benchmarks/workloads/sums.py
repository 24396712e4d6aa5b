"""Reductions that leave little: logsumexp, variance and sums of squares along an axis, sums of everything."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload
from benchmarks.workloads.rows import SHAPES, matrices

__all__ = ["WORKLOADS"]


def _logsumexp(m: Any, x: Any, axis: int) -> Any:
    return m.logsumexp(x, axis=axis)


def _variance(m: Any, x: Any, axis: int) -> Any:
    return m.var(x, axis=axis)


def _squares(m: Any, x: Any, axis: int) -> Any:
    return m.sum(x**2, axis=axis)


def _exp(m: Any, x: Any, axis: int) -> Any:
    return m.sum(m.exp(x), axis=axis)


def _product(m: Any, x: Any, y: Any, axis: int) -> Any:
    return m.sum(x * y, axis=axis)


def _cube(rng: np.random.Generator, shape: tuple[int, int, int]) -> Data:
    return {"x": rng.standard_normal(shape)}


_ALONG = (  # name, matrices, formula, sizes of a quick run
    ("logsumexp", "x", _logsumexp, ""),
    ("variance", "x", _variance, ""),
    ("sum x²", "x", _squares, ""),
    ("sum exp(x)", "x", _exp, ""),
    ("sum x*y", "xy", _product, ""),
)

WORKLOADS = (
    *(
        Workload(
            name=f"{along}/{name}",
            sizes=SHAPES,
            quick=tuple(quick.split()) if axis == 0 else (),
            data=matrices(names),
            formula=partial(formula, axis=axis),
        )
        for axis, along in ((1, "rows"), (0, "columns"))
        for name, names, formula, quick in _ALONG
    ),
    *(
        Workload(
            name=f"all/{name}",
            sizes=SHAPES,
            quick=(),
            data=matrices(names),
            formula=partial(formula, axis=None),
        )
        for name, names, formula, _ in _ALONG[2:]
    ),
    Workload(
        name="middle/sum",
        sizes={"64x128x1000": {"shape": (64, 128, 1000)}, "5000x300x5": {"shape": (5000, 300, 5)}},
        quick=(),
        data=_cube,
        formula=lambda m, x: m.sum(x, axis=1),
    ),
    Workload(
        name="middle/softmax",
        sizes={"64x128x1000": {"shape": (64, 128, 1000)}, "5000x300x5": {"shape": (5000, 300, 5)}},
        quick=(),
        data=_cube,
        formula=lambda m, x: m.softmax(x, axis=1),
    ),
)
