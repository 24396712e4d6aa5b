"""The programs in examples/, at reduced size."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from scipy.stats import norm

FOLDER = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_convolutional_network():
    assert example("convolutional_network").main(epochs=2) > 0.9


def test_denoising_autoencoder():
    before, after = example("denoising_autoencoder").main(epochs=10)
    assert after < 0.6 * before


def test_black_scholes():
    found = example("black_scholes").main()
    strikes, years, rate, volatility = np.linspace(80, 120, 5), 0.5, 0.02, 0.25
    deviation = volatility * np.sqrt(years)
    d1 = (np.log(100 / strikes) + (rate + volatility**2 / 2) * years) / deviation
    d2, discount = d1 - deviation, np.exp(-rate * years)
    want = {
        "price": 100 * norm.cdf(d1) - strikes * discount * norm.cdf(d2),
        "delta": norm.cdf(d1),
        "vega": 100 * norm.pdf(d1) * np.sqrt(years),
        "theta": -100 * norm.pdf(d1) * volatility / (2 * np.sqrt(years)) - rate * strikes * discount * norm.cdf(d2),
        "rho": strikes * years * discount * norm.cdf(d2),
        "dual delta": -discount * norm.cdf(d2),
    }
    assert found.keys() == want.keys()
    for name, values in want.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)
