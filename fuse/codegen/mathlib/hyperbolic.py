"""The hyperbolic functions and their inverses as straight lines of arithmetic, as ``vector`` has exp and log.

With x = n log(2) + r the addition theorems give sinh and cosh from those of r and of n log(2), which are sums and
differences of powers of 2: no quotient, no cancellation at 0. The inverses are logarithms of sums that are exact enough
to need no series of their own. All but arccosh compute on absolute values: odd functions are odd to the last bit.
``python -m benchmarks.remez`` makes the series.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fuse.codegen.mathlib.specialise import polynomial

if TYPE_CHECKING:
    from fuse.codegen.scalars import f2i as to_bits
    from fuse.codegen.scalars import fma
    from fuse.codegen.scalars import i2f as from_bits

    whole = int
    MAGIC = LOG2_E = LN2_HIGH = LN2_LOW = SINH_HIGHEST = SINH_LOWEST = LARGE = 1.0
    MAGIC_BITS = MANTISSA = BIAS = MANTISSA_MASK = EXPONENT_MASK = ONE_BITS = ROOT_HALF_BITS = HALF_STEP = 1
    EIGHTH_BITS = SIXTY_FOURTH_BITS = 1
    SINH_SERIES = COSH_SERIES = ARTANH_SERIES = (1.0,)

INFINITY = math.inf
NAN = math.nan

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": {
        "to_bits": "f2i", "from_bits": "i2f", "whole": "int64", "MANTISSA": 52, "BIAS": 1023,
        "MANTISSA_MASK": 0x000FFFFFFFFFFFFF, "EXPONENT_MASK": -0x0010000000000000, "ONE_BITS": 0x3FF0000000000000,
        "MAGIC": 6755399441055744.0, "MAGIC_BITS": 0x4338000000000000, "ROOT_HALF_BITS": 0x3FE6A09E667F3BCD,
        "LOG2_E": 1.4426950408889634, "LN2_HIGH": 0.6931471803691238, "LN2_LOW": 1.9082149292705877e-10,
        "SINH_HIGHEST": 711.0, "SINH_LOWEST": 2.0**-500, "EIGHTH_BITS": 1020 << 52, "SIXTY_FOURTH_BITS": 2040 << 52,
        "HALF_STEP": 1 << 51, "LARGE": 2.0**60,
        # (sinh(x) / x - 1) / x**2 and (cosh(x) - 1 - x**2 / 2) / x**4 in x**2 for abs(x) <= log(2) / 2
        "SINH_SERIES": (
            0.16666666666666677, 0.00833333333332116, 0.0001984126988779774, 2.755724213692726e-06,
            2.5109873220780637e-08,
        ),
        "COSH_SERIES": (
            0.041666666666666685, 0.0013888888888873064, 2.4801587350031108e-05, 2.755725082106024e-07,
            2.0922156227391337e-09,
        ),
        # (artanh(x) / x - 1) / x**2 in x**2 for abs(x) <= 1/5
        "ARTANH_SERIES": (
            0.3333333333333645, 0.1999999999802748, 0.14285714707367275, 0.1111106844741077, 0.09093210703416922,
            0.07624459008930888, 0.07688814927084475,
        ),
    },
    "float32": {
        "to_bits": "f2i32", "from_bits": "i2f32", "whole": "int32", "MANTISSA": 23, "BIAS": 127,
        "MANTISSA_MASK": 0x007FFFFF, "EXPONENT_MASK": -0x00800000, "ONE_BITS": 0x3F800000,
        "MAGIC": 12582912.0, "MAGIC_BITS": 0x4B400000, "ROOT_HALF_BITS": 0x3F3504F3,
        "LOG2_E": 1.4426950408889634, "LN2_HIGH": 0.693115234375, "LN2_LOW": 3.194618329871446e-05,
        "SINH_HIGHEST": 90.0, "SINH_LOWEST": 2.0**-60, "EIGHTH_BITS": 124 << 23, "SIXTY_FOURTH_BITS": 248 << 23,
        "HALF_STEP": 1 << 22, "LARGE": 2.0**30,
        "SINH_SERIES": (0.1666666716337204, 0.008333177305758, 0.00019971784786321223),
        "COSH_SERIES": (0.04166645184159279, 0.0013936283066868782),
        "ARTANH_SERIES": (0.333334743976593, 0.19978800415992737, 0.151831716299057),
    },
}


# ---------------------------------------------------------------- sinh, cosh
def parts(x):
    """For x >= 0: 2**(n-3) + 2**(-n-3) and their difference, r, sinh(r) - r and cosh(r) - 1."""
    bounded = SINH_HIGHEST if x > SINH_HIGHEST else x
    shifted = fma(bounded, LOG2_E, MAGIC)
    n = shifted - MAGIC
    r = fma(-n, LN2_LOW, fma(-n, LN2_HIGH, bounded))
    # quarters, because n may be beyond the exponents of finite numbers; what falls may be below them
    power = whole((to_bits(shifted) << MANTISSA) + EIGHTH_BITS)
    fallen = whole(SIXTY_FOURTH_BITS - power)
    growing, falling = from_bits(power), from_bits(fallen if fallen > 0 else 0)
    z = r * r
    sine, cosine = r * z * polynomial(z, SINH_SERIES), fma(z * z, polynomial(z, COSH_SERIES), 0.5 * z)
    return growing + falling, growing - falling, r, sine, cosine


def sinh(x):
    size = abs(x)
    total, difference, r, sine, cosine = parts(size)
    quarter = fma(total, r, difference) + fma(difference, cosine, total * sine)
    # a quarter of a subnormal number is not exact
    return math.copysign(size if size < SINH_LOWEST else 4.0 * quarter, x)


def cosh(x):
    total, difference, r, sine, cosine = parts(abs(x))
    return 4.0 * (fma(difference, r, total) + fma(total, cosine, difference * sine))


# ---------------------------------------------------------------- inverse functions
def log1p_of_positive(w, doubled):
    """log(1 + w) for w >= 0, with log(2) more where ``doubled``; there 1 + w = w."""
    u = 1.0 + w
    lost = (w if w < 1.0 else 1.0) - (u - (1.0 if w < 1.0 else w))
    bits = whole(to_bits(u) - ROOT_HALF_BITS)
    k = from_bits((bits >> MANTISSA) + MAGIC_BITS) - MAGIC
    f = from_bits((bits & MANTISSA_MASK) + ROOT_HALF_BITS) - 1.0
    # what the sum lost, relative to u: for 1 / (1 + f) a few digits are enough, but all for small f
    rest = lost * from_bits(ONE_BITS - (bits & EXPONENT_MASK)) * fma(f, f, 1.0 - f)
    # as in fdlibm: f, the largest term, is added last but one
    s = f / (2.0 + f)
    z = s * s
    half_square = 0.5 * f * f
    small = fma(s, fma(2.0 * z, polynomial(z, ARTANH_SERIES), half_square), 0.0 if doubled else rest)
    k = k + 1.0 if doubled else k
    inside = fma(k, LN2_HIGH, f - (half_square - fma(k, LN2_LOW, small)))
    return inside if w < INFINITY else w


def arcsinh(x):
    size = abs(x)
    large = size > LARGE
    square = size * size
    w = size + square / (1.0 + math.sqrt(1.0 + square))
    return math.copysign(log1p_of_positive(size if large else w, large), x)


def arccosh(x):
    large = x > LARGE
    t = x - 1.0
    w = x if large else t + math.sqrt(t * (2.0 + t))
    inside = log1p_of_positive(w, large)
    return NAN if x < 1.0 else inside


def arctanh(x):
    # (1 + x) / (1 - x) = 2**k (1 + s) / (1 - s), both sums with their rounding errors
    size = abs(x)
    above, below = 1.0 + size, 1.0 - size
    above_lost, below_lost = size - (above - 1.0), (1.0 - below) - size
    power = whole(to_bits(above) - to_bits(below) + HALF_STEP) >> MANTISSA
    k = from_bits(power + MAGIC_BITS) - MAGIC
    scale = from_bits((BIAS - power) << MANTISSA)
    difference = (scale * above - below) + (scale * above_lost - below_lost)
    s = difference / (scale * above + below)
    s = size if power == 0 else s
    z = s * s
    inside = fma(0.5 * k, LN2_HIGH, s + fma(s * z, polynomial(z, ARTANH_SERIES), 0.5 * k * LN2_LOW))
    edge = INFINITY if size == 1.0 else NAN
    return math.copysign(inside if size < 1.0 else edge, x)


TABLE: dict[str, Any] = {
    "sinh": sinh, "cosh": cosh, "arcsinh": arcsinh, "arccosh": arccosh, "arctanh": arctanh,
}
