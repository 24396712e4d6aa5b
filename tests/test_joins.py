"""Joins and stacks of computed parts: written where they stand by the kernels that compute them; against NumPy."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.call_plan import native_call
from fuse.codegen.program import compile_program
from fuse.errors import FuseError

RNG = np.random.default_rng(11)


def test_parts_are_written_by_one_kernel():
    x = T.dmatrix("x")
    for out in (T.concatenate([x * 2, T.exp(x)], 1), T.stack([x + 1, x - 1]), T.concatenate([x, x * 2, x])):
        text = compile_program([x], [out]).wrapper_source
        assert text.count("if kernel") == 1 and text.count("empty(") == 1 and "call" not in text, text
    f = fuse.function([x], T.concatenate([x * 2, T.exp(x)], 1))
    value = RNG.normal(size=(3, 4))
    f(value)
    assert native_call(f.fn.wrapper_source, f.fn.scope, "single", None, f) is not None


@pytest.mark.parametrize("seed", range(20))
def test_random_joins_are_numpys(seed):
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(1, 4))
    static = rng.random() < 0.3
    sizes = [int(n) for n in rng.integers(0, 5, ndim)]
    x, y, s = (T.tensor("float64", shape=tuple(sizes) if static else (None,) * ndim) for _ in range(3))
    i = T.tensor("int64", shape=(None,) * ndim)
    a, b, c = (rng.normal(size=sizes) for _ in range(3))
    whole = rng.integers(-9, 9, sizes)
    made = {
        "double": (x * 2, a * 2),
        "exp": (T.exp(y) - x, np.exp(b) - a),
        "leaf": (s, c),
        "whole": (i + 1, whole + 1),
        "mean": (x - x.mean(axis=0, keepdims=True), a - (a.mean(axis=0, keepdims=True) if a.size else 0)),
        "reversed": (x[::-1], a[::-1]),
        "part": (y[1:] * 3, b[1:] * 3),
        "twice": (x * 2, a * 2),
    }
    axis = int(rng.integers(0, ndim + 1))
    stacked = axis == ndim or rng.random() < 0.4
    names = [n for n in rng.permutation(list(made)) if not (n == "part" and (stacked or axis))][: rng.integers(1, 6)]
    if stacked:
        out, want = T.stack([made[n][0] for n in names], axis), np.stack([made[n][1] for n in names], axis)
    else:
        out, want = T.concatenate([made[n][0] for n in names], axis), np.concatenate([made[n][1] for n in names], axis)
    more = (out * 2 + 1, want * 2 + 1) if rng.random() < 0.5 else (T.sqr(out).sum(), np.square(want).sum())
    f = fuse.function([x, y, s, i], [out, more[0]], on_unused_input="ignore")
    for order in ("C", "F", "C", "C", "C"):
        given = [np.array(v, order=order) for v in (a, b, c, whole)]
        kept = [v.copy() for v in given]
        got, further = f(*given)
        assert got.dtype == want.dtype and got.shape == want.shape
        assert not any(np.may_share_memory(got, v) for v in given)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(further, more[1], rtol=1e-12, atol=1e-12)
        for v, k in zip(given, kept, strict=True):
            np.testing.assert_array_equal(v, k)


def test_parts_that_do_not_fit_are_told_and_never_broadcast():
    x, y = T.dmatrix("x"), T.dmatrix("y")
    f = fuse.function([x, y], T.concatenate([x * 2, y, T.exp(y)], 0))
    for _ in range(5):
        assert f(np.ones((2, 3)), np.ones((1, 3))).shape == (4, 3)
        with pytest.raises(FuseError):
            f(np.ones((2, 3)), np.ones((1, 1)))


def test_joins_into_given_arrays_and_shared_variables():
    x = T.dvector("x")
    w = fuse.shared(np.arange(6.0))
    joined = T.concatenate([x * 2, w[:3] + 1])
    f = fuse.function([x], [joined, joined[1:] - joined[:-1]], updates=[(w, joined)])
    value, state, out = RNG.normal(size=3), np.arange(6.0), [np.empty(6), np.empty(5)]
    for k in range(6):
        first, second = f(value, out=out) if k % 2 else f(value)
        state = np.concatenate([value * 2, state[:3] + 1])
        np.testing.assert_allclose(first, state, rtol=1e-14)
        np.testing.assert_allclose(second, np.diff(state), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(w.get_value(), state, rtol=1e-14)
        first += 1


def test_whole_inputs_and_an_axis_that_is_given_at_run_time():
    m, axis = T.dmatrix("m"), T.iscalar("axis")
    values = np.array([[3.0, 1.0], [2.0, 5.0]])
    other = T.dmatrix("other")
    np.testing.assert_array_equal(fuse.function([m, other], T.join(0, m, other))(values, -values),
                                  np.concatenate([values, -values]))
    outputs = [T.join(axis, m, m + 1), T.sort(m, axis), T.argsort(m, axis), T.grad((T.sort(m, axis) * m).sum(), m)]
    f = fuse.function([m, axis], outputs)
    for k in (0, 1, -1, -2):
        joined, ordered, places, _ = f(values, k)
        np.testing.assert_array_equal(joined, np.concatenate([values, values + 1], k))
        np.testing.assert_array_equal(ordered, np.sort(values, k))
        np.testing.assert_array_equal(places, np.argsort(values, k))
    np.testing.assert_array_equal(f(values, 0)[3], np.sort(values, 0) + np.array([[2.0, 1.0], [3.0, 5.0]]))
    with pytest.raises(IndexError, match="the axis of join is out of bounds for 2 dimensions"):
        f(values, 2)
    assert T.sort(m, T.scalar()).type == m.type
    with pytest.raises(TypeError, match="the axis of join is an integer, not a float"):
        T.join(T.scalar(), m, m)
