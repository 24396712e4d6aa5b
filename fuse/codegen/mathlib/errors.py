"""The error function, its complement and their inverses, vectorised as in ``vector``."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fuse.codegen.mathlib import vector
from fuse.codegen.mathlib.specialise import polynomial, side_by_side
from fuse.codegen.mathlib.vector import exponential, joined, less_than_f, parts_of_any, scaled

if TYPE_CHECKING:
    from fuse.codegen.scalars import f2i as to_bits
    from fuse.codegen.scalars import fma
    from fuse.codegen.scalars import i2f as from_bits

    ERF_ONE = ERFC_ZERO = ERFCX_OVERFLOW = ERFCX_FAR = 1.0
    TWO_OVER_ROOT_PI = TWO_OVER_ROOT_PI_REST = 1.0
    TAIL_SHIFT = TAIL_TINY = TAIL_LIFT = TAIL_POWER = 1.0
    MANTISSA = ONE_BITS = 1
    ERFINV_SERIES = TAIL_SERIES = ERF_SERIES = ERFCX_ABOVE = ERFCX_BELOW = (1.0,)

INFINITY = math.inf
NAN = math.nan
HALF_ROOT_PI = 0.886226925452758
ROOT_PI = 1.772453850905516
ONE_OVER_ROOT_PI = 0.5641895835477563

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": vector.CONSTANTS["float64"] | {
        "TWO_OVER_ROOT_PI": 1.1283791670955126, "TWO_OVER_ROOT_PI_REST": 1.533545961316588e-17,
        "ERF_ONE": 5.95, "ERFC_ZERO": 27.4, "ERFCX_OVERFLOW": 26.64,
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
        # 1 / erfcx(x) - sqrt(pi) x for x >= 0 is a quotient of two in x; `python -m benchmarks.quotients` finds it
        "ERFCX_FAR": 2.0**30,
        "ERFCX_ABOVE": (
            1.5, 2.684978179033303, 2.447489546353575, 1.446986882873852, 0.60316850144346, 0.18259422750432094,
            0.04005665577282124, 0.00615181220321317, 0.0006040003257109445, 2.9279920844792103e-05,
        ),
        "ERFCX_BELOW": (
            1.5, 3.651090204748303, 4.389204998436143, 3.3780533477709547, 1.8285484612897076,
            0.7247794342714058, 0.21292754613962178, 0.045880637099093124, 0.006974615585831835,
            0.00068154138441789, 3.303885269560761e-05,
        ),
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
        "ERF_ONE": 3.93, "ERFC_ZERO": 10.2, "ERFCX_OVERFLOW": 9.43,
        "ERF_SERIES": (
            0.636619508266449, 0.10277680307626724, -0.019149595871567726, -0.00016635522479191422,
            0.0016726470785215497, -0.0006357639213092625, 0.00011842734966194257,
            -9.340865290141664e-06,
        ),
        "ERFCX_FAR": 2.0**14,
        "ERFCX_ABOVE": (
            1.5, 1.3928877115249634, 0.6659619808197021, 0.17419645190238953, 0.02136845700442791,
        ),
        "ERFCX_BELOW": (
            1.5, 2.3589999675750732, 1.7754703760147095, 0.774901270866394, 0.19659334421157837,
            0.024111058562994003,
        ),
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


def erfcx_quotient(x):
    """The two parts of a quotient that is ``erfcx(x)`` for 0 <= x <= ERFCX_FAR.

    What the one part lost the other, for large x that times ``sqrt(pi) x``, has lost too.
    """
    below = polynomial(x, ERFCX_BELOW)
    return below, fma(ROOT_PI * x, below, polynomial(x, ERFCX_ABOVE))


def erfcx_positive(x):
    """``exp(x**2) erfc(x)`` for x >= 0."""
    above, below = erfcx_quotient(x)
    far = x > ERFCX_FAR
    return (ONE_OVER_ROOT_PI if far else above) / (x if far else below)


def exp_of_square(x, sign):
    """``shifted`` and ``q`` of ``exp(sign * x**2)``, with the rounding error of the square made good."""
    square = x * x
    rest = fma(x, x, -square)
    shifted, q, _ = exponential(sign * square)
    return shifted, fma(sign * rest, 1.0 + q, q)


def gauss(x):
    # as erfc begins: where a kernel has both, LLVM computes the exponential once
    size = abs(x)
    shifted, q = exp_of_square(ERFC_ZERO if size > ERFC_ZERO else size, -1.0)
    return scaled(1.0, q, shifted)


def erfc(x):
    size = abs(x)
    bounded = ERFC_ZERO if size > ERFC_ZERO else size
    shifted, q = exp_of_square(bounded, -1.0)
    above, below = erfcx_quotient(bounded)
    tail = scaled(above / below, q, shifted)
    return 2.0 - tail if x < 0.0 else tail


def erfcx(x):
    size = abs(x)
    shifted, q = exp_of_square(ERFCX_OVERFLOW if size > ERFCX_OVERFLOW else size, 1.0)
    positive = erfcx_positive(size)
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


TABLE: dict[str, Any] = {"gauss": gauss, "erf": erf, "erfc": erfc, "erfcx": erfcx, "erfinv": erfinv, "erfcinv": erfcinv}
