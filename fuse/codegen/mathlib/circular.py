"""The circular functions and their inverses as straight lines of arithmetic, as ``vector`` has exp and log.

Angles: the quarter turns are taken off with pi/2 in three parts (Cody and Waite, "Software Manual for the Elementary
Functions", 1980), of which fma makes the first step exact and leaves the rounding error of the second at hand; sine and
cosine of the rest are summed as in fdlibm. What is beyond ``far.LIMITS`` has a branch of its own. Inverses: a quotient
or square root leads to the range of a polynomial, and the angle of the fold is added in two parts. All compute on
absolute values, so that odd functions are odd to the last bit. ``python -m benchmarks.remez`` makes the series.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fuse.codegen.mathlib.specialise import horner, polynomial

if TYPE_CHECKING:
    from fuse.codegen.scalars import f2i as to_bits
    from fuse.codegen.scalars import far_cos, far_sin, far_tan, fma
    from fuse.codegen.scalars import i2f as from_bits

    MAGIC = TWO_OVER_PI = QUARTER_1 = QUARTER_2 = QUARTER_3 = PI_HIGH = PI_LOW = HALF_PI_HIGH = HALF_PI_LOW = 1.0
    SIGN = SIGN_SHIFT = 1
    SIN_SERIES = COS_SERIES = ATAN_SERIES = ATAN_WIDE_FIRST = ATAN_WIDE_REST = ASIN_SERIES = (1.0,)

INFINITY = math.inf

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": {
        "to_bits": "f2i", "from_bits": "i2f", "MAGIC": 6755399441055744.0,
        "SIGN": -0x8000000000000000, "SIGN_SHIFT": 62, "TWO_OVER_PI": 0.6366197723675814,
        "QUARTER_1": 1.5707963267948966, "QUARTER_2": 6.123233995736766e-17, "QUARTER_3": -1.4973849048591698e-33,
        "PI_HIGH": 3.141592653589793, "PI_LOW": 1.2246467991473532e-16,
        "HALF_PI_HIGH": 1.5707963267948966, "HALF_PI_LOW": 6.123233995736766e-17,
        # (sin(x) / x - 1) / x**2 and (cos(x) - 1 + x**2 / 2) / x**4 in x**2 for abs(x) <= pi/4
        "SIN_SERIES": (
            -0.16666666666666627, 0.008333333333321067, -0.0001984126982869593, 2.7557313297629228e-06,
            -2.5050695313192063e-08, 1.5893103438500768e-10,
        ),
        "COS_SERIES": (
            0.04166666666666658, -0.001388888888887097, 2.480158728752809e-05, -2.7557313791778966e-07,
            2.087564756751116e-09, -1.1355751899094065e-11,
        ),
        # (atan(x) / x - 1) / x**2 in x**2 for abs(x) <= 1/2 and, in two parts, for abs(x) <= 1
        "ATAN_SERIES": (
            -0.33333333333333315, 0.19999999999993764, -0.14285714284998036, 0.11111111070041164, -0.09090907705753769,
            0.07692277657578286, -0.06666225360251472, 0.05877820280134341, -0.0523008333320379, 0.04589722736625429,
            -0.03712599523628393, 0.023666484419627296, -0.00837376869053111,
        ),
        "ATAN_WIDE_FIRST": (
            -0.33333333333333287, 0.19999999999990617, -0.14285714285044968, 0.11111111086670157, -0.09090908550986586,
            0.07692299754250628,
        ),
        "ATAN_WIDE_REST": (
            -0.06666584068817179, 0.05881718241310998, -0.05259443321682224, 0.04744959529093159,
            -0.042864813860665776, 0.03821195753126764, -0.03278847606966993, 0.026155387673581273,
            -0.018617557475768303, 0.011319776564731878, -0.005613216238733471, 0.002151691199359518,
            -0.0005928230265000815, 0.0001038350819464503, -8.648496614044085e-06,
        ),
        # (asin(x) / x - 1) / x**2 in x**2 for abs(x) <= 1/2
        "ASIN_SERIES": (
            0.1666666666666676, 0.07499999999970812, 0.04464285717464419, 0.030381942704783945, 0.022372215103036854,
            0.01735160949574899, 0.01398085610970563, 0.011398568034737091, 0.010782547015788789, 0.003696173439292639,
            0.021736310780843707, -0.02104517410262087, 0.03266021856479065,
        ),
    },
    "float32": {
        "to_bits": "f2i32", "from_bits": "i2f32", "MAGIC": 12582912.0,
        "SIGN": -0x80000000, "SIGN_SHIFT": 30, "TWO_OVER_PI": 0.6366197466850281,
        "QUARTER_1": 1.5707963705062866, "QUARTER_2": -4.371138828673793e-08, "QUARTER_3": -1.7151245100058819e-15,
        "PI_HIGH": 3.1415927410125732, "PI_LOW": -8.742277657347586e-08,
        "HALF_PI_HIGH": 1.5707963705062866, "HALF_PI_LOW": -4.371138828673793e-08,
        "SIN_SERIES": (-0.16666653752326965, 0.008332106284797192, -0.0001950788137037307),
        "COS_SERIES": (0.04166664555668831, -0.0013887297827750444, 2.443008270347491e-05),
        "ATAN_SERIES": (
            -0.333333283662796, 0.19999553263187408, -0.14273063838481903, 0.10947971045970917, -0.08007191866636276,
            0.03901315852999687,
        ),
        "ATAN_WIDE_FIRST": (
            -0.33333298563957214, 0.1999852955341339, -0.14264042675495148, 0.10951542109251022, -0.08403540402650833,
            0.05799873545765877,
        ),
        "ATAN_WIDE_REST": (-0.0312589555978775, 0.01097859162837267, -0.0018121108878403902),
        "ASIN_SERIES": (
            0.16666752099990845, 0.07495306432247162, 0.04546978324651718, 0.024180686101317406, 0.042166586965322495,
        ),
    },
}


# ---------------------------------------------------------------- sine, cosine, tangent
# x = n pi/2 + r + low; the bits of n are the lowest of `shifted`. Odd n change sine and cosine, n & 2 the sign.
def sin_of_rest(r, low):
    """What is added to r to be sin(r + low)."""
    z = r * r
    return fma(r * z, polynomial(z, SIN_SERIES), low)


def cos_of_rest(r, low):
    """What is added to 1 to be cos(r + low)."""
    z = r * r
    return fma(fma(polynomial(z, COS_SERIES), z, -0.5), z, -(r * low))


def within_quarter(x):
    """The bits of ``shifted``, and sine and cosine of ``r + low``, for ``abs(x)``."""
    size = abs(x)
    shifted = fma(size, TWO_OVER_PI, MAGIC)
    n = shifted - MAGIC
    whole = fma(-n, QUARTER_1, size)
    less = n * QUARTER_2
    r = whole - less
    low = ((whole - r) - less) + fma(-n, QUARTER_3, fma(-n, QUARTER_2, less))
    return to_bits(shifted), r + sin_of_rest(r, low), 1.0 + cos_of_rest(r, low)


def sin(x):
    bits, sine, cosine = within_quarter(x)
    near = cosine if bits & 1 == 1 else sine
    return far_sin(x, from_bits(to_bits(near) ^ ((bits & 2) << SIGN_SHIFT) ^ (to_bits(x) & SIGN)))


def cos(x):
    bits, sine, cosine = within_quarter(x)
    near = sine if bits & 1 == 1 else cosine
    return far_cos(x, from_bits(to_bits(near) ^ (((bits + 1) & 2) << SIGN_SHIFT)))


def tan(x):
    bits, sine, cosine = within_quarter(x)
    odd = bits & 1 == 1
    near = (-cosine if odd else sine) / (sine if odd else cosine)
    return far_tan(x, from_bits(to_bits(near) ^ (to_bits(x) & SIGN)))


# ---------------------------------------------------------------- inverse functions
def angle_from(base, t, rest):
    """base + t + rest, of which base is the largest, or 0."""
    high = base + t
    return high + ((t - (high - base)) + rest)


def arctan(x):
    size = abs(x)
    steep, middle = size > 2.0, size > 0.5
    above = -1.0 if steep else (size - 1.0 if middle else size)
    below = size if steep else (size + 1.0 if middle else 1.0)
    t = above / below
    z = t * t
    edge_low = HALF_PI_LOW if steep else (0.5 * HALF_PI_LOW if middle else 0.0)
    edge = HALF_PI_HIGH if steep else (0.5 * HALF_PI_HIGH if middle else 0.0)
    return math.copysign(angle_from(edge, t, fma(t * z, polynomial(z, ATAN_SERIES), edge_low)), x)


def arctan2(y, x):
    up, across = abs(y), abs(x)
    steep = up > across
    smaller, larger = across if steep else up, up if steep else across
    # the quotient of zeros is 0 and that of infinities 1
    t = smaller / (1.0 if larger == 0.0 else larger)
    t = 1.0 if (up == INFINITY) & (across == INFINITY) else t
    left = math.copysign(1.0, x) < 0.0
    t = -t if steep != left else t
    edge = HALF_PI_HIGH if steep else (PI_HIGH if left else 0.0)
    edge_low = HALF_PI_LOW if steep else (PI_LOW if left else 0.0)
    # the terms alternate: two chains of them, each larger than their sum, would cost digits
    z = t * t
    sixth = (z * z) * (z * z) * (z * z)
    first = horner(z, ATAN_WIDE_FIRST)
    rest = fma(t * z, fma(sixth, polynomial(z, ATAN_WIDE_REST), first), edge_low)
    return math.copysign(angle_from(edge, t, rest), y)


def arcsin(x):
    size = abs(x)
    wide = size > 0.5
    z = 0.5 - 0.5 * size if wide else size * size
    t = -2.0 * math.sqrt(z) if wide else size
    rest = fma(t * z, polynomial(z, ASIN_SERIES), HALF_PI_LOW if wide else 0.0)
    return math.copysign(angle_from(HALF_PI_HIGH if wide else 0.0, t, rest), x)


def arccos(x):
    size = abs(x)
    wide, left = size > 0.5, x < 0.0
    z = 0.5 - 0.5 * size if wide else size * size
    root = 2.0 * math.sqrt(z)
    t = (-root if left else root) if wide else -x
    edge, edge_low = PI_HIGH if left else 0.0, PI_LOW if left else 0.0
    rest = fma(t * z, polynomial(z, ASIN_SERIES), edge_low if wide else HALF_PI_LOW)
    return angle_from(edge if wide else HALF_PI_HIGH, t, rest)


TABLE: dict[str, Any] = {
    "sin": sin, "cos": cos, "tan": tan, "arcsin": arcsin, "arccos": arccos, "arctan": arctan, "arctan2": arctan2,
}
