"""qr, expm, least squares, inverses of tensors, block diagonals and norms of matrices.

Sources of the gradients: S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions", 2010,
for qr, and of wide matrices H.-J. Liao et al., Phys. Rev. X 9 (2019) 031041; N. J. Higham, "Functions of Matrices",
2008, theorem 3.6, for expm; G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413, for lstsq.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import moveaxis
from fuse.frontend.creation import diagonal_offsets, tril, zeros, zeros_like
from fuse.frontend.decompositions import (
    NO_COMPLEX_GRADIENT,
    guarded,
    inverse_of_square,
    lapack_dtype,
    require_square,
)
from fuse.frontend.indexing import set_subtensor
from fuse.frontend.join import join, pad_end
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.linalg import dot, matmul, outer, transpose_last
from fuse.frontend.logic import literal
from fuse.frontend.parts import part
from fuse.frontend.reductions import max as max_
from fuse.frontend.reductions import min as min_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.sizes import (
    broadcast_sizes,
    normalize_axis,
    size_add,
    size_min,
    size_product,
    sizes_of,
    static_int,
)
from fuse.frontend.spectral import as_row, least_size, pinv, pinv_cotangent, require_matrix, svd
from fuse.frontend.statistics import norm as vector_norm
from fuse.frontend.systems import solve, triangular_solution
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import COMPLEX, DISCRETE, TensorType, TupleType


# ---------------------------------------------------------------- qr
def _qr_type(x: Expr, *, mode: str) -> Any:
    require_matrix(x, "qr")
    dtype, (*lead, m, n) = lapack_dtype(x.type.dtype), x.type.shape
    k = least_size(m, n)
    if mode == "raw":
        return TupleType((TensorType(dtype, (*lead, n, m)), TensorType(dtype, (*lead, k))))
    k = m if mode == "complete" else k
    return TupleType((TensorType(dtype, (*lead, m, k)), TensorType(dtype, (*lead, k, n))))


def _qr_shape(node: Expr, x: Any) -> tuple[Any, ...]:
    lead, (m, n), mode = tuple(x[:-2]), x[-2:], node.params["mode"]
    k = m if mode == "complete" else size_min(m, n)
    return ((*lead, n, m), (*lead, k)) if mode == "raw" else ((*lead, m, k), (*lead, k, n))


def _qr_grad(g: Any, out: Expr, x: Expr, *, mode: str) -> tuple[Any, ...]:
    if out.type.elements[0].dtype in COMPLEX:  # type: ignore[attr-defined]
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format("qr"))
    if mode == "raw":
        raise FuseTypeError("qr(mode='raw') has no gradient: use mode='reduced'")
    m, n = x.type.shape[-2:]
    g_q, g_r = g
    if mode == "complete":
        if g_q is not DISCONNECTED and (m is None or n is None or m > n):
            raise FuseTypeError(
                "qr(mode='complete') of a matrix that may have more rows than columns has a gradient through r only, "
                "as the last columns of q are any basis: use mode='reduced'"
            )
        out = _qr(x, "reduced")
        g_r = g_r if g_r is DISCONNECTED else g_r[..., : sizes_of(part(out, 1))[-2], :]
    return (_qr_cotangent(g_q, g_r, part(out, 0), part(out, 1), x, m is not None and n is not None and m >= n),)


def _qr_cotangent(g_q: Any, g_r: Any, q: Expr, r: Expr, x: Expr, tall: bool) -> Expr:
    """Of the first k columns by Walter and Lehmann; the others are q times those of r, and add to that of q."""
    r1, after = r, None
    if not tall:
        k = sizes_of(q)[-1]
        if g_r is not DISCONNECTED:
            beyond = g_r[..., k:]
            more, after = matmul(x[..., k:], transpose_last(beyond)), matmul(q, beyond)
            g_q, g_r = more if g_q is DISCONNECTED else ew.add(g_q, more), g_r[..., :k]
        else:
            after = zeros_like(x[..., k:])
        r1 = r[..., :k]
    terms = [] if g_r is DISCONNECTED else [matmul(r1, transpose_last(g_r))]
    terms += [] if g_q is DISCONNECTED else [ew.neg(matmul(transpose_last(g_q), q))]
    m = terms[0] if len(terms) == 1 else ew.add(*terms)
    inner = matmul(q, ew.add(tril(m), transpose_last(tril(m, -1))))
    inner = inner if g_q is DISCONNECTED else ew.add(g_q, inner)
    first = transpose_last(triangular_solution(r1, transpose_last(inner), lower=False, unit_diagonal=False))
    return first if after is None else join(x.type.ndim - 1, first, after)


@op_record(
    "opaque", name="qr", infer=_qr_type, shape=_qr_shape, grad=_qr_grad,
    numpy=guarded("qr", lambda x, mode: list(np.linalg.qr(x, mode))), traits="stacks",
)
def _qr(op: Op, x: Expr, mode: str) -> Expr:
    """The factors of ``x = q r``, q with orthonormal columns and r upper triangular."""
    return op(x, mode=mode)


@op_record(
    "opaque", name="qr_r", numpy=guarded("qr", lambda x: np.linalg.qr(x, "r")),
    infer=lambda x: _qr_type(x, mode="reduced").elements[1], shape=lambda node, x: (*x[:-2], size_min(*x[-2:]), x[-1]),
    grad=lambda g, out, x: _qr_grad((DISCONNECTED, g), _qr(x, "reduced"), x, mode="reduced"), traits="stacks",
)
def _qr_r(op: Op, x: Expr) -> Expr:
    """The triangular factor alone."""
    return op(x)


def qr(a: Any, mode: str = "reduced") -> Any:
    """(q, r) with ``a = q @ r``, the columns of q orthonormal, r upper triangular; of a stack, of each matrix.

    ``mode``: "reduced" (q has k columns and r k rows, k the smaller size of ``a``), "complete" (q is square), "r"
    (r alone), "raw" (LAPACK's (h, tau), without gradient). The gradient needs columns 0 to k - 1 to be independent.
    Raises FuseValueError for another mode, ShapeError for less than a matrix.

    >>> q, r = qr([[0.0, 2.0], [3.0, 0.0]])
    >>> abs(r).eval()
    array([[3., 0.],
           [0., 2.]])
    """
    if mode not in ("reduced", "complete", "r", "raw"):
        raise FuseValueError(f"the mode of qr is 'reduced', 'complete', 'r' or 'raw', not {mode!r}")
    if mode == "r":
        return _qr_r(as_expr(a))
    node = _qr(as_expr(a), mode)
    return part(node, 0), part(node, 1)


# ---------------------------------------------------------------- the exponential
def _expm_type(x: Expr) -> TensorType:
    require_square(x, "expm")
    return TensorType(lapack_dtype(x.type.dtype), x.type.shape)


def _scipy_expm(x: Any) -> Any:
    from scipy.linalg import expm as scipy_expm

    return np.asarray(scipy_expm(x), x.dtype)


def expm_along(x: Expr, direction: Expr) -> Expr:
    """The derivative of expm at ``x`` along ``direction``: the block beside the diagonal of a matrix twice as large."""
    n, last = sizes_of(x)[-1], x.type.ndim - 1
    both = join(last - 1, join(last, x, direction), join(last, zeros_like(x), x))
    return _expm(both)[..., :n, n:]


@op_record(
    "opaque", name="expm", numpy=guarded("expm", _scipy_expm), infer=_expm_type, shape=lambda node, x: x,
    grad=lambda g, out, x: (expm_along(transpose_last(ew.cast(x, out.type.dtype)), g),),
    jvp=lambda tangents, out, x: expm_along(ew.cast(x, out.type.dtype), ew.cast(tangents[0], out.type.dtype)),
    latex="e^{#1}", traits="stacks",
)
def _expm(op: Op, x: Expr) -> Expr:
    """The exponential of square matrices."""
    return op(x)


def expm(a: Any) -> Expr:
    """The exponential of a square matrix (of each, for a stack): ``1 + a + a @ a / 2 + ...``.

    >>> expm([[0.0, 1.0], [0.0, 0.0]]).eval()
    array([[1., 1.],
           [0., 1.]])
    """
    return _expm(as_expr(a))


# ---------------------------------------------------------------- least squares
def _lstsq_type(a: Expr, b: Expr, *rcond: Expr) -> Any:
    if a.type.ndim != 2 or b.type.ndim not in (1, 2) or any(r.type.ndim for r in rcond):
        given = ", ".join(x.type.describe() for x in (a, b, *rcond))
        raise ShapeError(f"lstsq takes a matrix, its right-hand sides and a number, not {given}; of stacks pinv(a) @ b")
    m, n, rows = *a.type.shape, b.type.shape[0]
    if m is not None and rows is not None and m != rows:
        raise ShapeError(f"lstsq of {m} equations with {rows} right-hand sides")
    dtype = lapack_dtype(a.type.dtype, b.type.dtype)
    real = np.zeros(0, dtype).real.dtype.name
    return TupleType((
        TensorType(dtype, (n, *b.type.shape[1:])), TensorType(real, (None,)), TensorType("int64", ()),
        TensorType(real, (least_size(m, n),)),
    ))


def _lstsq_numpy(a: Any, b: Any, *rcond: Any) -> list[Any]:
    x, residuals, rank, s = np.linalg.lstsq(a, b, float(rcond[0]) if rcond else None)
    return [x, residuals, np.asarray(rank, "int64"), s]


def _lstsq_call(a: Any, b: Any, *rcond: Any) -> Any:
    return guarded("lstsq", lambda x, y: _lstsq_numpy(x, y, *rcond))(a, b)


def _lstsq_grad(g: Any, out: Expr, a: Expr, b: Expr, *rcond: Expr) -> tuple[Any, ...]:
    if out.type.elements[0].dtype in COMPLEX:  # type: ignore[attr-defined]
        raise FuseTypeError(NO_COMPLEX_GRADIENT.format("lstsq"))
    g_a: list[Expr] = []
    g_b: list[Expr] = []
    if g[1] is not DISCONNECTED:
        x, columns = part(out, 0), sizes_of(b)[1] if b.type.ndim == 2 else 1
        # the residuals are an empty array where the rank is not full
        weights = join(0, g[1], zeros((columns,), dtype=g[1].type.dtype))[:columns]
        g_b.append(ew.mul(ew.sub(b, dot(a, x)), ew.mul(literal(2, g[1]), weights)))
        g_a.append(ew.neg(outer(g_b[0], x) if b.type.ndim == 1 else dot(g_b[0], transpose_last(x))))
    if g[0] is not DISCONNECTED:
        inverse = pinv(a)
        g_b.append(dot(transpose_last(inverse), g[0]))
        g_inverse = outer(g[0], b) if b.type.ndim == 1 else dot(g[0], transpose_last(b))
        g_a.append(pinv_cotangent(g_inverse, inverse, a))
    if g[3] is not DISCONNECTED:
        u, _, vt = svd(a, full_matrices=False)
        g_a.append(dot(ew.mul(u, as_row(g[3])), vt))
    totals: list[Any] = [DISCONNECTED if not terms else ew.add(*terms) for terms in (g_a, g_b)]
    return *totals, *[DISCONNECTED for _ in rcond]


# Residuals are left out where there are none: their number is known from the result alone, so there is no shape rule.
@op_record("opaque", name="lstsq", numpy=_lstsq_call, infer=_lstsq_type, grad=_lstsq_grad)
def _lstsq(op: Op, a: Expr, b: Expr, *rcond: Expr) -> Expr:
    """The solution of least squares, its residuals, the rank and the singular values."""
    return op(a, b, *rcond)


def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Expr, Expr, Expr, Expr]:
    """(x, residuals, rank, singular values): the ``x`` for which ``a @ x`` is nearest to ``b``, as in NumPy.

    ``b`` is a vector or a matrix of right-hand sides. Singular values up to ``rcond`` times the largest count as 0. The
    gradient holds where the rank does not change.

    >>> x, residuals, rank, s = lstsq([[1.0], [1.0]], [1.0, 3.0])
    >>> x.eval(), residuals.eval(), int(rank.eval())
    (array([2.]), array([2.]), 1)
    """
    node = _lstsq(as_expr(a), as_expr(b), *([] if rcond is None else [as_expr(rcond)]))
    return part(node, 0), part(node, 1), part(node, 2), part(node, 3)


# ---------------------------------------------------------------- tensors as matrices
def tensorinv(a: Any, ind: int = 2) -> Expr:
    """The inverse for ``tensordot(..., ind)``: ``a`` as a matrix, the first ``ind`` axes for its rows, inverted.

    Raises FuseValueError where ``a`` does not have ``ind`` axes.

    >>> import fuse.tensor as T
    >>> tensorinv(T.tensor("float64", shape=(2, 3, 6)), ind=2).type
    TensorType(float64, (6, 2, 3))
    """
    a, number = as_expr(a), static_int(ind)
    if number is None or not 0 < number <= a.type.ndim:
        raise FuseValueError(f"ind of tensorinv is a number of axes from 1 to {a.type.ndim}, not {ind!r}")
    first, rest = sizes_of(a)[:number], sizes_of(a)[number:]
    matrix = reshape(a, (size_product(first), size_product(rest)))
    return reshape(inverse_of_square(matrix), (*rest, *first))


def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Expr:
    """The ``x`` with ``tensordot(a, x, x.ndim) == b``; the ``axes`` of ``a`` go to its end first.

    Raises ShapeError where ``a`` has fewer axes than ``b``.

    >>> import fuse.tensor as T
    >>> tensorsolve(T.tensor("float64", shape=(2, 3, 6)), T.tensor("float64", shape=(2, 3))).type
    TensorType(float64, (6,))
    """
    a, b = as_expr(a), as_expr(b)
    moved = [normalize_axis(axis, a.type.ndim) for axis in axes or ()]
    a = dimshuffle(a, [*[k for k in range(a.type.ndim) if k not in moved], *moved])
    if a.type.ndim < b.type.ndim:
        raise ShapeError(f"tensorsolve: the first operand has fewer axes ({a.type.ndim}) than the second")
    wanted = sizes_of(a)[b.type.ndim:]
    matrix = reshape(a, (size_product(sizes_of(b)), size_product(wanted)))
    return reshape(solve(matrix, reshape(b, (-1,))), tuple(wanted))


def block_diag(*matrices: Any) -> Expr:
    """The matrix with these along its diagonal and zeros elsewhere; vectors count as rows, stacks broadcast.

    Raises ShapeError for no blocks.

    >>> block_diag([[1, 2]], [[3], [4]]).eval()
    array([[1, 2, 0],
           [0, 0, 3],
           [0, 0, 4]])
    """
    blocks = [as_expr(m) for m in matrices]
    if not blocks:
        raise ShapeError("block_diag takes one or more matrices")
    blocks = [dimshuffle(m, [*["x"] * (2 - m.type.ndim), *range(m.type.ndim)]) for m in blocks]
    dtype = blocks[0].type.dtype if len(blocks) == 1 else ew.add(*[m[..., 0, 0] for m in blocks]).type.dtype
    stacks = broadcast_sizes([sizes_of(m)[:-2] for m in blocks])
    ends: list[tuple[Any, Any]] = [(0, 0)]
    for m in blocks:
        ends.append(tuple([size_add(e, n) for e, n in zip(ends[-1], sizes_of(m)[-2:], strict=True)]))  # type: ignore[arg-type]
    out = zeros((*stacks, *ends[-1]), dtype=dtype)
    for m, (r0, c0), (r1, c1) in zip(blocks, ends, ends[1:], strict=False):
        out = set_subtensor(out[..., r0:r1, c0:c1], ew.cast(m, dtype))
    return out


def alloc_diag(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    """Zeros with the last axis of ``x`` on diagonal ``offset`` of the new axes ``axis1`` and ``axis2``.

    Raises ShapeError for a number, FuseTypeError for an offset that is an expression.

    >>> alloc_diag([1, 2]).eval()
    array([[1, 0],
           [0, 2]])
    """
    x, k = as_expr(x), static_int(offset)
    if x.type.ndim < 1:
        raise ShapeError(f"alloc_diag takes a vector or more, not a {x.type.describe()}")
    if k is None:
        raise FuseTypeError("the offset of a diagonal is an integer known while the graph is built")
    n, lead = size_add(sizes_of(x)[-1], abs(k)), range(x.type.ndim - 1)
    values = pad_end(x, n)
    values = dimshuffle(values, [*lead, x.type.ndim - 1, "x"] if k >= 0 else [*lead, "x", x.type.ndim - 1])
    out = ew.switch(ew.eq(diagonal_offsets(n, n), k), values, literal(0, x))
    return moveaxis(out, (-2, -1), (axis1, axis2))


def extract_diag(x: Any) -> Expr:
    """The diagonal of a matrix.

    Raises ShapeError for other ranks than 2.

    >>> extract_diag([[1, 2], [3, 4]]).eval()
    array([1, 4])
    """
    from fuse.frontend.layout import diagonal

    x = as_expr(x)
    if x.type.ndim != 2:
        raise ShapeError(f"extract_diag takes a matrix, not a {x.type.describe()}")
    return diagonal(x)


# ---------------------------------------------------------------- norms
_NAMED = {"inf": math.inf, "-inf": -math.inf}
_OF_MATRICES = {
    math.inf: (max_, -1), -math.inf: (min_, -1), 1: (max_, -2), -1: (min_, -2),  # of sums along that axis
}


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Expr:
    """The norm of a vector or a matrix (``numpy.linalg.norm``); Theano's names "inf" and "-inf" are known too.

    ``ord`` of vectors: 2 (None), 0, any p, inf, -inf; of matrices: "fro" (None), "nuc", 1, -1, 2, -2, inf, -inf.
    ``axis``: one axis for vectors, two for matrices.
    Raises FuseValueError for an unknown order, ShapeError where it is not told which axes are meant.

    >>> norm([[3.0, 0.0], [0.0, -4.0]]).eval(), norm([[3.0, 0.0], [0.0, -4.0]], "nuc").eval()
    (array(5.), array(7.))
    """
    x = as_expr(x)
    order = _NAMED.get(ord, ord) if isinstance(ord, str) else ord
    if not x.type.ndim:
        raise ShapeError("norm takes a vector or a matrix, not a scalar: use abs(x)")
    if axis is None and (order is None or x.type.ndim == 1):
        axis = list(range(x.type.ndim))
    elif axis is None and x.type.ndim > 2:
        raise ShapeError(f"the norm {ord!r} of a {x.type.describe()} needs an axis (vectors) or two axes (matrices)")
    axes = [normalize_axis(a, x.type.ndim) for a in (range(2) if axis is None else np.atleast_1d(axis))]
    if len(axes) == 1 or order is None or order == "fro" and len(axes) == 2:
        if isinstance(order, str) and len(axes) == 1:
            raise FuseValueError(f"norms of vectors have orders 0, any p, inf and -inf, not {ord!r}")
        return vector_norm(x, 2 if order is None else order, axis=tuple(axes), keepdims=keepdims)
    if len(axes) != 2 or order not in (*_OF_MATRICES, 2, -2, "nuc"):
        raise FuseValueError(f"norms of matrices have orders 'fro', 'nuc', 1, -1, 2, -2, inf and -inf, not {ord!r}")
    x = moveaxis(ew.cast(x, "float64") if x.type.dtype in DISCRETE else x, axes, (-2, -1))
    if order in _OF_MATRICES:
        take, along = _OF_MATRICES[order]
        out = take(sum_(ew.abs_(x), axis=along), axis=-1)
    else:
        s = svd(x, compute_uv=False)
        out = sum_(s, axis=-1) if order == "nuc" else (max_ if order == 2 else min_)(s, axis=-1)
    for a in sorted(axes) if keepdims else ():
        out = dimshuffle(out, [*range(a), "x", *range(a, out.type.ndim)])
    return out


__all__ = [
    "alloc_diag", "block_diag", "expm", "extract_diag", "lstsq", "norm", "qr", "tensorinv", "tensorsolve",
]
