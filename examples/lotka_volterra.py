"""Predators and prey: the rates of Lotka and Volterra's equations, found from noisy counts through an ODE solve.

Run it: ``python examples/lotka_volterra.py``. The solution at the times of the counts is an expression; the gradient of
the misfit with respect to rates and start goes backwards through the steps of the solver, and SciPy's L-BFGS-B uses it.
"""
from __future__ import annotations

import numpy as np

import fuse
import fuse.tensor as T
from fuse.integrate import odeint
from fuse.optimize import minimize

RATES = np.array([1.0, 0.1, 1.5, 0.075])  # births of prey, prey eaten, deaths of predators, births per prey eaten
START = np.array([10.0, 5.0])


def equations(y, t, rates):
    """The changes of prey and predators."""
    prey, predators = y[0], y[1]
    return [
        rates[0] * prey - rates[1] * prey * predators,
        -rates[2] * predators + rates[3] * prey * predators,
    ]


def main(counts: int = 60, until: float = 12.0, noise: float = 0.02, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The rates and the start that fit ``counts`` observations with this relative noise."""
    times = np.linspace(0.0, until, counts)
    log_rates, log_start = T.vector("log_rates"), T.vector("log_start")  # what is positive, by its logarithm
    solution = odeint(equations, T.exp(log_start), times, (T.exp(log_rates),), rtol=1e-8, atol=1e-8)

    solve = fuse.function([log_rates, log_start], solution)
    rng = np.random.default_rng(seed)
    observed = solve(np.log(RATES), np.log(START)) * np.exp(noise * rng.normal(size=(counts, 2)))

    misfit = T.sqr(T.log(solution) - np.log(observed)).mean()
    guess = {log_rates: np.log(RATES * [0.8, 1.25, 1.2, 0.85]), log_start: np.log(observed[0])}
    found = minimize(misfit, list(guess), x0=list(guess.values()), method="L-BFGS-B", tol=1e-12)
    rates, start = (np.exp(x) for x in found.x)
    return rates, start


if __name__ == "__main__":
    fitted, first = main()
    for name, true, value in zip(("births", "eaten", "deaths", "fed"), RATES, fitted, strict=True):
        print(f"{name:7} {value:.4f} (true {true})")
    print(f"start   {first.round(2)} (true {START})")
