"""Eigenvalues and singular values, and what is made of them: eigh, eigvalsh, eig, svd, pinv; of stacks of matrices too.

Sources of the gradients: M. Giles, "An extended collection of matrix derivative results", Oxford 2008; for svd
J. Townsend, "Differentiating the singular value decomposition", 2016; for pinv G. H. Golub and V. Pereyra, SIAM J.
Numer. Anal. 10 (1973) 413.

Vectors of equal eigenvalues (singular values; equal but for 16 units in the last place of the largest) are any basis of
their space. Functions that use the vectors of all of them alike, such as projectors, have a derivative there, in which
such pairs have no term. Where a function tells the basis apart it has none, and where it also uses the values the rule
for a decomposition cannot know it (that of ``v @ diag(f(w)) @ v.T`` needs f'): the gradient is NaN then, never a guess.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.creation import diagonal_offsets, tril, triu
from fuse.frontend.decompositions import NO_COMPLEX_GRADIENT, guarded, lapack_dtype, require_square
from fuse.frontend.layout import dimshuffle
from fuse.frontend.linalg import matmul, transpose_last
from fuse.frontend.logic import literal
from fuse.frontend.parts import part
from fuse.frontend.reductions import max as max_
from fuse.frontend.sizes import size_min, sizes_of
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import COMPLEX, TensorType, TupleType, real_of


# ---------------------------------------------------------------- helpers of gradients
def as_row(x: Expr) -> Expr:
    """A number per column of a matrix."""
    return dimshuffle(x, [*range(x.type.ndim - 1), "x", x.type.ndim - 1])


def _column(x: Expr) -> Expr:
    """A number per row of a matrix."""
    return dimshuffle(x, [*range(x.type.ndim), "x"])


def _noise(w: Expr) -> Expr:
    """What two numbers of ``w`` differ by when they are equal but for rounding."""
    eps = literal(16 * float(np.finfo(real_of(w.type.dtype)).eps), w)
    return ew.mul(eps, max_(ew.abs_(w), axis=-1, keepdims=True))


def _reciprocal_where(keep: Expr, x: Expr) -> Expr:
    return ew.switch(keep, ew.reciprocal(ew.switch(keep, x, literal(1, x))), literal(0, x))


def _over_gaps(m: Expr, w: Expr, values: bool) -> Expr:
    """``(m[i, j] - m[j, i]) / (w[j] - w[i])``; for equal w 0, or NaN where that is not the derivative's term.

    ``values``: whether the function also depends on ``w`` itself.
    """
    gaps = ew.sub(as_row(w), _column(w))
    apart = ew.gt(ew.abs_(gaps), _column(_noise(w)))
    difference, total = ew.sub(m, transpose_last(m)), ew.add(m, transpose_last(m))
    rounding = literal(float(np.finfo(m.type.dtype).eps) ** 0.5, m)
    small = ew.mul(rounding, max_(ew.abs_(m), axis=(-2, -1), keepdims=True))
    told = ew.gt(ew.abs_(difference), small)
    if values:
        n = sizes_of(m)[-1]
        told = ew.or_(told, ew.and_(ew.gt(ew.abs_(total), small), ew.neq(diagonal_offsets(n, n), 0)))
    quotient = ew.true_div(difference, ew.switch(apart, gaps, literal(1, gaps)))
    return ew.switch(apart, quotient, ew.switch(told, literal(float("nan"), m), literal(0, m)))


def folded_triangle(g: Expr, lower: bool) -> Expr:
    """The cotangent of a symmetric matrix of which one triangle is read, from that of all its elements."""
    both = ew.add(g, transpose_last(g))
    half = literal(0.5, g)
    whole = ew.mul(half, both)
    return ew.add(tril(whole), tril(whole, -1)) if lower else ew.add(triu(whole), triu(whole, 1))


def _real(out: TensorType, what: str) -> None:
    if out.dtype in COMPLEX:
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format(what))


# ---------------------------------------------------------------- symmetric matrices
def _eigh_type(x: Expr, *, lower: bool) -> Any:
    require_square(x, "eigh")
    dtype, shape = lapack_dtype(x.type.dtype), x.type.shape
    n = shape[-1] if shape[-1] is not None else shape[-2]
    return TupleType((TensorType(real_of(dtype), (*shape[:-2], n)), TensorType(dtype, (*shape[:-2], n, n))))


def inner_cotangent(g: Sequence[Any], w: Expr, v: Expr) -> list[Expr]:
    """The terms of ``v K``, where ``v K v^T`` is the cotangent of a matrix with eigenvalues ``w`` and vectors ``v``."""
    terms = []
    if g[0] is not DISCONNECTED:
        terms.append(ew.mul(v, as_row(g[0])))
    if g[1] is not DISCONNECTED:
        terms.append(matmul(v, ew.mul(literal(0.5, v), _turned(g, w, v))))
    return terms


def _turned(g: Sequence[Any], w: Expr, v: Expr) -> Expr:
    return _over_gaps(matmul(transpose_last(v), g[1]), w, g[0] is not DISCONNECTED)


def sum_of_terms(terms: Sequence[Expr]) -> Expr:
    """The sum of one or two terms."""
    return terms[0] if len(terms) == 1 else ew.add(*terms)


def _eigh_grad(g: Any, out: Expr, x: Expr, *, lower: bool) -> tuple[Any, ...]:
    w, v = part(out, 0), part(out, 1)
    _real(v.type, "eigh")
    return (folded_triangle(matmul(sum_of_terms(inner_cotangent(g, w, v)), transpose_last(v)), lower),)


@op_record(
    "opaque", name="eigh", infer=_eigh_type, shape=lambda node, x: (x[:-1], x), grad=_eigh_grad,
    numpy=guarded("eigh", lambda x, lower: list(np.linalg.eigh(x, "L" if lower else "U"))), traits="stacks",
)
def _eigh(op: Op, x: Expr, *, lower: bool) -> Expr:
    """Eigenvalues, ascending, and eigenvectors of symmetric (Hermitian) matrices."""
    return op(x, lower=lower)


def eigh(a: Any, UPLO: str = "L") -> tuple[Expr, Expr]:
    """(eigenvalues, ascending; eigenvectors in columns) of a symmetric (Hermitian) matrix, of each of a stack.

    Only the lower triangle is read, the upper one with ``UPLO="U"``, and the gradient is nonzero only there. Where
    eigenvalues are equal it is that of functions which use all their vectors alike, and NaN where it is not known
    (for ``v @ diag(f(w)) @ v.T`` take expm, pinv, matrix_power, ... or matrices without equal eigenvalues).

    >>> w, v = eigh([[2.0, 0.0], [0.0, -1.0]])
    >>> w.eval()
    array([-1.,  2.])
    """
    node = _eigh(as_expr(a), lower=_is_lower(UPLO))
    return part(node, 0), part(node, 1)


def _is_lower(UPLO: str) -> bool:
    if UPLO not in ("L", "U", "l", "u"):
        raise FuseValueError(f"UPLO is 'L' or 'U', the triangle that is read, not {UPLO!r}")
    return UPLO in "Ll"


def _eigvalsh_type(x: Expr, *, lower: bool) -> TensorType:
    return _eigh_type(x, lower=lower).elements[0]


def _eigvalsh_grad(g: Expr, out: Expr, x: Expr, *, lower: bool) -> tuple[Any, ...]:
    return _eigh_grad((g, DISCONNECTED), _eigh(x, lower=lower), x, lower=lower)


@op_record(
    "opaque", name="eigvalsh", infer=_eigvalsh_type, shape=lambda node, x: x[:-1], grad=_eigvalsh_grad,
    numpy=guarded("eigvalsh", lambda x, lower: np.linalg.eigvalsh(x, "L" if lower else "U")), traits="stacks",
)
def _eigvalsh(op: Op, x: Expr, *, lower: bool) -> Expr:
    """Eigenvalues of symmetric (Hermitian) matrices, ascending."""
    return op(x, lower=lower)


def eigvalsh(a: Any, b: Any = None, lower: bool = True) -> Expr:
    """The eigenvalues of a symmetric matrix, ascending; with ``b``, positive definite, the w of ``a v = w b v``.

    Only the triangle named by ``lower`` is read, of both. Of stacks of matrices those of each.

    >>> eigvalsh([[2.0, 0.0], [0.0, -1.0]]).eval()
    array([-1.,  2.])
    >>> eigvalsh([[2.0, 0.0], [0.0, -1.0]], [[4.0, 0.0], [0.0, 1.0]]).eval()
    array([-1. ,  0.5])
    """
    if b is None:
        return _eigvalsh(as_expr(a), lower=bool(lower))
    return part(generalised_eigh(as_expr(a), as_expr(b), lower=bool(lower)), 0)


def _scipy_eigh(a: Any, b: Any, *, lower: bool) -> list[Any]:
    from scipy.linalg import eigh as scipy_eigh

    if a.ndim == 2:
        return list(scipy_eigh(a, b, lower=lower))
    w, v = np.empty(a.shape[:-1], np.zeros(0, a.dtype).real.dtype), np.empty_like(a)
    for k in np.ndindex(a.shape[:-2]):
        w[k], v[k] = scipy_eigh(a[k], b[k], lower=lower)
    return [w, v]


def _eigh_pair_type(a: Expr, b: Expr, *, lower: bool) -> Any:
    require_square(a, "eigvalsh")
    require_square(b, "eigvalsh")
    if a.type.ndim != b.type.ndim:
        raise ShapeError(f"eigvalsh takes two matrices of one shape, not {a.type.describe()} and {b.type.describe()}")
    w, v = _eigh_type(a, lower=lower).elements
    dtype = lapack_dtype(a.type.dtype, b.type.dtype)
    return TupleType((TensorType(real_of(dtype), w.shape), TensorType(dtype, v.shape)))


def generalised_eigh_grad(g: Any, out: Expr, a: Expr, b: Expr, *, lower: bool) -> tuple[Any, ...]:
    """With V^T b V = 1: da as for one matrix; db has -w, or means of two, and changes the lengths of vectors."""
    w, v = part(out, 0), part(out, 1)
    _real(v.type, "eigvalsh of two matrices")
    terms = []
    if g[0] is not DISCONNECTED:
        terms.append(ew.mul(v, as_row(ew.mul(g[0], w))))
    if g[1] is not DISCONNECTED:
        m = matmul(transpose_last(v), g[1])
        means = ew.mul(literal(0.25, v), ew.add(as_row(w), _column(w)))
        lengths = ew.mul(literal(0.25, v), ew.add(m, transpose_last(m)))
        terms.append(matmul(v, ew.add(ew.mul(means, _turned(g, w, v)), lengths)))
    g_a = matmul(sum_of_terms(inner_cotangent(g, w, v)), transpose_last(v))
    return folded_triangle(g_a, lower), folded_triangle(ew.neg(matmul(sum_of_terms(terms), transpose_last(v))), lower)


@op_record(
    "opaque", name="eigh_pair", infer=_eigh_pair_type, shape=lambda node, a, b: (a[:-1], a), grad=generalised_eigh_grad,
    numpy=guarded("eigvalsh", _scipy_eigh, "the second matrix must be positive definite"), traits="stacks",
)
def generalised_eigh(op: Op, a: Expr, b: Expr, *, lower: bool) -> Expr:
    """Eigenvalues and eigenvectors of ``a v = w b v``."""
    return op(a, b, lower=lower)


# ---------------------------------------------------------------- any square matrix
def _eig_numpy(x: Any) -> list[Any]:
    found = np.linalg.eig(x)
    if x.dtype.kind != "c" and any(np.iscomplexobj(each) for each in found):
        raise FuseValueError("eig: the matrix has complex eigenvalues: cast it first, eig(cast(x, 'complex128'))")
    return list(found)


def _eig_type(x: Expr) -> Any:
    require_square(x, "eig")
    v = _eigh_type(x, lower=True).elements[1]
    return TupleType((TensorType(v.dtype, v.shape[:-1]), v))


@op_record(
    "opaque", name="eig", infer=_eig_type, shape=lambda node, x: (x[:-1], x), numpy=guarded("eig", _eig_numpy),
    grad="for symmetric matrices take eigh, whose eigenvalues and vectors have one", traits="stacks",
)
def _eig(op: Op, x: Expr) -> Expr:
    """Eigenvalues and right eigenvectors of square matrices."""
    return op(x)


@also(x="a")
def eig(a: Any) -> tuple[Expr, Expr]:
    """(eigenvalues, right eigenvectors in columns) of a square matrix, of each of a stack; there is no gradient.

    They have the dtype of the matrix: a real one with complex eigenvalues raises FuseValueError at run time, which says
    to cast it first.

    >>> w, v = eig([[0.0, 1.0], [1.0, 0.0]])
    >>> w.eval()
    array([ 1., -1.])
    """
    node = _eig(as_expr(a))
    return part(node, 0), part(node, 1)


# ---------------------------------------------------------------- singular values
def least_size(m: int | None, n: int | None) -> int | None:
    """The smaller of two sizes, as far as it is known."""
    if 1 in (m, n) or 0 in (m, n):
        return min(k for k in (m, n) if k is not None)
    return None if m is None or n is None else min(m, n)


def require_matrix(x: Expr, what: str) -> None:
    """ShapeError where ``x`` has fewer than two axes."""
    if x.type.ndim < 2:
        raise ShapeError(f"{what} takes a matrix, not a {x.type.describe()}")


def _svd_type(x: Expr, *, full_matrices: bool) -> Any:
    require_matrix(x, "svd")
    dtype, (*lead, m, n) = lapack_dtype(x.type.dtype), x.type.shape
    k = least_size(m, n)
    return TupleType((
        TensorType(dtype, (*lead, m, m if full_matrices else k)), TensorType(real_of(dtype), (*lead, k)),
        TensorType(dtype, (*lead, n if full_matrices else k, n)),
    ))


def _svd_shape(node: Expr, x: Any) -> tuple[Any, ...]:
    lead, (m, n) = tuple(x[:-2]), x[-2:]
    k = size_min(m, n)
    full = node.params["full_matrices"]
    return (*lead, m, m if full else k), (*lead, k), (*lead, n if full else k, n)


def _svd_grad(g: Any, out: Expr, x: Expr, *, full_matrices: bool) -> tuple[Any, ...]:
    u, s, vt = part(out, 0), part(out, 1), part(out, 2)
    _real(u.type, "svd")
    if full_matrices:
        m, n = x.type.shape[-2:]
        if (g[0] is not DISCONNECTED or g[2] is not DISCONNECTED) and (m is None or m != n):
            raise FuseTypeError(
                "svd(full_matrices=True) has a gradient through its singular values only, as the vectors beyond them "
                "are any basis: use svd(x, full_matrices=False), or say with specify_shape that the matrix is square"
            )
        out = _svd(x, full_matrices=False)
        u, s, vt = part(out, 0), part(out, 1), part(out, 2)
    return (_svd_cotangent(g, u, s, vt),)


def _svd_cotangent(g: Sequence[Any], u: Expr, s: Expr, vt: Expr) -> Expr:
    """Townsend's equations 18 to 20: the parts of the cotangents inside and outside the spaces of ``u`` and ``vt``.

    Inside, with P and Q the antisymmetric parts of ``u^T g_u`` and ``v^T g_v``, (P s_j + s_i Q) / (s_j^2 - s_i^2) is
    written ``(P + Q) / 2 (s_j - s_i) + (P - Q) / 2 (s_j + s_i)``: only the first has no value at equal s.
    """
    terms = [] if g[1] is DISCONNECTED else [ew.mul(u, as_row(g[1]))]
    beyond = []
    inverse = _reciprocal_where(ew.gt(s, _noise(s)), s)
    inner, whole = [], []  # P and Q with the sign of the latter in the second term; what they are made of
    if g[0] is not DISCONNECTED:
        within = matmul(transpose_last(u), g[0])
        inner.append((ew.sub(within, transpose_last(within)), 0.5))
        whole.append(within)
        terms.append(ew.mul(ew.sub(g[0], matmul(u, within)), as_row(inverse)))
    if g[2] is not DISCONNECTED:
        within = matmul(vt, transpose_last(g[2]))
        inner.append((ew.sub(within, transpose_last(within)), -0.5))
        whole.append(within)
        beyond.append(matmul(u, ew.mul(_column(inverse), ew.sub(g[2], matmul(transpose_last(within), vt)))))
    if inner:
        sums = ew.add(as_row(s), _column(s))
        both = ew.mul(literal(0.5, u), _over_gaps(sum_of_terms(whole), s, g[1] is not DISCONNECTED))
        apart = sum_of_terms([ew.mul(p, literal(half, u)) for p, half in inner])
        apart = ew.mul(apart, _reciprocal_where(ew.gt(sums, _column(_noise(s))), sums))
        terms.append(matmul(u, ew.add(both, apart)))
    return sum_of_terms([*([matmul(sum_of_terms(terms), vt)] if terms else []), *beyond])


@op_record(
    "opaque", name="svd", infer=_svd_type, shape=_svd_shape, grad=_svd_grad,
    numpy=guarded("svd", lambda x, full_matrices: list(np.linalg.svd(x, full_matrices=full_matrices))), traits="stacks",
)
def _svd(op: Op, x: Expr, full_matrices: bool) -> Expr:
    """Left singular vectors, singular values (descending) and transposed right singular vectors."""
    return op(x, full_matrices=full_matrices)


@op_record(
    "opaque", name="svdvals", numpy=guarded("svd", lambda x: np.linalg.svd(x, compute_uv=False)),
    infer=lambda x: _svd_type(x, full_matrices=False).elements[1],
    shape=lambda node, x: (*x[:-2], size_min(*x[-2:])),
    grad=lambda g, out, x: _svd_grad((DISCONNECTED, g, DISCONNECTED), _svd(x, False), x, full_matrices=False),
    traits="stacks",
)
def _svdvals(op: Op, x: Expr) -> Expr:
    """Singular values, descending."""
    return op(x)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """(u, s, vt) with ``a = u[:, :k] * s @ vt[:k]``, s descending; s alone without ``compute_uv``. Of stacks, of each.

    Without ``full_matrices`` u has k columns and vt k rows, k the smaller size of ``a``; with it, only s has a
    gradient unless ``a`` is known to be square.

    >>> u, s, vt = svd([[0.0, 2.0], [3.0, 0.0]])
    >>> s.eval()
    array([3., 2.])
    """
    if not compute_uv:
        return _svdvals(as_expr(a))
    node = _svd(as_expr(a), full_matrices=bool(full_matrices))
    return part(node, 0), part(node, 1), part(node, 2)


# ---------------------------------------------------------------- the pseudo-inverse
def _pinv_type(x: Expr, *, rcond: float, hermitian: bool) -> TensorType:
    require_matrix(x, "pinv")
    (*lead, m, n) = x.type.shape
    return TensorType(lapack_dtype(x.type.dtype), (*lead, n, m))


def pinv_cotangent(g: Expr, p: Expr, x: Expr) -> Expr:
    """Golub and Pereyra's equation 4.12, of a matrix whose rank does not change."""
    if p.type.dtype in COMPLEX:
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format("pinv"))
    t = transpose_last(p)
    left, right = matmul(matmul(p, t), g), matmul(g, matmul(t, p))
    first = ew.neg(matmul(matmul(p, transpose_last(g)), p))
    second = ew.sub(left, matmul(matmul(left, x), p))
    third = ew.sub(right, matmul(p, matmul(x, right)))
    return transpose_last(ew.add(first, second, third))


@op_record(
    "opaque", name="pinv", infer=_pinv_type, shape=lambda node, x: (*x[:-2], x[-1], x[-2]),
    numpy=guarded("pinv", lambda x, rcond, hermitian: np.linalg.pinv(x, rcond, hermitian)),
    grad=lambda g, out, x, **_: (pinv_cotangent(g, out, x),), latex="#1^{+}", traits="stacks",
)
def _pinv(op: Op, x: Expr, *, rcond: float, hermitian: bool) -> Expr:
    """The Moore-Penrose inverse of matrices."""
    return op(x, rcond=rcond, hermitian=hermitian)


def pinv(x: Any, rcond: float = 1e-15, hermitian: bool = False) -> Expr:
    """The Moore-Penrose pseudo-inverse of a matrix of any shape (of each, for a stack).

    Singular values up to ``rcond`` times the largest count as 0 (``numpy.linalg.pinv``). The gradient holds where the
    rank does not change.

    >>> pinv([[2.0, 0.0], [0.0, 0.0]]).eval()
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    return _pinv(as_expr(x), rcond=float(rcond), hermitian=bool(hermitian))


__all__ = ["eig", "eigh", "eigvalsh", "pinv", "svd"]
