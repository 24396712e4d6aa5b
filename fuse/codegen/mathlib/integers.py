"""Integer and bool arithmetic with NumPy's results where the processor, Python and Numba have others.

Values come in their own dtype or wider and are computed in 64 bits; the kernel narrows the result.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fuse.codegen.scalars import is_constant

    float64 = float
    int64 = uint64 = int

WIDTH = 64  # bits of the dtype: see specialise


# ---------------------------------------------------------------- any integer
def less(x, y):
    return x < y


def less_equal(x, y):
    return x <= y


def maximum(x, y):
    return x if x > y else y


def minimum(x, y):
    return x if x < y else y


def invert(x):
    return ~x


def unchanged(x):
    return x


def always(x):
    return True


def never(x):
    return False


def left_shift(x, y):
    inside = (y >= 0) & (y < WIDTH)
    return x << (y if inside else 0) if inside else 0


# ---------------------------------------------------------------- signed
def floor_divide(x, y):
    # -1 is apart because the most negative number over -1 traps
    divisor = 1 if (y == 0) | (y == -1) else y
    quotient = x // divisor
    return 0 if y == 0 else (-x if y == -1 else quotient)


def remainder(x, y):
    divisor = 1 if (y == 0) | (y == -1) else y
    return x % divisor


def power(x, y):
    base = x * 1
    exponent = y if y > 0 else 0
    result = 1
    while exponent > 0:
        result = result * base if exponent & 1 else result
        base = base * base
        exponent = exponent >> 1
    of_minus_one = 1 - 2 * (y & 1)
    negative = 1 if x == 1 else (of_minus_one if x == -1 else 0)
    return result if y >= 0 else negative


def right_shift(x, y):
    return x >> (y if (y >= 0) & (y < WIDTH) else WIDTH - 1)


def absolute(x):
    return -x if x < 0 else x


def sign(x):
    return (1 if x > 0 else 0) - (1 if x < 0 else 0)


def negative(x):
    return x < 0


# ---------------------------------------------------------------- on a processor with vectors and slow division
# By constants LLVM divides as it multiplies, in vectors; it is left to that.
def quick_floor_divide(x, y):
    return floor_divide(x, y) if is_constant(y) else floor_divide_of_sizes(x, y)


def floor_divide_of_sizes(x, y):
    # as unsigned numbers: one division, and none that traps
    above, below = uint64(-x if x < 0 else x), uint64(-y if y < 0 else y)
    quotient = above // (uint64(1) if y == 0 else below)
    rest = above - quotient * below
    whole = int64(quotient)
    whole = -whole - (0 if rest == uint64(0) else 1) if (x < 0) != (y < 0) else whole
    return 0 if y == 0 else whole


# Of numbers of 32 bits: float64 holds them, and a quotient that is not whole is further from it than float64 rounds.
def in_floats(x, y):
    return int64(np.floor(float64(x) / float64(1 if y == 0 else y)))


def narrow_floor_divide(x, y):
    return floor_divide(x, y) if is_constant(y) else (0 if y == 0 else in_floats(x, y))


def narrow_remainder(x, y):
    return remainder(x, y) if is_constant(y) else (0 if y == 0 else int64(x) - in_floats(x, y) * int64(y))


def narrow_unsigned_floor_divide(x, y):
    return unsigned_floor_divide(x, y) if is_constant(y) else (0 if y == 0 else uint64(in_floats(x, y)))


def narrow_unsigned_remainder(x, y):
    rest = uint64(0 if y == 0 else int64(x) - in_floats(x, y) * int64(y))
    return unsigned_remainder(x, y) if is_constant(y) else rest


# ---------------------------------------------------------------- unsigned
def unsigned_floor_divide(x, y):
    quotient = x // (1 if y == 0 else y)
    return 0 if y == 0 else quotient


def unsigned_remainder(x, y):
    rest = x % (1 if y == 0 else y)
    return 0 if y == 0 else rest


def unsigned_power(x, y):
    base = x * 1
    exponent = y * 1
    result = 1
    while exponent > 0:
        result = result * base if exponent & 1 else result
        base = base * base
        exponent = exponent >> 1
    return result


def unsigned_left_shift(x, y):
    return x << (y if y < WIDTH else 0) if y < WIDTH else 0


def unsigned_right_shift(x, y):
    return x >> (y if y < WIDTH else 0) if y < WIDTH else 0


def positive(x):
    return 1 if x > 0 else 0


# ---------------------------------------------------------------- bool
def logical_not(x):
    return not x


def either(x, y):
    return x | y


def both(x, y):
    return x & y


_ANY: dict[str, Any] = {
    "less": less, "less_equal": less_equal, "maximum": maximum, "minimum": minimum, "invert": invert,
    "isinf": never, "isfinite": always, "isnan": never, "signbit": never, "absolute": unchanged,
    "real": unchanged, "conjugate": unchanged, "floor": unchanged, "ceil": unchanged, "trunc": unchanged,
    "rint": unchanged,
}
SIGNED: dict[str, Any] = {
    **_ANY, "floor_divide": floor_divide, "remainder": remainder, "power": power, "left_shift": left_shift,
    "right_shift": right_shift, "absolute": absolute, "sign": sign, "signbit": negative,
}
UNSIGNED: dict[str, Any] = {
    **_ANY, "floor_divide": unsigned_floor_divide, "remainder": unsigned_remainder, "power": unsigned_power,
    "left_shift": unsigned_left_shift, "right_shift": unsigned_right_shift, "sign": positive,
}
# in place of those, by kind and whether there are 64 bits
QUICK: dict[tuple[str, bool], dict[str, Any]] = {
    ("i", True): {"floor_divide": quick_floor_divide}, ("u", True): {},
    ("i", False): {"floor_divide": narrow_floor_divide, "remainder": narrow_remainder},
    ("u", False): {"floor_divide": narrow_unsigned_floor_divide, "remainder": narrow_unsigned_remainder},
}
BOOL: dict[str, Any] = {**_ANY, "maximum": either, "minimum": both, "invert": logical_not}
