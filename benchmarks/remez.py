"""Coefficients of the polynomials in ``fuse/codegen/mathlib``: minimax fits, each coefficient a number of the dtype.

Remez's exchange (Remez 1934; Cheney, "Introduction to Approximation Theory", chapter 3) at 60 digits, over a grid of
Chebyshev points. A coefficient is rounded, and those after it are fitted again around it, constant first: a float32
polynomial is thus nearly as good as its degree allows; where that matters less, all are rounded at once. ``python -m
benchmarks.remez`` prints every table with the largest error, relative to the function itself, as a power of 2;
``python -m benchmarks.remez SIN_SERIES`` prints one. ``benchmarks.fits`` has more functions.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np

mp.mp.dps = 60
Real = Callable[[mp.mpf], mp.mpf]


@dataclass(frozen=True)
class Fit:
    """``series(z)``, for lowest < z <= highest; an error e in it is ``weight(z) * e`` relative to the function.

    ``in_turn`` coefficients are rounded one after another, those that are left at once.
    """
    series: Real
    weight: Real
    highest: float
    terms: dict[str, int]
    lowest: float = 0.0
    in_turn: int = 99


def _odd(function: Real, slope: int = 1) -> dict[str, Real]:
    """function(x) = x + x z series(z) with z = x**2."""
    def series(z: mp.mpf) -> mp.mpf:
        x = mp.sqrt(z)
        return (function(x) / x - slope) / z
    return {"series": series, "weight": lambda z: z * mp.sqrt(z) / function(mp.sqrt(z))}


def _even(function: Real, curvature: float) -> dict[str, Real]:
    """function(x) = 1 + curvature z + z**2 series(z) with z = x**2."""
    def series(z: mp.mpf) -> mp.mpf:
        return (function(mp.sqrt(z)) - 1 - mp.mpf(curvature) * z) / z**2
    return {"series": series, "weight": lambda z: z**2 / function(mp.sqrt(z))}


QUARTER = (np.pi / 4 * 1.01) ** 2
HALF_LOG2 = (np.log(2) / 2 * 1.01) ** 2
FITS = {
    "SIN_SERIES": Fit(**_odd(mp.sin), highest=QUARTER, terms={"float64": 6, "float32": 3}),
    "COS_SERIES": Fit(**_even(mp.cos, -0.5), highest=QUARTER, terms={"float64": 6, "float32": 3}),
    "ATAN_SERIES": Fit(**_odd(mp.atan), highest=0.2501, terms={"float64": 13, "float32": 6}),
    # circular.py has the first six terms apart from the rest
    "ATAN_WIDE_SERIES": Fit(**_odd(mp.atan), highest=1.0, terms={"float64": 21, "float32": 9}),
    "ASIN_SERIES": Fit(**_odd(mp.asin), highest=0.2501, terms={"float64": 13, "float32": 5}),
    "SINH_SERIES": Fit(**_odd(mp.sinh), highest=HALF_LOG2, terms={"float64": 5, "float32": 3}),
    "ARTANH_SERIES": Fit(**_odd(mp.atanh), highest=0.2005**2, terms={"float64": 7, "float32": 3}),
    "COSH_SERIES": Fit(**_even(mp.cosh, 0.5), highest=HALF_LOG2, terms={"float64": 5, "float32": 2}),
}


def remez(series: Real, weight: Real, lowest: float, highest: float, degree: int) -> list[mp.mpf]:
    """The polynomial of ``degree`` whose weighted error over (lowest, highest] is least, constant first."""
    count, width = degree + 2, mp.mpf(highest) - lowest
    grid = [lowest + width * (1 - mp.cos(mp.pi * (k + 0.5) / (40 * count))) / 2 for k in range(40 * count)]
    values, weights = [series(z) for z in grid], [weight(z) for z in grid]
    chosen = [40 * k + 20 for k in range(count)]
    for _ in range(100):
        rows = mp.matrix([[grid[i] ** j for j in range(degree + 1)] + [(-1) ** k / weights[i]]
                          for k, i in enumerate(chosen)])
        solved = mp.lu_solve(rows, mp.matrix([values[i] for i in chosen]))
        coefficients = list(solved)[:-1]
        errors = [float(w * (mp.polyval(coefficients[::-1], z) - v))
                  for z, v, w in zip(grid, values, weights, strict=True)]
        extrema: list[int] = []
        for i, error in enumerate(errors):
            if extrema and (error > 0) == (errors[extrema[-1]] > 0):
                if abs(error) > abs(errors[extrema[-1]]):
                    extrema[-1] = i
            else:
                extrema.append(i)
        while len(extrema) > count:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        if len(extrema) < count or extrema == chosen:
            break
        chosen = extrema
    return coefficients


def rounded(fit: Fit, dtype: str) -> list[float]:
    """Coefficients in ``dtype``, rounded one after another."""
    done: list[float] = []
    count = fit.terms[dtype]
    for k in range(count):
        def rest(z: mp.mpf, k: int = k) -> mp.mpf:
            return (fit.series(z) - mp.polyval(done[::-1] or [0], z)) / z**k
        best = remez(rest, lambda z, k=k: fit.weight(z) * abs(z**k), fit.lowest, fit.highest, count - 1 - k)
        done.extend(float(np.dtype(dtype).type(float(c))) for c in (best if k >= fit.in_turn else best[:1]))
        if len(done) == count:
            break
    return done


def error(fit: Fit, coefficients: list[float]) -> float:
    """log2 of the largest weighted error of the polynomial."""
    points = [fit.lowest + (mp.mpf(fit.highest) - fit.lowest) * k / 500 for k in range(1, 501)]
    worst = max(abs(fit.weight(z) * (mp.polyval(coefficients[::-1], z) - fit.series(z))) for z in points)
    return float(mp.log(worst, 2))


def main(names: list[str]) -> None:
    from benchmarks import fits

    for dtype in ("float64", "float32"):
        known = FITS | fits.fits(dtype)
        for name in [name for name in names or known if dtype in known[name].terms]:
            found = rounded(known[name], dtype)
            print(f'{dtype} 2**{error(known[name], found):.1f}  "{name}": ({", ".join(map(repr, found))}),', flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
