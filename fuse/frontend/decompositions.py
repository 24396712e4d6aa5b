"""Matrices through LAPACK: inverse, determinant, Cholesky factor; each with its gradient, and of stacks too.

Sources of the gradients: M. Giles, "An extended collection of matrix derivative results", Oxford 2008; for the Cholesky
factor I. Murray, "Differentiation of the Cholesky decomposition", arXiv:1602.07527.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, MatrixError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle
from fuse.frontend.linalg import matmul, transpose_last
from fuse.frontend.parts import part
from fuse.frontend.sizes import sizes_of
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import COMPLEX, DISCRETE, TensorType, TupleType, promote, real_of, shape_text


def lapack_dtype(*dtypes: str) -> str:
    """The dtype LAPACK computes in: integers become float64, as in ``numpy.linalg``, float16 float32, as in SciPy."""
    dtype = promote(*["float64" if d in DISCRETE else d for d in dtypes])
    return "float32" if dtype == "float16" else dtype


def require_square(x: Expr, what: str, ranks: Sequence[int] | None = None) -> None:
    """ShapeError where ``x`` is surely no square matrix, or no stack of them of one of these ``ranks``."""
    shape = x.type.shape
    if len(shape) < 2 or ranks is not None and len(shape) not in ranks:
        raise ShapeError(f"{what} takes a matrix, not a {x.type.describe()}")
    if None not in shape[-2:] and shape[-1] != shape[-2]:
        raise ShapeError(f"{what} takes a square matrix, not one of shape {shape_text(shape)}")


NO_COMPLEX_GRADIENT = "{} has no gradient for complex matrices: write the matrix as a real one of twice the size"
SINGULAR = (
    "the matrix has no inverse: pinv and lstsq serve such matrices; else add to the diagonal, x + 1e-6 * eye(n)"
)
_NOT_POSITIVE = (
    "only symmetric positive definite matrices have this factor: add a little to the diagonal, x + 1e-6 * eye(n), "
    "or ask for NaN with on_error='nan'"
)


_ONE_OF_LAPACK = [{np.dtype(code)} for code in "dfDF"]


def guarded(what: str, function: Callable[..., Any], advice: str = "") -> Callable[..., Any]:
    """``function`` on operands in LAPACK's dtype, with its LinAlgError told as a MatrixError that has some advice."""

    def call(*arrays: Any, **params: Any) -> Any:
        if {a.dtype for a in arrays} not in _ONE_OF_LAPACK:
            dtype = lapack_dtype(*[a.dtype.name for a in arrays])
            arrays = tuple([np.asarray(a, dtype) for a in arrays])
        try:
            return function(*arrays, **params)
        except np.linalg.LinAlgError as error:
            shapes = ", ".join(str(a.shape) for a in arrays)
            raise MatrixError(f"{what}: {error} (shapes {shapes}){advice and '; '}{advice}") from error

    return call


# ---------------------------------------------------------------- inverse and determinant
def _inverse_type(x: Expr) -> TensorType:
    require_square(x, "matrix_inverse")
    n = x.type.shape[-1] if x.type.shape[-1] is not None else x.type.shape[-2]
    return TensorType(lapack_dtype(x.type.dtype), (*x.type.shape[:-2], n, n))


def _inverse_grad(g: Expr, out: Expr, x: Expr) -> tuple[Any, ...]:
    t = transpose_last(out)
    return (ew.neg(matmul(matmul(t, g), t)),)


def _inverse_jvp(tangents: Sequence[Any], out: Expr, x: Expr) -> Expr:
    return ew.neg(matmul(matmul(out, tangents[0]), out))


@op_record(
    "opaque", name="matrix_inverse", numpy=guarded("matrix_inverse", np.linalg.inv, SINGULAR), infer=_inverse_type,
    shape=lambda node, x: x, grad=_inverse_grad, jvp=_inverse_jvp, latex="#1^{-1}", traits="stacks",
)
def inverse_of_square(op: Op, x: Expr) -> Expr:
    """The inverse of square matrices."""
    return op(x)


def matrix_inverse(x: Any) -> Expr:
    """The inverse of a square matrix (of each, for a stack); for ``A x = b`` use ``solve``: it is more accurate.

    Raises MatrixError at run time where a matrix is singular.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> matrix_inverse(m).eval({m: [[2.0, 0.0], [0.0, 4.0]]})
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return inverse_of_square(as_expr(x))


def _det_type(x: Expr) -> TensorType:
    require_square(x, "det")
    return TensorType(lapack_dtype(x.type.dtype), x.type.shape[:-2])


@op_record(
    "opaque", name="det", numpy=guarded("det", np.linalg.det), infer=_det_type, shape=lambda node, x: x[:-2],
    grad=lambda g, out, x: (ew.mul(_as_stack(ew.mul(g, out)), transpose_last(inverse_of_square(x))),), latex=r"\det #1",
    traits="stacks",
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
    require_square(x, "slogdet")
    dtype, shape = lapack_dtype(x.type.dtype), x.type.shape[:-2]
    return TupleType((TensorType(dtype, shape), TensorType(real_of(dtype), shape)))


def _slogdet_grad(g: Any, out: Expr, x: Expr) -> tuple[Any, ...]:
    if g[1] is DISCONNECTED:
        return (ew.mul(x, 0),)  # the sign is constant where it has a derivative
    if x.type.dtype in COMPLEX:
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format("slogdet"))
    return (ew.mul(_as_stack(g[1]), transpose_last(inverse_of_square(x))),)


def _slogdet_numpy(x: Any) -> list[Any]:
    return [np.asarray(part) for part in np.linalg.slogdet(x)]  # of one matrix NumPy has numbers, not arrays


@op_record(
    "opaque", name="slogdet", numpy=guarded("slogdet", _slogdet_numpy), infer=_slogdet_type,
    shape=lambda node, x: (x[:-2], x[:-2]), grad=_slogdet_grad, traits="stacks",
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


# ---------------------------------------------------------------- Cholesky
def _cholesky_numpy(x: Any, *, lower: bool, on_error: str = "raise") -> Any:
    # numpy reads the lower triangle; the upper factor of the upper triangle is the transposed lower one of x^T.
    if not lower:
        return _adjoint(_cholesky_numpy(_adjoint(x), lower=True, on_error=on_error))
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        if on_error == "raise":
            raise
        if x.ndim == 2:
            return np.full_like(x, np.nan)
        return np.stack([_cholesky_numpy(each, lower=True, on_error=on_error) for each in x])


def _adjoint(x: Any) -> Any:
    return x.swapaxes(-1, -2).conj()


def _cholesky_type(x: Expr, *, lower: bool, on_error: str = "raise") -> TensorType:
    require_square(x, "cholesky")
    return TensorType(lapack_dtype(x.type.dtype), x.type.shape)


def cholesky_grad(g: Expr, out: Expr, x: Expr, *, lower: bool, on_error: str = "raise") -> tuple[Any, ...]:
    """Murray's equation 10: S = L^-T phi(L^T g) L^-1, folded into the triangle that was read."""
    from fuse.frontend.creation import eye, tril
    from fuse.frontend.systems import triangular_solution

    if out.type.dtype in COMPLEX:
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format("cholesky"))
    factor, g = (out, g) if lower else (transpose_last(out), transpose_last(g))
    rows, columns = sizes_of(factor)[-2:]
    diagonal = eye(rows, columns, dtype=factor.type.dtype)
    below = tril(matmul(transpose_last(factor), g))
    phi = ew.sub(below, ew.mul(ew.mul(below, diagonal), _half(factor)))
    upper = transpose_last(factor)
    left = triangular_solution(upper, phi, lower=False, unit_diagonal=False)
    s = transpose_last(triangular_solution(upper, transpose_last(left), lower=False, unit_diagonal=False))
    both = ew.add(s, transpose_last(s))
    folded = tril(ew.sub(both, ew.mul(ew.mul(both, diagonal), _half(factor))))
    folded = folded if lower else transpose_last(folded)
    if on_error == "nan":
        folded = ew.switch(ew.isnan(out[..., :1, :1]), as_expr(np.asarray(np.nan, out.type.dtype)), folded)
    return (folded,)


def _half(like: Expr) -> Expr:
    return as_expr(np.asarray(0.5, like.type.dtype))


@op_record(
    "opaque", name="cholesky", numpy=guarded("cholesky", _cholesky_numpy, _NOT_POSITIVE), infer=_cholesky_type,
    shape=lambda node, x: x, grad=cholesky_grad, traits="stacks",
)
def _cholesky(op: Op, x: Expr, *, lower: bool, on_error: str) -> Expr:
    """The triangular factor of symmetric positive definite matrices."""
    return op(x, lower=lower, **({} if on_error == "raise" else {"on_error": on_error}))


def cholesky(
    x: Any, lower: bool = True, on_error: str = "raise", *, check_finite: bool = False, overwrite_a: bool = False
) -> Expr:
    """The triangular factor of a symmetric positive definite matrix: ``L`` of ``x = L L^T`` or ``U`` of ``x = U^T U``.

    Only the triangle named by ``lower`` is read, and the gradient is nonzero only there. Of a stack of matrices each.
    Where ``x`` is not positive definite a MatrixError is raised at run time, or with ``on_error="nan"`` all is NaN.
    SciPy's ``check_finite`` and ``overwrite_a`` are accepted, without effect.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> cholesky(m).eval({m: [[4.0, 0.0], [0.0, 9.0]]})
    array([[2., 0.],
           [0., 3.]])
    """
    if on_error not in ("raise", "nan"):
        raise FuseValueError(f"on_error of cholesky is 'raise' or 'nan', not {on_error!r}")
    return _cholesky(as_expr(x), lower=bool(lower), on_error=on_error)


__all__ = ["cholesky", "det", "matrix_inverse", "slogdet"]
