"""The gamma function, its logarithm and the derivative of that, vectorised as in ``vector``.

Up to 8 the recurrence leads to an interval of length 1, above it Stirling's series serves; below 0 the reflection
formulas. Near a zero below 0 the error is one of the terms that cancel there: some 1e-16 times their size.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.mathlib import vector
from fuse.codegen.mathlib.powers import log2_twice
from fuse.codegen.mathlib.specialise import in_float64, polynomial, side_by_side
from fuse.codegen.mathlib.vector import between, joined, less_than_f, parts_of_any, scaled

if TYPE_CHECKING:
    from fuse.codegen.scalars import fma

    LGAMMA_START = EULER = PSI_ROOT = PSI_ROOT_REST = ROOT_HALF = 1.0
    LOG2_E = LOG2_E_REST = HALF_LOG2_TAU = HALF_LOG2_TAU_REST = MAGIC = LN2 = 1.0
    EXP2_SERIES = INVERSE_GAMMA_SERIES = GAMMA_FACTOR = (1.0,)
    LGAMMA_SERIES = STIRLING_SERIES = SINE_SERIES = PSI_SERIES = PSI_TAIL = COTANGENT_SERIES = (1.0,)

INFINITY = math.inf
NAN = math.nan
STIRLING = 0.4189385332046727  # log(2 pi) / 2 - 1/2
ROOT_2 = 1.4142135623730951

CONSTANTS: dict[str, dict[str, Any]] = {
    "float64": vector.CONSTANTS["float64"] | {
        # lgamma(2 + t) / (t (1 + t)) for sqrt(2) - 2 <= t <= sqrt(2) - 1: its value at 0, and the rest divided by t
        "LGAMMA_START": 0.42278433509846713, "EULER": 0.5772156649015329,
        "LGAMMA_SERIES": (
            -0.1003173016743539, 0.032965000621159354, -0.012384192193375027, 0.0049986411642270355,
            -0.002108130833877131, 0.0009153769436124386, -0.0004057073897705355, 0.000182552175397214,
            -8.309548896363097e-05, 3.8174294619654496e-05, -1.7655457804314697e-05,
            8.187761920660303e-06, -3.899237831748585e-06, 1.91775124502076e-06, -6.395347104074924e-07,
            2.8928000364224374e-07, -5.468624027669115e-07,
        ),
        # x (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) in x**-2 for x >= 8
        "STIRLING_SERIES": (
            0.0833333333333333, -0.002777777777609978, 0.0007936506668566055, -0.0005952029365337144,
            0.0008373083927237998, -0.0016532384719120433,
        ),
        # 1 / gamma(2 + t) for abs(t) <= 1/2; and for x >= 6, in w = 1 / x,
        # (gamma(x) x**(1/2 - x) exp(x) / sqrt(2 pi) - 1) / w; with log2(sqrt(2 pi)) and log2(e) in two parts
        "LOG2_E": 1.4426950408889634, "LOG2_E_REST": 2.0355273740931033e-17,
        "HALF_LOG2_TAU": 1.3257480647361595, "HALF_LOG2_TAU_REST": -7.153413670427599e-17,
        "INVERSE_GAMMA_SERIES": (
            1.0, -0.42278433509846675, -0.2330937364217843, 0.19109110138763302, -0.02455249000558529,
            -0.017645244547609625, 0.008023273026955567, -0.0008043298232080809, -0.00036083786984173296,
            0.0001455965981704037, -1.75455635308025e-05, -2.5913280889168233e-06, 1.337799721096465e-06,
            -1.9940782208698552e-07,
        ),
        "GAMMA_FACTOR": (
            0.08333333333331011, 0.0034722222277927314, -0.002681327620041405, -0.0002294535465611407,
            0.0007836174670008395, 7.547516485182866e-05, -0.000639594867897773, 0.0001738967772290514,
            0.0003367042784566434,
        ),
        # (sin(pi r) / (pi r) - 1) / r**2 in r**2 for abs(r) <= 1/2; and of pi r cotan(pi r) the same
        "SINE_SERIES": (
            -1.6449340668482264, 0.8117424252833418, -0.1907518241215604, 0.026147847806418767,
            -0.0023460809020915264, 0.0001484278701784136, -6.972165777657966e-06,
            2.450919563659281e-07,
        ),
        "COTANGENT_SERIES": (
            -3.2898681336964155, -2.1646464674356762, -2.0346861222961623, -2.0081548178223847,
            -2.001985217324224, -2.000586898533999, -1.998571639137597, -2.0178184948026603,
            -1.8549648508101917, -2.8415501738349382, 1.424100818819061, -11.414155524612944,
            14.136918506647246, -16.086987322201086,
        ),
        # digamma(x) / (x - root) in x - 25/16 on [17/16, 33/16]; and (log(x) - 1 / 2x - digamma(x)) x**2 in x**-2
        "PSI_ROOT": 1.4616321449683622, "PSI_ROOT_REST": 9.549995429965697e-17,
        "PSI_SERIES": (
            0.9254839423025467, -0.39521047031101453, 0.21480049984820432, -0.12689105431250033,
            0.07781367103531582, -0.04862597861767593, 0.030696570974439723, -0.019488680755933536,
            0.012413555784776315, -0.007922096774009449, 0.005061481041330693, -0.0032363732540785796,
            0.002070049662234331, -0.0013213516974895894, 0.0008451181945217012, -0.0005562311516780557,
            0.0003571558099693753, -0.00017955772886324862, 0.00011265831040315937,
            -0.0001592189454869957, 0.00010370289212854249,
        ),
        "PSI_TAIL": (
            0.08333333333332583, -0.00833333332390016, 0.0039682500065185, -0.004165897934128688,
            0.007499531489143509, -0.01727069400233724,
        ),
    },
    "float32": vector.CONSTANTS["float32"] | {
        "LGAMMA_START": 0.42278433509846713, "EULER": 0.5772156649015329,
        "LGAMMA_SERIES": (
            -0.10031716525554657, 0.03296506404876709, -0.012390291318297386, 0.004995344206690788,
            -0.0020409906283020973, 0.0009632252622395754, -0.0006323346751742065,
        ),
        "STIRLING_SERIES": (0.08333330601453781, -0.0027655193116515875),
        "SINE_SERIES": (-1.6449334621429443, 0.8117185235023499, -0.1904619038105011, 0.024754952639341354),
        "COTANGENT_SERIES": (
            -3.2898693084716797, -2.1645379066467285, -2.0382909774780273, -1.951965570449829,
            -2.462063789367676, -0.0059491912834346294, -6.063679218292236,
        ),
        "PSI_ROOT": 1.4616321325302124, "PSI_ROOT_REST": 1.2438149938918909e-08,
        "PSI_SERIES": (
            0.9254839420318604, -0.39521050453186035, 0.2147979587316513, -0.12688809633255005,
            0.077893927693367, -0.048696525394916534, 0.029821904376149178, -0.01882685348391533,
            0.016193779185414314, -0.010521543212234974,
        ),
        "PSI_TAIL": (0.08333292603492737, -0.008248596452176571),
    },
}


def step_down(x, product):
    above = x > ROOT_2 + 1.0
    below = x - 1.0
    return (below if above else x), (product * below if above else product)


def lgamma_positive(x):
    """For x < 8 the logarithm of ``x - 1``, ``(x - 1) (x - 2)``, ... or less that of x, ``x (x + 1)``, and a series."""
    z, product = step_down(x, 1.0)
    z, product = step_down(z, product)
    z, product = step_down(z, product)
    z, product = step_down(z, product)
    z, product = step_down(z, product)
    z, product = step_down(z, product)
    up, twice = x < ROOT_2, x < ROOT_2 - 1.0
    t = (x if twice else x - 1.0) if up else z - 2.0
    product = (fma(x, x, x) if twice else x) if up else product
    large = x > 8.0
    f, k = parts_of_any(x if large else product)
    less = less_than_f(f)
    rest = polynomial(t, LGAMMA_SERIES)
    value = fma(t, rest, LGAMMA_START)
    # between sqrt(1/2) and sqrt(2) the logarithm is t - less, and what is linear in t cancels but for Euler's constant
    near = up & (x > ROOT_HALF)
    logarithm = joined(f, k, less)
    small = fma(fma(t, t, t), value, -logarithm if up else logarithm)
    small = fma(t, fma(t, rest + value, -EULER), less) if near else small
    inverse = 1.0 / x
    square = inverse * inverse
    far = fma(x - 0.5, joined(f, k, less + 1.0), fma(inverse, polynomial(square, STIRLING_SERIES), STIRLING))
    return far if large else small


@side_by_side
def lgamma(x):
    inside = lgamma_positive(x if x > 0.0 else 1.0 - x)
    nearest = np.rint(x)
    r = abs(x - nearest)
    square = r * r
    f, k = parts_of_any(fma(polynomial(square, SINE_SERIES) * square, r, r))
    mirrored = -(joined(f, k, less_than_f(f)) + inside)
    value = mirrored if x < 0.0 else inside
    value = INFINITY if ((x <= 0.0) & (nearest == x)) | (x == INFINITY) else value
    return value if (x == x) & (x != -INFINITY) else x  # -inf of -inf, as in SciPy, and so in Theano


def gamma_exponent(x):
    """``log2(x**(x - 1/2) exp(-x) sqrt(2 pi))`` of large x, as a sum of two."""
    high, low = log2_twice(x)
    times = x - 0.5
    grown, fallen = times * high, x * LOG2_E
    rest = fma(times, low, fma(times, high, -grown)) - fma(x, LOG2_E_REST, fma(x, LOG2_E, -fallen))
    less = grown - fallen
    total = less + HALF_LOG2_TAU
    rest = rest + ((grown - less) - fallen) + ((less - total) + HALF_LOG2_TAU) + HALF_LOG2_TAU_REST
    return total, rest


@side_by_side
@in_float64
def gamma(x):
    """Stirling's formula above 6; from 5/2 down products, from 3/2 up quotients; below -1/2 the reflection formula.

    Where that leads below the exponents of numbers, 2**200 is left to the end.
    """
    mirrored = x < -0.5
    y = -x if mirrored else x
    large = y > 6.0
    total, rest = gamma_exponent(between(y, 6.0, 2000.0))
    factor = 1.0 / (y if large else 6.0)
    factor = fma(factor, polynomial(factor, GAMMA_FACTOR), 1.0)
    # (y - 1) (y - 2) ... as far as the interval around 2 is away
    one, two, three, four = y > 2.5, y > 3.5, y > 4.5, y > 5.5
    outer = (y - 1.0 if one else 1.0) * (y - 4.0 if four else 1.0)
    inner = (y - 2.0 if two else 1.0) * (y - 3.0 if three else 1.0)
    product = y * (y + 1.0) if y < 0.5 else (y if y < 1.5 else 1.0)
    nearer = 2.0 if y >= 1.5 else (1.0 if y >= 0.5 else 0.0)
    t = y - (6.0 if four else (5.0 if three else (4.0 if two else (3.0 if one else nearer))))
    above = factor if large else outer * inner
    below = 1.0 if large else product * polynomial(t, INVERSE_GAMMA_SERIES)
    nearest = np.rint(x)
    r = x - nearest
    square = r * r
    sine = fma(polynomial(square, SINE_SERIES) * square, r, r)
    half = 0.5 * nearest
    sine = sine if np.rint(half) == half else -sine
    quotient = (below if mirrored else above) / (y * sine * above if mirrored else below)
    total = -total if mirrored else total
    rest = -rest if mirrored else rest
    deep = total < -900.0
    total = total + 200.0 if deep else total
    bounded = between(total, -1000.0, 1024.0)
    shifted = bounded + MAGIC
    part = (bounded - (shifted - MAGIC)) + (rest if bounded == total else 0.0)
    q = fma(part, LN2, polynomial(part, EXP2_SERIES) * (part * part))
    grown = scaled(quotient, q, shifted) * (2.0**-200 if deep else 1.0)
    value = grown if large else quotient
    value = NAN if mirrored & (nearest == x) else value
    return x if (x == INFINITY) | (x != x) else value


def step_of_sum(x, above, below):
    """The sum ``above / below`` and ``1 / (x - 1)``, one quotient again."""
    high = x > 2.0625
    less = x - 1.0
    return (less if high else x), (fma(above, less, below) if high else above), (below * less if high else below)


def digamma_positive(x):
    z, above, below = step_of_sum(x, 0.0, 1.0)
    z, above, below = step_of_sum(z, above, below)
    z, above, below = step_of_sum(z, above, below)
    z, above, below = step_of_sum(z, above, below)
    z, above, below = step_of_sum(z, above, below)
    z, above, below = step_of_sum(z, above, below)
    up, twice = x < 1.0625, x < 0.0625
    above = (-fma(2.0, x, 1.0) if twice else -1.0) if up else above
    below = (fma(x, x, x) if twice else x) if up else below
    shift = (2.0 if twice else 1.0) if up else 0.0
    z = x if up else z
    large = x > 8.0
    quotient = (1.0 if large else above) / (x if large else below)
    t = z + (shift - 1.5625)
    small = fma((z + (shift - PSI_ROOT)) - PSI_ROOT_REST, polynomial(t, PSI_SERIES), quotient)
    square = quotient * quotient
    f, k = parts_of_any(x)
    far = joined(f, k, less_than_f(f)) - fma(square, polynomial(square, PSI_TAIL), 0.5 * quotient)
    return far if large else small


@side_by_side
def digamma(x):
    positive = digamma_positive(x if x > 0.0 else 1.0 - x)
    r = x - np.rint(x)
    square = r * r
    mirrored = positive - fma(polynomial(square, COTANGENT_SERIES), square, 1.0) / r
    value = positive if x > 0.0 else mirrored
    value = (math.copysign(INFINITY, -x) if x == 0.0 else NAN) if (x <= 0.0) & (r == 0.0) else value
    return x if (x == INFINITY) | (x != x) else value


TABLE: dict[str, Any] = {"gamma": gamma, "lgamma": lgamma, "digamma": digamma}
