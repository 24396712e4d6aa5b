"""exp, log and their relatives as straight lines of arithmetic, which LLVM widens to vectors as it cannot libm.

One text serves both precisions: capital names are looked up in ``CONSTANTS`` for the dtype. ``to_bits`` and
``from_bits`` reinterpret a float as an integer of its width and back, ``whole`` is that integer type. The series are
minimax polynomials that ``python -m benchmarks.remez`` finds. Adding MAGIC, 1.5 times 2 to the number of mantissa
bits, rounds to a whole number and leaves it in the lowest bits; shifted to the exponent's place, MAGIC's own bits are
gone.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fuse.codegen.mathlib.specialise import best_alone, polynomial, side_by_side

if TYPE_CHECKING:
    from fuse.codegen.scalars import f2i as to_bits
    from fuse.codegen.scalars import fma
    from fuse.codegen.scalars import i2f as from_bits

    whole = int
    MAGIC = LOG2_E = LN2_HIGH = LN2_LOW = LN2 = LN2_REST = EXP_LOWEST = EXP_HIGHEST = EXP_OVERFLOW = LIFT_SCALE = 1.0
    EXP2_LOWEST = EXP2_HIGHEST = SMALLEST_NORMAL = SUBNORMAL_SCALE = SUBNORMAL_SHIFT = 1.0
    LEAST_POWER = LOG10_E = LOG10_E_REST = LOG10_2 = LOG10_2_REST = ROOT_HALF = 1.0
    MAGIC_BITS = MANTISSA = ONE_BITS = HALF_BITS = LIFTED_BITS = ROOT_HALF_BITS = MANTISSA_MASK = 1
    EXP_SERIES = EXP2_SERIES = LOG_SERIES = (1.0,)

INFINITY = math.inf
NAN = math.nan

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": {
        "to_bits": "f2i", "from_bits": "i2f", "whole": "int64", "MANTISSA": 52, "MANTISSA_MASK": 0x000FFFFFFFFFFFFF,
        "MAGIC": 6755399441055744.0, "MAGIC_BITS": 0x4338000000000000, "ONE_BITS": 0x3FF0000000000000,
        "ROOT_HALF_BITS": 0x3FE6A09E667F3BCD, "ROOT_HALF": 0.7071067811865476,
        "LN2_HIGH": 0.6931471803691238, "LN2_LOW": 1.9082149292705877e-10,
        "LN2": 0.6931471805599453, "LN2_REST": 2.3190468138462996e-17,
        "LOG2_E": 1.4426950408889634,
        "LOG10_E": 0.4342944819032518, "LOG10_E_REST": 1.098319650216765e-17,
        "LOG10_2": 0.30102999566383914, "LOG10_2_REST": 1.42050232272661e-13,
        "EXP_LOWEST": -750.0, "EXP_HIGHEST": 710.0,
        "EXP2_LOWEST": -1080.0, "EXP2_HIGHEST": 1024.0, "LEAST_POWER": -1000.0,
        "HALF_BITS": 0x3FE0000000000000, "LIFTED_BITS": 0x43F0000000000000, "LIFT_SCALE": 2.0**-64,
        "SMALLEST_NORMAL": 2.2250738585072014e-308, "SUBNORMAL_SCALE": 2.0**54, "SUBNORMAL_SHIFT": 54.0,
        # (exp(r) - 1 - r) / r**2 for abs(r) <= log(2) / 2
        "EXP_SERIES": (
            0.5000000000000011, 0.16666666666666408, 0.041666666666528115, 0.008333333333496938,
            0.0013888888944246962, 0.0001984126950271465, 2.4801492390567987e-05,
            2.7557588439951547e-06, 2.763052264781002e-07, 2.4999853326237087e-08,
        ),
        # (2**r - 1 - r log(2)) / r**2 for abs(r) <= 1/2
        "EXP2_SERIES": (
            0.24022650695910136, 0.055504108664821694, 0.009618129107592457, 0.001333355814638546,
            0.0001540353045937198, 1.5252733863806115e-05, 1.3215434098013402e-06,
            1.0178047459491517e-07, 7.0739943555024195e-09, 4.4572886867103085e-10,
        ),
        # ((log(1 + s) - log(1 - s)) / s - 2) / s**2 in s**2 for s <= (sqrt(2) - 1) / (sqrt(2) + 1)
        "LOG_SERIES": (
            0.6666666666666735, 0.39999999999407515, 0.28571428744134986, 0.22222198379195246,
            0.18183575125472226, 0.15313756847086712, 0.14799054627789002,
        ),
    },
    "float32": {
        "to_bits": "f2i32", "from_bits": "i2f32", "whole": "int32", "MANTISSA": 23, "MANTISSA_MASK": 0x007FFFFF,
        "MAGIC": 12582912.0, "MAGIC_BITS": 0x4B400000, "ONE_BITS": 0x3F800000,
        "ROOT_HALF_BITS": 0x3F3504F3, "ROOT_HALF": 0.7071067811865476,
        "LN2_HIGH": 0.693115234375, "LN2_LOW": 3.194618329871446e-05,
        "LN2": 0.6931471824645996, "LN2_REST": -1.9046542121259336e-09,
        "LOG2_E": 1.4426950216293335,
        "LOG10_E": 0.4342944920063019, "LOG10_E_REST": -1.0103049952192578e-08,
        "LOG10_2": 0.301025390625, "LOG10_2_REST": 4.605039066518657e-06,
        "EXP_LOWEST": -105.0, "EXP_HIGHEST": 89.0,
        "EXP2_LOWEST": -152.0, "EXP2_HIGHEST": 128.0, "LEAST_POWER": -120.0,
        "HALF_BITS": 0x3F000000, "LIFTED_BITS": 0x4F800000, "LIFT_SCALE": 2.0**-32,
        "SMALLEST_NORMAL": 1.1754943508222875e-38, "SUBNORMAL_SCALE": 2.0**25, "SUBNORMAL_SHIFT": 25.0,
        "EXP_SERIES": (
            0.4999999403953552, 0.1666651964187622, 0.041668400168418884, 0.008368849754333496,
            0.001381431007757783,
        ),
        "EXP2_SERIES": (
            0.24022650718688965, 0.05550361052155495, 0.009618021547794342, 0.0013390891253948212,
            0.0001547226420370862,
        ),
        "LOG_SERIES": (0.6666677594184875, 0.3997744917869568, 0.2987442910671234),
    },
}


def between(x, low, high):
    """x, or the bound it is beyond: two instructions, which let NaN pass."""
    above = low if x < low else x
    return high if above > high else above


# ---------------------------------------------------------------- exponentials
# x = n log(2) + r, so that exp(x) = 2**n (1 + q) with q = exp(r) - 1. The bits of n are kept in `shifted`.
def exponential(x):
    """``shifted``, ``q`` and what q lacks, for x within the range where 2**n is a number or nearly."""
    shifted = fma(x, LOG2_E, MAGIC)
    n = shifted - MAGIC
    high = fma(-n, LN2_HIGH, x)
    r = fma(-n, LN2_LOW, high)
    square = r * r
    series = polynomial(r, EXP_SERIES)
    q = fma(series, square, r)
    return shifted, q, fma(series, square, r - q) + fma(-n, LN2_LOW, high - r)


def scaled(factor, q, shifted):
    """``factor * (1 + q) * 2**n`` by way of 2**(n - 1), or of a larger power for small n: numbers all along."""
    small = shifted < MAGIC + LEAST_POWER
    scale = factor * from_bits((to_bits(shifted) << MANTISSA) + (LIFTED_BITS if small else HALF_BITS))
    return fma(q, scale, scale) * (LIFT_SCALE if small else 2.0)


@best_alone
def exp(x):
    bounded = between(x, EXP_LOWEST, EXP_HIGHEST)
    shifted, q, _ = exponential(bounded)
    return scaled(1.0, q, shifted)


# Functions that are often met with the exponential of the same number begin as it does: LLVM then computes it once.
def beside_one(shifted):
    """``shifted`` for a 2**n that is to be added to 1: not so small that it is no number."""
    least = MAGIC - 60.0
    return least if shifted < least else shifted


@best_alone
def expm1(x):
    bounded = between(x, EXP_LOWEST, EXP_HIGHEST)
    shifted, q, rest = exponential(bounded)
    half = from_bits(((to_bits(beside_one(shifted)) - 1) << MANTISSA) + ONE_BITS)
    value = (fma(q, half, half - 0.5) + rest * half) * 2.0
    return x if abs(x) < SMALLEST_NORMAL else value  # the half of such a number may be none


def doubled_decay(x):
    """``shifted`` and ``q`` of ``exp(-2 abs(x))``."""
    twice = -2.0 * abs(x)
    shifted, q, _ = exponential(EXP_LOWEST if twice < EXP_LOWEST else twice)
    return shifted, q


@best_alone
def tanh(x):
    shifted, q = doubled_decay(x)
    scale = from_bits((to_bits(beside_one(shifted)) << MANTISSA) + ONE_BITS)
    value = fma(q, scale, scale - 1.0)
    return math.copysign(value / (value + 2.0), x)


def sech2(x):
    shifted, q = doubled_decay(x)
    decay = scaled(1.0, q, shifted)
    sum_ = 1.0 + decay
    return 4.0 * decay / (sum_ * sum_)


def binary_exponential(r, rest):
    """``2**(r + rest) - 1`` for abs(r) <= 1/2 and a rest below its last digit."""
    return fma(r, LN2, fma(polynomial(r, EXP2_SERIES), r * r, fma(r, LN2_REST, rest * LN2)))


def exp2(x):
    bounded = between(x, EXP2_LOWEST, EXP2_HIGHEST)
    shifted = bounded + MAGIC
    return scaled(1.0, binary_exponential(bounded - (shifted - MAGIC), 0.0), shifted)


@best_alone
def sigmoid(x):
    decay = exp(-abs(x))
    return (decay if x < 0.0 else 1.0) / (1.0 + decay)


# ---------------------------------------------------------------- logarithms
# x = 2**k (1 + f) with 1/sqrt(2) <= 1 + f < sqrt(2); log(1 + f) = 2 artanh(s) with s = f / (2 + f), which is
# f - s (f - R(s)), as in fdlibm.
def parts(x):
    """f and k of a normal positive number."""
    bits = whole(to_bits(x) - ROOT_HALF_BITS)
    f = from_bits((bits & MANTISSA_MASK) + ROOT_HALF_BITS) - 1.0
    return f, from_bits((bits >> MANTISSA) + MAGIC_BITS) - MAGIC


def parts_of_any(x):
    """f and k of a finite positive number."""
    subnormal = x < SMALLEST_NORMAL
    f, k = parts(x * SUBNORMAL_SCALE if subnormal else x)
    return f, k - SUBNORMAL_SHIFT if subnormal else k


def less_than_f(f):
    """``f - log(1 + f)``, which is below f**2."""
    s = f / (2.0 + f)
    z = s * s
    return s * fma(-z, polynomial(z, LOG_SERIES), f)


def joined(f, k, less):
    """``k log(2) + f - less``, the largest term last but one."""
    return fma(k, LN2_HIGH, f - fma(-k, LN2_LOW, less))


def edges_of_log(x, inside):
    """What a logarithm of x is, given its value for positive finite x."""
    inside = inside if x < INFINITY else x
    return inside if x > 0.0 else (-INFINITY if x == 0.0 else NAN)


@best_alone
def log(x):
    f, k = parts_of_any(x)
    return edges_of_log(x, joined(f, k, less_than_f(f)))


def log2(x):
    f, k = parts_of_any(x)
    return edges_of_log(x, k + fma(-LOG2_E, less_than_f(f), f * LOG2_E))


def log10(x):
    f, k = parts_of_any(x)
    low = fma(f, LOG10_E_REST, fma(k, LOG10_2_REST, -LOG10_E * less_than_f(f)))
    return edges_of_log(x, fma(k, LOG10_2, fma(f, LOG10_E, low)))


def log1p(x):
    u = 1.0 + x
    f, k = parts(u)
    near = k == 0.0
    f = x if near else f
    # what the sum lost, in the scale of f; divided by 1 + f, for which a few digits do
    lost = (x - (u - 1.0) if x < 1.0 else 1.0 - (u - x)) * from_bits(ONE_BITS - (to_bits(k + MAGIC) << MANTISSA))
    rest = 0.0 if near | (x > SUBNORMAL_SCALE) else lost * fma(f, f - 1.0, 1.0)
    value = edges_of_log(u, joined(f, k, less_than_f(f) - rest))
    return x if x == 0.0 else value


# ---------------------------------------------------------------- sums of exponentials
def log1p_of_decay(e):
    """``log1p(e)`` for 0 <= e <= 1: no edges."""
    above = e > 0.4142135623730951
    f = 0.5 * (e - 1.0) if above else e
    return joined(f, 1.0 if above else 0.0, less_than_f(f))


@side_by_side
def softplus(x):
    return (0.0 if x < 0.0 else x) + log1p_of_decay(exp(-abs(x)))


@side_by_side
def logaddexp(x, y):
    # equal infinities have no difference, hence the case of equal arguments
    larger = x if (x >= y) | (x != x) else y
    return x + LN2 if x == y else larger + log1p_of_decay(exp(-abs(x - y)))


def log1mexp(x):
    """Mächler's two forms: of ``1 - exp(x)`` itself, and where that is near 1 of the exponential taken from 1."""
    bounded = EXP_LOWEST if x < EXP_LOWEST else x
    shifted, q, rest = exponential(bounded)
    scale = from_bits((to_bits(shifted) << MANTISSA) + ONE_BITS)
    left = -(fma(q, scale, scale - 1.0) + rest * scale)
    decay = scaled(1.0, q, shifted)
    few = decay < 1.0 - ROOT_HALF
    f, k = parts_of_any(left)
    f = -decay if few else f
    value = joined(f, 0.0 if few else k, less_than_f(f))
    return -abs(value) if x < 0.0 else (-INFINITY if x == 0.0 else NAN)


TABLE: dict[str, Any] = {
    "exp": exp, "exp2": exp2, "expm1": expm1, "tanh": tanh, "sech2": sech2, "sigmoid": sigmoid,
    "log": log, "log2": log2, "log10": log10, "log1p": log1p, "softplus": softplus,
    "logaddexp": logaddexp, "log1mexp": log1mexp,
}
