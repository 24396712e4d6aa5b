"""Learning: logistic regression and a network with one hidden layer, as values, as gradients, as steps of descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]

_DECAY = 0.01


def _two_classes(rng: np.random.Generator, n: int, features: int) -> Data:
    return {
        "x": rng.standard_normal((n, features)),
        "y": rng.integers(0, 2, n).astype(np.float64),
        "w": rng.standard_normal(features) / np.sqrt(features),
        "b": np.zeros(()),
    }


def _logistic(m: Any, x: Any, y: Any, w: Any, b: Any) -> Any:
    """Return the cost of Theano's tutorial, as it is written there."""
    p = 1 / (1 + m.exp(-m.dot(x, w) - b))
    cross_entropy = -y * m.log(p) - (1 - y) * m.log(1 - p)
    return m.mean(cross_entropy) + _DECAY * m.sum(w**2)


def _logistic_by_hand(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
    z = x @ w + b
    cost = (np.logaddexp(0, z) - y * z).mean() + _DECAY * (w @ w)
    d = (1 / (1 + np.exp(-z)) - y) / len(y)
    return cost, d @ x + 2 * _DECAY * w, d.sum()


def _ten_classes(rng: np.random.Generator, n: int, features: int = 784, hidden: int = 500, classes: int = 10) -> Data:
    return {
        "x": rng.uniform(0, 1, (n, features)),
        "y": np.eye(classes)[rng.integers(0, classes, n)],
        "w1": rng.standard_normal((features, hidden)) / np.sqrt(features),
        "b1": np.zeros(hidden),
        "w2": rng.standard_normal((hidden, classes)) / np.sqrt(hidden),
        "b2": np.zeros(classes),
    }


def _network(m: Any, x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    hidden = m.tanh(m.dot(x, w1) + b1)
    log_p = m.log_softmax(m.dot(hidden, w2) + b2, axis=1)
    return -m.mean(m.sum(y * log_p, axis=1))


def _network_by_hand(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, ...]:
    hidden = np.tanh(x @ w1 + b1)
    z = hidden @ w2 + b2
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    cost = -(y * (z - np.log(total))).sum(axis=1).mean()
    d = (e / total - y) / len(y)
    back = (d @ w2.T) * (1 - hidden * hidden)
    return cost, x.T @ back, back.sum(axis=0), hidden.T @ d, d.sum(axis=0)


_SAMPLES = {"400x784": {"n": 400, "features": 784}, "10000x784": {"n": 10_000, "features": 784}}
_BATCHES = {"b60": {"n": 60}, "b600": {"n": 600}, "b10000": {"n": 10_000}}

WORKLOADS = (
    Workload(
        name="learn/logistic_value",
        sizes=_SAMPLES,
        quick=("400x784",),
        data=_two_classes,
        formula=_logistic,
        reference=lambda *values: _logistic_by_hand(*values)[0],
    ),
    Workload(
        name="learn/logistic_gradient",
        sizes=_SAMPLES,
        quick=("400x784", "10000x784"),
        data=_two_classes,
        formula=_logistic,
        reference=_logistic_by_hand,
        wrt=("w", "b"),
    ),
    Workload(
        name="learn/logistic_step",
        sizes=_SAMPLES,
        quick=("400x784",),
        data=_two_classes,
        formula=_logistic,
        reference=_logistic_by_hand,
        wrt=("w", "b"),
        rate=0.1,
    ),
    Workload(
        name="learn/network_step",
        sizes=_BATCHES,
        quick=("b60", "b600"),
        data=_ten_classes,
        formula=_network,
        reference=_network_by_hand,
        wrt=("w1", "b1", "w2", "b2"),
        rate=0.1,
    ),
)
