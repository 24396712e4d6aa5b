"""Rows of every length: reductions and normalisations along the last axis against NumPy, and copies of tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.load import ArgType, compile_kernel

Formula = Callable[..., Any]
ROWS = 43  # enough for lanes over rows, and no multiple of what is turned at once


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _layer_norm(m: Any, x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / m.sqrt((centred * centred).mean(-1, keepdims=True) + 0.1)


FORMULAS: dict[str, tuple[Formula, Formula]] = {
    "sum x*y": (lambda x, y: (x * y).sum(-1), lambda x, y: (x * y).sum(-1)),
    "sum x²": (lambda x, y: (x**2).sum(-1), lambda x, y: (x**2).sum(-1)),
    "sum exp": (lambda x, y: T.exp(x).sum(-1), lambda x, y: np.exp(x).sum(-1)),
    "mean, max": (lambda x, y: x.mean(-1) + (x + y).max(-1), lambda x, y: x.mean(-1) + (x + y).max(-1)),
    "softmax": (lambda x, y: T.nnet.softmax(x), lambda x, y: _softmax(x)),
    "weighted softmax": (lambda x, y: (T.nnet.softmax(x) * y).sum(-1), lambda x, y: (_softmax(x) * y).sum(-1)),
    "layer-norm": (lambda x, y: _layer_norm(T, x) * y, lambda x, y: _layer_norm(np, x) * y),
    "choice": (
        lambda x, y: T.where(x > y, x - y.max(-1, keepdims=True), y).sum(-1),
        lambda x, y: np.where(x > y, x - y.max(-1, keepdims=True), y).sum(-1),
    ),
    "any, all": (
        lambda x, y: T.any(x > y + 2, axis=-1) + 2 * T.all(x > y - 4, axis=-1),
        lambda x, y: np.any(x > y + 2, axis=-1) + 2 * np.all(x > y - 4, axis=-1),
    ),
}


@pytest.mark.parametrize(("name", "dtype"), [
    (name, dtype) for k, name in enumerate(FORMULAS) for dtype in ("float64", "float32")[: 1 + k % 2]
])
def test_rows_of_every_length(name: str, dtype: str) -> None:
    build, expected = FORMULAS[name]
    x, y = T.matrix("x", dtype=dtype), T.matrix("y", dtype=dtype)
    f = fuse.function([x, y], build(x, y), on_unused_input="ignore")
    rng = np.random.default_rng(1)
    tolerance = 2e-13 if dtype == "float64" else 1e-5
    for n in (*range(1, 301), 511, 512, 513, 1100):
        data = [rng.standard_normal((ROWS, n)).astype(dtype) for _ in range(2)]
        wanted = expected(*[d.astype("float64") for d in data])
        np.testing.assert_allclose(f(*data), wanted, rtol=tolerance, atol=tolerance * np.sqrt(n), err_msg=str(n))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradient_of_rows_of_every_length(dtype: str) -> None:
    x, y = T.matrix("x", dtype=dtype), T.matrix("y", dtype=dtype)
    value = (_layer_norm(T, x) * y).sum()
    f = fuse.function([x, y], [value, fuse.grad(value, x)])
    rng = np.random.default_rng(2)
    tolerance = 1e-12 if dtype == "float64" else 2e-4
    for n in (*range(2, 70), 127, 128, 300):
        a, w = [rng.standard_normal((ROWS, n)).astype(dtype).astype("float64") for _ in range(2)]
        centred = a - a.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 0.1)
        z = centred * scale
        slope = (w - w.mean(-1, keepdims=True) - z * (w * z).mean(-1, keepdims=True)) * scale
        found, gradient = f(a.astype(dtype), w.astype(dtype))
        np.testing.assert_allclose(found, (z * w).sum(), rtol=tolerance, atol=100 * tolerance)
        np.testing.assert_allclose(gradient, slope, rtol=tolerance, atol=tolerance, err_msg=str(n))


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "bool", "complex64", "complex128", "float16"])
def test_short_rows_of_other_dtypes(dtype: str) -> None:
    x = T.matrix("x", dtype=dtype)
    f = fuse.function([x], [x.sum(-1), x.any(-1)])
    rng = np.random.default_rng(3)
    for n in range(1, 34):
        data = rng.integers(0, 3, (ROWS, n)).astype(dtype)
        total, some = f(data)
        np.testing.assert_allclose(total, data.sum(-1, dtype="float64" if dtype == "float16" else None), rtol=2e-3)
        np.testing.assert_array_equal(some, data.any(-1))


def test_rows_in_arrays_of_three_dimensions_and_of_other_layouts() -> None:
    x, w = T.tensor3("x"), T.vector("w")
    e = T.exp(x * w)
    f = fuse.function([x, w], e / e.sum(-1, keepdims=True))
    rng = np.random.default_rng(4)
    for n in (1, 2, 3, 7, 8, 10, 16, 17, 31, 40):
        data, weights = rng.standard_normal((5, 13, n)), rng.standard_normal(n)
        places = [data, np.asfortranarray(data), rng.standard_normal((13, n, 5)).transpose(2, 0, 1)]
        places += [rng.standard_normal((10, 13, 2 * n))[::2, :, ::2], rng.standard_normal((5, 26, n))[:, ::2]]
        for each in places:
            wanted = np.exp(each * weights)
            np.testing.assert_allclose(f(each, weights), wanted / wanted.sum(-1, keepdims=True), rtol=1e-13)


def test_what_a_later_nest_needs_of_a_row_is_kept_for_all_rows():
    """Weights divided by their mean: the softmax is needed within its row, and again once all weights were read."""
    x, y, w = T.dmatrix("x"), T.dmatrix("y"), T.dvector("w")
    s = T.nnet.softmax(x)
    loss = (T.nnet.categorical_crossentropy(s / s.sum(axis=1, keepdims=True), y) * w / w.mean()).mean()
    f = fuse.function([x, y, w], T.grad(loss, x))
    rng = np.random.default_rng(8)
    for rows, columns in ((8, 3), (5, 700), (300, 3)):
        data, weights = rng.normal(size=(rows, columns)), rng.random(rows)
        labels = np.eye(columns)[rng.integers(columns, size=rows)]
        wanted = (_softmax(data) - labels) * (weights / weights.sum())[:, None]
        np.testing.assert_allclose(f(data, labels, weights), wanted, atol=1e-14)


TURN = """
def kernel(a, b):
    turn(a, 0, stride(a, 0), b, 0, stride(b, 0), size(a, 0), size(a, 1))
    return 0
"""


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "int64", "complex64"])
def test_a_matrix_is_turned(dtype: str) -> None:
    turn = compile_kernel(TURN, "kernel", (ArgType(dtype, 2, False), ArgType(dtype, 2, True)))
    for rows in range(20):
        for columns in range(20):
            a = np.arange(rows * (columns + 3), dtype="int64").reshape(rows, columns + 3).astype(dtype)[:, :columns]
            b = np.full((columns, rows + 2), 77, dtype)
            assert turn(a, b) == 0
            np.testing.assert_array_equal(b[:, :rows], a.T)
            np.testing.assert_array_equal(b[:, rows:], 77)
