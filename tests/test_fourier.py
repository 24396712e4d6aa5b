"""numpy.fft on expressions: NumPy's values, shapes and dtypes, derivatives in both directions, maps, unknown sizes."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T

X = np.random.default_rng(3).normal(size=(3, 4, 5))
Z = X + 1j * X[::-1]
F = np.fft
CASES = {
    "fft": (lambda z: (F.fft(z), F.fft(z, 3), F.fft(z, 7, 1, "ortho"), F.fft(z.real, axis=0, norm="forward")), Z),
    "ifft": (lambda z: (F.ifft(z), F.ifft(z, n=6, axis=-2), F.ifft(z, norm="forward"), F.ifft(z, norm="ortho")), Z),
    "fftn": (lambda z: (F.fftn(z), F.fftn(z, (2, 6), (1, 2)), F.fftn(z, axes=(0, -1), norm="ortho")), Z),
    "ifftn": (lambda z: (F.ifftn(z), F.ifftn(z, axes=(0, 1)), F.ifft2(z), F.fft2(z, (3, 6))), Z),
    "rfft": (lambda x: (F.rfft(x), F.rfft(x, 6), F.rfft(x, 3, 0, "ortho"), F.rfft(x, axis=1, norm="forward")), X),
    "irfft": (lambda z: (F.irfft(z), F.irfft(z, 5), F.irfft(z, 12, 1, "ortho"), F.irfft(z, axis=0, norm="forward")), Z),
    "rfftn": (lambda x: (F.rfftn(x), F.rfftn(x, axes=(2, 0)), F.rfft2(x, (6, 3)), F.rfftn(x, norm="forward")), X),
    "irfftn": (lambda z: (F.irfftn(z), F.irfftn(z, (3, 4, 7), (0, 1, 2)), F.irfft2(z, axes=(1, 0), norm="ortho")), Z),
    "hfft": (lambda z: (F.hfft(z), F.hfft(z, 7, 1), F.ihfft(z.real), F.ihfft(z.real, 3, norm="forward")), Z),
    "shifts": (lambda x: (F.fftshift(x), F.ifftshift(x), F.fftshift(x, 1), F.ifftshift(x, axes=(0, -1))), X),
    "float32": (lambda x: (F.fft(x), F.rfft(x), F.irfft(x), F.ifftn(x)), X.astype("f4")),
    "integers": (lambda x: (F.fft(x), F.rfft(x)), np.arange(6)),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    f, x = CASES[name]
    tolerance = 1e-5 if x.dtype == "f4" else 1e-12
    for got, want in zip(fuse.jit(f)(x), f(x), strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("float32", "integers")])
def test_derivatives(name):
    """Re(cotangent * tangent) is the same on both sides; the tangent of a linear function is itself."""
    f, x = CASES[name]
    direction = np.asarray(x[::-1] * 0.7)
    value, slope = fuse.jvp(f, (x,), (direction,))
    weights = tuple([w * (1 - 0.5j) if np.iscomplexobj(w) else np.cos(w) for w in value])
    pulled = fuse.vjp(f, x)[1](weights)[0]
    for got, want in zip(slope, f(direction), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)
    pushed = sum(np.sum(np.real(w * s)) for w, s in zip(weights, f(direction), strict=True))
    assert pulled.dtype == x.dtype
    np.testing.assert_allclose(np.sum(np.real(pulled * direction)), pushed, rtol=1e-10)


def test_maps_and_what_is_refused():
    np.testing.assert_allclose(fuse.vmap(lambda x: F.irfft(F.rfft(x) * 2, 5))(X[0]), 2 * X[0], atol=1e-12)
    np.testing.assert_allclose(fuse.vmap(lambda z: F.fft2(z), in_axes=1)(Z), F.fft2(Z.swapaxes(0, 1)), atol=1e-12)
    power = fuse.jacrev(lambda x: np.abs(F.rfft(x)) ** 2)(X[0, 0])
    spectrum, waves = F.rfft(X[0, 0]), np.exp(-2j * np.pi * np.outer(np.arange(3), np.arange(5)) / 5)
    np.testing.assert_allclose(power, 2 * np.real(np.conj(spectrum)[:, None] * waves), atol=1e-12)
    with pytest.raises(fuse.FuseError, match="real numbers"):
        F.rfft(T.zvector())
    with pytest.raises(fuse.FuseError, match="norm is"):
        F.fft(T.dvector(), norm="orto")
    with pytest.raises(fuse.FuseError, match="one size for each"):
        F.fftn(T.dmatrix(), s=(3,), axes=(0, 1))


def test_squeeze_of_unknown_sizes():
    """A trace with ranks alone must not drop nothing: it is traced with sizes."""
    for x in (np.ones((1, 3, 1)), np.ones((2, 1, 3)), np.ones((2, 3, 2))):
        assert fuse.jit(np.squeeze)(x).shape == x.squeeze().shape
        assert fuse.grad(lambda v: v.squeeze().sum())(x).shape == x.shape
