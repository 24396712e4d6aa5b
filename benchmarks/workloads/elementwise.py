"""Elementwise formulas over vectors, those of the Theano paper (Bergstra et al. 2010) first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]

_PARALLEL = 100_000  # elements from which a hand-written loop is worth its threads

_SIZES: dict[str, dict[str, Any]] = {
    "1": {"n": 1},
    "10": {"n": 10},
    "1e4": {"n": 10**4},
    "1e7": {"n": 10**7},
    "1e4 f4": {"n": 10**4, "dtype": "float32"},
    "1e7 f4": {"n": 10**7, "dtype": "float32"},
}


def _vectors(names: str) -> Callable[..., Data]:
    def data(rng: np.random.Generator, n: int, dtype: str = "float64") -> Data:
        return {name: rng.uniform(0.5, 1.5, n).astype(dtype) for name in names}

    return data


def _loop(scalar: Callable[..., float]) -> Callable[[Data], Callable[..., np.ndarray]]:
    """Return the maker of a loop that applies ``scalar`` to each element and reuses its output."""

    def make(inputs: Data) -> Callable[..., np.ndarray]:
        import numba

        model = next(iter(inputs.values()))
        out = np.empty_like(model)
        one = numba.njit(scalar)
        kind = model.dtype.type  # float32 stays float32

        def apply1(a: Any, out: Any) -> Any:
            for i in numba.prange(a.shape[0]):
                out[i] = one(a[i], kind)
            return out

        def apply2(a: Any, b: Any, out: Any) -> Any:
            for i in numba.prange(a.shape[0]):
                out[i] = one(a[i], b[i], kind)
            return out

        kernel = numba.njit(apply1 if len(inputs) == 1 else apply2, parallel=model.size >= _PARALLEL)
        return (lambda a: kernel(a, out)) if len(inputs) == 1 else (lambda a, b: kernel(a, b, out))

    return make


def _tenth_power(a: Any, b: Any, kind: Any) -> Any:
    b2 = b * b
    b4 = b2 * b2
    return kind(2) * a + b4 * b4 * b2


def _record(
    name: str, names: str, formula: Callable[..., Any], expression: str, scalar: Callable[..., Any], quick: str
) -> Workload:
    by_hand = {"numexpr": expression, "numba": _loop(scalar)}
    return Workload(f"elementwise/{name}", _SIZES, tuple(quick.split()), _vectors(names), formula, by_hand=by_hand)


WORKLOADS = tuple(
    _record(*row)  # the hand-written scalar takes the type of its constants as its last argument
    for row in (
        ("a+1", "a", lambda m, a: a + 1, "a + 1", lambda a, k: a + k(1), "10 1e4 1e7"),
        (
            *("2a+3b", "ab", lambda m, a, b: 2 * a + 3 * b),
            *("2*a + 3*b", lambda a, b, k: k(2) * a + k(3) * b, "1e4 1e7"),
        ),
        (
            *("a²+b²+2ab", "ab", lambda m, a, b: a**2 + b**2 + 2 * a * b),
            *("a**2 + b**2 + 2*a*b", lambda a, b, k: a * a + b * b + k(2) * a * b, "1e4"),
        ),
        ("2a+b¹⁰", "ab", lambda m, a, b: 2 * a + b**10, "2*a + b**10", _tenth_power, "1e4"),
        ("gauss", "a", lambda m, a: m.exp(-a * a / 2), "exp(-a*a/2)", lambda a, k: math.exp(-a * a / k(2)), "1e4 1e7"),
        ("tanh", "a", lambda m, a: m.tanh(a), "tanh(a)", lambda a, k: math.tanh(a), "1e4"),
    )
)
