"""Other layouts and other types: Fortran order, transposes, small matrices inside arrays, whole numbers, mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]


def _planes(rng: np.random.Generator, rows: int, columns: int, orders: str) -> Data:
    values = {name: rng.standard_normal((rows, columns)) for name in "xy"}
    return {
        name: np.asfortranarray(values[name]) if o == "F" else values[name]
        for name, o in zip("xy", orders, strict=True)
    }


def _cube(rng: np.random.Generator, shape: tuple[int, int, int]) -> Data:
    return {"x": rng.standard_normal(shape), "y": rng.standard_normal((shape[2], shape[0], shape[1]))}


def _determinant(m: Any, a: Any) -> Any:
    """Return determinants and traces of squares of 3 × 3 matrices that stand in the last two axes."""
    e = [[a[:, i, j] for j in range(3)] for i in range(3)]
    first = e[0][0] * (e[1][1] * e[2][2] - e[1][2] * e[2][1])
    second = e[0][1] * (e[1][0] * e[2][2] - e[1][2] * e[2][0])
    third = e[0][2] * (e[1][0] * e[2][1] - e[1][1] * e[2][0])
    return first - second + third, sum(e[i][j] * e[j][i] for i in range(3) for j in range(3))


def _mixed(rng: np.random.Generator, n: int) -> Data:
    return {"x": rng.standard_normal(n), "k": rng.integers(0, 10, n, np.int32), "f": rng.random(n) < 0.3}


def _whole(rng: np.random.Generator, n: int) -> Data:
    return {name: rng.integers(-1000, 1000, n) for name in "ij"}


_PLANES = {"rows": 2000, "columns": 1000}

WORKLOADS = (
    Workload(
        name="layout/x*y+1",
        sizes={
            "Fortran both": {**_PLANES, "orders": "FF"},
            "Fortran and C": {**_PLANES, "orders": "FC"},
        },
        quick=(),
        data=_planes,
        formula=lambda m, x, y: x * y + 1,
    ),
    Workload(
        name="layout/softmax of Fortran",
        sizes={"2000x1000": {**_PLANES, "orders": "FC"}},
        quick=(),
        data=_planes,
        formula=lambda m, x, y: m.softmax(x, axis=1) * y,
    ),
    Workload(
        name="layout/exp(x.T)+y",
        sizes={"1000x1000": {"rows": 1000, "columns": 1000, "orders": "CC"}},
        quick=(),
        data=_planes,
        formula=lambda m, x, y: m.exp(x.T) + y,
    ),
    Workload(
        name="layout/sum(x.T+y)",
        sizes={"1000x1000": {"rows": 1000, "columns": 1000, "orders": "CC"}},
        quick=(),
        data=_planes,
        formula=lambda m, x, y: m.sum(x.T + y, axis=1),
    ),
    Workload(
        name="layout/transposed cube",
        sizes={"100x120x80": {"shape": (100, 120, 80)}},
        quick=(),
        data=_cube,
        formula=lambda m, x, y: m.transpose(x, (2, 0, 1)) * y,
    ),
    Workload(
        name="layout/3x3 matrices",
        sizes={"100000": {"n": 100_000}, "100": {"n": 100}},
        quick=(),
        data=lambda rng, n: {"a": rng.standard_normal((n, 3, 3))},
        formula=_determinant,
    ),
    Workload(
        name="types/mixed",
        sizes={"1e6": {"n": 10**6}, "1000": {"n": 1000}},
        quick=(),
        data=_mixed,
        formula=lambda m, x, k, f: m.where(f, x * k, x + k),
    ),
    Workload(
        name="types/whole numbers",
        sizes={"1e6": {"n": 10**6}, "1000": {"n": 1000}},
        quick=(),
        data=_whole,
        formula=lambda m, i, j: (i * 3 + j) % 7 + i * j,
    ),
)
