"""Factors, Schur forms and convolutions that PyTensor has, against SciPy's, for matrices and stacks of them."""
from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.signal

import fuse
import fuse.tensor as pt
from fuse.errors import NullTypeGradError

RNG = np.random.default_rng(0)
MATRICES = {"one": RNG.normal(size=(4, 4)), "stack": RNG.normal(size=(2, 3, 3))}
L = pt.linalg


def values(*expressions):
    return [e.eval(mode="FAST_COMPILE") for e in expressions]


def turned(x):
    return x.swapaxes(-1, -2)


@pytest.mark.parametrize("x", MATRICES.values(), ids=list(MATRICES))
def test_triangular_factors(x):
    for options in ({}, {"permute_l": True}, {"p_indices": True}):
        for got, want in zip(values(*L.lu(x, **options)), scipy.linalg.lu(x, **options), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-14)
            assert got.dtype == want.dtype
    packed, pivots = L.lu_factor(x)
    for order, both in zip(values(L.pivot_to_permutation(pivots)), values(L.lu(x, p_indices=True)[0]), strict=True):
        np.testing.assert_array_equal(order, both)
    b, v = RNG.normal(size=(*x.shape[:-1], 2)), RNG.normal(size=x.shape[:-1])
    solved = values(*[L.lu_solve((packed, pivots), b, trans) for trans in (0, 1, 2)])
    for a, got in zip((x, turned(x), turned(x)), solved, strict=True):
        np.testing.assert_allclose(a @ got, b, atol=1e-12)
    [got] = values(L.lu_solve((packed, pivots), v, b_ndim=1))
    np.testing.assert_allclose((x @ got[..., None])[..., 0], v, atol=1e-12)


def test_triangular_factors_of_what_is_singular_empty_or_complex():
    lower, upper = values(*L.lu(np.ones((2, 2)), permute_l=True))
    np.testing.assert_array_equal(lower @ upper, np.ones((2, 2)))
    assert [x.shape for x in values(*L.lu(np.zeros((3, 0, 0))))] == [(3, 0, 0)] * 3
    z = MATRICES["one"] + 1j * MATRICES["one"].T
    p, lower, upper = values(*L.lu(z))
    np.testing.assert_allclose(p @ lower @ upper, z)
    assert p.dtype == "float64"
    np.testing.assert_allclose(z.conj().T @ values(L.lu_solve(L.lu_factor(z), z, trans=2))[0], z)
    with pytest.raises(ValueError, match="Only one"):
        L.lu(z, permute_l=True, p_indices=True)
    with pytest.raises(ValueError, match="trans"):
        L.lu_solve(L.lu_factor(z), z, trans=3)


@pytest.mark.parametrize("output, sort", [("real", None), ("real", "lhp"), ("complex", None), ("complex", "ouc")])
@pytest.mark.parametrize("x", MATRICES.values(), ids=list(MATRICES))
def test_schur_forms(x, output, sort):
    t, z = values(*L.schur(x, output=output, sort=sort))
    np.testing.assert_allclose(z @ t @ turned(z).conj(), x, atol=1e-12)
    y = turned(x) + np.eye(x.shape[-1])
    pair = L.qz(x, y, output, sort, return_eigenvalues=True)
    h, k, alpha, beta, q, w = found = values(*pair)
    assert [f.dtype for f in found] == [p.type.dtype for p in pair]
    for given, form in ((x, h), (y, k)):
        np.testing.assert_allclose(q @ form @ turned(w).conj(), given, atol=1e-12)
    if x.ndim == 2:
        np.testing.assert_allclose(t, scipy.linalg.schur(x, output, sort=sort)[0], atol=1e-12)
        want = scipy.linalg.eigvals(x, y)
        np.testing.assert_allclose(np.sort_complex((alpha / beta).round(9)), np.sort_complex(want.round(9)))
        if sort == "ouc":
            outside = abs(alpha / beta) > 1
            assert (np.diff(outside.astype(int)) <= 0).all()
    assert len(L.ordqz(x, y)) == 6 and len(L.qz(x, y)) == 4


def test_schur_has_no_gradient_and_says_so():
    x = pt.dmatrix("x")
    with pytest.raises(NullTypeGradError, match="schur"):
        fuse.grad(L.schur(x)[0].sum(), x)
    for wrong in (lambda: L.schur(x, output="both"), lambda: L.schur(x, sort="up"), lambda: L.qz(x, x, "both")):
        with pytest.raises(ValueError):
            wrong()


def test_riccati():
    a, b = MATRICES["one"], RNG.normal(size=(4, 2))
    q, r = np.eye(4) + 0.1, np.eye(2)
    np.testing.assert_allclose(
        values(L.solve_discrete_are(a, b, q, r))[0], scipy.linalg.solve_discrete_are(a, b, q, r)
    )


def test_convolutions_of_vectors():
    for n, m in ((5, 3), (3, 4)):
        a, b = RNG.normal(size=n), RNG.normal(size=m)
        for mode in ("full", "same", "valid"):
            np.testing.assert_allclose(
                values(pt.signal.convolve1d(a, b, mode))[0], scipy.signal.convolve(a, b, mode), atol=1e-13
            )
    stack = RNG.normal(size=(2, 5))
    [got] = values(pt.signal.convolve1d(stack, b))
    np.testing.assert_allclose(got, [np.convolve(row, b) for row in stack], atol=1e-13)


def test_convolutions_of_matrices():
    a, b = RNG.normal(size=(4, 5)), RNG.normal(size=(3, 2))
    for mode in ("full", "same", "valid"):
        for boundary, fill in (("fill", 0), ("fill", 2.5), ("wrap", 0), ("symm", 0)):
            [got] = values(pt.signal.convolve2d(a, b, mode, boundary, fill))
            np.testing.assert_allclose(got, scipy.signal.convolve2d(a, b, mode, boundary, fill), atol=1e-12)
    assert values(pt.signal.convolve2d(np.stack([a, a]), b))[0].shape == (2, 6, 6)
    x, w = pt.dmatrices("x", "w")
    got = pt.signal.convolve2d(x, w, "same").eval({x: a, w: b}, mode="FAST_COMPILE")
    np.testing.assert_allclose(got, scipy.signal.convolve2d(a, b, "same"), atol=1e-12)
    got = pt.signal.convolve2d(x, w, boundary="wrap").eval({x: a, w: b}, mode="FAST_COMPILE")
    np.testing.assert_allclose(got, scipy.signal.convolve2d(a, b, boundary="wrap"), atol=1e-12)


def test_interpolation_sorts_its_points_and_has_pytensors_values_at_them():
    x, y = np.array([2.0, 0.0, 1.0]), np.array([40.0, 0.0, 10.0])
    at = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
    want = {
        "linear": [-10, 0, 5, 10, 40, 70], "first": [0, 0, 0, 0, 10, 40], "last": [0, 0, 10, 10, 40, 40],
        "mean": [5, 5, 5, 5, 25, 25], "nearest": [0, 0, 0, 10, 40, 40],
    }
    for method, expected in want.items():
        np.testing.assert_allclose(values(pt.interpolate1d(x, y, method)(at))[0], expected, err_msg=method)
    [got] = values(pt.interpolate1d(x, y, left_pad=-1, right_pad=-2, extrapolate=False)(at))
    np.testing.assert_allclose(got, [-1, -1, 5, 10, 40, -2])
