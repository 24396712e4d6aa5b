"""Powers and roots, vectorised as in ``vector``: pow through a logarithm with twice the digits."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.mathlib import vector
from fuse.codegen.mathlib.specialise import horner, in_float64, polynomial, side_by_side
from fuse.codegen.mathlib.vector import between, parts, parts_of_any, scaled

if TYPE_CHECKING:
    from fuse.codegen.scalars import f2i as to_bits
    from fuse.codegen.scalars import fma
    from fuse.codegen.scalars import i2f as from_bits

    MAGIC = EXP2_LOWEST = EXP2_HIGHEST = FIRST_TERM = FIRST_TERM_REST = SECOND_TERM = SMALLEST = LARGEST = 1.0
    CBRT_SMALL = CBRT_LIFT = CBRT_LOWER = CBRT_START = SQUARE_LARGE = SQUARE_SMALL = SQUARE_UP = SQUARE_DOWN = 1.0
    LN2 = 1.0
    MAGIC_BITS = MANTISSA = CBRT_SHIFT = 1
    LOG2_SERIES = EXP2_SERIES = CBRT_SERIES = LOG2_SHORT = EXP2_SHORT = (1.0,)

    def power_of(size: float, times: float) -> float: ...


INFINITY = math.inf
NAN = math.nan

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": vector.CONSTANTS["float64"] | {
        # log2((1 + s) / (1 - s)) / s in s**2 for s <= (sqrt(2) - 1) / (sqrt(2) + 1): 2/log(2), a third of it, the rest
        "FIRST_TERM": 2.8853900817779268, "FIRST_TERM_REST": 4.0710547481862066e-17, "SECOND_TERM": 0.9617966939259756,
        "LOG2_SERIES": (
            0.5770780163556549, 0.4121985830822942, 0.32059890350629455, 0.26230761511821976,
            0.22198734247646812, 0.19118706011862152, 0.19095131307360635,
        ),
        "power_of": "power_twice", "SMALLEST": 5e-324, "LARGEST": 1.7976931348623157e308,
        # the same for z <= 0.0295 and 2**r for abs(r) <= 1/2, with the digits that float32 needs
        "LOG2_SHORT": (2.8853900797623053, 0.9617988670300105, 0.5767123370449714, 0.43178884747186297),
        "EXP2_SHORT": (
            1.000000000571522, 0.6931472063373993, 0.24022646800139696, 0.05550327468896518,
            0.009618494603168463, 0.0013400459693122108, 0.00015345383054525536,
        ),
        # the third of the bits taken from CBRT_START leaves 1 - x y**3 within 0.103 of 0 (both signs alike)
        "CBRT_SMALL": 2.0**-900, "CBRT_LIFT": 2.0**120, "CBRT_LOWER": 2.0**-40,
        "CBRT_SHIFT": 32, "CBRT_START": 1430186240.0,
        # ((1 - h)**(-1/3) - 1) / h for abs(h) <= 0.103
        "CBRT_SERIES": (
            0.33333334566147904, 0.22222225580379723, 0.17282987957812268, 0.14401744771044467,
            0.12667873719979153, 0.11310254761346288,
        ),
        "SQUARE_LARGE": 2.0**500, "SQUARE_SMALL": 2.0**-500, "SQUARE_UP": 2.0**600, "SQUARE_DOWN": 2.0**-600,
    },
    "float32": vector.CONSTANTS["float32"] | {
        "power_of": "power_wide", "SMALLEST": 1.401298464324817e-45, "LARGEST": 3.4028234663852886e38,
        "CBRT_SMALL": 2.0**-100, "CBRT_LIFT": 2.0**48, "CBRT_LOWER": 2.0**-16,
        "CBRT_SHIFT": 9, "CBRT_START": 2773241.3,
        "CBRT_SERIES": (0.33332759141921997, 0.22347982227802277, 0.17470592260360718),
        "SQUARE_LARGE": 2.0**60, "SQUARE_SMALL": 2.0**-60, "SQUARE_UP": 2.0**100, "SQUARE_DOWN": 2.0**-100,
    },
}


def log2_twice(size):
    """``log2(size)`` of positive numbers as a sum of two: a fifth more digits than one has.

    The series beyond its first two terms is computed together with what these lost: it is small enough for that. What
    the quotient s lost is made good through the slope of the logarithm, ``FIRST_TERM / (1 - s**2)``.
    """
    f, k = parts_of_any(size)
    inverse = 1.0 / (2.0 + f)
    s = f * inverse
    s_rest = inverse * fma(-s, f, fma(-2.0, s, f))
    z = s * s
    term = z * SECOND_TERM
    term_rest = fma(fma(s, s, -z), SECOND_TERM, fma(z, SECOND_TERM, -term))
    first = FIRST_TERM + term
    series = fma(z * z, polynomial(z, LOG2_SERIES), term_rest + FIRST_TERM_REST)
    first_rest = ((FIRST_TERM - first) + term) + series
    part = s * first
    part_rest = fma(s, first_rest, fma(s_rest, fma(z, FIRST_TERM, FIRST_TERM), fma(s, first, -part)))
    high = k + part
    return high, ((k - high) + part) + part_rest


def power_twice(size, times):
    """``size**times`` of positive numbers by way of ``log2_twice``.

    The first part of the exponent is not the sum rounded, so the whole number is taken off their sum.
    """
    high, low = log2_twice(size)
    exponent = times * high
    rest = fma(times, low, fma(times, high, -exponent))
    both = exponent + rest
    bounded = between(both, EXP2_LOWEST, EXP2_HIGHEST)
    shifted = bounded + MAGIC
    r = (exponent - (shifted - MAGIC)) + rest
    r = r if bounded == both else 0.0
    return scaled(1.0, fma(r, LN2, polynomial(r, EXP2_SERIES) * (r * r)), shifted)


@in_float64
def power_wide(size, times):
    """``size**times`` of positive float32 numbers: no subnormals, and half the digits are enough."""
    f, k = parts(size)
    s = f / (2.0 + f)
    z = s * s
    exponent = between(times * fma(s, polynomial(z, LOG2_SHORT), k), -200.0, 200.0)
    shifted = exponent + MAGIC
    r = exponent - (shifted - MAGIC)
    return from_bits(to_bits(horner(r, EXP2_SHORT)) + (to_bits(shifted) << MANTISSA))


@side_by_side
def power(x, y):
    size = abs(x)
    inside = (size >= SMALLEST) & (size <= LARGEST)
    # so large that every number but 1 has overflowed: infinity times 0 is met for x = 0 and infinity only
    bounded = between(y, -1e25, 1e25)
    # of 0 and infinity log2 finds a number that only its sign is true of
    times = bounded if inside else math.copysign(1e25, y)
    value = power_of(size, times)
    half = 0.5 * bounded
    whole = np.rint(bounded) == bounded
    odd = whole & (np.rint(half) != half)
    value = -value if odd & (math.copysign(1.0, x) < 0.0) else value
    value = NAN if (x < 0.0) & inside & (not whole) | (x != x) | (y != y) else value
    return 1.0 if (x == 1.0) | (y == 0.0) else value


# ---------------------------------------------------------------- roots
def cbrt(x):
    """By way of ``x**(-1/3)``: a third of the bits taken from a constant, a series, and a step of Newton's."""
    size = abs(x)
    small = size < CBRT_SMALL
    a = size * CBRT_LIFT if small else size
    third = fma(from_bits((to_bits(a) >> CBRT_SHIFT) + MAGIC_BITS) - MAGIC, -1.0 / 3.0, CBRT_START) + MAGIC
    start = from_bits((to_bits(third) - MAGIC_BITS) << CBRT_SHIFT)
    h = fma(-a * start, start * start, 1.0)
    inverse = fma(start * h, polynomial(h, CBRT_SERIES), start)
    square = inverse * inverse
    root = a * square
    area = root * root
    left = fma(-area, root, a) - fma(root, root, -area) * root
    root = fma(left, square * (1.0 / 3.0), root)
    root = math.copysign(root * CBRT_LOWER if small else root, x)
    return root if (size > 0.0) & (size < INFINITY) else x


def hypot(x, y):
    a, b = abs(x), abs(y)
    larger, smaller = (a if a > b else b), (b if a > b else a)
    scale = SQUARE_DOWN if larger > SQUARE_LARGE else (SQUARE_UP if larger < SQUARE_SMALL else 1.0)
    back = SQUARE_UP if larger > SQUARE_LARGE else (SQUARE_DOWN if larger < SQUARE_SMALL else 1.0)
    p, q = larger * scale, smaller * scale
    root = math.sqrt(fma(p, p, q * q)) * back
    return INFINITY if (a == INFINITY) | (b == INFINITY) else root


TABLE: dict[str, Any] = {"power": power, "cbrt": cbrt, "hypot": hypot}
