"""The loops that kernels over rows and columns are made of: each over contiguous pieces that fit the cache."""

from __future__ import annotations

import numba

from benchmarks.by_hand.mathematics import ORDERED, SUMS, exp, log, maximum

__all__ = [
    "BLOCK",
    "add_exp",
    "add_product",
    "add_rows",
    "exp_below",
    "exp_flat",
    "highest",
    "highest_rows",
    "log_flat",
    "moments",
    "product",
    "squares",
    "total",
]

BLOCK = 2048  # elements: 16 KiB of float64, half of a first-level cache

_sums = numba.njit(**SUMS)
_ordered = numba.njit(**ORDERED)
_inline = numba.njit(forceinline=True, **ORDERED)


@_sums
def highest(x):
    top = x[0]
    for i in range(x.shape[0]):
        top = maximum(top, x[i])
    return top


@_sums
def total(x):
    found = x[0] - x[0]
    for i in range(x.shape[0]):
        found += x[i]
    return found


@_sums
def product(x, y):
    found = x[0] - x[0]
    for i in range(x.shape[0]):
        found += x[i] * y[i]
    return found


@_sums
def squares(x):
    found = x[0] - x[0]
    for i in range(x.shape[0]):
        found += x[i] * x[i]
    return found


@_sums
def moments(x):
    """Return mean and mean square deviation, block by block, after Chan, Golub and LeVeque (1979)."""
    kind = x.dtype.type
    mean = deviation = count = kind(0)
    for low in range(0, x.shape[0], BLOCK):
        block = x[low : low + BLOCK]
        size = kind(block.shape[0])
        centre = total(block) / size
        spread = kind(0)
        for i in range(block.shape[0]):
            d = block[i] - centre
            spread += d * d
        step = centre - mean
        both = count + size
        mean += step * size / both
        deviation += spread + step * step * count * size / both
        count = both
    return mean, deviation / count


@_ordered
def exp_below(x, top, out):
    """Put ``exp(x - top)`` into ``out``."""
    for i in range(x.shape[0]):
        out[i] = exp(x[i] - top)


@_ordered
def exp_flat(x):
    for i in range(x.shape[0]):
        x[i] = exp(x[i])


@_ordered
def log_flat(x, shift, out):
    """Put ``log(x) + shift`` into ``out``."""
    for i in range(x.shape[0]):
        out[i] = log(x[i]) + shift[i]


@_sums
def highest_rows(x, first, last, low, tops):
    for i in range(first, last):
        row = x[i, low : low + tops.shape[0]]
        for j in range(tops.shape[0]):
            tops[j] = maximum(tops[j], row[j])


@_ordered
def add_exp(x, first, last, low, tops, sums):
    """Add ``exp(x - tops)`` to ``sums``, row by row."""
    for i in range(first, last):
        row = x[i, low : low + tops.shape[0]]
        for j in range(tops.shape[0]):
            sums[j] += exp(row[j] - tops[j])


@_ordered
def add_rows(x, first, last, low, sums):
    for i in range(first, last):
        row = x[i, low : low + sums.shape[0]]
        for j in range(sums.shape[0]):
            sums[j] += row[j]


@_inline
def add_product(row, matrix, out):
    """Add the product of a vector and a matrix to ``out``: the matrix's rows are added up, four in one pass."""
    n, m = matrix.shape
    for k in range(0, n // 4 * 4, 4):
        a, b, c, d = row[k], row[k + 1], row[k + 2], row[k + 3]
        for j in range(m):
            out[j] += a * matrix[k, j] + b * matrix[k + 1, j] + c * matrix[k + 2, j] + d * matrix[k + 3, j]
    for k in range(n // 4 * 4, n):
        for j in range(m):
            out[j] += row[k] * matrix[k, j]
