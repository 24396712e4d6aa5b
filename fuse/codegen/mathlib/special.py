"""Error functions and the gamma family, where the C library has none: float64, to a few units in the last place.

The polynomials are Chebyshev fits made with mpmath at 60 digits, turned into powers.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from fuse.codegen.mathlib.errors import erfcx_positive
from fuse.codegen.mathlib.specialise import polynomial

TWO_OVER_ROOT_PI = 1.1283791670955126
HALF_ROOT_PI = 0.886226925452758
HALF_LOG_PI = 0.5723649429247001
PI = 3.141592653589793
INFINITY = math.inf
NAN = math.nan

# ---------------------------------------------------------------- error functions
def erfcinv_tail(p):
    """The inverse of erfc for p <= 1/2: Newton's steps on the logarithm, which is nearly a parabola."""
    logarithm = math.log(p)
    y = math.sqrt(abs(-logarithm - 0.5 * math.log(abs(-logarithm * PI) + 1.0)))
    for _ in range(4):
        scaled = erfcx_positive(y)
        y = y + (math.log(scaled) - y * y - logarithm) * scaled / TWO_OVER_ROOT_PI
    return INFINITY if p == 0.0 else y


def erfinv_centre(x):
    """The inverse of erf for abs(x) <= 1/2: the series to the fifth power, and Halley's steps."""
    u = HALF_ROOT_PI * x
    v = u * u
    y = u * (1.0 + v * (1.0 / 3.0 + v * (7.0 / 30.0)))
    for _ in range(2):
        step = (math.erf(y) - x) * HALF_ROOT_PI * math.exp(y * y)
        y = y - step / (1.0 + y * step)
    return y


def erfinv(x):
    size = abs(x)
    if size <= 0.5:
        return erfinv_centre(x)
    if not size <= 1.0:
        return NAN
    return math.copysign(erfcinv_tail(1.0 - size), x)


def erfcinv(x):
    if x < 0.5:
        return erfcinv_tail(x) if x >= 0.0 else NAN
    if x > 1.5:
        return -erfcinv_tail(2.0 - x) if x <= 2.0 else NAN
    return erfinv_centre(1.0 - x)


# ---------------------------------------------------------------- derivatives of the logarithm of gamma
ROOT = 1.4616321449683622
ROOT_REST = 9.549995429965697e-17
# digamma(x) / (x - root) on [1, 3] in x - 2
PSI = (
    0.7853075386041053, -0.26073895468300146, 0.10899991701762612, -0.04955103291766727, 0.023447309597734074,
    -0.011338432553570059, 0.005552254171105199, -0.0027395728785465467, 0.0013581421936730543,
    -0.0006753134209495447, 0.0003364323495666613, -0.00016781483194783505, 8.377980375728113e-05,
    -4.184787693054116e-05, 2.0891220143025212e-05, -1.0435770943228892e-05, 5.269921956816271e-06,
    -2.645871409092003e-06, 1.2098986471677347e-06, -5.864278463317367e-07, 4.642683009813479e-07,
    -2.532281805799342e-07, -5.853294516772412e-08, 4.594744120460249e-08, 1.1655551107493253e-07,
    -6.695140151139414e-08, -3.607440221465453e-08, 2.070604694120438e-08, 1.0254404239698909e-08,
    -5.495315942645068e-09,
)
# B(2k) / (2k): the asymptotic series of digamma in 1/x**2; and B(2k), that of trigamma
PSI_TAIL = (
    0.08333333333333333, -0.008333333333333333, 0.003968253968253968, -0.004166666666666667, 0.007575757575757576,
    -0.021092796092796094, 0.08333333333333333, -0.4432598039215686,
)
TRIGAMMA_TAIL = (
    0.16666666666666666, -0.03333333333333333, 0.023809523809523808, -0.03333333333333333, 0.07575757575757576,
    -0.2531135531135531, 1.1666666666666667, -7.092156862745098,
)


def digamma_positive(x):
    if x <= 3.0:
        below = x < 1.0
        inner = x + 1.0 if below else x
        t = inner - 2.0
        # x + 1 loses digits of a small x, but digamma changes less there than 1 / x
        value = ((inner - ROOT) - ROOT_REST) * polynomial(t, PSI)
        return value - 1.0 / x if below else value
    shift = 0.0
    while x < 11.0:
        shift = shift + 1.0 / x
        x = x + 1.0
    inverse = 1.0 / x
    z = inverse * inverse
    return math.log(x) - 0.5 * inverse - z * polynomial(z, PSI_TAIL) - shift


def digamma(x):
    if x > 0.0 or x != x:
        return digamma_positive(x)
    nearest = np.rint(x)
    fraction = x - nearest
    if fraction == 0.0:
        return math.copysign(INFINITY, -x) if x == 0.0 else NAN
    if x == -INFINITY:
        return NAN
    return digamma_positive(1.0 - x) - PI / math.tan(PI * fraction)


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


NATIVE = {"erf", "erfc"}  # the C library's, in either precision
TABLE: dict[str, Any] = {
    "erf": "math.erf", "erfc": "math.erfc", "gamma": "math.gamma", "lgamma": "math.lgamma",
    "erfinv": erfinv, "erfcinv": erfcinv, "digamma": digamma, "trigamma": trigamma,
    "polygamma": polygamma,
}
