"""Row blocks: light sweeps over rows, with functions of what they find between them; the same values and bits."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse import function, grad
from fuse.codegen.interpret import run
from fuse.codegen.kernel import Loop, walk
from fuse.config import config

RNG = np.random.default_rng(5)
SIZES = ((0, 3), (1, 1), (3, 5), (16, 40), (17, 300), (35, 513), (70, 1100), (2, 40_000))


def model(dtype):
    """A product with a vector, functions of it, sums of them, and sums over rows that they weigh."""
    x, w, y = [T.TensorType(dtype, (None,) * rank)(name) for name, rank in (("x", 2), ("w", 1), ("y", 1))]
    z = T.sum(x * w, axis=1)
    d = T.tanh(z) - y
    return [x, w, y], [d, T.sum(T.exp(-z * z)), T.sum(x * d[:, None], axis=0), T.max(d * z)]


def oracle(x, w, y):
    x, w, y = [np.asarray(v, np.float64) for v in (x, w, y)]
    z = x @ w
    d = np.tanh(z) - y
    return d, np.exp(-z * z).sum(), d @ x, (d * z).max() if d.size else None


def data(n, m, dtype):
    scale = max(m, 1) ** -0.5
    values = RNG.standard_normal((n, m)), RNG.standard_normal(m) * scale, RNG.standard_normal(n)
    return [v.astype(dtype) for v in values]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values(dtype):
    variables, results = model(dtype)
    f = function(variables, results)
    assert any(s.along for k in f.fn.kernels for s in walk(k.body) if isinstance(s, Loop))
    tolerance = 1e-12 if dtype == "float64" else 3e-5
    for n, m in SIZES:
        values = data(n, m, dtype)
        if n == 0:
            with pytest.raises(ValueError, match="has no value"):
                f(*values)
            continue
        for got, want in zip(f(*values), oracle(*values), strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * max(n, 1) ** 0.5)


def test_layouts():
    variables, results = model("float64")
    f = function(variables, results)
    x, w, y = data(37, 210, "float64")
    want = oracle(x, w, y)
    for array in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x[::-1][::-1], np.repeat(x, 2, axis=0)[::2]):
        for got, expected in zip(f(array, np.repeat(w, 3)[::3], y), want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)


def test_same_bits_for_any_number_of_threads():
    variables, results = model("float64")
    alone = function(variables, results[0])  # nothing is summed: threads share rows
    f = function(variables, results)
    for n, m in ((1003, 301), (5003, 64), (257, 5000)):
        values = data(n, m, "float64")
        found = []
        for count in (1, 2, 3, 5):
            with config.change_flags(threads=count):
                found.append([np.asarray(v).tobytes() for v in (*f(*values), alone(*values))])
        assert all(other == found[0] for other in found)


def test_the_kernel_by_its_interpreter():
    """The interpreter of kernels, which knows no blocks and no emitter, agrees."""
    variables, results = model("float64")
    f = function(variables, results)
    x, w, y = data(19, 33, "float64")
    (launcher,) = f.fn.planned.launchers
    kernel, binding = launcher.scheduled(())
    values = dict(zip(variables, (x, w, y), strict=True))
    sizes = {"i0": 19, "i1": 33}
    assert {a.name for a in kernel.axes} == set(sizes)
    arrays = [values.get(b) for b in binding.buffers]
    outputs = {"d": np.empty(19), "sum": np.empty(()), "columns": np.zeros(33), "max": np.empty(())}
    made = iter(outputs.values())
    arrays = [next(made) if a is None else a for a in arrays]
    scalars = [values.get(s, 0) for s in binding.scalars]
    run(kernel, arrays, scalars)
    for got, want in zip(f(x, w, y), outputs.values(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_an_output_may_stand_where_an_input_does():
    """A row's value is read before the same row's result is stored over it, whatever stands between."""
    x, w = T.matrix("x"), T.vector("w")
    start = RNG.standard_normal(100)
    y = fuse.shared(start.copy(), "y")
    z = T.sum(x * w, axis=1)
    f = function([x, w], T.sum(x * T.exp(-z * z)[:, None], axis=0), updates=[(y, T.tanh(z + y) * y)])
    values = data(100, 20, "float64")[:2]
    f(*values)
    z = values[0] @ values[1]
    np.testing.assert_allclose(y.get_value(), np.tanh(z + start) * start, rtol=1e-12)


def test_gradient_of_a_logistic_regression():
    x, y, w, b = T.matrix("x"), T.vector("y"), T.vector("w"), T.scalar("b")
    p = 1 / (1 + T.exp(-T.dot(x, w) - b))
    cost = T.mean(-y * T.log(p) - (1 - y) * T.log(1 - p)) + 0.01 * T.sum(w**2)
    f = function([x, y, w, b], [cost, *grad(cost, [w, b])])
    rows, weights, _ = data(333, 130, "float64")
    labels = RNG.integers(0, 2, 333).astype(float)
    z = rows @ weights + 0.1
    d = (1 / (1 + np.exp(-z)) - labels) / len(labels)
    want = ((np.logaddexp(0, z) - labels * z).mean() + 0.01 * weights @ weights, d @ rows + 0.02 * weights, d.sum())
    for got, expected in zip(f(rows, labels, weights, 0.1), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11)


def test_a_value_of_a_row_is_summed_over_rows_as_it_is():
    """The outer product of two vectors and the gradient of its sum: what is added up is the row's value itself."""
    x, y = T.vector("x"), T.vector("y")
    product = T.outer(x, y)
    f = function([x, y], [product, *grad(product.sum(), [x, y])])
    for n, m in ((5, 7), (700, 900)):
        a, b = RNG.standard_normal(n), RNG.standard_normal(m)
        found = f(a, b)
        np.testing.assert_array_equal(found[0], np.outer(a, b))
        np.testing.assert_allclose(found[1], np.full(n, b.sum()), rtol=1e-12)
        np.testing.assert_allclose(found[2], np.full(m, a.sum()), rtol=1e-12)
