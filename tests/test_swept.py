"""Products of large matrices and vectors as sums in kernels: which plan serves, and that both give the same."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import plans, swept
from fuse.errors import FuseError

RNG = np.random.default_rng(8)


@pytest.fixture(autouse=True)
def small_matrices_are_large(monkeypatch):
    monkeypatch.setattr(swept, "LARGE", 1 << 12)
    monkeypatch.setattr(plans, "structure", lambda program, order: None)  # such plans are not for others


def variants(f):
    return set(f.fn._variants)


def logistic(dtype="float64"):
    x, y, w = [T.TensorType(dtype, (None,) * rank)(name) for name, rank in (("x", 2), ("y", 1), ("w", 1))]
    p = 1 / (1 + T.exp(-T.dot(x, w)))
    cost = T.mean(-y * T.log(p) - (1 - y) * T.log(1 - p)) + 0.01 * T.sum(w**2)
    return [x, y, w], [cost, T.grad(cost, w)]


def answers(x, y, w):
    x, y, w = [np.asarray(v, np.float64) for v in (x, y, w)]
    z = x @ w
    cost = (np.logaddexp(0, z) - y * z).mean() + 0.01 * (w @ w)
    return cost, (1 / (1 + np.exp(-z)) - y) @ x / len(y) + 0.02 * w


def data(n, m, dtype="float64"):
    x, w = RNG.standard_normal((n, m)), RNG.standard_normal(m) * m**-0.5
    return [v.astype(dtype) for v in (x, RNG.integers(0, 2, n), w)]


def close(found, expected, dtype="float64"):
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_either_plan_serves(dtype):
    variables, results = logistic(dtype)
    f = fuse.function(variables, results)
    for n, m in [(5, 40), (100, 40), (7, 3), (300, 33), (2000, 8), (20, 5000), (64, 64), *[(90, 70)] * 8, (4, 50)]:
        values = data(n, m, dtype)
        close(f(*values), answers(*values), dtype)
        large = n * m * values[0].itemsize > 1 << 12 and 32 <= m <= 4096
        assert variants(f) >= ({"swept"} if large else set())
    assert variants(f) == {"swept"}
    text = f.fn._variants["swept"].source
    assert "dot" not in text and text.count("def kernel") <= 6  # three kernels, in two sizes of work at most


def test_the_matrix_is_read_by_one_kernel():
    variables, results = logistic()
    f = fuse.function(variables, results)
    f(*data(100, 50))
    launchers = f.fn._variants["swept"].planned.launchers
    assert sum(variables[0] in launcher.bases for launcher in launchers) == 1


def test_matrices_not_in_rows_keep_their_products():
    variables, results = logistic()
    f = fuse.function(variables, results)
    x, y, w = data(100, 50)
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        close(f(other, y, w), answers(x, y, w))
    assert variants(f) == {"called"}


@pytest.mark.parametrize("form", ["m v", "v m", "m.T v", "v m.T"])
def test_every_form(form):
    m, v = T.dmatrix("m"), T.dvector("v")
    matrix = m.T if "T" in form else m
    product = T.dot(v, matrix) if form.startswith("v") else T.dot(matrix, v)
    f = fuse.function([m, v], [product, T.tanh(product).sum()])
    for shape in ((40, 60), (3, 4), (200, 100), (600, 32)):
        a = RNG.standard_normal(shape)
        b = a.T if "T" in form else a
        u = RNG.standard_normal(b.shape[0 if form.startswith("v") else 1])
        want = u @ b if form.startswith("v") else b @ u
        for found in (f(a, u), f(a, u), f(a, u), f(a, u), f(a, u)):
            close(found, (want, np.tanh(want).sum()))
    assert variants(f) == {"swept"}


def test_sizes_known_beforehand():
    for shape, expected in (((100, 64), {"swept"}), ((10, 8), set())):
        m, v = T.TensorType("float64", shape)("m"), T.dvector("v")
        f = fuse.function([m, v], T.exp(T.dot(m, v)))
        a, u = RNG.standard_normal(shape), RNG.standard_normal(shape[1])
        np.testing.assert_allclose(f(a, u), np.exp(a @ u), rtol=1e-12)
        assert variants(f) == expected


def test_shared_matrices_and_updates():
    x, y = fuse.shared(data(100, 50)[0], "x"), T.dvector("y")
    w = fuse.shared(np.zeros(50), "w")
    p = T.nnet.sigmoid(T.dot(x, w))
    cost = T.nnet.binary_crossentropy(p, y).mean()
    f = fuse.function([y], cost, updates=[(w, w - 0.5 * T.grad(cost, w))])
    labels, weights, rows = data(100, 50)[1], np.zeros(50), x.get_value()
    for _ in range(8):
        z = rows @ weights
        np.testing.assert_allclose(f(labels), (np.logaddexp(0, z) - labels * z).mean(), rtol=1e-11)
        weights = weights - 0.5 * ((1 / (1 + np.exp(-z)) - labels) @ rows / 100)
        np.testing.assert_allclose(w.get_value(), weights, rtol=1e-11)
    assert variants(f) == {"swept"}


def test_results_in_given_arrays():
    variables, results = logistic()
    f = fuse.function(variables, results)
    values = data(100, 50)
    outs = [np.empty(()), np.empty(50)]
    for _ in range(5):
        found = f(*values, out=outs)
        assert found[1] is outs[1]
        close(outs, answers(*values))


def test_wrong_sizes_are_told_as_before():
    variables, results = logistic()
    f = fuse.function(variables, results)
    x, y, w = data(100, 50)
    for bad in ((x, y, w[:-1]), (x, y, w[:1]), (x[:, :1], y, w), (x, y[:-1], w)):
        with pytest.raises((FuseError, ValueError)):
            f(*bad)
    close(f(x, y, w), answers(x, y, w))
    one = T.TensorType("float64", (None, 1))("one")
    g = fuse.function([one, variables[2]], T.dot(one, variables[2]))
    with pytest.raises((FuseError, ValueError)):
        g(np.ones((600, 1)), w)


def test_other_products_stay():
    """Products of two vectors, of integers, and of matrices that are computed, are as they were."""
    a, b, i, v = T.dmatrix("a"), T.dvector("b"), T.lmatrix("i"), T.lvector("v")
    f = fuse.function([a, b, i, v], [T.dot(b, b), T.dot(i, v), T.dot(T.exp(a), b)])
    values = [RNG.random((100, 50)), RNG.random(50), RNG.integers(0, 9, (100, 50)), RNG.integers(0, 9, 50)]
    m, u, k, n = values
    close(f(*values), (u @ u, k @ n, np.exp(m) @ u))
    assert not variants(f)
