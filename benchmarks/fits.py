"""The series of exponentials, logarithms, powers, error functions and the gamma family, for ``benchmarks.remez``.

Each is a smooth function that a polynomial follows well; the text beside its coefficients in ``fuse/codegen/mathlib``
says which, and how the function is put together from it.
"""
from __future__ import annotations

from functools import cache

import mpmath as mp
import numpy as np

from benchmarks.remez import Fit, Real


def _at(function: Real, limit: float) -> Real:
    """``function``, and its limit where z is too near 0 for a quotient of differences."""
    return lambda z: function(z) if abs(z) > mp.mpf(10) ** -25 else mp.mpf(limit)


def _both(low: int, high: int) -> dict[str, int]:
    return {"float64": high, "float32": low}


# ---------------------------------------------------------------- exponentials, logarithms, powers
HALF_LOG2 = float(np.log(2) / 2 * 1.002)
TAN_EIGHTH = float((np.sqrt(2) - 1) / (np.sqrt(2) + 1) * 1.001)  # s of sqrt(2)
START = 0.1023  # what the first guess of a cube root leaves of 1


def _artanh_twice(z: mp.mpf) -> mp.mpf:
    s = mp.sqrt(z)
    return mp.log((1 + s) / (1 - s)) / s


def _elementary() -> dict[str, Fit]:
    first = 2 / mp.log(2)
    second = mp.mpf(float(first / 3))       # what that lost is left to the series
    near_0 = 1e-9
    return {
        "EXP_SERIES": Fit(_at(lambda r: (mp.expm1(r) - r) / r**2, 0.5), lambda r: r**2 / mp.exp(r), HALF_LOG2,
                          _both(5, 10), -HALF_LOG2, in_turn=0),
        "EXP2_SERIES": Fit(_at(lambda r: (mp.mpf(2) ** r - 1 - r * mp.log(2)) / r**2, mp.log(2) ** 2 / 2),
                           lambda r: r**2, 0.502, _both(5, 10), -0.502, in_turn=0),
        "LOG_SERIES": Fit(lambda z: (_artanh_twice(z) - 2) / z, lambda z: z / 2, TAN_EIGHTH**2, _both(3, 7),
                          in_turn=0),
        "LOG2_SERIES": Fit(lambda z: ((_artanh_twice(z) / mp.log(2) - first) / z - second) / z,
                           lambda z: z**2 / first, TAN_EIGHTH**2, {"float64": 7}, near_0, in_turn=0),
        # in float64, for float32
        "LOG2_SHORT": Fit(lambda z: _artanh_twice(z) / mp.log(2), lambda z: 1 / first, TAN_EIGHTH**2, {"float64": 4},
                          in_turn=0),
        "EXP2_SHORT": Fit(lambda r: mp.mpf(2) ** r, lambda r: mp.mpf(2) ** -r, 0.502, {"float64": 7}, -0.502,
                          in_turn=0),
        "CBRT_SERIES": Fit(_at(lambda h: ((1 - h) ** (-mp.mpf(1) / 3) - 1) / h, 1 / mp.mpf(3)), abs, START,
                           _both(3, 6), -START, in_turn=0),
    }


# ---------------------------------------------------------------- error functions
def erfcx(x: mp.mpf) -> mp.mpf:
    if x < 60:
        return mp.exp(x * x) * mp.erfc(x)
    terms = [mp.mpf(1)]
    for k in range(1, 30):
        terms.append(-terms[-1] * (2 * k - 1) / (2 * x * x))
    return mp.fsum(terms) / (x * mp.sqrt(mp.pi))


@cache
def _erfcinv_of_exp(s: mp.mpf) -> mp.mpf:
    """y with ``erfc(y) = exp(-s**2)``, by Newton's steps on the logarithm."""
    y = mp.sqrt(max(s * s - mp.log(s * s * mp.pi + 1) / 2, mp.mpf("0.05")))
    for _ in range(60):
        value = mp.erfc(y)
        step = (mp.log(value) + s * s) * value * mp.exp(y * y) * mp.sqrt(mp.pi) / 2
        y += step
        if abs(step) < mp.mpf(10) ** -40 * y:
            break
    return y


def _errors(dtype: str) -> dict[str, Fit]:
    single = dtype == "float32"
    slope = 2 / mp.sqrt(mp.pi)
    shift, largest = (1.5, 10.2) if single else (2.0, 27.3)
    smallest = float(mp.sqrt(mp.log(2)) * 0.9999)

    def ratio(t: mp.mpf) -> mp.mpf:
        s = shift * (1 + t) / (1 - t)
        return _erfcinv_of_exp(s) / s

    return {
        "ERF_SERIES": Fit(lambda x: (-mp.log(mp.erfc(x)) / x - slope) / x, lambda x: x * x * mp.erfc(x) / mp.erf(x),
                          3.93 if single else 5.95, _both(8, 23), in_turn=0),
        "ERFINV_SERIES": Fit(lambda z: mp.erfinv(mp.sqrt(z)) / mp.sqrt(z), lambda z: 1, 0.2501, _both(6, 14),
                             in_turn=0),
        "TAIL_SERIES": Fit(ratio, lambda t: 1 / ratio(t), (largest - shift) / (largest + shift), _both(6, 14),
                           (smallest - shift) / (smallest + shift), in_turn=0),
    }


# ---------------------------------------------------------------- the gamma family
def _sine(z: mp.mpf) -> mp.mpf:
    return mp.sinpi(mp.sqrt(z)) / (mp.pi * mp.sqrt(z))


def _gammas() -> dict[str, Fit]:
    start, root, half = 1 - mp.euler, mp.findroot(mp.digamma, 1.46), mp.log(2 * mp.pi) / 2
    low, high = float(mp.sqrt(2) - 2) - 1e-6, float(mp.sqrt(2) - 1) + 1e-6

    def lgamma(t: mp.mpf) -> mp.mpf:
        return (mp.loggamma(2 + t) / (t * (1 + t)) - start) / t

    def stirling(z: mp.mpf) -> mp.mpf:
        x = 1 / mp.sqrt(z)
        return (mp.loggamma(x) - (x - mp.mpf(1) / 2) * mp.log(x) + x - half) * x

    def psi(t: mp.mpf) -> mp.mpf:
        x = mp.mpf(25) / 16 + t
        return mp.digamma(x) / (x - root)

    def psi_tail(z: mp.mpf) -> mp.mpf:
        x = 1 / mp.sqrt(z)
        return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) / z

    def factor(w: mp.mpf) -> mp.mpf:
        x = 1 / w
        return mp.expm1(mp.loggamma(x) - (x - mp.mpf(1) / 2) * mp.log(x) + x - half) / w

    return {
        # in float64, for float32 too
        "INVERSE_GAMMA_SERIES": Fit(lambda t: 1 / mp.gamma(2 + t), lambda t: mp.gamma(2 + t), 0.5001, {"float64": 14},
                                    -0.5001, in_turn=1),
        "GAMMA_FACTOR": Fit(factor, lambda w: w, 1 / 5.999, {"float64": 9}, 1e-6, in_turn=0),
        "LGAMMA_SERIES": Fit(_at(lgamma, (mp.zeta(2) - 1) / 2 - start), lambda t: abs(t / (start + t * lgamma(t))),
                             high, _both(7, 17), low, in_turn=0),
        "STIRLING_SERIES": Fit(stirling, lambda z: mp.mpf(1) / 40, 1 / 64, _both(2, 6), in_turn=0),
        "SINE_SERIES": Fit(lambda z: (_sine(z) - 1) / z, lambda z: z, 0.25, _both(4, 8), in_turn=0),
        "COTANGENT_SERIES": Fit(lambda z: (mp.cospi(mp.sqrt(z)) / _sine(z) - 1) / z, lambda z: z, 0.25, _both(7, 14),
                                in_turn=0),
        "PSI_SERIES": Fit(psi, lambda t: 1 / psi(t), 0.5, _both(10, 21), -0.5, in_turn=0),
        "PSI_TAIL": Fit(psi_tail, lambda z: z / 2, 1 / 64, _both(2, 6), in_turn=0),
    }


def fits(dtype: str) -> dict[str, Fit]:
    """All of them; of the error functions, whose ranges end where the dtype does, those of ``dtype``."""
    return {**_elementary(), **_errors(dtype), **_gammas()}
