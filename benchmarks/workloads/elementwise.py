"""Elementwise formulas over vectors: those of the Theano paper (Bergstra et al. 2010), functions, and bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS", "sizes", "vectors"]

Sizes = Mapping[str, Mapping[str, Any]]


def sizes(labels: str) -> Sizes:
    """Return the sizes of these labels, each in float64 and, with «f4» behind it, in float32.

    >>> sizes("1e4")
    {'1e4': {'n': 10000}, '1e4 f4': {'n': 10000, 'dtype': 'float32'}}
    """
    double: dict[str, dict[str, Any]] = {label: {"n": int(float(label))} for label in labels.split()}
    return double | {f"{label} f4": {**size, "dtype": "float32"} for label, size in double.items()}


def vectors(low: float = 0.5, high: float = 1.5, **others: tuple[float, float]) -> Callable[..., Data]:
    """Return a ``data`` of vectors with uniform values: ``a`` between ``low`` and ``high``, ``others`` in theirs."""

    def data(rng: np.random.Generator, n: int, dtype: str = "float64") -> Data:
        ranges = {"a": (low, high)} | others
        return {name: rng.uniform(*between, n).astype(dtype) for name, between in ranges.items()}

    return data


_ONE, _TWO = vectors(), vectors(b=(0.5, 1.5))

_FORMULAS = (  # name, data, formula, sizes of a quick run
    ("a+1", _ONE, lambda m, a: a + 1, ""),
    ("2a+3b", _TWO, lambda m, a, b: 2 * a + 3 * b, "1e7"),
    ("a²+b²+2ab", _TWO, lambda m, a, b: a**2 + b**2 + 2 * a * b, ""),
    ("2a+b¹⁰", _TWO, lambda m, a, b: 2 * a + b**10, ""),
    ("gauss", vectors(-1, 1, b=(-0.5, 0.5), c=(0.5, 2)), lambda m, a, b, c: m.exp(-(((a - b) / c) ** 2) / 2) / c, ""),
    ("three results", _TWO, lambda m, a, b: ((a + b) * a, (a + b) * b, (a + b) ** 2), ""),
    ("sqrt(a)/b", _TWO, lambda m, a, b: m.sqrt(a) / b, ""),
)

_FUNCTIONS = (
    ("exp", vectors(-10, 10), lambda m, a: m.exp(a), "1e7"),
    ("log", vectors(1e-3, 1e3), lambda m, a: m.log(a), ""),
    ("tanh", vectors(-4, 4), lambda m, a: m.tanh(a), ""),
    ("sin", vectors(-10, 10), lambda m, a: m.sin(a), ""),
    ("erf", vectors(-3, 3), lambda m, a: m.erf(a), ""),
    ("pow", vectors(0.1, 10, b=(-3, 3)), lambda m, a, b: a**b, ""),
    ("sigmoid", vectors(-10, 10), lambda m, a: m.sigmoid(a), ""),
    ("log1p(exp)", vectors(-10, 10), lambda m, a: m.log1p(m.exp(a)), ""),
)

_STREAM = (  # McCalpin's, and reading alone
    ("copy", _ONE, lambda m, a: a),
    ("triad", _TWO, lambda m, a, b: a + 3 * b),
    ("read", _ONE, lambda m, a: m.sum(a)),
)

WORKLOADS = (
    *(
        Workload(f"stream/{name}", {"1e7": {"n": 10**7}}, ("1e7",), data, formula, peers=("numba",))
        for name, data, formula in _STREAM
    ),
    *(
        Workload(f"elementwise/{name}", sizes("1 10 1e4 1e7"), tuple(quick.split()), data, formula, pointwise=True)
        for name, data, formula, quick in _FORMULAS
    ),
    *(
        Workload(f"function/{name}", sizes("1e4 1e7"), tuple(quick.split()), data, formula, pointwise=True)
        for name, data, formula, quick in _FUNCTIONS
    ),
)
