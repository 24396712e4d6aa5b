"""Slices of one element that formulas repeat, ``x - x[:, :1]``: compiled, with NumPy's values for any shape."""
from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse import reference
from fuse.errors import FuseError

# formulas of a matrix in NumPy's words and ours alike: exp, maximum
FORMULAS = {
    "first column": lambda x, m: m.exp(x - x[:, :1]),
    "last row": lambda x, m: x * x[-1:],
    "both": lambda x, m: m.exp(x[:1]) + x[:, -1:] * x,
    "one before the last": lambda x, m: m.maximum(x, x[:, -2:-1]),
    "second, of a formula": lambda x, m: x / (x * x + 1)[1:2],
    "a row and a column": lambda x, m: x[:1] * x[:, :1],
    "of a view": lambda x, m: x[::-1, 1:] - x[:, 2:3],
    "of a view of a view": lambda x, m: x.T[1:, ::2] * x.T[::2, 1:][:1, :1],
    "turned": lambda x, m: x * x[:, 1:2].T[:, :1] + x.T[:1].sum(),
    "with a new axis": lambda x, m: (x[:, None, :1] * x[None, :1, :]).sum(axis=1) - x,
    "multiplied": lambda x, m: m.dot(x, x[:1].T) * x,
    "added up": lambda x, m: x - x[:, -1:].sum(axis=0) - x[:1].max(axis=1),
    "alone": lambda x, m: m.exp(x[:, 1:2]),
    "both are slices": lambda x, m: x[:, :1] * x[:, 2:3] + x[:1, :1],
}
SHAPES = [(4, 5), (1, 5), (4, 1), (3, 3), (2, 2), (1, 1), (0, 4), (4, 0), (0, 0)]


def outcome(call):
    """The value of a call, or that it is refused."""
    try:
        return call()
    except (FuseError, ValueError, IndexError):
        return "refused"


def same(found, expected):
    if isinstance(expected, str) or isinstance(found, str):
        assert isinstance(found, str) and found == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        assert np.shape(found) == np.shape(expected)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_of_all_shapes(name):
    x = T.dmatrix("x")
    f = fuse.function([x], FORMULAS[name](x, T))
    for shape in [*SHAPES, SHAPES[0]]:
        value = np.random.default_rng(2).normal(size=shape)
        for given in (value, np.asfortranarray(value), value[::-1].copy()[::-1]):
            same(outcome(partial(f, given)), outcome(partial(FORMULAS[name], value, np)))


@pytest.mark.parametrize("name", FORMULAS)
def test_nothing_is_left_to_the_interpreter(name, monkeypatch):
    x, value = T.dmatrix("x"), np.random.default_rng(3).normal(size=(4, 5))
    cost = (FORMULAS[name](x, T) ** 2).sum()
    f = fuse.function([x], [cost, T.grad(cost, x)])
    slow = fuse.function([x], [cost, T.grad(cost, x)], mode="FAST_COMPILE")(value)
    monkeypatch.setattr(reference, "evaluate", None)
    for found, expected in zip(f(value), slow, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_are_those_of_differences(name):
    x, value = T.dmatrix("x"), np.random.default_rng(4).normal(size=(4, 5))
    slope = fuse.function([x], T.grad((FORMULAS[name](x, T) ** 2).sum(), x))(value)
    step = 1e-6
    for place in np.ndindex(value.shape):
        move = np.zeros_like(value)
        move[place] = step
        up, down = [(FORMULAS[name](value + d, np) ** 2).sum() for d in (move, -move)]
        np.testing.assert_allclose(slope[place], (up - down) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shapes", [((6, 4), 4), ((6, 1), 1), ((6, 1), 3), ((0, 4), 4), ((6, 0), 0)], ids=str)
def test_steps_of_loops(shapes, monkeypatch):
    rows, start = T.dmatrix("rows"), T.dvector("start")
    states, _ = fuse.scan(lambda r, h: T.tanh(h * 0.5 + r - r[:1] * h[-1:]), sequences=rows, outputs_info=start)
    f = fuse.function([rows, start], states)
    r, h = np.random.default_rng(5).normal(size=shapes[0]), np.ones(shapes[1])
    if r.size:
        monkeypatch.setattr(reference, "evaluate", None)
    expected = []
    for row in r:
        h = np.tanh(h * 0.5 + row - row[:1] * h[-1:])
        expected.append(h)
    found = f(r, np.ones(shapes[1]))
    np.testing.assert_allclose(found, np.reshape(expected, (len(r), shapes[1])), rtol=1e-12)


def test_stored_values_and_updates():
    x, state = T.dmatrix("x"), fuse.shared(np.arange(12.0).reshape(3, 4))
    f = fuse.function([x], T.inc_subtensor(x[1:], x[:, :1][:-1]), updates=[(state, state - state[:1])])
    value, expected = np.random.default_rng(6).normal(size=(3, 4)), np.arange(12.0).reshape(3, 4)
    for _ in range(5):
        np.testing.assert_array_equal(f(value), np.concatenate([value[:1], value[1:] + value[:-1, :1]]))
        expected = expected - expected[:1]
        np.testing.assert_array_equal(state.get_value(), expected)
    state.set_value(np.zeros((0, 4)))
    f(value)
    assert state.get_value().shape == (0, 4)


def test_exported_functions_have_them():
    x, value = T.dmatrix("x"), np.random.default_rng(7).normal(size=(3, 4))
    f = fuse.function([x], [FORMULAS[name](x, T) for name in FORMULAS])
    scope: dict = {}
    exec(f.export_source(), scope)
    for found, expected in zip(scope["function"](value), f(value), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
