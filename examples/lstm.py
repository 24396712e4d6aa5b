"""A long short-term memory that keeps the first symbol of a sequence through noise of varying length.

Run it: ``python examples/lstm.py``. Sequences of different lengths stand side by side in a matrix with a mask, as in
text classification: embedding, LSTM, the mean over time, softmax. S. Hochreiter, J. Schmidhuber, "Long short-term
memory", 1997; F. Gers et al., "Learning to forget", 2000. The steps are those of M. Zeiler, "ADADELTA", 2012.
"""
from __future__ import annotations

from collections import OrderedDict

import numpy as np

import fuse
import fuse.tensor as T

KINDS, NOISE, WIDTH, BATCH = 4, 6, 16, 32  # the first symbol is one of KINDS and the answer; then come NOISE others


def sequences(rng, count, longest):
    """(Symbols and mask of shape (longest, count), the label of each column)."""
    symbols = KINDS + rng.integers(NOISE, size=(longest, count))
    symbols[0] = rng.integers(KINDS, size=count)
    lengths = rng.integers(longest // 2, longest + 1, size=count)
    mask = np.arange(longest)[:, None] < lengths
    return symbols * mask, mask.astype(fuse.config.floatX), symbols[0].copy()


def orthogonal(rng, n):
    return np.linalg.svd(rng.normal(size=(n, n)))[0]


class Classifier:
    """Embedding, LSTM, mean over the steps within the mask, softmax."""

    def __init__(self, rng, symbols, width, classes):
        self.width = width
        self.params = OrderedDict(
            embedding=rng.normal(0, 0.1, (symbols, width)),
            W=np.concatenate([orthogonal(rng, width) for _ in range(4)], axis=1),
            U=np.concatenate([orthogonal(rng, width) for _ in range(4)], axis=1),
            b=np.repeat([0.0, 1.0, 0.0, 0.0], width),  # forget nothing at first
            W_out=rng.normal(0, 0.1, (width, classes)),
            b_out=np.zeros(classes),
        )
        self.params = OrderedDict((name, fuse.shared(value, name=name)) for name, value in self.params.items())

    def gate(self, both, k):
        return both[:, k * self.width : (k + 1) * self.width]

    def step(self, mask, x, h, c):
        """One step of all sequences; those that have ended keep their state."""
        both = x + T.dot(h, self.params["U"])
        add, keep, show = (T.nnet.sigmoid(self.gate(both, k)) for k in range(3))
        new_c = keep * c + add * T.tanh(self.gate(both, 3))
        new_h = show * T.tanh(new_c)
        inside = mask[:, None]
        return inside * new_h + (1 - inside) * h, inside * new_c + (1 - inside) * c

    def __call__(self, symbols, mask):
        p = self.params
        steps, count = symbols.shape
        embedded = p["embedding"][symbols.flatten()].reshape((steps, count, self.width))
        (states, _), _ = fuse.scan(
            self.step,
            sequences=[mask, T.dot(embedded, p["W"]) + p["b"]],
            outputs_info=[T.zeros((count, self.width))] * 2,
            name="lstm",
        )
        mean = (states * mask[:, :, None]).sum(axis=0) / mask.sum(axis=0)[:, None]
        return T.nnet.softmax(T.dot(mean, p["W_out"]) + p["b_out"])


def adadelta(params, gradients, keep=0.95, epsilon=1e-5):
    """The updates of a step that is as large, per element, as recent steps were for recent gradients."""
    updates = OrderedDict()
    for param, gradient in zip(params, gradients, strict=True):
        zeros = np.zeros_like(param.get_value())
        squares, steps = (fuse.shared(zeros, name=f"{param.name}_{what}") for what in ("squares", "steps"))
        updates[squares] = keep * squares + (1 - keep) * gradient**2
        step = -T.sqrt(steps + epsilon) / T.sqrt(updates[squares] + epsilon) * gradient
        updates[steps] = keep * steps + (1 - keep) * step**2
        updates[param] = param + step
    return updates


def main(rounds: int = 200, longest: int = 20, seed: int = 0) -> tuple[float, float]:
    """Learn from ``rounds`` batches; return the share of 500 new sequences that are told right before and after."""
    rng = np.random.default_rng(seed)
    symbols, mask, label = T.lmatrix("symbols"), T.matrix("mask"), T.lvector("label")
    model = Classifier(rng, KINDS + NOISE, WIDTH, KINDS)
    probability = model(symbols, mask)
    cost = -T.log(probability[T.arange(label.shape[0]), label] + 1e-8).mean()
    params = list(model.params.values())
    gradients = fuse.grad(cost, wrt=params)
    learn = fuse.function([symbols, mask, label], cost, updates=adadelta(params, gradients), name="learn")
    right = fuse.function([symbols, mask, label], T.eq(probability.argmax(axis=1), label).mean(), name="right")

    new = sequences(rng, 500, longest)
    before = float(right(*new))
    for i in range(rounds):
        mean_cost = float(learn(*sequences(rng, BATCH, longest)))
        if i % 50 == 49:
            print(f"after {i + 1} rounds: mean cost {mean_cost:.3f}")
    after = float(right(*new))
    print(f"{before:.1%} of new sequences are told right before, {after:.1%} after learning")
    return before, after


if __name__ == "__main__":
    main()
