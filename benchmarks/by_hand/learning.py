"""Logistic regression in one reading of the data, and a network's step as NumPy's dots with loops between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from benchmarks.by_hand.blocks import product, total
from benchmarks.by_hand.mathematics import ORDERED, SUMS, exp, log, maximum, tanh
from benchmarks.by_hand.threads import GRAIN, chunked
from benchmarks.records import Data

__all__ = ["KERNELS"]

_sums = numba.njit(**SUMS)
_ordered = numba.njit(**ORDERED)
_ROWS = 16  # rows of a block: they are still in cache when the gradient reads them again
_DECAY, _RATE = 0.01, 0.1


@_ordered
def _losses(z, y, b, slopes, costs):
    """Put the derivative of the loss and the loss itself for each z, from the same exponential."""
    for i in range(z.shape[0]):
        u = z[i] + b
        e = exp(-abs(u))
        p = 1.0 / (1.0 + e)
        slopes[i] = (p if u > 0.0 else 1.0 - p) - y[i]
        costs[i] = log(1.0 + e) + max(u, 0.0) - y[i] * u


@_sums
def _add_outer(x, slopes, out):
    """Add ``slopes @ x``, four rows at a time."""
    whole = x.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        r0, r1, r2, r3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        s0, s1, s2, s3 = slopes[i], slopes[i + 1], slopes[i + 2], slopes[i + 3]
        for j in range(out.shape[0]):
            out[j] += s0 * r0[j] + s1 * r1[j] + s2 * r2[j] + s3 * r3[j]
    for i in range(whole, x.shape[0]):
        row = x[i]
        for j in range(out.shape[0]):
            out[j] += slopes[i] * row[j]


@_ordered
def _part(x, y, w, b, with_slopes, out):
    """Return sums of the losses and of their derivatives over some rows; add the slopes of ``w`` to ``out``."""
    buffer = np.empty((3, _ROWS))
    cost = slope = 0.0
    for low in range(0, x.shape[0], _ROWS):
        rows = x[low : low + _ROWS]
        size = rows.shape[0]
        z, slopes, costs = buffer[0, :size], buffer[1, :size], buffer[2, :size]
        for i in range(size):
            z[i] = product(rows[i], w)
        _losses(z, y[low : low + size], b, slopes, costs)
        cost += total(costs)
        slope += total(slopes)
        if with_slopes:
            _add_outer(rows, slopes, out)
    return cost, slope


def _logistic(with_slopes: bool, rate: float, inputs: Data) -> Callable[..., Any]:
    x, w = inputs["x"], inputs["w"].copy()
    threads = numba.get_num_threads() if x.size >= GRAIN else 1
    sums, parts = np.empty((threads, 16)), np.empty((threads, w.size))

    def descend(x, y, w, b, sums, parts):
        step = (x.shape[0] + threads - 1) // threads
        for thread in numba.prange(threads):
            parts[thread] = 0.0
            low, high = thread * step, min(x.shape[0], (thread + 1) * step)
            cost, slope = _part(x[low:high], y[low:high], w, b, with_slopes, parts[thread])
            sums[thread, 0] = cost
            sums[thread, 1] = slope
        for thread in range(1, threads):
            sums[0] += sums[thread]
            parts[0] += parts[thread]
        n = x.shape[0]
        for j in range(w.size):
            parts[0, j] = parts[0, j] / n + 2.0 * _DECAY * w[j]
        return sums[0, 0] / n + _DECAY * product(w, w), sums[0, 1] / n

    run = numba.njit(descend, parallel=threads > 1, **ORDERED)
    kept = {"b": float(inputs["b"])}

    def gradient(x: Any, y: Any, w: Any, b: Any) -> Any:
        cost, slope = run(x, y, w, float(b), sums, parts)
        return (cost, parts[0], slope) if with_slopes else cost

    def advance(x: Any, y: Any, *_: Any) -> Any:
        cost, slope = run(x, y, w, kept["b"], sums, parts)
        np.subtract(w, rate * parts[0], out=w)
        kept["b"] -= rate * slope
        return cost, w, np.float64(kept["b"])

    return advance if rate else gradient


@_ordered
def _bias_tanh(h, b):
    for i in range(h.shape[0]):
        row = h[i]
        for j in range(row.shape[0]):
            row[j] = tanh(row[j] + b[j])


@_sums
def _through_tanh(back, h):
    for i in range(h.shape[0]):
        row, values = back[i], h[i]
        for j in range(row.shape[0]):
            row[j] *= 1.0 - values[j] * values[j]


@_sums
def _subtract(parameters, slopes):
    for i in range(parameters.shape[0]):
        parameters[i] -= _RATE * slopes[i]


@_ordered
def _cross_entropy(z, b, y, slopes):
    """Return the mean loss of softmax rows and put its derivatives into ``slopes``."""
    cost = 0.0
    n, classes = z.shape
    for i in range(n):
        row, to = z[i], slopes[i]
        top = row[0] + b[0]
        for j in range(classes):
            row[j] += b[j]
            top = maximum(top, row[j])
        for j in range(classes):
            to[j] = exp(row[j] - top)
        found = total(to)
        level = np.log(found) + top
        for j in range(classes):
            cost -= (row[j] - level) * y[i, j]
            to[j] = (to[j] / found - y[i, j]) / n
    return cost / n


def _network(with_slopes: bool, rate: float, inputs: Data) -> Callable[..., Any]:
    n, classes = inputs["y"].shape
    hidden = inputs["b1"].size
    h, back, z, d = np.empty((n, hidden)), np.empty((n, hidden)), np.empty((n, classes)), np.empty((n, classes))
    large = h.size >= GRAIN // 4
    through = chunked(_through_tanh, 2, align=1) if large else _through_tanh
    flat = chunked(_subtract, 2)
    names = ("w1", "b1", "w2", "b2")
    kept = [inputs[name].copy() for name in names]
    slopes = [np.empty_like(parameter) for parameter in kept]
    bias = _rows_with_bias if large else _bias_tanh

    def gradient(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        np.dot(x, w1, out=h)
        bias(h, b1)
        np.dot(h, w2, out=z)
        cost = _cross_entropy(z, b2, y, d)
        if not with_slopes:
            return cost
        np.dot(h.T, d, out=slopes[2])
        np.dot(d, w2.T, out=back)
        through(back, h)
        np.dot(x.T, back, out=slopes[0])
        np.sum(back, axis=0, out=slopes[1])
        np.sum(d, axis=0, out=slopes[3])
        return cost, *slopes

    def advance(x: Any, y: Any, *_: Any) -> Any:
        cost, *_ = gradient(x, y, *kept)
        for parameter, slope in zip(kept, slopes, strict=True):
            (flat if parameter.size >= GRAIN else _subtract)(parameter.reshape(-1), slope.reshape(-1))
        return cost, *kept

    return advance if rate else gradient


@numba.njit(parallel=True, **ORDERED)
def _rows_with_bias(h, b):
    threads = numba.get_num_threads()
    step = (h.shape[0] + threads - 1) // threads
    for thread in numba.prange(threads):
        _bias_tanh(h[thread * step : (thread + 1) * step], b)


def _dense(inputs: Data) -> Callable[..., Any]:
    out = np.empty((len(inputs["x"]), inputs["b"].size))

    def dense(x: Any, w: Any, b: Any) -> Any:
        np.dot(x, w, out=out)
        _rows_with_bias(out, b)
        return out

    return dense


KERNELS: dict[str, Callable[..., Any]] = {
    "learn/logistic value": partial(_logistic, False, 0.0),
    "learn/logistic gradient": partial(_logistic, True, 0.0),
    "learn/logistic step": partial(_logistic, True, _RATE),
    "learn/network value": partial(_network, False, 0.0),
    "learn/network gradient": partial(_network, True, 0.0),
    "learn/network step": partial(_network, True, _RATE),
    "learn/dense tanh": _dense,
}
