"""The error function, its complement and their inverses, vectorised as in ``vector``."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fuse.codegen.mathlib import vector
from fuse.codegen.mathlib.specialise import horner, polynomial, side_by_side
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
            0.6366197723675876, 0.10277260330144235, -0.01912844699532866, -0.00020919483164346075,
            0.0016962075286925669, -0.0005901318193524257, 2.590260515939698e-05, 6.44248333579318e-05,
            -2.958330785143643e-05, 3.1800463732969465e-06, 3.121895540004784e-06,
            -2.027828112983366e-06, 5.64318025096652e-07, -8.302054478528866e-09,
            -6.720170866345392e-08, 3.5088333805309964e-08, -1.0909536924093764e-08,
            2.3891553240869702e-09, -3.806494809367042e-10, 4.3554575063445475e-11,
            -3.407801807816367e-12, 1.6365534586152363e-13, -3.6423946758772894e-15,
        ),
        # erfcx(x) * (x + s) in t = (x - s) / (x + s) for x >= 0: its value at 0, and the rest divided by t
        "ERFCX_SHIFT": 4.0, "ERFCX_MIDDLE": 1.095995661000491,
        "ERFCX_LOW": (
            -0.976548729080882, 0.7732087022652528, -0.5408538313132496, 0.33085158787730373,
            -0.17401093723931818, 0.07638151492174669, -0.026370053350585967, 0.00611205554288383,
        ),
        "ERFCX_HIGH": (
            -0.00028095877747126845, -0.0004550520779270345, 0.00017681237501422737,
            -3.6372568692852714e-06, -1.8859480204806366e-05, 4.699237370550583e-06,
            1.4212924389041305e-06, -8.538989891516751e-07, -7.16368324752174e-08,
            1.3263542718677625e-07, -2.3796528010184275e-09, -2.1588617662351375e-08,
            1.6081527785694284e-09, 3.4702252766372502e-09, -2.435308356696566e-10,
            -3.544198032108587e-10,
        ),
        # by how much more than 1 / (x + s) the whole changes, in t
        "ERFCX_LOSS": (1.89, -1.68, 0.89),
        # erfinv(x) / x in x**2 for abs(x) <= 1/2; and erfcinv(p) / s, roughly, in (s - k) / (s + k), s = sqrt(-log(p))
        "ERFINV_SERIES": (
            0.886226925452758, 0.2320136665346597, 0.1275561753042686, 0.0865521293750635,
            0.064959610757875, 0.05173150055969265, 0.04283230520296707, 0.03652619979837937,
            0.031119422058329915, 0.031735753085778064, 0.007915843668237065, 0.0747227168628793,
            -0.07785167578687638, 0.11424044392902714,
        ),
        "TAIL_SHIFT": 2.0, "TAIL_TINY": 2.0**-960, "TAIL_LIFT": 2.0**128, "TAIL_POWER": 128.0,
        "TAIL_SERIES": (
            0.8340941571295246, 0.43091771691171865, -0.4237629510784544, 0.20194029568287988,
            0.006711027267391146, -0.1281392883236054, 0.1380462732546993, -0.07258815256682505,
            -0.016265552636868106, 0.0735728220758741, -0.06804328348340669, 0.021065172634249212,
            0.008949806223526195, -0.006461920149967427,
        ),
    },
    "float32": vector.CONSTANTS["float32"] | {
        "TWO_OVER_ROOT_PI": 1.128379225730896, "TWO_OVER_ROOT_PI_REST": -5.863538342219759e-08,
        "ERF_ONE": 3.93, "ERFC_ZERO": 10.2, "ERFCX_OVERFLOW": 9.43, "ERFCX_FAR": 2.0**60,
        "ERF_SERIES": (
            0.636619508266449, 0.10277680307626724, -0.019149595871567726, -0.00016635522479191422,
            0.0016726470785215497, -0.0006357639213092625, 0.00011842734966194257,
            -9.340865290141664e-06,
        ),
        "ERFCX_SHIFT": 2.0, "ERFCX_MIDDLE": 1.0215827226638794,
        "ERFCX_LOW": (
            -0.6871606111526489, 0.27947142720222473, -0.0364437997341156, -0.02150268666446209,
            0.00648881308734417, 0.0030560262966901064, -0.0008641902823001146, -0.0005954192019999027,
        ),
        "ERFCX_HIGH": (7.45895886211656e-05, 8.271900878753513e-05),
        "ERFCX_LOSS": (1.67, -0.68),
        "ERFINV_SERIES": (
            0.8862268924713135, 0.232016921043396, 0.12741072475910187, 0.08890692889690399,
            0.048155177384614944, 0.10337334871292114,
        ),
        "TAIL_SHIFT": 1.5, "TAIL_TINY": 2.0**-120, "TAIL_LIFT": 2.0**32, "TAIL_POWER": 32.0,
        "TAIL_SERIES": (
            0.7632892727851868, 0.552603542804718, -0.4036833345890045, 0.02037694677710533,
            0.1541183590888977, -0.09010668843984604,
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


@side_by_side
def erfinv(x):
    size = abs(x)
    value = math.copysign(tail(1.0 - size), x)
    value = centre(x) if size <= 0.5 else value
    return value if size <= 1.0 else NAN


@side_by_side
def erfcinv(x):
    above = x > 1.0
    value = tail(2.0 - x if above else x)
    value = -value if above else value
    value = centre(1.0 - x) if (x >= 0.5) & (x <= 1.5) else value
    return value if (x >= 0.0) & (x <= 2.0) else NAN


TABLE: dict[str, Any] = {"erf": erf, "erfc": erfc, "erfcx": erfcx, "erfinv": erfinv, "erfcinv": erfcinv}
