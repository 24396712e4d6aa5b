"""Modified Bessel functions where SciPy has NaN: at infinity, and scaled ones from about 1e9 on.

Source: DLMF 10.41.3 and 10.41.4, uniform in the order; from ``FAR`` on the third term is below 1e-17.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fuse.codegen.intrinsics import scipy_i0, scipy_i1, scipy_iv, scipy_ive, scipy_kve  # type: ignore[attr-defined]

FAR = 1e8
PI = 3.141592653589793
INFINITY = math.inf
NAN = math.nan


def i0(x):
    return INFINITY if abs(x) == INFINITY else scipy_i0(x)


def i1(x):
    return x if abs(x) == INFINITY else scipy_i1(x)


def scaled_exponent(v, x):
    """The logarithm of ``ive(v, x)`` but for powers, for x >= FAR."""
    return v * (v / (math.hypot(v, x) + x)) - v * math.asinh(v / x)


def scaled_correction(v, x):
    w = math.hypot(v, x)
    p = v / w
    return (3.0 - 5.0 * p * p) / (24.0 * w)


def scaled_sign(v, x):
    """What I of ``x`` has before I of its size: NaN where it is complex."""
    if x > 0.0:
        return 1.0
    return NAN if np.floor(v) != v else 1.0 if v % 2.0 == 0.0 else -1.0


def ive(v, x):
    size = abs(x)
    if (size < FAR) | (abs(v) >= 0.5 * size) | (x != x) | (v != v):  # of opposite orders K may matter
        return scipy_ive(v, x)
    root = math.sqrt(2.0 * PI) * math.sqrt(math.hypot(v, size))
    return scaled_sign(v, x) * math.exp(scaled_exponent(v, size)) * (1.0 + scaled_correction(v, size)) / root


def iv(v, x):
    return scaled_sign(v, x) * INFINITY if (abs(x) >= FAR) & (abs(v) < 0.5 * abs(x)) else scipy_iv(v, x)


def kve(v, x):
    if (x < FAR) | (abs(v) >= 0.5 * x) | (x != x) | (v != v):
        return scipy_kve(v, x)
    root = math.sqrt(0.5 * PI) / math.sqrt(math.hypot(v, x))
    return root * math.exp(-scaled_exponent(v, x)) * (1.0 - scaled_correction(v, x))


TABLE: dict[str, Any] = {"i0": i0, "i1": i1, "ive": ive, "iv": iv, "kve": kve}
