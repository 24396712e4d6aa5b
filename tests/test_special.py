"""Bessel and incomplete functions in compiled kernels against mpmath, their derivatives too; dtypes; names."""
from __future__ import annotations

import os
import subprocess
import sys

import mpmath
import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import lower
from fuse.errors import FuseTypeError, NullTypeGradError

RNG = np.random.default_rng(3)
POSITIVE, WIDE = RNG.uniform(0.2, 12, 30), RNG.uniform(-12, 12, 30)
ORDER, UNIT = RNG.uniform(0.1, 6, 30), RNG.uniform(0.02, 0.98, 30)
WHOLE = RNG.integers(0, 6, 30)


def regularised(which):
    def value(k, x):
        return mpmath.gammainc(k, 0, x, regularized=True) if which == "P" else mpmath.gammainc(k, x, regularized=True)

    return value


def owens(h, a):
    return mpmath.quad(lambda t: mpmath.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, a]) / (2 * mpmath.pi)


# name, what it means to mpmath, arguments
CASES = [
    ("j0", lambda x: mpmath.besselj(0, x), WIDE), ("j1", lambda x: mpmath.besselj(1, x), WIDE),
    ("y0", lambda x: mpmath.bessely(0, x), POSITIVE), ("y1", lambda x: mpmath.bessely(1, x), POSITIVE),
    ("i0", lambda x: mpmath.besseli(0, x), WIDE), ("i1", lambda x: mpmath.besseli(1, x), WIDE),
    ("k0", lambda x: mpmath.besselk(0, x), POSITIVE), ("k1", lambda x: mpmath.besselk(1, x), POSITIVE),
    ("jv", mpmath.besselj, ORDER, POSITIVE), ("yv", mpmath.bessely, ORDER, POSITIVE),
    ("iv", mpmath.besseli, ORDER, POSITIVE), ("kv", mpmath.besselk, ORDER, POSITIVE),
    ("jv", mpmath.besselj, WHOLE, WIDE), ("iv", mpmath.besseli, WHOLE, WIDE),
    ("ive", lambda v, x: mpmath.besseli(v, x) * mpmath.exp(-x), ORDER, POSITIVE * 50),
    ("kve", lambda v, x: mpmath.besselk(v, x) * mpmath.exp(x), ORDER, POSITIVE * 50),
    ("gammainc", regularised("P"), ORDER, POSITIVE), ("gammaincc", regularised("Q"), ORDER, POSITIVE),
    ("gammainc", regularised("P"), ORDER * 50, POSITIVE * 20),
    ("gammaincc", regularised("Q"), ORDER * 50, POSITIVE * 30),
    ("gammal", lambda k, x: mpmath.gammainc(k, 0, x), ORDER, POSITIVE),
    ("gammau", lambda k, x: mpmath.gammainc(k, x), ORDER, POSITIVE),
    ("chi2sf", lambda x, k: mpmath.gammainc(k / 2, x / 2, regularized=True), POSITIVE, ORDER),
    ("beta", mpmath.beta, ORDER, POSITIVE), ("poch", mpmath.rf, POSITIVE, ORDER),
    ("betainc", lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True), ORDER, POSITIVE, UNIT),
    ("betainc", lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True), ORDER * 20, POSITIVE * 20, UNIT),
    ("owens_t", owens, ORDER / 3, POSITIVE / 3),
    ("hyp2f1", mpmath.hyp2f1, ORDER, ORDER[::-1], POSITIVE, UNIT - 0.5),
    ("factorial", mpmath.factorial, ORDER), ("sinc", mpmath.sincpi, WIDE),
    ("exp1", mpmath.e1, POSITIVE), ("expi", mpmath.ei, POSITIVE), ("expi", mpmath.ei, -POSITIVE),
    ("erfcx", lambda x: mpmath.exp(x * x) * mpmath.erfc(x), POSITIVE),
    ("log1mexp", lambda x: mpmath.log(1 - mpmath.exp(x)), -POSITIVE),
]
IDS = [f"{name} {k}" for k, (name, *_) in enumerate(CASES)]


def compiled(name, arrays):
    inputs = [T.TensorType(a.dtype, (None,))() for a in arrays]
    return fuse.function(inputs, getattr(T, name)(*inputs))(*arrays)


@pytest.mark.parametrize(("name", "meaning", "arrays"), [(n, m, a) for n, m, *a in CASES], ids=IDS)
def test_kernels_are_what_mpmath_says(name, meaning, arrays):
    have = compiled(name, arrays)
    with mpmath.workdps(30):
        want = [float(meaning(*[mpmath.mpf(float(v)) for v in at])) for at in zip(*arrays, strict=True)]
    np.testing.assert_allclose(have, want, rtol=2e-12, atol=2e-15)


@pytest.mark.parametrize(("name", "meaning", "arrays"), [(n, m, a) for n, m, *a in CASES], ids=IDS)
def test_derivatives_are_what_mpmath_says(name, meaning, arrays):
    """In every argument that has one, those in parameters included."""
    inputs = [T.TensorType(a.dtype, (None,))() for a in arrays]
    gradients = fuse.grad(getattr(T, name)(*inputs).sum(), inputs, null_gradients="return")
    known = [k for k, g in enumerate(gradients) if isinstance(g.type, T.TensorType) and arrays[k].dtype.kind == "f"]
    found = fuse.function(inputs, [gradients[k] for k in known], on_unused_input="ignore")(*arrays)
    assert known or name == "hyp2f1"
    with mpmath.workdps(30):
        for k, have in zip(known, found, strict=True):
            order = [int(j == k) for j in range(len(arrays))]
            for n in range(0, len(have), 5):
                at = tuple([mpmath.mpf(float(a[n])) for a in arrays])
                want = mpmath.diff(meaning, at if len(at) > 1 else at[0], tuple(order) if len(at) > 1 else 1)
                assert float(have[n]) == pytest.approx(float(want), rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
def test_modified_bessel_functions_of_large_numbers(mode):
    """SciPy's are NaN at infinity, and those of any order from about 1e9 on."""
    far = np.array([(v, x) for v in (0, 1, -2.5, 100, 1e4) for x in (9e7, 1.1e8, 3e9, 1e12)]).T
    v, x = T.dvectors("v", "x")
    f = fuse.function([v, x], [T.iv(v, x), T.ive(v, x), T.kve(v, x)], mode=mode)
    growing, first, second = f(*far)
    assert (growing == np.inf).all()
    with mpmath.workdps(40):
        for order, at, i, k in zip(*far.tolist(), first, second, strict=True):
            assert float(mpmath.besseli(order, at) * mpmath.exp(-mpmath.mpf(at)) / i) == pytest.approx(1, rel=1e-11)
            assert float(mpmath.besselk(order, at) * mpmath.exp(mpmath.mpf(at)) / k) == pytest.approx(1, rel=1e-11)
    signs = f([0, 1, 2.5, 3, 0, 0], [-2e9, -np.inf, -2e9, -2e9, np.inf, np.nan])
    np.testing.assert_array_equal(np.sign(signs[0]), [1, -1, np.nan, -1, 1, np.nan])
    np.testing.assert_array_equal(np.sign(signs[1]), [1, 0, np.nan, -1, 0, np.nan])
    np.testing.assert_array_equal(np.sign(signs[2]), [np.nan, np.nan, np.nan, np.nan, 0, np.nan])
    ends = fuse.function([x], [T.i0(x), T.i1(x)], mode=mode)([-np.inf, np.inf, 2.0])
    np.testing.assert_array_equal(np.sign(ends), [[1, 1, 1], [-1, 1, 1]])


@pytest.mark.parametrize("name", ["j0", "jv", "gammainc_da", "betainc", "betainc_da"])
def test_calls_of_scipy_are_translated_without_numbas_pipeline(name):
    before = len(lower.unsupported)
    arrays = [ORDER, POSITIVE, UNIT] if "beta" in name else [WIDE] if name == "j0" else [ORDER, POSITIVE]
    compiled(name, arrays)
    assert len(lower.unsupported) == before


@pytest.mark.parametrize(("name", "inverse"), [
    ("gammaincinv", "gammainc"), ("gammainccinv", "gammaincc"), ("betaincinv", "betainc"),
])
def test_inverses_undo(name, inverse):
    first = [ORDER, POSITIVE] if name == "betaincinv" else [ORDER]
    x = compiled(name, [*first, UNIT])
    np.testing.assert_allclose(compiled(inverse, [*first, x]), UNIT, rtol=1e-12)


@pytest.mark.parametrize("name", ["j0", "i1", "gammainc", "gammaincc", "betainc", "jv", "iv"])
def test_single_precision_stays_single(name):
    arrays = {"betainc": [ORDER, POSITIVE, UNIT], "j0": [WIDE], "i1": [WIDE]}.get(name, [ORDER, POSITIVE])
    narrow = compiled(name, [a.astype("float32") for a in arrays])
    assert narrow.dtype == np.float32
    wide = compiled(name, [a.astype("float32").astype("float64") for a in arrays])
    np.testing.assert_array_equal(narrow, wide.astype("float32"))


def test_dtypes_are_theanos():
    for name in ("j0", "i0"):
        assert [getattr(T, name)(x).dtype for x in (T.bvector(), T.ivector(), T.fvector(), T.dvector())] == [
            T.exp(x).dtype for x in (T.bvector(), T.ivector(), T.fvector(), T.dvector())]
    assert T.chi2sf(T.fvector(), T.fvector()).dtype == "float64"
    assert T.jv(T.ivector(), T.fvector()).dtype == "float64"
    with pytest.raises(FuseTypeError, match="complex"):
        T.j0(T.zvector())


def test_orders_of_unsigned_integers_do_not_wrap():
    v, x = T.TensorType("uint8", (None,))(), T.dvector()
    g = fuse.function([v, x], fuse.grad(T.jv(v, x).sum(), x))
    np.testing.assert_allclose(g(np.array([0], "uint8"), [1.5]), -compiled("j1", [np.array([1.5])]))


def test_a_derivative_that_there_is_not_says_so():
    v, x = T.dvectors("v", "x")
    with pytest.raises(NullTypeGradError, match="with respect to its argument 0 is not implemented: the derivative in"):
        fuse.grad(T.jv(v, x).sum(), v)
    with pytest.raises(NullTypeGradError, match="not implemented"):
        fuse.gradient.Rop(T.jv(v, x), v, v)
    k = T.dscalar("k")
    with pytest.raises(NullTypeGradError, match="it is itself a derivative in a parameter"):
        fuse.grad(fuse.grad(T.gammainc(k, 1.0), k), k)


def test_sinc_at_zero_has_derivatives():
    x = T.dscalar("x")
    first = fuse.grad(T.sinc(x), x)
    values = [float(e.eval({x: 0.0})) for e in (T.sinc(x), first, fuse.grad(first, x))]
    np.testing.assert_allclose(values, [1, 0, -np.pi**2 / 3])


def test_names_of_theano_and_the_interpreter():
    from fuse.scalar import basic_scipy

    x = T.dvector("x")
    assert isinstance(T.i0(x).owner.op, basic_scipy.I0) and basic_scipy.jv is T.jv
    assert T.inplace.j0_inplace.plain is T.j0 and T.inplace.exp_inplace(2 * x) is T.exp(2 * x)
    assert T.math.Dot is T.Dot and T.math.gammainc is T.gammainc and fuse.scalar.j1 is T.j1
    with pytest.raises(AttributeError, match="no attribute 'no_such_function'"):
        _ = T.math.no_such_function
    assert basic_scipy.GammaInc()(x, x) is T.gammainc(x, x)
    np.testing.assert_allclose(T.j0(x).eval({x: [1.0]}), fuse.function([x], T.j0(x), mode="FAST_COMPILE")([1.0]))


def test_a_second_process_links_kernels_from_disk(tmp_path):
    code = ("import fuse, fuse.tensor as T; x = T.dvector('x'); f = fuse.function([x], T.j0(x) + T.gammainc(2.0, x));"
            "print(f([1.0])[0]); import fuse.codegen.load as l, sys;"
            "print(l.stats()['compiles'], 'numba' in sys.modules)")
    environment = {**os.environ, "FUSE_CACHE_DIR": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
            .stdout.split() for _ in range(2)]
    assert runs[0][0] == runs[1][0]
    assert runs[1][1:] == ["0", "False"]


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 2e-5)])
def test_betaln_of_arguments_of_different_sizes(dtype, bound):
    """The difference of logarithms of factorials cancelled: betaln(1e20, 3) was 0."""
    near = [1e-8, 0.3, 1.0, 2.0, 3.0, 10.0, 31.0, 33.0, 999.0, 1001.0, 1e5, 1e10]
    x, y = [a.ravel() for a in np.meshgrid(near, [0.5, 2.0, 40.0, 1e4, 1e20])]
    a, b = T.vectors("a", "b", dtype=dtype)
    value = T.betaln(a, b)
    got, slope = fuse.function([a, b], [value, fuse.grad(value.sum(), a)])(x.astype(dtype), y.astype(dtype))
    assert got.dtype == dtype
    with mpmath.workdps(60):
        exactly = [map(mpmath.mpf, each.astype(dtype).tolist()) for each in (x, y)]
        for g, d, p, q in zip(got, slope, *exactly, strict=True):
            exact = mpmath.loggamma(p) + mpmath.loggamma(q) - mpmath.loggamma(p + q)
            assert abs(float(g) - exact) <= bound * max(1, abs(exact)), (p, q)
            rate = mpmath.digamma(p) - mpmath.digamma(p + q)
            assert abs(float(d) - rate) <= 100 * bound * max(1, abs(rate)), (p, q)
