"""A restricted Boltzmann machine that learns what digits look like, by contrastive divergence.

Run it: ``python examples/restricted_boltzmann_machine.py``. The Gibbs chain is a ``scan`` that draws random numbers;
its updates are those of the random streams. G. Hinton, "Training products of experts by minimizing contrastive
divergence", 2002.
"""
from __future__ import annotations

import numpy as np

import fuse
import fuse.tensor as T
from fuse.data import digits
from fuse.tensor.shared_randomstreams import RandomStreams

BATCH, HIDDEN, RATE = 50, 64, 0.1


class Machine:
    """Binary units ``v`` and ``h`` of the energy ``-(v W h + a v + b h)``."""

    def __init__(self, visible, hidden, seed):
        rng = np.random.default_rng(seed)
        self.W = fuse.shared(rng.normal(0, 0.05, (visible, hidden)), name="W")
        self.of_visible = fuse.shared(np.zeros(visible), name="a")
        self.of_hidden = fuse.shared(np.zeros(hidden), name="b")
        self.params = [self.W, self.of_visible, self.of_hidden]
        self.streams = RandomStreams(seed)

    def free_energy(self, v):
        """``-log sum_h exp(-energy(v, h))`` of each row."""
        return -T.dot(v, self.of_visible) - T.nnet.softplus(T.dot(v, self.W) + self.of_hidden).sum(axis=1)

    def hidden_given(self, v):
        return T.nnet.sigmoid(T.dot(v, self.W) + self.of_hidden)

    def visible_given(self, h):
        return T.nnet.sigmoid(T.dot(h, self.W.T) + self.of_visible)

    def gibbs(self, v):
        """One step of the chain from ``v``: the probabilities of the new units, and a draw of them."""
        h_mean = self.hidden_given(v)
        h = self.streams.binomial(size=h_mean.shape, n=1, p=h_mean, dtype=fuse.config.floatX)
        v_mean = self.visible_given(h)
        return v_mean, self.streams.binomial(size=v_mean.shape, n=1, p=v_mean, dtype=fuse.config.floatX)

    def contrastive_divergence(self, v, steps):
        """(The cost whose gradient moves energy from ``v`` to where the chain goes; the updates of the streams)."""
        (_, samples), updates = fuse.scan(self.gibbs, outputs_info=[None, v], n_steps=steps)
        end = samples[-1]
        cost = self.free_energy(v).mean() - self.free_energy(end).mean()
        gradients = T.grad(cost, self.params, consider_constant=[end])
        for param, gradient in zip(self.params, gradients, strict=True):
            updates[param] = param - RATE * gradient
        return cost, updates


def main(epochs: int = 30, steps: int = 2, seed: int = 0) -> tuple[float, float, float]:
    """Train for ``epochs``.

    Return the mean squared error of test images rebuilt from the hidden units, before and after, and the share of test
    images that the machine finds likelier than the same pixels shuffled.
    """
    rng = np.random.default_rng(seed)
    images = digits()[0]
    rng.shuffle(images)
    train, test = images[:1400], images[1400:]

    x, v = T.matrix("x"), T.matrix("v")
    machine = Machine(64, HIDDEN, seed)
    cost, updates = machine.contrastive_divergence(v, steps)
    binary = machine.streams.binomial(size=x.shape, n=1, p=x, dtype=fuse.config.floatX)  # grey is a chance of ink
    learn = fuse.function([x], cost, updates=updates, givens={v: binary})
    error = fuse.function([v], T.sqr(machine.visible_given(machine.hidden_given(v)) - v).mean())
    energy = fuse.function([v], machine.free_energy(v))

    before = float(error(test))
    for epoch in range(epochs):
        rng.shuffle(train)
        for i in range(0, len(train), BATCH):
            learn(train[i : i + BATCH])
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: squared error of rebuilt test images {float(error(test)):.4f}")
    after = float(error(test))
    likelier = float((energy(test) < energy(rng.permuted(test, axis=1))).mean())
    print(f"squared error {before:.4f} before, {after:.4f} after; {likelier:.1%} of images are likelier than shuffled")
    return before, after, likelier


if __name__ == "__main__":
    main()
