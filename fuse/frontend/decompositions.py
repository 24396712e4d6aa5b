"""Matrices through LAPACK: inverse, determinant, solving of linear systems, Cholesky factor; each with its gradient.

Sources of the gradients: M. Giles, "An extended collection of matrix derivative results", Oxford 2008; for the Cholesky
factor I. Murray, "Differentiation of the Cholesky decomposition", arXiv:1602.07527.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle
from fuse.frontend.linalg import _transposed, dot, matmul, outer
from fuse.frontend.parts import part
from fuse.frontend.sizes import sizes_of
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import COMPLEX, DISCRETE, TensorType, TupleType, promote, real_of, shape_text


def _lapack_dtype(*dtypes: str) -> str:
    """The dtype LAPACK computes in: integers become float64, as in ``numpy.linalg``; float16 has no routines."""
    dtype = promote(*["float64" if d in DISCRETE else d for d in dtypes])
    if dtype == "float16":
        raise FuseTypeError("LAPACK has no float16: cast the matrix to float32")
    return dtype


def _square(x: Expr, what: str, ranks: Sequence[int] | None = None) -> None:
    shape = x.type.shape
    if len(shape) < 2 or ranks is not None and len(shape) not in ranks:
        raise ShapeError(f"{what} takes a matrix, not a {x.type.describe()}")
    if None not in shape[-2:] and shape[-1] != shape[-2]:
        raise ShapeError(f"{what} takes a square matrix, not one of shape {shape_text(shape)}")


def _guarded(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` on operands in LAPACK's dtype, with its LinAlgError told as a FuseValueError."""

    def call(*arrays: Any, **params: Any) -> Any:
        dtype = _lapack_dtype(*[a.dtype.name for a in arrays])
        try:
            return function(*[np.asarray(a, dtype) for a in arrays], **params)
        except np.linalg.LinAlgError as error:
            raise FuseValueError(f"{what}: {error} (shapes {', '.join(str(a.shape) for a in arrays)})") from error

    return call


# ---------------------------------------------------------------- inverse and determinant
def _inverse_type(x: Expr) -> TensorType:
    _square(x, "matrix_inverse")
    n = x.type.shape[-1] if x.type.shape[-1] is not None else x.type.shape[-2]
    return TensorType(_lapack_dtype(x.type.dtype), (*x.type.shape[:-2], n, n))


def _inverse_grad(g: Expr, out: Expr, x: Expr) -> tuple[Any, ...]:
    t = _transposed(out)
    return (ew.neg(matmul(matmul(t, g), t)),)


def _inverse_jvp(tangents: Sequence[Any], out: Expr, x: Expr) -> Expr:
    return ew.neg(matmul(matmul(out, tangents[0]), out))


@op_record(
    "opaque", name="matrix_inverse", numpy=_guarded("matrix_inverse", np.linalg.inv), infer=_inverse_type,
    shape=lambda node, x: x, grad=_inverse_grad, jvp=_inverse_jvp, latex="#1^{-1}",
)
def _matrix_inverse(op: Op, x: Expr) -> Expr:
    """The inverse of square matrices."""
    return op(x)


def matrix_inverse(x: Any) -> Expr:
    """The inverse of a square matrix (of each, for a stack); for ``A x = b`` use ``solve``: it is more accurate.

    Raises FuseValueError at run time where a matrix is singular.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> matrix_inverse(m).eval({m: [[2.0, 0.0], [0.0, 4.0]]})
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return _matrix_inverse(as_expr(x))


def _det_type(x: Expr) -> TensorType:
    _square(x, "det")
    return TensorType(_lapack_dtype(x.type.dtype), x.type.shape[:-2])


@op_record(
    "opaque", name="det", numpy=_guarded("det", np.linalg.det), infer=_det_type, shape=lambda node, x: x[:-2],
    grad=lambda g, out, x: (ew.mul(_as_stack(ew.mul(g, out)), _transposed(_matrix_inverse(x))),), latex=r"\det #1",
)
def _det(op: Op, x: Expr) -> Expr:
    """The determinant of square matrices."""
    return op(x)


def det(x: Any) -> Expr:
    """The determinant of a square matrix (of each, for a stack).

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> round(float(det(m).eval({m: [[2.0, 0.0], [0.0, 4.0]]})), 12)
    8.0
    """
    return _det(as_expr(x))


def _as_stack(x: Expr) -> Expr:
    """One number per matrix, to multiply a stack of matrices with."""
    return dimshuffle(x, [*range(x.type.ndim), "x", "x"])


def _slogdet_type(x: Expr) -> Any:
    _square(x, "slogdet")
    dtype, shape = _lapack_dtype(x.type.dtype), x.type.shape[:-2]
    return TupleType((TensorType(dtype, shape), TensorType(real_of(dtype), shape)))


def _slogdet_grad(g: Any, out: Expr, x: Expr) -> tuple[Any, ...]:
    if g[1] is DISCONNECTED:
        return (ew.mul(x, 0),)  # the sign is constant where it has a derivative
    if x.type.dtype in COMPLEX:
        raise FuseTypeError("slogdet has no gradient for complex matrices")
    return (ew.mul(_as_stack(g[1]), _transposed(_matrix_inverse(x))),)


@op_record(
    "opaque", name="slogdet", numpy=_guarded("slogdet", lambda x: list(np.linalg.slogdet(x))), infer=_slogdet_type,
    shape=lambda node, x: (x[:-2], x[:-2]), grad=_slogdet_grad,
)
def _slogdet(op: Op, x: Expr) -> Expr:
    """Sign and logarithm of the absolute value of determinants."""
    return op(x)


def slogdet(x: Any) -> tuple[Expr, Expr]:
    """(sign, log(abs(det(x)))) of a square matrix, without the overflow of the determinant itself.

    Two scalars; for a stack of matrices two arrays. Raises ShapeError where a matrix is not square.

    >>> import numpy as np
    >>> sign, log = slogdet(1e-200 * np.diag([-1.0, 1.0]))
    >>> float(sign.eval()), round(float(log.eval()), 6)
    (-1.0, -921.034037)
    """
    node = _slogdet(as_expr(x))
    return part(node, 0), part(node, 1)


# ---------------------------------------------------------------- linear systems
def _solve_type(a: Expr, b: Expr, **_: Any) -> TensorType:
    _square(a, "solve", ranks=(2,))
    if b.type.ndim not in (1, 2):
        raise ShapeError(f"the right-hand side of solve is a vector or a matrix, not a {b.type.describe()}")
    n, m = a.type.shape[0], b.type.shape[0]
    if n is not None and m is not None and n != m:
        raise ShapeError(f"solve of {n} equations with a right-hand side of shape {shape_text(b.type.shape)}")
    return TensorType(_lapack_dtype(a.type.dtype, b.type.dtype), (m if n is None else n, *b.type.shape[1:]))


def _solve_grad(g: Expr, out: Expr, a: Expr, b: Expr) -> tuple[Any, ...]:
    g_b = _solve(_transposed(a), g)
    return ew.neg(_columns_outer(g_b, out)), g_b


def _columns_outer(u: Expr, v: Expr) -> Expr:
    return outer(u, v) if u.type.ndim == 1 else dot(u, _transposed(v))


@op_record(
    "opaque", name="solve", numpy=_guarded("solve", lambda a, b: _solve_columns(np.linalg.solve, a, b)),
    infer=_solve_type, shape=lambda node, a, b: b, grad=_solve_grad,
)
def _solve(op: Op, a: Expr, b: Expr) -> Expr:
    """The solution x of ``a x = b``."""
    return op(a, b)


def _solve_columns(function: Callable[..., Any], a: Any, b: Any, **params: Any) -> Any:
    """NumPy 1 and 2 read a stack of vectors differently; a column is a column for both."""
    return function(a, b[:, None], **params)[:, 0] if b.ndim == 1 else function(a, b, **params)


def solve(a: Any, b: Any) -> Expr:
    """The solution ``x`` of the linear system ``a x = b``; ``b`` is a vector, or a matrix of right-hand sides.

    Raises FuseValueError at run time where ``a`` is singular.

    >>> import fuse.tensor as T
    >>> a, b = T.matrix("a"), T.vector("b")
    >>> solve(a, b).eval({a: [[2.0, 0.0], [1.0, 4.0]], b: [2.0, 9.0]})
    array([1., 2.])
    """
    return _solve(as_expr(a), as_expr(b))


def _scipy_triangular(a: Any, b: Any, *, lower: bool, unit_diagonal: bool) -> Any:
    from scipy.linalg import solve_triangular as scipy_solve

    return scipy_solve(a, b, lower=lower, unit_diagonal=unit_diagonal, check_finite=False)


def _triangular_grad(g: Expr, out: Expr, a: Expr, b: Expr, *, lower: bool, unit_diagonal: bool) -> tuple[Any, ...]:
    from fuse.frontend.creation import tril, triu

    g_b = _solve_triangular(_transposed(a), g, lower=not lower, unit_diagonal=unit_diagonal)
    g_a = ew.neg(_columns_outer(g_b, out))
    offset = 1 if unit_diagonal else 0  # a unit diagonal is not read
    return tril(g_a, -offset) if lower else triu(g_a, offset), g_b


@op_record(
    "opaque", name="solve_triangular", numpy=_guarded("solve_triangular", _scipy_triangular), infer=_solve_type,
    shape=lambda node, a, b: b, grad=_triangular_grad,
)
def _solve_triangular(op: Op, a: Expr, b: Expr, *, lower: bool, unit_diagonal: bool) -> Expr:
    """The solution x of ``a x = b`` for a triangular ``a``."""
    return op(a, b, lower=lower, unit_diagonal=unit_diagonal)


def solve_triangular(a: Any, b: Any, lower: bool = False, trans: bool = False, unit_diagonal: bool = False) -> Expr:
    """The solution ``x`` of ``a x = b`` (``a.T x = b`` with ``trans``) for a triangular matrix ``a``.

    Only the triangle named by ``lower`` is read, and not its diagonal where ``unit_diagonal`` says that it is 1.
    ``b`` is a vector, or a matrix of right-hand sides. Raises FuseValueError at run time where ``a`` is singular.

    >>> solve_triangular([[2.0, 0.0], [1.0, 4.0]], [2.0, 9.0], lower=True).eval()
    array([1., 2.])
    """
    a = as_expr(a)
    if trans:
        a, lower = _transposed(a), not lower
    return _solve_triangular(a, as_expr(b), lower=bool(lower), unit_diagonal=bool(unit_diagonal))


# ---------------------------------------------------------------- Cholesky
def _cholesky_numpy(x: Any, *, lower: bool) -> Any:
    # numpy reads the lower triangle; the upper factor of the upper triangle is the transposed lower one of x^T.
    return np.linalg.cholesky(x) if lower else np.linalg.cholesky(x.T.conj()).T.conj()


def _cholesky_type(x: Expr, *, lower: bool) -> TensorType:
    _square(x, "cholesky", ranks=(2,))
    return TensorType(_lapack_dtype(x.type.dtype), x.type.shape)


def _cholesky_grad(g: Expr, out: Expr, x: Expr, *, lower: bool) -> tuple[Any, ...]:
    """Murray's equation 10: S = L^-T phi(L^T g) L^-1, folded into the triangle that was read."""
    from fuse.frontend.creation import eye, tril

    if out.type.dtype in COMPLEX:
        raise FuseTypeError("cholesky has no gradient for complex matrices")
    factor, g = (out, g) if lower else (_transposed(out), _transposed(g))
    rows, columns = sizes_of(factor)
    diagonal = eye(rows, columns, dtype=factor.type.dtype)
    below = tril(dot(_transposed(factor), g))
    phi = ew.sub(below, ew.mul(ew.mul(below, diagonal), _half(factor)))
    upper = _transposed(factor)
    left = _solve_triangular(upper, phi, lower=False, unit_diagonal=False)
    s = _transposed(_solve_triangular(upper, _transposed(left), lower=False, unit_diagonal=False))
    both = ew.add(s, _transposed(s))
    folded = tril(ew.sub(both, ew.mul(ew.mul(both, diagonal), _half(factor))))
    return (folded if lower else _transposed(folded),)


def _half(like: Expr) -> Expr:
    return as_expr(np.asarray(0.5, like.type.dtype))


@op_record(
    "opaque", name="cholesky", numpy=_guarded("cholesky", _cholesky_numpy), infer=_cholesky_type,
    shape=lambda node, x: x, grad=_cholesky_grad,
)
def _cholesky(op: Op, x: Expr, *, lower: bool) -> Expr:
    """The triangular factor of a symmetric positive definite matrix."""
    return op(x, lower=lower)


def cholesky(x: Any, lower: bool = True) -> Expr:
    """The triangular factor of a symmetric positive definite matrix: ``L`` of ``x = L L^T`` or ``U`` of ``x = U^T U``.

    Only the triangle named by ``lower`` is read, and the gradient is nonzero only there. Raises FuseValueError at run
    time where ``x`` is not positive definite.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> cholesky(m).eval({m: [[4.0, 0.0], [0.0, 9.0]]})
    array([[2., 0.],
           [0., 3.]])
    """
    return _cholesky(as_expr(x), lower=bool(lower))


__all__ = ["cholesky", "det", "matrix_inverse", "slogdet", "solve", "solve_triangular"]
