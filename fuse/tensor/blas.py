"""Theano's ``tensor.blas``: the names of BLAS's products, as formulas that fuse gives to BLAS itself."""
from __future__ import annotations

from typing import Any

from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.linalg import batched_dot as batched_dot
from fuse.frontend.linalg import batched_tensordot as batched_tensordot
from fuse.frontend.linalg import dot, outer
from fuse.internals import lookup as _lookup
from fuse.tensor.op_classes import BatchedDot as BatchedDot
from fuse.tensor.op_classes import Dot as Dot22

__all__ = [
    "BatchedDot", "Dot22", "batched_dot", "batched_tensordot", "gemm", "gemm_inplace", "gemm_no_inplace", "gemv",
    "gemv_inplace", "gemv_no_inplace", "ger",
]

_dot22 = dot


def gemm(z: Any, a: Any, x: Any, y: Any, b: Any) -> Expr:
    """``b * z + a * dot(x, y)`` for matrices.

    >>> gemm([[1.0]], 2.0, [[3.0]], [[4.0]], 10.0).eval()
    array([[34.]])
    """
    return ew.add(ew.mul(as_expr(b), as_expr(z)), ew.mul(as_expr(a), dot(x, y)))


def gemv(y: Any, alpha: Any, a: Any, x: Any, beta: Any) -> Expr:
    """``beta * y + alpha * dot(a, x)`` for a matrix ``a`` and vectors.

    >>> gemv([1.0], 2.0, [[3.0]], [4.0], 10.0).eval()
    array([34.])
    """
    return gemm(y, alpha, a, x, beta)


def ger(a: Any, alpha: Any, x: Any, y: Any) -> Expr:
    """``a + alpha * outer(x, y)``.

    >>> ger([[1.0]], 2.0, [3.0], [4.0]).eval()
    array([[25.]])
    """
    return ew.add(as_expr(a), ew.mul(as_expr(alpha), outer(x, y)))


gemm_inplace = gemm_no_inplace = gemm
gemv_inplace = gemv_no_inplace = gemv

__getattr__ = _lookup(__name__)
