"""Decompositions of matrices and stacks against NumPy and SciPy: values, dtypes, shapes, gradients, errors."""
from __future__ import annotations

import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest
import scipy.linalg
from op_checks import check_gradient, check_value, inputs_like, random_array

import fuse
import fuse.tensor as T
from fuse.autodiff.batching import vectorize
from fuse.errors import FuseTypeError, FuseValueError, MatrixError, NullTypeGradError, ShapeError
from fuse.op import OPS
from fuse.reference import evaluate

L = T.linalg


def draw(shape, dtype="float64"):
    """Some array of that shape, the same in every run."""
    return random_array(np.random.default_rng(8), shape, dtype)


def positive(x):
    return T.matmul(x, x.swapaxes(-1, -2)) + 3 * np.eye(3)


def positive_numpy(x):
    return x @ x.swapaxes(-1, -2) + 3 * np.eye(3)


def each(function):
    """``function`` of every matrix in a stack."""
    def stacked(*arrays):
        lead = arrays[0].shape[:-2]
        return np.stack([function(*[a[k] for a in arrays]) for k in np.ndindex(lead)]).reshape(
            *lead, *np.shape(function(*[a[(0,) * len(lead)] for a in arrays])))

    return stacked


def rebuilt(x, full=False):
    u, s, vt = L.svd(x, full_matrices=full)
    k = s.type.shape[-1] or T.minimum(x.shape[-2], x.shape[-1])
    return T.matmul(u[..., :k] * s[..., None, :], vt[..., :k, :])


# name, ours, NumPy's, shapes of the operands
CASES = [
    *[(f"eigvalsh {s}", L.eigvalsh, lambda x: np.linalg.eigvalsh(x), [s]) for s in [(4, 4), (2, 3, 3), (1, 1)]],
    ("eigvalsh of the upper triangle", lambda x: L.eigvalsh(x, lower=False), lambda x: np.linalg.eigvalsh(x, "U"),
     [(4, 4)]),
    ("eigvalsh of two", lambda a, b: L.eigvalsh(a, positive(b)),
     lambda a, b: scipy.linalg.eigvalsh(a, positive_numpy(b)), [(3, 3), (3, 3)]),
    ("eigvalsh of two stacks", lambda a, b: L.eigvalsh(a, positive(b), lower=False),
     each(lambda a, b: scipy.linalg.eigvalsh(a, positive_numpy(b), lower=False)), [(2, 3, 3), (2, 3, 3)]),
    *[(f"eigh {s}", lambda x: abs(L.eigh(x)[1]), lambda x: abs(np.linalg.eigh(x)[1]), [s])
      for s in [(4, 4), (2, 3, 3), (2, 2, 3, 3)]],
    ("eigh U", lambda x: abs(T.nlinalg.eigh(x, "U")[1]), lambda x: abs(np.linalg.eigh(x, "U")[1]), [(4, 4)]),
    *[(f"svdvals {s}", lambda x: L.svd(x, compute_uv=False), lambda x: np.linalg.svd(x, compute_uv=False), [s])
      for s in [(4, 4), (2, 5), (5, 2), (2, 4, 3)]],
    *[(f"svd s {s}", lambda x: L.svd(x)[1], lambda x: np.linalg.svd(x, compute_uv=False), [s])
      for s in [(4, 4), (2, 5), (5, 2), (2, 4, 3)]],
    *[(f"svd u {s}", lambda x: abs(L.svd(x, False)[0]), lambda x: abs(np.linalg.svd(x, False)[0]), [s])
      for s in [(4, 4), (2, 5), (5, 2), (2, 4, 3)]],
    *[(f"svd vt {s}", lambda x: abs(L.svd(x, False)[2]), lambda x: abs(np.linalg.svd(x, False)[2]), [s])
      for s in [(4, 4), (2, 5), (5, 2), (2, 4, 3)]],
    *[(f"svd rebuilt {s}", rebuilt, lambda x: x, [s]) for s in [(4, 4), (2, 5), (5, 2), (2, 4, 3)]],
    *[(f"pinv {s}", L.pinv, np.linalg.pinv, [s]) for s in [(4, 4), (2, 5), (5, 2), (2, 4, 3)]],
    *[(f"qr {part} {s}", lambda x, part=part: L.qr(x)[part], lambda x, part=part: np.linalg.qr(x)[part], [s])
      for s in [(4, 4), (2, 5), (5, 2), (2, 4, 3), (2, 3, 4)] for part in (0, 1)],
    *[(f"qr r {s}", lambda x: L.qr(x, "r"), lambda x: np.linalg.qr(x, "r"), [s]) for s in [(4, 4), (2, 5), (5, 2)]],
    *[(f"qr complete, r {s}", lambda x: L.qr(x, mode="complete")[1], lambda x: np.linalg.qr(x, "complete")[1], [s])
      for s in [(4, 4), (2, 5), (5, 2)]],
    *[(f"expm {s}", L.expm, scipy.linalg.expm, [s]) for s in [(3, 3), (2, 3, 3)]],
    *[(f"lstsq {part} {s}", lambda a, b, part=part: L.lstsq(a, b)[part],
       lambda a, b, part=part: np.linalg.lstsq(a, b, None)[part], s)
      for s in [[(5, 3), (5,)], [(5, 3), (5, 2)], [(3, 5), (3, 2)]] for part in (0, 1, 3)],
    ("tensorinv", L.tensorinv, np.linalg.tensorinv, [(2, 3, 6)]),
    ("tensorinv 1", lambda x: L.tensorinv(x, ind=1), lambda x: np.linalg.tensorinv(x, 1), [(6, 2, 3)]),
    ("tensorsolve", L.tensorsolve, np.linalg.tensorsolve, [(2, 3, 6), (2, 3)]),
    ("tensorsolve axes", lambda a, b: L.tensorsolve(a, b, (0,)), lambda a, b: np.linalg.tensorsolve(a, b, (0,)),
     [(6, 2, 3), (2, 3)]),
    ("block_diag", L.block_diag, scipy.linalg.block_diag, [(2, 3), (3, 1), (1, 2)]),
    ("alloc_diag", lambda x: L.alloc_diag(x, 1), lambda x: np.diag(x, 1), [(3,)]),
    ("alloc_diag of a matrix", lambda x: T.AllocDiag(-1, 0, 2)(x),
     lambda x: np.moveaxis(np.stack([np.diag(v, -1) for v in x]), (1, 2), (0, 2)), [(2, 3)]),
    *[(f"norm {o} {s}", lambda x, o=o: T.nlinalg.norm(x, o), lambda x, o=o: np.linalg.norm(x, o), [s])
      for s in [(3, 4)] for o in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
    *[(f"norm {o} of a vector", lambda x, o=o: T.nlinalg.norm(x, o), lambda x, o=o: np.linalg.norm(x, o), [(4,)])
      for o in (None, 1, 2, 3, np.inf, -np.inf)],
    ("norm of axes", lambda x: T.nlinalg.norm(x, "nuc", (0, 2), keepdims=True),
     lambda x: np.linalg.norm(x, "nuc", (0, 2), keepdims=True), [(3, 2, 4)]),
    ("solve of stacks", T.solve, np.linalg.solve, [(2, 3, 3), (2, 3, 2)]),
    ("solve broadcast", T.solve, np.linalg.solve, [(3, 3), (2, 3, 2)]),
    ("solve of vectors", lambda a, b: T.solve(a, b, b_ndim=1), lambda a, b: np.linalg.solve(a, b[..., None])[..., 0],
     [(2, 3, 3), (2, 3)]),
    ("solve of one vector", T.solve, np.linalg.solve, [(2, 3, 3), (3,)]),
    ("solve transposed", lambda a, b: T.solve(a, b, transposed=True), lambda a, b: np.linalg.solve(a.T, b),
     [(3, 3), (3,)]),
    *[(f"solve {how} {lower}", lambda a, b, how=how, lower=lower: T.solve(positive(a), b, how, lower),
       lambda a, b: np.linalg.solve(positive_numpy(a), b), [(3, 3), (3, 2)])
      for how in ("sym", "pos", "her") for lower in (True, False)],
    ("solve of a triangle", lambda a, b: T.solve(a, b, "sym", lower=True),
     lambda a, b: np.linalg.solve(np.tril(a) + np.tril(a, -1).T, b), [(3, 3), (3,)]),
    ("solve triangular", lambda a, b: T.solve(a, b, "upper triangular"),
     lambda a, b: np.linalg.solve(np.triu(a), b), [(3, 3), (3,)]),
    *[(f"solve_triangular {t}", lambda a, b, t=t: T.solve_triangular(a, b, lower=True, trans=t, unit_diagonal=True),
       lambda a, b, t=t: scipy.linalg.solve_triangular(a, b, t, lower=True, unit_diagonal=True), [(3, 3), (3, 2)])
      for t in (0, 1, "N", "T", "C")],
    ("solve_triangular of stacks", lambda a, b: T.solve_triangular(a, b, lower=True),
     lambda a, b: np.linalg.solve(np.tril(a), np.broadcast_to(b, (2, 3, 2))), [(2, 3, 3), (3, 2)]),
    *[(f"cholesky of stacks, lower {lower}", lambda a, lower=lower: T.cholesky(positive(a), lower),
       lambda a, lower=lower: each(lambda m: scipy.linalg.cholesky(m, lower))(positive_numpy(a)), [(2, 3, 3)])
      for lower in (True, False)],
    ("slogdet of stacks", lambda x: T.slogdet(x)[1], lambda x: np.linalg.slogdet(x)[1], [(2, 3, 3)]),
    *[(f"matrix_power {n} of stacks", lambda x, n=n: T.matrix_power(x, n),
       lambda x, n=n: np.linalg.matrix_power(x, n), [(2, 3, 3)]) for n in (-1, 3)],
    ("matrix_power -2", lambda x: T.matrix_power(x, -2), lambda x: np.linalg.matrix_power(x, -2), [(3, 3)]),
]


@pytest.mark.parametrize(("name", "ours", "numpys", "shapes"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("static", [True, False], ids=["sizes known", "sizes unknown"])
def test_values_and_gradients(name, ours, numpys, shapes, static):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    arrays = [random_array(rng, s) for s in shapes]
    inputs = inputs_like(arrays, static)
    want = np.asarray(numpys(*arrays))
    if "residual" not in name and want.size:
        check_value(ours(*inputs), want, dict(zip(inputs, arrays, strict=True)), rtol=1e-9)
    check_gradient(ours, inputs, arrays, tol=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "int8", "complex128"])
@pytest.mark.parametrize("name", ["eigh", "svd", "pinv", "qr", "expm", "eigvalsh", "lstsq"])
def test_dtypes_are_those_of_numpy(name, dtype):
    a = draw((3, 3), dtype)
    x = fuse.constant(a)
    ours = {"lstsq": lambda: L.lstsq(x, x), "eigvalsh": lambda: L.eigvalsh(x)}.get(name, lambda: getattr(L, name)(x))()
    numpys = {"expm": scipy.linalg.expm, "lstsq": lambda m: np.linalg.lstsq(m, m, None)}.get(
        name, getattr(np.linalg, name, None))(a)
    ours, numpys = (p if isinstance(p, (tuple, list)) else [p] for p in (ours, numpys))
    for have, want in zip(ours, numpys, strict=True):
        wanted = "float64" if name == "expm" and dtype == "int8" else np.asarray(want).dtype.name
        value = have.eval()
        assert have.type.dtype == value.dtype.name == ("int64" if wanted.startswith("int") else wanted)
        if name != "svd":
            np.testing.assert_allclose(value, want, rtol=1e-3, atol=1e-5)


def test_compiled_functions_agree_with_the_interpreter():
    x = T.dmatrix("x")
    outs = [*L.svd(x, full_matrices=False), *L.qr(x), L.pinv(x), *L.eigh(T.dot(x, x.T)), L.svd(x, compute_uv=False)]
    outs += [out.shape for out in outs]
    a = draw((4, 3))
    for have, want in zip(fuse.function([x], outs)(a), evaluate(outs, {x: a}), strict=True):
        np.testing.assert_allclose(have, want, atol=1e-12)


# ---------------------------------------------------------------- equal eigenvalues and singular values
WEIGHTS = np.arange(9.0).reshape(3, 3)
DIRECTION = np.array([[1.0, 2.0, -1.0], [2.0, 0.5, 3.0], [-1.0, 3.0, 1.0]])


def with_eigenvalues(values, seed):
    basis = scipy.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return basis @ np.diag(values) @ basis.T


def along(cost, x, at):
    """The derivative in DIRECTION by differences, and that of the gradient, which stands in the lower triangle."""
    f = fuse.function([x], [cost, fuse.grad(cost, x)])
    ends = [float(f(at + h * DIRECTION)[0]) for h in (1e-5, -1e-5)]
    return (ends[0] - ends[1]) / 2e-5, float((f(at)[1] * DIRECTION).sum())


@pytest.mark.parametrize("seed", range(5))
def test_gradients_at_equal_eigenvalues_of_functions_that_use_their_vectors_alike(seed):
    x, (a, b) = T.dmatrix("x"), (with_eigenvalues([1.0, 1.0, 4.0], seed), with_eigenvalues([1.0, 2.0, 3.0], seed + 9))
    w, v = L.eigh(x)
    projector = T.sum(T.matmul(v[:, :2], v[:, :2].T) * WEIGHTS)
    for cost in (projector, T.sum(w ** 3)):
        want, have = along(cost, x, a)
        assert have == pytest.approx(want, rel=1e-5, abs=1e-5)
    root = T.cholesky(x)  # of a pair with w = 1, 1, 4: b is the variable
    v = fuse.frontend.parts.part(OPS["eigh_pair"](T.dot(root, T.dot(a, root.T)), x, lower=True), 1)
    want, have = along(T.sum(T.matmul(v[:, :2], v[:, :2].T) * WEIGHTS), x, b)
    assert have == pytest.approx(want, rel=1e-5, abs=1e-5)


def test_gradients_at_equal_values_are_nan_rather_than_a_guess():
    x = T.dmatrix("x")
    (w, v), (u, s, vt) = L.eigh(x), L.svd(x, full_matrices=False)
    for cost in (T.sum(T.matmul(v * T.exp(w), v.T) * WEIGHTS), v[0, 1], T.sum(T.matmul(u * s ** 2, vt) * WEIGHTS)):
        assert np.isnan(fuse.grad(cost, x).eval({x: np.eye(3)})).any()
        near = np.diag([1.0, 1.1, 1.3]) + 0.1 * DIRECTION
        assert np.isfinite(fuse.grad(cost, x).eval({x: near})).all()


def test_gradients_at_equal_singular_values_and_at_zero():
    x = T.dmatrix("x")
    u, s, vt = L.svd(x, full_matrices=False)
    polar = T.sum(T.dot(u, vt) * np.arange(9.0).reshape(3, 3))  # the nearest orthogonal matrix
    g = fuse.grad(polar, x)
    for a in (np.eye(3), 2 * scipy.linalg.qr(draw((3, 3)))[0]):
        ends = [float(polar.eval({x: a + h * np.outer([1, 2, 3], [3, 1, 2])})) for h in (1e-6, -1e-6)]
        along = float((g.eval({x: a}) * np.outer([1, 2, 3], [3, 1, 2])).sum())
        assert along == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)
    assert np.isfinite(fuse.grad(T.sum(T.dot(u * s, vt) ** 2), x).eval({x: np.zeros((3, 3))})).all()


# ---------------------------------------------------------------- batches, pickles, NumPy's functions
STACKED = {
    "matrix_inverse": T.matrix_inverse, "det": T.det, "slogdet": lambda x: T.slogdet(x)[1],
    "cholesky": lambda x: T.cholesky(positive(x)), "eigvalsh": L.eigvalsh, "pinv": L.pinv, "expm": L.expm,
    "svdvals": lambda x: L.svd(x, compute_uv=False), "svd": lambda x: L.svd(x, False)[1], "qr": lambda x: L.qr(x)[1],
    "solve": lambda x: T.solve(x, x[0]), "solve of matrices": lambda x: T.solve(x, T.constant(np.eye(3)[:, :2])),
    "right side": lambda x: T.solve(T.constant(3 * np.eye(3)), x),
    "triangular": lambda x: T.solve_triangular(x, x[:, 0]),
}


@pytest.mark.parametrize("name", STACKED)
def test_leading_axes_by_vectorize(name):
    x, rows = T.dmatrix("x"), T.dtensor3("rows")
    out = STACKED[name](x)
    [wide] = vectorize([out], {x: rows}, rows.shape[0])
    assert "each" not in {n.op.name for n in fuse.expr.toposort([wide])}
    a = draw((4, 3, 3)) + 2 * np.eye(3)
    want = np.stack([evaluate([out], {x: m})[0] for m in a])
    np.testing.assert_allclose(evaluate([wide], {rows: a})[0], want, rtol=1e-9, atol=1e-12)


def test_a_pickle_finds_ops_that_are_not_imported_yet(tmp_path):
    x = T.dmatrix("x")
    (tmp_path / "p").write_bytes(pickle.dumps((x, L.svd(x, compute_uv=False))))
    code = f"import pickle; x, s = pickle.load(open({str(tmp_path / 'p')!r}, 'rb')); print(s.eval({{x: [[2.0]]}}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[2.]\n"


def test_functions_of_numpy_build_graphs():
    x = T.dmatrix("x")
    assert np.linalg.inv(x) is T.matrix_inverse(x) and np.linalg.pinv(x) is L.pinv(x)
    assert np.linalg.svd(x)[1] is L.svd(x)[1] and np.linalg.norm(x, "nuc") is L.norm(x, "nuc")
    assert np.einsum("ij,jk", x, x) is T.einsum("ij,jk->ik", x, x)
    assert np.linalg.cholesky(x) is T.cholesky(x) and np.linalg.eigvalsh(x, "U") is L.eigvalsh(x, lower=False)


# ---------------------------------------------------------------- Theano's names
def test_theanos_classes_build_and_are_found():
    x = T.dmatrix("x")
    N, S = T.nlinalg, T.slinalg
    assert N.MatrixPinv()(x) is N.pinv(x) and N.SVD(0, 1)(x)[0] is N.svd(x, full_matrices=0, compute_uv=1)[0]
    assert N.Eigh("U")(x)[0] is N.eigh(x, "U")[0] and N.TensorInv(1)(x) is N.tensorinv(x, 1)
    assert S.Expm()(x) is S.expm(x) and S.Eigvalsh(lower=False)(x, x) is S.eigvalsh(x, x, lower=False)
    assert N.QRFull("reduced")(x)[1] is N.qr(x)[1] and N.QRIncomplete("r")(x) is N.qr(x, "r")
    assert S.Cholesky(lower=False, on_error="nan")(x) is T.cholesky(x, False, "nan")
    assert S.Solve(A_structure="lower_triangular")(x, x) is S.solve_lower_triangular(x, x)
    for made, cls in ((N.svd(x)[0], N.SVD), (N.qr(x)[0], N.QRFull), (S.expm(x), S.Expm), (N.pinv(x), N.MatrixPinv)):
        assert any(isinstance(n.op, cls) for n in fuse.function([x], made).maker.fgraph.toposort())
    solved, called = N.lstsq()(x, x, T.dscalar("rcond")), N.lstsq(x, x, rcond=T.dscalar("rcond"))
    assert [p.ndim for p in solved] == [p.ndim for p in called] == [2, 1, 0, 1]


def test_gradients_that_theano_has_as_ops():
    x, g, u = T.dmatrices("x", "g", "u")
    a = positive_numpy(draw((3, 3)))
    at = {x: a, g: draw((3, 3)), u: positive_numpy(draw((3, 3)))}
    factor = T.cholesky(x)
    np.testing.assert_allclose(T.slinalg.CholeskyGrad(True)(x, factor, g).eval(at, on_unused_input="ignore"),
                               fuse.gradient.Lop(factor, x, g).eval(at, on_unused_input="ignore"))
    w, v = T.nlinalg.eigh(x)
    weights = np.arange(3.0)
    np.testing.assert_allclose(
        T.nlinalg.EighGrad("L")(x, w, v, weights, g).eval(at, on_unused_input="ignore"),
        fuse.grad((w * weights).sum() + (v * g).sum(), x).eval(at, on_unused_input="ignore"))
    found = T.slinalg.EigvalshGrad()(x, u, weights)
    wanted = fuse.grad((L.eigvalsh(x, u) * weights).sum(), [x, u])
    for have, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(have.eval(at, on_unused_input="ignore"), want.eval(at, on_unused_input="ignore"))


# ---------------------------------------------------------------- errors
def test_singular_and_indefinite_matrices_say_what_to_do():
    x = T.dmatrix("x")
    ones = {x: np.ones((2, 2))}
    with pytest.raises(MatrixError, match=r"matrix_inverse: Singular matrix .*: .*pinv and lstsq serve such matrices"):
        T.matrix_inverse(x).eval(ones)
    with pytest.raises(np.linalg.LinAlgError, match="solve: Singular matrix"):
        fuse.function([x], T.solve(x, x))(np.ones((2, 2)))
    with pytest.raises(np.linalg.LinAlgError, match=r"only symmetric positive definite .* on_error='nan'"):
        T.cholesky(x).eval({x: -np.eye(2)})
    with pytest.raises(MatrixError, match="second matrix must be positive definite"):
        L.eigvalsh(x, -x).eval({x: np.eye(2)})
    with pytest.raises(FuseValueError, match=r"complex eigenvalues: cast it first, eig\(cast\(x, 'complex128'\)\)"):
        L.eig(x)[0].eval({x: [[0.0, 1.0], [-1.0, 0.0]]})


def test_nan_instead_of_an_error_for_matrices_without_a_factor():
    x = T.dtensor3("x")
    stack = np.stack([np.eye(2), -np.eye(2)])
    for lower in (True, False):
        have = T.cholesky(x, lower, on_error="nan").eval({x: stack})
        np.testing.assert_array_equal(have[0], np.eye(2))
        assert np.isnan(have[1]).all()
    g = fuse.grad(T.cholesky(x, on_error="nan").sum(), x).eval({x: stack})
    assert np.isfinite(g[0]).all() and np.isnan(g[1]).all()


@pytest.mark.parametrize(("build", "error", "message"), [
    (lambda v: L.eigh(v), ShapeError, "eigh takes a matrix, not a float64 vector"),
    (lambda v: L.svd(v), ShapeError, "svd takes a matrix, not a float64 vector"),
    (lambda v: L.expm(T.tensor("float64", shape=(2, 3))), ShapeError, "expm takes a square matrix"),
    (lambda v: L.eigh(T.dmatrix(), "X"), FuseValueError, "UPLO is 'L' or 'U'"),
    (lambda v: L.qr(T.dmatrix(), "full"), FuseValueError, "the mode of qr is 'reduced', 'complete', 'r' or 'raw'"),
    (lambda v: T.solve(T.dmatrix(), v, "banded"), FuseValueError, "assume_a of solve is one of"),
    (lambda v: T.solve_triangular(T.dmatrix(), v, trans="H"), FuseTypeError, "trans of solve_triangular"),
    (lambda v: T.cholesky(T.dmatrix(), on_error="ignore"), FuseValueError, "on_error of cholesky"),
    (lambda v: L.lstsq(T.dtensor3(), v), ShapeError, "of stacks pinv"),
    (lambda v: L.tensorinv(v, 0), FuseValueError, "ind of tensorinv"),
    (lambda v: T.nlinalg.norm(v, "fro"), FuseValueError, "norms of vectors have orders"),
    (lambda v: T.nlinalg.norm(T.dmatrix(), 0), FuseValueError, "norms of matrices have orders"),
    (lambda v: T.nlinalg.norm(T.dscalar(), None), ShapeError, "norm takes a vector or a matrix"),
    (lambda v: T.nlinalg.norm(T.dtensor3(), 2), ShapeError, "needs an axis"),
    (lambda v: fuse.grad(L.svd(m := T.dmatrix())[0].sum(), m),
     FuseTypeError, "use svd"),
    (lambda v: fuse.grad(L.qr(m := T.dmatrix(), "complete")[0].sum(), m), FuseTypeError, "use mode='reduced'"),
    (lambda v: fuse.grad(L.eig(m := T.dmatrix())[0].sum(), m), NullTypeGradError, "for symmetric matrices take eigh"),
    (lambda v: fuse.grad(abs(L.pinv(m := T.zmatrix())).sum(), m), FuseTypeError, "no gradient for complex matrices"),
])
def test_what_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build(T.dvector("v"))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("order", ["C", "F", "reversed"])
@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (4, 0), (4,)], ids=str)
def test_triangles_in_any_order_of_memory(dtype, order, shape):
    rng = np.random.default_rng(5)
    make = {"C": np.ascontiguousarray, "F": np.asfortranarray, "reversed": lambda x: x[::-1].copy()[::-1]}[order]
    turned = 1j * rng.normal(size=(4, 4)) if "c" in dtype else 0
    a = make((rng.normal(size=(4, 4)) + 4 * np.eye(4) + turned).astype(dtype))
    b = make(rng.normal(size=shape).astype(dtype))
    x, y = T.TensorType(dtype, (None, None))("x"), T.TensorType(dtype, (None,) * len(shape))("y")
    forms = [(lower, unit, trans) for lower in (True, False) for unit in (True, False) for trans in (0, 1, 2)]
    f = fuse.function([x, y], [T.solve_triangular(x, y, lower=p, unit_diagonal=u, trans=t) for p, u, t in forms])
    kept = a.copy(), b.copy()
    for found, (p, u, t) in zip(f(a, b), forms, strict=True):
        expected = scipy.linalg.solve_triangular(a, b, lower=p, unit_diagonal=u, trans=t)
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype in ("float32", "complex64") else 1e-12)
        assert found.dtype == dtype
    assert (a == kept[0]).all() and (b == kept[1]).all()


@pytest.mark.parametrize("shapes", [((3, 3), (4, 2)), ((3, 4), (4, 2)), ((3, 4), (3, 0))])
def test_triangles_of_shapes_that_do_not_fit_are_refused(shapes):
    a, b = T.dmatrices("a", "b")
    with pytest.raises(fuse.errors.ShapeError, match=r"must be square.*(\n.*)*solve_triangular"):
        fuse.function([a, b], T.solve_triangular(a, b))(*map(np.ones, shapes))
