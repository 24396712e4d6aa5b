"""The programs in examples/, at reduced size."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from scipy.special import softmax
from scipy.stats import norm

import fuse
from fuse.data import digits

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


def test_logistic_regression():
    module = example("logistic_regression")
    misread, W, b = module.main(epochs=5)
    assert misread < 0.15
    images, labels = digits()
    mine, bias = np.zeros((64, 10)), np.zeros(10)
    for _ in range(5):
        for i in range(0, 1400, module.BATCH):
            x, y = images[i : i + module.BATCH], labels[i : i + module.BATCH]
            slope = (softmax(x @ mine + bias, axis=1) - np.eye(10)[y]) / len(x)
            mine, bias = mine - module.RATE * (x.T @ slope + 2 * module.DECAY * mine), bias - module.RATE * slope.sum(0)
    np.testing.assert_allclose(W, mine, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(b, bias, rtol=1e-9, atol=1e-12)


def test_multilayer_perceptron():
    cost, right = example("multilayer_perceptron").main(epochs=4)
    assert cost < 1.0 < np.log(10)
    assert right > 0.88


def test_restricted_boltzmann_machine():
    before, after, likelier = example("restricted_boltzmann_machine").main(epochs=6)
    assert after < 0.4 * before
    assert likelier > 0.97


def truncated_gradient(values, letters, h, steps_back):
    """The gradient of the Elman network's cost by hand: each step's error goes back at most ``steps_back`` steps."""
    W_in, W, W_out, b, b_out = values
    states = [h]
    for letter in letters[:-1]:
        states.append(np.tanh(W_in[letter] + b + states[-1] @ W))
    new = np.array(states[1:])
    slope = (softmax(new @ W_out + b_out, axis=1) - np.eye(len(b_out))[letters[1:]]) / len(new)
    to_state = slope @ W_out.T
    d_in, d_W, d_b, back = np.zeros_like(W_in), np.zeros_like(W), np.zeros_like(b), np.zeros_like(h)
    for t in reversed(range(max(len(new) - steps_back, 0), len(new))):
        back = (to_state[t] + back) * (1 - new[t] ** 2)
        d_in[letters[t]] += back
        d_W += np.outer(states[t], back)
        d_b += back
        back = back @ W.T
    return [d_in, d_W, new.T @ slope, d_b, slope.sum(0)]


def test_elman_network():
    module = example("elman_network")
    rng = np.random.default_rng(3)
    network = module.Network(rng, 6, 8, 5)
    letters, h = module.text(rng, 7), rng.normal(size=8)
    f = fuse.function([network.letters, network.initial], network.gradients)
    want = truncated_gradient([p.get_value() for p in network.params], letters, h, 5)
    for found, value in zip(f(letters, h), want, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)

    vowels, consonants = module.main(rounds=120)
    assert vowels < 0.25
    assert 1.05 < consonants < 1.5  # log(3) is the best there is


def test_lstm():
    before, after = example("lstm").main(rounds=80, longest=12)
    assert before < 0.5
    assert after > 0.95


def test_character_model():
    module = example("character_model")
    bits, own = module.main(sweeps=2, sentences=800)
    assert bits < 0.75  # letters by their frequency: 3.8 bits, by the letter before: 1.55
    words = own.replace(".", "").split(" ")[1:-1]
    known = {"the", *module.NOUNS, *module.VERBS, *module.ADJECTIVES}
    assert np.mean([word in known for word in words]) > 0.8


def test_lotka_volterra():
    program = example("lotka_volterra")
    rates, start = program.main(counts=30, until=8.0, noise=0.0)
    np.testing.assert_allclose(rates, program.RATES, rtol=1e-3)
    np.testing.assert_allclose(start, program.START, rtol=1e-3)


def test_hamiltonian_monte_carlo():
    program = example("hamiltonian_monte_carlo")
    found = program.main(chains=40, count=150, burn=150)
    np.testing.assert_allclose(found["mean"], program.MEAN, atol=0.08)
    np.testing.assert_allclose(found["covariance"], program.COVARIANCE, atol=0.15)
    assert 0.65 < found["accepted"] < 0.95 and 0.5 < found["size"] < 1.3
