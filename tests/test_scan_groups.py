"""Loops with the formulas of numbers around them: one entry, with the values that they have apart."""
from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import loop_group
from fuse.errors import ShapeError

RNG = np.random.default_rng(11)


def _chain(y: Any, theta: Any, start: Any) -> Any:
    def step(state: Any, now: Any) -> Any:
        error = now[0] - theta * state[0]
        return (error, state[1] + error * error), (error,)

    (last, cost), (errors,) = fuse.loop(step, (T.exp(start) - 1.0, 0.0 * start), (y,))
    return 0.5 * cost + last, errors


def _wrapper(f: Any) -> str:
    return str(f.source[f.source.index("# wrapper"):])


def _by_hand(y: Any, theta: float, start: float) -> tuple[float, list[float]]:
    errors, last = [], np.exp(start) - 1.0
    for value in y:
        errors.append(last := value - theta * last)
    return 0.5 * float(np.sum(np.square(errors))) + last, errors


def test_a_loop_and_the_formulas_around_it_are_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    y, theta, start = T.dvector("y"), T.dscalar("theta"), T.dscalar("start")
    cost, errors = _chain(y, theta, start)
    f = fuse.function([y, theta, start], [cost, errors, fuse.grad(cost, theta)])
    assert len(re.findall(r"\b(?:loop|kernel)\d+\(", _wrapper(f))) == 1
    data = RNG.standard_normal(40)
    read_only = data[:7].copy()
    read_only.flags.writeable = False
    shifted = np.frombuffer(b"." + data.tobytes(), np.float64, 40, 1)  # not aligned
    given = [data, data[::-2], data[3:9], np.repeat(data[:2], 3)[::3], data[:0], data[:1], read_only, shifted]
    for _ in range(3):  # by Python at first, at C level then
        for series in given:
            found = f(series, 0.4, 0.1)
            value, all_errors = _by_hand(series, 0.4, 0.1)
            up, down = (_by_hand(series, 0.4 + h, 0.1)[0] for h in (1e-6, -1e-6))
            np.testing.assert_allclose(found[0], value, rtol=1e-12)
            np.testing.assert_allclose(found[1], all_errors, rtol=1e-12)
            np.testing.assert_allclose(found[2], (up - down) / 2e-6, rtol=1e-6, atol=1e-8)
    monkeypatch.setattr(loop_group, "LONGEST", 30)  # more steps are done in pieces, by another program
    g = fuse.function([y, theta, start], [cost, errors, fuse.grad(cost, theta) * 2.0])
    for _ in range(6):
        for series in (data, data[:30]):
            for one, other in zip(g(series, 0.4, 0.1)[:2], f(series, 0.4, 0.1)[:2], strict=True):
                np.testing.assert_array_equal(one, other)
    out = [np.empty(()), np.empty(40), np.empty(())]
    assert f(data, 0.4, 0.1, out=out)[1] is out[1] and float(out[0]) == float(f(data, 0.4, 0.1)[0])


def test_sizes_that_a_loop_finds_and_loops_after_it() -> None:
    x, n = T.dvector("x"), T.lscalar("n")
    (count, _), _ = fuse.loop(lambda s, now: ((s[0] + (now[0] > 0), s[1] + s[0]), ()), (T.constant(0), n), (x,))
    (power,), _ = fuse.loop(lambda s, now: ((s[0] * 2,), ()), (n,), (), count)
    whole = T.arange(count) * n
    f = fuse.function([x, n], [count + 1, power - 1, whole, (whole * power).sum()])
    for _ in range(6):
        for data in (np.array([1.0, -1.0, 2.0, 3.0]), np.array([-1.0]), np.zeros(0)):
            k = int((data > 0).sum())
            found = f(data, 5)
            wanted = [k + 1, 5 * 2**k - 1, 5 * np.arange(k), 5 * 2**k * 5 * np.arange(k).sum()]
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)


def test_an_unknown_number_of_steps_and_a_shared_start() -> None:
    a, w = T.dscalar("a"), fuse.shared(1.5, "w")
    values, updates = fuse.scan(
        lambda z: (z * a, fuse.scan_module.until(z > 50.0)), outputs_info=[w * 1.0], n_steps=200)
    last = values[-1]
    f = fuse.function([a], last + 1.0, updates=[*updates.items(), (w, T.sqrt(last))])
    for _ in range(7):
        start = float(w.get_value())
        z = start
        for _ in range(200):
            z, ends = z * 1.3, z > 50.0
            if ends:
                break
        np.testing.assert_allclose(f(1.3), z + 1.0)
        np.testing.assert_allclose(w.get_value(), np.sqrt(z))


def test_arrays_of_any_layout_are_walked() -> None:
    """The kernel refuses what it cannot walk; then copies are made, and results do not depend on it."""
    x, m, s0 = T.dmatrix("x"), T.dmatrix("m"), T.dvector("s0")
    states, _ = fuse.scan(lambda row, s, w: T.tanh(T.dot(w, s) + row), x, s0, m)
    f = fuse.function([x, m, s0], [states, states[-1]])
    base = RNG.standard_normal((8, 10))
    shifted = np.frombuffer(b"." + base[:, :3].tobytes(), np.float64, 24, 1).reshape(8, 3)  # not aligned
    rows = [base[:, :3].copy(), base[::-1, :3], base[::3, 2:5], base[:3].T, base[:, 1:7:2], base[:, 2::-1], shifted,
            base[2:3, ::4], np.zeros((4, 3))[::2]]
    square = RNG.standard_normal((6, 6))
    matrices = [square[:3, :3].copy(), square[:3, :3], square[::2, ::-2], square[:3, :3].T]
    for _ in range(2):
        for k, given in enumerate(rows):
            weights, state = matrices[k % 4], base[k % 8, 7:]
            found = f(given, weights, state)
            for row, got in zip(given, found[0], strict=True):
                state = np.tanh(weights @ state + row)
                np.testing.assert_allclose(got, state, rtol=1e-13)
            np.testing.assert_allclose(found[1], state, rtol=1e-13)
    empty = f(np.zeros((5, 0))[::-1], np.zeros((0, 0)), np.zeros(0))
    assert [a.shape for a in empty] == [(5, 0), (0,)]


def test_states_of_other_sizes_than_their_steps_are_refused_before_memory_is_written():
    """What a constant of three elements says of a state holds for its first value too, also in a loop within a loop."""
    x, n = T.dvector("x"), T.lscalar("n")
    three = np.array([1.0, 2.0, 3.0])

    def step(state, _):
        return (state[0] * 0.5 + three,), ()

    def around(state, _):
        return (fuse.loop(step, (x + state[0],), None, 2)[0][0].sum(),), ()

    alone = fuse.function([x, n], fuse.loop(step, (x,), None, n)[0][0])
    within = fuse.function([x, n], fuse.loop(around, (x.sum(),), None, n)[0][0])
    np.testing.assert_allclose(alone(three, 1), three * 1.5)
    np.testing.assert_allclose(within(three, 1), (((three + 6) * 0.5 + three) * 0.5 + three).sum())
    for size in (2, 4, 3000):
        for f in (alone, within):
            with pytest.raises(ShapeError):
                f(np.ones(size), 2)


def test_values_that_a_group_reads_stay_until_it_runs():
    """Numbers picked from arrays, and sizes of arrays that are gone, before a loop over others."""
    x, w = T.dvector("x"), T.dscalar("w")
    picked = x[T.nonzero(x > 0)[0]]
    first = T.exp(x * 2)[0] + T.sort(x)[1]
    total = fuse.loop(lambda s, v: ((s[0] * w + v[0] * first,), ()), (first,), (picked,))[0][0]
    kept = fuse.loop(lambda s, _: ((s[0] + w,), (s[0],)), (w,), None, picked.shape[0])[1][0]
    f = fuse.function([x, w], [total, kept])
    value = np.array([0.5, -1.0, 2.0, 0.25])
    number = np.exp(1.0) + 0.25
    want = number
    for v in (0.5, 2.0, 0.25):
        want = want * 0.7 + v * number
    for got, expected in zip(f(value, 0.7), (want, 0.7 * np.arange(1, 4)), strict=True):
        np.testing.assert_allclose(got, expected)


def test_the_values_of_all_steps_are_written_once_where_they_are_wanted() -> None:
    """A result has each step's values in its own memory; what a gradient reads with the start among them is a view."""
    x, s0, w = T.dmatrix("x"), T.dvector("s0"), T.dscalar("w")
    states, _ = fuse.scan(lambda row, s: T.tanh(s * w + row), x, s0)
    turned, _ = fuse.scan(lambda row, s: (s * w + row)[::-1], x, s0)
    f = fuse.function([x, s0, w], [states, states, turned, states[-1]])
    assert "[1:]" not in _wrapper(f)
    cost = (states * T.arange(3.0)).sum()
    g = fuse.function([x, s0, w], [cost, states, *fuse.grad(cost, [x, s0, w])])
    for steps in (1, 2, 70, 300):  # memory that begins at a line is for many
        rows, start = RNG.standard_normal((steps, 3)), RNG.standard_normal(3)
        wanted, other = [start], [start]
        for row in rows:
            wanted.append(np.tanh(wanted[-1] * 0.3 + row))
            other.append((other[-1] * 0.3 + row)[::-1])
        after = np.array(wanted[1:])
        back, slopes = np.zeros(3), np.zeros_like(rows)
        for t in range(steps - 1, -1, -1):
            slopes[t] = (back + np.arange(3.0)) * (1.0 - after[t] ** 2)
            back = 0.3 * slopes[t]
        for _ in range(6):
            found = f(rows, start, 0.3)
            for got, expected in zip(found, (after, after, np.array(other[1:]), after[-1]), strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-12)
                assert got.base is None
            assert not np.shares_memory(found[0], found[1])
            of_cost = after @ np.arange(3.0), after, slopes, back, (slopes * np.array(wanted[:-1])).sum()
            for got, expected in zip(g(rows, start, 0.3), (of_cost[0].sum(), *of_cost[1:]), strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-11)
                assert got.base is None
        out = [np.empty((steps, 3)), np.empty((steps, 3)), np.empty((steps, 3)), np.empty(3)]
        for given, expected in zip(f(rows, start, 0.3, out=out), found, strict=True):
            np.testing.assert_array_equal(given, expected)


def test_a_store_that_adds_to_what_is_there_is_kept_as_it_ends() -> None:
    """Sums across rows are added up in their memory, before which the same values are kept of every step."""
    x, s0 = T.dmatrix("x"), T.dvector("s0")
    sums, _ = fuse.scan(lambda row, s: (T.outer(row, s) + s).sum(axis=0), x, s0)
    counts, _ = fuse.scan(lambda row, s: T.inc_subtensor(s[T.cast(row[0] > 0, "int64")], row[1]), x, s0)
    f = fuse.function([x, s0], [sums, counts])
    rows, start = RNG.standard_normal((20, 4)), RNG.standard_normal(5)
    s, c = start, start.copy()
    for _ in range(6):
        found = f(0.2 * rows, start)
    for t, row in enumerate(0.2 * rows):
        s = (np.outer(row, s) + s).sum(axis=0)
        c[int(row[0] > 0)] += row[1]
        np.testing.assert_allclose(found[0][t], s, rtol=1e-11)
        np.testing.assert_allclose(found[1][t], c, rtol=1e-12)


def test_the_gradient_of_reversed_sequences_fills_and_copies_nothing() -> None:
    x, w = T.dmatrix("x"), T.dscalar("w")
    states, _ = fuse.scan(lambda row, s: w * s + row, x, T.zeros_like(x[0]), go_backwards=True)
    f = fuse.function([x, w], [states, *fuse.grad((states**2).sum(), [x, w])])
    assert "fill(" not in _wrapper(f)
    rows = RNG.standard_normal((9, 2))
    matrix = np.triu(0.4 ** np.abs(np.subtract.outer(np.arange(9), np.arange(9))))[::-1]
    ordered = matrix @ rows
    found = f(rows, 0.4)
    np.testing.assert_allclose(found[0], ordered)
    np.testing.assert_allclose(found[1], matrix.T @ (2.0 * ordered))
    powers = np.subtract.outer(np.arange(9), np.arange(9))
    slopes = np.triu(-powers * 0.4 ** (np.maximum(-powers, 1) - 1.0))[::-1]
    np.testing.assert_allclose(found[2], (2.0 * ordered * (slopes @ rows)).sum())


def test_values_of_one_number_are_written_once_too() -> None:
    """A step's kernel without a loop, whose store goes to the state and to the result."""
    x, s0 = T.TensorType("float64", (False, True))("x"), T.TensorType("float64", (True,))("s0")
    states, _ = fuse.scan(lambda row, s: T.tanh(s + row), x, s0)
    f = fuse.function([x, s0], [states, states * 2.0, states[-1]])
    for steps in (1, 2, 70):
        rows, start = RNG.standard_normal((steps, 1)), RNG.standard_normal(1)
        last, wanted = start, []
        for row in rows:
            wanted.append(last := np.tanh(last + row))
        for got, expected in zip(f(rows, start), (np.array(wanted), 2.0 * np.array(wanted), last), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_periodic_steps_read_their_neighbours_in_runs_and_keep_no_sizes():
    u = T.dvector("u")
    states, _ = fuse.scan(lambda u: u + 0.1 * np.roll(u, -1) * u, outputs_info=[u], n_steps=4)
    f = fuse.function([u], [states[-1], T.grad(T.sum(states[-1] ** 2), u)])
    for n in (1, 2, 7, 255, 256, 257, 600):
        rows = [np.random.default_rng(n).normal(size=n)]
        for _ in range(4):
            rows.append(rows[-1] + 0.1 * np.roll(rows[-1], -1) * rows[-1])
        slope = 2 * rows[-1]
        for row in rows[-2::-1]:
            slope = slope + 0.1 * (np.roll(row, -1) * slope + np.roll(row * slope, 1))
        for have, want in zip(f(rows[0]), (rows[-1], slope), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-12)
    # how far a roll goes is the same in each step; indices are no arrays, and no loop looks at each of them
    assert "int64" not in f.fn.wrapper_source and f.fn.source.count("copied(") == 6
