"""Triangular factors with exchanged rows, ``a = P L U``, of square matrices and of stacks of them.

Source of the gradient: F. de Hoog, R. Anderssen and M. Lukas, "Differentiation of matrix functionals using triangular
factorization", Mathematics of Computation 80 (2011).
"""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.creation import eye, tril, triu
from fuse.frontend.decompositions import NO_COMPLEX_GRADIENT, SINGULAR, guarded, lapack_dtype, require_square
from fuse.frontend.layout import dimshuffle, iota
from fuse.frontend.linalg import matmul, transpose_last
from fuse.frontend.parts import part
from fuse.frontend.selecting import take_along_axis
from fuse.frontend.sizes import sizes_of
from fuse.frontend.systems import triangular_solution
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import COMPLEX, INTEGER, TensorType, TupleType, real_of

_LETTERS = {"f": "s", "d": "d", "F": "c", "D": "z"}


def _lapack(name: str, x: Any) -> Any:
    """LAPACK's function for the dtype of ``x``."""
    from scipy.linalg import lapack

    return getattr(lapack, _LETTERS[x.dtype.char] + name)


def _factor_numpy(x: Any) -> list[Any]:
    if x.shape[-2] != x.shape[-1]:  # which LAPACK takes apart, too: the determinant would be a number
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    getrf = _lapack("getrf", x)
    if x.ndim == 2 and x.size:
        return list(getrf(x)[:2])
    factors, pivots = np.empty(x.shape, x.dtype), np.empty(x.shape[:-1], "int32")
    for at in np.ndindex(x.shape[:-2] if x.size else (0,)):
        factors[at], pivots[at], _ = getrf(x[at])  # a zero pivot is no fault of the factors
    return [factors, pivots]


def _factor_type(x: Expr) -> Any:
    require_square(x, "lu")
    return TupleType((TensorType(lapack_dtype(x.type.dtype), x.type.shape), TensorType("int32", x.type.shape[:-1])))


def _factor_grad(g: Any, out: Expr, x: Expr) -> tuple[Any, ...]:
    if g[0] is DISCONNECTED:
        return (DISCONNECTED,)
    packed, pivots = part(out, 0), part(out, 1)
    if packed.type.dtype in COMPLEX:
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format("lu"))
    lower, upper = _triangles(packed)
    inner = ew.add(
        tril(matmul(transpose_last(lower), tril(g[0], -1)), -1), triu(matmul(triu(g[0]), transpose_last(upper)))
    )
    left = triangular_solution(transpose_last(lower), inner, lower=False, unit_diagonal=True)
    right = triangular_solution(upper, transpose_last(left), lower=False, unit_diagonal=False)
    return (_rows(transpose_last(right), pivot_to_permutation(pivots)),)


@op_record(
    "opaque", name="lu_factor", numpy=guarded("lu", _factor_numpy), infer=_factor_type,
    shape=lambda node, x: (x, x[:-1]), grad=_factor_grad,
)
def _factor(op: Op, x: Expr) -> Expr:
    """Both triangular factors in one matrix, and which row each step exchanged with its own."""
    return op(x)


def _triangles(packed: Expr) -> tuple[Expr, Expr]:
    n = sizes_of(packed)[-1]
    return ew.add(tril(packed, -1), eye(n, n, dtype=packed.type.dtype)), triu(packed)


def _rows(x: Expr, places: Expr) -> Expr:
    """The rows of ``x`` at ``places``, of each matrix of a stack its own."""
    return take_along_axis(x, dimshuffle(places, [*range(places.type.ndim), "x"]), x.type.ndim - 2)


def _permutation_numpy(pivots: Any, inverse: bool) -> Any:
    order = np.broadcast_to(np.arange(pivots.shape[-1]), pivots.shape).copy()
    for at in np.ndindex(pivots.shape[:-1]):
        row = order[at]
        for k, other in enumerate(pivots[at]):
            row[k], row[other] = row[other], row[k]
    return order if inverse else np.argsort(order, axis=-1)


def _permutation_type(pivots: Expr, *, inverse: bool) -> TensorType:
    if not pivots.type.ndim or pivots.type.dtype not in INTEGER:
        raise ShapeError(f"pivots are a vector of integers, as lu_factor gives them, not a {pivots.type.describe()}")
    return TensorType("int64", pivots.type.shape)


@op_record(
    "opaque", numpy=_permutation_numpy, infer=_permutation_type, shape=lambda node, x: x,
    grad=lambda g, out, x, inverse: (DISCONNECTED,),
)
def pivot_to_permutation(op: Op, p: Any, inverse: bool = False) -> Expr:
    """The order of rows that the exchanges ``p`` of ``lu_factor`` make: ``a = (L @ U)[order]``.

    With ``inverse`` the other way: ``a[order] = L @ U``. Raises ShapeError for what are no pivots.

    >>> pivot_to_permutation([1, 2, 2]).eval(), pivot_to_permutation([1, 2, 2], inverse=True).eval()
    (array([2, 0, 1]), array([1, 2, 0]))
    """
    return op(as_expr(p), inverse=bool(inverse))


def _solutions(packed: Any, b: Any, *, pivots: Any, transposed: bool) -> Any:
    if len(b) != len(packed):
        raise ShapeError(f"solve of {len(packed)} equations with a right-hand side of shape {b.shape}")
    if not packed.diagonal().all():
        raise np.linalg.LinAlgError("Singular matrix")
    return _lapack("getrs", packed)(packed, pivots, b, trans=transposed)[0] if b.size else b.copy()


_solutions_or_error = guarded("solve", _solutions, SINGULAR)


@op_record(
    "opaque", infer=lambda packed, pivots, b, **_: TensorType(b.type.dtype, b.type.shape),
    shape=lambda node, packed, pivots, b: b,
    numpy=lambda packed, pivots, b, **params: _solutions_or_error(packed, b, pivots=pivots, **params),
)
def lu_solution(op: Op, packed: Expr, pivots: Expr, b: Expr, *, transposed: bool) -> Expr:
    """The solution of ``a x = b``, or of ``a^T x = b``, from what ``lu_factor(a)`` gave, of one dtype with ``b``.

    Plans have it where several steps share factors. It has no derivative: formulas have `lu_solve`.
    """
    return op(packed, pivots, b, transposed=transposed)


def _inverses(packed: Any, *, pivots: Any) -> Any:
    room = int(_lapack("getri_lwork", packed)(len(packed))[0].real) if packed.size else 0
    found, info = _lapack("getri", packed)(packed, pivots, lwork=room) if packed.size else (packed.copy(), 0)
    if info > 0:
        raise np.linalg.LinAlgError("Singular matrix")
    return found


_inverses_or_error = guarded("matrix_inverse", _inverses, SINGULAR)


@op_record(
    "opaque", infer=lambda packed, pivots: packed.type, shape=lambda node, packed, pivots: packed,
    numpy=lambda packed, pivots: _inverses_or_error(packed, pivots=pivots),
)
def lu_inverse(op: Op, packed: Expr, pivots: Expr) -> Expr:
    """The inverse of a matrix from what ``lu_factor`` gave of it: a step of plans, as `lu_solution` is."""
    return op(packed, pivots)


def lu_factor(a: Any, *, check_finite: bool = True, overwrite_a: bool = False) -> tuple[Expr, Expr]:
    """(both triangular factors in one matrix, pivots) of a square matrix, as ``scipy.linalg.lu_factor``.

    Of a stack, of each. SciPy's ``check_finite`` and ``overwrite_a`` are accepted, without effect.

    >>> packed, pivots = lu_factor([[1.0, 2.0], [2.0, 2.0]])
    >>> packed.eval(), pivots.eval()
    (array([[2. , 2. ],
           [0.5, 1. ]]), array([1, 1], dtype=int32))
    """
    node = _factor(as_expr(a))
    return part(node, 0), part(node, 1)


def lu(
    a: Any, permute_l: bool = False, check_finite: bool = True, p_indices: bool = False, overwrite_a: bool = False
) -> tuple[Expr, ...]:
    """(P, L, U) with ``a = P @ L @ U``: a permutation, a unit lower and an upper triangular matrix.

    With ``permute_l`` it is (P @ L, U), with ``p_indices`` P is the vector p with ``a = (L @ U)[p]``. Of a stack of
    matrices, of each. Raises FuseValueError for both at once, ShapeError for matrices that are not square.

    >>> p, l, u = lu([[1.0, 2.0], [2.0, 2.0]], p_indices=True)
    >>> p.eval(), l.eval()
    (array([1, 0], dtype=int32), array([[1. , 0. ],
           [0.5, 1. ]]))
    """
    if permute_l and p_indices:
        raise FuseValueError("Only one of permute_l and p_indices can be True")
    packed, pivots = lu_factor(a)
    lower, upper = _triangles(packed)
    order = pivot_to_permutation(pivots)
    if permute_l:
        return _rows(lower, order), upper
    if p_indices:
        return ew.cast(order, "int32"), lower, upper
    columns = iota(sizes_of(packed)[-1])
    matrix = ew.eq(dimshuffle(order, [*range(order.type.ndim), "x"]), columns)
    return ew.cast(matrix, real_of(packed.type.dtype)), lower, upper


def lu_solve(
    lu_and_piv: tuple[Any, Any], b: Any, trans: int | bool = 0, b_ndim: int | None = None, check_finite: bool = True,
    overwrite_b: bool = False,
) -> Expr:
    """The solution ``x`` of ``a x = b`` from what ``lu_factor(a)`` gave; of ``a^T x = b`` with ``trans=1``, of
    ``a^H x = b`` with ``trans=2``.

    ``b`` is a vector or a matrix, in stacks what ``b_ndim`` says (1 or 2). Raises FuseValueError for another ``trans``.

    >>> import numpy as np
    >>> a = np.array([[1.0, 2.0], [2.0, 2.0]])
    >>> lu_solve(lu_factor(a), a @ [1.0, 3.0]).eval().round(6)
    array([1., 3.])
    """
    packed, b = as_expr(lu_and_piv[0]), as_expr(b)
    if trans not in (0, 1, 2):
        raise FuseValueError(f"trans of lu_solve is 0, 1 or 2, not {trans!r}")
    vector = b.type.ndim == 1 if b_ndim is None else b_ndim == 1
    right = dimshuffle(b, [*range(b.type.ndim), "x"]) if vector else b
    lower, upper = _triangles(packed)
    pivots = as_expr(lu_and_piv[1])
    if trans:
        turn = transpose_last if trans == 1 else lambda x: ew.conj(transpose_last(x))
        inner = triangular_solution(turn(upper), right, lower=True, unit_diagonal=False)
        solved = triangular_solution(turn(lower), inner, lower=False, unit_diagonal=True)
        found = _rows(solved, pivot_to_permutation(pivots))
    else:
        ordered = _rows(right, pivot_to_permutation(pivots, inverse=True))
        inner = triangular_solution(lower, ordered, lower=True, unit_diagonal=True)
        found = triangular_solution(upper, inner, lower=False, unit_diagonal=False)
    return found[..., 0] if vector else found


__all__ = ["lu", "lu_factor", "lu_solve", "pivot_to_permutation"]
