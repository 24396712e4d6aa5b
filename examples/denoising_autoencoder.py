"""A denoising autoencoder: it learns to give back digits of which a third of the pixels have been blotted out.

Run it: ``python examples/denoising_autoencoder.py``. After P. Vincent et al., "Extracting and composing robust features
with denoising autoencoders", 2008. The noise is drawn inside the compiled step.
"""
from __future__ import annotations

import numpy as np

import fuse
import fuse.tensor as T
from fuse.data import digits
from fuse.tensor.shared_randomstreams import RandomStreams

BATCH, HIDDEN, RATE, KEPT = 50, 48, 0.2, 0.7


def main(epochs: int = 30, seed: int = 0) -> tuple[float, float]:
    """Train for ``epochs``; return the mean squared error of corrupted test images and that of their repair."""
    rng = np.random.default_rng(seed)
    images = digits()[0].reshape(-1, 64)
    rng.shuffle(images)
    train, test = images[:1400], images[1400:]

    x = T.matrix("x")
    streams = RandomStreams(seed=seed + 1)
    weights = fuse.shared(rng.uniform(-0.3, 0.3, (64, HIDDEN)), name="W")
    to_hidden, to_visible = fuse.shared(np.zeros(HIDDEN), name="b"), fuse.shared(np.zeros(64), name="c")

    corrupted = x * streams.binomial(x.shape, p=KEPT, dtype="float64")
    code = T.nnet.sigmoid(T.dot(corrupted, weights) + to_hidden)
    repaired = T.nnet.sigmoid(T.dot(code, weights.T) + to_visible)  # tied weights
    cost = T.nnet.binary_crossentropy(repaired, x).sum(axis=1).mean()

    params = [weights, to_hidden, to_visible]
    updates = [(p, p - RATE * g) for p, g in zip(params, fuse.grad(cost, params), strict=True)]
    learn = fuse.function([x], cost, updates=updates)
    errors = fuse.function([x], [T.sqr(corrupted - x).mean(), T.sqr(repaired - x).mean()])

    for epoch in range(epochs):
        rng.shuffle(train)
        costs = [float(learn(train[i : i + BATCH])) for i in range(0, len(train), BATCH)]
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: mean cost {np.mean(costs):.2f}")
    before, after = map(float, errors(test))
    print(f"squared error of test images: {before:.4f} corrupted, {after:.4f} repaired")
    return before, after


if __name__ == "__main__":
    main()
