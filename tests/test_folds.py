"""What NumPy makes of elements in order, of bits, sets and weights, on expressions: NumPy's own results say what."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T

CUBE = np.array([[[3, 1, 4], [1, 5, 9]], [[2, 6, 5], [3, 5, 8]]])


def same(built, *arrays, traced_only=False):
    """``built`` gives what NumPy gives of arrays, in its dtype, as a graph and in a trace."""
    inputs = [T.tensor(a.dtype, (None,) * a.ndim) for a in arrays]
    expected = built(*arrays)
    ways = [fuse.jit(built)(*arrays)]
    if not traced_only:
        ways.append(fuse.function(inputs, list(built(*inputs)))(*arrays))
    for found in ways:
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got, want, strict=np.ndim(want) > 0)


def test_running_extremes():
    wild = np.array([[2.0, np.nan, -0.0, 1.0], [np.inf, 1.0, 0.0, -np.inf], [3.0, np.nan, 5.0, 1.0]])
    same(lambda x, n, b: (
        np.maximum.accumulate(x), np.minimum.accumulate(x, axis=1), np.maximum.accumulate(n, axis=-1),
        np.minimum.accumulate(n, 1), np.maximum.accumulate(n, dtype="float64"), np.logical_and.accumulate(b, axis=1),
        np.logical_or.accumulate(n - 5, axis=2), np.minimum.accumulate(x[:0])), wild, CUBE, wild > 0)
    with pytest.raises(TypeError, match="complex numbers have no order"):
        np.maximum.accumulate(T.zvector("z"))


def test_gradients_of_running_extremes_go_to_the_elements_that_were_met_first():
    x, g = T.dvectors("x", "g")
    slope = fuse.grad(T.dot(np.maximum.accumulate(x), g), x)
    values, weights = [3.0, 1.0, 4.0, 4.0, 2.0, 5.0], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    np.testing.assert_array_equal(slope.eval({x: values, g: weights}), [3, 0, 28, 0, 0, 32])
    rows = np.random.default_rng(2).normal(size=(3, 4))
    fuse.gradient.verify_grad(lambda m: np.minimum.accumulate(m, axis=1), [rows])


def test_bits_along_axes():
    small = CUBE.astype("uint8")
    same(lambda n, s, b: tuple(
        f.reduce(v, **options) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)
        for v, options in ((n, {}), (s, {"axis": (0, 2)}), (b, {"axis": None}), (s[:0], {}), (n, {"axis": 1,
                                                                                                  "keepdims": True}))
    ), CUBE, small, CUBE > 4)
    with pytest.raises(TypeError, match="bits are those of integers"):
        np.bitwise_xor.reduce(T.dvector("x"))


def test_sets():
    a, b = np.array([3, 1, 1, 7, 9]), np.array([[9.0, 1.5], [2.0, 3.0]])
    flags = {"assume_unique": True}
    same(lambda x, y: (
        np.union1d(x, y), np.intersect1d(x, y), np.setdiff1d(x, y), np.setxor1d(x, y), np.isin(x, y),
        np.setdiff1d(x[2:], y, **flags), np.intersect1d(x[2:], y, **flags), np.setxor1d(x[2:], y, **flags),
        np.setdiff1d(x, x), np.intersect1d(x[:0], y)), a, b)
    with pytest.raises(TypeError, match="intersect1d of an expression takes no return_indices"):
        np.intersect1d(T.lvector("x"), a, return_indices=True)


def test_weighted_quantiles():
    rng = np.random.default_rng(3)
    x, w, v = rng.normal(size=(3, 5)), rng.integers(0, 3, size=(3, 5)) + 0.0, np.array([0.0, 0.0, 1.0, 3.0, 1.0])
    w[:, 2] = 2.0
    how = {"method": "inverted_cdf"}
    parts = np.array([0.0, 0.25, 0.5, 1.0])
    same(lambda x, w, v: (
        np.quantile(x, parts, weights=w, **how), np.quantile(x, 0.3, weights=w, axis=1, **how),
        np.percentile(x, 100 * parts, weights=v, axis=1, **how), np.quantile(x, parts, weights=w, axis=0, keepdims=True,
                                                                              **how)), x, w, v)
    x[1, 1] = np.nan
    same(lambda x, v: (np.quantile(x, parts, weights=v, axis=1, **how),), x, v)
    one = T.dvector("x")
    with pytest.raises(ValueError, match="method='inverted_cdf'"):
        np.quantile(one, 0.5, weights=v)
    f = fuse.function([one], np.quantile(one, 0.5, weights=one, **how))
    for wrong in ([0.0, 0.0], [1.0, -1.0], [np.inf, 1.0]):
        with pytest.raises(ValueError, match="finite, not negative and not all 0"):
            f(wrong)


def test_sizes_beside_integers_in_traces():
    def f(n, u, c):
        return n * n.size, u.sum() * u.size, np.int32(2) * n.shape[0], c % c.size, n * (n.size - 1), n / n.size

    same(f, np.array([5, 6], "int32"), np.array([2, 250, 3], "uint8"), np.array([2**64 - 1, 5], "uint64"),
         traced_only=True)


def test_roots_and_powers_of_infinite_complex_numbers():
    z = T.zvector("z")
    parts = (np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5)
    values = np.array([complex(a, b) for a in parts for b in (*parts, np.nan) if np.isfinite(a) or b == b])
    values = values[~(np.isnan(values) & np.isinf(values))]
    powers = (0.5, 1.5, -0.5, 2, 3, -1, 1j, 1 + 1j)
    with np.errstate(all="ignore"):
        for got, p in zip(fuse.function([z], [z**p for p in powers])(values), powers, strict=True):
            for part in ("real", "imag"):
                np.testing.assert_allclose(getattr(got, part), getattr(values**p, part), 1e-13, 1e-15)


def test_gradients_of_inner_products_take_vectors_of_one_length():
    x, y = T.dvectors("x", "y")
    product = T.dot(x, y)
    for wrt in (x, y, [x, y]):
        f = fuse.function([x, y], fuse.grad(product, wrt))
        with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
            f(np.ones(3), np.ones(4))


def test_sizes_beside_integers_are_compared_as_they_are_and_fit_otherwise():
    """A number that the dtype does not have wrapped around."""
    def f(n, u, w):
        least = -n.size
        return [
            n < n.size * 2**31, np.greater(u, least), least <= w, w != least, u == u.size - 4, np.not_equal(least, n),
            np.where(n > 1, n, n.size * 2), u + (u.size - 1) * u.size, np.clip(n, 0, n.size - 1), n + least,
        ]

    values = np.array([2, -3, 2**31 - 3], "int32"), np.array([2**32 - 3, 7], "uint32"), np.array([2**63, 0], "uint64")
    for got, want in zip(fuse.jit(f)(*values), f(*values), strict=True):
        np.testing.assert_array_equal(got, want, strict=True)

    def wrong(n, u, w):
        return n + n.size * 2**31, u - (u.size - 5), w * -w.size

    for k in range(3):
        with pytest.raises(OverflowError):
            wrong(*[v if i == k else v.astype("int64") for i, v in enumerate(values)])
        with pytest.raises(ValueError, match=r"a number made of sizes does not fit u?int"):
            fuse.jit(lambda v, k=k: wrong(v, v, v)[k])(values[k])
