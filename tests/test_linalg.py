"""Products and decompositions of matrices against NumPy and SciPy: values, dtypes, shapes, gradients, messages."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.linalg
from op_checks import check_gradient, check_value, inputs_like, random_array

import fuse
import fuse.tensor as T
from fuse.errors import FuseValueError, MatrixError, ShapeError
from fuse.reference import evaluate
from fuse.types import DTYPES

RNG = np.random.default_rng(5)

# name, ours, NumPy's, shapes of the operands
PRODUCTS = [
    *[(f"dot {a} {b}", T.dot, np.dot, [a, b]) for a, b in [
        ((), ()), ((), (2, 3)), ((3,), ()), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)),
        ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((2, 3, 4), (5, 4, 2)), ((2, 3, 4), (4, 5)), ((2, 4), (3, 4, 5)),
        ((1, 1), (1, 1)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0,), (0,)),
    ]],
    *[(f"matmul {a} {b}", T.matmul, np.matmul, [a, b]) for a, b in [
        ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (1, 4, 3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
    ]],
    ("@", lambda x, y: x @ y, np.matmul, [(2, 3), (3, 4)]),
    ("ndarray @", lambda x, y: np.eye(3) @ (x @ y), np.matmul, [(3, 3), (3, 4)]),
    *[(f"tensordot {axes}", lambda x, y, axes=axes: T.tensordot(x, y, axes),
       lambda x, y, axes=axes: np.tensordot(x, y, axes), shapes) for axes, shapes in [
        (2, [(2, 3, 4), (3, 4, 5)]), (1, [(2, 3), (3, 4)]), (0, [(2,), (3, 2)]), (3, [(2, 3, 4), (2, 3, 4)]),
        (((1, 2), (1, 0)), [(2, 3, 4), (4, 3)]), (([0], [1]), [(3, 2), (4, 3)]), ((0, 1), [(3, 2), (4, 3)]),
        (((-1,), (0,)), [(2, 3, 4), (4, 5)]),
    ]],
    ("outer", T.outer, np.outer, [(3,), (4,)]),
    ("outer of matrices", T.outer, np.outer, [(2, 2), (3,)]),
    ("inner", T.inner, np.inner, [(2, 3), (4, 3)]),
    ("inner of vectors", T.inner, np.inner, [(3,), (3,)]),
    ("inner with a scalar", T.inner, np.inner, [(), (3,)]),
    ("vdot", T.vdot, np.vdot, [(2, 3), (2, 3)]),
    ("kron", T.kron, np.kron, [(2, 3), (3, 2)]),
    ("kron of vectors", T.kron, np.kron, [(2,), (3,)]),
    ("kron of ranks", T.kron, np.kron, [(2,), (3, 2)]),
    ("batched_dot 3 3", T.batched_dot, np.matmul, [(4, 2, 3), (4, 3, 5)]),
    ("batched_dot 3 2", T.batched_dot, lambda x, y: np.einsum("bij,bj->bi", x, y), [(4, 2, 3), (4, 3)]),
    ("batched_dot 2 3", T.batched_dot, lambda x, y: np.einsum("bj,bjk->bk", x, y), [(4, 3), (4, 3, 5)]),
    ("batched_dot 2 2", T.batched_dot, lambda x, y: np.einsum("bj,bj->b", x, y), [(4, 3), (4, 3)]),
    ("batched_dot 1 3", T.batched_dot, lambda x, y: x[:, None, None] * y, [(4,), (4, 3, 5)]),
    ("batched_dot 4 3", T.batched_dot, lambda x, y: np.einsum("bijk,bkl->bijl", x, y), [(4, 2, 3, 2), (4, 2, 5)]),
    ("batched_tensordot", lambda x, y: T.batched_tensordot(x, y, [[1, 2], [2, 1]]),
     lambda x, y: np.einsum("bij,bji->b", x, y), [(4, 2, 3), (4, 3, 2)]),
    ("batched_tensordot 1", lambda x, y: T.batched_tensordot(x, y, 1),
     lambda x, y: np.einsum("bij,bjk->bik", x, y), [(4, 2, 3), (4, 3, 5)]),
    ("matrix_dot", T.matrix_dot, lambda x, y, z: x @ y @ z, [(2, 3), (3, 4), (4, 2)]),
    ("trace", T.trace, np.trace, [(3, 4)]),
    ("trace with offset", lambda x: T.trace(x, 1, 0, 2), lambda x: np.trace(x, 1, 0, 2), [(3, 2, 4)]),
    ("matrix_power", lambda x: T.matrix_power(x, 5), lambda x: np.linalg.matrix_power(x, 5), [(3, 3)]),
    ("matrix_power 0", lambda x: T.matrix_power(x, 0), lambda x: np.linalg.matrix_power(x, 0), [(3, 3)]),
]


@pytest.mark.parametrize("name, ours, numpys, shapes", PRODUCTS, ids=[p[0] for p in PRODUCTS])
@pytest.mark.parametrize("static", [True, False], ids=["sizes known", "sizes unknown"])
def test_products_are_numpys(name, ours, numpys, shapes, static):
    arrays = [random_array(RNG, s) for s in shapes]
    inputs = inputs_like(arrays, static)
    out = ours(*inputs)
    check_value(out, numpys(*arrays), dict(zip(inputs, arrays, strict=True)))
    if name != "matrix_power 0":
        check_gradient(ours, inputs, arrays)


def test_second_derivatives_and_forward_mode_of_products():
    a, b = random_array(RNG, (2, 3)), random_array(RNG, (3, 2))
    x, y, v = T.dmatrices("x", "y", "v")
    first = fuse.grad((T.dot(x, y) ** 2).sum(), x)
    check_gradient(lambda p, q: fuse.grad((T.dot(p, q) ** 2).sum(), p), [x, y], [a, b])
    along = random_array(RNG, (2, 3))
    step = 1e-6
    moved = [evaluate([first], {x: a + s * along, y: b})[0] for s in (step, -step)]
    got, = evaluate([fuse.Rop(first, x, v)], {x: a, y: b, v: along})
    np.testing.assert_allclose(got, (moved[0] - moved[1]) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("a", DTYPES)
def test_dtypes_of_dot(a):
    """numpy.result_type for all pairs, which is also what Theano 1.0.5 was measured to give."""
    for b in DTYPES:
        x, y = T.matrix(dtype=a), T.matrix(dtype=b)
        out = T.dot(x, y)
        want_dtype = np.result_type(a, b).name
        assert out.type.dtype == T.matmul(x, y).type.dtype == T.tensordot(x, y, 1).type.dtype == want_dtype
        values = {x: random_array(RNG, (2, 3), a), y: random_array(RNG, (3, 2), b)}
        got, = evaluate([out], values)
        assert got.dtype.name == want_dtype
        want = np.dot(values[x].astype(want_dtype), values[y].astype(want_dtype))
        np.testing.assert_allclose(got, want, rtol=1e-3 if "float16" in (a, b) else 1e-6)


def test_shape_errors():
    x, y = T.tensor("float64", shape=(2, 3), name="x"), T.tensor("float64", shape=(4, 2), name="y")
    with pytest.raises(ShapeError, match=r"dot of shapes \(2, 3\) and \(4, 2\): the last axis of the first has size 3"):
        T.dot(x, y)
    with pytest.raises(ShapeError, match="tensordot sums over axis 1 of size 3 and axis 0 of size 4"):
        T.tensordot(x, y, 1)
    with pytest.raises(ShapeError, match="matmul"):
        x @ T.tensor("float64", shape=(5, 2, 2))
    with pytest.raises(ShapeError, match=r"multiply by a scalar with \*"):
        x @ 2.0
    with pytest.raises(ShapeError, match="pairs the first axes"):
        T.batched_dot(T.tensor("float64", shape=(2, 3, 4)), T.tensor("float64", shape=(3, 4, 5)))
    m, n = T.dmatrices("m", "n")
    with pytest.raises(ShapeError, match="built at"):
        evaluate([T.dot(m, n)], {m: np.zeros((2, 3)), n: np.zeros((2, 3))})
    with pytest.raises(ShapeError, match="pairs the first axes"):
        a, b = T.dtensor3(), T.dtensor3()
        evaluate([T.batched_dot(a, b)], {a: np.zeros((1, 2, 3)), b: np.zeros((4, 3, 2))})
    with pytest.raises(ShapeError, match="axes is an int or a pair"):
        T.tensordot(m, n, axes=(1, 0, 1))
    with pytest.raises(FuseValueError, match="names 1 axes of the first operand, 2 of the second"):
        T.tensordot(m, n, axes=([0], [0, 1]))


def test_complex_products():
    a, b = random_array(RNG, (2, 3), "complex128"), random_array(RNG, (3, 2), "complex128")
    x, y = T.zmatrices("x", "y")
    check_value(T.dot(x, y), a @ b, {x: a, y: b})
    check_value(T.vdot(x, y.T), np.vdot(a, b.T), {x: a, y: b})


# ---------------------------------------------------------------- LAPACK
S = random_array(RNG, (3, 3)) + 3 * np.eye(3)
POSITIVE = S @ S.T
LOWER, UPPER = np.tril(S), np.triu(S)
b1, b2 = random_array(RNG, (3,)), random_array(RNG, (3, 2))

DECOMPOSITIONS = [
    ("matrix_inverse", T.matrix_inverse, np.linalg.inv, [S]),
    ("matrix_inverse of a stack", T.matrix_inverse, np.linalg.inv, [np.stack([S, POSITIVE])]),
    ("matrix_power -2", lambda x: T.matrix_power(x, -2), lambda x: np.linalg.matrix_power(x, -2), [S]),
    ("det", T.det, np.linalg.det, [S]),
    ("det of a stack", T.det, np.linalg.det, [np.stack([S, POSITIVE])]),
    ("log abs det", lambda x: T.slogdet(x)[1], lambda x: np.linalg.slogdet(x)[1], [-S]),
    ("solve", T.solve, np.linalg.solve, [S, b1]),
    ("solve of columns", T.solve, np.linalg.solve, [S, b2]),
    ("solve_triangular lower", lambda a, b: T.solve_triangular(a, b, lower=True),
     lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True), [LOWER, b2]),
    ("solve_triangular upper", T.solve_triangular, scipy.linalg.solve_triangular, [UPPER, b1]),
    ("solve_triangular trans", lambda a, b: T.solve_triangular(a, b, trans=True),
     lambda a, b: scipy.linalg.solve_triangular(a, b, trans=1), [UPPER, b1]),
    ("solve_triangular reads a triangle", lambda a, b: T.solve_triangular(a, b, lower=True, unit_diagonal=True),
     lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True, unit_diagonal=True), [S, b2]),
    ("cholesky", T.cholesky, np.linalg.cholesky, [POSITIVE]),
    ("cholesky upper", lambda x: T.cholesky(x, lower=False), scipy.linalg.cholesky, [POSITIVE]),
]


@pytest.mark.parametrize("name, ours, theirs, arrays", DECOMPOSITIONS, ids=[d[0] for d in DECOMPOSITIONS])
@pytest.mark.parametrize("static", [True, False], ids=["sizes known", "sizes unknown"])
def test_lapack(name, ours, theirs, arrays, static):
    inputs = inputs_like(arrays, static)
    check_value(ours(*inputs), theirs(*arrays), dict(zip(inputs, arrays, strict=True)), rtol=1e-10)
    check_gradient(ours, inputs, arrays, tol=1e-5)


def test_lapack_dtypes_and_errors():
    assert T.matrix_inverse(T.imatrix()).type.dtype == "float64"
    assert T.solve(T.fmatrix(), T.fvector()).type.dtype == "float32"
    sign, = evaluate([T.slogdet(T.constant(-np.eye(3)))[0]], {})
    assert sign == -1
    with pytest.raises(ShapeError, match=r"square matrix, not one of shape \(2, 3\)"):
        T.det(T.tensor("float64", shape=(2, 3)))
    assert T.matrix_inverse(T.matrix(dtype="float16")).type.dtype == "float32"
    with pytest.raises(ShapeError, match="solve of 3 equations"):
        T.solve(np.eye(3), np.ones(4))
    m = T.dmatrix()
    with pytest.raises(FuseValueError, match="Singular"):
        evaluate([T.matrix_inverse(m)], {m: np.zeros((2, 2))})
    with pytest.raises(FuseValueError, match="cholesky"):
        evaluate([T.cholesky(m)], {m: -np.eye(2)})


def test_sort_argsort():
    a = np.array([[3.0, np.nan, 1.0, 1.0], [0.0, -0.0, np.inf, -np.inf]])
    x = T.dmatrix("x")
    for axis in (0, 1, -1, None):
        check_value(T.sort(x, axis), np.sort(a, axis, kind="stable"), {x: a})
        check_value(T.argsort(x, axis), np.argsort(a, axis, kind="stable"), {x: a}, dtype="int64")
        check_gradient(lambda x, axis=axis: T.sort(x, axis) ** 2, [x], [random_array(RNG, (3, 4))])


def test_compiled_products_agree_with_numpy():
    x, y, v = T.dmatrix("x"), T.fmatrix("y"), T.dvector("v")
    a, b, c = random_array(RNG, (3, 4)), random_array(RNG, (4, 2), "float32"), random_array(RNG, (4,))
    pairs = [
        (T.dot(x, y), a @ b), (T.dot(x, v), a @ c), (T.dot(v, v), c @ c), (T.tensordot(x, y, 1) + 1, a @ b + 1),
        (T.outer(v, v), np.outer(c, c)), (fuse.grad((T.dot(x, y) ** 2).sum(), x), 2 * (a @ b) @ b.T),
        (T.dot(x.T, x), a.T @ a),
    ]
    f = fuse.function([x, y, v], [p[0] for p in pairs])
    for got, (_, want) in itertools.zip_longest(f(a, b, c), pairs):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    with pytest.raises(ShapeError):
        f(a, b[:3], c)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_factors_of_a_matrix_are_shared(dtype):
    a, b = random_array(RNG, (6, 6), dtype), random_array(RNG, (6, 2), dtype)
    a[[0, 3]] *= -1
    x, y = T.matrix(dtype=dtype), T.matrix(dtype=dtype)
    sign, log = T.linalg.slogdet(x)
    f = fuse.function([x, y], [
        T.linalg.solve(x, y), T.linalg.solve(x.T, y[:, 0]), T.linalg.matrix_inverse(x), sign, log, T.grad(log, x),
    ])
    kept = a.copy()
    inverse, (want_sign, want_log) = np.linalg.inv(a), np.linalg.slogdet(a)
    wanted = [np.linalg.solve(a, b), np.linalg.solve(a.T, b[:, 0]), inverse, want_sign, want_log, inverse.T]
    for have, want in zip(f(a, b), wanted, strict=True):
        assert have.dtype == dtype and have.shape == np.shape(want)
        np.testing.assert_allclose(have, want, rtol=1e-9 if dtype == "float64" else 2e-4)
    np.testing.assert_array_equal(a, kept)
    told = f.explain()
    assert told.count("call lu_factor") == 1 and "call slogdet" not in told and "call matrix_inverse" not in told
    assert [x.shape for x in f(a[:0, :0], b[:0])] == [(0, 2), (0,), (0, 0), (), (), (0, 0)]
    for last in (np.nan, -np.inf):  # which have a sign in NumPy, too
        pivots = np.diag([-1, 2, 3, 4, 5, last]).astype(dtype)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(f(pivots, b)[3:5], np.linalg.slogdet(pivots))
    for matrix, right, error, told in [
        (np.ones((6, 6)), b, fuse.errors.MatrixError, "Singular matrix"),
        (np.eye(6, 5), b, fuse.errors.MatrixError, "must be square(.|\n)*slogdet"),
        (a, b[:1], ShapeError, "solve of 6 equations with a right-hand side of shape"),
    ]:
        with pytest.raises(error, match=told):
            f(matrix.astype(dtype), right)
    only = fuse.function([x], [*T.linalg.slogdet(x)])(np.ones((6, 6), dtype))
    assert float(only[1]) == -np.inf


@pytest.mark.parametrize("shape", [(4, 3), (3,)])
def test_products_with_outer_products_are_products_with_vectors(shape):
    a, v, w, left = [random_array(RNG, s) for s in (shape, (3,), (5,), (6, 3))]
    x, u, t, y = T.TensorType("float64", (None,) * len(shape))(), T.dvector(), T.dvector(), T.dmatrix()
    f = fuse.function([x, u, t, y], [
        T.dot(x, T.outer(u, 2 * t)), T.dot(T.outer(-t, u), y.T), T.dot(T.dot(y, T.outer(u, t)), T.outer(t, u) / 3),
    ])
    wanted = a @ np.outer(v, 2 * w), np.outer(-w, v) @ left.T, left @ np.outer(v, w) @ np.outer(w, v) / 3
    for have, want in zip(f(a, v, w, left), wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-12)
    small = T.bvector()
    wrapped = fuse.function([x, small], T.dot(x, T.outer(small, small)))(a, np.array([100, 3, 7], "int8"))
    np.testing.assert_allclose(wrapped, a @ np.outer(*[np.array([100, 3, 7], "int8")] * 2), rtol=1e-12)
    told = f.explain()
    assert told.count("call dot") == 4 and "dot(float64 matrix, float64 matrix)" not in told, told


STACKED = {
    "solve": (lambda a, b: T.linalg.solve(a, b), np.linalg.solve),
    "solve, columns turned": (lambda a, b: T.linalg.solve(a, b.transpose(0, 2, 1)[:, ::-1].transpose(0, 2, 1)),
                              lambda a, b: np.linalg.solve(a, b[:, :, ::-1])),
    "lower": (lambda a, b: T.linalg.solve_triangular(a, b, lower=True), lambda a, b: np.linalg.solve(np.tril(a), b)),
    "upper": (lambda a, b: T.linalg.solve_triangular(a, b, lower=False, unit_diagonal=True),
              lambda a, b: np.linalg.solve(np.triu(a, 1) + np.eye(a.shape[-1]), b)),
    "inverse": (lambda a, b: T.nlinalg.matrix_inverse(a.transpose(0, 2, 1)),
                lambda a, b: np.linalg.inv(a.swapaxes(1, 2))),
    "cholesky": (lambda a, b: T.linalg.cholesky(a), lambda a, b: np.linalg.cholesky(a)),
    "upper factor": (lambda a, b: T.linalg.cholesky(a, lower=False),
                     lambda a, b: np.linalg.cholesky(a).swapaxes(1, 2)),
    "not positive": (lambda a, b: T.linalg.cholesky(a * T.switch(a[:, :1, :1] > 3, -1, 1), on_error="nan"),
                     lambda a, b: np.where(a[:, :1, :1] > 3, np.nan, np.linalg.cholesky(a))),
    "det": (lambda a, b: T.nlinalg.det(a), lambda a, b: np.linalg.det(a)),
    "sign": (lambda a, b: T.nlinalg.slogdet(-a)[0], lambda a, b: np.linalg.slogdet(-a)[0]),
    "logarithm": (lambda a, b: T.nlinalg.slogdet(a)[1], lambda a, b: np.linalg.slogdet(a)[1]),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_stacks_of_small_matrices(dtype):
    """Many small ones go through a kernel, few or large ones through LAPACK; sizes of 1 broadcast."""
    a, b = T.tensor3("a", dtype), T.tensor3("b", dtype)
    names = [*STACKED] if dtype == "float64" else ["solve", "upper", "cholesky", "logarithm"]
    f = fuse.function([a, b], [STACKED[name][0](a, b) for name in names])
    rng = np.random.default_rng(3)
    sizes = ((20, 20, 3, 2), (16, 16, 1, 1), (40, 1, 8, 3), (1, 17, 2, 5), (5, 5, 3, 1), (17, 17, 9, 2))
    for count, others, n, m in sizes:
        x = rng.standard_normal((count, n, n)) * 0.3
        x = (x @ x.swapaxes(1, 2) + 3 * np.eye(n)).astype(dtype)
        y = rng.standard_normal((others, n, m)).astype(dtype)
        for found, name in zip(f(x, y), names, strict=True):
            assert found.dtype == dtype and found.base is None
            tolerance = 1e-11 if dtype == "float64" else 3e-5
            expected = STACKED[name][1](x.astype("float64"), y.astype("float64"))
            np.testing.assert_allclose(found, expected, tolerance, tolerance, err_msg=name)
    nothing, square = np.ones((20, 2, 2), dtype), np.tile(np.eye(2, dtype=dtype), (20, 1, 1))
    with pytest.raises(MatrixError, match="solve"):
        f(nothing, square)
    with pytest.raises(fuse.errors.FuseError):
        f(square, square[:3])
    with pytest.raises(fuse.errors.FuseError):
        f(square[:, :1], square)
