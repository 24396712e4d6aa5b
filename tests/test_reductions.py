"""Reductions against NumPy: values over shapes, axes and dtypes, dtype rules, special values, gradients."""
from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from op_checks import check_gradient, check_value, inputs_like, random_array
from scipy.special import logsumexp as scipy_logsumexp

import fuse
import fuse.tensor as T
from fuse.errors import DTypeError, FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.reference import evaluate
from fuse.types import DTYPES

# The dtype of each reduction for each of DTYPES in order, as one-letter codes: recorded from Theano 1.0.5.
RULES = {
    "sum": "llLlLlLlLefdFD",
    "prod": "llLlLlLlLefdFD",
    "mean": "dddddddddefdFD",
    "max": "?bBhHiIlLefdFD",
    "argmax": "llllllllllllll",
    "all": "??????????????",
    "any": "??????????????",
    "var": "dddddddddefdFD",
    "cumsum": "?bBhHiIlLefdFD",
    "std": "dddddddddefdFD",
}
SHAPES = [(), (5,), (1,), (3, 4), (1, 4), (2, 3, 4)]
EMPTY = [(0,), (0, 3), (3, 0)]

# name -> (ours(x, axis, keepdims), NumPy's)
REDUCTIONS = {
    "sum": (T.sum, np.sum), "prod": (T.prod, np.prod), "max": (T.max, np.max), "min": (T.min, np.min),
    "all": (T.all, np.all), "any": (T.any, np.any), "mean": (T.mean, np.mean), "var": (T.var, np.var),
    "std": (T.std, np.std), "ptp": (T.ptp, np.ptp),
    "logsumexp": (T.logsumexp, scipy_logsumexp),
    "norm": (T.norm, lambda x, axis, keepdims: np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))),
    "norm 1": (
        lambda x, axis, keepdims: T.norm(x, 1, axis, keepdims),
        lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims),
    ),
    "norm 3": (
        lambda x, axis, keepdims: T.norm(x, 3, axis, keepdims),
        lambda x, axis, keepdims: np.sum(np.abs(x) ** 3, axis=axis, keepdims=keepdims) ** (1 / 3),
    ),
    "norm inf": (
        lambda x, axis, keepdims: T.norm(x, math.inf, axis, keepdims),
        lambda x, axis, keepdims: np.max(np.abs(x), axis=axis, keepdims=keepdims),
    ),
    "var ddof": (
        lambda x, axis, keepdims: T.var(x, axis, ddof=1, keepdims=keepdims),
        lambda x, axis, keepdims: np.var(x, axis=axis, ddof=1, keepdims=keepdims),
    ),
}
SMOOTH = ["sum", "prod", "max", "min", "mean", "var", "std", "ptp", "logsumexp", "norm", "norm 1", "norm 3", "norm inf"]


def axes_of(ndim: int) -> list:
    """None, every axis from both ends, every pair, the empty tuple."""
    return [None, *range(-ndim, ndim), *combinations(range(ndim), 2), (), *([list(range(ndim))] if ndim else [])]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_values(name, keepdims):
    ours, numpys = REDUCTIONS[name]
    rng = np.random.default_rng(3)
    for shape in SHAPES:
        for axis in axes_of(len(shape)):
            if name == "logsumexp" and (axis == () or shape == ()):
                continue  # SciPy takes () as all, and keeps a dimension of 0-d
            x = random_array(rng, shape)
            for static in (True, False):
                (v,) = inputs_like([x], static)
                with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                    want = numpys(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)
                check_value(ours(v, axis=axis, keepdims=keepdims), want, {v: x}, rtol=1e-10)


@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("name", ["sum", "prod", "all", "any", "mean", "max", "min", "ptp"])
def test_empty_arrays(name, shape):
    ours, numpys = REDUCTIONS[name]
    x = np.zeros(shape)
    for axis in [None, *range(len(shape))]:
        (v,) = inputs_like([x], False)
        out = ours(v, axis=axis)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                want = numpys(x, axis=axis)
        except ValueError:
            with pytest.raises(FuseError) as caught:
                evaluate([out], {v: x})
            assert isinstance(caught.value, ValueError)
        else:
            check_value(out, want, {v: x})


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions(name):
    rng = np.random.default_rng(5)
    ours, numpys = getattr(T, name), getattr(np, name)
    for shape in SHAPES:
        x = rng.integers(0, 3, shape).astype(float)  # many ties
        for axis in [None, *range(-len(shape), len(shape))]:
            for keepdims in (False, True):
                (v,) = inputs_like([x], False)
                check_value(ours(v, axis=axis, keepdims=keepdims), numpys(x, axis=axis, keepdims=keepdims), {v: x},
                    dtype="int64")
    x = rng.standard_normal((2, 3, 4))
    (v,) = inputs_like([x], False)
    check_value(ours(v, axis=(0, 2)), numpys(x.transpose(1, 0, 2).reshape(3, 8), axis=1), {v: x})
    best, where = T.max_and_argmax(v, axis=1)
    check_value(best, x.max(1), {v: x})
    check_value(where, x.argmax(1), {v: x})


def test_nan_is_the_first_of_the_largest_as_in_numpy():
    x = np.array([[1.0, math.nan, 3.0, math.nan], [4.0, 4.0, -math.inf, 0.0]])
    v = T.dmatrix()
    for name in ("max", "min", "argmax", "argmin", "sum"):
        check_value(getattr(T, name)(v, axis=1), getattr(np, name)(x, axis=1), {v: x})


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_cumulative(name):
    rng = np.random.default_rng(5)
    ours, numpys = getattr(T, name), getattr(np, name)
    for shape in [(), (4,), (3, 4), (0, 2), (2, 3, 2)]:
        x = random_array(rng, shape)
        for axis in [None, *range(-len(shape), len(shape))]:
            for static in (True, False):
                (v,) = inputs_like([x], static)
                check_value(ours(v, axis=axis), numpys(x, axis=axis), {v: x})


# ---------------------------------------------------------------- dtypes
# NumPy's variance of complex numbers is real; Theano's, recorded here, is complex and no variance.
REAL_INSTEAD = {"complex64": "float32", "complex128": "float64"}
OURS = {name: getattr(T, name) for name in RULES}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_dtype_rules(name, dtype):
    x = random_array(np.random.default_rng(1), (3, 4), dtype)
    x = np.abs(x).astype(dtype) if name in ("prod", "cumsum") else x
    v = T.tensor(dtype, shape=(None, None))
    want = np.dtype(RULES[name][DTYPES.index(dtype)]).name
    if dtype in REAL_INSTEAD and name in ("max", "argmax"):
        with pytest.raises(FuseTypeError, match="no order"):
            OURS[name](v, axis=0)
        return
    if dtype in REAL_INSTEAD and name in ("var", "std"):
        want = REAL_INSTEAD[dtype]
    out = OURS[name](v, axis=0)
    exact = {"cumsum": lambda x, axis: np.cumsum(x, axis, dtype=x.dtype)}.get(name, getattr(np, name))(x, axis=0)
    check_value(out, np.asarray(exact).astype(want), {v: x}, rtol=2e-3 if "16" in want else 1e-5, dtype=want)


def test_dtype_and_acc_dtype():
    v, b = T.fvector("v"), T.bvector("b")
    assert T.sum(v, dtype="float64").dtype == "float64"
    assert T.sum(b, dtype="int8").dtype == "int8"
    assert T.sum(v, acc_dtype="float64").dtype == "float32"
    assert T.mean(b, dtype="float32").dtype == "float32"
    assert T.mean(v, dtype="float64").dtype == "float64"
    x = np.array([120, 100], "int8")
    check_value(T.sum(b, dtype="int8"), x.sum(dtype="int8"), {b: x})
    y = np.array([1e8, 1, -1e8], "float32")
    check_value(T.sum(v, acc_dtype="float64"), 1.0, {v: y})
    with pytest.raises(DTypeError, match=r"take x\.real"):
        T.sum(T.zvector(), dtype="float64")


def test_float16_sums_do_not_overflow_on_the_way():
    v = T.tensor("float16", shape=(None,))
    x = np.full(5000, 30.0, "float16")
    check_value(T.mean(v), np.float16(30), {v: x}, dtype="float16")
    check_value(T.var(v), np.float16(0), {v: x}, dtype="float16")


# ---------------------------------------------------------------- gradients
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_gradients(name, axis):
    ours, _ = REDUCTIONS[name]
    x = random_array(np.random.default_rng(8), (2, 3, 2)) + 0.01
    check_gradient(lambda v: ours(v, axis=axis, keepdims=False), inputs_like([x], False), [x], tol=1e-5)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_cumulative_gradients(name, axis):
    x = random_array(np.random.default_rng(8), (4, 3))
    for zeros in [[], [(1, 1)], [(0, 0), (2, 0), (3, 2)], [(3, 0), (0, 1), (1, 1), (2, 1)]]:
        for at in zeros:
            x[at] = 0
        check_gradient(lambda v: getattr(T, name)(v, axis=axis), inputs_like([x], False), [x])


ZEROS = [[], [1], [0, 2], [0, 1, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize("zeros", ZEROS, ids=[f"{len(z)} zeros" for z in ZEROS])
def test_gradient_of_prod_with_zeros_and_its_gradient(zeros):
    x = np.array([1.5, -2.0, 0.5, 3.0])
    x[zeros] = 0
    check_gradient(T.prod, inputs_like([x], False), [x])
    w = np.array([0.3, 1.1, -0.7, 2.0])
    check_gradient(lambda v: (fuse.grad(T.prod(v), v) * w).sum(), inputs_like([x], False), [x])


def gradient_of(build, x):
    (v,) = inputs_like([np.asarray(x)], False)
    return evaluate([fuse.grad(build(v), v)], {v: np.asarray(x)})[0].tolist()


def test_gradients_at_the_edges():
    """The conventions: each tied element of a maximum gets 1; where norm and std have no derivative, 0."""
    inf = math.inf
    assert gradient_of(T.max, [1.0, 3.0, 3.0]) == [0, 1, 1]
    assert gradient_of(T.min, [1.0, 3.0, 1.0]) == [1, 0, 1]
    assert gradient_of(T.norm, [0.0, 0.0]) == [0, 0]
    assert gradient_of(lambda v: T.norm(v, 3), [0.0, 0.0]) == [0, 0]
    assert gradient_of(T.std, [2.0, 2.0, 2.0]) == [0, 0, 0]
    assert gradient_of(T.logsumexp, [-inf, 0.0, 0.0]) == [0, 0.5, 0.5]
    assert gradient_of(T.logsumexp, [-inf, -inf]) == [0, 0]
    assert gradient_of(T.logsumexp, [inf, 0.0]) == [1, 0]
    assert gradient_of(T.logsumexp, [1000.0, 0.0]) == [1, 0]
    assert gradient_of(lambda v: (T.argmax(v) * v).sum(), [1.0, 2.0]) == [1, 1]


def test_second_derivatives_stay_finite():
    inf = math.inf
    lse = T.logsumexp
    for build, x in [(lse, [-inf, -inf]), (lse, [-inf, 1.0]), (lse, [inf, 1.0]), (T.norm, [0.0, 0.0])]:
        assert np.isfinite(gradient_of(lambda v, build=build: fuse.grad(build(v), v).sum(), x)).all()


def test_logsumexp_where_the_plain_formula_fails():
    v = T.dvector()
    inf = math.inf
    for x in ([1e3, 1e3], [-1e3, -1001.0], [-inf, 0.0], [-inf, -inf], [inf, 1.0], [math.nan, 1.0]):
        expanded = T.logsumexp(v).op.define(v, axis=(0,))
        check_value(T.logsumexp(v), scipy_logsumexp(x), {v: np.array(x)})
        check_value(expanded, scipy_logsumexp(x), {v: np.array(x)}, rtol=1e-15)


# ---------------------------------------------------------------- through function
def test_compiled_reductions():
    rng = np.random.default_rng(2)
    x = random_array(rng, (3, 4, 5))
    v = T.tensor3("v")
    outputs, wanted = [], []
    for name, (ours, numpys) in REDUCTIONS.items():
        for axis in (None, 0, -1, (0, 2)):
            outputs.append(ours(v, axis=axis, keepdims=name != "sum"))
            wanted.append(numpys(x, axis=axis, keepdims=name != "sum"))
    for ours, numpys in [(T.cumsum, np.cumsum), (T.cumprod, np.cumprod), (T.argmax, np.argmax), (T.argmin, np.argmin)]:
        outputs += [ours(v), ours(v, axis=1)]
        wanted += [numpys(x), numpys(x, axis=1)]
    f = fuse.function([v], outputs)
    for got, want in zip(f(x), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize("build", [T.max, T.min, T.argmax, lambda v: T.max(v, axis=0)])
def test_compiled_reductions_of_nothing(build):
    v = T.dmatrix("v")
    f = fuse.function([v], build(v))
    with pytest.raises(ValueError) as caught:
        f(np.zeros((0, 3)))
    assert isinstance(caught.value, FuseError)


# ---------------------------------------------------------------- errors
@pytest.mark.parametrize(("build", "kind", "text"), [
    (lambda m: m.sum(axis=2), FuseValueError, "out of bounds for 2 dimensions"),
    (lambda m: m.sum(axis=(0, -2)), FuseValueError, "twice"),
    (lambda m: m.sum(axis=T.iscalar()), FuseTypeError, "known while the graph is built"),
    (lambda m: T.max(T.zmatrix()), FuseTypeError, "no order"),
    (lambda m: T.argmax(T.tensor("float64", shape=(0,))), ShapeError, "no elements"),
    (lambda m: m.norm("nuc"), FuseValueError, "nuc"),
])
def test_errors(build, kind, text):
    with pytest.raises(kind, match=text):
        build(T.matrix("m"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extrema_find_nan_at_every_place(dtype):
    """Vectors, what is left over of them, rows, columns and walks in steps: NaN passes, and zeros are zero."""
    m = T.TensorType(dtype, (None, None))("m")
    f = fuse.function([m], [m.max(), m.min(), m.max(axis=0), m.max(axis=1), m.min(axis=0)])
    rng = np.random.default_rng(11)
    for shape in ((1, 1), (3, 7), (1, 65), (40, 9), (5, 300), (300, 5)):
        a = rng.normal(size=shape).astype(dtype)
        for place in (None, 0, a.size // 2, a.size - 1):
            b = a.copy()
            if place is not None:
                b.flat[place] = np.nan
            for c in (b, np.asfortranarray(b), b[:, ::-1], b[::2]):
                for have, want in zip(f(c), (c.max(), c.min(), c.max(0), c.max(1), c.min(0)), strict=True):
                    np.testing.assert_array_equal(have, want)
    zeros = np.zeros((4, 33), dtype)
    zeros[::2] = -0.0
    assert f(zeros)[0] == 0 and f(zeros)[1] == 0


def test_a_short_sum_of_single_precision_is_taken_in_double_as_in_theano():
    x = T.fmatrix("x")
    data = np.array([[1e8, 1, -1e8], [1, 1e8, -1e8]], "f4")
    for expression in (x.sum(1), x.mean(1) * 3, (x * 1).sum(1), T.sum(x.T, axis=0)):
        f = fuse.function([x], expression)
        for rows in (1, 2):
            got = f(data[:rows])
            assert got.dtype == "float32"
            np.testing.assert_allclose(got, [1.0, 1.0][:rows], rtol=1e-6)
    assert fuse.function([x], x.sum())(data[:1]) == 1.0
