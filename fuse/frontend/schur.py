"""Schur forms of matrices and of pairs of them, and the equation of Riccati.

Source of the gradient: T.-C. Kao and G. Hennequin, "Automatic differentiation of Sylvester, Lyapunov, and algebraic
Riccati equations", arXiv:2011.11430.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.decompositions import NO_COMPLEX_GRADIENT, guarded, lapack_dtype, require_square
from fuse.frontend.equations import solve_discrete_lyapunov
from fuse.frontend.linalg import matmul, transpose_last
from fuse.frontend.parts import part
from fuse.frontend.sizes import broadcast_sizes
from fuse.frontend.systems import solve
from fuse.op import Op, op_record
from fuse.types import COMPLEX, TensorType, TupleType

_SORTS = ("lhp", "rhp", "iuc", "ouc")


def _stacked(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    """What ``function`` gives for each matrix of stacks, in stacks."""
    lead = np.broadcast_shapes(*[a.shape[:-2] for a in arrays])
    wide = [np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in arrays]
    if not lead:
        return list(map(np.asarray, function(*arrays)))
    if 0 in lead:
        one = function(*[np.eye(*a.shape[-2:], dtype=a.dtype) for a in arrays])
        return [np.empty((*lead, *np.shape(x)), np.asarray(x).dtype) for x in one]
    each = [function(*[w[at] for w in wide]) for at in np.ndindex(lead)]
    return [np.stack(x).reshape(*lead, *np.shape(x[0])) for x in zip(*each, strict=True)]


def _check(output: str, sort: str | None) -> None:
    if output not in ("real", "complex"):
        raise FuseValueError("output must be 'real' or 'complex'")
    if sort is not None and sort not in _SORTS:
        raise FuseValueError(f"sort is None or one of {', '.join(_SORTS)}, not {sort!r}")


def _dtype(output: str, *dtypes: str) -> str:
    dtype = lapack_dtype(*dtypes)
    return ty.promote(dtype, "complex64") if output == "complex" else dtype


def _schur_type(x: Expr, *, output: str, sort: str | None) -> Any:
    require_square(x, "schur")
    type_ = TensorType(_dtype(output, x.type.dtype), x.type.shape)
    return TupleType((type_, type_))


def _schur_numpy(x: Any, output: str, sort: str | None) -> list[Any]:
    from scipy.linalg import schur as scipys

    return _stacked(lambda a: scipys(a, output=output, sort=sort)[:2], x)


@op_record(
    "opaque", name="schur", numpy=guarded("schur", _schur_numpy), infer=_schur_type, shape=lambda node, x: (x, x),
    grad="eigh, eigvalsh and svd have one",
)
def _schur(op: Op, x: Expr, *, output: str, sort: str | None) -> Expr:
    """The Schur form of square matrices."""
    return op(x, output=output, sort=sort)


def schur(A: Any, output: str = "real", sort: str | None = None) -> tuple[Expr, Expr]:
    """(T, Z) with ``A = Z T Z^H``, T upper triangular (of real matrices up to blocks of two), Z unitary; no gradient.

    ``output="complex"`` makes T of real matrices triangular. ``sort`` ("lhp", "rhp", "iuc", "ouc": in the left or right
    half plane, in or outside the unit circle) says which eigenvalues come first. Of a stack, of each matrix.
    Raises FuseValueError for other words.

    >>> t, z = schur([[2.0, 0.0], [0.0, 3.0]])
    >>> t.eval()
    array([[2., 0.],
           [0., 3.]])
    """
    _check(output, sort)
    node = _schur(as_expr(A), output=output, sort=sort)
    return part(node, 0), part(node, 1)


def _qz_type(a: Expr, b: Expr, *, output: str, sort: str | None) -> Any:
    require_square(a, "qz")
    require_square(b, "qz")
    dtype = _dtype(output, a.type.dtype, b.type.dtype)
    shape = ty.broadcast_static([a.type.shape, b.type.shape])
    matrix, value = TensorType(dtype, shape), TensorType(ty.promote(dtype, "complex64"), shape[:-1])
    return TupleType((matrix, matrix, value, TensorType(dtype, shape[:-1]), matrix, matrix))


def _qz_numpy(a: Any, b: Any, output: str, sort: str | None) -> list[Any]:
    from scipy.linalg import ordqz as scipys

    # without an order every eigenvalue is among the first, which exchanges nothing
    choice: Any = sort if sort is not None else lambda alpha, beta: np.ones(np.shape(alpha), bool)
    found = _stacked(lambda x, y: scipys(x, y, sort=choice, output=output), a, b)
    found[2] = found[2].astype(np.result_type(found[2].dtype, "complex64"))
    return found


def _qz_sizes(a: tuple[Any, ...]) -> tuple[Any, ...]:
    return a, a, a[:-1], a[:-1], a, a


@op_record(
    "opaque", name="qz", numpy=guarded("qz", _qz_numpy), infer=_qz_type,
    shape=lambda node, a, b: _qz_sizes((*broadcast_sizes([a[:-2], b[:-2]]), *a[-2:])),
    grad="generalised eigenvalues of eigvalsh(a, b) have one",
)
def _qz(op: Op, a: Expr, b: Expr, *, output: str, sort: str | None) -> Expr:
    """The generalised Schur form of pairs of matrices."""
    return op(a, b, output=output, sort=sort)


def qz(
    A: Any, B: Any, output: str = "real", sort: str | None = None, return_eigenvalues: bool = False
) -> tuple[Expr, ...]:
    """(H, K, Q, Z) with ``A = Q H Z^H`` and ``B = Q K Z^H``, H and K upper triangular, Q and Z unitary; no gradient.

    H of real matrices is so up to blocks of two, unless ``output="complex"``. With ``return_eigenvalues`` it is
    (H, K, alpha, beta, Q, Z), the eigenvalues being ``alpha / beta``. ``sort`` as in ``schur``. Raises FuseValueError
    for other words.

    >>> h, k, q, z = qz([[2.0]], [[4.0]])
    >>> (q @ h @ z.T).eval()
    array([[2.]])
    """
    _check(output, sort)
    node = _qz(as_expr(A), as_expr(B), output=output, sort=sort)
    found = tuple([part(node, k) for k in range(6)])
    return found if return_eigenvalues else (*found[:2], *found[4:])


def ordqz(A: Any, B: Any, sort: str | None = None, output: str = "real") -> tuple[Expr, ...]:
    """``qz`` with the eigenvalues, as ``scipy.linalg.ordqz``.

    >>> len(ordqz([[2.0]], [[4.0]], sort="lhp"))
    6
    """
    return qz(A, B, output=output, sort=sort, return_eigenvalues=True)


# ---------------------------------------------------------------- the equation of Riccati
def _riccati_type(a: Expr, b: Expr, q: Expr, r: Expr) -> TensorType:
    for x in (a, q, r):
        require_square(x, "solve_discrete_are", (2,))
    if b.type.ndim != 2:
        raise ShapeError(f"solve_discrete_are takes matrices, not a {b.type.describe()}")
    return TensorType(lapack_dtype(*[x.type.dtype for x in (a, b, q, r)]), a.type.shape)


def _riccati_numpy(a: Any, b: Any, q: Any, r: Any) -> Any:
    from scipy.linalg import solve_discrete_are as scipys

    return scipys(a, b, q, r)


def _riccati_grad(g: Expr, out: Expr, a: Expr, b: Expr, q: Expr, r: Expr) -> tuple[Any, ...]:
    """Of symmetric ``q`` and ``r``; the closed loop ``a - b k`` takes the cotangent to that of ``q``."""
    if out.type.dtype in COMPLEX:
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format("solve_discrete_are"))
    t, two = transpose_last, as_expr(np.asarray(2.0, out.type.dtype))
    k = solve(ew.add(r, matmul(matmul(t(b), out), b)), matmul(matmul(t(b), out), a))
    closed = ew.sub(a, matmul(b, k))
    s = solve_discrete_lyapunov(closed, ew.true_div(ew.add(g, t(g)), two))
    of_a = ew.mul(two, matmul(matmul(out, closed), s))
    return of_a, ew.neg(matmul(of_a, t(k))), s, matmul(matmul(k, s), t(k))


@op_record(
    "opaque", name="riccati", numpy=guarded("solve_discrete_are", _riccati_numpy), infer=_riccati_type,
    shape=lambda node, a, *_: a, grad=_riccati_grad,
)
def _riccati(op: Op, a: Expr, b: Expr, q: Expr, r: Expr) -> Expr:
    """The stabilising solution of the discrete algebraic Riccati equation."""
    return op(a, b, q, r)


def solve_discrete_are(A: Any, B: Any, Q: Any, R: Any) -> Expr:
    """The stabilising ``x`` with ``A^T x A - x - A^T x B (R + B^T x B)^-1 B^T x A + Q = 0``, Q and R symmetric.

    The gradient is that of symmetric changes of Q and R. Raises MatrixError at run time where there is no solution.

    >>> solve_discrete_are([[1.0]], [[1.0]], [[1.0]], [[0.5]]).eval().round(6)
    array([[1.366025]])
    """
    return _riccati(*map(as_expr, (A, B, Q, R)))


__all__ = ["ordqz", "qz", "schur", "solve_discrete_are"]
