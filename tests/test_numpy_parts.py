"""NumPy's functions that put in, leave out, sort, count and fit; methods and numbers that mean NumPy's in a trace."""
from __future__ import annotations

import numpy as np
import pytest

import fuse

X = np.arange(12.0).reshape(3, 4) / 7 - 0.6
V = np.array([0.5, -1.2, 2.0])
CASES = {
    "insert": lambda x: (
        np.insert(x, [0, 2], 7.0), np.insert(x, 1, [7.0, 8.0, 9.0], axis=1), np.insert(x, -1, 5, axis=1),
        np.insert(x, [1], np.array([[1.0], [2.0], [3.0]]), axis=1), np.insert(x, 3, x[:2], axis=0),
        np.insert(x, [1, 3], np.array([[1.0], [2.0], [3.0]]), axis=1), np.insert(x, slice(0, 2), 9),
        np.insert(x[0], [1], [7.0, 8.0]), np.insert(x, np.array([True, False, True, False]), 5.0, axis=1),
    ),
    "delete": lambda x: (
        np.delete(x, [0, -1], 1), np.delete(x, slice(0, 4, 2), axis=1), np.delete(x, 5), np.extract(x > 0, x),
        np.delete(x, np.array([True, False, True]), 0), np.resize(x, (2, 7)), np.resize(x, 5),
    ),
    "block": lambda x: (
        np.block([x[0], x[1]]), np.block([[x, x[:, :1]], [x[:1], np.ones((1, 1))]]), np.block([[x[0]], [x[1]]]),
    ),
    "order": lambda x: (
        np.sort(np.partition(x, 1)), np.lexsort((x[0] > 0, -x[1])), np.lexsort((x, -x), axis=0),
        np.nanargmax(np.where(x > 0.9, np.nan, x), axis=1),
        np.nanargmin(x),
    ),
    "histogram": lambda x: (
        *np.histogram(x), *np.histogram(x, 4, (-0.5, 0.7)), *np.histogram(x, bins=5, density=True),
        *np.histogram(x, bins=[-1.0, 0.1, 0.4, 1.0], weights=x), *np.histogram(x[0, :1]),
    ),
    "parts": lambda x: (
        np.apply_along_axis(np.sum, 0, x), np.apply_along_axis(lambda r, k: np.outer(r, r) * k, 1, x, 2.0),
        np.apply_along_axis(np.sort, 0, x), np.apply_over_axes(np.sum, x, [0, 1]),
        np.piecewise(x, [x < 0, x > 0.5], [lambda v: v * 2, lambda v: v**3]), np.piecewise(x[0], x[0] < 0, [-1, 3]),
    ),
    "fits": lambda x: (
        np.polyfit(np.arange(4.0), x[0], 2), np.polyfit(x[0], x.T**2, 2), np.linalg.matrix_rank(x @ x.T),
    ),
    "methods": lambda x: (
        x.round(1), np.round(x * 1234, -2), round(x[0, 0], 2), x.min(initial=-3.0), x.clip(max=1 / 3), x.clip(min=0),
        x.compress([True, False, True], axis=0), x[0].compress([True, False, True, False]), x.ravel("F"),
        x.reshape(4, 3, order="F"), np.reshape(x, (2, -1), order="F"), x.flatten("F"), x.cumsum(1),
        x.sum(axis=1, where=np.array([True, False, True, True])), x.std(0, ddof=1), x.take([1, 2], axis=1),
    ),
    "numbers": lambda x: (
        np.percentile(x, 30.0), np.percentile(x, [30.0, 70.0], axis=1), np.where(x > 0, 0.5, 2.0) / 3,
        np.where(x > 0, 2, 1) * 200, np.select([x > 0.3, x < 0], [0.5, 0.25]) / 3,
        np.select([x > 0.3, x < 0], [200, 100]) * 200, np.choose((x > 0).astype(int), [0.5, 0.25]) / 3,
        np.geomspace(1.0, 7.0 + x[0], 4), np.geomspace(-1.0, -8.0 + 0 * x[0], 4, endpoint=False),
    ),
}
DTYPES = {
    "i1": np.array([[100, -3, 90, 2], [7, 1, -90, 100]], "i1"),
    "u1": np.array([[200, 3, 100, 1], [9, 255, 2, 4]], "u1"),
    "b": np.array([[True, False, True, True], [True, True, False, True]]),
    "c16": np.array([[1 + 2j, 3, 2 - 1j, 1j], [np.inf, complex(np.nan, 1), 2, 1]]),
}


def checked(f, x):
    got, want = fuse.tree.leaves(fuse.jit(f, mode="FAST_COMPILE")(x)), fuse.tree.leaves(f(x))
    assert len(got) == len(want)
    for a, b in zip(got, map(np.asarray, want), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", list(CASES))
def test_values_are_numpys(name):
    checked(CASES[name], X)


@pytest.mark.parametrize("name", list(DTYPES))
def test_sums_and_parts_have_numpys_dtype(name):
    """A sum of narrow integers along the way, weights and means neither wrap nor stay Boolean."""
    x = DTYPES[name]
    if name == "c16":
        checked(lambda x: (np.nan_to_num(x, nan=3.0, posinf=7.0), np.nanvar(x[0]), x.cumsum()), x)
        return
    checked(lambda x: (
        np.cumsum(x), x.cumsum(1), np.cumprod(x), np.add.accumulate(x, axis=1), np.nancumsum(x), np.vecdot(x, x),
        np.bincount(np.array([0, 1, 1, 1]), weights=x[0]), np.linalg.norm(x, np.inf), np.reciprocal(x[0] | x[1]),
        np.trunc(x),
    ), x)
    checked(lambda x: (np.gradient(x.astype("u2")), np.ldexp(x.astype("i4"), 3), np.fabs(x.astype("i4"))), x)


def test_a_traced_place_is_left_out():
    f = fuse.jit(lambda x, i: np.delete(x, i, axis=1), mode="FAST_COMPILE")
    for i in (0, 2, -1):
        np.testing.assert_array_equal(f(X, i), np.delete(X, i, axis=1))
    slope = fuse.grad(lambda v: np.sum(np.apply_along_axis(lambda r: r * r, 0, np.insert(v, 1, 9.0))))(V)
    np.testing.assert_allclose(slope, 2 * V)


@pytest.mark.parametrize("wrong", [
    lambda x: np.delete(x, fuse.tensor.constant(12)), lambda x: np.histogram(x, 0), lambda x: np.histogram(x, [2, 1]),
    lambda x: np.histogram(x, 3, (1, 0)), lambda x: x.flatten(2), lambda x: np.reshape(x, (4, 3), order="Z"),
])  # fmt: skip
def test_what_numpy_refuses_is_refused(wrong):
    with pytest.raises((ValueError, AssertionError)):
        fuse.jit(wrong)(X)


def test_functions_of_the_table_take_no_unknown_arguments():
    with pytest.raises(TypeError, match=r"exp\(\) got an unexpected keyword argument 'dtype'"):
        fuse.tensor.exp(X, dtype="float32")
    x = fuse.tensor.as_tensor(X)
    np.testing.assert_array_equal(np.reshape(x, x.T.shape, order="F").eval(), X.reshape(4, 3, order="F"))
