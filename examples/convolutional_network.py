"""A small convolutional network (after LeNet) that reads handwritten digits: convolution, pooling, a dense layer, SGD.

Run it: ``python examples/convolutional_network.py``. The images are 8 x 8, so the network is a small relative of that
in Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998.
"""
from __future__ import annotations

import numpy as np

import fuse
import fuse.tensor as T
from fuse.data import digits
from fuse.tensor.nnet import conv2d
from fuse.tensor.signal.pool import pool_2d

BATCH, RATE, MOMENTUM = 50, 0.1, 0.9


def layer_weights(rng, shape, name):
    """Uniform weights of the width that keeps the variance of what flows through a tanh layer (X. Glorot, 2010)."""
    fan_in, fan_out = np.prod(shape[1:]), shape[0] * np.prod(shape[2:])
    bound = np.sqrt(6 / (fan_in + fan_out))
    return fuse.shared(rng.uniform(-bound, bound, shape), name=name)


def main(epochs: int = 8, seed: int = 0) -> float:
    """Train for ``epochs`` and return the share of test images that are read right."""
    rng = np.random.default_rng(seed)
    images, labels = digits()
    images = images.reshape(-1, 1, 8, 8)
    order = rng.permutation(len(images))
    train, test = order[:1400], order[1400:]

    x, y = T.tensor4("x"), T.lvector("y")
    w1, b1 = layer_weights(rng, (8, 1, 3, 3), "w1"), fuse.shared(np.zeros(8), name="b1")
    w2, b2 = layer_weights(rng, (16, 8, 3, 3), "w2"), fuse.shared(np.zeros(16), name="b2")
    w3, b3 = fuse.shared(rng.normal(0, 0.1, (64, 10)), name="w3"), fuse.shared(np.zeros(10), name="b3")

    hidden = T.tanh(conv2d(x, w1, border_mode="half") + b1.dimshuffle("x", 0, "x", "x"))
    hidden = pool_2d(hidden, (2, 2), ignore_border=True)  # 8 images of 4 x 4
    hidden = T.tanh(conv2d(hidden, w2, border_mode="half") + b2.dimshuffle("x", 0, "x", "x"))
    hidden = pool_2d(hidden, (2, 2), ignore_border=True)  # 16 images of 2 x 2
    probability = T.nnet.softmax(T.dot(hidden.flatten(2), w3) + b3)
    cost = T.nnet.categorical_crossentropy(probability, y).mean()

    params = [w1, b1, w2, b2, w3, b3]
    updates = []
    for param, gradient in zip(params, fuse.grad(cost, params), strict=True):
        velocity = fuse.shared(np.zeros_like(param.get_value()))
        step = MOMENTUM * velocity - RATE * gradient
        updates += [(velocity, step), (param, param + step)]
    learn = fuse.function([x, y], cost, updates=updates)
    read = fuse.function([x], T.argmax(probability, axis=1))

    for epoch in range(epochs):
        rng.shuffle(train)
        costs = [float(learn(images[train[i : i + BATCH]], labels[train[i : i + BATCH]]))
                 for i in range(0, len(train) - BATCH + 1, BATCH)]
        print(f"epoch {epoch + 1}: mean cost {np.mean(costs):.3f}")
    accuracy = float((read(images[test]) == labels[test]).mean())
    print(f"{accuracy:.1%} of {len(test)} test images are read right")
    return accuracy


if __name__ == "__main__":
    main()
