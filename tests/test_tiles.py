"""Products of large matrices in tiles: against NumPy in more digits, for sizes that leave rests, and as bits."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import blas, tiles
from fuse.config import config

RNG = np.random.default_rng(4)
SIZES = [(16, 1500, 40), (33, 257, 65), (64, 512, 16), (129, 300, 31), (200, 17, 300), (260, 90, 130)]

FOUND = all(blas.address(f"fuse_blas_{name}") is not None for name in ("sgemm", "dgemm", "somatcopy", "domatcopy"))
pytestmark = pytest.mark.skipif(not FOUND, reason="NumPy's BLAS is not OpenBLAS, whose functions tiles are made with")


@pytest.fixture(autouse=True)
def products_are_large(monkeypatch):
    monkeypatch.setattr(tiles, "serves", lambda dtype: dtype in blas.LETTERS)  # on every processor
    monkeypatch.setattr(tiles, "LEAST", 1 << 16)
    monkeypatch.setattr(tiles, "EACH", 1 << 12)
    tiles._kernel.cache_clear()
    yield
    tiles._kernel.cache_clear()


def operands(dtype, m, k, n, turned):
    a, b = RNG.standard_normal((m, k)).astype(dtype), RNG.standard_normal((k, n)).astype(dtype)
    given = [np.ascontiguousarray(x.T) if turned & bit else x for x, bit in ((a, 1), (b, 2))]
    return *given, a.astype(np.longdouble) @ b.astype(np.longdouble)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("turned", range(4))
def test_agree_with_numpy(dtype, turned):
    near = {"rtol": 0, "atol": (1e-13 if dtype == "float64" else 5e-5) * 20}
    for m, k, n in SIZES:
        a, b, want = operands(dtype, m, k, n, turned)
        out = np.full((m, n), np.nan, dtype)
        assert tiles.multiply(a, b, out, turned)
        np.testing.assert_allclose(out, want, **near)
        c = RNG.standard_normal((m, n)).astype(dtype)
        out = c.copy()
        assert tiles.multiply(a, b, out, turned, -0.5, 1.0)
        np.testing.assert_allclose(out, c - want / 2, **near)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_stacks_of_matrices(dtype):
    x, y = (T.TensorType(dtype, (None,) * 4)(name) for name in "xy")
    turned = [v.transpose(0, 1, 3, 2) for v in (x, y)]
    functions = [fuse.function([x, y], u @ v) for u in (x, turned[0]) for v in (y, turned[1])]
    near = {"rtol": 0, "atol": 1e-11 if dtype == "float64" else 5e-4}
    for stack, (m, k, n) in zip(
        [(2, 3), (3, 1), (2, 9), (0, 4)], [(40, 33, 20), (130, 300, 41), (16, 16, 16), (9, 9, 9)], strict=True
    ):
        a, b = (RNG.standard_normal((*stack, *size)).astype(dtype) for size in ((m, k), (k, n)))
        left, right = ([v, np.ascontiguousarray(v.swapaxes(2, 3))] for v in (a, b))
        want = a.astype("f8") @ b.astype("f8")
        for number, f in enumerate(functions):
            np.testing.assert_allclose(f(left[number // 2], right[number % 2]), want, **near)
        assert (tiles.multiplied(a, b) is None) == (want.size == 0)
    a, b = RNG.standard_normal((5, 40, 40)).astype(dtype), RNG.standard_normal((1, 40, 40)).astype(dtype)
    assert tiles.multiplied(a, b) is None and tiles.multiplied(a, b[0]) is None
    u, v = (T.TensorType(dtype, (None,) * 3)() for _ in range(2))
    np.testing.assert_allclose(fuse.function([u, v], u @ v)(a, np.repeat(b, 5, 0)), a @ b, **near)
    with pytest.raises(ValueError, match="40"):
        fuse.function([u, v], u @ v)(a, a[:, :30])


def test_the_same_bits_for_any_threads():
    a, b, _ = operands("float64", 300, 520, 200, 3)
    found = []
    for count in (1, 2, 3):
        with config.change_flags(threads=count):
            out = np.empty((300, 200))
            assert tiles.multiply(a, b, out, 3)
            found.append(out.tobytes())
    assert len(set(found)) == 1


def test_what_is_not_for_tiles():
    a, b, out = np.ones((100, 100)), np.ones((100, 100)), np.ones((100, 100))
    assert tiles.multiply(a, b, out, 0)
    assert not tiles.multiply(a[:1], b, out[:1], 0)
    assert not tiles.multiply(a[:, ::2], b[:50], out, 0)
    assert not tiles.multiply(a.T, b, out, 1)
    moved = np.frombuffer(b"\0" + RNG.standard_normal((100, 100)).tobytes(), offset=1).reshape(100, 100)
    for one, other in ((moved, b), (a, moved)):
        assert not tiles.multiply(one, other, out, 2)
    assert (out == 100).all()


def test_infinities_and_nan_come_out_as_from_numpy():
    a, b, _ = operands("float64", 100, 300, 70, 0)
    a[3, 5], a[40, 299], b[7, 9] = np.inf, np.nan, -np.inf
    out = np.empty((100, 70))
    assert tiles.multiply(a, b, out, 0)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(out, a @ b, rtol=1e-9, atol=1e-11)


def test_functions_with_their_gradients_and_steps():
    x, y = T.dmatrix("x"), T.dmatrix("y")
    w, v = (fuse.shared(RNG.standard_normal(shape) / 20) for shape in ((90, 110), (110, 40)))
    h = T.tanh(T.dot(x, w))
    cost = T.sqr(T.dot(h, v) - y).mean()
    g, k = T.grad(cost, [w, v])
    f = fuse.function([x, y], [cost, T.grad(cost, x)], updates=[(w, w - 0.1 * g), (v, v - 0.1 * k)])
    a, b, w0, v0 = RNG.standard_normal((70, 90)), RNG.standard_normal((70, 40)), w.get_value(), v.get_value()
    value, slope = f(a, b)
    z = np.tanh(a @ w0)
    left = 2 * (z @ v0 - b) / b.size
    back = left @ v0.T * (1 - z * z)
    np.testing.assert_allclose(value, np.mean((z @ v0 - b) ** 2), rtol=1e-12)
    np.testing.assert_allclose(slope, back @ w0.T, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(w.get_value(), w0 - 0.1 * a.T @ back, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(v.get_value(), v0 - 0.1 * z.T @ left, rtol=1e-11, atol=1e-13)
    with pytest.raises(ValueError, match="70"):
        f(a, b[:, :30])
