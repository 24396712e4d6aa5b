"""Loops as a person writes them: numbers in registers, rows of weights added to the next state, one loop back."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from benchmarks.by_hand.blocks import add_product
from benchmarks.by_hand.mathematics import ORDERED, SUMS, tanh
from benchmarks.records import Data
from benchmarks.workloads.loops import DT, LIMIT

__all__ = ["KERNELS"]

_sums = numba.njit(**SUMS)
_ordered = numba.njit(**ORDERED)


def _lorenz(steps: int) -> Any:
    @_ordered
    def kernel(x, y, z, rho):
        for _ in range(steps):
            ax, ay, az = 10.0 * (y - x), x * (rho - z) - y, x * y - (8.0 / 3.0) * z
            u, v, w = x + 0.5 * DT * ax, y + 0.5 * DT * ay, z + 0.5 * DT * az
            bx, by, bz = 10.0 * (v - u), u * (rho - w) - v, u * v - (8.0 / 3.0) * w
            u, v, w = x + 0.5 * DT * bx, y + 0.5 * DT * by, z + 0.5 * DT * bz
            cx, cy, cz = 10.0 * (v - u), u * (rho - w) - v, u * v - (8.0 / 3.0) * w
            u, v, w = x + DT * cx, y + DT * cy, z + DT * cz
            dx, dy, dz = 10.0 * (v - u), u * (rho - w) - v, u * v - (8.0 / 3.0) * w
            x += DT / 6.0 * (ax + 2.0 * bx + 2.0 * cx + dx)
            y += DT / 6.0 * (ay + 2.0 * by + 2.0 * cy + dy)
            z += DT / 6.0 * (az + 2.0 * bz + 2.0 * cz + dz)
        return x, y, z

    return lambda inputs: kernel


def _ar1(inputs: Data) -> Any:
    @_sums
    def kernel(y, phi, c):
        cost = slope = total = 0.0
        for t in range(1, y.shape[0]):
            error = y[t] - c - phi * y[t - 1]
            cost += error * error
            slope -= error * y[t - 1]
            total -= error
        return 0.5 * cost, slope, total

    return kernel


def _ma1(inputs: Data) -> Any:
    @_ordered
    def kernel(y, theta):
        cost = slope = error = change = 0.0
        for t in range(y.shape[0]):
            change = -error - theta * change
            error = y[t] - theta * error
            cost += error * error
            slope += error * change
        return 0.5 * cost, slope

    return kernel


def _mandelbrot(inputs: Data) -> Any:
    out = np.empty_like(inputs["a"])

    @_ordered
    def fill(a, b, out):
        for i in range(a.shape[0]):
            x = y = 0.0
            count = 0
            while x * x + y * y < 4.0 and count < LIMIT:
                x, y = x * x - y * y + a[i], 2.0 * x * y + b[i]
                count += 1
            out[i] = count

    def kernel(a, b):
        fill(a, b, out)
        return out

    return kernel


def _rnn(inputs: Data) -> Any:
    steps, n = inputs["target"].shape
    hidden, slopes, back = np.empty((steps + 1, n)), np.empty((steps, n)), np.empty(n)

    @_ordered
    def forward(rows, h, w, bias, target, hidden):
        cost = 0.0
        hidden[0] = h
        for t in range(rows.shape[0]):
            new, old = hidden[t + 1], hidden[t]
            for j in range(new.shape[0]):
                new[j] = rows[t, j] + bias[j]
            add_product(old, w, new)
            for j in range(new.shape[0]):
                new[j] = tanh(new[j])
            for j in range(new.shape[0]):
                cost += (new[j] - target[t, j]) ** 2
        return cost

    @_ordered
    def backward(hidden, target, turned, slopes, back):
        back[:] = 0.0
        for t in range(target.shape[0] - 1, -1, -1):
            out, slope = hidden[t + 1], slopes[t]
            for j in range(out.shape[0]):
                slope[j] = (back[j] + 2.0 * (out[j] - target[t, j])) * (1.0 - out[j] * out[j])
            back[:] = 0.0
            add_product(slope, turned, back)

    def kernel(x, target, h, w, u, bias):
        cost = forward(x @ u, h, w, bias, target, hidden)
        backward(hidden, target, np.ascontiguousarray(w.T), slopes, back)
        return cost, hidden[:-1].T @ slopes, x.T @ slopes, slopes.sum(axis=0)

    return kernel


KERNELS = {
    "loop/lorenz, 2e3 steps": _lorenz(2000),
    "loop/lorenz, 1e5 steps": _lorenz(100_000),
    "loop/ar1 gradient": _ar1,
    "loop/ma1 gradient": _ma1,
    "loop/mandelbrot": _mandelbrot,
    "loop/rnn gradient": _rnn,
}
