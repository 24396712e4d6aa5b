"""Complex numbers: NumPy's order, division and powers, and what else Numba lacks or has otherwise."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

INFINITY = math.inf
NAN = math.nan
LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453


# ---------------------------------------------------------------- order: real parts first, NaN anywhere first of all
def less(x, y):
    return (x.real < y.real) & (x.imag == x.imag) & (y.imag == y.imag) | (x.real == y.real) & (x.imag < y.imag)


def less_equal(x, y):
    return (x.real < y.real) & (x.imag == x.imag) & (y.imag == y.imag) | (x.real == y.real) & (x.imag <= y.imag)


def maximum(x, y):
    return x if (x != x) | less_equal(y, x) else y


def minimum(x, y):
    return x if (x != x) | less_equal(x, y) else y


def isinf(x):
    return (abs(x.real) == INFINITY) | (abs(x.imag) == INFINITY)


def isfinite(x):
    return (abs(x.real) < INFINITY) & (abs(x.imag) < INFINITY)


# ---------------------------------------------------------------- parts
def real(x):
    return x.real


def imag(x):
    return x.imag


def conjugate(x):
    return complex(x.real, -x.imag)


def absolute(x):
    return math.hypot(x.real, x.imag)


def angle(x):
    return math.atan2(x.imag, x.real)


def sign(x):
    # as NumPy: of an infinite number the sign of its infinite part alone
    size = math.hypot(x.real, x.imag)
    across, up = x.real, x.imag
    if size == INFINITY:
        across = math.copysign(1.0, across) if abs(across) == INFINITY else 0.0
        up = math.copysign(1.0, up) if abs(up) == INFINITY else 0.0
        both = (across != 0.0) & (up != 0.0)
        return complex(NAN, NAN) if both else complex(across, up)
    divisor = 1.0 if size == 0.0 else size
    return complex(across / divisor, up / divisor)


# ---------------------------------------------------------------- arithmetic
def divide(x, y):
    # Smith's, which scales by the larger part of the divisor (Comm. ACM 5, 1962, 435)
    wide = abs(y.real) >= abs(y.imag)
    larger = y.real if wide else y.imag
    smaller = y.imag if wide else y.real
    zero = (larger == 0.0) & (smaller == 0.0)
    ratio = 0.0 if zero else smaller / larger
    scale = 1.0 / (larger + smaller * ratio)
    across = x.real + x.imag * ratio if wide else x.real * ratio + x.imag
    up = x.imag - x.real * ratio if wide else x.imag * ratio - x.real
    if zero:
        return complex(x.real / abs(y.real), x.imag / abs(y.real))
    return complex(across * scale, up * scale)


def multiply(x, y):
    return complex(x.real * y.real - x.imag * y.imag, x.real * y.imag + x.imag * y.real)


def power(x, y):
    # as NumPy: small whole powers are products; 0 to a power with a positive real part is 0
    if y.real == 0.0 and y.imag == 0.0:
        return complex(1.0, 0.0)
    if x.real == 0.0 and x.imag == 0.0:
        return complex(0.0, 0.0) if y.real > 0.0 else complex(NAN, NAN)
    if y.imag == 0.0 and abs(y.real) < 100.0 and np.floor(y.real) == y.real:
        n, base = int(abs(y.real)), x
        while n & 1 == 0:
            base = multiply(base, base)
            n = n >> 1
        result, n = base, n >> 1  # not 1 times it: of an infinity that is no number
        while n > 0:
            base = multiply(base, base)
            if n & 1:
                result = multiply(result, base)
            n = n >> 1
        return result if y.real > 0.0 else divide(complex(1.0, 0.0), result)
    if y.imag == 0.0 and y.real == 0.5:  # as NumPy's operator: of an infinity the root is known
        return sqrt(x)
    size = math.log(math.hypot(x.real, x.imag))
    turn = math.atan2(x.imag, x.real)
    return exp(complex(y.real * size - y.imag * turn, y.real * turn + y.imag * size))


# ---------------------------------------------------------------- where Numba's overflow, and NumPy's do not
def exp(x):
    grown = math.exp(x.real)
    if x.imag == 0.0:
        return complex(grown, x.imag)
    if not abs(x.imag) < INFINITY:  # as C has it: of infinite real numbers 0 and infinity stay, whatever the angle
        if x.real == -INFINITY:
            return complex(0.0, 0.0)
        return complex(INFINITY if x.real == INFINITY else NAN, NAN)
    if (grown == INFINITY) & (x.real < INFINITY):
        half = math.exp(x.real * 0.5)
        return complex(half * math.cos(x.imag) * half, half * math.sin(x.imag) * half)
    return complex(grown * math.cos(x.imag), grown * math.sin(x.imag))


def exp2(x):
    return complex(np.exp2(x.real), x.imag) if x.imag == 0.0 else exp(complex(x.real * LN2, x.imag * LN2))


def sinh(x):
    if x.imag == 0.0:
        return complex(math.sinh(x.real), x.imag)
    if x.real == 0.0:
        return complex(x.real, math.sin(x.imag))
    if (math.cosh(x.real) == INFINITY) & (abs(x.real) < INFINITY) & (abs(x.imag) < INFINITY):
        half = math.exp(abs(x.real) * 0.5)
        across = half * 0.5 * math.cos(x.imag) * half
        return complex(math.copysign(1.0, x.real) * across, half * 0.5 * math.sin(x.imag) * half)
    return np.sinh(x)


def cosh(x):
    if x.imag == 0.0:
        return complex(math.cosh(x.real), x.imag * math.copysign(1.0, x.real) if x.real != 0.0 else x.real * x.imag)
    if x.real == 0.0:
        return complex(math.cos(x.imag), x.real * math.sin(x.imag))
    if (math.cosh(x.real) == INFINITY) & (abs(x.real) < INFINITY) & (abs(x.imag) < INFINITY):
        half = math.exp(abs(x.real) * 0.5)
        up = half * 0.5 * math.sin(x.imag) * half
        return complex(half * 0.5 * math.cos(x.imag) * half, math.copysign(1.0, x.real) * up)
    return np.cosh(x)


def sin(x):
    turned = sinh(complex(-x.imag, x.real))
    return complex(turned.imag, -turned.real)


def cos(x):
    return cosh(complex(-x.imag, x.real))


def tanh(x):
    if abs(x.real) == INFINITY:
        return complex(math.copysign(1.0, x.real), math.copysign(0.0, x.imag))
    if (abs(x.real) > 20.0) & (abs(x.imag) < INFINITY):  # 1 to the last bit, and 4 sin y cos y e^(-2 |x|)
        up = 4.0 * math.sin(x.imag) * math.cos(x.imag) * math.exp(-2.0 * abs(x.real))
        return complex(math.copysign(1.0, x.real), up)
    if x.real == 0.0:
        return complex(x.real, math.tan(x.imag))
    return np.tanh(x)


def sqrt(x):
    size = max(abs(x.real), abs(x.imag))
    if (size * 8.0 == INFINITY) & (size < INFINITY):
        root = np.sqrt(complex(x.real * 0.0625, x.imag * 0.0625))
        return complex(root.real * 4.0, root.imag * 4.0)
    return np.sqrt(x)


def arccosh(x):
    # Kahan, "Branch cuts for complex elementary functions", 1987
    below, above = sqrt(complex(x.real - 1.0, x.imag)), sqrt(complex(x.real + 1.0, x.imag))
    across = math.asinh(below.real * above.real + below.imag * above.imag)
    return complex(across, 2.0 * math.atan2(below.imag, above.real))


TABLE: dict[str, Any] = {
    "less": less, "less_equal": less_equal, "maximum": maximum, "minimum": minimum, "isinf": isinf,
    "isfinite": isfinite, "real": real, "imag": imag, "conjugate": conjugate, "absolute": absolute, "angle": angle,
    "sign": sign, "divide": divide, "power": power,
    "exp": exp, "exp2": exp2, "expm1": "np.expm1", "log": "np.log", "log2": "np.log2", "log10": "np.log10",
    "log1p": "np.log1p", "sqrt": sqrt,
    "sin": sin, "cos": cos, "tan": "np.tan",
    "arcsin": "np.arcsin", "arccos": "np.arccos", "arctan": "np.arctan",
    "sinh": sinh, "cosh": cosh, "tanh": tanh,
    "arcsinh": "np.arcsinh", "arccosh": arccosh, "arctanh": "np.arctanh",
}
