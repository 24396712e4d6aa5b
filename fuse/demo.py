"""The main job end to end: two classifiers of handwritten digits, trained with fuse and checked against NumPy.

Everything here uses the public interface, as a user's own script would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import fuse
import fuse.tensor as T
from fuse.data import digits
from fuse.devices import is_simulated

RATE, MOMENTUM = 0.1, 0.9
REQUIRED = 0.95


class Amount(NamedTuple):
    """How much is done: images to train and to test on, of each step, hidden units, and rounds of timing."""

    train: int = 1437
    test: int = 360
    batch: int = 32
    hidden: int = 128
    rounds: int = 40

    @property
    def batches(self) -> int:
        """The steps of an epoch."""
        return self.train // self.batch


# The simulator of a GPU runs kernels in plain Python: enough to see that each stage works, not to learn from.
SIMULATED = Amount(train=8, test=8, batch=4, hidden=3, rounds=0)
WHOLE = Amount(hidden=16, rounds=0)  # or to learn from, in minutes


class Model(NamedTuple):
    """A classifier: its name, its parameters, and class probabilities of the images ``x``."""

    name: str
    x: Any
    params: list[Any]
    probability: Any


def softmax_regression(rng: np.random.Generator, hidden: int) -> Model:
    """Return the linear classifier softmax(x W + b)."""
    x = T.matrix("x")
    W = fuse.shared(np.zeros((64, 10)), name="W")
    b = fuse.shared(np.zeros(10), name="b")
    return Model("softmax regression", x, [W, b], T.nnet.softmax(T.dot(x, W) + b))


def network(rng: np.random.Generator, hidden: int) -> Model:
    """Return the classifier with one hidden layer of tanh units."""
    x = T.matrix("x")
    W1 = fuse.shared(rng.standard_normal((64, hidden)) / 8, name="W1")
    b1 = fuse.shared(np.zeros(hidden), name="b1")
    W2 = fuse.shared(rng.standard_normal((hidden, 10)) / np.sqrt(hidden), name="W2")
    b2 = fuse.shared(np.zeros(10), name="b2")
    units = T.tanh(T.dot(x, W1) + b1)
    return Model("one hidden layer", x, [W1, b1, W2, b2], T.nnet.softmax(T.dot(units, W2) + b2))


def momentum_updates(cost: Any, params: list[Any]) -> list[tuple[Any, Any]]:
    """Return the updates of gradient descent with momentum for ``fuse.function``."""
    updates = []
    for p, g in zip(params, T.grad(cost, params), strict=True):
        velocity = fuse.shared(np.zeros_like(p.get_value()), name=f"v_{p.name}")
        faster = MOMENTUM * velocity - RATE * g
        updates += [(velocity, faster), (p, p + faster)]
    return updates


class Numpy:
    """The same training step by hand, in NumPy: gradients worked out on paper, buffers updated in place."""

    def __init__(self, params: list[np.ndarray], images: np.ndarray, labels: np.ndarray, batch: int) -> None:
        self.params = [p.copy() for p in params]
        self.velocities = [np.zeros_like(p) for p in params]
        self.images, self.labels, self.batch, self.rows = images, labels, batch, np.arange(batch)

    def __call__(self, i: int) -> float:
        here = slice(i * self.batch, (i + 1) * self.batch)
        x, y = self.images[here], self.labels[here]
        *first, W, b = self.params
        h = np.tanh(x @ first[0] + first[1]) if first else x
        z = h @ W + b
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        p = e / e.sum(axis=1, keepdims=True)
        cost = -np.log(p[self.rows, y]).mean()
        p[self.rows, y] -= 1
        p /= self.batch
        gradients = [h.T @ p, p.sum(axis=0)]
        if first:
            d = (p @ W.T) * (1 - h * h)
            gradients = [x.T @ d, d.sum(axis=0), *gradients]
        for q, v, g in zip(self.params, self.velocities, gradients, strict=True):
            v *= MOMENTUM
            v -= RATE * g
            q += v
        return cost


def run(device: str = "cpu", epochs: int = 40, seed: int = 0, whole: bool = False) -> int:
    """Train both models, print every stage, and return 0 if the network reaches an accuracy of 0.95, else 1.

    In the simulator of a GPU it trains on a few images for two epochs, and asks for no accuracy; with ``whole`` on all
    images, for as many epochs as are asked for, with fewer hidden units.
    """
    start = perf_counter()
    rng = np.random.default_rng(seed)
    images, labels = digits()
    order = rng.permutation(len(images))
    simulated = device != "cpu" and is_simulated()
    few = simulated and not whole
    amount, epochs = (SIMULATED, min(epochs, 2)) if few else (WHOLE if simulated else Amount(), epochs)
    if simulated:
        some = "a few images, units and steps only" if few else "fewer hidden units, and minutes for an epoch"
        print(f"the simulator of CUDA runs kernels in plain Python: {some}")
    count = amount.train + amount.test
    images, labels = images[order][:count], labels[order][:count]
    print(f"{count} handwritten digits of 8 x 8 pixels: {amount.train} to train on, {amount.test} to test")

    accuracy = 0.0
    with fuse.config.change_flags(device=device):
        show_stages(softmax_regression(rng, amount.hidden))
        for build in (softmax_regression, network):
            accuracy = train(build(rng, amount.hidden), images, labels, amount, epochs, rng)
    enough = few or accuracy >= REQUIRED
    print(f"\n{perf_counter() - start:.1f} s in all, compilation included")
    if not enough:
        print(f"the network's accuracy of {accuracy:.3f} is below {REQUIRED}", file=sys.stderr)
    return 0 if enough else 1


def show_stages(model: Model) -> None:
    """Print the cost formula, the simplified formula of its gradient, and one generated kernel."""
    y = T.ivector("y")
    cost = T.nnet.categorical_crossentropy(model.probability, y).mean()
    bias = model.params[-1]
    section("cost", fuse.pp(cost))
    section(f"gradient of the cost with respect to {bias.name}, simplified", fuse.pp(fuse.simplify(T.grad(cost, bias))))
    source = fuse.function([model.x], model.probability).source
    section("generated kernel for the class probabilities", source.partition("# wrapper")[0])


def train(
    model: Model, images: np.ndarray, labels: np.ndarray, amount: Amount, epochs: int, rng: np.random.Generator
) -> float:
    """Train ``model`` and return its accuracy on the test images."""
    section(model.name)
    y, i = T.ivector("y"), T.lscalar("i")
    cost = T.nnet.categorical_crossentropy(model.probability, y).mean()
    error = T.neq(T.argmax(model.probability, axis=1), y).mean()
    count, size, batches = amount.train, amount.batch, amount.batches
    data = fuse.shared(images[:count], name="images"), fuse.shared(labels[:count], name="labels")
    batch = slice(i * size, (i + 1) * size)

    started = perf_counter()
    step = fuse.function(
        [i],
        cost,
        updates=momentum_updates(cost, model.params),
        givens={model.x: data[0][batch], y: data[1][batch]},
    )
    by_hand = Numpy([p.get_value() for p in model.params], images[:count], labels[:count], size)
    costs = [(step(k), by_hand(k)) for k in range(batches)]
    print(f"built, compiled and run for one epoch in {perf_counter() - started:.2f} s")
    apart = max(np.abs(p.get_value() - q).max() for p, q in zip(model.params, by_hand.params, strict=True))
    print(f"after {len(costs)} steps no weight is further than {apart:.1e} from the same training in NumPy")
    if not apart < 1e-8:
        raise ArithmeticError(f"fuse and NumPy trained different weights: {apart}")

    for epoch in range(2, epochs + 1):
        latest = np.mean([step(k) for k in rng.permutation(batches)])
        progress(epoch, epochs, f"cost {latest:.4f}")
    test = {model.x: images[count:], y: labels[count:]}
    accuracy = 1 - float(error.eval(test))
    print(f"test accuracy {accuracy:.3f}")

    if not amount.rounds:
        return accuracy
    ours, theirs = time_side_by_side(step, by_hand, batches=batches, rounds=amount.rounds)
    print(f"time per step: fuse {ours * 1e6:.1f} µs, NumPy by hand {theirs * 1e6:.1f} µs ({theirs / ours:.1f} x)")
    return accuracy


def progress(epoch: int, epochs: int, remark: str) -> None:
    """Draw a bar for ``epoch`` of ``epochs``; without a terminal, print a line after each quarter."""
    if sys.stdout.isatty():
        bar = "#" * (epoch * 30 // epochs)
        print(f"\r[{bar:<30}] epoch {epoch}/{epochs}, {remark}", end="\n" if epoch == epochs else "", flush=True)
    elif epoch * 4 // epochs > (epoch - 1) * 4 // epochs:
        print(f"epoch {epoch:>3}/{epochs}, {remark}", flush=True)


def time_side_by_side(*steps: Callable[[int], object], batches: int, rounds: int) -> list[float]:
    """Return the median seconds per call of each step, from runs that take turns."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, record in zip(steps, times, strict=True):
            start = perf_counter()
            for k in range(batches):
                step(k)
            record.append((perf_counter() - start) / batches)
    return [median(record) for record in times]


def section(title: str, text: str = "") -> None:
    """Print a heading and, indented, ``text``."""
    print(f"\n--- {title}")
    for line in text.splitlines():
        print(f"    {line}".rstrip())
