"""Steps of loops that store into parts of arrays: NumPy's values for arrays of any size, and no copies of the whole."""
from __future__ import annotations

import numpy as np
import pytest

import fuse

INNER = np.s_[1:-1, 1:-1]


class _At:
    """``x.at[...]`` of a NumPy array."""

    def __init__(self, x):
        self.x, self.index = x, None

    def __getitem__(self, index):
        self.index = index
        return self

    def set(self, value):
        new = self.x.copy()
        new[self.index] = value
        return new

    def add(self, value):
        new = self.x.copy()
        new[self.index] += value
        return new


def at(x):
    return _At(x) if isinstance(x, np.ndarray) else x.at


def waves(x, y):
    """Both fields are changed, the second with the first one's new values; an element is stored besides."""
    x = at(x)[:, :-1].add(0.1 * (y[:, 1:] - y[:, :-1]))
    y = at(y)[INNER].add(0.1 * (x[1:-1, 1:-1] - x[1:-1, :-2]) / (1 + y[1:-1, 1:-1] ** 2))
    return x, at(y)[0, 0].set(x[0, 0] * 0.5)


def edges(x, y):
    """What is stored is stored over: rows of an array that the step made."""
    z = np.exp(-x) + y
    z = at(z)[0].set(z[-1])
    z = at(z)[:, -1:].add(y[:, :1])
    return at(x)[2:, :-1].set(0.3 * y[2:, 1:] + z[:-2, 1:]), z - 1


def shared(x, y):
    """A value that is stored twice and read besides, into an array that is read besides."""
    v = np.tanh(x[1:-1, 1:-1]) * y[1:-1, :-2]
    z = at(y)[INNER].set(v)
    w = at(z)[INNER].set(v * 2)
    return z + w, at(x)[INNER].set(v + z[1:-1, 1:-1])


def later(x, y):
    """What is stored is read again behind a further store, which changes the array that it is in."""
    v = np.exp(np.tanh(x[INNER]) * np.sin(y[INNER]))
    z = at(at(x)[INNER].set(v))[1:2].set(y[:1])
    return 0.1 * x + 0.01 * (v * z[INNER]).sum(), y + 0.1 * z


def zeros(x, y):
    """The gradient of a stencil: sums of arrays that are zero but for a part."""
    d = x[1:] - x[:-1]
    e = x[:, 1:] - x[:, :-1]
    none = np.zeros_like(x) if isinstance(x, np.ndarray) else 0 * x
    g = at(none)[1:].add(d) + at(none)[:-1].add(-d) + at(none)[:, 1:].set(e) + at(none)[:, :-1].set(-2 * e * e)
    return x - 0.1 * g + 0.01 * y, at(y)[1:].set(d)


@pytest.mark.parametrize("step", [waves, edges, shared, later, zeros])
def test_steps_that_store_are_numpys(step):
    loop = fuse.jit(lambda x, y: fuse.lax.scan(lambda s, _: (step(*s), s[1]), (x, y), None, length=3))
    rng = np.random.default_rng(0)
    for shape in [(7, 9), (3, 3), (3, 2), (2, 5), (2, 2)]:
        x, y = rng.normal(size=(2, *shape))
        expected, kept = (x, y), []
        for _ in range(3):
            kept.append(expected[1])
            expected = step(*expected)
        (a, b), ys = loop(x, y)
        for found, wanted in zip((a, b, *ys), (*expected, *kept), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)
    text = loop.compiled(x, y).source
    assert "each step is a call" not in text
    assert step is not waves or text.count(",), dtype_float64)") == 1  # memory for a state, and for nothing else
