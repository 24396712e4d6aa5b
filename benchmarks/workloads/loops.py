"""Loops that carry a state from step to step: an ODE, a likelihood, an escape time, a recurrent network."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["DT", "LIMIT", "WORKLOADS"]

_PEERS = ("fuse", "numba", "jax", "pytensor", "pytensor-c")  # whose loops are compiled
DT, LIMIT = 0.01, 1000


def _slope(x: Any, y: Any, z: Any, rho: Any) -> tuple[Any, Any, Any]:
    return 10.0 * (y - x), x * (rho - z) - y, x * y - (8.0 / 3.0) * z


def _rk4(state: tuple[Any, ...], rho: Any) -> tuple[Any, ...]:
    """One step of Runge and Kutta's method for Lorenz' equations."""
    k1 = _slope(*state, rho)
    k2 = _slope(*(v + 0.5 * DT * k for v, k in zip(state, k1, strict=True)), rho)
    k3 = _slope(*(v + 0.5 * DT * k for v, k in zip(state, k2, strict=True)), rho)
    k4 = _slope(*(v + DT * k for v, k in zip(state, k3, strict=True)), rho)
    slopes = zip(state, k1, k2, k3, k4, strict=True)
    return tuple(v + DT / 6.0 * (a + 2.0 * b + 2.0 * c + d) for v, a, b, c, d in slopes)


def _lorenz(steps: int) -> Any:
    """The formula for so many steps: peers know the number when they compile, but for NumPy."""

    def formula(m: Any, x: Any, y: Any, z: Any, rho: Any) -> Any:
        return m.loop(lambda state, _: (_rk4(state, rho), ()), (x, y, z), None, steps)[0]

    return formula


def _likelihood(m: Any, y: Any, phi: Any, c: Any) -> Any:
    """The squared errors of a first-order autoregression, added up."""

    def step(state: tuple[Any, ...], x: tuple[Any, ...]) -> Any:
        error = x[0] - c - phi * state[0]
        return (x[0], state[1] + error * error), ()

    return 0.5 * m.loop(step, (y[0], 0.0 * y[0]), (y[1:],), None)[0][1]


def _likelihood_gradient(y: Any, phi: float, c: float) -> Any:
    error = y[1:] - c - phi * y[:-1]
    return 0.5 * (error @ error), -(error @ y[:-1]), -error.sum()


def _moving(m: Any, y: Any, theta: Any) -> Any:
    """The squared errors of a first-order moving average, each of which needs the one before."""

    def step(state: tuple[Any, ...], x: tuple[Any, ...]) -> Any:
        error = x[0] - theta * state[0]
        return (error, state[1] + error * error), ()

    return 0.5 * m.loop(step, (0.0 * y[0], 0.0 * y[0]), (y,), None)[0][1]


def _moving_gradient(y: Any, theta: float) -> Any:
    cost = slope = error = change = 0.0
    for value in y.tolist():
        change = -error - theta * change
        error = value - theta * error
        cost += error * error
        slope += error * change
    return 0.5 * cost, slope


def _escape(m: Any, a: Any, b: Any) -> Any:
    """How many steps each point takes to leave the disc of radius 2, and no more than LIMIT."""

    def one(x0: Any, y0: Any) -> Any:
        def inside(s: Any) -> Any:
            return s[0] * s[0] + s[1] * s[1] < 4.0

        def step(s: Any) -> Any:
            return s[0] * s[0] - s[1] * s[1] + x0, 2.0 * s[0] * s[1] + y0, s[2] + 1.0

        return m.repeat_while(inside, step, (0.0 * x0, 0.0 * x0, 0.0 * x0), LIMIT)[2]

    return m.loop(lambda _, x: ((), (one(*x),)), (), (a, b), None)[1][0]


def _escape_times(a: Any, b: Any) -> Any:
    found = np.zeros_like(a)
    for i, point in enumerate((a + 1j * b).tolist()):
        z, count = 0j, 0
        while z.real * z.real + z.imag * z.imag < 4.0 and count < LIMIT:
            z = complex(z.real * z.real - z.imag * z.imag + point.real, 2.0 * z.real * z.imag + point.imag)
            count += 1
        found[i] = count
    return found


def _network(m: Any, x: Any, target: Any, h: Any, w: Any, u: Any, bias: Any) -> Any:
    """The squared error of Elman's recurrent network."""

    def step(state: tuple[Any, ...], now: tuple[Any, ...]) -> Any:
        new = m.tanh(m.dot(now[0], u) + m.dot(state[0], w) + bias)
        return (new,), (new,)

    hidden = m.loop(step, (h,), (x,), None)[1][0]
    return m.sum((hidden - target) ** 2)


def _network_gradient(x: Any, target: Any, h: Any, w: Any, u: Any, bias: Any) -> Any:
    rows = [h]
    for row in x @ u + bias:
        rows.append(np.tanh(row + rows[-1] @ w))
    hidden = np.array(rows)
    slopes, back = np.empty_like(hidden[1:]), np.zeros_like(h)
    for t in range(len(x) - 1, -1, -1):
        out = hidden[t + 1]
        slopes[t] = (back + 2.0 * (out - target[t])) * (1.0 - out * out)
        back = w @ slopes[t]
    return ((hidden[1:] - target) ** 2).sum(), hidden[:-1].T @ slopes, x.T @ slopes, slopes.sum(axis=0)


def _start(rng: np.random.Generator, rho: int) -> Data:
    """Orbits are chaotic for rho = 28: after many steps nothing could be checked. For 14 they end in a fixed point."""
    return {"x": 1.0, "y": 1.0, "z": 1.0, "rho": float(rho)}


def _series(rng: np.random.Generator, n: int) -> Data:
    return {"y": rng.standard_normal(n), "phi": 0.6, "c": 0.1}


def _one_series(rng: np.random.Generator, n: int) -> Data:
    return {"y": rng.standard_normal(n), "theta": 0.4}


def _points(rng: np.random.Generator, n: int) -> Data:
    return {"a": rng.uniform(-2.0, 0.6, n), "b": rng.uniform(-1.1, 1.1, n)}


def _weights(rng: np.random.Generator, steps: int, inputs: int, hidden: int) -> Data:
    return {
        "x": rng.standard_normal((steps, inputs)),
        "target": rng.uniform(-1.0, 1.0, (steps, hidden)),
        "h": np.zeros(hidden),
        "w": 0.1 * rng.standard_normal((hidden, hidden)),
        "u": 0.1 * rng.standard_normal((inputs, hidden)),
        "bias": 0.1 * rng.standard_normal(hidden),
    }


def _lorenz_by_steps(steps: int) -> Any:
    def run(x: float, y: float, z: float, rho: float) -> tuple[Any, ...]:
        state: tuple[Any, ...] = (x, y, z)
        for _ in range(steps):
            state = _rk4(state, rho)
        return state

    return run


WORKLOADS: tuple[Workload, ...] = (
    *(
        Workload(
            name=f"loop/lorenz, {label} steps",
            sizes={f"rho {rho}": {"rho": rho}},
            quick=(),
            data=_start,
            formula=_lorenz(steps),
            reference=_lorenz_by_steps(steps),
            peers=_PEERS,
        )
        for label, steps, rho in (("2e3", 2000, 28), ("1e5", 100_000, 14))
    ),
    Workload(
        name="loop/ar1 gradient",
        sizes={"1e5": {"n": 100_000}, "1e3": {"n": 1000}},
        quick=(),
        data=_series,
        formula=_likelihood,
        reference=_likelihood_gradient,
        wrt=("phi", "c"),
        peers=(*_PEERS, "numpy"),
    ),
    Workload(
        name="loop/ma1 gradient",
        sizes={"1e5": {"n": 100_000}, "1e3": {"n": 1000}},
        quick=(),
        data=_one_series,
        formula=_moving,
        reference=_moving_gradient,
        wrt=("theta",),
        peers=_PEERS,
    ),
    Workload(
        name="loop/mandelbrot",
        sizes={"256": {"n": 256}, "16": {"n": 16}},
        quick=(),
        data=_points,
        formula=_escape,
        reference=_escape_times,
        peers=_PEERS,
    ),
    Workload(
        name="loop/rnn gradient",
        sizes={
            "T500 h32": {"steps": 500, "inputs": 32, "hidden": 32},
            "T100 h50": {"steps": 100, "inputs": 5, "hidden": 50},
            "T50 h128": {"steps": 50, "inputs": 64, "hidden": 128},
        },
        quick=("T100 h50",),
        data=_weights,
        formula=_network,
        reference=_network_gradient,
        wrt=("w", "u", "bias"),
        peers=(*_PEERS, "numpy"),
    ),
)
