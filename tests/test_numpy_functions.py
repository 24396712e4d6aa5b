"""NumPy's rarer functions build expressions that have the values, shapes and dtypes that NumPy gives."""
from __future__ import annotations

import warnings

import numpy as np
import pytest

import fuse

X = np.arange(12.0).reshape(3, 4) - 5
N = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, np.nan], [np.nan] * 3])
S = np.eye(3) * 2 + X @ X.T / 10
KNOTS, HEIGHTS = np.array([-3.0, 0.0, 2.0]), np.array([1.0, 5.0, 2.0])

CASES = {
    "append": lambda x: (np.append(x, x), np.append(x, x, axis=1)),
    "array_split": lambda x: np.array_split(x[:3, :4].reshape(3, 4), [1, 3], axis=1),
    "hsplit": lambda x: np.hsplit(x, [2]),
    "vsplit": lambda x: np.vsplit(x, [1]),
    "column_stack": lambda x: np.column_stack([x, x[:, 0]]),
    "dstack": lambda x: np.dstack([x, x]),
    "rollaxis": lambda x: (np.rollaxis(x[None], 2), np.rollaxis(x[None], 0, 3)),
    "diagflat": lambda x: (np.diagflat(x[0], 1), np.diagflat(x[0], -2), np.diagflat(x)),
    "ediff1d": lambda x: (np.ediff1d(x), np.ediff1d(x, to_begin=0.0, to_end=9.0)),
    "sinc": lambda x: (np.sinc(x / 3), np.sinc(x * 1j)),
    "select": lambda x: np.select([x > 1, x < -1], [x, -x], 0.0),
    "polyval": lambda x: np.polyval(x[0], x[1]),
    "polynomials": lambda x: (
        np.polyadd(x[0], x[1, :2]), np.polyadd(2.0, x[0]), np.polysub(x[0, 1:], x[1]), np.polysub(x[0], x[1]),
        np.polyder(x[0]), np.polyder(x[0], 2), np.polyder(x[0, :1]), np.polyint(x[0]), np.polyint(x[0], 2),
        np.polyint(x[0], 2, [3.0, 4.0]), np.polyint(x[0], k=2.0),
    ),
    "vander": lambda x: (np.vander(x[0], 3), np.vander(x[0], increasing=True)),
    "isin": lambda x: (np.isin(x, [1.0, 2.0]), np.isin(x, [1.0], invert=True)),
    "fix": lambda x: np.fix(x / 2),
    "count_nonzero": lambda x: (np.count_nonzero(x, axis=0), np.count_nonzero(x, axis=1, keepdims=True)),
    "gradient": lambda x: (np.gradient(x), np.gradient(x, 0.5, axis=1), np.gradient(x, 0.5, x[0] ** 3, edge_order=2),
                           np.gradient(x, np.array([0.0, 1, 3, 4]), axis=1), np.gradient(x, 2.0, edge_order=2)),
    "cross": lambda x: (np.cross(x[:, :3], x[:, 1:]), np.linalg.cross(x[:, :3], x[:, 1:])),
    "interp": lambda x: (np.interp(x, KNOTS, HEIGHTS), np.interp(x, KNOTS, HEIGHTS, left=-1.0, right=-2.0),
                         np.interp(x[0], [1.5], [2.0]), np.interp(x, [3.5, -0.25, 1.0], [1.0, 5.0, 2.0], period=2.5)),
    "multi_dot": lambda x: np.linalg.multi_dot([x, x.T, x]),
    "triangles": lambda x: (x[np.tril_indices_from(x)], x[np.triu_indices_from(x, 1)]),
    "array_equal": lambda x: (np.array_equal(x, x), np.array_equal(x, x + 1)),
    "copysign": lambda x: np.copysign(x, -x),
    "heaviside": lambda x: (np.heaviside(x, 0.5), np.heaviside(x, np.inf), np.heaviside(np.sign(x), np.nan * x)),
    "digitize": lambda x: [np.digitize(x, bins, right) for right in (False, True)
                           for bins in (KNOTS, KNOTS[::-1], np.sort(x[0]), np.sort(x[0])[::-1], x[0, :0], x[0, :1])],
    "fmod": lambda x: np.fmod(x, 3.0),
    "float_power": lambda x: np.float_power(np.abs(x), 2),
    "fmax": lambda x: np.fmax(x, np.where(x > 0, np.nan, 0.0)),
    "fmin": lambda x: np.fmin(np.where(x > 0, np.nan, 0.0), x),
    "inverse": lambda x: np.linalg.inv(S + x[:, :3] / 100),
    "solve": lambda x: np.linalg.solve(S, x),
    "determinants": lambda x: (np.linalg.det(x @ x.T + S), tuple(np.linalg.slogdet(x @ x.T + S))),
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T + S),
    "matrix_power": lambda x: np.linalg.matrix_power(x @ x.T, 3),
    "norms": lambda x: (np.linalg.norm(x), np.linalg.norm(x, axis=0)),
    "stacks of matrices": lambda x: (np.linalg.diagonal(x.reshape(2, 2, 3)),
                                     np.linalg.trace(x.reshape(2, 2, 3), offset=1)),
    "allclose": lambda x: np.allclose(x, x + 1e-12),
    "logaddexp": lambda x: np.logaddexp(x, 0.0),
    "average": lambda x: np.average(x),
    "unpacked split": lambda x: np.split(x, [1, 2]),
}
NAN = {
    "nansum": lambda n: (np.nansum(n), np.nansum(n, axis=1)),
    "nanprod": lambda n: np.nanprod(n, axis=0),
    "nanmax": lambda n: (np.nanmax(n[:2], axis=1), np.nanmax(n)),
    "nanmin": lambda n: np.nanmin(n[:2], axis=0),
    "nanmean": lambda n: (np.nanmean(n), np.nanmean(n[:2], axis=1, keepdims=True)),
    "nanvar": lambda n: np.nanvar(n, ddof=1),
    "nanstd": lambda n: np.nanstd(n[:2], axis=1),
    "nancumsum": lambda n: np.nancumsum(n, axis=0),
    "nancumprod": lambda n: (np.nancumprod(n, axis=1), np.nancumprod(n)),
}
# of NumPy 2 only
NEW = {
    "trapezoid": lambda x: (np.trapezoid(x), np.trapezoid(x, np.array([0.0, 1, 3, 4])), np.trapezoid(x, axis=0, dx=2)),
    "unstack": lambda x: np.unstack(x[:3].reshape(3, 4), axis=0),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1, include_initial=True),
    "cumulative_prod": lambda x: np.cumulative_prod(x[0]),
    "vecdot": lambda x: (np.vecdot(x, x), np.linalg.vecdot(x, x, axis=0)),
    "matvec": lambda x: np.matvec(x, x[0]),
    "vecmat": lambda x: np.vecmat(x[:, 0], x),
    "vector_norm": lambda x: (np.linalg.vector_norm(x, axis=1), np.linalg.vector_norm(x)),
    "matrix_transpose": lambda x: np.matrix_transpose(x),
}


def names():
    yield from [(n, f, X) for n, f in CASES.items()] + [(n, f, N) for n, f in NAN.items()]
    yield from [(n, f, X) for n, f in NEW.items() if hasattr(np, n) or hasattr(np.linalg, n)]


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name, f, x", list(names()), ids=lambda v: v if isinstance(v, str) else "")
def test_functions_of_numpy(name, f, x, dtype):
    x = x.astype(dtype)
    got, want = fuse.tree.leaves(fuse.jit(f)(x)), fuse.tree.leaves(f(x))
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == np.shape(b) and (a.dtype == np.asarray(b).dtype or dtype == "f4")
        np.testing.assert_allclose(a, b, rtol=1e-10 if dtype == "f8" else 2e-3, atol=1e-12 if dtype == "f8" else 1e-4)


def test_gradients_at_the_edges_of_rarer_functions():
    assert fuse.grad(lambda x: np.sinc(x))(0.0) == 0
    np.testing.assert_array_equal(fuse.grad(lambda x: np.nansum(x * x))(N[0]), [2.0, 0.0, 6.0])
    slope = fuse.vmap(fuse.grad(lambda x: np.interp(x, KNOTS, HEIGHTS)))(np.array([-9.0, -1.0, 1.0, 9.0]))
    np.testing.assert_allclose(slope, [0, 4 / 3, -1.5, 0])


def test_what_polynomials_and_transforms_refuse():
    x = fuse.tensor.tensor("float64", shape=(3,))
    for wrong, words in (
        (lambda: np.polyder(x, -1), "not negative"), (lambda: np.polyint(x, -1), "not negative"),
        (lambda: np.polyint(x, 3, [1.0, 2.0]), "each of 3 integrals"), (lambda: np.polyint(x[0]), "a vector"),
        (lambda: np.polyder(x[None]), "a vector"), (lambda: np.fft.irfft(x, -1), "Invalid number"),
        (lambda: np.fft.irfft(x, 0), "Invalid number"),
    ):
        with pytest.raises(fuse.FuseError, match=words):
            wrong()


def test_sizes_follow_from_sizes_that_are_known():
    v, w = (fuse.tensor.tensor("float64", shape=(n,)) for n in (5, 3))
    z = fuse.tensor.tensor("complex128", shape=(4,))
    with fuse.trace.tracing():
        made = [
            np.convolve(v, w), np.convolve(v, w, "same"), np.convolve(w, v, "valid"), np.correlate(v, w),
            np.fft.irfft(z), np.fft.irfft(z, 5), np.repeat(v, [0, 2, 1, 1, 3]),
            np.repeat(v[:, None] * w, [1, 0, 2], axis=1),
        ]
    assert [m.type.shape for m in made] == [(7,), (5,), (3,), (3,), (6,), (5,), (7,), (5, 3)]
    V, W = np.arange(5.0), np.array([1.0, -2.0, 4.0])
    got = fuse.function([v, w], [*made[1:4], *made[-2:]], mode="FAST_COMPILE")(V, W)
    want = [
        np.convolve(V, W, "same"), np.convolve(W, V, "valid"), np.correlate(V, W), np.repeat(V, [0, 2, 1, 1, 3]),
        np.repeat(V[:, None] * W, [1, 0, 2], axis=1),
    ]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(fuse.FuseError):
        fuse.tensor.repeat(v, [1, 2]).eval({v: V})
    convolved = fuse.jit(np.convolve)
    for given, words in (((V[:0], W), "a cannot be empty"), ((V, W[:0]), "v cannot be empty")):
        with pytest.raises(ValueError, match=words):
            convolved(*given)
    np.testing.assert_array_equal(convolved(V, 2.0), V * 2)
    with pytest.raises(ValueError, match="takes vectors, a is a"):
        convolved(V[None], W)
    counts = fuse.tensor.vector(dtype="uint64")
    for given in (counts, np.array([1, 0, 0, 2, 0], "uint64")):
        assert fuse.tensor.repeat(v, given).eval({v: V, counts: [1, 0, 0, 2, 0]}).tolist() == [0, 3, 3]
    with pytest.raises(TypeError, match="counts of repeat are integers"):
        fuse.tensor.repeat(v, V)


def test_integers_and_infinities_at_their_limits():
    """Differences of integers wrapped around, a variance left an infinity out, and whole numbers became floats."""
    i, u, b = np.array([2**31 - 1, 5], "int32"), np.array([0, 255], "uint8"), np.array([True, False])
    gaps = np.array([[1, -np.inf, np.nan], [1, 2, np.nan], [np.nan] * 3])
    large = np.array([1e200 + 0j, 3 + np.inf * 1j, -2 + 1j])

    def several(i, u, b, gaps, large):
        return [
            np.isclose(i, -i), np.isclose(u, np.array([4294967295, 255], "uint32")), np.isclose(b, ~b),
            np.allclose(b, b), np.floor(i), np.ceil(u), np.floor(b), np.ceil(gaps), np.nanvar(gaps, axis=1),
            np.nanstd(gaps, axis=1, ddof=1), large**2, large**5, large**-3,
        ]

    given = i, u, b, gaps, large
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy's, that an axis has nothing but NaN
        wanted = several(*given)
    for have, want in zip(fuse.jit(several)(*given), wanted, strict=True):
        assert have.dtype == np.asarray(want).dtype
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_shapes_that_numpy_refuses_are_refused():
    x, square = np.ones(4), np.ones((2, 4))
    for wrong, *given in [(np.cross, x, x), (np.full_like, x[:1], x), (np.full_like, x, square)]:
        with pytest.raises(ValueError):
            wrong(*given)
        with pytest.raises(ValueError):
            fuse.jit(wrong)(*given)
    np.testing.assert_array_equal(fuse.jit(np.full_like)(square, x), square)
