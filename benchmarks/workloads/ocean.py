"""Kernels of ocean models: the equation of state, upwind advection, slopes of isoneutral mixing, a Laplacian."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]


def _water(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float64") -> Data:
    ranges = {"s": (30, 38), "t": (0, 30), "p": (0, 500)}  # practical salinity, degrees Celsius, bar
    return {name: rng.uniform(*between, shape).astype(dtype) for name, between in ranges.items()}


def _salt_and_heat(rng: np.random.Generator, shape: tuple[int, ...]) -> Data:
    water = _water(rng, shape)
    return {name: water[name] for name in "st"}


def _density(m: Any, s: Any, t: Any, p: Any) -> Any:
    """Return the density of sea water in kg/m³ after UNESCO (1981), written as in the report."""
    fresh = 999.842594 + 6.793952e-2 * t - 9.095290e-3 * t**2 + 1.001685e-4 * t**3
    fresh = fresh - 1.120083e-6 * t**4 + 6.536332e-9 * t**5
    a = 8.24493e-1 - 4.0899e-3 * t + 7.6438e-5 * t**2 - 8.2467e-7 * t**3 + 5.3875e-9 * t**4
    b = -5.72466e-3 + 1.0227e-4 * t - 1.6546e-6 * t**2
    surface = fresh + a * s + b * s**1.5 + 4.8314e-4 * s**2
    k0 = 19652.21 + 148.4206 * t - 2.327105 * t**2 + 1.360477e-2 * t**3 - 5.155288e-5 * t**4
    k1 = 54.6746 - 0.603459 * t + 1.09987e-2 * t**2 - 6.1670e-5 * t**3
    k2 = 7.944e-2 + 1.6483e-2 * t - 5.3009e-4 * t**2
    a0 = 3.239908 + 1.43713e-3 * t + 1.16092e-4 * t**2 - 5.77905e-7 * t**3
    a1 = 2.2838e-3 - 1.0981e-5 * t - 1.6078e-6 * t**2
    b0 = 8.50935e-5 - 6.12293e-6 * t + 5.2787e-8 * t**2
    b1 = -9.9348e-7 + 2.0816e-8 * t + 9.1697e-10 * t**2
    modulus = k0 + k1 * s + k2 * s**1.5 + (a0 + a1 * s + 1.91075e-4 * s**1.5) * p + (b0 + b1 * s) * p**2
    return surface / (1 - p / modulus)


def _flow(rng: np.random.Generator, shape: tuple[int, int, int]) -> Data:
    nx, ny, nz = shape
    return {"c": rng.uniform(0, 1, shape), "u": rng.standard_normal((nx, ny - 1, nz))}


def _advection(m: Any, c: Any, u: Any) -> Any:
    """Return ``c`` after one upwind step along the middle axis; ``u`` is given between the cells."""
    flux = u * m.where(u > 0, c[:, :-1], c[:, 1:])
    return m.put(c, (slice(None), slice(1, -1)), c[:, 1:-1] - 0.1 * (flux[:, 1:] - flux[:, :-1]))


def _mixing(m: Any, s: Any, t: Any) -> Any:
    """Return tapered slopes of neutral surfaces, averaged over the four triads around each cell's eastern face."""
    alpha, beta = -0.05 - 0.01 * t, 0.8 - 0.002 * t  # thermal expansion and haline contraction
    across = (alpha[1:] + alpha[:-1]) * (t[1:] - t[:-1]) + (beta[1:] + beta[:-1]) * (s[1:] - s[:-1])
    down_t, down_s = t[:, :, 1:] - t[:, :, :-1], s[:, :, 1:] - s[:, :, :-1]
    total = 0.0
    for i in (0, 1):
        for k in (0, 1):
            east = slice(i, i - 1 or None)
            deep = slice(k, k - 1 or None)
            a, b = alpha[east, :, deep], beta[east, :, deep]
            below = a * down_t[east] + b * down_s[east]
            slope = -0.5 * across[:, :, deep] / (m.where(below < 0, below, 0.0) - 1e-8)
            taper = 0.5 * (1 + m.tanh((0.004 - abs(slope)) / 0.001))
            total = total + taper * slope
    return total / 4


def _plane(rng: np.random.Generator, n: int) -> Data:
    return {"x": rng.standard_normal((n, n))}


def _laplacian(m: Any, x: Any) -> Any:
    inner = x[1:-1, 1:-1]
    bend = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * inner
    return m.put(x, (slice(1, -1), slice(1, -1)), inner + 0.1 * bend)


_CELLS = {"100x100x50": {"shape": (100, 100, 50)}, "20x20x20": {"shape": (20, 20, 20)}}
_SINGLE = {f"{label} f4": {**size, "dtype": "float32"} for label, size in _CELLS.items()}

WORKLOADS = (
    Workload("ocean/density", _CELLS | _SINGLE, (), _water, _density, pointwise=True),
    Workload(
        "ocean/density gradient",
        _CELLS,
        (),
        _water,
        _density,
        wrt=("s", "t"),
        pointwise=True,
    ),
    Workload("ocean/advection", _CELLS, (), _flow, _advection),
    Workload("ocean/mixing", _CELLS, (), _salt_and_heat, _mixing),
    Workload("ocean/laplacian", {"1000x1000": {"n": 1000}, "50x50": {"n": 50}}, (), _plane, _laplacian),
)
