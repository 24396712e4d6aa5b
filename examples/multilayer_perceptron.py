"""A multilayer perceptron on handwritten digits: layers as classes, dropout, Adam.

Run it: ``python examples/multilayer_perceptron.py``. One graph is built twice from the same parameters: with noise for
learning and without it for reading. D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2014; N. Srivastava
et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
"""
from __future__ import annotations

from collections import OrderedDict

import numpy as np

import fuse
import fuse.tensor as T
from fuse.data import digits
from fuse.sandbox.rng_mrg import MRG_RandomStreams

BATCH, RATE, DROPPED = 50, 0.003, 0.2


class Dense:
    """``activation(x W + b)``; ``x`` loses a share of its elements where ``noise`` is given."""

    def __init__(self, rng, inputs, outputs, activation):
        bound = np.sqrt(6 / (inputs + outputs))
        self.W = fuse.shared(rng.uniform(-bound, bound, (inputs, outputs)), name=f"W_{inputs}_{outputs}")
        self.b = fuse.shared(np.zeros(outputs), name=f"b_{outputs}")
        self.activation = activation

    @property
    def params(self):
        return [self.W, self.b]

    def __call__(self, x, noise=None):
        if noise is not None:
            kept = noise.binomial(size=x.shape, n=1, p=1 - DROPPED, dtype=x.dtype)
            x = x * kept / (1 - DROPPED)
        return self.activation(T.dot(x, self.W) + self.b)


class Perceptron:
    """Dense layers, one after the other."""

    def __init__(self, rng, sizes):
        activations = [T.nnet.relu] * (len(sizes) - 2) + [T.nnet.softmax]
        self.layers = [
            Dense(rng, *sides, activation) for *sides, activation in zip(sizes, sizes[1:], activations, strict=False)
        ]
        self.params = [p for layer in self.layers for p in layer.params]

    def __call__(self, x, noise=None):
        for layer in self.layers:
            x = layer(x, noise)
        return x


def adam(cost, params, rate, b1=0.9, b2=0.999, epsilon=1e-8):
    """The updates of a step of Adam: running means of the gradient and of its square, both without their bias."""
    updates = OrderedDict()
    step = fuse.shared(np.asarray(0.0), name="step")
    t = step + 1
    updates[step] = t
    for param, gradient in zip(params, T.grad(cost, params), strict=True):
        zeros = np.zeros_like(param.get_value(borrow=True))
        mean, square = fuse.shared(zeros), fuse.shared(zeros)
        new_mean = b1 * mean + (1 - b1) * gradient
        new_square = b2 * square + (1 - b2) * T.sqr(gradient)
        updates[mean], updates[square] = new_mean, new_square
        unbiased = new_mean / (1 - b1**t), new_square / (1 - b2**t)
        updates[param] = param - rate * unbiased[0] / (T.sqrt(unbiased[1]) + epsilon)
    return updates


def main(epochs: int = 15, seed: int = 0) -> tuple[float, float]:
    """Train for ``epochs``; return the mean cost of the last epoch and the share of test images that are read right."""
    rng = np.random.default_rng(seed)
    images, labels = digits()
    order = rng.permutation(len(images))
    train, test = order[:1400], order[1400:]

    x, y = T.matrix("x"), T.ivector("y")
    network = Perceptron(rng, [64, 96, 48, 10])
    noisy = network(x, noise=MRG_RandomStreams(seed=seed + 1))
    cost = T.nnet.categorical_crossentropy(noisy, y).mean()
    learn = fuse.function([x, y], cost, updates=adam(cost, network.params, RATE))
    accuracy = fuse.function([x, y], T.eq(T.argmax(network(x), axis=1), y).mean())

    mean_cost = np.inf
    for epoch in range(epochs):
        rng.shuffle(train)
        batches = (train[i : i + BATCH] for i in range(0, len(train), BATCH))
        mean_cost = float(np.mean([learn(images[batch], labels[batch]) for batch in batches]))
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: mean cost {mean_cost:.3f}")
    right = float(accuracy(images[test], labels[test]))
    print(f"{right:.1%} of {len(test)} test images are read right")
    return mean_cost, right


if __name__ == "__main__":
    main()
