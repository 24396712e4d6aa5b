"""Powers and roots, vectorised as in ``vector``: pow through a logarithm with twice the digits."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.mathlib import vector
from fuse.codegen.mathlib.specialise import polynomial
from fuse.codegen.mathlib.vector import between, binary_exponential, parts_of_any, scaled

if TYPE_CHECKING:
    from fuse.codegen.intrinsics import f2i as to_bits
    from fuse.codegen.intrinsics import fma
    from fuse.codegen.intrinsics import i2f as from_bits

    MAGIC = EXP2_LOWEST = EXP2_HIGHEST = FIRST_TERM = FIRST_TERM_REST = SECOND_TERM = SECOND_TERM_REST = 1.0
    CBRT_SMALL = CBRT_LIFT = CBRT_LOWER = CBRT_START = SQUARE_LARGE = SQUARE_SMALL = SQUARE_UP = SQUARE_DOWN = 1.0
    MAGIC_BITS = CBRT_SHIFT = 1
    LOG2_SERIES = CBRT_SERIES = (1.0,)

INFINITY = math.inf
NAN = math.nan

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": vector.CONSTANTS["float64"] | {
        # log2((1 + s) / (1 - s)) / s in s**2 for s <= (sqrt(2) - 1) / (sqrt(2) + 1): 2/log(2), a third of it, the rest
        "FIRST_TERM": 2.8853900817779268, "FIRST_TERM_REST": 4.0710547481862066e-17,
        "SECOND_TERM": 0.9617966939259756, "SECOND_TERM_REST": 5.0577616648125907e-17,
        "LOG2_SERIES": (
            0.5770780163556184, 0.41219858309172974, 0.32059890231301225, 0.26230769751653343,
            0.22198417072807833, 0.1912509876421704, 0.1904254209046449,
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
        "FIRST_TERM": 2.885390043258667, "FIRST_TERM_REST": 3.851926067000022e-08,
        "SECOND_TERM": 0.9617967009544373, "SECOND_TERM_REST": -7.028461812552678e-09,
        "LOG2_SERIES": (0.577080249786377, 0.41184666752815247, 0.33789414167404175),
        "CBRT_SMALL": 2.0**-100, "CBRT_LIFT": 2.0**48, "CBRT_LOWER": 2.0**-16,
        "CBRT_SHIFT": 9, "CBRT_START": 2773241.3,
        "CBRT_SERIES": (0.33332759141921997, 0.22347982227802277, 0.17470592260360718),
        "SQUARE_LARGE": 2.0**60, "SQUARE_SMALL": 2.0**-60, "SQUARE_UP": 2.0**100, "SQUARE_DOWN": 2.0**-100,
    },
}


def log2_twice(x):
    """``log2(x)`` of a finite positive number as a sum of two, to a sixth more digits than one has.

    The series beyond its first two terms is computed together with what these lost: it is small enough for that.
    """
    f, k = parts_of_any(x)
    inverse = 1.0 / (2.0 + f)
    s = f * inverse
    s_rest = inverse * fma(-s, f, fma(-2.0, s, f))
    z = s * s
    z_rest = fma(s + s, s_rest, fma(s, s, -z))
    term = z * SECOND_TERM
    term_rest = fma(z, SECOND_TERM_REST, fma(z_rest, SECOND_TERM, fma(z, SECOND_TERM, -term)))
    first = FIRST_TERM + term
    series = fma(z * z, polynomial(z, LOG2_SERIES), term_rest + FIRST_TERM_REST)
    first_rest = ((FIRST_TERM - first) + term) + series
    fraction = s * first
    fraction_rest = fma(s, first_rest, fma(s_rest, first, fma(s, first, -fraction)))
    total = k + fraction
    low = ((k - total) + fraction) + fraction_rest
    high = total + low
    return high, (total - high) + low


def power(x, y):
    size = abs(x)
    high, low = log2_twice(size)
    high = high if size < INFINITY else size
    high = -INFINITY if size == 0.0 else high
    # so large that every number but 1 has overflowed: infinity times 0 is met for x = 0 and infinity only
    times = between(y, -1e25, 1e25)
    exponent = times * high
    rest = fma(times, low, fma(times, high, -exponent))
    bounded = between(exponent, EXP2_LOWEST, EXP2_HIGHEST)
    rest = rest if bounded == exponent else 0.0
    shifted = bounded + MAGIC
    fraction = bounded - (shifted - MAGIC)
    r = fraction + rest
    value = scaled(1.0, binary_exponential(r, rest - (r - fraction)), shifted)
    half = 0.5 * times
    whole = np.rint(times) == times
    odd = whole & (np.rint(half) != half)
    value = -value if odd & (math.copysign(1.0, x) < 0.0) else value
    value = NAN if (x < 0.0) & (size < INFINITY) & (not whole) else value
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
