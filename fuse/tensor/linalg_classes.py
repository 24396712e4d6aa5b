"""Theano's classes of the ops of linear algebra, and names that only its ``nlinalg`` and ``slinalg`` have."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend import decompositions, equations, factors, linalg, spectral, systems
from fuse.frontend.linalg import matmul, transpose_last
from fuse.tensor.op_classes import (
    Cholesky,
    Det,
    ExtractDiag,
    MatrixInverse,
    Solve,
    WithParameters,
    op_class,
    plain_builder,
)

MatrixPinv = op_class("MatrixPinv", "pinv", lambda hermitian=False: partial(spectral.pinv, hermitian=hermitian))
SLogDet = op_class("SLogDet", "slogdet", plain_builder(decompositions.slogdet))
Eig = op_class("Eig", "eig", plain_builder(spectral.eig))
Eigh = op_class("Eigh", "eigh", lambda UPLO="L": partial(spectral.eigh, UPLO=UPLO))
Eigvalsh = op_class("Eigvalsh", "eigvalsh eigh_pair", lambda lower=True: partial(spectral.eigvalsh, lower=lower))
QRFull = op_class("QRFull", "qr", lambda mode="reduced": partial(factors.qr, mode=mode))
QRIncomplete = op_class("QRIncomplete", "qr_r", lambda mode="r": partial(factors.qr, mode=mode))
SVD = op_class(
    "SVD", "svd svdvals", lambda full_matrices=True, compute_uv=True: partial(
        spectral.svd, full_matrices=full_matrices, compute_uv=compute_uv
    ),
)
Expm = op_class("Expm", "expm", plain_builder(factors.expm))
TensorInv = op_class("TensorInv", "matrix_inverse", lambda ind=2: partial(factors.tensorinv, ind=ind))
TensorSolve = op_class("TensorSolve", "solve", lambda axes=None: partial(factors.tensorsolve, axes=axes))
KroneckerProduct = op_class("KroneckerProduct", "reshape", plain_builder(linalg.kron))
SolveTriangular = op_class(
    "SolveTriangular", "solve_triangular", lambda **given: partial(systems.solve_triangular, **given)
)
CholeskySolve = op_class(
    "CholeskySolve", "solve_triangular", lambda lower=True, **given: lambda c, b: equations.cho_solve((c, lower), b)
)
SolveBase = op_class("SolveBase", "solve solve_triangular", lambda **given: systems.solve)
BlockDiagonal = op_class("BlockDiagonal", "set_subtensor", plain_builder(factors.block_diag))


class lstsq(WithParameters):
    """The op of `linalg.lstsq`, which Theano has as a class, ``lstsq()(a, b, rcond)``, and PyTensor as a function.

    >>> x, residuals, rank, s = lstsq([[1.0], [1.0]], [1.0, 3.0])
    >>> x.eval(), isinstance(x.owner.op, lstsq)
    (array([2.]), True)
    """

    has = staticmethod(lambda op: op.name == "lstsq")
    build = staticmethod(lambda: factors.lstsq)

    def __new__(cls, *given: Any, **named: Any) -> Any:
        """Results for matrices, for nothing the op."""
        return factors.lstsq(*given, **named) if given else super().__new__(cls)


def _vector_on_diagonal(x: Any) -> Expr:
    x = as_expr(x)
    if x.type.ndim != 1:
        raise FuseTypeError(f"alloc_diag takes a vector, not a {x.type.describe()}: tensor.AllocDiag() takes more")
    return factors.alloc_diag(x)


AllocDiag = op_class("AllocDiag", "switch", plain_builder(_vector_on_diagonal))
alloc_diag = AllocDiag()


# ---------------------------------------------------------------- gradients that Theano has as ops of their own
def CholeskyGrad(lower: bool = True) -> Callable[..., Expr]:
    """What makes of a matrix, its factor and the factor's cotangent that of the matrix."""
    return lambda x, factor, g: decompositions.cholesky_grad(
        as_expr(g), as_expr(factor), as_expr(x), lower=lower, on_error="raise"
    )[0]


def EighGrad(UPLO: str = "L") -> Callable[..., Expr]:
    """What makes of a matrix, its eigenvalues and vectors and their cotangents that of the matrix."""

    def build(x: Any, w: Any, v: Any, g_w: Any, g_v: Any) -> Expr:
        w, v = as_expr(w), as_expr(v)
        inner = spectral.sum_of_terms(spectral.inner_cotangent((as_expr(g_w), as_expr(g_v)), w, v))
        return spectral.folded_triangle(matmul(inner, transpose_last(v)), UPLO in "Ll")

    return build


def EigvalshGrad(lower: bool = True) -> Callable[..., list[Expr]]:
    """What makes of two matrices and the cotangent of their eigenvalues those of the matrices."""

    def build(a: Any, b: Any, g: Any) -> list[Expr]:
        node = spectral.generalised_eigh(as_expr(a), as_expr(b), lower=lower)
        given = (as_expr(g), spectral.DISCONNECTED)
        return list(spectral.generalised_eigh_grad(given, node, *node.args, lower=lower))

    return build


def ExpmGrad() -> Callable[..., Expr]:
    """What makes of a matrix and the cotangent of its exponential that of the matrix."""
    return lambda x, g: factors.expm_along(transpose_last(as_expr(x)), as_expr(g))


def _zero_disconnected(outputs: Any, grads: Any) -> list[Any]:
    """Cotangents, zeros for those that are disconnected."""
    from fuse.autodiff.absent import is_disconnected
    from fuse.frontend.creation import zeros_like

    return [zeros_like(o) if is_disconnected(g) else g for o, g in zip(outputs, grads, strict=True)]


solve_symmetric = partial(systems.solve, assume_a="sym")

__all__ = [
    "AllocDiag", "BlockDiagonal", "Cholesky", "CholeskyGrad", "CholeskySolve", "Det", "Eig", "Eigh", "EighGrad",
    "Eigvalsh", "EigvalshGrad", "Expm", "ExpmGrad", "ExtractDiag", "KroneckerProduct", "MatrixInverse", "MatrixPinv",
    "QRFull",
    "QRIncomplete", "SLogDet", "SVD", "Solve", "SolveBase", "SolveTriangular", "TensorInv", "TensorSolve",
    "_zero_disconnected", "alloc_diag", "lstsq", "solve_symmetric",
]
