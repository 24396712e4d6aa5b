"""What is left of the gamma family: derivatives by recurrence, a loop for each number, in float64."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from fuse.codegen.mathlib.specialise import polynomial

PI = 3.141592653589793
INFINITY = math.inf
NAN = math.nan

# ---------------------------------------------------------------- derivatives of the logarithm of gamma
# B(2k): the asymptotic series of trigamma in 1/x**2
TRIGAMMA_TAIL = (
    0.16666666666666666, -0.03333333333333333, 0.023809523809523808, -0.03333333333333333, 0.07575757575757576,
    -0.2531135531135531, 1.1666666666666667, -7.092156862745098,
)


def trigamma_positive(x):
    total = 0.0
    while x < 11.0:
        total = total + 1.0 / (x * x)
        x = x + 1.0
    inverse = 1.0 / x
    z = inverse * inverse
    return total + inverse + 0.5 * z + inverse * z * polynomial(z, TRIGAMMA_TAIL)


def trigamma(x):
    if x > 0.0 or x != x:
        return trigamma_positive(x)
    fraction = x - np.rint(x)
    if x == -INFINITY:
        return NAN
    if fraction == 0.0:
        return INFINITY
    root = PI / math.sin(PI * fraction)
    return root * root - trigamma_positive(1.0 - x)


# B(2k) / (2k)!
ZETA_TAIL = (
    0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07, 2.08767569878681e-08,
    -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13, 8.586062056277845e-15,
    -2.174868698558062e-16, 5.5090028283602295e-18, -1.3954464685812523e-19,
)


def hurwitz_zeta(s, x):
    """The sum of ``(x + k)**-s`` over k >= 0 for s >= 2 and x > 0, by Euler and Maclaurin from x + k >= s + 10."""
    total = 0.0
    while x < s + 10.0:
        total = total + x**-s
        x = x + 1.0
    term = x**-s
    total = total + term * (x / (s - 1.0) + 0.5)
    factor = s
    term = term / x
    for k in range(12):
        total = total + ZETA_TAIL[k] * factor * term
        factor = factor * (s + 2.0 * k + 1.0) * (s + 2.0 * k + 2.0)
        term = term / x / x
    return total


def polygamma(x, n):
    s = n + 1.0
    even = s % 2.0 == 0.0
    scale = math.gamma(s) * (1.0 if even else -1.0)
    if x > 0.0 or x != x:
        return scale * hurwitz_zeta(s, x) if x < INFINITY else (x if x != x else 0.0 * scale)
    if x == -INFINITY:
        return NAN
    whole = -np.floor(x)
    first = x + whole
    if first == 0.0:
        return INFINITY if even else NAN
    rest = -(x + (whole - 1.0))  # 1 - first, without its rounding
    mirrored = hurwitz_zeta(s, rest) - hurwitz_zeta(s, 1.0 - x)
    return scale * (hurwitz_zeta(s, first) + (mirrored if even else -mirrored))


NATIVE = {"erf", "erfc", "lgamma"}  # the device's own, in either precision
TABLE: dict[str, Any] = {
    "erf": "math.erf", "erfc": "math.erfc", "gamma": "math.gamma", "lgamma": "math.lgamma", "trigamma": trigamma,
    "polygamma": polygamma,
}
