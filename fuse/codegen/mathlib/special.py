"""What is left of the gamma family: derivatives by recurrence or series, a loop for each number, in float64."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from fuse.codegen.mathlib.gammas import digamma
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


# B(2k) / (2k)! for k = 1, 2, ...
B2, B4, B6, B8 = 0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07
B10, B12, B14, B16 = 2.08767569878681e-08, -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13
B18, B20, B22, B24 = 8.586062056277845e-15, -2.174868698558062e-16, 5.5090028283602295e-18, -1.3954464685812523e-19


def next_of_tail(value, s, per_square, rest):
    """One more step of ``b2 + s (s + 1) / x**2 (b4 + (s + 2) (s + 3) / x**2 (b6 + ...))`` from within."""
    return value + s * (s + 1.0) * per_square * rest


def hurwitz_zeta(s, x):
    """The sum of ``(x + k)**-s`` over k >= 0 for s >= 2 and x > 0, by Euler and Maclaurin from x + k >= s + 10."""
    total = 0.0
    while x < s + 10.0:
        total = total + x**-s
        x = x + 1.0
    term = x**-s
    total = total + term * (x / (s - 1.0) + 0.5)
    y = 1.0 / x / x
    rest = next_of_tail(B22, s + 21.0, y, B24)
    rest = next_of_tail(B20, s + 19.0, y, rest)
    rest = next_of_tail(B18, s + 17.0, y, rest)
    rest = next_of_tail(B16, s + 15.0, y, rest)
    rest = next_of_tail(B14, s + 13.0, y, rest)
    rest = next_of_tail(B12, s + 11.0, y, rest)
    rest = next_of_tail(B10, s + 9.0, y, rest)
    rest = next_of_tail(B8, s + 7.0, y, rest)
    rest = next_of_tail(B6, s + 5.0, y, rest)
    rest = next_of_tail(B4, s + 3.0, y, rest)
    rest = next_of_tail(B2, s + 1.0, y, rest)
    return total + term / x * s * rest


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


# ---------------------------------------------------------------- derivatives in the parameters of incomplete functions
MANY = 20000.0  # steps, after which a sum has no result: it takes some times the root of the larger argument


def gammainc_da(a, x):
    """The derivative in ``a`` of the regularised lower incomplete gamma function.

    Up to a + 1 the power series in x, beyond it the continued fraction of the upper function by Lentz's method, each
    differentiated term by term: Moore, Applied Statistics 31 (1982) 330.
    """
    if (a <= 0.0) | (x < 0.0) | (a != a) | (x != x) | (a == INFINITY):
        return NAN
    if (x == 0.0) | (x == INFINITY):
        return 0.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a + 1.0))
    if scale == 0.0:
        return -0.0
    n = 1.0
    if x < a + 1.0:
        term = 1.0
        total = 1.0
        slope = 0.0
        fall = 0.0
        while n < MANY:
            fall = fall + 1.0 / (a + n)
            term = term * x / (a + n)
            total = total + term
            slope = slope - term * fall
            if (term <= 1e-17 * total) & (term * fall <= -1e-17 * slope):
                return scale * ((math.log(x) - digamma(a + 1.0)) * total + slope)
            n = n + 1.0
        return NAN
    b = x + 1.0 - a
    c = 1e300
    dc = 0.0
    d = 1.0 / b
    dd = d * d
    h = d
    dh = dd
    while n < MANY:
        factor = n * (a - n)
        b = b + 2.0
        below = factor * d + b
        dbelow = n * d + factor * dd - 1.0
        dc = (n - factor * dc / c) / c - 1.0
        c = b + factor / c
        d = 1.0 / below
        dd = -dbelow * d * d
        ratio = c * d
        dh = dh * ratio + h * (dc * d + c * dd)
        h = h * ratio
        if (abs(ratio - 1.0) <= 1e-16) & (abs(h * (dc * d + c * dd)) <= 1e-16 * abs(dh)):
            return -a * scale * (h * (math.log(x) - digamma(a)) + dh)
        n = n + 1.0
    return NAN


def betainc_slope(a, b, x, p, q):
    """The derivative of the regularised incomplete beta function, p times that in a and q times that in b.

    The continued fraction of DiDonato and Morris, ACM Trans. Math. Softw. 18 (1992) 360, for x up to about
    a / (a + b), by Lentz's method with its derivative.
    """
    step = a + 1.0
    d = 1.0 / (1.0 - (a + b) * x / step)
    dd = x * ((p + q) * step - (a + b) * p) / (step * step) * d * d
    h = d
    slope = dd / d
    c = 1.0
    dc = 0.0
    n = 1.0
    while n < MANY:
        change = 0.0
        size = 0.0
        k = 0.0
        while k < 2.0:
            even = a + 2.0 * n
            other = even - 1.0 if k == 0.0 else even + 1.0
            top = n * (b - n) * x if k == 0.0 else -(a + n) * (a + b + n) * x
            dtop = n * q * x if k == 0.0 else -(p * (a + b + n) + (a + n) * (p + q)) * x
            under = even * other
            factor = top / under
            dfactor = (dtop - factor * p * (even + other)) / under
            dbelow = dfactor * d + factor * dd
            d = 1.0 / (1.0 + factor * d)
            dd = -dbelow * d * d
            dc = (dfactor - factor * dc / c) / c
            c = 1.0 + factor / c
            h = h * c * d
            change = change + dd / d + dc / c
            size = size + abs(c * d - 1.0)
            k = k + 1.0
        slope = slope + change
        if (size <= 1e-16) & (abs(change) <= 1e-16 * abs(slope)):
            both = math.lgamma(a + b)
            logarithm = a * math.log(x) + b * math.log1p(-x) + both - math.lgamma(a) - math.lgamma(b)
            common = digamma(a + b)
            rest = p * (math.log(x) - 1.0 / a - digamma(a) + common) + q * (math.log1p(-x) - digamma(b) + common)
            return math.exp(logarithm) / a * h * (rest + slope)
        n = n + 1.0
    return NAN


def betainc_da(a, b, x):
    if (a <= 0.0) | (b <= 0.0) | (x < 0.0) | (x > 1.0) | (a != a) | (b != b) | (x != x):
        return NAN
    if (a == INFINITY) | (b == INFINITY):
        return NAN
    if (x == 0.0) | (x == 1.0):
        return 0.0
    if x * (a + b + 2.0) <= a + 1.0:
        return betainc_slope(a, b, x, 1.0, 0.0)
    return -betainc_slope(b, a, 1.0 - x, 0.0, 1.0)


NATIVE = {"erf", "erfc", "lgamma"}  # the device's own, in either precision
TABLE: dict[str, Any] = {
    "erf": "math.erf", "erfc": "math.erfc", "gamma": "math.gamma", "lgamma": "math.lgamma", "trigamma": trigamma,
    "polygamma": polygamma, "gammainc_da": gammainc_da, "betainc_da": betainc_da,
}
