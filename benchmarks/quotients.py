"""Coefficients of the quotient of polynomials that ``erfcx`` is made of: ``python -m benchmarks.quotients``.

Least squares with weights that grow where the error is large (Lawson 1961) and with the denominator of the step before
(Sanathanan and Koerner, IEEE Trans. Autom. Control 8 (1963) 56), at 50 digits; printed are the two parts, constant
first, and the largest error relative to the function itself, as a power of 2.
"""

from __future__ import annotations

import mpmath as mp
import numpy as np

from benchmarks.fits import erfcx

ROOT_PI = mp.sqrt(mp.pi)
POINTS, STEPS, MIDDLE = 140, 30, 3  # half the points are below MIDDLE
CONSTANT = 1.5  # both begin with it: rounding errors are smallest, relative to a number, just below a power of 2
DEGREES = {"float64": (9, 10), "float32": (4, 5)}


def rest(x: mp.mpf) -> mp.mpf:
    """``1 / erfcx(x) - sqrt(pi) x``, which falls from 1 to 0."""
    return 1 / erfcx(x) - ROOT_PI * x


def quotient(above: int, below: int) -> tuple[list[mp.mpf], list[mp.mpf], float]:
    """The parts of these degrees whose quotient is ``rest`` for x >= 0, and log2 of the error of erfcx."""
    angles = [mp.pi * (k + mp.mpf(1) / 2) / POINTS for k in range(POINTS)]
    xs = [MIDDLE * (1 - mp.cos(a)) / (1 + mp.cos(a) + mp.mpf(10) ** -4) for a in angles]
    values = [rest(x) for x in xs]
    exact = [1 / (ROOT_PI * x + v) for x, v in zip(xs, values, strict=True)]
    lawson, bottoms = [mp.mpf(1)] * POINTS, [(x + MIDDLE) ** below for x in xs]
    best: tuple[list[mp.mpf], list[mp.mpf], float] | None = None
    for _ in range(STEPS):
        rows, right = [], []
        for x, v, e, weight, bottom in zip(xs, values, exact, lawson, bottoms, strict=True):
            w = e * mp.sqrt(weight) / bottom
            rows.append([w * x**k for k in range(above + 1)] + [-w * v * x**k for k in range(below)])
            right.append(w * v * x**below)  # the last coefficient below is 1
        matrix = mp.matrix(rows)
        with mp.workdps(100):
            solved = list(mp.lu_solve(matrix.T * matrix, matrix.T * mp.matrix(right)))
        top, bottom_ = solved[: above + 1], [*solved[above + 1 :], mp.mpf(1)]
        bottoms = [mp.polyval(bottom_[::-1], x) for x in xs]
        errors = [
            abs(mp.polyval(top[::-1], x) / b - v) * e for x, v, e, b in zip(xs, values, exact, bottoms, strict=True)
        ]
        if best is None or max(errors) < best[2]:
            best = top, bottom_, max(errors)
        total = sum(weight * error for weight, error in zip(lawson, errors, strict=True))
        lawson = [weight * error * POINTS / total for weight, error in zip(lawson, errors, strict=True)]
    assert best is not None
    scale = CONSTANT / best[1][0]
    return [scale * c for c in best[0]], [scale * c for c in best[1]], float(mp.log(best[2], 2))


def main() -> None:
    for dtype, degrees in DEGREES.items():
        *parts, error = quotient(*degrees)
        for name, part in zip(("ERFCX_ABOVE", "ERFCX_BELOW"), parts, strict=True):
            coefficients = ", ".join(repr(float(np.dtype(dtype).type(float(c)))) for c in part)
            print(f'{dtype} 2**{error:.1f}  "{name}": ({coefficients}),')


if __name__ == "__main__":
    main()
