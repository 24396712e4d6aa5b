"""Reductions along an axis and what follows them: softmax, log-softmax, layer-norm, the gradient of softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]

_SHAPES: dict[str, dict[str, Any]] = {
    "10000x1000": {"rows": 10_000, "columns": 1_000},
    "1000x10": {"rows": 1_000, "columns": 10},
    "10x1000000": {"rows": 10, "columns": 1_000_000},
}
_SHAPES |= {f"{label} f4": {**shape, "dtype": "float32"} for label, shape in _SHAPES.items()}


def _matrix(rng: np.random.Generator, rows: int, columns: int, dtype: str = "float64") -> Data:
    return {"x": rng.standard_normal((rows, columns)).astype(dtype)}


def _weighted(rng: np.random.Generator, rows: int, columns: int, dtype: str = "float64") -> Data:
    return {name: rng.standard_normal((rows, columns)).astype(dtype) for name in "xw"}


def _layer_norm(m: Any, x: Any) -> Any:
    centred = x - m.mean(x, axis=1, keepdims=True)
    return centred / m.sqrt(m.mean(centred * centred, axis=1, keepdims=True) + 1e-5)


def _softmax_gradient(x: Any, w: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    weighted = p * w
    return weighted.sum(), weighted - p * weighted.sum(axis=1, keepdims=True)


def _softmax_by_hand(inputs: Data) -> Any:
    """Each row stays in the first-level cache through its three loops."""
    import math

    import numba

    x = inputs["x"]
    out = np.empty_like(x)

    def kernel(x: Any, out: Any) -> Any:
        for i in numba.prange(x.shape[0]):
            row, to = x[i], out[i]
            top = row[0]
            for j in range(row.shape[0]):
                top = max(top, row[j])
            for j in range(row.shape[0]):
                to[j] = math.exp(row[j] - top)
            total = to[0] - to[0]
            for j in range(row.shape[0]):
                total += to[j]
            scale = 1 / total
            for j in range(row.shape[0]):
                to[j] *= scale
        return out

    compiled = numba.njit(kernel, parallel=x.size >= 100_000, fastmath={"reassoc", "contract", "nsz"})
    return lambda x: compiled(x, out)


WORKLOADS = (
    Workload(
        name="rows/softmax",
        sizes=_SHAPES,
        quick=("10000x1000", "1000x10"),
        data=_matrix,
        formula=lambda m, x: m.softmax(x, axis=1),
        by_hand={"numba": _softmax_by_hand},
    ),
    Workload(
        name="rows/softmax_axis0",
        sizes=_SHAPES,
        quick=("10000x1000",),
        data=_matrix,
        formula=lambda m, x: m.softmax(x, axis=0),
    ),
    Workload(
        name="rows/log_softmax",
        sizes=_SHAPES,
        quick=(),
        data=_matrix,
        formula=lambda m, x: m.log_softmax(x, axis=1),
    ),
    Workload(
        name="rows/softmax_gradient",
        sizes=_SHAPES,
        quick=("1000x10",),
        data=_weighted,
        formula=lambda m, x, w: m.sum(m.softmax(x, axis=1) * w),
        reference=_softmax_gradient,
        wrt=("x",),
    ),
    Workload(
        name="rows/layer_norm",
        sizes=_SHAPES,
        quick=("1000x10",),
        data=_matrix,
        formula=_layer_norm,
    ),
)
