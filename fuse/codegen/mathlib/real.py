"""Real floats: comparisons, rounding, division, and what is a few operations over the C library's functions.

Every function is branch-free, so that loops over it vectorise as far as the functions that it calls do.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

LN2 = 0.6931471805599453
LOG2_E = 1.4426950408889634
PI = 3.141592653589793
RADIANS = PI / 180.0
DEGREES = 180.0 / PI
INFINITY = math.inf


# ---------------------------------------------------------------- comparisons and tests
def less(x, y):
    return x < y


def less_equal(x, y):
    return x <= y


def maximum(x, y):
    # x where it is greater or NaN; y where that is NaN, for then x >= y is false
    return x if (x >= y) | (x != x) else y


def minimum(x, y):
    return x if (x <= y) | (x != x) else y


def isinf(x):
    return (x == INFINITY) | (x == -INFINITY)


def isfinite(x):
    return (x < INFINITY) & (x > -INFINITY)


def signbit(x):
    return math.copysign(1.0, x) < 0.0


# ---------------------------------------------------------------- arithmetic
def divide(x, y):
    return x / y


def power(x, y):
    return x**y


def absolute(x):
    return abs(x)


def sign(x):
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else (0.0 if x == 0.0 else x))


def unchanged(x):
    return x


def remainder(x, y):
    # as NumPy: the sign of y, that of a zero included, and fmod's exactness
    rest = np.fmod(x, y)
    moved = rest + y if (y < 0.0) != (rest < 0.0) else rest
    return math.copysign(0.0, y) if rest == 0.0 else moved


def floor_divide(x, y):
    rest = np.fmod(x, y)
    exact = (x - rest) / y
    exact = exact - 1.0 if (rest != 0.0) & ((y < 0.0) != (rest < 0.0)) else exact
    whole = np.floor(exact)
    whole = whole + 1.0 if exact - whole > 0.5 else whole
    whole = whole if exact != 0.0 else math.copysign(0.0, x / y)
    return x / y if y == 0.0 else whole


def deg2rad(x):
    return x * RADIANS


def rad2deg(x):
    return x * DEGREES


def angle(x):
    # arctan2(0, x)
    return x if x != x else (PI if math.copysign(1.0, x) < 0.0 else 0.0)


# ---------------------------------------------------------------- sums of exponentials
def sigmoid(x):
    decay = math.exp(-abs(x))
    return (decay if x < 0.0 else 1.0) / (1.0 + decay)


def softplus(x):
    return (0.0 if x < 0.0 else x) + math.log1p(math.exp(-abs(x)))


def logaddexp(x, y):
    # equal infinities have no difference, hence the case of equal arguments
    larger = x if (x >= y) | (x != x) else y
    return x + LN2 if x == y else larger + math.log1p(math.exp(-abs(x - y)))


def log1mexp(x):
    return math.log(-math.expm1(x)) if x > -LN2 else math.log1p(-math.exp(x))


TABLE: dict[str, Any] = {
    "less": less, "less_equal": less_equal, "maximum": maximum, "minimum": minimum,
    "isinf": isinf, "isfinite": isfinite, "signbit": signbit, "copysign": "math.copysign",
    "divide": divide, "floor_divide": floor_divide, "remainder": remainder, "power": power, "absolute": absolute,
    "sign": sign, "real": unchanged, "conjugate": unchanged, "angle": angle, "complex": "complex",
    "floor": "np.floor", "ceil": "np.ceil", "trunc": "np.trunc", "rint": "np.rint",
    "sqrt": "math.sqrt", "cbrt": "np.cbrt", "hypot": "math.hypot",
    "exp": "math.exp", "exp2": "np.exp2", "expm1": "math.expm1", "log": "math.log", "log2": "np.log2",
    "log10": "math.log10", "log1p": "math.log1p",
    "sin": "math.sin", "cos": "math.cos", "tan": "math.tan",
    "arcsin": "math.asin", "arccos": "math.acos", "arctan": "math.atan", "arctan2": "math.atan2",
    "sinh": "math.sinh", "cosh": "math.cosh", "tanh": "math.tanh",
    "arcsinh": "math.asinh", "arccosh": "math.acosh", "arctanh": "math.atanh",
    "deg2rad": deg2rad, "rad2deg": rad2deg, "multiply_add": "fma",
    "sigmoid": sigmoid, "softplus": softplus, "logaddexp": logaddexp, "log1mexp": log1mexp,
}
