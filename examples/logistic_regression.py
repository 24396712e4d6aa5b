"""Logistic regression on handwritten digits: ten linear scores, a softmax, the negative log-likelihood, SGD.

Run it: ``python examples/logistic_regression.py``. The training set lives in shared variables, and ``givens`` cuts the
batch of the given number out of it, so that a step is called with one integer.
"""
from __future__ import annotations

import numpy as np

import fuse
import fuse.tensor as T
from fuse.data import digits

BATCH, RATE, DECAY = 50, 0.5, 1e-4


class LogisticRegression:
    """The classifier ``argmax softmax(x W + b)`` with its cost."""

    def __init__(self, x, inputs, classes):
        self.W = fuse.shared(np.zeros((inputs, classes), dtype=fuse.config.floatX), name="W", borrow=True)
        self.b = fuse.shared(np.zeros(classes, dtype=fuse.config.floatX), name="b", borrow=True)
        self.params = [self.W, self.b]
        self.probability = T.nnet.softmax(T.dot(x, self.W) + self.b)
        self.label = T.argmax(self.probability, axis=1)

    def negative_log_likelihood(self, y):
        return -T.mean(T.log(self.probability)[T.arange(y.shape[0]), y])

    def errors(self, y):
        return T.mean(T.neq(self.label, y))


def main(epochs: int = 20) -> tuple[float, np.ndarray, np.ndarray]:
    """Train for ``epochs``; return the share of test images that are misread, the weights and the biases."""
    images, labels = digits()
    x_train, y_train = fuse.shared(images[:1400], borrow=True), fuse.shared(labels[:1400], borrow=True)

    index, x, y = T.lscalar("index"), T.matrix("x"), T.ivector("y")
    model = LogisticRegression(x, 64, 10)
    cost = model.negative_log_likelihood(y) + DECAY * T.sqr(model.W).sum()
    learn = fuse.function(
        inputs=[index],
        outputs=cost,
        updates=[(p, p - RATE * g) for p, g in zip(model.params, T.grad(cost, model.params), strict=True)],
        givens={x: x_train[index * BATCH : (index + 1) * BATCH], y: y_train[index * BATCH : (index + 1) * BATCH]},
    )
    errors = fuse.function([x, y], model.errors(y))

    for epoch in range(epochs):
        costs = [float(learn(i)) for i in range(1400 // BATCH)]
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: mean cost {np.mean(costs):.3f}")
    misread = float(errors(images[1400:], labels[1400:]))
    print(f"{misread:.1%} of {len(images) - 1400} test images are misread")
    return misread, model.W.get_value(), model.b.get_value()


if __name__ == "__main__":
    main()
