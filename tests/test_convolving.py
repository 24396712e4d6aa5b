"""Kernels of correlations: the values of the ops' own functions in all forms, and when those serve instead."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import blas, convolving
from fuse.config import config
from fuse.frontend.correlate import correlate, wrt_filters, wrt_input

needs_blas = pytest.mark.skipif(blas.address("fuse_blas_dgemm") is None, reason="NumPy's BLAS is not found")
SHAPE, WINDOW = (3, 4, 9, 7, 6), (6, 4, 3, 2, 2)


def random(dtype: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def operands(rank: int, dtype: str, strides: tuple[int, ...], dilation: tuple[int, ...], groups: int, cut: int):
    """(node, values) of the three ops, whose gradient has ``cut`` rows of places less than there are."""
    x = random(dtype, *SHAPE[: rank + 2])
    w = random(dtype, WINDOW[0], WINDOW[1] // groups, *WINDOW[2 : rank + 2])
    params = {"strides": strides, "dilation": dilation, "groups": groups}
    a, b = [T.tensor(dtype, shape=(None,) * (rank + 2)) for _ in range(2)]
    sizes = [T.lscalar() for _ in range(rank)]
    extents = zip(x.shape[2:], w.shape[2:], dilation, strides, strict=True)
    places = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in extents]
    g = random(dtype, 3, 6, places[0] - cut, *places[1:])
    yield correlate(a, b, **params), (x, w)
    yield wrt_input(a, b, *sizes, **params), (w, g, *map(np.asarray, x.shape[2:]))
    yield wrt_filters(a, b, *sizes, **params), (x, g, *map(np.asarray, w.shape[2:]))


@needs_blas
@pytest.mark.parametrize(
    "rank, dtype, shared",
    [(1, "float64", True), (2, "float32", True), (2, "float64", True), (3, "float32", True), (1, "float32", False),
     (2, "float64", False)],
)
def test_kernels_give_the_values_of_the_ops(rank, dtype, shared, monkeypatch):
    """In tiles, with images shared among threads, and by products as a whole."""
    monkeypatch.setattr(convolving.reference, "apply", None)  # kernels serve all of these
    monkeypatch.setattr(convolving.tiles, "serves", lambda dtype: shared)
    for name, value in (("BLOCK", 700), ("SMALL_BLOCK", 700), ("SUMS", 2), ("TILE", 4), ("DEPTH", 7)):
        monkeypatch.setattr(convolving, name, value)  # some rows of places, several tiles
    convolving.kernel.cache_clear()
    forms = list(itertools.product([(1, 1, 1), (2, 1, 3)], [(1, 1, 1), (2, 1, 2)], [1, 2]))
    many = rank == 2 and dtype == "float64" and shared
    for k, (strides, dilation, groups) in enumerate(forms[::3] if many else forms[-1:]):
        for node, values in operands(rank, dtype, strides[:rank], dilation[:rank], groups, k % 2):
            wanted = node.op.numpy(*values, **node.params)
            found = convolving.call_of(node)(*values)
            assert found.shape == wanted.shape and found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-4 if dtype == "float32" else 1e-11)
    convolving.kernel.cache_clear()


@needs_blas
def test_the_same_bits_for_any_threads():
    x, w = T.dtensor4("x"), T.dtensor4("w")
    cost = (T.nnet.conv2d(x, w) ** 2).sum()
    f = fuse.function([x, w], [cost, *fuse.grad(cost, [x, w])])
    values, found = (random("float64", 11, 6, 20, 20), random("float64", 10, 6, 3, 3)), []
    for count in (1, 2, 3):
        with config.change_flags(threads=count):
            found.append([a.tobytes() for a in f(*values)])
    assert found[0] == found[1] == found[2]


def test_other_dtypes_layouts_and_no_elements():
    for dtypes in [("float32", "float64"), ("int64", "int64"), ("float64", "float64")]:
        x, w = [T.tensor(d, shape=(None,) * 4) for d in dtypes]
        f = fuse.function([x, w], T.nnet.conv2d(x, w, filter_flip=False))
        a, b = random("float64", 2, 3, 6, 5) * 9, random("float64", 4, 3, 2, 2) * 9
        for u, v in [(a, b), (a[::-1, :, ::-1], b[:, :, :, ::-1]), (np.asfortranarray(a), b), (a[:0], b)]:
            u, v = u.astype(dtypes[0], order="K"), v.astype(dtypes[1], order="K")
            windows = np.lib.stride_tricks.sliding_window_view(u, (2, 2), (2, 3))
            wanted = np.einsum("nchwij,fcij->nfhw", windows, v)
            np.testing.assert_allclose(f(u, v), wanted, rtol=1e-5, atol=1e-4)


def test_errors_are_those_of_the_op():
    x, w = T.tensor4("x"), T.tensor4("w")
    f = fuse.function([x, w], T.nnet.conv2d(x, w))
    for shape in [(4, 2, 2, 2), (4, 3, 7, 2)]:
        with pytest.raises(fuse.errors.ShapeError, match=r"correlat|larger"):
            f(np.ones((2, 3, 6, 5)), np.ones(shape))


def test_a_gradient_is_the_same_with_and_without_kernels(monkeypatch):
    x, w = T.tensor4("x"), T.tensor4("w")
    y = T.nnet.conv2d(x, w, border_mode="half", subsample=(2, 1))
    cost = (y**2).sum()
    values = random("float64", 2, 3, 6, 5), random("float64", 4, 3, 3, 3)
    found = fuse.function([x, w], fuse.grad(cost, [x, w]))(*values)
    monkeypatch.setattr(blas, "address", lambda symbol: None)
    wanted = fuse.function([x, w], [g + 0.0 for g in fuse.grad(cost, [x, w])])(*values)
    for g, h in zip(found, wanted, strict=True):
        np.testing.assert_allclose(g, h, rtol=1e-11, atol=1e-11)
