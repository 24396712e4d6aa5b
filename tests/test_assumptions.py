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
    "ends where it begins": lambda x, m: x[:1] + x[-1:0],
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


PLACED = {
    "a row": lambda x, i, m: m.exp(x - x[i : i + 1]),
    "a column": lambda x, i, m: x * x[:, i - 1 : i],
    "turned": lambda x, i, m: m.dot(x, x[i : i + 1].T) * x[:, i : i + 1].sum(axis=0),
    "a row and a column": lambda x, i, m: x[i + 1 : i + 2] + x[:, i : i + 1] * x[:, :1],
}


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rows_at_places_given_at_run_time(dtype, monkeypatch):
    x, i = T.dmatrix("x"), T.scalar("i", dtype=dtype)
    names = list(PLACED)[dtype == "int64" :: 2]
    found = {name: PLACED[name](x, i, T) for name in names}
    functions = {name: fuse.function([x, i], [y]) for name, y in found.items()}
    value = np.random.default_rng(8).normal(size=(4, 5))
    for shape in [(4, 5), (1, 5), (1, 1), (0, 5)]:
        part = value[: shape[0], : shape[1]]
        for place in (2, 0, 1, 3, -1, -2, -4, -6, 4, 9):
            for name, f in functions.items():
                expected = outcome(partial(PLACED[name], part, place, np))
                same(outcome(lambda f=f, part=part, place=place: f(part, place)[0]), expected)
    cost = sum((y**2).sum() for y in found.values())
    slope = fuse.function([x, i], T.grad(cost, x))
    expected = reference.evaluate([T.grad(cost, x)], {x: value, i: np.asarray(2, dtype)})[0]
    monkeypatch.setattr(reference, "evaluate", None)
    np.testing.assert_allclose(slope(value, 2), expected, rtol=1e-12)
    for name, f in functions.items():
        same(f(value, 2)[0], PLACED[name](value, 2, np))


def test_a_place_whose_successor_overflows_is_no_row():
    x, i = T.dvector("x"), T.bscalar("i")
    f = fuse.function([x, i], x - x[i : i + 1])
    value = np.arange(130.0)
    np.testing.assert_array_equal(f(value, 126), value - 126)
    with pytest.raises(ValueError):
        f(value, 127)  # x[127:-128]


def test_rows_at_places_of_steps(monkeypatch):
    x, start = T.dmatrix("x"), T.lscalar("start")
    away, _ = fuse.scan(
        lambda k, rows: abs(rows - rows[k : k + 1]).sum(axis=1), sequences=T.arange(start, x.shape[0]), non_sequences=x
    )
    f = fuse.function([x, start], away)
    value = np.random.default_rng(9).normal(size=(4, 5))
    with pytest.raises(ValueError):
        f(value, -2)  # the slice [-1:0] has no row
    expected = abs(value[:, None] - value[None]).sum(axis=2)
    single = abs(value[:1, None] - value[None, :1]).sum(axis=2)
    np.testing.assert_array_equal(f(value[:1], 0), single)
    monkeypatch.setattr(reference, "evaluate", None)
    np.testing.assert_allclose(f(value, 0), expected, rtol=1e-13)
    np.testing.assert_allclose(f(value, 2), expected[2:], rtol=1e-13)


def test_other_sizes_of_one_are_planned_for_when_they_have_come(monkeypatch):
    x, y, n = T.dmatrix("x"), T.dvector("y"), T.iscalar("n")
    picked = x[(y > 0).nonzero()[0]]
    out = [x * x[:n], x - T.concatenate([x[:n], x[:0]]), x + T.alloc(y[0], n, 1), x * picked]
    cost = sum(o.sum() for o in out)
    f = fuse.function([x, y, n], [*out, T.grad(cost, x)], updates=[(count := fuse.shared(0), count + 1)])
    slow = fuse.function([x, y, n], [*out, T.grad(cost, x)], mode="FAST_COMPILE")
    value, only, all_ = np.random.default_rng(10).normal(size=(3, 4)), np.eye(3)[1], np.ones(3)
    calls = [(value, only, 1), (value, all_, 3), (value, only, 3), (value, all_, 1), (value[:1], np.ones(1), 1)]
    wanted = [slow(*call) for call in calls]
    for _ in range(2):
        for call, expected in zip(calls, wanted, strict=True):
            for found, one in zip(f(*call), expected, strict=True):
                np.testing.assert_allclose(found, one, rtol=1e-12)
    with pytest.raises(ValueError, match=r"\(3,4\) \(2,4\)"):
        f(value, only, 2)
    assert count.get_value() == 10
    monkeypatch.setattr(reference, "evaluate", None)
    for call, expected in zip(calls, wanted, strict=True):
        np.testing.assert_allclose(f(*call)[-1], expected[-1], rtol=1e-12)


def test_gradients_of_functions_are_part_of_what_reads_them():
    """A gradient has its argument's shape: descent by it is one kernel, and one function in a loop."""
    def cost(x, y):
        return ((x - y) ** 2).sum()

    def descended(x, y):
        return x - 0.1 * fuse.grad(cost)(x, y)

    step = fuse.jit(descended)
    steps = fuse.jit(lambda x, y: fuse.lax.fori_loop(0, 3, lambda i, z: descended(z, y), x))
    rng = np.random.default_rng(11)
    for first, second in [((3, 4), (3, 4)), ((3, 1), (3, 4)), ((1, 1), (3, 4)), ((3, 4), (1, 4)), ((3, 4), (2, 4))]:
        x, y = rng.normal(size=first), rng.normal(size=second)
        if second == (2, 4):
            for f in (step, steps):
                with pytest.raises(ValueError, match=r"\(3,4\) \(2,4\)"):
                    f(x, y)
            continue
        axes = tuple(a for a in (0, 1) if first[a] == 1 != second[a])
        expected = [x]
        for _ in range(3):
            expected.append(expected[-1] - 0.2 * (expected[-1] - y).sum(axis=axes, keepdims=True))
        np.testing.assert_allclose(step(x, y), expected[1], rtol=1e-12)
        np.testing.assert_allclose(steps(x, y), expected[-1], rtol=1e-12)
    one, loop = [f.compiled(np.ones((3, 4)), np.ones((3, 4))) for f in (step, steps)]
    assert one.source.count("kernel(a0") == 1 and "each step is a call" not in loop.source


def test_gradients_of_all_entries_of_a_batch_are_taken_together():
    slopes = fuse.jit(fuse.vmap(fuse.grad(lambda w, x: np.tanh(x @ w).sum()), in_axes=(None, 0)))
    w, x = np.random.default_rng(12).normal(size=(2, 4, 3))
    for rows in (1, 3, 0):
        wanted = (1 - np.tanh(x.T[:rows] @ w) ** 2)[:, None, :] * x.T[:rows, :, None]
        np.testing.assert_allclose(slopes(w, x.T[:rows]), wanted, rtol=1e-12)
    assert "each" not in slopes.compiled(w, x.T).explain()


def test_gradients_of_the_wrong_size_are_told():
    @fuse.custom_vjp
    def cost(x):
        return (x**2).sum()

    cost.defvjp(lambda x: (cost(x), x), lambda x, g: (2 * g * x[1:],))
    for f in (fuse.grad(cost), lambda x: fuse.lax.fori_loop(0, 2, lambda i, z: z - fuse.grad(cost)(z), x)):
        with pytest.raises(ValueError, match=r"\(3,\), not \(4,\)"):
            fuse.jit(f)(np.ones(4))
