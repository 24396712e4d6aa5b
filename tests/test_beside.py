"""Sums of stores into zeros that lie side by side: joins, with the values that they have apart."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.op import OPS

RNG = np.random.default_rng(3)


def _gates(z, n):
    i, f, o, g = z[:, :n], z[:, n : 2 * n], z[:, 2 * n : 3 * n], z[:, 3 * n :]
    return T.nnet.sigmoid(o) * T.tanh(T.nnet.sigmoid(i) * T.tanh(g) + T.nnet.sigmoid(f))


def _gates_by_hand(z, n):
    """The value, and the slopes of the sum of its squares."""
    i, f, o = (1 / (1 + np.exp(-z[:, k * n : (k + 1) * n])) for k in range(3))
    g = np.tanh(z[:, 3 * n :])
    t = np.tanh(i * g + f)
    value = o * t
    d = 2 * value
    dc = d * o * (1 - t * t)
    return value, np.concatenate([dc * g * i * (1 - i), dc * f * (1 - f), d * t * o * (1 - o), dc * i * (1 - g * g)], 1)


def test_gates_of_a_network():
    x, w, b = T.dmatrix("x"), T.dmatrix("w"), T.dvector("b")
    value = _gates(T.dot(x, w) + b, 3)
    f = fuse.function([x, w, b], [value, *T.grad((value**2).sum(), [w, b, x])])
    assert ".fill(0)" not in f.fn.wrapper_source and "frame" not in f.fn.wrapper_source
    for rows in (2, 5, 2, 300):
        a, m, c = RNG.normal(size=(rows, 4)), RNG.normal(size=(4, 12)), RNG.normal(size=12)
        expected, slopes = _gates_by_hand(a @ m + c, 3)
        for given in (a, np.asfortranarray(a)):
            for _ in range(5):  # the last ones at C level
                found = f(given, m, c)
                for got, want in zip(found, (expected, a.T @ slopes, slopes.sum(0), slopes @ m.T), strict=True):
                    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)
    with pytest.raises(ValueError):
        f(np.ones((2, 4)), np.ones((4, 11)), np.ones(11))


# Slices of a vector of 7 elements, and whether they are all of it, whatever its size.
SLICES = {
    "in order": ([(None, 2), (2, 5), (5, None)], True),
    "in another order": ([(4, None), (0, 4)], True),
    "with a gap": ([(None, 2), (3, None)], False),
    "one over another": ([(None, 4), (3, None)], False),
    "counted from the end": ([(None, -2), (-2, None)], False),
    "without the last": ([(None, 2), (2, 6)], False),
    "an empty one": ([(None, 2), (2, 2), (2, None)], True),
}


@pytest.mark.parametrize("name", SLICES)
def test_which_slices_are_a_whole(name):
    slices, whole = SLICES[name]
    x, more = T.dvector("x"), T.dvector("more")
    parts = [T.exp(x[a:b] * (k + 1.5)).sum() for k, (a, b) in enumerate(slices)]
    f = fuse.function([x, more], T.grad(sum(parts) + (x * more).sum(), x))
    given, extra = RNG.normal(size=7), RNG.normal(size=7)
    expected = np.zeros(7)
    for k, (a, b) in enumerate(slices):
        expected[a:b] += (k + 1.5) * np.exp(given[a:b] * (k + 1.5))
    for _ in range(6):
        np.testing.assert_allclose(f(given, extra), expected + extra, rtol=1e-13)
    assert any(getattr(u, "op", None) is OPS["join"] for u in f.fn.planned.plan.units) == whole


def test_along_the_first_axis_and_of_known_sizes():
    x = T.TensorType("float64", (4, None))("x")
    f = fuse.function([x], T.grad((x[:-1] ** 3).sum() + (x[3:4] * x[3:4] * x[1, 0]).sum(), x))
    given = RNG.normal(size=(4, 3))
    expected = 3 * given**2
    expected[3] = 2 * given[3] * given[1, 0]
    expected[1, 0] += (given[3] ** 2).sum()
    for _ in range(6):
        np.testing.assert_allclose(f(given), expected, rtol=1e-12)


def test_values_that_repeat_in_their_place():
    x, v, w = T.dvectors("x", "v", "w")
    zeros = T.zeros_like(x)
    f = fuse.function([x, v, w], T.set_subtensor(zeros[:4], v) + T.set_subtensor(zeros[4:], w))
    given = RNG.normal(size=7)
    for sizes in ((4, 3), (1, 3), (4, 1), (1, 1), (4, 3)):
        a, b = (RNG.normal(size=n) for n in sizes)
        expected = np.zeros(7)
        expected[:4], expected[4:] = a, b
        for _ in range(5):
            np.testing.assert_array_equal(f(given, a, b), expected)
    with pytest.raises(ValueError):
        f(given, np.ones(3), np.ones(3))
