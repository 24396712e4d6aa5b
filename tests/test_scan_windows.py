"""States that a step changes in a few places: windows that move along and arrays with elements stored, in place."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.errors import ShapeError

RNG = np.random.default_rng(11)
Y, S, COEF = RNG.standard_normal(150), RNG.standard_normal(5), RNG.standard_normal(5)
AT = RNG.integers(0, 5, 150)


def _rows(s: Any, x: Any) -> Any:
    return T.concatenate([s[1:], (s[:1] * 0.5 + x).reshape((1, s.shape[1]))])


# name: the next state of (state, number, index); all of them linear, with eigenvalues within the unit disc
WINDOWS: dict[str, Any] = {
    "number joined": lambda s, x, i: T.concatenate([s[1:], [x]]),
    "its own first one": lambda s, x, i: T.concatenate([s[1:], 0.5 * s[:1] + 0.1 * x]),
    "rotated": lambda s, x, i: T.concatenate([s[1:], s[:1]]) if s.ndim else s,
    "newest first": lambda s, x, i: T.concatenate([T.stack([x - 0.1 * s[2]]), s[:-1]]),
    "newest first, of a slice": lambda s, x, i: T.concatenate([s[-1:] * 0.3 + x, s[:-1]]),
    "two at once": lambda s, x, i: T.concatenate([s[2:], T.stack([x, 0.3 * s[0]])]),
    "two at once, backwards": lambda s, x, i: T.concatenate([T.stack([x, 0.3 * s[0]]), s[:-2]]),
    "stored along": lambda s, x, i: T.set_subtensor(T.set_subtensor(s[:-1], s[1:])[-1], x + 0.2 * s[0]),
    "stored back": lambda s, x, i: T.set_subtensor(T.set_subtensor(s[1:], s[:-1])[0], x + 0.2 * s[-1]),
    "moved and stored": lambda s, x, i: T.inc_subtensor(T.concatenate([s[1:], [x]])[2], 0.1 * s[3]),
    "one set": lambda s, x, i: T.set_subtensor(s[i], 0.4 * s[i] + x),
    "one added to": lambda s, x, i: T.inc_subtensor(s[i], 0.1 * x * s[0]),
    "two set": lambda s, x, i: T.set_subtensor(T.set_subtensor(s[0], x)[i], 0.2 * s[1]),
    "exchanged": lambda s, x, i: T.set_subtensor(T.set_subtensor(s[0], s[i])[1], s[0]),
    "a slice set": lambda s, x, i: T.set_subtensor(s[1:3], 0.3 * s[1:3] + x),
    "a slice of itself": lambda s, x, i: T.set_subtensor(s[:2], s[1:3]),
}
READS: dict[str, Any] = {
    "one": lambda s, i: s[0] - 0.3 * s[2],
    "chosen": lambda s, i: s[i] * s[0],
    "all": lambda s, i: T.dot(s, COEF.astype(s.dtype)),
}


def _program(window: str, read: str, dtype: str, mode: Any = None) -> Any:
    with fuse.config.change_flags(floatX=dtype):
        y, s0, at, a = T.vector("y"), T.vector("s0"), T.lvector("at"), T.scalar("a")

        def step(x: Any, i: Any, s: Any, cost: Any) -> Any:
            error = x - a * READS[read](s, i)
            return WINDOWS[window](s, 0.5 * T.tanh(error), i), cost + error * error, error

        (windows, cost, errors), _ = fuse.scan(step, [y, at], [s0, T.zeros((), dtype), None])
        total = cost[-1] + 0.1 * T.sum(windows[-1] ** 2)
        return fuse.function([y, s0, at, a], [total, windows[-1], errors, *fuse.grad(total, [a, y, s0])], mode=mode)


@pytest.mark.parametrize(("window", "read"), [
    (w, r) for k, w in enumerate(WINDOWS) for j, r in enumerate(READS) if (j + k) % 3 == 0  # in turns
])
def test_compiled_loops_are_those_of_numpy(window: str, read: str) -> None:
    given = Y, S, AT, 0.3
    found = _program(window, read, "float64")(*given)
    wanted = _program(window, read, "float64", "FAST_COMPILE")(*given)
    for x, y in zip(found, wanted, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_single_precision() -> None:
    given = Y.astype("f4"), S.astype("f4"), AT, np.float32(0.3)
    found, wanted = [_program("its own first one", "one", "float32", m)(*given) for m in (None, "FAST_COMPILE")]
    for x, y in zip(found, wanted, strict=True):
        assert x.dtype == "float32"
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-4)


def test_gradients_are_slopes() -> None:
    """Central differences of a window's program, in the numbers alone (tangents) and in all (backwards)."""
    y, s0, a, c = T.dvector("y"), T.dvector("s0"), T.dscalar("a"), T.dscalar("c")

    def step(state: Any, x: Any) -> Any:
        level, s, cost = state
        error = x[0] - level - s[0]
        return (level + a * error, T.concatenate([s[1:], s[:1] + c * error]), cost + error * error), ()

    cost = fuse.loop(step, (y[0], s0, 0.0 * y[0]), (y,), None)[0][2]
    for by in ([a, c], [a, c, s0]):
        f = fuse.function([y, s0, a, c], [cost, *fuse.grad(cost, by)])
        _, da, dc, *more = f(Y, S, 0.3, 0.1)
        h = 1e-5
        np.testing.assert_allclose(da, (f(Y, S, 0.3 + h, 0.1)[0] - f(Y, S, 0.3 - h, 0.1)[0]) / (2 * h), rtol=1e-6)
        np.testing.assert_allclose(dc, (f(Y, S, 0.3, 0.1 + h)[0] - f(Y, S, 0.3, 0.1 - h)[0]) / (2 * h), rtol=1e-6)
        for k, slope in enumerate(more[0] if more else ()):
            move = h * (np.arange(5) == k)
            want = (f(Y, S + move, 0.3, 0.1)[0] - f(Y, S - move, 0.3, 0.1)[0]) / (2 * h)
            np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-8)


def test_a_step_writes_what_is_new() -> None:
    """Neither the value nor the gradient of a window has a second half of memory to write a whole one to."""
    y, s0, a = T.dvector("y"), T.dvector("s0"), T.dscalar("a")

    def step(x: Any, s: Any, cost: Any) -> Any:
        error = x - a * s[0]
        return T.concatenate([s[1:], [error]]), cost + error * error

    cost = fuse.scan(step, y, [s0, T.zeros(())])[0][1][-1]
    source = fuse.function([y, s0, a], [cost, fuse.grad(cost, s0), fuse.grad(cost, a)]).source
    assert source.count("# loop") > 0 and "% 2" not in source and "_row" not in source.replace("_row =", "")


def test_windows_of_rows_and_of_several_lengths() -> None:
    x, s0, t0 = T.dmatrix("x"), T.dmatrix("s0"), T.dvector("t0")

    def step(row: Any, s: Any, t: Any) -> Any:
        return _rows(s, row), T.concatenate([t[1:], [s[0, 0]]]), s.sum() + t[0]

    (s, t, total), _ = fuse.scan(step, x, [s0, t0, None])
    outputs = [s[-1], t[-1], total, fuse.grad(total.sum(), s0)]
    given = RNG.standard_normal((200, 2)), RNG.standard_normal((3, 2)), RNG.standard_normal(9)
    f, g = [fuse.function([x, s0, t0], outputs, mode=m) for m in (None, "FAST_COMPILE")]
    for found, wanted in zip(f(*given), g(*given), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_a_window_within_a_loop_and_one_that_ends() -> None:
    x, s0 = T.dmatrix("x"), T.dvector("s0")

    def outer(row: Any, s: Any) -> Any:
        inner, _ = fuse.scan(lambda v, w: T.concatenate([w[1:], 0.5 * w[:1] + v]), row, s)
        return inner[-1], inner[-1][0]

    (s, first), _ = fuse.scan(outer, x, [s0, None])
    ends, _ = fuse.scan(
        lambda v, w: (T.concatenate([[v + 0.1 * w[4]], w[:-1]]), fuse.scan_module.until(w[0] > 1.5)), x[0], s0)
    given = RNG.standard_normal((4, 90)), S
    f, g = [fuse.function([x, s0], [s[-1], first, ends[-1], fuse.grad(first.sum(), [s0])[0]], mode=m)
            for m in (None, "FAST_COMPILE")]
    for found, wanted in zip(f(*given), g(*given), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_windows_that_are_too_short_or_change_their_length() -> None:
    y, s0 = T.dvector("y"), T.dvector("s0")
    s, _ = fuse.scan(lambda x, s: T.concatenate([s[2:], [x, x]]), y, s0)
    f = fuse.function([y, s0], s[-1])
    assert f(Y[:2], S).tolist() == [S[4], Y[0], Y[0], Y[1], Y[1]]
    with pytest.raises(ShapeError):
        f(Y, S[:1])
    longer, _ = fuse.scan(lambda x, s: T.concatenate([s[1:], s[:2] + x]), y, s0)
    with pytest.raises(ShapeError):
        fuse.function([y, s0], longer[-1])(Y, S)


def test_parameters_in_a_vector_and_sums_of_parts() -> None:
    """What is added to the gradient of one parameter, or to one place, in each step."""
    y, p, i, v = T.dvector("y"), T.dvector("p"), T.lvector("i"), T.dvector("v")
    ahead, _ = fuse.scan(lambda x, old, c: (x, c + (x - p[0] - p[1] * old) ** 2), y, [y[0], T.zeros(())])
    moving, _ = fuse.scan(
        lambda x, e, c: (x - p[0] - p[1] * e, c + e * e + p[3] * x), y, [T.zeros(()), T.zeros(())])
    counted, _ = fuse.scan(lambda k, x, h: T.inc_subtensor(h[k], x), [i, y], T.zeros(7))
    same, _ = fuse.scan(lambda x, h: T.inc_subtensor(T.inc_subtensor(h[2], x)[1:4], 1.0), y, T.zeros(7))
    windows, _ = fuse.scan(lambda x, s: T.concatenate([s[1:], [T.tanh(s[0]) * x + s[2]]]), y, p)
    outputs = [
        fuse.grad(ahead[1][-1], p), fuse.grad(moving[1][-1], p), fuse.grad((counted[-1] ** 2).sum(), y), same[-1],
        fuse.grad((same[-1] ** 2).sum(), y), fuse.Rop(windows[-1], p, v),
    ]
    f, g = [fuse.function([y, p, i, v], outputs, mode=m) for m in (None, "FAST_COMPILE")]
    given = Y, 0.3 * S, AT, COEF
    for found, wanted in zip(f(*given), g(*given), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
    assert "each step is a call" not in f.source


@pytest.mark.parametrize("n", [1, 3, 300])
def test_periodic_boundaries_in_steps(n):
    u, g = T.dvector("u"), T.dvector("g")

    def step(state, _):
        (v,) = state
        return (v + 0.1 * (T.roll(v, 1) - v) * T.roll(v, -2),), ()

    final = fuse.loop(step, (u,), None, 4)[0][0]
    f = fuse.function([u, g], [final, T.grad((final * g).sum(), u)])
    assert "q0_first" in f.source
    rng = np.random.default_rng(0)
    start, weights = rng.normal(size=n), rng.normal(size=n)

    def plain(v):
        for _ in range(4):
            v = v + 0.1 * (np.roll(v, 1) - v) * np.roll(v, -2)
        return v

    got, slopes = f(start, weights)
    np.testing.assert_allclose(got, plain(start), rtol=1e-13)
    for k in {0, n // 2, n - 1}:
        h = 1e-6 * np.eye(n)[k]
        slope = (plain(start + h) - plain(start - h)) @ weights / 2e-6
        np.testing.assert_allclose(slopes[k], slope, rtol=1e-6, atol=1e-8)
