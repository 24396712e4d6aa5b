"""Large products with vectors: against NumPy in more digits, for sizes that leave rests, as bits, and in functions."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import vectors
from fuse.config import config

RNG = np.random.default_rng(6)
SHAPES = [(1, 300), (300, 1), (3, 9001), (513, 47), (130, 1100)]


@pytest.fixture(autouse=True)
def products_are_large(monkeypatch):
    monkeypatch.setattr(vectors, "LEAST", (100, 100, 100))


def numbers(dtype, *shape):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_agree_with_numpy(dtype):
    near = {"rtol": 1e-12, "atol": 1e-11} if dtype == "float64" else {"rtol": 1e-6, "atol": 3e-3}
    for m, n in SHAPES:
        a, v, w = numbers(dtype, m, n), numbers(dtype, n), numbers(dtype, m)
        wide = [x.astype(np.longdouble) for x in (a, v, w)]
        for form, given, want in [
            (vectors.ROWS, (a, v), wide[0] @ wide[1]), (vectors.COLUMNS, (a, w), wide[2] @ wide[0]),
            (vectors.DOT, (a.ravel(), a.ravel() + 1), (wide[0] * (a + 1)).sum()),
        ]:
            found = []
            for count in (1, 2, 3):
                with config.change_flags(threads=count):
                    out = np.full(want.shape, np.nan, dtype)
                    assert vectors.multiply(*given, out, form)
                    found.append(out.tobytes())
            np.testing.assert_allclose(out, want, **near)
            assert found[0] == found[1] == found[2]


def test_long_sums_keep_their_digits():
    a = np.full((2, 1 << 21), 0.1, "float32")
    out, whole = np.empty(2, "float32"), np.empty((), "float32")
    assert vectors.multiply(a, a[0], out, vectors.ROWS) and vectors.multiply(a[0], a[1], whole, vectors.DOT)
    want = np.float64(np.float32(0.1)) ** 2 * (1 << 21)
    np.testing.assert_allclose([*out, whole], want, rtol=2e-6)


def test_functions_of_all_forms():
    m, v, w = T.dmatrix("m"), T.dvector("v"), T.dvector("w")
    formulas = [T.dot(m, v), T.dot(w, m), T.dot(m.T, w), T.dot(v, m.T), T.dot(v, v + 1)]
    functions = [fuse.function([m, v, w], y, on_unused_input="ignore") for y in formulas]
    for shape in [(40, 70), (70, 40), (2, 1), (0, 9), (300, 110)]:
        a, b, c = numbers("float64", *shape), numbers("float64", shape[1]), numbers("float64", shape[0])
        for x in (a, np.asfortranarray(a), a[::-1]):
            for f, want in zip(functions, [x @ b, c @ x, x.T @ c, b @ x.T, b @ (b + 1)], strict=True):
                np.testing.assert_allclose(f(x, b, c), want, rtol=1e-11, atol=1e-11)
    with pytest.raises(ValueError, match="110"):
        functions[0](a, c, c)
    a[7, 3], b[100] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(functions[0](a, b, c), a @ b, rtol=1e-11)
        np.testing.assert_allclose(functions[1](a, b, c), c @ a, rtol=1e-11)


def test_matrices_of_one_row_or_column():
    x, y = T.dmatrix("x"), T.dmatrix("y")
    functions = [fuse.function([x, y], T.dot(u, v)) for u in (x, x.T) for v in (y, y.T)]
    for m, k, n in [(300, 90, 1), (1, 90, 300), (1, 5000, 1), (40, 1, 1), (1, 1, 60)]:
        a, b = numbers("float64", m, k), numbers("float64", k, n)
        for number, f in enumerate(functions):
            left = np.ascontiguousarray(a.T) if number > 1 else a
            right = np.ascontiguousarray(b.T) if number % 2 else b
            for _ in range(6):
                np.testing.assert_allclose(f(left, right), a @ b, rtol=1e-11, atol=1e-11)
            if m > 1:
                out = np.full((2 * m, n), 7.0)[::2]
                np.testing.assert_allclose(f(left, right, out=out), a @ b, rtol=1e-11, atol=1e-11)
            with pytest.raises(ValueError, match=str(k)):
                f(left, np.ones((k + 3, n))) if not number % 2 else f(left, np.ones((n, k + 3)))


def test_a_gradient_of_sums_of_products():
    m, v = T.dmatrix("m"), T.dvector("v")
    r = T.dot(m, v) - 1
    cost = T.dot(r, r)
    f = fuse.function([m, v], [cost, *T.grad(cost, [m, v])])
    a, b = numbers("float64", 60, 50), numbers("float64", 50)
    left = a @ b - 1
    for found, want in zip(f(a, b), [left @ left, 2 * np.outer(left, b), 2 * left @ a], strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-11)
