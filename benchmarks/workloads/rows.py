"""Normalisations of rows and of columns, and their gradients: statistics along an axis, then every element again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["SHAPES", "WORKLOADS", "matrices"]

_DOUBLE: dict[str, dict[str, Any]] = {
    "10000x1000": {"rows": 10_000, "columns": 1_000},
    "1000x10": {"rows": 1_000, "columns": 10},
    "10x1000000": {"rows": 10, "columns": 1_000_000},
}
SHAPES: Mapping[str, Mapping[str, Any]] = _DOUBLE | {
    f"{label} f4": {**shape, "dtype": "float32"} for label, shape in _DOUBLE.items()
}


def matrices(names: str) -> Callable[..., Data]:
    """Return a ``data`` of normally distributed matrices of these names."""

    def data(rng: np.random.Generator, rows: int, columns: int, dtype: str = "float64") -> Data:
        return {name: rng.standard_normal((rows, columns)).astype(dtype) for name in names}

    return data


def _layer_norm(m: Any, x: Any, axis: int = 1) -> Any:
    centred = x - m.mean(x, axis=axis, keepdims=True)
    return centred / m.sqrt(m.mean(centred * centred, axis=axis, keepdims=True) + 1e-5)


def _softmax(m: Any, x: Any, axis: int) -> Any:
    return m.softmax(x, axis=axis)


def _log_softmax(m: Any, x: Any, axis: int) -> Any:
    return m.log_softmax(x, axis=axis)


def _softmax_gradient(x: Any, w: Any, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    weighted = p * w
    return weighted.sum(), weighted - p * weighted.sum(axis=axis, keepdims=True)


def _log_softmax_gradient(x: Any, w: Any, axis: int) -> Any:
    z = x - x.max(axis=axis, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=axis, keepdims=True)
    return ((z - np.log(total)) * w).sum(), w - e / total * w.sum(axis=axis, keepdims=True)


def _layer_norm_gradient(x: Any, w: Any, axis: int) -> Any:
    centred = x - x.mean(axis=axis, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(axis=axis, keepdims=True) + x.dtype.type(1e-5))
    y = centred * scale
    slope = w - w.mean(axis=axis, keepdims=True) - y * (w * y).mean(axis=axis, keepdims=True)
    return (y * w).sum(), slope * scale


_NORMALISATIONS = (  # name, formula, gradient of the sum of the weighted values, sizes of a quick run
    ("softmax", _softmax, _softmax_gradient, "10000x1000"),
    ("log_softmax", _log_softmax, _log_softmax_gradient, ""),
    ("layer_norm", _layer_norm, _layer_norm_gradient, ""),
)


def _weighted(formula: Callable[..., Any], axis: int, m: Any, x: Any, w: Any) -> Any:
    return m.sum(formula(m, x, axis=axis) * w)


WORKLOADS = tuple(
    workload
    for axis, along in ((1, "rows"), (0, "columns"))
    for name, formula, gradient, quick in _NORMALISATIONS
    for workload in (
        Workload(
            name=f"{along}/{name}",
            sizes=SHAPES,
            quick=tuple(quick.split()) if axis else (),
            data=matrices("x"),
            formula=partial(formula, axis=axis),
        ),
        Workload(
            name=f"{along}/{name} gradient",
            sizes=SHAPES,
            quick=("1000x10",) if axis and name == "layer_norm" else (),
            data=matrices("xw"),
            formula=partial(_weighted, formula, axis),
            reference=partial(gradient, axis=axis),
            wrt=("x",),
        ),
    )
)
