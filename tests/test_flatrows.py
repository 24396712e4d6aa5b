"""Narrow arrays done by rows, many rows as one loop: against NumPy, for numbers of columns and of rows left over."""

from __future__ import annotations

import numpy as np
import pytest
from forcing import much_work

import fuse
import fuse.tensor as T
from fuse.codegen.flatrows import FEW_COLUMNS
from fuse.codegen.runner import BY_ROWS, NARROW
from fuse.config import config

RNG = np.random.default_rng(12)
COLUMNS = (1, 2, 3, 7, 10, 16, 31, 64, 65)
ROWS = (1, 2, 63, 64, 65, 300, 1001)


@pytest.fixture(autouse=True)
def every_array_is_tall(monkeypatch):
    with much_work(monkeypatch, 2, FEW_ROWS=0):
        yield


def formulas(dtype):
    """Statistics that need one another, products with columns and with rows, choices, extremes and counts."""
    x = T.TensorType(dtype, (None, None))("x")
    w, v = T.TensorType(dtype, (None,))("w"), T.TensorType(dtype, (None,))("v")
    e = T.exp(x - x.max(0))
    outputs = [
        T.log(T.exp(x).sum(0)), x.var(0), (x - x.mean(0)) / T.sqrt(x.var(0) + 1), e / e.sum(0), (x * w).sum(0),
        (x * v[:, None]).sum(0), (1 + x / 9).prod(0), x.min(0), T.gt(x, w).sum(0), T.any(x > 2, 0), T.all(x > -2, 0),
        T.switch(x > 0, x, w).sum(0) + T.tanh(x).max(0), x.argmax(0),
    ]

    def expected(x, w, v):
        e = np.exp(x - x.max(0))
        return [
            np.log(np.exp(x).sum(0)), x.var(0), (x - x.mean(0)) / np.sqrt(x.var(0) + 1), e / e.sum(0), (x * w).sum(0),
            (x * v[:, None]).sum(0), (1 + x / 9).prod(0), x.min(0), (x > w).sum(0), (x > 2).any(0), (x > -2).all(0),
            np.where(x > 0, x, w).sum(0) + np.tanh(x).max(0), x.argmax(0),
        ]

    return [x, w, v], outputs, expected


def values(dtype, n, m):
    return [RNG.standard_normal(shape).astype(dtype) for shape in ((n, m), (m,), (n,))]


@pytest.mark.parametrize(("dtype", "together"), [("float64", True), ("float64", False), ("float32", True)])
def test_agree_with_numpy(dtype, together):
    inputs, outputs, expected = formulas(dtype)
    groups = [range(len(outputs))] if together else [[k] for k in range(len(outputs))]
    functions = [fuse.function(inputs, [outputs[k] for k in group], on_unused_input="ignore") for group in groups]
    rtol = 1e-11 if dtype == "float64" else 3e-5
    for m in COLUMNS:
        for n in ROWS if together else ROWS[-3:]:
            given = values(dtype, n, m)
            want = expected(*[a.astype("f8") for a in given])
            got = [y for f in functions for y in f(*given)]
            for k, (have, value) in enumerate(zip(got, want, strict=True)):
                np.testing.assert_allclose(have, value, rtol, rtol * n, err_msg=f"formula {k}, {n} rows of {m}")


def test_narrow_arrays_have_a_kernel_of_their_own_and_wide_ones_another():
    x = T.dmatrix("x")
    f = fuse.function([x], T.log(T.exp(x).sum(0)))
    (launcher,) = f.fn.launchers
    for m in (FEW_COLUMNS, FEW_COLUMNS + 1, 3):
        a = RNG.standard_normal((200, m))
        np.testing.assert_allclose(f(a), np.log(np.exp(a).sum(0)), 1e-12)
    assert {form[2:] for form in launcher.variants if BY_ROWS in form} == {(BY_ROWS, NARROW), (BY_ROWS,)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elements_with_values_of_columns_and_of_rows(dtype):
    x = T.TensorType(dtype, (None, None))("x")
    w, v, k = T.TensorType(dtype, (None,))("w"), T.TensorType(dtype, (None,))("v"), T.lvector("k")
    outputs = [
        T.tanh(x + w), x * w + 1, T.tanh(x * v[:, None]), T.exp(v)[:, None] * T.sin(x - w) + w[0],
        T.exp(-((x - w) ** 2)).sum(), T.exp(x * v[:, None]).max(), T.sin(x * v[k][:, None]), T.cos(v[:, None] - w),
        T.switch(v[:, None] > 0, T.exp(x), w), T.cast(T.exp(x + w) > 1, "int8"), (T.exp(x + w) / v[:, None]).mean(),
    ]
    together = fuse.function([x, w, v, k], outputs)
    apart = outputs if dtype == "float64" else []  # kernels of few results, once
    alone = [fuse.function([x, w, v, k], y, on_unused_input="ignore") for y in apart]
    rtol = 1e-12 if dtype == "float64" else 2e-5
    for m in COLUMNS:
        for n in ROWS:
            a, b, c = values(dtype, n, m)
            i = RNG.integers(-n, n, n)
            want = [
                np.tanh(a + b), a * b + 1, np.tanh(a * c[:, None]), np.exp(c)[:, None] * np.sin(a - b) + b[0],
                np.exp(-((a - b) ** 2)).sum(), np.exp(a * c[:, None]).max(), np.sin(a * c[i][:, None]),
                np.cos(c[:, None] - b), np.where(c[:, None] > 0, np.exp(a), b), np.exp(a + b) > 1,
                (np.exp(a + b) / c[:, None]).mean(),
            ]
            for found in (together(a, b, c, i), *([[f(a, b, c, i) for f in alone]] if alone else [])):
                for number, (have, value) in enumerate(zip(found, want, strict=True)):
                    np.testing.assert_allclose(have, value, 50 * rtol, 50 * rtol, err_msg=f"{number}, {n} rows of {m}")
    with pytest.raises(IndexError):
        together(a, b, c, np.full(n, n))
    assert any(NARROW in form for f in (together, *alone) for x in f.fn.launchers for form in x.variants)


def test_the_same_bits_for_any_threads_and_of_every_call():
    inputs, outputs, _ = formulas("float64")
    f = fuse.function(inputs, outputs)
    given = values("float64", 3000, 10)
    found = []
    for count in (1, 2, 3, 1):
        with config.change_flags(threads=count):
            found.append(f(*given))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_infinities_and_nan_stay_in_their_columns():
    x = T.dmatrix("x")
    f = fuse.function([x], [x.max(0), x.sum(0), T.exp(x - x.max(0)).sum(0), x.var(0)])
    a = RNG.standard_normal((500, 6))
    a[3, 1], a[499, 2], a[64, 3], a[:, 4] = np.nan, np.inf, -np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        want = [a.max(0), a.sum(0), np.exp(a - a.max(0)).sum(0), a.var(0)]
    for have, value in zip(f(a), want, strict=True):
        np.testing.assert_allclose(have, value, 1e-12)


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_more_dimensions_and_other_orders(axis):
    x = T.dtensor3("x")
    e = T.exp(x - x.max(axis, keepdims=True))
    f = fuse.function([x], [e / e.sum(axis, keepdims=True), x.std(axis)])
    for order in "CF":
        a = np.asarray(RNG.standard_normal((37, 41, 5)), order=order)
        p = np.exp(a - a.max(axis, keepdims=True))
        for have, want in zip(f(a), [p / p.sum(axis, keepdims=True), a.std(axis)], strict=True):
            np.testing.assert_allclose(have, want, 1e-11)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "complex128", "bool"])
def test_other_dtypes(dtype):
    x = T.TensorType(dtype, (None, None))("x")
    f = fuse.function([x], [x.sum(0), (x * x).sum(0) if dtype != "bool" else x.any(0)])
    a = RNG.integers(0, 2 if dtype == "bool" else 9, (777, 5)).astype(dtype)
    for have, want in zip(f(a), [a.sum(0), (a.astype("O") * a).sum(0) if dtype != "bool" else a.any(0)], strict=True):
        np.testing.assert_array_equal(have, want.astype(have.dtype))


def test_memory_that_each_thread_has_for_itself():
    x = T.dtensor3("x")
    e = T.exp(x)
    axes = [0, 1, 2, (0, 1), (0, 2), (1, 2)]
    sums = [e * T.tanh(e / e.sum(axis, keepdims=True)).sum(axis, keepdims=True) for axis in axes]
    functions = [fuse.function([x], [e / e.sum(axis, keepdims=True), y]) for axis, y in zip(axes, sums, strict=True)]
    for shape in [(3, 4, 5), (1, 40, 20), (4, 150, 10), (150, 4, 10), (9, 70, 1), (2, 0, 3), (7, 5, 70)]:
        a = RNG.standard_normal(shape)
        p = np.exp(a)
        for axis, f in zip(axes, functions, strict=True):
            q = p / p.sum(axis, keepdims=True)
            for have, want in zip(f(a), [q, p * np.tanh(q).sum(axis, keepdims=True)], strict=True):
                np.testing.assert_allclose(have, want, 1e-11)


@pytest.mark.parametrize("m", [7, 33, 63])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_of_long_bodies_whose_columns_are_known_beforehand(dtype, m):
    x, w, v = [T.TensorType(dtype, s)() for s in ((None, m), (m,), (None,))]
    outputs = [
        T.tanh(x + w), T.tanh(x * w).sum(), T.exp(v)[:, None] * T.sin(x - w) + w[0], T.tanh(x) * v[:, None],
        T.tanh(x + v[:, None]).sum(),
    ]
    f = fuse.function([x, w, v], outputs)
    rtol = 1e-11 if dtype == "float64" else 3e-5
    for n in (1, 51, 64, 300, 2001):
        given = values(dtype, n, m)
        a, b, c = [y.astype("f8") for y in given]
        d = c[:, None]
        want = [
            np.tanh(a + b), np.tanh(a * b).sum(), np.exp(d) * np.sin(a - b) + b[0], np.tanh(a) * d, np.tanh(a + d).sum()
        ]
        for have, value in zip(f(*given), want, strict=True):
            np.testing.assert_allclose(have, value, rtol, rtol * n)


def test_an_exported_file_has_the_same_values():
    x, w = T.dmatrix("x"), T.dvector("w")
    e = T.exp(x - x.max(0))
    f = fuse.function([x, w], [T.tanh(x + w), e / e.sum(0), x.var(0)])
    a, b, _ = values("float64", 3000, 10)
    p = np.exp(a - a.max(0))
    scope = {}
    exec(f.export_source(), scope)
    for found in (f(a, b), scope["function"](a, b)):
        for have, value in zip(found, [np.tanh(a + b), p / p.sum(0), a.var(0)], strict=True):
            np.testing.assert_allclose(have, value, 1e-11)
    assert any(NARROW in form for x in f.fn.launchers for form in x.variants)
