"""Options after Black and Scholes (1973): the price of a call, and with it all five greeks by reverse mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload
from benchmarks.workloads.elementwise import sizes

__all__ = ["WORKLOADS"]


def _market(rng: np.random.Generator, n: int, dtype: str = "float64") -> Data:
    ranges = {"s": (80, 120), "k": (80, 120), "t": (0.2, 2.0), "r": (0.01, 0.06), "v": (0.1, 0.5)}
    return {name: rng.uniform(*between, n).astype(dtype) for name, between in ranges.items()}


def _price(m: Any, s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
    root = v * m.sqrt(t)
    d1 = (m.log(s / k) + (r + v**2 / 2) * t) / root
    d2 = d1 - root
    return s * _normal(m, d1) - k * m.exp(-r * t) * _normal(m, d2)


def _normal(m: Any, x: Any) -> Any:
    return (1 + m.erf(x * 0.7071067811865476)) / 2


def _greeks(s: Any, k: Any, t: Any, r: Any, v: Any) -> tuple[Any, ...]:
    """Return the sum of the prices and delta, dual delta, -theta, rho, vega, from their closed forms."""
    from scipy.special import ndtr

    root = v * np.sqrt(t)
    d1 = (np.log(s / k) + (r + v * v / 2) * t) / root
    d2 = d1 - root
    discounted = k * np.exp(-r * t)
    n1, n2 = ndtr(d1), ndtr(d2)
    density = s * np.exp(-d1 * d1 / 2) * s.dtype.type(0.3989422804014327)
    slopes = n1, -n2 * discounted / k, density * v / (2 * np.sqrt(t)) + r * discounted * n2, t * discounted * n2
    return (s * n1 - discounted * n2).sum(), *slopes, density * np.sqrt(t)


WORKLOADS = (
    Workload(
        name="black-scholes/price",
        sizes=sizes("1 1e4 1e6"),
        quick=(),
        data=_market,
        formula=_price,
        pointwise=True,
    ),
    Workload(
        name="black-scholes/greeks",
        sizes=sizes("1 1e4 1e6"),
        quick=("1e6",),
        data=_market,
        formula=_price,
        reference=_greeks,
        wrt=("s", "k", "t", "r", "v"),
        pointwise=True,
    ),
)
