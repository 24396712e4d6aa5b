"""Independent numbers for the program tests: finite differences and the losses of the textbooks in plain NumPy."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np


def gradient_by_differences(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient of the scalar function f at x (any shape), by central differences of the given step."""
    x = np.asarray(x, "float64")
    out = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        out[index] = (f(up) - f(down)) / (2 * step)
    return out


def jacobian_by_differences(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The matrix d f_i / d x_j of a vector function of a vector, by central differences."""
    x = np.asarray(x, "float64")
    columns = []
    for j in range(x.size):
        e = np.zeros_like(x)
        e[j] = step
        columns.append((np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * step))
    return np.stack(columns, axis=1)


def softmax(a: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def logistic(a: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-a))."""
    return 1.0 / (1.0 + np.exp(-a))


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """The rows of the identity that belong to the labels."""
    return np.eye(classes)[labels]
