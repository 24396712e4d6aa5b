"""Linear systems through LAPACK: general, symmetric, positive definite and triangular matrices, and stacks of them.

Sources of the gradients: M. Giles, "An extended collection of matrix derivative results", Oxford 2008.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.decompositions import SINGULAR, cholesky, guarded, lapack_dtype, require_square
from fuse.frontend.layout import dimshuffle, sum_to
from fuse.frontend.linalg import matmul, outer, transpose_last
from fuse.frontend.sizes import broadcast_sizes
from fuse.op import Op, op_record
from fuse.types import TensorType, shape_text


# ---------------------------------------------------------------- any square matrix
def _solve_type(a: Expr, b: Expr, **_: Any) -> TensorType:
    require_square(a, "solve")
    if b.type.ndim < 1 or b.type.ndim == 1 and a.type.ndim > 2:
        raise ShapeError(f"the right-hand side of solve is a vector or a matrix, not a {b.type.describe()}")
    vector = b.type.ndim == 1
    rows = b.type.shape[0 if vector else -2]
    n = a.type.shape[-1] if a.type.shape[-1] is not None else a.type.shape[-2]
    if n is not None and rows is not None and n != rows:
        raise ShapeError(f"solve of {n} equations with a right-hand side of shape {shape_text(b.type.shape)}")
    dtype, n = lapack_dtype(a.type.dtype, b.type.dtype), rows if n is None else n
    if vector:
        return TensorType(dtype, (n,))
    batch = ty.broadcast_static([a.type.shape[:-2], b.type.shape[:-2]])
    return TensorType(dtype, (*batch, n, b.type.shape[-1]))


def _solve_shape(node: Expr, a: Any, b: Any) -> tuple[Any, ...]:
    return b if len(b) == 1 else (*broadcast_sizes([a[:-2], b[:-2]]), *b[-2:])


def _columns_outer(u: Expr, v: Expr) -> Expr:
    return outer(u, v) if u.type.ndim == 1 else matmul(u, transpose_last(v))


def _solve_grad(g: Expr, out: Expr, a: Expr, b: Expr) -> tuple[Any, ...]:
    g_b = _solve(transpose_last(a), g)
    return _summed(ew.neg(_columns_outer(g_b, out)), a), _summed(g_b, b)


def _summed(g: Expr, like: Expr) -> Expr:
    """``g`` summed over the leading axes along which ``like`` was repeated."""
    return g if g.type.ndim == like.type.ndim <= 2 else sum_to(g, like)


def solve_columns(function: Callable[..., Any], a: Any, b: Any, **params: Any) -> Any:
    """NumPy 1 and 2 read a stack of vectors differently; a column is a column for both."""
    return function(a, b[:, None], **params)[:, 0] if b.ndim == 1 else function(a, b, **params)


@op_record(
    "opaque", name="solve", numpy=guarded("solve", lambda a, b: solve_columns(np.linalg.solve, a, b), SINGULAR),
    infer=_solve_type, shape=_solve_shape, grad=_solve_grad,
)
def _solve(op: Op, a: Expr, b: Expr) -> Expr:
    """The solution x of ``a x = b``."""
    return op(a, b)


_STRUCTURES = {
    "gen": "", "general": "", "sym": "symmetric", "symmetric": "symmetric", "her": "hermitian", "pos": "positive",
    "positive definite": "positive", "lower triangular": "lower", "lower_triangular": "lower",
    "upper triangular": "upper", "upper_triangular": "upper",
}


def solve(
    a: Any, b: Any, assume_a: str = "gen", lower: bool = False, transposed: bool = False, b_ndim: int | None = None,
    *, check_finite: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
) -> Expr:
    """The solution ``x`` of the linear system ``a x = b`` (``a.T x = b`` with ``transposed``).

    ``b`` is a vector, or a matrix of right-hand sides in its columns; leading axes of both broadcast, and ``b_ndim=1``
    says that ``b`` is a stack of vectors. ``assume_a`` names what ``a`` is: "gen", "sym" or "pos" (of which the
    triangle named by ``lower`` is read), "lower triangular" or "upper triangular". SciPy's ``check_finite`` and
    ``overwrite_...`` are accepted, without effect.

    Raises MatrixError at run time where ``a`` is singular.

    >>> import fuse.tensor as T
    >>> a, b = T.matrix("a"), T.vector("b")
    >>> solve(a, b).eval({a: [[2.0, 0.0], [1.0, 4.0]], b: [2.0, 9.0]})
    array([1., 2.])
    """
    if assume_a not in _STRUCTURES:
        raise FuseValueError(f"assume_a of solve is one of {', '.join(map(repr, _STRUCTURES))}, not {assume_a!r}")
    structure = _STRUCTURES[assume_a]
    if structure in ("lower", "upper"):
        return solve_triangular(a, b, lower=structure == "lower", trans=transposed, b_ndim=b_ndim)
    a, b, column = _operands(as_expr(a), as_expr(b), b_ndim)
    if structure == "positive" and not transposed:
        factor = cholesky(a, lower=lower)
        below, above = (factor, adjoint(factor)) if lower else (adjoint(factor), factor)
        inner = triangular_solution(below, b, lower=True, unit_diagonal=False)
        return _without(triangular_solution(above, inner, lower=False, unit_diagonal=False), column)
    if structure:
        from fuse.frontend.creation import tril, triu

        beyond = tril(a, -1) if lower else triu(a, 1)
        mirrored = transpose_last(beyond) if structure == "symmetric" else adjoint(beyond)
        a = ew.add(tril(a) if lower else triu(a), mirrored)
    return _without(_solve(transpose_last(a) if transposed else a, b), column)


def adjoint(x: Expr) -> Expr:
    """The conjugate transposes of matrices."""
    return transpose_last(ew.conj(x) if x.type.dtype in ty.COMPLEX else x)


def _operands(a: Expr, b: Expr, b_ndim: int | None) -> tuple[Expr, Expr, bool]:
    """``a``, ``b`` with vectors of a stack made columns, and whether that was done."""
    if b_ndim not in (None, 1, 2):
        raise FuseValueError(f"b_ndim is 1 (vectors) or 2 (matrices), not {b_ndim!r}")
    column = b.type.ndim > 1 and b_ndim == 1 or b.type.ndim == 1 and a.type.ndim > 2
    return a, dimshuffle(b, [*range(b.type.ndim), "x"]) if column else b, column


def _without(x: Expr, column: bool) -> Expr:
    return dimshuffle(x, [*range(x.type.ndim - 1)]) if column else x


# ---------------------------------------------------------------- triangular matrices
_TRTRS = {"f": "strtrs", "d": "dtrtrs", "F": "ctrtrs", "D": "ztrtrs"}


def _one_triangular(a: Any, b: Any, lower: bool, unit_diagonal: bool) -> Any:
    """LAPACK's trtrs, as SciPy's solve_triangular calls it, whose own checks take most of the time of a small call."""
    from scipy.linalg import lapack

    if len(a) != a.shape[1] or len(a) != len(b):
        raise ValueError("the matrix must be square, and the right-hand side have as many rows")
    if b.size == 0:
        return np.empty_like(b)
    trtrs = getattr(lapack, _TRTRS[a.dtype.char])
    if a.flags.f_contiguous:
        x, info = trtrs(a, b, lower=lower, unitdiag=unit_diagonal)
    else:
        x, info = trtrs(a.T, b, lower=not lower, trans=1, unitdiag=unit_diagonal)
    if info > 0:
        raise np.linalg.LinAlgError(f"singular matrix: resolution failed at diagonal {info - 1}")
    return x


def _solve_triangles(a: Any, b: Any, *, lower: bool, unit_diagonal: bool) -> Any:
    if a.ndim == 2 and b.ndim <= 2:
        return _one_triangular(a, b, lower, unit_diagonal)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))
    out = np.empty(b.shape, b.dtype)
    for k in np.ndindex(batch):
        out[k] = _one_triangular(a[k], b[k], lower, unit_diagonal)
    return out


def _triangular_grad(g: Expr, out: Expr, a: Expr, b: Expr, *, lower: bool, unit_diagonal: bool) -> tuple[Any, ...]:
    from fuse.frontend.creation import tril, triu

    g_b = triangular_solution(transpose_last(a), g, lower=not lower, unit_diagonal=unit_diagonal)
    g_a = ew.neg(_columns_outer(g_b, out))
    offset = 1 if unit_diagonal else 0  # a unit diagonal is not read
    return _summed(tril(g_a, -offset) if lower else triu(g_a, offset), a), _summed(g_b, b)


@op_record(
    "opaque", name="solve_triangular", numpy=guarded("solve_triangular", _solve_triangles, SINGULAR),
    infer=_solve_type, shape=_solve_shape, grad=_triangular_grad,
)
def triangular_solution(op: Op, a: Expr, b: Expr, *, lower: bool, unit_diagonal: bool) -> Expr:
    """The solution x of ``a x = b`` for a triangular ``a``."""
    return op(a, b, lower=lower, unit_diagonal=unit_diagonal)


_TRANSPOSED = {0: "", 1: "T", 2: "C", "N": "", "T": "T", "C": "C"}  # False is 0, True is 1


def solve_triangular(
    a: Any, b: Any, lower: bool = False, trans: bool | int | str = False, unit_diagonal: bool = False,
    b_ndim: int | None = None, *, check_finite: bool = False, overwrite_b: bool = False,
) -> Expr:
    """The solution ``x`` of ``a x = b`` for a triangular matrix ``a``.

    With ``trans`` that of ``a.T x = b`` (True, 1, "T") or of the conjugated ``a.T`` (2, "C"). Only the triangle named
    by ``lower`` is read, and not its diagonal where ``unit_diagonal`` says that it is 1. ``b`` is a vector, or a matrix
    of right-hand sides; leading axes broadcast. Raises MatrixError at run time where ``a`` is singular.

    >>> solve_triangular([[2.0, 0.0], [1.0, 4.0]], [2.0, 9.0], lower=True).eval()
    array([1., 2.])
    """
    a, b, column = _operands(as_expr(a), as_expr(b), b_ndim)
    if trans not in _TRANSPOSED:
        raise FuseTypeError(f"trans of solve_triangular is 0, 1, 2, 'N', 'T' or 'C', not {trans!r}")
    if _TRANSPOSED[trans]:
        a, lower = adjoint(a) if _TRANSPOSED[trans] == "C" else transpose_last(a), not lower
    return _without(triangular_solution(a, b, lower=bool(lower), unit_diagonal=bool(unit_diagonal)), column)


__all__ = ["solve", "solve_triangular"]
