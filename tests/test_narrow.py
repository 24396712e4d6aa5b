"""Axes that have size 1 when a function is called, and are not declared so, repeat in the steps of loops, compiled."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse import reference

# A step of a row r, a state h and a value w that stays, in NumPy's words and ours alike; each keeps the state's shape.
STEPS = {
    "bias": lambda m, r, h, w: m.tanh(h * 0.5 + r + w),
    "sums": lambda m, r, h, w: h * 0.5 + (r * w).sum(axis=0),
    "the larger": lambda m, r, h, w: m.maximum(h, r - w),
    "choice": lambda m, r, h, w: m.where(h > 0, r, w * h),
}
SHAPES = {
    "as declared": ((6, 3, 4), (3, 4), (3, 4)),
    "one row that stays": ((6, 3, 4), (3, 4), (1, 4)),
    "one number that stays": ((6, 3, 4), (3, 4), (1, 1)),
    "rows of one": ((6, 3, 1), (3, 4), (3, 4)),
    "elements of one number": ((6, 1, 1), (3, 4), (1, 4)),
    "a state of one row": ((6, 1, 4), (1, 4), (1, 1)),
    "all of one": ((6, 1, 1), (1, 1), (1, 1)),
    "one step": ((1, 3, 4), (3, 4), (1, 4)),
}


def by_hand(step, rows, h, w):
    states = []
    for r in rows:
        h = step(np, r, h, w)
        states.append(h)
    return np.array(states)


def arrays(name):
    return [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(SHAPES[name])]


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float64") for name in STEPS), ("bias", "float32")])
def test_loops_for_sizes_of_one(name, dtype, monkeypatch):
    step = STEPS[name]
    rows, h, w = T.tensor3("rows", dtype=dtype), T.matrix("h", dtype=dtype), T.matrix("w", dtype=dtype)
    states, _ = fuse.scan(lambda r, h, w: step(T, r, h, w), sequences=rows, outputs_info=h, non_sequences=w)
    cost = (states**2).sum()
    f = fuse.function([rows, h, w], [states, *T.grad(cost, [rows, h, w])])
    slow = fuse.function([rows, h, w], T.grad(cost, [rows, h, w]), mode="FAST_COMPILE")
    for case in [*SHAPES, "as declared"]:
        given = [a.astype(dtype) for a in arrays(case)]
        slopes = slow(*given)
        with monkeypatch.context() as m:
            m.setattr(reference, "evaluate", None)
            found, *gradients = f(*given)
        tolerance = {"rtol": 1e-11, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(found, by_hand(step, *given), **tolerance)
        for one, other, value in zip(gradients, slopes, given, strict=True):
            assert one.shape == value.shape and one.dtype == dtype
            np.testing.assert_allclose(one, other, **tolerance)


def test_gradients_are_those_of_differences():
    step = STEPS["bias"]
    rows, h, w = T.dtensor3("rows"), T.dmatrix("h"), T.dmatrix("w")
    states, _ = fuse.scan(lambda r, h, w: step(T, r, h, w), sequences=rows, outputs_info=h, non_sequences=w)
    f = fuse.function([rows, h, w], T.grad((states**2).sum(), w))
    a, b, c = arrays("one row that stays")
    slope = f(a, b, c)
    for k in range(4):
        move = 1e-6 * np.eye(4)[k : k + 1]
        up, down = [(by_hand(step, a, b, c + d) ** 2).sum() for d in (move, -move)]
        np.testing.assert_allclose(slope[0, k], (up - down) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("case", SHAPES)
def test_loops_in_loops(case, monkeypatch):
    """The rows of the state are added up by an inner loop, which reads what stays too."""
    rows, h, w = T.dtensor3("rows"), T.dmatrix("h"), T.dmatrix("w")

    def outer(r, h, w):
        sums, _ = fuse.scan(lambda row, s, w: s * 0.5 + row * w[0], sequences=h, outputs_info=T.zeros_like(h[0]),
                            non_sequences=w)
        return T.tanh(sums + r)

    f = fuse.function([rows, h, w], fuse.scan(outer, sequences=rows, outputs_info=h, non_sequences=w)[0])
    a, state, c = arrays(case)
    expected = []
    for r in a:
        total, sums = np.zeros_like(state[0]), []
        for row in state:
            total = total * 0.5 + row * c[0]
            sums.append(total)
        state = np.tanh(np.array(sums) + r)
        expected.append(state)
    monkeypatch.setattr(reference, "evaluate", None)
    np.testing.assert_allclose(f(*arrays(case)), expected, rtol=1e-11, atol=1e-12)


def test_shared_values_and_updates():
    rows, w = T.dtensor3("rows"), fuse.shared(np.full((1, 4), 0.25))
    states, _ = fuse.scan(lambda r, h: T.tanh(h * 0.5 + r + w), sequences=rows, outputs_info=T.zeros_like(rows[0]))
    f = fuse.function([rows], states, updates=[(w, w * 2)])
    a = arrays("as declared")[0]
    for k in range(5):
        expected = by_hand(STEPS["bias"], a, np.zeros((3, 4)), np.full((1, 4), 0.25 * 2**k))
        np.testing.assert_allclose(f(a), expected, rtol=1e-12)
    np.testing.assert_array_equal(w.get_value(), np.full((1, 4), 8.0))
    w.set_value(np.ones((3, 4)))
    np.testing.assert_allclose(f(a), by_hand(STEPS["bias"], a, np.zeros((3, 4)), np.ones((3, 4))), rtol=1e-12)
