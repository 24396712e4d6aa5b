"""The error function, its complement and their inverses, vectorised as in ``vector``."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fuse.codegen.mathlib import vector
from fuse.codegen.mathlib.specialise import horner, polynomial
from fuse.codegen.mathlib.vector import exponential, joined, less_than_f, parts_of_any, scaled

if TYPE_CHECKING:
    from fuse.codegen.intrinsics import f2i as to_bits
    from fuse.codegen.intrinsics import fma
    from fuse.codegen.intrinsics import i2f as from_bits

    ERF_ONE = ERFC_ZERO = ERFCX_OVERFLOW = ERFCX_SHIFT = ERFCX_MIDDLE = ERFCX_FAR = 1.0
    TWO_OVER_ROOT_PI = TWO_OVER_ROOT_PI_REST = 1.0
    TAIL_SHIFT = TAIL_TINY = TAIL_LIFT = TAIL_POWER = 1.0
    MANTISSA = ONE_BITS = 1
    ERFINV_SERIES = TAIL_SERIES = ERF_SERIES = ERFCX_LOW = ERFCX_HIGH = ERFCX_LOSS = (1.0,)

INFINITY = math.inf
NAN = math.nan
HALF_ROOT_PI = 0.886226925452758

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": vector.CONSTANTS["float64"] | {
        "TWO_OVER_ROOT_PI": 1.1283791670955126, "TWO_OVER_ROOT_PI_REST": 1.533545961316588e-17,
        "ERF_ONE": 5.95, "ERFC_ZERO": 27.4, "ERFCX_OVERFLOW": 26.64, "ERFCX_FAR": 2.0**60,
        # (-log(erfc(x)) / x - 2 / sqrt(pi)) / x for 0 <= x <= 5.95, weighted with what it does to erf(x)
        "ERF_SERIES": (
            0.6366197723675876, 0.10277260330144238, -0.019128446995326474, -0.0002091948316946533,
            0.0016962075291971576, -0.0005901318222746082, 2.590261640142053e-05, 6.442480266542855e-05,
            -2.9583245893702977e-05, 3.179951331435858e-06, 3.1220084266893965e-06, -2.0279332669728477e-06,
            5.643954713594349e-07, -8.347343181616075e-09, -6.718067090808689e-08, 3.508059741066389e-08,
            -1.0907302611515787e-08, 2.3886555099511123e-09, -3.8056477870098054e-10, 4.3544080137015847e-11,
            -3.4069062496396065e-12, 1.6360836308895246e-13, -3.641253766505193e-15,
        ),
        # erfcx(x) * (x + s) in t = (x - s) / (x + s) for x >= 0: its value at 0, and the rest divided by t
        "ERFCX_SHIFT": 4.0, "ERFCX_MIDDLE": 1.095995661000491,
        "ERFCX_LOW": (
            -0.976548729080882, 0.7732087022652528, -0.5408538313132495, 0.3308515878773046,
            -0.1740109372393215, 0.07638151492172982, -0.026370053350533558, 0.006112055543036282,
        ),
        "ERFCX_HIGH": (
            -0.000280958777888457, -0.0004550520787042728, 0.0001768123769495934,
            -3.6372544526915082e-06, -1.8859485811310536e-05, 4.699232622633954e-06,
            1.4213028876191714e-06, -8.538930766465752e-07, -7.164935955918104e-08,
            1.3263091866744048e-07, -2.3703167704428754e-09, -2.1586717511657507e-08,
            1.6042175398091178e-09, 3.469904712455954e-09, -2.428140932415613e-10,
            -3.5443127402015925e-10,
        ),
        # by how much more than 1 / (x + s) the whole changes, in t
        "ERFCX_LOSS": (1.89, -1.68, 0.89),
        # erfinv(x) / x in x**2 for abs(x) <= 1/2; and erfcinv(p) / s, roughly, in (s - k) / (s + k), s = sqrt(-log(p))
        "ERFINV_SERIES": (
            0.886226925452758, 0.23201366653465955, 0.12755617530430535, 0.08655212937183196,
            0.06495961090592375, 0.05173149652096173, 0.04283237590629924, 0.036525370820062526,
            0.031126070589444926, 0.03169916886286334, 0.0080516712633985, 0.07439755861477987,
            -0.07739855814936465, 0.11396120554930302,
        ),
        "TAIL_SHIFT": 2.0, "TAIL_TINY": 2.0**-960, "TAIL_LIFT": 2.0**128, "TAIL_POWER": 128.0,
        "TAIL_SERIES": (
            0.8340941571359453, 0.4309177169793757, -0.4237629515810969, 0.20194029387748413,
            0.0067110427443219005, -0.12813928632016924, 0.13804606012840465, -0.07258784518051883,
            -0.016264507021255287, 0.07357002663677562, -0.0680434396406531, 0.021071727961827495,
            0.008942560256321248, -0.0064594285352195,
        ),
    },
    "float32": vector.CONSTANTS["float32"] | {
        "TWO_OVER_ROOT_PI": 1.128379225730896, "TWO_OVER_ROOT_PI_REST": -5.863538342219759e-08,
        "ERF_ONE": 3.93, "ERFC_ZERO": 10.2, "ERFCX_OVERFLOW": 9.43, "ERFCX_FAR": 2.0**60,
        "ERF_SERIES": (
            0.636619508266449, 0.10277680307626724, -0.019149616360664368, -0.00016630065510980785,
            0.001672576880082488, -0.0006357181118801236, 0.00011841277591884136, -9.339076314063277e-06,
        ),
        "ERFCX_SHIFT": 2.0, "ERFCX_MIDDLE": 1.0215827226638794,
        "ERFCX_LOW": (
            -0.6871606707572937, 0.27947115898132324, -0.03644212335348129, -0.021502165123820305,
            0.0064817979000508785, 0.0030576949939131737, -0.0008539839182049036, -0.0005999658606015146,
        ),
        "ERFCX_HIGH": (6.97749201208353e-05, 8.534728840459138e-05),
        "ERFCX_LOSS": (1.67, -0.68),
        "ERFINV_SERIES": (
            0.8862268924713135, 0.23201683163642883, 0.12741349637508392, 0.08887594938278198,
            0.0482964888215065, 0.10314767062664032,
        ),
        "TAIL_SHIFT": 1.5, "TAIL_TINY": 2.0**-120, "TAIL_LIFT": 2.0**32, "TAIL_POWER": 32.0,
        "TAIL_SERIES": (
            0.7632892727851868, 0.5526029467582703, -0.4036814868450165, 0.020382028073072433,
            0.1540980190038681, -0.09009087830781937,
        ),
    },
}


def erf(x):
    """``1 - exp(-g)`` with ``g = -log(erfc(x))``, which is nearly a parabola: one polynomial serves all x."""
    size = abs(x)
    bounded = ERF_ONE if size > ERF_ONE else size
    low = bounded * fma(polynomial(bounded, ERF_SERIES), bounded, TWO_OVER_ROOT_PI_REST)
    g = fma(bounded, TWO_OVER_ROOT_PI, low)
    lost = fma(bounded, TWO_OVER_ROOT_PI, -g) + low
    shifted, q, rest = exponential(-g)
    scale = from_bits((to_bits(shifted) << MANTISSA) + ONE_BITS)
    return math.copysign(fma(q, scale, scale - 1.0) + (rest - lost) * scale, x)


def erfcx_positive(x):
    """``exp(x**2) erfc(x)`` for x >= 0; Shepherd and Laframboise, Math. Comp. 36 (1981) 249, with another factor."""
    far = x > ERFCX_FAR
    near = x * 0.00390625 if far else x
    below = near + ERFCX_SHIFT
    inverse = 1.0 / below
    t = fma(-2.0 * ERFCX_SHIFT, inverse, 1.0)
    lost = (fma(-inverse, below, 1.0) - inverse * (near - (below - ERFCX_SHIFT))) * horner(t, ERFCX_LOSS)
    fourth = (t * t) * (t * t)
    rest = fma(horner(t, ERFCX_HIGH), fourth * fourth, horner(t, ERFCX_LOW)) * t
    value = inverse * (ERFCX_MIDDLE + fma(lost, ERFCX_MIDDLE + rest, rest))
    return value * 0.00390625 if far else value


def exp_of_square(x, sign):
    """``shifted`` and ``q`` of ``exp(sign * x**2)``, with the rounding error of the square made good."""
    square = x * x
    rest = fma(x, x, -square)
    shifted, q, _ = exponential(sign * square)
    return shifted, fma(sign * rest, 1.0 + q, q)


def erfc(x):
    size = abs(x)
    bounded = ERFC_ZERO if size > ERFC_ZERO else size
    shifted, q = exp_of_square(bounded, -1.0)
    tail = scaled(erfcx_positive(bounded), q, shifted)
    return 2.0 - tail if x < 0.0 else tail


def erfcx(x):
    size = abs(x)
    shifted, q = exp_of_square(ERFCX_OVERFLOW if size > ERFCX_OVERFLOW else size, 1.0)
    positive = 0.0 if size == INFINITY else erfcx_positive(size)
    return 2.0 * scaled(1.0, q, shifted) - positive if x < 0.0 else positive


# ---------------------------------------------------------------- inverses
def centre(x):
    square = x * x
    return x * polynomial(square, ERFINV_SERIES)


def tail(p):
    """The inverse of erfc for 0 <= p <= 1/2: half the digits of it, and Halley's step on ``erfcx(y) - p exp(y**2)``."""
    f, k = parts_of_any(p)
    s = math.sqrt(-joined(f, k, less_than_f(f)))
    t = (s - TAIL_SHIFT) / (s + TAIL_SHIFT)
    y = s * polynomial(t, TAIL_SERIES)
    # the exponential may be no number where its product with p is
    tiny = p < TAIL_TINY
    shifted, q = exp_of_square(y, 1.0)
    product = scaled(p * TAIL_LIFT if tiny else p, q, shifted - TAIL_POWER if tiny else shifted)
    step = HALF_ROOT_PI * (erfcx_positive(y) - product)
    return INFINITY if p == 0.0 else fma(step, fma(y, step, 1.0), y)


def erfinv(x):
    size = abs(x)
    value = math.copysign(tail(1.0 - size), x)
    value = centre(x) if size <= 0.5 else value
    return value if size <= 1.0 else NAN


def erfcinv(x):
    above = x > 1.0
    value = tail(2.0 - x if above else x)
    value = -value if above else value
    value = centre(1.0 - x) if (x >= 0.5) & (x <= 1.5) else value
    return value if (x >= 0.0) & (x <= 2.0) else NAN


TABLE: dict[str, Any] = {"erf": erf, "erfc": erfc, "erfcx": erfcx, "erfinv": erfinv, "erfcinv": erfcinv}
