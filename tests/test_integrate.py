"""odeint: analytic solutions, SciPy's at tight tolerance, finite differences, and failures that are told."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import fuse
import fuse.tensor as T
from fuse.errors import FuseTypeError, FuseValueError, IntegrationError
from fuse.integrate import odeint
from fuse.integrate.tableau import BETWEEN, ERROR, STAGES, TIMES

p, start, times = T.dvector("p"), T.dvector("start"), T.dvector("times")
RATES, FIRST, GRID = np.array([1.1, 0.4, 0.1, 0.4]), np.array([10.0, 5.0]), np.linspace(0.0, 6.0, 9)


def predators(y, t, p):
    return [p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]]


def truth(y0, grid, rates):
    solved = solve_ivp(lambda t, y: predators(y, t, rates), (grid[0], grid[-1]), y0, method="DOP853", t_eval=grid,
                       rtol=1e-12, atol=1e-12)
    return solved.y.T


@pytest.fixture(scope="module")
def solved():
    y = odeint(predators, start, times, (p,), rtol=1e-10, atol=1e-10)
    return fuse.function([start, times, p], [y, *fuse.grad((y**2).sum(), [start, p, times])])


def test_the_tableau_is_scipys():
    from scipy.integrate._ivp.rk import RK45

    for ours, row in zip(STAGES[:-1], RK45.A[1:], strict=True):
        np.testing.assert_allclose(ours, row[: len(ours)], rtol=1e-15)
    np.testing.assert_allclose(STAGES[-1], RK45.B, rtol=1e-15)
    np.testing.assert_allclose(np.abs(ERROR), np.abs(RK45.E), rtol=1e-15)
    np.testing.assert_allclose(TIMES[:6], RK45.C, rtol=1e-15)
    np.testing.assert_allclose(BETWEEN, -RK45.P[:, 3], rtol=1e-12) if BETWEEN[0] * RK45.P[0, 3] < 0 else \
        np.testing.assert_allclose(BETWEEN, RK45.P[:, 3], rtol=1e-12)


def test_like_scipy_at_tight_tolerance(solved):
    found = solved(FIRST, GRID, RATES)
    np.testing.assert_allclose(found[0], truth(FIRST, GRID, RATES), rtol=2e-8)
    backwards = solved(found[0][-1], GRID[::-1].copy(), RATES)[0]
    np.testing.assert_allclose(backwards[-1], FIRST, rtol=1e-7)


def test_gradients(solved):
    _, by_start, by_rates, by_times = solved(FIRST, GRID, RATES)
    # With respect to the start and the rates: differences of accurate solutions.
    for got, args, k in ((by_start, (FIRST, RATES), 0), (by_rates, (FIRST, RATES), 1)):
        for i in range(len(got)):
            costs = []
            for sign in (1, -1):
                moved = [a.copy() for a in args]
                moved[k][i] += sign * 1e-5
                costs.append((truth(moved[0], GRID, moved[1]) ** 2).sum())
            np.testing.assert_allclose(got[i], (costs[0] - costs[1]) / 2e-5, rtol=1e-5)
    # With respect to a later time it is the slope there.
    rows = truth(FIRST, GRID, RATES)
    want = [2 * np.dot(y, predators(y, 0, RATES)) for y in rows[1:]]
    np.testing.assert_allclose(by_times[1:], want, rtol=1e-5)


def test_fixed_steps_have_order_four():
    y = odeint(lambda y, t: -2 * t * y, 1.0, times, method="rk4", steps=4)
    f = fuse.function([times], y)
    errors = [np.abs(f(np.linspace(0, 2, n + 1))[-1] - np.exp(-4.0)) for n in (4, 8)]
    assert 13 < errors[0] / errors[1] < 20
    np.testing.assert_allclose(f(np.linspace(0, 2, 50)), np.exp(-np.linspace(0, 2, 50) ** 2), atol=1e-8)


@pytest.mark.parametrize("checkpoint", [None, 0])
def test_gradients_of_fixed_steps_are_exact(checkpoint):
    y = odeint(predators, start, GRID, (p,), method="rk4", steps=3, checkpoint=checkpoint)
    cost = (y**2).sum()
    f = fuse.function([start, p], [cost, *fuse.grad(cost, [start, p])])
    _, by_start, by_rates = f(FIRST, RATES)
    for got, k in ((by_start, 0), (by_rates, 1)):
        for i in range(len(got)):
            costs = []
            for sign in (1, -1):
                moved = [FIRST.copy(), RATES.copy()]
                moved[k][i] += sign * 1e-6
                costs.append(f(*moved)[0])
            np.testing.assert_allclose(got[i], (costs[0] - costs[1]) / 2e-6, rtol=1e-6)


def test_states_of_any_structure_dtype_and_rank():
    def slopes(t, state):
        return {"place": state["speed"], "speed": -state["place"]}

    place = np.array([[1.0, 0.0], [0.0, 2.0]])
    y = odeint(slopes, {"place": place, "speed": np.zeros((2, 2))}, [0.0, 1.0, 3.0], tfirst=True)
    got = fuse.function([], [y["place"], y["speed"]])()
    assert got[0].shape == (3, 2, 2)
    np.testing.assert_allclose(got[0][2], place * np.cos(3.0), atol=1e-6)
    np.testing.assert_allclose(got[1][1], -place * np.sin(1.0), atol=1e-6)
    assert odeint(lambda y, t: [y[1], -y[0]], [1, 0], [0.0, 1.0]).type.shape == (2, 2)
    single = odeint(lambda y, t: -y, T.fvector("z"), [0.0, 1.0], rtol=1e-4, atol=1e-6)
    assert single.type.dtype == "float32"


def test_on_functions_and_batches():
    @fuse.jit
    def ends(rates):
        return odeint(lambda y, t, k: -k * y, np.ones(1), np.array([0.0, 1.0]), (rates,))[-1, 0]

    np.testing.assert_allclose(ends(np.array(0.7)), np.exp(-0.7), rtol=1e-7)
    np.testing.assert_allclose(fuse.grad(ends)(np.array(0.7)), -np.exp(-0.7), rtol=1e-6)

    def at_one(k):
        return odeint(lambda y, t: -k * y, T.constant(1.0, dtype="float64"), [0.0, 1.0], method="rk4", steps=20)[-1]

    np.testing.assert_allclose(fuse.vmap(at_one)(np.array([0.1, 2.0])), np.exp([-0.1, -2.0]), rtol=1e-5)


def test_problems_of_a_map_have_steps_of_their_own():
    at, rates, starts = np.linspace(0, 3, 4), np.array([0.1, 25.0, 3.0]), np.array([1.0, 2.0, -1.0])

    def solve(rate, start):
        return odeint(lambda y, t: -rate * y, start, at)

    want = starts[:, None] * np.exp(-np.outer(rates, at))
    np.testing.assert_allclose(fuse.vmap(solve)(rates, starts), want, atol=1e-6)
    slope = fuse.grad(lambda k: np.sum(fuse.vmap(lambda k, y: solve(k, y)[-1])(k, starts)))(rates)
    np.testing.assert_allclose(slope, -3 * want[:, -1], atol=1e-5)


def test_jacobians_forwards():
    def end(p):  # sizes of arrays that are gone were compared: UnboundLocalError
        return odeint(lambda y, t: np.stack([p[0] * y[1], -p[1] * y[0]]), np.array([1.0, 0.5]), [0.0, 1.0])[-1]

    def solved(p):
        turn, scale = np.sqrt(p[0] * p[1]), np.sqrt(p[0] / p[1])
        return np.array([np.cos(turn) + scale * np.sin(turn) / 2, np.cos(turn) / 2 - np.sin(turn) / scale])

    p, steps = np.array([1.5, 0.7]), 1e-6 * np.eye(2)
    slopes = np.transpose([(solved(p + step) - solved(p - step)) / 2e-6 for step in steps])
    np.testing.assert_allclose(fuse.jacfwd(end)(p), slopes, rtol=1e-5)


def test_failures_are_told():
    first = T.dscalar("first")
    solve = fuse.function([times, first], odeint(lambda y, t: y**2, first, times))  # 1 / (1 - t) from 1
    np.testing.assert_allclose(solve([0.0, 0.5], 1.0), [1, 2], rtol=1e-6)
    with pytest.raises(IntegrationError, match="singularity"):
        solve([0.0, 2.0], 1.0)
    with pytest.raises(IntegrationError, match="not finite"):
        solve([0.0, 0.5], np.nan)
    with pytest.raises(IntegrationError, match="increase, or they decrease"):
        solve([0.0, 0.5, 0.2, 0.6], 1.0)
    few = fuse.function([times, first], odeint(lambda y, t: y**2, first, times, max_steps=10))
    with pytest.raises(IntegrationError, match=r"10 steps were tried \(max_steps\)"):
        few([0.0, 0.999], 1.0)


def test_times_at_the_edge():
    f = fuse.function([times], odeint(lambda y, t: -y, 3.0, times))
    np.testing.assert_allclose(f([2.0]), [3.0])
    np.testing.assert_allclose(f([0.0, 0.0, 1.0, 1.0]), [3, 3, 3 / np.e, 3 / np.e], rtol=1e-7)
    slopes = fuse.function([times], [odeint(lambda y, t: -y, 3.0, times)[-1],
                                     fuse.grad(odeint(lambda y, t: -y, 3.0, times)[-1], times)])([1.0, 1.0])
    np.testing.assert_allclose(np.concatenate([[slopes[0]], slopes[1]]), [3, 3, -3])  # no time passes: y0 and its slope


def test_arguments_are_trees_or_one():
    k = T.dscalar("k")
    alone = odeint(lambda y, t, p: -p["a"] * y, 1.0, [0.0, 1.0], args=({"a": k},))[-1]
    np.testing.assert_allclose(alone.eval({k: 2.0}), np.exp(-2), rtol=1e-6)
    assert odeint(lambda y, t, p: -p * y, 1.0, [0.0, 1.0], args=k)[-1].type == alone.type


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: odeint(lambda y, t: y, 1.0, [0.0, 1.0], method="euler"), FuseValueError, "dopri5, rk4"),
    (lambda: odeint(lambda y, t: (y, y), (1.0,), [0.0, 1.0]), FuseTypeError, "what y0 is like"),
    (lambda: odeint(lambda y, t: y, 1.0, 1.0), FuseTypeError, "vector of times"),
    (lambda: odeint(lambda y, t: y, 1.0, [0.0, 1.0], max_steps=0), FuseValueError, "at least 1"),
    (lambda: odeint(lambda y, t: y, 1.0, [0.0, 1.0], checkpoint=3), FuseValueError, "rk4"),
    (lambda: odeint(lambda y, t: y * np.ones(2), 1.0, [0.0, 1.0]), FuseTypeError, "slope of a float"),
])
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()
