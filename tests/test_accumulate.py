"""Products that are added to matrices in place: values, sizes, layouts, memory, what is left to kernels, errors."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import blas

SIZES = [(2, 2, 2), (3, 5, 4), (20, 30, 10), (4, 0, 3), (1, 4, 3), (5, 1100, 7)]  # of both sides of both limits
needs_blas = pytest.mark.skipif(blas.address("fuse_blas_dgemm") is None, reason="NumPy's BLAS is not found")


def arrays(dtype: str, m: int, k: int, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(m * 100 + n)
    return [rng.normal(size=shape).astype(dtype) for shape in [(m, n), (m, k), (k, n)]]


def is_step(f: fuse.Function) -> bool:
    return "add_product" in f.explain()


@needs_blas
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_are_numpys(dtype: str) -> None:
    c, a, b = [T.matrix(dtype=dtype) for _ in range(3)]
    s = T.scalar(dtype=dtype)
    one = np.dtype(dtype).type
    formulas = [
        (c + T.dot(a, b), lambda c, a, b: c + a @ b),
        (T.dot(a, b) + c, lambda c, a, b: c + a @ b),
        (one(2) * c - one(0.5) * T.dot(a, b), lambda c, a, b: 2 * c - 0.5 * (a @ b)),
        (b - s * T.dot(a.T, c), lambda c, a, b: b - 3 * (a.T @ c)),
        (a - T.dot(c, b.T), lambda c, a, b: a - c @ b.T),
        (T.dot(c.T, T.dot(c, c.T)) + T.dot(b.T, a.T), lambda c, a, b: c.T @ (c @ c.T) + b.T @ a.T),
        (T.dot(a, b) - T.dot(c, T.dot(c.T, c)), lambda c, a, b: a @ b - c @ (c.T @ c)),
        (T.tanh(T.dot(a, b) + T.dot(a, b * b) + T.dot(c, T.dot(c.T, c))),
         lambda c, a, b: np.tanh(a @ b + a @ (b * b) + c @ (c.T @ c))),
    ]
    functions = [fuse.function([c, a, b, s], formula, on_unused_input="ignore") for formula, _ in formulas]
    assert all(map(is_step, functions))
    for sizes in SIZES:
        plain = arrays(dtype, *sizes)
        wanted = [numpy(*[x.astype("f8") for x in plain]) for _, numpy in formulas]
        turned = [np.asfortranarray(x) for x in plain]
        wide = [np.repeat(x, 2, axis=1)[:, ::2] for x in plain]
        for given in (plain, turned, wide, plain, [turned[0], plain[1], wide[2]]):
            kept = [x.copy() for x in given]
            for f, right in zip(functions, wanted, strict=True):
                result = f(*given, one(3))
                scale = 1 + np.abs(right).max(initial=0)
                assert np.abs(result - right).max(initial=0) <= (1e-12 if dtype == "float64" else 1e-5) * scale
            assert all(np.array_equal(x, y) for x, y in zip(given, kept, strict=True))


@needs_blas
def test_updates_change_the_array_of_their_shared_variable() -> None:
    x, d = T.matrix(), T.matrix()
    value, _, _ = arrays("float64", 30, 1, 20)
    rng = np.random.default_rng(0)
    w = fuse.shared(value)
    f = fuse.function([x, d], [], updates=[(w, w - 0.1 * T.dot(x.T, d))])
    assert is_step(f)
    places, wanted = set(), value
    for n in (5, 7, 60, 2000, 5, 5):
        a, b = rng.normal(size=(n, 30)), rng.normal(size=(n, 20))
        f(a, b)
        wanted = wanted - 0.1 * (a.T @ b)
        places.add(w.container.array.ctypes.data)
        np.testing.assert_allclose(w.get_value(), wanted, rtol=1e-10, atol=1e-12)
    assert len(places) == 1


def test_operands_that_share_memory_with_what_is_changed() -> None:
    value, _, _ = arrays("float64", 20, 1, 20)
    x = T.matrix()
    for formula in (lambda w: w - 0.1 * T.dot(w, w), lambda w: w + T.dot(x, x), lambda w: w + T.dot(w.T, x)):
        w = fuse.shared(value)
        f = fuse.function([x], [], updates=[(w, formula(w))], on_unused_input="ignore")
        v = T.matrix()
        wanted = fuse.function([v, x], formula(v), mode="FAST_COMPILE", on_unused_input="ignore")(value, value)
        f(w.get_value(borrow=True))
        np.testing.assert_allclose(w.get_value(), wanted, rtol=1e-12)
    mine = value.copy()
    w = fuse.shared(mine, borrow=True)
    fuse.function([x], [], updates=[(w, w + T.dot(x, x))])(value)
    assert np.array_equal(mine, value)


@needs_blas
def test_results_stand_in_the_arrays_that_are_given() -> None:
    c, a, b = T.matrix(), T.matrix(), T.matrix()
    f = fuse.function([c, a, b], 2.0 * c + T.dot(a, b))
    values = arrays("float64", 9, 40, 9)
    wanted = 2 * values[0] + values[1] @ values[2]
    for out in (np.empty((9, 9)), np.empty((9, 18))[:, ::2], values[0].copy(), np.empty((9, 9), order="F")):
        assert f(*values, out=out) is out
        np.testing.assert_allclose(out, wanted, rtol=1e-12)
    changed = fuse.function([fuse.In(c, mutable=True), a, b], c + T.dot(a, b))
    kept = values[0].copy()
    assert changed(kept, *values[1:]) is kept
    np.testing.assert_allclose(kept, values[0] + values[1] @ values[2], rtol=1e-12)


def test_sums_that_kernels_read_or_that_broadcast_are_left_to_them() -> None:
    c, a, b, row = T.matrix(), T.matrix(), T.matrix(), T.row()
    product = T.dot(a, b)
    for formula in (T.tanh(c + product), (c + product).sum(), row + product, c + product.T * product, c * product):
        assert not is_step(fuse.function([c, a, b, row], formula, on_unused_input="ignore"))
    assert not is_step(fuse.function([c, a, b], [c + product, product]))
    assert not is_step(fuse.function([c, a, b], c + product, mode="strict"))


def test_sizes_that_do_not_fit_and_sizes_of_one() -> None:
    c, a, b = T.matrix(), T.matrix(), T.matrix()
    f = fuse.function([c, a, b], c + T.dot(a, b))
    assert f(np.ones((1, 3)), np.ones((2, 4)), np.ones((4, 3))).tolist() == [[5.0] * 3] * 2
    for shapes in [((2, 3), (2, 4), (5, 3)), ((3, 3), (2, 4), (4, 3)), ((2, 2), (2, 4), (4, 3))]:
        with pytest.raises(fuse.errors.ShapeError):
            f(*[np.ones(shape) for shape in shapes])


def test_without_a_known_blas_products_stay_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "address", lambda symbol: None)
    c, a, b = T.matrix(), T.matrix(), T.matrix()
    f = fuse.function([c, a, b], c + 7.25 * T.dot(a, b))
    assert not is_step(f)
    values = arrays("float64", 3, 4, 3)
    np.testing.assert_allclose(f(*values), values[0] + 7.25 * (values[1] @ values[2]), rtol=1e-12)
