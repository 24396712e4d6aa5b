"""Learning: logistic regression and networks of one layer and of many, as values, as gradients, as steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.records import Data, Workload

__all__ = ["WORKLOADS"]

_DECAY = 0.01


def _two_classes(rng: np.random.Generator, n: int, features: int = 784) -> Data:
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


def _network_dots(m: Any, x: Any, h: Any, w1: Any, w2: Any, d: Any, back: Any) -> tuple[Any, ...]:
    """Return the products of a step of descent, forward and backward."""
    return m.dot(x, w1), m.dot(h, w2), m.dot(d, w2.T), m.dot(x.T, back), m.dot(h.T, d)


def _network_operands(rng: np.random.Generator, n: int) -> Data:
    shapes = {"x": (n, 784), "h": (n, 500), "w1": (784, 500), "w2": (500, 10), "d": (n, 10), "back": (n, 500)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


_LAYERS = 20


def _narrow_layers(rng: np.random.Generator, n: int, width: int) -> Data:
    return {
        "x": rng.standard_normal((n, width)),
        **{f"w{k}": rng.standard_normal((width, width)) / np.sqrt(width) for k in range(_LAYERS)},
        **{f"b{k}": np.zeros(width) for k in range(_LAYERS)},
    }


def _deep(m: Any, x: Any, *parameters: Any) -> Any:
    """Return the cost of a network of many small layers: what a step takes is nearly all calls and kernels."""
    for w, b in zip(parameters[:_LAYERS], parameters[_LAYERS:], strict=True):
        x = m.tanh(m.dot(x, w) + b)
    return m.mean((x - 1) ** 2)


def _deep_by_hand(x: np.ndarray, *parameters: np.ndarray) -> tuple[Any, ...]:
    layers = [x]
    for w, b in zip(parameters[:_LAYERS], parameters[_LAYERS:], strict=True):
        layers.append(np.tanh(layers[-1] @ w + b))
    d = 2 * (layers[-1] - 1) / layers[-1].size
    weights, biases = [], []
    for k in reversed(range(_LAYERS)):
        d = d * (1 - layers[k + 1] ** 2)
        weights.insert(0, layers[k].T @ d)
        biases.insert(0, d.sum(axis=0))
        d = d @ parameters[k].T
    return ((layers[-1] - 1) ** 2).mean(), *weights, *biases


_BATCHES = {f"b{n}": {"n": n} for n in (60, 600, 10_000)}

_MODELS = (  # name, data, formula, reference, parameters
    ("logistic", _two_classes, _logistic, _logistic_by_hand, ("w", "b")),
    ("network", _ten_classes, _network, _network_by_hand, ("w1", "b1", "w2", "b2")),
)


WORKLOADS = (
    *(
        workload
        for name, data, formula, reference, parameters in _MODELS
        for workload in (
            Workload(
                name=f"learn/{name} value",
                sizes=_BATCHES,
                quick=(),
                data=data,
                formula=formula,
            ),
            Workload(
                name=f"learn/{name} gradient",
                sizes=_BATCHES,
                quick=("b600",) if name == "logistic" else (),
                data=data,
                formula=formula,
                reference=reference,
                wrt=parameters,
            ),
            Workload(
                name=f"learn/{name} step",
                sizes=_BATCHES,
                quick=("b600",) if name == "network" else (),
                data=data,
                formula=formula,
                reference=reference,
                wrt=parameters,
                rate=0.1,
            ),
        )
    ),
    Workload(
        name="learn/network dots",
        sizes=_BATCHES,
        quick=(),
        data=_network_operands,
        formula=_network_dots,
    ),
    Workload(
        name="learn/deep step",
        sizes={"20 layers of 8 b4": {"n": 4, "width": 8}},
        quick=(),
        data=_narrow_layers,
        formula=_deep,
        reference=_deep_by_hand,
        wrt=tuple(f"{kind}{k}" for kind in "wb" for k in range(_LAYERS)),
        rate=0.1,
    ),
    Workload(
        name="learn/dense tanh",
        sizes={"64x512x512": {"n": 64}, "2048x512x512": {"n": 2048}},
        quick=(),
        data=lambda rng, n: (
            {"x": rng.standard_normal((n, 512)), "w": rng.standard_normal((512, 512)) / 16}
            | {"b": rng.standard_normal(512)}
        ),
        formula=lambda m, x, w, b: m.tanh(m.dot(x, w) + b),
    ),
)
