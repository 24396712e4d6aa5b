"""Arrays of CuPy, PyTorch and JAX in and out without a copy, where they are installed."""

from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import device

X = np.linspace(-1, 1, 600).reshape(20, 30)


@pytest.fixture
def f():
    x = T.dmatrix("x")
    return fuse.function([x], [T.tanh(x) * 2, x.sum(0)], device="cuda")


def check(f, given, back):
    """``f`` of another library's array: nothing is copied, and ``back`` takes the results as they are."""
    with device.counted() as seen:
        results = f(given)
    assert "bytes to the device" not in seen() and "bytes to the host" not in seen()
    for result, want in zip(results, [np.tanh(X) * 2, X.sum(0)], strict=True):
        with device.counted() as seen:
            taken = back(result)
        assert not seen()
        np.testing.assert_allclose(taken, want, rtol=1e-12, atol=1e-12)


def test_cupy(f, real):
    cupy = pytest.importorskip("cupy")
    check(f, cupy.asarray(X), lambda a: cupy.asnumpy(cupy.asarray(a)))
    check(f, cupy.asarray(X.T.copy()).T, lambda a: cupy.asnumpy(cupy.from_dlpack(a)))


def test_torch(f, real):
    torch = pytest.importorskip("torch")
    check(f, torch.tensor(X, device="cuda"), lambda a: torch.as_tensor(a, device="cuda").cpu().numpy())
    check(f, torch.tensor(X.T.copy(), device="cuda").T, lambda a: torch.from_dlpack(a).cpu().numpy())


def test_jax(f, real):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    check(f, jax.device_put(X, jax.devices("gpu")[0]), lambda a: np.asarray(jax.numpy.from_dlpack(a)))


def test_products_go_through_cupy_where_it_is_installed(real):
    pytest.importorskip("cupy")
    a, b = T.dmatrices("a", "b")
    g = fuse.function([a, b], [T.dot(a, b), T.nlinalg.matrix_inverse(T.dot(a, b) + T.eye(20))], device="cuda")
    with device.counted() as seen:
        product, inverse = g(X, X.T)
    assert seen()["library calls"] >= 2 and "steps on the host" not in seen()
    np.testing.assert_allclose(product, X @ X.T, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(inverse, np.linalg.inv(X @ X.T + np.eye(20)), rtol=1e-8, atol=1e-9)
