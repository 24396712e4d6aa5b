"""Products of matrices and vectors of all small sizes, layouts and dtypes, against NumPy and against exact sums."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen.products import SMALL, can_be_small, small_product, source_of
from fuse.errors import ShapeError

SIZES = (0, 1, 2, 3, 5, 8, 9, 33)
LAYOUTS = {
    "contiguous": lambda a: a,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "stepped": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "fortran": np.asfortranarray,
    "unaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), dtype=a.dtype, offset=1).reshape(a.shape),
}


def _array(dtype, *shape):
    return np.random.default_rng(sum(shape) + 7 * len(shape)).standard_normal(shape).astype(dtype)


def _form(variable, transposed):
    return variable.T if transposed else variable


def _functions(dtype):
    """(function, whether operands are transposed, their ranks)"""
    for left, right in product((1, 2), repeat=2):
        a, b = T.tensor(dtype, shape=(None,) * left), T.tensor(dtype, shape=(None,) * right)
        for ta, tb in product(range(left), range(right)):
            yield fuse.function([a, b], T.dot(_form(a, ta), _form(b, tb))), (ta, tb), (left, right)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_forms_over_a_grid_of_sizes(dtype):
    bound = 4 * np.finfo(dtype).eps
    for f, (ta, tb), (left, right) in _functions(dtype):
        for m, k, n in product(SIZES if left == 2 else (1,), SIZES, SIZES if right == 2 else (1,)):
            a = _array(dtype, *([k, m] if ta else [m, k])[2 - left :])
            b = _array(dtype, *([n, k] if tb else [k, n])[:right])
            x, y = (a.T if ta else a), (b.T if tb else b)
            for _ in range(2 + 3 * (m == k == n == 3)):  # the last ones at C level
                found = f(a, b)
                assert isinstance(found, np.ndarray) and found.dtype == dtype
                exact = np.dot(x.astype("longdouble"), y.astype("longdouble"))
                error = np.abs(found - exact)
                assert found.shape == exact.shape
                assert np.all(error <= bound * max(k, 1) * np.dot(abs(x).astype("f8"), abs(y).astype("f8")) + 1e-300)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layouts(dtype, layout):
    for f, (ta, tb), (left, right) in _functions(dtype):
        for n in (4, 40):
            a, b = LAYOUTS[layout](_array(dtype, *[n] * left)), LAYOUTS[layout](_array(dtype, *[n] * right))
            expected = np.dot(a.T if ta else a, b.T if tb else b)
            for _ in range(5):
                np.testing.assert_allclose(f(a, b), expected, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-4)


def test_the_same_bits_whatever_came_before():
    a, b = _array("float64", 5, 5), _array("float64", 5, 5)
    big = _array("float64", 60, 60)
    x, y = T.dmatrices("xy")
    results = []
    for before in ([], [(a, b)] * 8, [(big, big)] * 8):
        f = fuse.function([x, y], T.dot(x, y) + 0)
        for arguments in before:
            f(*arguments)
        results += [f(a, b).tobytes() for _ in range(6)]
    assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_call_has_the_same_bits(dtype):
    m, n, v = T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype)
    near = {"rtol": 1e-4 if dtype == "float32" else 1e-12, "atol": 1e-3}
    formulas = [(T.dot(m, v), T.dot(v, m.T)), (T.dot(v, m), T.dot(m.T, v))]
    functions = [[fuse.function([m, v], y) for y in pair] for pair in formulas]
    products = [fuse.function([m, n], T.dot(x, y)) for x in (m, m.T) for y in (n, n.T)]
    for shape in [(90, 70), (300, 33), (33, 300), (1, 5000), (5000, 1)]:
        a = _array(dtype, *shape)
        for columns, pair in zip((True, False), functions, strict=True):
            b = _array(dtype, shape[columns])
            for f in pair:
                assert len({f(a, b).tobytes() for _ in range(8)}) == 1  # at C level from the fourth call on
                np.testing.assert_allclose(f(a, b), (a @ b if columns else b @ a).astype("f8"), **near)
        for number, f in enumerate(products):
            left = a.T if number > 1 else a
            right = _array(dtype, left.shape[1], 1 if shape[0] > 4000 else 40)
            b = np.ascontiguousarray(right.T) if number % 2 else right
            want = left @ right
            assert len({f(a, b).tobytes() for _ in range(8)}) == 1
            np.testing.assert_allclose(f(a, b), want, **near)
    square = _array(dtype, 50, 50)
    for f in products:
        assert len({f(square, square).tobytes() for _ in range(8)}) == 1


def test_sizes_that_do_not_match():
    x, y, u, v = T.dmatrix("x"), T.dmatrix("y"), T.dvector("u"), T.dvector("v")
    for inputs, shapes in (
        ([x, y], [((2, 3), (2, 3)), ((2, 3), (1, 3)), ((2, 1), (3, 2)), ((50, 60), (50, 60))]),
        ([u, v], [((3,), (2,)), ((1,), (3,)), ((3,), (1,)), ((0,), (1,))]),
        ([x, v], [((2, 3), (2,)), ((2, 3), (1,)), ((2, 1), (3,))]),
        ([v, x], [((2,), (3, 2)), ((1,), (3, 2)), ((3,), (1, 2))]),
    ):
        f = fuse.function(inputs, T.dot(*inputs))
        good = [np.ones((2,) * i.type.ndim) for i in inputs]
        for calls in range(2):
            for left, right in shapes:
                with pytest.raises(ShapeError):
                    f(np.ones(left), np.ones(right))
            for _ in range(5 * (1 - calls)):
                f(*good)  # then at C level


def test_results_into_arrays_of_the_users():
    x, y = T.dmatrices("xy")
    f = fuse.function([x, y], T.dot(x, y.T))
    for n in (3, 30):
        a, b = _array("float64", n, n), _array("float64", n, n)
        expected = f(a, b)
        out = np.empty((n, n))
        assert f(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected)
        kept = a.copy()
        f(kept, b, out=kept)  # the result over an operand
        np.testing.assert_array_equal(kept, expected)


def test_special_values_go_through():
    a, b = np.array([[np.inf, 1.0], [np.nan, 2.0]]), np.array([0.0, -0.0])
    x, v = T.dmatrix("x"), T.dvector("v")
    f = fuse.function([x, v], T.dot(x, v))
    np.testing.assert_array_equal(f(a, b), [np.nan, np.nan])
    np.testing.assert_array_equal(f(np.zeros((2, 0)), np.zeros(0)), np.zeros(2))


def test_sums_are_as_good_as_blas():
    n = SMALL[0]
    a, b = _array("float32", n), _array("float32", n)
    exact = float(sum(Fraction(float(p)) * Fraction(float(q)) for p, q in zip(a, b, strict=True)))
    u, v = T.fvectors("uv")
    assert abs(float(fuse.function([u, v], T.dot(u, v))(a, b)) - exact) < 1e-6 * np.abs(a * b).sum()


def test_what_is_known_to_be_large_is_left_to_blas():
    x = T.tensor("float64", shape=(100, 100))
    f = fuse.function([x], T.dot(x, x))
    assert "small" not in f.source
    assert not can_be_small(T.dot(x, x))
    assert can_be_small(T.dot(T.dmatrix(), T.dmatrix()))


def test_kernels_refuse_what_is_large():
    kernel = small_product("float64", 1, 1).compiled()
    assert kernel(np.ones((8, 8)), np.ones((8, 8)), np.empty((8, 8))) == 0
    assert kernel(np.ones((90, 90)), np.ones((90, 90)), np.empty((90, 90))) != 0
    assert kernel(np.ones((2, 3)), np.ones((2, 3)), np.empty((2, 3))) != 0
    assert f"> {SMALL[1]}" in source_of("float64", 1, 0)


def test_kernels_take_what_is_small_in_all_forms():
    shapes = {0: lambda m, n: (m or n,), 1: lambda m, n: (m, n), 2: lambda m, n: (n, m)}
    for left, right in product(shapes, repeat=2):
        m, n = (4 if left else 0), (5 if right else 0)
        a, b = _array("float64", *shapes[left](m, 3)), _array("float64", *shapes[right](3, n))
        out = np.empty([size for size in (m, n) if size])
        assert small_product("float64", left, right).compiled()(a, b, out) == 0
        np.testing.assert_allclose(out, (a.T if left == 2 else a) @ (b.T if right == 2 else b), rtol=1e-13)


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [
        ((None, 3, 3), (None, 3, 3), "float64"),
        ((None, 3, 3), (None, 3, 3), "float32"),
        ((None, 2, 4), (4, 3), "float32"),
        ((3, 4), (None, 4, 1), "float64"),
        ((None, None, 3), (None, 3, 2), "float32"),
        ((None, 1, 3, 3), (5, 3, 3), "float64"),
        ((None, 4, 1), (None, 1, 4), "float32"),
        ((1, 2, 2), (None, 2, 2), "float64"),
    ],
)
def test_stacks_of_small_matrices_are_sums(first, second, dtype):
    """Values and gradients of products of stacks, which kernels compute with what is around them."""
    a, b = T.TensorType(dtype, first)("a"), T.TensorType(dtype, second)("b")
    product = T.matmul(a, b)
    value = T.tanh(product).sum()
    f = fuse.function([a, b], [T.exp(product), *T.grad(value, [a, b])])
    assert "call matmul" not in f.explain() or first[1] is None  # one of the gradients sums over that
    rng = np.random.default_rng(4)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for count in (1, 2, 7, 100):
        shapes = [[count if n is None else n for n in shape] for shape in (first, second)]
        x, y = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        p = np.matmul(x, y)
        slopes = 1 - np.tanh(p.astype("f8")) ** 2
        found = f(x, y)
        np.testing.assert_allclose(found[0], np.exp(p), rtol=10 * tolerance)
        for got, like, full in (
            (found[1], x, np.matmul(slopes, np.swapaxes(y, -1, -2))),
            (found[2], y, np.matmul(np.swapaxes(x, -1, -2), slopes)),
        ):
            extra = tuple(range(full.ndim - like.ndim))
            want = full.sum(axis=extra)
            kept = tuple(k for k, n in enumerate(like.shape) if n == 1 and want.shape[k] != 1)
            np.testing.assert_allclose(got, want.sum(axis=kept, keepdims=True), rtol=tolerance, atol=100 * tolerance)


def test_stacks_of_unknown_or_larger_matrices_are_numpys():
    sizes = ((None, None, None), (None, None, None)), ((None, 8, 8), (None, 8, 8)), ((2, 3, None), (2, 3, 3))
    for first, second in sizes:
        a, b = T.TensorType("float64", first)("a"), T.TensorType("float64", second)("b")
        assert "call matmul" in fuse.function([a, b], T.matmul(a, b)).explain()
    i = T.TensorType("int32", (None, 3, 3))("i")
    x = np.arange(18, dtype=np.int32).reshape(2, 3, 3) * 100_000
    np.testing.assert_array_equal(fuse.function([i], T.matmul(i, i))(x), np.matmul(x, x))
