"""Hamiltonian Monte Carlo: samples of a density that is known up to a factor, by its gradient.

Run it: ``python examples/hamiltonian_monte_carlo.py``. Many chains move at once. A step draws velocities, follows
Hamilton's equations by leapfrogging (a scan), and takes or refuses where it arrived; positions, step size and
acceptance rate are shared variables that the compiled step updates. After S. Duane et al., "Hybrid Monte Carlo", 1987,
and R. Neal, "MCMC using Hamiltonian dynamics", 2011.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

import fuse
import fuse.tensor as T
from fuse.tensor.shared_randomstreams import RandomStreams

TARGET, AVERAGED = 0.8, 0.98  # acceptance rate that step sizes aim at; weight of its past


def leapfrog(start, velocity, energy: Callable, size, steps: int):
    """Position and velocity after ``steps`` steps of this size."""
    def force(position):
        return -fuse.grad(energy(position).sum(), position)

    def step(position, velocity, size):
        position = position + size * velocity
        return position, velocity + size * force(position)

    half = velocity + 0.5 * size * force(start)
    (positions, halves), _ = fuse.scan(step, outputs_info=[start, half], non_sequences=[size], n_steps=steps)
    return positions[-1], halves[-1] - 0.5 * size * force(positions[-1])  # the last kick was a whole one


class Sampler:
    """Chains that sample ``exp(-energy(position))``; ``energy`` is that of each row."""

    def __init__(self, energy: Callable, start: np.ndarray, steps: int = 12, size: float = 0.1, seed: int = 1) -> None:
        self.position = fuse.shared(start, name="position")
        self.size = fuse.shared(size, name="size")
        self.accepted = fuse.shared(TARGET, name="accepted")
        streams = RandomStreams(seed)
        velocity = streams.normal(size=start.shape)
        arrived, last = leapfrog(self.position, velocity, energy, self.size, steps)

        def hamiltonian(position, velocity):
            return energy(position) + 0.5 * T.sqr(velocity).sum(axis=1)

        gain = hamiltonian(self.position, velocity) - hamiltonian(arrived, last)
        take = T.lt(T.log(streams.uniform(size=start.shape[:1])), gain)
        rate = AVERAGED * self.accepted + (1 - AVERAGED) * take.mean()
        moved = T.switch(take.dimshuffle(0, "x"), arrived, self.position)
        updates = [(self.position, moved), (self.accepted, rate)]
        self.sample = fuse.function([], moved, updates=updates)
        fitted = T.clip(T.switch(T.gt(take.mean(), TARGET), self.size * 1.02, self.size * 0.98), 1e-4, 2.0)
        self.adapt = fuse.function([], moved, updates=[*updates, (self.size, fitted)])

    def draw(self, count: int, burn: int) -> np.ndarray:
        """``count`` positions of each chain, after ``burn`` steps in which the step size adapts."""
        for _ in range(burn):
            self.adapt()
        return np.array([self.sample() for _ in range(count)])


MEAN = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])


def main(chains: int = 50, count: int = 400, burn: int = 150, seed: int = 0) -> dict[str, np.ndarray | float]:
    """Sample a normal distribution; the moments of the samples, the acceptance rate and the step size."""
    precision = np.linalg.inv(COVARIANCE)

    def energy(position):
        off = position - MEAN
        return 0.5 * (T.dot(off, precision) * off).sum(axis=1)

    sampler = Sampler(energy, np.random.default_rng(seed).normal(size=(chains, 3)), seed=seed + 1)
    found = sampler.draw(count, burn).reshape(-1, 3)
    return {
        "mean": found.mean(axis=0), "covariance": np.cov(found.T),
        "accepted": float(sampler.accepted.get_value()), "size": float(sampler.size.get_value()),
    }


if __name__ == "__main__":
    result = main()
    print(f"mean        {np.round(result['mean'], 3)} (true {MEAN})")
    print(f"covariance\n{np.round(result['covariance'], 3)}\n(true)\n{COVARIANCE}")
    print(f"accepted    {result['accepted']:.2f} at step size {result['size']:.3f}")
