"""Sums over the steps of a loop whose terms are dear: computed for a block of steps at once, added in the old order."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T


def _variance(dtype: str, function=T.log, mode: str = "default"):
    y, w = T.TensorType(dtype, (False,))("y"), T.scalar("w", dtype)
    zero = w * 0

    def step(state, x):
        h, cost, other = state
        square = x[0] * x[0]
        total = cost + function(h) + square / h
        return (w + w * square + h / 2, total, other - T.exp(-h) * 3), ()

    [_, cost, other], _ = fuse.loop(step, (w + zero, zero, zero + 1), (y,))
    return fuse.function([y, w], [cost, other], allow_input_downcast=True, mode=mode)


@pytest.mark.parametrize("dtype, function", [("float64", T.log), ("float32", T.log), ("float64", T.arcsinh)])
def test_sums_of_functions_have_the_bits_of_the_order_of_the_steps(dtype, function):
    f = _variance(dtype, function, "strict")
    usual = _variance(dtype, function)  # in which products within sums are rounded once
    assert f"{function.__name__}_{dtype}(b" in f.source  # in blocks
    x = T.TensorType(dtype, (False,))("x")
    log, exp = fuse.function([x], function(x)), fuse.function([x], T.exp(-x))
    kind = np.dtype(dtype).type
    rng = np.random.default_rng(0)
    for n in (0, 1, 31, 32, 33, 100):
        y, w = rng.standard_normal(n).astype(dtype), kind(0.25)
        h, states = w, []
        for value in y:
            states.append(h)
            h = w + w * (value * value) + h / kind(2)
        states = np.array(states, dtype)
        cost, other = kind(0), kind(1)
        for value, h, a, b in zip(y, states, log(states), exp(states), strict=True):
            cost = cost + a + value * value / h
            other = other - b * kind(3)
        found = f(y, w)
        assert found[0] == cost and found[1] == other and found[0].dtype == dtype
        np.testing.assert_allclose(usual(y, w), found, rtol=100 * np.finfo(dtype).eps)


def test_what_steps_read_again_stays_in_the_step():
    """A sum that the next step reads, one that is kept, and one that another sum reads."""
    y = T.dvector("y")

    def step(state, x):
        h, again, kept, inner, outer = state
        inner_next = inner + T.log(h)
        return (
            h * 0.5 + x[0] + 0.1 * T.sqrt(again), again + T.log(h), kept + T.log(1.5 + h), inner_next,
            outer + T.exp(-h) + inner_next,
        ), (kept,)

    zero = 0.0 * y[0]
    finals, kept = fuse.loop(step, (zero + 1, zero + 2, zero, zero, zero), (y,))
    f = fuse.function([y], [*finals, *kept])
    values = np.random.default_rng(1).uniform(0.5, 1.5, 70)
    h, again, total, inner, outer, rows = 1.0, 2.0, 0.0, 0.0, 0.0, []
    for value in values:
        rows.append(total)
        inner_next = inner + np.log(h)
        h, again, total, inner, outer = (
            h * 0.5 + value + 0.1 * np.sqrt(again), again + np.log(h), total + np.log(1.5 + h), inner_next,
            outer + np.exp(-h) + inner_next,
        )
    for found, wanted in zip(f(values), [h, again, total, inner, outer, np.array(rows)], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_sum_of_what_another_state_kept_of_the_step_before():
    """The state's new value is no part of the block: the sum means the one before."""
    x = T.dvector("x")

    def step(x, h, lag, total):
        return h + 0.1 * h * (1 - h) + 0.01 * x, T.log(h + x), total + lag

    start = [T.constant(v) for v in (0.3, 7.0, 0.0)]
    states = fuse.scan(step, sequences=x, outputs_info=start)[0]
    values = np.random.default_rng(0).random(70)
    h, lag, total = 0.3, 7.0, 0.0
    for v in values:
        h, lag, total = h + 0.1 * h * (1 - h) + 0.01 * v, np.log(h + v), total + lag
    got = fuse.function([x], [s[-1] for s in states])(values)
    np.testing.assert_allclose(got, [h, lag, total], rtol=1e-12)


def test_functions_of_a_block_are_called_for_its_steps_only():
    """A user's function need not end for what memory held before."""

    @fuse.elementwise()
    def halvings(x):
        n = 0.0
        while x > 1.0:
            x, n = x * 0.5, n + 1.0
        return n

    x = T.dvector("x")
    total = fuse.scan(
        lambda x, h, t: (h * 0.5 + x, t + T.log(1.5 + halvings(h))), sequences=x, outputs_info=[T.constant(9.0)] * 2
    )[0][1]
    f = fuse.function([x], total[-1])
    assert f.source.count("_high - ") == 2  # both loops of a block end with its steps
    assert np.isfinite(f(np.ones(2)))
