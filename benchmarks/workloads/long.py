"""Long formulas, written by a loop: chains of operations, an unrolled filter; what they cost to compile shows here."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]


def _links(rng: np.random.Generator, n: int) -> Data:
    return {"a": rng.uniform(0.5, 1.5, n), "b": rng.uniform(-0.5, 0.5, n)}


def _chain(length: int, m: Any, a: Any, b: Any) -> Any:
    """Return ``length`` operations, each on the result of the one before."""
    x = a
    for i in range(length // 4):
        x = m.sin(x) * a + b * (i % 7 + 1) if i % 2 else x * b - a / (i + 2)  # four, all in all
    return x


def _chain_cost(length: int, m: Any, a: Any, b: Any) -> Any:
    return m.sum(_chain(length, m, a, b) ** 2)


def _chain_gradient(length: int, a: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
    """Return the cost and its slopes, carried forward along the chain."""
    x, along_a, along_b = a, np.ones_like(a), np.zeros_like(b)
    for i in range(length // 4):
        if i % 2:
            sine, cosine = np.sin(x), np.cos(x)
            along_a, along_b = cosine * along_a * a + sine, cosine * along_b * a + (i % 7 + 1)
            x = sine * a + b * (i % 7 + 1)
        else:
            along_a, along_b = along_a * b - 1 / (i + 2), along_b * b + x
            x = x * b - a / (i + 2)
    return (x**2).sum(), 2 * x * along_a, 2 * x * along_b


def _series(rng: np.random.Generator, steps: int, n: int) -> Data:
    level = rng.standard_normal((steps, n)).cumsum(axis=0)
    return {"y": level + 0.5 * rng.standard_normal((steps, n)), "q": np.array(-0.3), "h": np.array(-1.2)}


def _filter(m: Any, y: Any, q: Any, h: Any, steps: int = 50) -> Any:
    """Return the negative log-likelihood of local level models (Durbin and Koopman 2012, 2.2), steps written out."""
    level, variance, noise = y[0], m.exp(h), m.exp(q)
    total = 0.0
    for t in range(1, steps):
        variance = variance + noise
        spread = variance + m.exp(h)
        surprise = y[t] - level
        gain = variance / spread
        total = total + m.log(spread) + surprise**2 / spread
        level = level + gain * surprise
        variance = variance * (1 - gain)
    return m.mean(total) / 2


def _filter_gradient(y: np.ndarray, q: np.ndarray, h: np.ndarray) -> tuple[Any, ...]:
    """Return the value and both slopes, these from imaginary steps too small to be seen in the value."""
    tiny = 1e-30j
    value = _filter(np, y, q, h)
    return value, *(np.imag(_filter(np, y, *moved)) * 1e30 for moved in ((q + tiny, h), (q, h + tiny)))


WORKLOADS = (
    *(
        workload
        for length in (200, 2000)
        for workload in (
            Workload(
                name=f"long/{length} operations",
                sizes={"1000": {"n": 1000}},
                quick=(),
                data=_links,
                formula=partial(_chain, length),
            ),
            Workload(
                name=f"long/{length} with gradient",
                sizes={"1000": {"n": 1000}},
                quick=(),
                data=_links,
                formula=partial(_chain_cost, length),
                reference=partial(_chain_gradient, length),
                wrt=("a", "b"),
            ),
        )
    ),
    Workload(
        name="long/filter gradient",
        sizes={"200 series": {"steps": 50, "n": 200}, "1e5 series": {"steps": 50, "n": 100_000}},
        quick=(),
        data=_series,
        formula=_filter,
        reference=_filter_gradient,
        wrt=("q", "h"),
    ),
)
