"""exp, log and their relatives as straight lines of arithmetic, which LLVM widens to vectors as it cannot libm.

One text serves both precisions: capital names are looked up in ``CONSTANTS`` for the dtype. ``to_bits`` and
``from_bits`` reinterpret a float as an integer of its width and back. The series are Chebyshev fits made with mpmath.
Adding MAGIC, 1.5 times 2 to the number of mantissa bits, rounds to a whole number and leaves it in the lowest bits.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fuse.codegen.mathlib.specialise import polynomial

if TYPE_CHECKING:
    from fuse.codegen.intrinsics import f2i as to_bits
    from fuse.codegen.intrinsics import fma
    from fuse.codegen.intrinsics import i2f as from_bits

    MAGIC = LOG2_E = LN2_HIGH = LN2_LOW = EXP_LOWEST = EXP_HIGHEST = SMALLEST_NORMAL = SUBNORMAL_SCALE = 1.0
    MAGIC_BITS = MANTISSA = BIAS = ROOT_HALF_BITS = MANTISSA_MASK = SUBNORMAL_SHIFT = EXPM1_PLAIN = 1
    EXP_SERIES = LOG_SERIES = TANH_SERIES = ERF_SERIES = ERFCX_SERIES = (1.0,)

INFINITY = math.inf
LN2 = 0.6931471805599453
NAN = math.nan

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": {
        "to_bits": "f2i", "from_bits": "i2f", "MANTISSA": 52, "BIAS": 1023, "MANTISSA_MASK": 0x000FFFFFFFFFFFFF,
        "MAGIC": 6755399441055744.0, "MAGIC_BITS": 0x4338000000000000, "ROOT_HALF_BITS": 0x3FE6A09E667F3BCD,
        "LOG2_E": 1.4426950408889634, "LN2_HIGH": 0.6931471803691238, "LN2_LOW": 1.9082149292705877e-10,
        "EXP_LOWEST": -750.0, "EXP_HIGHEST": 710.0, "EXPM1_PLAIN": 60,
        "SMALLEST_NORMAL": 2.2250738585072014e-308, "SUBNORMAL_SCALE": 18014398509481984.0, "SUBNORMAL_SHIFT": 54,
        # (exp(r) - 1 - r) / r**2 for abs(r) <= log(2) / 2
        "EXP_SERIES": (
            0.5, 0.1666666666666667, 0.04166666666666668, 0.008333333333326134, 0.0013888888888879073,
            0.00019841269874822307, 2.4801587336443602e-05, 2.755725539833871e-06, 2.7557263277791584e-07,
            2.5105217695684516e-08, 2.091813816945801e-09,
        ),
        # ((log(1 + s) - log(1 - s)) / s - 2) / s**2 in s**2 for abs(s) <= 1/5
        "LOG_SERIES": (
            0.6666666666666666, 0.40000000000007996, 0.2857142856725317, 0.22222223051762294, 0.18181737383008073,
            0.15388876712590915, 0.13209546573512165, 0.13610182927411002,
        ),
        # erf(x) / x - 1 in x**2 for abs(x) <= 0.75
        "ERF_SERIES": (
            0.1283791670955126, -0.37612638903183715, 0.11283791670952514, -0.026866170644408167, 0.00522397761516465,
            -0.000854832617038118, 0.00012055288768870961, -1.4924174937653788e-05, 1.6430340286373514e-06,
            -1.593701496567397e-07, 1.1461029647983236e-08,
        ),
        # erfcx(x) * (1 + 2 x) for x >= 0 in t = (x - 4) / (x + 4); Shepherd and Laframboise, Math. Comp. 36 (1981) 249
        "ERFCX_SERIES": (
            1.2329951186255526, -0.1396211168405625, 0.015379652102619604, 0.0680970542546904, -0.10103906603630056,
            0.09373283499843822, -0.06633036581218683, 0.03716751553592976, -0.016197734059800725, 0.005031969992664451,
            -0.000757773261364264, -0.00019925677573464487, 0.00015062148997866618, -2.4398944643274328e-05,
            -1.1221286927777815e-05, 5.709206277174306e-06, 2.919731967635643e-07, -8.249201889715878e-07,
            7.747008221015442e-08, 1.1009772948297078e-07, -2.056075697415249e-08, -1.4709785282263815e-08,
            3.1696311067435704e-09, 1.7904216098238652e-09, -2.6596743641112604e-10, -1.3748013895250172e-10,
        ),
        # (tanh(x) / x - 1) / x**2 in x**2 for abs(x) <= 0.625
        "TANH_SERIES": (
            -0.3333333333333333, 0.13333333333333017, -0.053968253967868515, 0.021869488517764112,
            -0.008863235075597957, 0.003592121395429448, -0.001455772575522345, 0.0005896462077446172,
            -0.00023754357562897715, 9.247631460921059e-05, -3.109348420173536e-05, 6.432597691645353e-06,
        ),
    },
    "float32": {
        "to_bits": "f2i32", "from_bits": "i2f32", "MANTISSA": 23, "BIAS": 127, "MANTISSA_MASK": 0x007FFFFF,
        "MAGIC": 12582912.0, "MAGIC_BITS": 0x4B400000, "ROOT_HALF_BITS": 0x3F3504F3,
        "LOG2_E": 1.4426950408889634, "LN2_HIGH": 0.693115234375, "LN2_LOW": 3.194618329871446e-05,
        "EXP_LOWEST": -105.0, "EXP_HIGHEST": 89.0, "EXPM1_PLAIN": 30,
        "SMALLEST_NORMAL": 1.1754943508222875e-38, "SUBNORMAL_SCALE": 33554432.0, "SUBNORMAL_SHIFT": 25,
        "EXP_SERIES": (
            0.5, 0.1666666716337204, 0.04166646674275398, 0.0083332983776927, 0.0013933652080595493,
            0.000198992871446535,
        ),
        "LOG_SERIES": (0.6666666865348816, 0.4000031650066376, 0.28532442450523376, 0.23753060400485992),
        "ERF_SERIES": (
            0.12837916612625122, -0.3761261999607086, 0.11283382773399353, -0.026834888383746147, 0.005114774685353041,
            -0.0006751828477717936,
        ),
        "ERFCX_SERIES": (
            1.2329951524734497, -0.1396210938692093, 0.015379768796265125, 0.06809617578983307, -0.10104094445705414,
            0.09374020248651505, -0.066319040954113, 0.037140458822250366, -0.016230391338467598, 0.005082269664853811,
            -0.000709132815245539, -0.00024843672872520983, 0.0001142081746365875,
        ),
        "TANH_SERIES": (
            -0.3333333432674408, 0.1333330273628235, -0.05395904555916786, 0.021767035126686096,
            -0.008337405510246754, 0.002285007620230317,
        ),
    },
}


# ---------------------------------------------------------------- exponentials
# x = n log(2) + r, so that exp(x) = 2**n (1 + q) with q = exp(r) - 1. The bits of n are kept in `shifted`; 2**n is the
# product of two halves, because n reaches beyond the exponents of normal numbers.
def exp(x):
    bounded = EXP_HIGHEST if x > EXP_HIGHEST else (EXP_LOWEST if x < EXP_LOWEST else x)
    shifted = fma(bounded, LOG2_E, MAGIC)
    n = shifted - MAGIC
    r = fma(-n, LN2_LOW, fma(-n, LN2_HIGH, bounded))
    q = fma(polynomial(r, EXP_SERIES), r * r, r)
    power = to_bits(shifted) - MAGIC_BITS
    half = power >> 1
    scale = from_bits((half + BIAS) << MANTISSA)
    return fma(q, scale, scale) * from_bits((power - half + BIAS) << MANTISSA)


def expm1(x):
    bounded = EXP_HIGHEST if x > EXP_HIGHEST else (EXP_LOWEST if x < EXP_LOWEST else x)
    shifted = fma(bounded, LOG2_E, MAGIC)
    n = shifted - MAGIC
    high = fma(-n, LN2_HIGH, bounded)
    r = fma(-n, LN2_LOW, high)
    tail = polynomial(r, EXP_SERIES) * r * r
    q = r + tail
    q_rest = ((r - q) + tail) + fma(-n, LN2_LOW, high - r)
    power = to_bits(shifted) - MAGIC_BITS
    half = power >> 1
    first = from_bits((half + BIAS) << MANTISSA)
    second = from_bits((power - half + BIAS) << MANTISSA)
    scale = first * second
    near = fma(q, scale, scale - 1.0) + q_rest * scale
    # beyond that n the 1 is below half a unit, and the scale may be infinite
    plain = fma(q, first, first) * second if power > EXPM1_PLAIN else near
    return x if x == 0.0 else plain


def tanh(x):
    size = abs(x)
    z = size * size
    inner = fma(polynomial(z, TANH_SERIES) * z, size, size)
    outer = 1.0 - 2.0 / (exp(2.0 * size) + 1.0)
    return math.copysign(inner if size < 0.625 else outer, x)


# ---------------------------------------------------------------- logarithms
# x = 2**k (1 + f) with 1/sqrt(2) <= 1 + f < sqrt(2); log(1 + f) = 2 artanh(s) with s = f / (2 + f), arranged as in
# fdlibm so that f, the largest term, is added last but one. `rest` is what 1 + x lost, relative to it.
def log_of_parts(f, k, rest):
    s = f / (2.0 + f)
    z = s * s
    half_square = 0.5 * f * f
    series = z * polynomial(z, LOG_SERIES)
    low = s * (half_square + series) + fma(k, LN2_LOW, rest)
    return k * LN2_HIGH - ((half_square - low) - f)


def log(x):
    subnormal = x < SMALLEST_NORMAL
    bits = to_bits(x * SUBNORMAL_SCALE if subnormal else x) - ROOT_HALF_BITS
    exponent = (bits >> MANTISSA) - (SUBNORMAL_SHIFT if subnormal else 0)
    k = from_bits(exponent + MAGIC_BITS) - MAGIC
    f = from_bits((bits & MANTISSA_MASK) + ROOT_HALF_BITS) - 1.0
    inside = log_of_parts(f, k, 0.0)
    edge = -INFINITY if x == 0.0 else (x if x == INFINITY else NAN)
    return inside if (x > 0.0) & (x < INFINITY) else edge


def log1p(x):
    u = 1.0 + x
    bits = to_bits(u) - ROOT_HALF_BITS
    k = from_bits((bits >> MANTISSA) + MAGIC_BITS) - MAGIC
    f = from_bits((bits & MANTISSA_MASK) + ROOT_HALF_BITS) - 1.0
    lost = (x - (u - 1.0) if x < 1.0 else 1.0 - (u - x)) / u
    near = k == 0.0
    inside = log_of_parts(x if near else f, k, 0.0 if near else lost)
    edge = -INFINITY if u == 0.0 else (x if x == INFINITY else NAN)
    inside = inside if (u > 0.0) & (u < INFINITY) else edge
    return x if x == 0.0 else inside


# ---------------------------------------------------------------- sums of exponentials
def log1p_of_decay(e):
    """``log1p(e)`` for 0 <= e <= 1: no edges, and (e - 1) / 2 is exact."""
    above = e > 0.5
    return log_of_parts(0.5 * (e - 1.0) if above else e, 1.0 if above else 0.0, 0.0)


def softplus(x):
    return (0.0 if x < 0.0 else x) + log1p_of_decay(exp(-abs(x)))


def logaddexp(x, y):
    # equal infinities have no difference, hence the case of equal arguments
    larger = x if (x >= y) | (x != x) else y
    return x + LN2 if x == y else larger + log1p_of_decay(exp(-abs(x - y)))


# ---------------------------------------------------------------- error functions
def erfcx_positive(x):
    t = (x - 4.0) / (x + 4.0)
    return polynomial(t, ERFCX_SERIES) / (1.0 + 2.0 * x)


def erfc_positive(x):
    bounded = 30.0 if x > 30.0 else x
    square = bounded * bounded
    rest = fma(bounded, bounded, -square)
    decay = exp(-square)
    return erfcx_positive(bounded) * fma(-rest, decay, decay)


def erfc(x):
    tail = erfc_positive(abs(x))
    return 2.0 - tail if x < 0.0 else tail


def erf(x):
    size = abs(x)
    z = size * size
    inner = fma(polynomial(z, ERF_SERIES), size, size)
    return math.copysign(inner if size < 0.75 else 1.0 - erfc_positive(size), x)


TABLE: dict[str, Any] = {
    "exp": exp, "expm1": expm1, "tanh": tanh, "log": log, "log1p": log1p, "softplus": softplus,
    "logaddexp": logaddexp, "erf": erf, "erfc": erfc,
}
