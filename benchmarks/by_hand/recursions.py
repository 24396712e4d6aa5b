"""Models of series as a person writes them: numbers in registers, tangents beside recursions, rows added up."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from benchmarks.by_hand.blocks import add_product
from benchmarks.by_hand.mathematics import ORDERED, log, sigmoid, tanh
from benchmarks.records import Data
from benchmarks.workloads.recursions import PERIOD

__all__ = ["KERNELS"]

_ordered = numba.njit(**ORDERED)
_inline = numba.njit(forceinline=True, **ORDERED)
_sums = numba.njit(fastmath={"contract", "nsz", "reassoc"}, error_model="numpy")  # sums in any order


def _garch(inputs: Data) -> Any:
    @_ordered
    def kernel(y, w, a, b):
        h, cost = w / (1.0 - a - b), 0.0
        for t in range(y.shape[0]):
            square = y[t] * y[t]
            cost += log(h) + square / h
            h = w + a * square + b * h
        return cost

    return kernel


def _garch_gradient(inputs: Data) -> Any:
    @_ordered
    def kernel(y, w, a, b):
        rest = 1.0 - a - b
        h, cost, by_w, by_a, by_b = w / rest, 0.0, 0.0, 0.0, 0.0
        dw, da = 1.0 / rest, w / (rest * rest)
        db = da
        for t in range(y.shape[0]):
            square = y[t] * y[t]
            inverse = 1.0 / h
            cost += log(h) + square * inverse
            slope = inverse - square * inverse * inverse
            by_w += slope * dw
            by_a += slope * da
            by_b += slope * db
            dw, da, db = 1.0 + b * dw, square + b * da, h + b * db
            h = w + a * square + b * h
        return cost, by_w, by_a, by_b

    return kernel


def _smoothing(inputs: Data) -> Any:
    season = np.empty(PERIOD)

    @_ordered
    def smooth(y, start, a, b, c, season):
        season[:] = start
        level, slope, cost, at = y[0], 0.0, 0.0, 0
        for t in range(y.shape[0]):
            error = y[t] - level - slope - season[at]
            level, slope = level + slope + a * error, slope + b * error
            season[at] += c * error
            cost += error * error
            at = 0 if at == PERIOD - 1 else at + 1
        return cost

    return lambda y, start, a, b, c: smooth(y, start, a, b, c, season)


def _smoothing_gradient(inputs: Data) -> Any:
    season = np.empty((4, PERIOD))

    @_ordered
    def smooth(y, start, a, b, c, season):
        season[0], season[1:] = start, 0.0
        l0, l1, l2, l3, s0, s1, s2, s3 = y[0], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        cost, by_a, by_b, by_c, at = 0.0, 0.0, 0.0, 0.0, 0
        for t in range(y.shape[0]):
            e0 = y[t] - l0 - s0 - season[0, at]
            e1, e2, e3 = -l1 - s1 - season[1, at], -l2 - s2 - season[2, at], -l3 - s3 - season[3, at]
            l0, l1, l2, l3 = l0 + s0 + a * e0, l1 + s1 + a * e1 + e0, l2 + s2 + a * e2, l3 + s3 + a * e3
            s0, s1, s2, s3 = s0 + b * e0, s1 + b * e1, s2 + b * e2 + e0, s3 + b * e3
            season[0, at] += c * e0
            season[1, at] += c * e1
            season[2, at] += c * e2
            season[3, at] += c * e3 + e0
            cost += e0 * e0
            by_a += e0 * e1
            by_b += e0 * e2
            by_c += e0 * e3
            at = 0 if at == PERIOD - 1 else at + 1
        return cost, 2.0 * by_a, 2.0 * by_b, 2.0 * by_c

    return lambda y, start, a, b, c: smooth(y, start, a, b, c, season)


@_inline
def _row_times(row, matrix, out):
    for j in range(matrix.shape[1]):
        out[j] = 0.0
    add_product(row, matrix, out)


def _hidden(inputs: Data) -> Any:
    @_sums
    def forward(likelihood, start, change, prior, post):
        prior[:] = start
        cost = 0.0
        for t in range(likelihood.shape[0]):
            total = 0.0
            for i in range(post.shape[0]):
                post[i] = prior[i] * likelihood[t, i]
                total += post[i]
            cost += np.log(total)
            inverse = 1.0 / total
            for i in range(post.shape[0]):
                post[i] *= inverse
            _row_times(post, change, prior)
        return cost

    prior, post = np.empty_like(inputs["start"]), np.empty_like(inputs["start"])
    return lambda likelihood, start, change: forward(likelihood, start, change, prior, post)


def _hidden_gradient(inputs: Data) -> Any:
    steps, n = inputs["likelihood"].shape
    priors, posts, backs, totals = np.empty((steps + 1, n)), np.empty((steps, n)), np.empty((steps, n)), np.empty(steps)

    @_sums
    def forward(likelihood, start, change, priors, posts, totals):
        priors[0] = start
        cost = 0.0
        for t in range(likelihood.shape[0]):
            prior, post, total = priors[t], posts[t], 0.0
            for i in range(post.shape[0]):
                post[i] = prior[i] * likelihood[t, i]
                total += post[i]
            totals[t] = total
            cost += np.log(total)
            inverse = 1.0 / total
            for i in range(post.shape[0]):
                post[i] *= inverse
            _row_times(post, change, priors[t + 1])
        return cost

    @_sums
    def backward(likelihood, turned, posts, totals, backs, back, ahead):
        back[:] = 0.0
        for t in range(likelihood.shape[0] - 1, -1, -1):
            backs[t] = back
            _row_times(back, turned, ahead)
            inner = 0.0
            for i in range(back.shape[0]):
                inner += ahead[i] * posts[t, i]
            inverse = 1.0 / totals[t]
            for i in range(back.shape[0]):
                back[i] = likelihood[t, i] * (ahead[i] - inner + 1.0) * inverse

    def kernel(likelihood, start, change):
        back, ahead = np.empty(n), np.empty(n)
        cost = forward(likelihood, start, change, priors, posts, totals)
        backward(likelihood, np.ascontiguousarray(change.T), posts, totals, backs, back, ahead)
        return cost, back, posts.T @ backs

    return kernel


def _kalman(inputs: Data) -> Any:
    m, n = inputs["watch"].shape

    @_inline
    def times(a, b, out):
        for i in range(a.shape[0]):
            _row_times(a[i], b, out[i])

    @_inline
    def inverted(a, out):
        """Gauss and Jordan's elimination of a positive matrix, and the logarithm of its determinant."""
        n, determinant = a.shape[0], 1.0
        for i in range(n):
            for j in range(n):
                out[i, j] = 1.0 if i == j else 0.0
        for k in range(n):
            determinant *= a[k, k]
            scale = 1.0 / a[k, k]
            for j in range(n):
                a[k, j] *= scale
                out[k, j] *= scale
            for i in range(n):
                if i != k:
                    factor = a[i, k]
                    for j in range(n):
                        a[i, j] -= factor * a[k, j]
                        out[i, j] -= factor * out[k, j]
        return np.log(determinant)

    @_sums
    def run(y, move, turned, watch, across, q, r, start, spread, mean, error, ahead, p, s, seen, inner, inverse, gain):
        cost = 0.0
        old = ahead[0]
        mean[:] = start
        p[:] = spread
        for t in range(y.shape[0]):
            old[:] = mean
            for i in range(mean.shape[0]):
                mean[i] = 0.0
                for j in range(mean.shape[0]):
                    mean[i] += move[i, j] * old[j]
            times(move, p, s)
            times(s, turned, p)
            for i in range(p.shape[0]):
                for j in range(p.shape[0]):
                    p[i, j] += q[i, j]
            for i in range(error.shape[0]):
                error[i] = y[t, i]
                for j in range(mean.shape[0]):
                    error[i] -= watch[i, j] * mean[j]
            times(watch, p, seen)
            times(seen, across, inner)
            for i in range(inner.shape[0]):
                for j in range(inner.shape[0]):
                    inner[i, j] += r[i, j]
            cost += inverted(inner, inverse)
            times(inverse, seen, gain)  # transposed
            for i in range(error.shape[0]):
                for k in range(error.shape[0]):
                    cost += error[i] * inverse[i, k] * error[k]
                for j in range(mean.shape[0]):
                    mean[j] += gain[i, j] * error[i]
                for k in range(p.shape[0]):
                    for j in range(p.shape[0]):
                        p[k, j] -= gain[i, k] * seen[i, j]
        return cost

    memory = [np.empty(shape) for shape in ((n,), (m,), (1, n), (n, n), (n, n), (m, n), (m, m), (m, m), (m, n))]

    def kernel(y, move, watch, q, r, mean, spread):
        turned, across = np.ascontiguousarray(move.T), np.ascontiguousarray(watch.T)
        return run(y, move, turned, watch, across, q, r, mean, spread, *memory)

    return kernel


def _trend(inputs: Data) -> Any:
    @_ordered
    def kernel(y, q, r):
        level, trend, a, b, c, cost = y[0], 0.0, 1.0, 0.0, 1.0, 0.0
        for t in range(y.shape[0]):
            level, a, b, c = level + trend, a + 2.0 * b + c + q, b + c, c + 0.1 * q
            error, total = y[t] - level, a + r
            inverse = 1.0 / total
            k, g = a * inverse, b * inverse
            level, trend, a, b, c = level + k * error, trend + g * error, a - k * a, b - k * b, c - g * b
            cost += log(total) + error * error * inverse
        return cost

    return kernel


def _trend_gradient(inputs: Data) -> Any:
    @_inline
    def tangent(dq, dr, k, g, error, inverse, a0, b0, dlevel, dtrend, da, db, dc):
        dlevel, da, db, dc = dlevel + dtrend, da + 2.0 * db + dc + dq, db + dc, dc + 0.1 * dq
        derror, dtotal = -dlevel, da + dr
        dk, dl = (da - k * dtotal) * inverse, (db - g * dtotal) * inverse
        share = error * inverse
        dcost = dtotal * inverse + 2.0 * share * derror - share * share * dtotal
        dlevel, dtrend = dlevel + dk * error + k * derror, dtrend + dl * error + g * derror
        return dcost, dlevel, dtrend, da - dk * a0 - k * da, db - dk * b0 - k * db, dc - dl * b0 - g * db

    @_ordered
    def kernel(y, q, r):
        level, trend, a, b, c, cost = y[0], 0.0, 1.0, 0.0, 1.0, 0.0
        by_q = by_r = l0 = t0 = a0 = b0 = c0 = l1 = t1 = a1 = b1 = c1 = 0.0
        for t in range(y.shape[0]):
            level, a, b, c = level + trend, a + 2.0 * b + c + q, b + c, c + 0.1 * q
            error, total = y[t] - level, a + r
            inverse = 1.0 / total
            k, g = a * inverse, b * inverse
            d0, l0, t0, a0, b0, c0 = tangent(
                1.0, 0.0, k, g, error, inverse, a, b, l0, t0, a0, b0, c0)
            d1, l1, t1, a1, b1, c1 = tangent(
                0.0, 1.0, k, g, error, inverse, a, b, l1, t1, a1, b1, c1)
            by_q += d0
            by_r += d1
            level, trend, a, b, c = level + k * error, trend + g * error, a - k * a, b - k * b, c - g * b
            cost += log(total) + error * error * inverse
        return cost, by_q, by_r

    return kernel


@_inline
def _product(a, b, out):
    """A product of matrices: four rows of the right one are added to four rows of the result in one pass."""
    n, m = b.shape
    whole = a.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        for j in range(m):
            out[i, j] = out[i + 1, j] = out[i + 2, j] = out[i + 3, j] = 0.0
        for k in range(0, n // 4 * 4, 4):
            for r in range(4):
                w, x, y, z = a[i + r, k], a[i + r, k + 1], a[i + r, k + 2], a[i + r, k + 3]
                for j in range(m):
                    out[i + r, j] += w * b[k, j] + x * b[k + 1, j] + y * b[k + 2, j] + z * b[k + 3, j]
        for k in range(n // 4 * 4, n):
            for r in range(4):
                for j in range(m):
                    out[i + r, j] += a[i + r, k] * b[k, j]
    for i in range(whole, a.shape[0]):
        _row_times(a[i], b, out[i])


def _lstm(inputs: Data) -> Any:
    run, memory = _lstm_forward(inputs)

    def kernel(x, target, h, c, u, w, bias):
        given = (x.reshape(-1, x.shape[2]) @ u).reshape(*x.shape[:2], -1)
        return run(given, target, h, c, w, bias, *memory)

    return kernel


def _lstm_forward(inputs: Data) -> Any:
    steps, batch, n = inputs["target"].shape

    @_ordered
    def run(given, target, h, c, w, bias, olds, cells, gates, shown, z):
        cost, n = 0.0, h.shape[1]
        olds[0], cells[0] = h, c
        for t in range(given.shape[0]):
            _product(olds[t], w, z)
            for i in range(h.shape[0]):
                for j in range(3 * n):
                    gates[t, i, j] = sigmoid(z[i, j] + given[t, i, j] + bias[j])
                for j in range(3 * n, 4 * n):
                    gates[t, i, j] = tanh(z[i, j] + given[t, i, j] + bias[j])
                for j in range(n):
                    cells[t + 1, i, j] = gates[t, i, n + j] * cells[t, i, j] + gates[t, i, j] * gates[t, i, 3 * n + j]
                for j in range(n):
                    shown[t, i, j] = tanh(cells[t + 1, i, j])
                    olds[t + 1, i, j] = gates[t, i, 2 * n + j] * shown[t, i, j]
                for j in range(n):
                    cost += (olds[t + 1, i, j] - target[t, i, j]) ** 2
        return cost

    rows = (steps + 1, batch, n)
    return run, [np.empty(s) for s in (rows, rows, (steps, batch, 4 * n), (steps, batch, n), (batch, 4 * n))]


def _lstm_gradient(inputs: Data) -> Any:
    run, memory = _lstm_forward(inputs)
    steps, batch, n = inputs["target"].shape
    slopes, back, along = np.empty((steps, batch, 4 * n)), np.empty((batch, n)), np.empty((batch, n))

    @_ordered
    def backward(target, turned, olds, cells, gates, shown, slopes, back, along):
        n = target.shape[2]
        back[:] = 0.0
        along[:] = 0.0
        for t in range(target.shape[0] - 1, -1, -1):
            for i in range(target.shape[1]):
                for j in range(n):
                    take, keep, show = gates[t, i, j], gates[t, i, n + j], gates[t, i, 2 * n + j]
                    fresh, tops = gates[t, i, 3 * n + j], shown[t, i, j]
                    down = back[i, j] + 2.0 * (olds[t + 1, i, j] - target[t, i, j])
                    flow = along[i, j] + down * show * (1.0 - tops * tops)
                    slopes[t, i, j] = flow * fresh * take * (1.0 - take)
                    slopes[t, i, n + j] = flow * cells[t, i, j] * keep * (1.0 - keep)
                    slopes[t, i, 2 * n + j] = down * tops * show * (1.0 - show)
                    slopes[t, i, 3 * n + j] = flow * take * (1.0 - fresh * fresh)
                    along[i, j] = flow * keep
            _product(slopes[t], turned, back)

    def kernel(x, target, h, c, u, w, bias):
        flat = x.reshape(-1, x.shape[2])
        cost = run((flat @ u).reshape(*x.shape[:2], -1), target, h, c, w, bias, *memory)
        backward(target, np.ascontiguousarray(w.T), *memory[:4], slopes, back, along)
        by = slopes.reshape(-1, slopes.shape[2])
        return cost, flat.T @ by, memory[0][:-1].reshape(-1, n).T @ by, by.sum(axis=0)

    return kernel


def _gru(inputs: Data) -> Any:
    batch, n = inputs["h"].shape

    @_ordered
    def run(given, target, h, w, v, bias, old, z, reset, inner):
        cost, n = 0.0, h.shape[1]
        old[:] = h
        for t in range(given.shape[0]):
            _product(old, w, z)
            for i in range(h.shape[0]):
                for j in range(2 * n):
                    z[i, j] = sigmoid(z[i, j] + given[t, i, j] + bias[j])
                for j in range(n):
                    reset[i, j] = z[i, n + j] * old[i, j]
            _product(reset, v, inner)
            for i in range(h.shape[0]):
                for j in range(n):
                    fresh = tanh(inner[i, j] + given[t, i, 2 * n + j] + bias[2 * n + j])
                    old[i, j] = z[i, j] * old[i, j] + (1.0 - z[i, j]) * fresh
                for j in range(n):
                    cost += (old[i, j] - target[t, i, j]) ** 2
        return cost

    memory = [np.empty((batch, k)) for k in (n, 2 * n, n, n)]

    def kernel(x, target, h, u, w, v, bias):
        given = (x.reshape(-1, x.shape[2]) @ u).reshape(*x.shape[:2], -1)
        return run(given, target, h, w, v, bias, *memory)

    return kernel


KERNELS = {
    "loop/garch": _garch,
    "loop/garch gradient": _garch_gradient,
    "loop/smoothing": _smoothing,
    "loop/smoothing gradient": _smoothing_gradient,
    "loop/hidden markov": _hidden,
    "loop/hidden markov gradient": _hidden_gradient,
    "loop/kalman": _kalman,
    "loop/local trend": _trend,
    "loop/local trend gradient": _trend_gradient,
    "loop/gru": _gru,
    "loop/lstm": _lstm,
    "loop/lstm gradient": _lstm_gradient,
}
