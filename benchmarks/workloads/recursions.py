"""Models of series, step by step: a conditional variance, smoothing, hidden states, a Kalman filter, gated networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["PERIOD", "WORKLOADS"]

_PEERS = ("fuse", "numba", "jax", "pytensor", "pytensor-c")  # whose loops are compiled
PERIOD = 12  # of a season


def _garch(m: Any, y: Any, w: Any, a: Any, b: Any) -> Any:
    """Twice the negative log-likelihood of a GARCH(1,1) model, its constant aside."""

    def step(state: tuple[Any, ...], x: tuple[Any, ...]) -> Any:
        h, cost = state
        square = x[0] * x[0]
        return (w + a * square + b * h, cost + m.log(h) + square / h), ()

    return m.loop(step, (w / (1.0 - a - b), 0.0 * w), (y,), None)[0][1]


def _garch_gradient(y: Any, w: float, a: float, b: float) -> Any:
    rest = 1.0 - a - b
    h, d = w / rest, np.array([1.0 / rest, w / rest**2, w / rest**2])
    cost, slope = 0.0, np.zeros(3)
    for square in (y * y).tolist():
        cost += np.log(h) + square / h
        slope += d * (1.0 / h - square / (h * h))
        d = np.array([1.0, square, h]) + b * d
        h = w + a * square + b * h
    return cost, *slope


def _smoothing(m: Any, y: Any, season: Any, a: Any, b: Any, c: Any) -> Any:
    """The squared errors of Holt and Winters' additive smoothing, one step ahead."""

    def step(state: tuple[Any, ...], x: tuple[Any, ...]) -> Any:
        level, slope, season, cost = state
        error = x[0] - level - slope - season[0]
        after = level + slope + a * error
        return (after, slope + b * error, m.concatenate([season[1:], season[:1] + c * error]), cost + error * error), ()

    return m.loop(step, (y[0], 0.0 * y[0], season, 0.0 * y[0]), (y,), None)[0][3]


def _smoothing_gradient(y: Any, season: Any, a: float, b: float, c: float) -> Any:
    def cost(a: complex, b: complex, c: complex) -> complex:
        level, slope, seasons, total = y[0], 0.0, season.tolist(), 0.0
        for t, value in enumerate(y.tolist()):
            error = value - level - slope - seasons[t % PERIOD]
            level = level + slope + a * error
            slope = slope + b * error
            seasons[t % PERIOD] += c * error
            total += error * error
        return total

    return cost(a, b, c), *_imaginary(cost, a, b, c)


def _imaginary(f: Callable[..., Any], *values: Any) -> list[Any]:
    """The gradients of ``f`` by imaginary steps, too small to be seen in the value."""
    step, found = 1e-30, []
    for k, value in enumerate(values):
        slope = np.empty(np.shape(value))
        for at in np.ndindex(slope.shape):
            moved = np.array(value, complex)
            moved[at] += 1j * step
            slope[at] = np.imag(f(*values[:k], moved[()], *values[k + 1 :])) / step
        found.append(slope)
    return found


def _hidden(m: Any, likelihood: Any, start: Any, change: Any) -> Any:
    """The log-likelihood of a hidden Markov model by the forward algorithm, scaled in each step."""

    def step(state: tuple[Any, ...], x: tuple[Any, ...]) -> Any:
        joint = state[0] * x[0]
        total = m.sum(joint)
        return (m.dot(joint / total, change), state[1] + m.log(total)), ()

    return m.loop(step, (start, 0.0 * start[0]), (likelihood,), None)[0][1]


def _hidden_gradient(likelihood: Any, start: Any, change: Any) -> Any:
    priors, posts, totals, prior = [], [], [], start
    for row in likelihood:
        joint = prior * row
        totals.append(joint.sum())
        priors.append(prior)
        posts.append(joint / totals[-1])
        prior = posts[-1] @ change
    back, slope = np.zeros_like(start), np.zeros_like(change)
    for t in range(len(likelihood) - 1, -1, -1):
        slope += np.outer(posts[t], back)
        ahead = change @ back
        back = likelihood[t] * (ahead - ahead @ posts[t] + 1.0) / totals[t]
    return np.log(totals).sum(), back, slope


def _kalman(m: Any, y: Any, move: Any, watch: Any, q: Any, r: Any, mean: Any, spread: Any) -> Any:
    """Twice the negative log-likelihood of a linear Gaussian model by Kalman's filter, its constant aside."""

    def step(state: tuple[Any, ...], x: tuple[Any, ...]) -> Any:
        mean, spread, cost = state
        mean = m.dot(move, mean)
        spread = m.dot(m.dot(move, spread), move.T) + q
        error = x[0] - m.dot(watch, mean)
        seen = m.dot(watch, spread)
        inner = m.dot(seen, watch.T) + r
        inverse = m.inv(inner)
        gain = m.dot(seen.T, inverse)
        cost = cost + m.logdet(inner) + m.dot(error, m.dot(inverse, error))
        return (mean + m.dot(gain, error), spread - m.dot(gain, seen), cost), ()

    return m.loop(step, (mean, spread, 0.0 * mean[0]), (y,), None)[0][2]


def _kalman_cost(y: Any, move: Any, watch: Any, q: Any, r: Any, mean: Any, spread: Any) -> Any:
    from benchmarks.vocabulary import numpy_vocabulary

    m = numpy_vocabulary()
    m.logdet = lambda x: np.log(np.linalg.det(x))  # of a complex matrix too
    return _kalman(m, y, move, watch, q, r, mean, spread)


def _kalman_gradient(y: Any, move: Any, watch: Any, q: Any, r: Any, mean: Any, spread: Any) -> Any:
    def cost(q: Any, r: Any) -> Any:
        return _kalman_cost(y, move, watch, q, r, mean, spread)

    return cost(q, r), *_imaginary(cost, q, r)


def _scalar_kalman(m: Any, y: Any, q: Any, r: Any) -> Any:
    """The same for a local trend that one series shows: two states, their spread as three numbers."""

    def step(state: tuple[Any, ...], x: tuple[Any, ...]) -> Any:
        level, trend, a, b, c, cost = state
        level, a, b, c = level + trend, a + 2.0 * b + c + q, b + c, c + 0.1 * q
        error, total = x[0] - level, a + r
        k, g = a / total, b / total
        after = level + k * error, trend + g * error, a - k * a, b - k * b, c - g * b
        return (*after, cost + m.log(total) + error * error / total), ()

    zero = 0.0 * y[0]
    return m.loop(step, (y[0], zero, zero + 1.0, zero, zero + 1.0, zero), (y,), None)[0][5]


def _scalar_kalman_gradient(y: Any, q: float, r: float) -> Any:
    def cost(q: complex, r: complex) -> complex:
        level, trend, a, b, c, cost = y[0], 0.0, 1.0, 0.0, 1.0, 0.0
        for value in y.tolist():
            level, a, b, c = level + trend, a + 2.0 * b + c + q, b + c, c + 0.1 * q
            error, total = value - level, a + r
            k, g = a / total, b / total
            level, trend, a, b, c = level + k * error, trend + g * error, a - k * a, b - k * b, c - g * b
            cost += np.log(total) + error * error / total
        return cost

    return cost(q, r), *_imaginary(cost, q, r)


def _gru(m: Any, x: Any, target: Any, h: Any, u: Any, w: Any, v: Any, bias: Any) -> Any:
    """The squared error of a network of gated recurrent units; ``w`` has the weights of both gates."""
    n = h.shape[1]

    def step(state: tuple[Any, ...], now: tuple[Any, ...]) -> Any:
        [old] = state
        given = m.dot(now[0], u) + bias
        gates = m.sigmoid(given[:, : 2 * n] + m.dot(old, w))
        keep, reset = gates[:, :n], gates[:, n:]
        new = keep * old + (1.0 - keep) * m.tanh(given[:, 2 * n :] + m.dot(reset * old, v))
        return (new,), (new,)

    return m.sum((m.loop(step, (h,), (x,), None)[1][0] - target) ** 2)


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _gru_gradient(x: Any, target: Any, h: Any, u: Any, w: Any, v: Any, bias: Any) -> Any:
    n, olds, made, old, cost = h.shape[1], [], [], h, 0.0
    for row, want in zip(x @ u + bias, target, strict=True):
        gates = _sigmoid(row[:, : 2 * n] + old @ w)
        keep, reset = gates[:, :n], gates[:, n:]
        fresh = np.tanh(row[:, 2 * n :] + (reset * old) @ v)
        olds.append(old)
        made.append((keep, reset, fresh))
        old = keep * old + (1.0 - keep) * fresh
        cost += ((old - want) ** 2).sum()
    back, dw, dv, slopes = np.zeros_like(h), np.zeros_like(w), np.zeros_like(v), np.empty((*x.shape[:2], 3 * n))
    for t in range(len(x) - 1, -1, -1):
        keep, reset, fresh = made[t]
        new = keep * olds[t] + (1.0 - keep) * fresh
        back = back + 2.0 * (new - target[t])
        inner = back * (1.0 - keep) * (1.0 - fresh * fresh)
        along = inner @ v.T
        gates = np.concatenate([
            back * (olds[t] - fresh) * keep * (1.0 - keep), along * olds[t] * reset * (1.0 - reset)
        ], axis=1)
        dv += (reset * olds[t]).T @ inner
        dw += olds[t].T @ gates
        slopes[t] = np.concatenate([gates, inner], axis=1)
        back = back * keep + along * reset + gates @ w.T
    return cost, np.einsum("tbi,tbj->ij", x, slopes), dw, dv, slopes.sum(axis=(0, 1))


def _lstm(m: Any, x: Any, target: Any, h: Any, c: Any, u: Any, w: Any, bias: Any) -> Any:
    """The squared error of a network with long short-term memory."""
    n = h.shape[1]

    def step(state: tuple[Any, ...], now: tuple[Any, ...]) -> Any:
        old, cell = state
        z = m.dot(now[0], u) + m.dot(old, w) + bias
        take, keep, show = (m.sigmoid(z[:, k * n : (k + 1) * n]) for k in range(3))
        cell = keep * cell + take * m.tanh(z[:, 3 * n :])
        new = show * m.tanh(cell)
        return (new, cell), (new,)

    return m.sum((m.loop(step, (h, c), (x,), None)[1][0] - target) ** 2)


def _lstm_gradient(x: Any, target: Any, h: Any, c: Any, u: Any, w: Any, bias: Any) -> Any:
    n, made, old, cell, cost = h.shape[1], [], h, c, 0.0
    for row, want in zip(x @ u + bias, target, strict=True):
        z = row + old @ w
        take, keep, show = (_sigmoid(z[:, k * n : (k + 1) * n]) for k in range(3))
        fresh = np.tanh(z[:, 3 * n :])
        before, cell = cell, keep * cell + take * fresh
        made.append((old, before, take, keep, show, fresh, np.tanh(cell)))
        old = show * made[-1][-1]
        cost += ((old - want) ** 2).sum()
    back, along, dw, slopes = np.zeros_like(h), np.zeros_like(c), np.zeros_like(w), np.empty((*x.shape[:2], 4 * n))
    for t in range(len(x) - 1, -1, -1):
        old, before, take, keep, show, fresh, shown = made[t]
        back = back + 2.0 * (show * shown - target[t])
        along = along + back * show * (1.0 - shown * shown)
        slopes[t] = np.concatenate([
            along * fresh * take * (1.0 - take), along * before * keep * (1.0 - keep),
            back * shown * show * (1.0 - show), along * take * (1.0 - fresh * fresh),
        ], axis=1)
        dw += old.T @ slopes[t]
        along = along * keep
        back = slopes[t] @ w.T
    return cost, np.einsum("tbi,tbj->ij", x, slopes), dw, slopes.sum(axis=(0, 1))


# ---------------------------------------------------------------- inputs
def _returns(rng: np.random.Generator, n: int) -> Data:
    return {"y": rng.standard_normal(n), "w": 0.1, "a": 0.1, "b": 0.8}


def _seasons(rng: np.random.Generator, n: int) -> Data:
    wave = np.sin(2.0 * np.pi * np.arange(PERIOD) / PERIOD)
    y = 5.0 + 0.01 * np.arange(n) + wave[np.arange(n) % PERIOD] + rng.standard_normal(n)
    return {"y": y, "season": wave, "a": 0.3, "b": 0.05, "c": 0.1}


def _chain(rng: np.random.Generator, steps: int, states: int) -> Data:
    change = rng.uniform(0.1, 1.0, (states, states)) + 3.0 * np.eye(states)
    return {
        "likelihood": rng.uniform(0.05, 1.0, (steps, states)),
        "start": np.full(states, 1.0 / states),
        "change": change / change.sum(axis=1, keepdims=True),
    }


def _system(rng: np.random.Generator, steps: int, states: int, seen: int) -> Data:
    return {
        "y": rng.standard_normal((steps, seen)),
        "move": 0.8 * np.eye(states) + 0.05 * rng.standard_normal((states, states)),
        "watch": rng.standard_normal((seen, states)),
        "q": 0.1 * np.eye(states),
        "r": 0.5 * np.eye(seen),
        "mean": np.zeros(states),
        "spread": np.eye(states),
    }


def _trend(rng: np.random.Generator, n: int) -> Data:
    return {"y": np.cumsum(rng.standard_normal(n)), "q": 0.3, "r": 0.7}


def _gated(rng: np.random.Generator, steps: int, batch: int, inputs: int, hidden: int) -> Data:
    return {
        "x": rng.standard_normal((steps, batch, inputs)),
        "target": rng.uniform(-1.0, 1.0, (steps, batch, hidden)),
        "h": np.zeros((batch, hidden)),
        "u": 0.2 * rng.standard_normal((inputs, 3 * hidden)),
        "w": 0.2 * rng.standard_normal((hidden, 2 * hidden)),
        "v": 0.2 * rng.standard_normal((hidden, hidden)),
        "bias": 0.1 * rng.standard_normal(3 * hidden),
    }


def _remembering(rng: np.random.Generator, steps: int, batch: int, inputs: int, hidden: int) -> Data:
    return {
        "x": rng.standard_normal((steps, batch, inputs)),
        "target": rng.uniform(-1.0, 1.0, (steps, batch, hidden)),
        "h": np.zeros((batch, hidden)),
        "c": np.zeros((batch, hidden)),
        "u": 0.2 * rng.standard_normal((inputs, 4 * hidden)),
        "w": 0.2 * rng.standard_normal((hidden, 4 * hidden)),
        "bias": 0.1 * rng.standard_normal(4 * hidden),
    }


_CHAINS = {"T1000 n8": {"steps": 1000, "states": 8}, "T500 n40": {"steps": 500, "states": 40}}
_SYSTEMS = {
    "T500 n4": {"steps": 500, "states": 4, "seen": 2},
    "T100 n12": {"steps": 100, "states": 12, "seen": 4},
}
_BATCHES = {
    "T100 b1 h32": {"steps": 100, "batch": 1, "inputs": 16, "hidden": 32},
    "T40 b16 h64": {"steps": 40, "batch": 16, "inputs": 32, "hidden": 64},
}


def _pair(name: str, sizes: Any, data: Any, formula: Any, gradient: Any, wrt: tuple[str, ...]) -> list[Workload]:
    """The workload ``name`` as a value, and with its gradient."""
    value = Workload(
        name=f"loop/{name}", sizes=sizes, quick=(), data=data, formula=formula,
        reference=lambda *inputs: gradient(*inputs)[0], peers=_PEERS,
    )
    return [value, Workload(
        name=f"loop/{name} gradient", sizes=sizes, quick=(), data=data, formula=formula, reference=gradient, wrt=wrt,
        peers=_PEERS,
    )]


_SERIES = {"1e4": {"n": 10_000}}

WORKLOADS: tuple[Workload, ...] = (
    *_pair("garch", _SERIES, _returns, _garch, _garch_gradient, ("w", "a", "b")),
    *_pair("smoothing", _SERIES, _seasons, _smoothing, _smoothing_gradient, ("a", "b", "c")),
    *_pair("hidden markov", _CHAINS, _chain, _hidden, _hidden_gradient, ("start", "change")),
    *_pair("kalman", _SYSTEMS, _system, _kalman, _kalman_gradient, ("q", "r")),
    *_pair("local trend", _SERIES, _trend, _scalar_kalman, _scalar_kalman_gradient, ("q", "r")),
    *_pair("gru", _BATCHES, _gated, _gru, _gru_gradient, ("u", "w", "v", "bias")),
    *_pair("lstm", _BATCHES, _remembering, _lstm, _lstm_gradient, ("u", "w", "bias")),
)
