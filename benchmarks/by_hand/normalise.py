"""Softmax, log-softmax, layer-norm and their gradients by hand.

Rows: short ones several at a time in a buffer, so that the exponentials are one long loop; long ones block by block,
the highest value and the sum carried along, so that memory is read twice and written once. Columns: stripes whose
statistics stay in the first-level cache, read row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks.by_hand.blocks import (
    BLOCK,
    add_exp,
    add_rows,
    exp_below,
    exp_flat,
    highest,
    highest_rows,
    moments,
    product,
    total,
)
from benchmarks.by_hand.mathematics import ORDERED, SUMS, exp, log
from benchmarks.by_hand.threads import GRAIN, chunked, columned
from benchmarks.records import Data

__all__ = ["KERNELS", "below_tops", "stripe_statistics"]

_sums = numba.njit(**SUMS)
_ordered = numba.njit(**ORDERED)
_STRIPE = 512  # columns of a stripe
_ROWS = 64  # rows whose highest values are found before their exponentials are added


@_sums
def below_tops(x, buffer, tops):
    """Put the rows of ``x`` less their highest values into ``buffer``, one behind the other."""
    n = x.shape[1]
    for i in range(x.shape[0]):
        row, to = x[i], buffer[i * n : i * n + n]
        top = highest(row)
        tops[i] = top
        for j in range(n):
            to[j] = row[j] - top


@_sums
def _exponentials(rows, buffer, tops):
    """Put the exponentials of ``rows`` less their highest values into ``buffer``, one row behind the other."""
    below_tops(rows, buffer, tops)
    exp_flat(buffer[: rows.shape[0] * rows.shape[1]])


@_sums
def _long_row(x, buffer):
    """Return the highest value of a row and the sum of the exponentials below it."""
    top = x[0]
    found = top - top
    for low in range(0, x.shape[0], BLOCK):
        block = x[low : low + BLOCK]
        here = highest(block)
        if here > top:
            found *= exp(top - here)
            top = here
        part = buffer[: block.shape[0]]
        exp_below(block, top, part)
        found += total(part)
    return top, found


@_sums
def _scaled(x, scale, out):
    for i in range(x.shape[0]):
        out[i] = x[i] * scale


@_sums
def _less(x, shift, out):
    for i in range(x.shape[0]):
        out[i] = x[i] - shift


@_sums
def _softmax_rows(x, out):
    n = x.shape[1]
    one = x.dtype.type(1)
    group = max(1, BLOCK // n)
    buffer, tops = np.empty(max(BLOCK, n if n <= BLOCK else 0), x.dtype), np.empty(group, x.dtype)
    if n <= BLOCK:
        for first in range(0, x.shape[0], group):
            rows = x[first : first + group]
            _exponentials(rows, buffer, tops)
            for i in range(rows.shape[0]):
                part = buffer[i * n : i * n + n]
                _scaled(part, one / total(part), out[first + i])
        return
    for i in range(x.shape[0]):
        top, found = _long_row(x[i], buffer)
        for low in range(0, n, BLOCK):
            to = out[i, low : low + BLOCK]
            exp_below(x[i, low : low + BLOCK], top, to)
            _scaled(to, one / found, to)


@_sums
def _log_softmax_rows(x, out):
    n = x.shape[1]
    group = max(1, BLOCK // n)
    buffer, tops = np.empty(BLOCK, x.dtype), np.empty(group, x.dtype)
    if n <= BLOCK:
        for first in range(0, x.shape[0], group):
            rows = x[first : first + group]
            _exponentials(rows, buffer, tops)
            for i in range(rows.shape[0]):
                _less(rows[i], tops[i] + log(total(buffer[i * n : i * n + n])), out[first + i])
        return
    for i in range(x.shape[0]):
        top, found = _long_row(x[i], buffer)
        _less(x[i], top + log(found), out[i])


@_sums
def _normal_row(x, mean, scale, out):
    for i in range(x.shape[0]):
        out[i] = (x[i] - mean) * scale


@_sums
def _layer_norm_rows(x, out):
    kind = x.dtype.type
    for i in range(x.shape[0]):
        mean, variance = moments(x[i])
        _normal_row(x[i], mean, kind(1) / np.sqrt(variance + kind(1e-5)), out[i])


@_sums
def _softmax_slope(e, w, scale, shift, out):
    for i in range(e.shape[0]):
        out[i] = e[i] * scale * (w[i] - shift)


@_sums
def _softmax_gradient_rows(x, w, out, costs):
    n = x.shape[1]
    one = x.dtype.type(1)
    group = max(1, BLOCK // n)
    buffer, tops = np.empty(BLOCK, x.dtype), np.empty(group, x.dtype)
    if n <= BLOCK:
        for first in range(0, x.shape[0], group):
            rows = x[first : first + group]
            _exponentials(rows, buffer, tops)
            for i in range(rows.shape[0]):
                e, weights = buffer[i * n : i * n + n], w[first + i]
                scale = one / total(e)
                costs[first + i] = product(e, weights) * scale
                _softmax_slope(e, weights, scale, costs[first + i], out[first + i])
        return
    for i in range(x.shape[0]):
        top = x[i, 0]
        found = weighted = top - top
        for low in range(0, n, BLOCK):
            block = x[i, low : low + BLOCK]
            here = highest(block)
            if here > top:
                found *= exp(top - here)
                weighted *= exp(top - here)
                top = here
            e = buffer[: block.shape[0]]
            exp_below(block, top, e)
            found += total(e)
            weighted += product(e, w[i, low : low + BLOCK])
        costs[i] = weighted / found
        for low in range(0, n, BLOCK):
            block = x[i, low : low + BLOCK]
            e = buffer[: block.shape[0]]
            exp_below(block, top, e)
            _softmax_slope(e, w[i, low : low + BLOCK], one / found, costs[i], out[i, low : low + BLOCK])


@_sums
def _log_softmax_slope(e, w, factor, out):
    for i in range(e.shape[0]):
        out[i] = w[i] - e[i] * factor


@_sums
def _log_softmax_gradient_rows(x, w, out, costs):
    n = x.shape[1]
    group = max(1, BLOCK // n)
    buffer, tops = np.empty(BLOCK, x.dtype), np.empty(group, x.dtype)
    if n <= BLOCK:
        for first in range(0, x.shape[0], group):
            rows = x[first : first + group]
            _exponentials(rows, buffer, tops)
            for i in range(rows.shape[0]):
                e, weights = buffer[i * n : i * n + n], w[first + i]
                found, mass = total(e), total(weights)
                costs[first + i] = product(rows[i], weights) - (tops[i] + log(found)) * mass
                _log_softmax_slope(e, weights, mass / found, out[first + i])
        return
    for i in range(x.shape[0]):
        top, found = _long_row(x[i], buffer)
        mass = total(w[i])
        costs[i] = product(x[i], w[i]) - (top + log(found)) * mass
        for low in range(0, n, BLOCK):
            block = x[i, low : low + BLOCK]
            e = buffer[: block.shape[0]]
            exp_below(block, top, e)
            _log_softmax_slope(e, w[i, low : low + BLOCK], mass / found, out[i, low : low + BLOCK])


@_sums
def _normal_slope(x, w, mean, scale, weight, share, out):
    for i in range(x.shape[0]):
        out[i] = (w[i] - weight - (x[i] - mean) * scale * share) * scale


@_sums
def _deviation_product(x, mean, w):
    found = mean - mean
    for i in range(x.shape[0]):
        found += (x[i] - mean) * w[i]
    return found


@_sums
def _layer_norm_gradient_rows(x, w, out, costs):
    kind = x.dtype.type
    n = kind(x.shape[1])
    for i in range(x.shape[0]):
        mean, variance = moments(x[i])
        scale = kind(1) / np.sqrt(variance + kind(1e-5))
        cost = _deviation_product(x[i], mean, w[i]) * scale
        costs[i] = cost
        _normal_slope(x[i], w[i], mean, scale, total(w[i]) / n, cost / n, out[i])


@_ordered
def stripe_statistics(x, low, tops, sums, older):
    """Find the highest values of a stripe of columns and the sums of exponentials below them, in one reading."""
    tops[:] = x[0, low : low + tops.shape[0]]
    sums[:] = 0
    for first in range(0, x.shape[0], _ROWS):
        last = min(x.shape[0], first + _ROWS)
        older[:] = tops
        highest_rows(x, first, last, low, tops)
        for j in range(tops.shape[0]):
            sums[j] *= exp(older[j] - tops[j])
        add_exp(x, first, last, low, tops, sums)


@_ordered
def _softmax_columns(x, out, low, high):
    one = x.dtype.type(1)
    scratch = np.empty((3, _STRIPE), x.dtype)
    for start in range(low, high, _STRIPE):
        width = min(high, start + _STRIPE) - start
        tops, sums = scratch[0, :width], scratch[1, :width]
        stripe_statistics(x, start, tops, sums, scratch[2, :width])
        for j in range(width):
            sums[j] = one / sums[j]
        for i in range(x.shape[0]):
            row, to = x[i, start : start + width], out[i, start : start + width]
            for j in range(width):
                to[j] = exp(row[j] - tops[j]) * sums[j]


@_ordered
def _log_softmax_columns(x, out, low, high):
    scratch = np.empty((3, _STRIPE), x.dtype)
    for start in range(low, high, _STRIPE):
        width = min(high, start + _STRIPE) - start
        tops, sums = scratch[0, :width], scratch[1, :width]
        stripe_statistics(x, start, tops, sums, scratch[2, :width])
        for j in range(width):
            tops[j] += log(sums[j])
        for i in range(x.shape[0]):
            _less_row(x[i, start : start + width], tops, out[i, start : start + width])


@_sums
def _less_row(x, shift, out):
    for j in range(x.shape[0]):
        out[j] = x[j] - shift[j]


@_sums
def stripe_moments(x, low, means, variances, centres, spreads):
    """Find means and variances of a stripe of columns, some rows at a time."""
    kind = x.dtype.type
    means[:] = 0
    variances[:] = 0
    for first in range(0, x.shape[0], _ROWS):
        last = min(x.shape[0], first + _ROWS)
        size, count = kind(last - first), kind(first)
        centres[:] = 0
        spreads[:] = 0
        add_rows(x, first, last, low, centres)
        for j in range(means.shape[0]):
            centres[j] /= size
        for i in range(first, last):
            row = x[i, low : low + means.shape[0]]
            for j in range(means.shape[0]):
                d = row[j] - centres[j]
                spreads[j] += d * d
        for j in range(means.shape[0]):
            d = centres[j] - means[j]
            means[j] += d * (size / (count + size))
            variances[j] += spreads[j] + d * d * (count * size / (count + size))
    for j in range(means.shape[0]):
        variances[j] /= kind(x.shape[0])


@_sums
def _layer_norm_columns(x, out, low, high):
    kind = x.dtype.type
    scratch = np.empty((4, _STRIPE), x.dtype)
    for start in range(low, high, _STRIPE):
        width = min(high, start + _STRIPE) - start
        means, scales = scratch[0, :width], scratch[1, :width]
        stripe_moments(x, start, means, scales, scratch[2, :width], scratch[3, :width])
        for j in range(width):
            scales[j] = kind(1) / np.sqrt(scales[j] + kind(1e-5))
        for i in range(x.shape[0]):
            row, to = x[i, start : start + width], out[i, start : start + width]
            for j in range(width):
                to[j] = (row[j] - means[j]) * scales[j]


def _rows(serial: Callable[..., Any], gradient: bool, inputs: Data) -> Callable[..., Any]:
    x = inputs["x"]
    out, costs = np.empty_like(x), np.empty(len(x), x.dtype)
    if gradient:
        run = chunked(serial, 4, align=1) if x.size >= GRAIN else serial
        kind = x.dtype.type

        def with_cost(x: Any, w: Any) -> Any:
            run(x, w, out, costs)
            return kind(total(costs)), out

        return with_cost
    run = chunked(serial, 2, align=1) if x.size >= GRAIN else serial

    def value(x: Any) -> Any:
        run(x, out)
        return out

    return value


def _columns(serial: Callable[..., Any], inputs: Data) -> Callable[..., Any]:
    x = inputs["x"]
    out, width = np.empty_like(x), x.shape[1]
    run = columned(serial, 2) if x.size >= GRAIN else lambda x, out: serial(x, out, 0, width)

    def value(x: Any) -> Any:
        run(x, out)
        return out

    return value


KERNELS: dict[str, Callable[..., Any]] = {
    "rows/softmax": partial(_rows, _softmax_rows, False),
    "rows/log_softmax": partial(_rows, _log_softmax_rows, False),
    "rows/layer_norm": partial(_rows, _layer_norm_rows, False),
    "rows/softmax gradient": partial(_rows, _softmax_gradient_rows, True),
    "rows/log_softmax gradient": partial(_rows, _log_softmax_gradient_rows, True),
    "rows/layer_norm gradient": partial(_rows, _layer_norm_gradient_rows, True),
    "columns/softmax": partial(_columns, _softmax_columns),
    "columns/log_softmax": partial(_columns, _log_softmax_columns),
    "columns/layer_norm": partial(_columns, _layer_norm_columns),
}
