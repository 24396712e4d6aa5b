"""A simple recurrent network that finds out which letters can be known in advance, and which cannot.

Run it: ``python examples/elman_network.py``. J. Elman, "Finding structure in time", 1990: consonants come at random,
but each is followed by its own vowels (b by "a", d by "ii", g by "uuu"). A network that guesses the next letter learns
the vowels, and that a consonant is one of three. Gradients go back a few steps only (truncated backpropagation).
"""
from __future__ import annotations

import numpy as np

import fuse
import fuse.tensor as T

LETTERS, WORDS = "bdgaiu", ("ba", "dii", "guuu")
HIDDEN, STEPS_BACK, RATE, MOMENTUM = 12, 5, 0.1, 0.9


def text(rng, words):
    """The letters of ``words`` random words, as numbers."""
    return np.array([LETTERS.index(c) for i in rng.integers(3, size=words) for c in WORDS[i]], dtype=np.int32)


class Network:
    """``h[t] = tanh(W_in[letter[t]] + h[t-1] W + b)``, and a softmax on it for the letter at t + 1."""

    def __init__(self, rng, letters, hidden, steps_back):
        sizes = [(letters, hidden), (hidden, hidden), (hidden, letters), hidden, letters]
        self.params = [fuse.shared(rng.normal(0, 0.3, size)) for size in sizes]
        W_in, W, W_out, b, b_out = self.params

        self.letters, self.initial = T.ivector("letters"), T.vector("initial")
        states, _ = fuse.scan(
            lambda x, h, W: T.tanh(x + T.dot(h, W)),
            sequences=W_in[self.letters[:-1]] + b,
            outputs_info=self.initial,
            non_sequences=W,
            truncate_gradient=steps_back,
        )
        self.last = states[-1]
        guesses = T.nnet.softmax(T.dot(states, W_out) + b_out)
        self.costs = T.nnet.categorical_crossentropy(guesses, self.letters[1:])
        self.cost = self.costs.mean()
        self.gradients = T.grad(self.cost, self.params)


def main(rounds: int = 200, seed: int = 0) -> tuple[float, float]:
    """Learn from ``rounds`` stretches of text; return the mean cost of new vowels and of new consonants, in nats.

    Nobody can do better than 0 and log(3) = 1.0986.
    """
    rng = np.random.default_rng(seed)
    network = Network(rng, len(LETTERS), HIDDEN, STEPS_BACK)
    updates = []
    for param, gradient in zip(network.params, network.gradients, strict=True):
        velocity = fuse.shared(np.zeros_like(param.get_value()))
        step = MOMENTUM * velocity - RATE * gradient
        updates += [(velocity, step), (param, param + step)]
    inputs = [network.letters, network.initial]
    learn = fuse.function(inputs, [network.cost, network.last], updates=updates, allow_input_downcast=True)
    guess = fuse.function(inputs, network.costs, allow_input_downcast=True)

    state = np.zeros(HIDDEN)
    for i in range(rounds):
        cost, state = learn(text(rng, 40), state)  # the network goes on from where it was
        if i % 50 == 49:
            print(f"after {i + 1} rounds: mean cost {float(cost):.3f}")
    new = text(rng, 500)
    costs = guess(new, np.zeros(HIDDEN))
    consonant = new[1:] < 3
    vowels, consonants = float(costs[~consonant].mean()), float(costs[consonant].mean())
    print(f"mean cost of vowels {vowels:.4f}, of consonants {consonants:.4f} (log 3 = {np.log(3):.4f})")
    return vowels, consonants


if __name__ == "__main__":
    main()
