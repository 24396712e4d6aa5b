"""Columns of tall arrays by hand, whole rows at a time: each thread has statistics of its rows, then all are joined.

Softmax, log-softmax, layer-norm, logsumexp, variance, and the gradients of the first three. Memory is read once for the
statistics, a few rows at a time so that the second look at them finds them in cache, and once more for the results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks.by_hand.blocks import add_exp, add_rows, highest_rows
from benchmarks.by_hand.mathematics import ORDERED, SUMS, exp, log, maximum
from benchmarks.by_hand.threads import GRAIN
from benchmarks.peers import Unsupported
from benchmarks.records import Data

__all__ = ["KERNELS", "is_tall"]

_sums = numba.njit(**SUMS)
_ordered = numba.njit(**ORDERED)
_TILE = 32_768  # elements of the rows that are looked at twice


def is_tall(x: Any) -> bool:
    """Whether whole rows, rather than stripes of columns, are the way to go through ``x``."""
    return x.shape[0] > 128 and x.shape[1] < 16_384 and x.size >= GRAIN


@_ordered
def _add_weighted_exp(x, w, first, last, tops, sums, weighted):
    for i in range(first, last):
        row, by = x[i], w[i]
        for j in range(tops.shape[0]):
            e = exp(row[j] - tops[j])
            sums[j] += e
            weighted[j] += e * by[j]


@_ordered
def _exponentials(x, w, own):
    """Highest values, sums of exponentials below them and, of ``w`` that has rows, weighted sums."""
    tops, sums, weighted, older = own[0], own[1], own[2], own[3]
    tops[:] = x[0]
    sums[:] = 0
    weighted[:] = 0
    step = max(8, _TILE // x.shape[1])
    for first in range(0, x.shape[0], step):
        last = min(x.shape[0], first + step)
        older[:] = tops
        highest_rows(x, first, last, 0, tops)
        for j in range(tops.shape[0]):
            change = exp(older[j] - tops[j])
            sums[j] *= change
            weighted[j] *= change
        if w.shape[0]:
            _add_weighted_exp(x, w, first, last, tops, sums, weighted)
        else:
            add_exp(x, first, last, 0, tops, sums)


@_ordered
def _join_exponentials(parts, count):
    tops, sums, weighted = parts[0, 0], parts[0, 1], parts[0, 2]
    for part in range(1, parts.shape[0]):
        for j in range(tops.shape[0]):
            top = maximum(tops[j], parts[part, 0, j])
            mine, other = exp(tops[j] - top), exp(parts[part, 0, j] - top)
            sums[j] = sums[j] * mine + parts[part, 1, j] * other
            weighted[j] = weighted[j] * mine + parts[part, 2, j] * other
            tops[j] = top


@_sums
def _add_products(x, w, first, last, products, masses):
    for i in range(first, last):
        row, by = x[i], w[i]
        for j in range(masses.shape[0]):
            products[j] += row[j] * by[j]
            masses[j] += by[j]


@_ordered
def _log_exponentials(x, w, own):
    """As `_exponentials`, and sums of ``x * w`` and of ``w``."""
    _exponentials(x, w[:0], own)
    own[2] = 0
    own[4] = 0
    _add_products(x, w, 0, x.shape[0], own[2], own[4])


@_ordered
def _join_log_exponentials(parts, count):
    products = parts[:, 2].copy()
    parts[:, 2] = 0
    _join_exponentials(parts, count)
    for part in range(parts.shape[0]):
        for j in range(products.shape[1]):
            parts[0, 2, j] += products[part, j]
            if part:
                parts[0, 4, j] += parts[part, 4, j]


@_sums
def _add_spreads(x, w, first, last, centres, spreads, weighted, masses):
    for i in range(first, last):
        row, by = x[i], w[i]
        for j in range(centres.shape[0]):
            d = row[j] - centres[j]
            spreads[j] += d * d
            weighted[j] += d * by[j]
            masses[j] += by[j]


@_sums
def _add_squares(x, first, last, centres, spreads):
    for i in range(first, last):
        row = x[i]
        for j in range(centres.shape[0]):
            d = row[j] - centres[j]
            spreads[j] += d * d


@_sums
def _moments(x, w, own):
    """Means, sums of squared deviations and, of ``w`` that has rows, sums of weighted ones and of weights."""
    kind = x.dtype.type
    own[:] = 0
    means, centres = own[0], own[4]
    spread, weight, mass = own[5], own[6], own[7]
    step = max(8, _TILE // x.shape[1])
    for first in range(0, x.shape[0], step):
        last = min(x.shape[0], first + step)
        size, count = kind(last - first), kind(first)
        centres[:] = 0
        spread[:] = 0
        weight[:] = 0
        mass[:] = 0
        add_rows(x, first, last, 0, centres)
        for j in range(means.shape[0]):
            centres[j] /= size
        if w.shape[0]:
            _add_spreads(x, w, first, last, centres, spread, weight, mass)
        else:
            _add_squares(x, first, last, centres, spread)
        _join(own[:4], centres, spread, weight, mass, count, size)


@_sums
def _join(own, means, spreads, weighted, masses, count, size):
    """Chan, Golub and LeVeque (1979), and what moves with the mean."""
    share, both = size / (count + size), count * size / (count + size)
    for j in range(means.shape[0]):
        d = means[j] - own[0, j]
        mean = own[0, j] + d * share
        own[1, j] += spreads[j] + d * d * both
        own[2, j] += (own[0, j] - mean) * own[3, j] + weighted[j] + (means[j] - mean) * masses[j]
        own[3, j] += masses[j]
        own[0, j] = mean


@_sums
def _join_moments(parts, counts):
    kind = parts.dtype.type
    count = kind(counts[0])
    for part in range(1, parts.shape[0]):
        own, size = parts[part], kind(counts[part])
        _join(parts[0, :4], own[0], own[1], own[2], own[3], count, size)
        count += size


@_ordered
def _softmax(x, w, own, rows, out):
    one = x.dtype.type(1)
    tops, scales = own[0], own[7]
    for j in range(tops.shape[0]):
        scales[j] = one / own[1, j]
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        for j in range(tops.shape[0]):
            to[j] = exp(row[j] - tops[j]) * scales[j]


@_ordered
def _log_softmax(x, w, own, rows, out):
    for j in range(x.shape[1]):
        own[7, j] = own[0, j] + log(own[1, j])
    _less(x, own[7], out)


@_sums
def _less(x, shifts, out):
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        for j in range(shifts.shape[0]):
            to[j] = row[j] - shifts[j]


@_sums
def _layer_norm(x, w, own, rows, out):
    kind = x.dtype.type
    means, scales = own[0], own[7]
    for j in range(means.shape[0]):
        scales[j] = kind(1) / np.sqrt(own[1, j] / kind(rows) + kind(1e-5))
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        for j in range(means.shape[0]):
            to[j] = (row[j] - means[j]) * scales[j]


@_ordered
def _softmax_slope(x, w, own, rows, out):
    one = x.dtype.type(1)
    tops, scales, shares = own[0], own[7], own[6]
    for j in range(tops.shape[0]):
        scales[j] = one / own[1, j]
        shares[j] = own[2, j] * scales[j]
    for i in range(x.shape[0]):
        row, by, to = x[i], w[i], out[i]
        for j in range(tops.shape[0]):
            to[j] = exp(row[j] - tops[j]) * scales[j] * (by[j] - shares[j])


@_ordered
def _log_softmax_slope(x, w, own, rows, out):
    tops, factors = own[0], own[7]
    for j in range(tops.shape[0]):
        factors[j] = own[4, j] / own[1, j]
    for i in range(x.shape[0]):
        row, by, to = x[i], w[i], out[i]
        for j in range(tops.shape[0]):
            to[j] = by[j] - exp(row[j] - tops[j]) * factors[j]


@_sums
def _layer_norm_slope(x, w, own, rows, out):
    kind = x.dtype.type
    means, scales, shifts, shares = own[0], own[7], own[6], own[5]
    for j in range(means.shape[0]):
        scale = kind(1) / np.sqrt(own[1, j] / kind(rows) + kind(1e-5))
        scales[j] = scale
        shifts[j] = own[3, j] / kind(rows) * scale
        shares[j] = own[2, j] / kind(rows) * scale * scale * scale
    for i in range(x.shape[0]):
        row, by, to = x[i], w[i], out[i]
        for j in range(means.shape[0]):
            to[j] = by[j] * scales[j] - shifts[j] - (row[j] - means[j]) * shares[j]


def _in_rows(statistics: Any, join: Any, finish: Any) -> Callable[..., Any]:
    """Return ``run(x, w, out, parts, counts)``: all threads' statistics of their rows, joined, then their results."""
    text = f"""
def run(x, w, out, parts, counts):
    n, threads = x.shape[0], parts.shape[0]
    step = (n + threads - 1) // threads
    for t in prange(threads):
        low, high = min(n, t * step), min(n, (t + 1) * step)
        counts[t] = high - low
        statistics(x[low:high], w[low:high], parts[t])
    join(parts, counts)
    for t in prange(1, threads):
        parts[t] = parts[0]
    {"" if finish else "return"}
    for t in prange(threads):
        low, high = min(n, t * step), min(n, (t + 1) * step)
        finish(x[low:high], w[low:high], parts[t], n, out[low:high])
"""
    scope: dict[str, Any] = {"prange": numba.prange, "statistics": statistics, "join": join, "finish": finish}
    exec(text, scope)
    return numba.njit(scope["run"], parallel=True, error_model="numpy")


def _cost_of_softmax(own: Any, rows: int) -> Any:
    return (own[2] / own[1]).sum()


def _cost_of_log_softmax(own: Any, rows: int) -> Any:
    return (own[2] - (own[0] + np.log(own[1])) * own[4]).sum()


def _cost_of_layer_norm(own: Any, rows: int) -> Any:
    return (own[2] / np.sqrt(own[1] / own.dtype.type(rows) + own.dtype.type(1e-5))).sum()


def _logsumexp(own: Any, rows: int) -> Any:
    return own[0] + np.log(own[1])


def _variance(own: Any, rows: int) -> Any:
    return own[1] / own.dtype.type(rows)


def _kernel(statistics: Any, join: Any, finish: Any, value: Any, inputs: Data) -> Callable[..., Any]:
    x = inputs["x"]
    if x.size >= GRAIN and not is_tall(x):
        raise Unsupported  # few long rows are a matter of stripes
    threads = numba.get_num_threads() if is_tall(x) else 1
    parts, counts = np.empty((threads, 8, x.shape[1]), x.dtype), np.zeros(threads, np.int64)
    out, none = np.empty(x.shape if finish else (0, x.shape[1]), x.dtype), x[:0]
    run = _in_rows(statistics, join, finish)

    def call(x: Any, w: Any = none) -> Any:
        run(x, w, out, parts, counts)
        if value is None:
            return out
        found = value(parts[0], len(x))
        return (found, out) if finish else found

    return call


_EXP, _LOG, _MEAN = (
    (_exponentials, _join_exponentials),
    (_log_exponentials, _join_log_exponentials),
    (_moments, _join_moments),
)

KERNELS: dict[str, Callable[..., Any]] = {
    "columns/softmax": partial(_kernel, *_EXP, _softmax, None),
    "columns/log_softmax": partial(_kernel, *_EXP, _log_softmax, None),
    "columns/layer_norm": partial(_kernel, *_MEAN, _layer_norm, None),
    "columns/logsumexp": partial(_kernel, *_EXP, None, _logsumexp),
    "columns/variance": partial(_kernel, *_MEAN, None, _variance),
    "columns/softmax gradient": partial(_kernel, *_EXP, _softmax_slope, _cost_of_softmax),
    "columns/log_softmax gradient": partial(_kernel, *_LOG, _log_softmax_slope, _cost_of_log_softmax),
    "columns/layer_norm gradient": partial(_kernel, *_MEAN, _layer_norm_slope, _cost_of_layer_norm),
}
