"""Equations of matrices that others solve: Cholesky factors, Lyapunov's and Sylvester's equations."""
from __future__ import annotations

from typing import Any

from fuse import types as ty
from fuse.errors import FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.creation import eye
from fuse.frontend.decompositions import require_square
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.linalg import kron
from fuse.frontend.sizes import sizes_of
from fuse.frontend.systems import adjoint, solve, solve_triangular


def cho_solve(c_and_lower: Any, b: Any, *, b_ndim: int | None = None, **_: Any) -> Expr:
    """The solution ``x`` of ``a x = b`` from ``(factor, lower)``, the Cholesky factor of ``a`` and which it is.

    >>> import numpy as np
    >>> a = np.array([[4.0, 2.0], [2.0, 3.0]])
    >>> cho_solve((np.linalg.cholesky(a), True), a[:, 0]).eval().round(6)
    array([1., 0.])
    """
    factor, lower = c_and_lower
    factor = as_expr(factor)
    first, second = (factor, adjoint(factor)) if lower else (adjoint(factor), factor)
    inner = solve_triangular(first, b, lower=True, b_ndim=b_ndim)
    return solve_triangular(second, inner, lower=False, b_ndim=b_ndim)


def _equation(matrix: Expr, q: Expr) -> Expr:
    """The matrix ``x`` whose elements, row by row, ``matrix`` takes to those of ``q``."""
    n, m = sizes_of(q)
    return reshape(solve(matrix, reshape(q, (-1,))), (n, m))


def _operands(*given: Any) -> list[Expr]:
    exprs = [as_expr(x) for x in given]
    dtype = ty.promote(*[ty.inexact(x.type.dtype) for x in exprs])
    return [ew.cast(x, dtype) for x in exprs]


def solve_sylvester(A: Any, B: Any, Q: Any) -> Expr:
    """The solution ``x`` of ``A x + x B = Q``, for square matrices ``A`` and ``B``.

    >>> solve_sylvester([[1.0, 0.0], [0.0, 2.0]], [[1.0]], [[4.0], [6.0]]).eval()
    array([[2.],
           [2.]])
    """
    a, b, q = _operands(A, B, Q)
    require_square(a, "solve_sylvester", (2,))
    require_square(b, "solve_sylvester", (2,))
    one, other = [eye(sizes_of(x)[0], dtype=a.type.dtype) for x in (b, a)]
    return _equation(ew.add(kron(a, one), kron(other, dimshuffle(b, (1, 0)))), q)


def solve_continuous_lyapunov(A: Any, Q: Any) -> Expr:
    """The solution ``x`` of ``A x + x A^H = Q``.

    >>> solve_continuous_lyapunov([[2.0]], [[8.0]]).eval()
    array([[2.]])
    """
    a, q = _operands(A, Q)
    return solve_sylvester(a, adjoint(a), q)


def solve_discrete_lyapunov(A: Any, Q: Any, method: str | None = None) -> Expr:
    """The solution ``x`` of ``A x A^H - x + Q = 0``; PyTensor's ``method`` makes no difference.

    Raises FuseValueError for a method that PyTensor does not have.

    >>> solve_discrete_lyapunov([[0.5]], [[3.0]]).eval()
    array([[4.]])
    """
    if method not in (None, "direct", "bilinear"):
        raise FuseValueError(f"Parameter 'method' must be one of 'direct' or 'bilinear', found {method}")
    a, q = _operands(A, Q)
    require_square(a, "solve_discrete_lyapunov", (2,))
    product = kron(a, ew.conj(a))
    return _equation(ew.sub(eye(sizes_of(product)[0], dtype=a.type.dtype), product), q)


__all__ = ["cho_solve", "solve_continuous_lyapunov", "solve_discrete_lyapunov", "solve_sylvester"]
