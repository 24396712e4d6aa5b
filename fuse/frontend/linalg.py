"""Products of matrices: dot, matmul, tensordot, batched products, outer, inner, vdot, trace, kron, matrix powers."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import addbroadcast, specify_shape
from fuse.frontend.layout import broadcast_to, dimshuffle, flat, reshape, sum_to
from fuse.frontend.sizes import broadcast_sizes, normalize_axis, size_product, sizes_of, static_int
from fuse.op import Op, op_record
from fuse.types import Shape, TensorType, dtype_name, shape_text

# Cotangents follow fuse.frontend.complexes: g stands for dz -> real(g * dz), so no rule here conjugates.


# ---------------------------------------------------------------- dot
def _contracted(what: str, x: Shape, y: Shape, m: int | None, n: int | None) -> None:
    if m is not None and n is not None and m != n:
        raise ShapeError(
            f"{what} of shapes {shape_text(x)} and {shape_text(y)}: the last axis of the first has size {m}, "
            f"the matching axis of the second {n}"
        )


def _dot_type(x: Expr, y: Expr) -> TensorType:
    a, b = x.type.shape, y.type.shape
    if not (1 <= len(a) <= 2 and 1 <= len(b) <= 2):
        raise ShapeError(f"dot takes vectors and matrices here, not ranks {len(a)} and {len(b)}; use tensordot")
    _contracted("dot", a, b, a[-1], b[0])
    return TensorType(ty.promote(x.type.dtype, y.type.dtype), (*a[:-1], *b[1:]))


def _promoted(function: Any) -> Any:
    """``function`` on operands cast to their common dtype, as NumPy does it, but also for pairs like int64, uint64."""

    def product(x: Any, y: Any) -> Any:
        dtype = np.result_type(x.dtype, y.dtype)
        return function(np.asarray(x, dtype), np.asarray(y, dtype))

    return product


def _dot_grad(g: Expr, out: Expr, x: Expr, y: Expr) -> tuple[Any, ...]:
    return tuple([_noted_as(h, v) for h, v in zip(_dot_cotangents(g, x, y), (x, y), strict=True)])


def _noted_as(h: Expr, like: Expr) -> Expr:
    """``h``, of the sizes of ``like``, with its static sizes of 1, so that it updates what only takes such arrays."""
    lost = [a for a, (m, n) in enumerate(zip(h.type.shape, like.type.shape, strict=True)) if m is None and n == 1]
    return addbroadcast(h, *lost) if lost else h


def _dot_cotangents(g: Expr, x: Expr, y: Expr) -> tuple[Expr, Expr]:
    if x.type.ndim == 1 and y.type.ndim == 1:
        return ew.mul(ew.fill(x, g), y), ew.mul(ew.fill(y, g), x)  # which have to be of one length, as in the product
    if x.type.ndim == 1:
        return dot(y, g), outer(x, g)
    if y.type.ndim == 1:
        return outer(g, y), dot(g, x)
    return dot(g, transpose_last(y)), dot(transpose_last(x), g)


def _bilinear_jvp(product: Any) -> Any:
    def jvp(tangents: Sequence[Any], out: Expr, x: Expr, y: Expr) -> Any:
        terms = [product(*pair) for pair in ((tangents[0], y), (x, tangents[1])) if None not in pair]
        return terms[0] if len(terms) == 1 else ew.add(*terms)

    return jvp


@op_record(
    "opaque", name="dot", numpy=_promoted(np.dot), infer=_dot_type, grad=_dot_grad,
    shape=lambda node, x, y: (*x[:-1], *y[1:]), jvp=_bilinear_jvp(lambda x, y: _dot(x, y)),
    latex=r"#1 \cdot #2",
)
def _dot(op: Op, x: Expr, y: Expr) -> Expr:
    """The product of two vectors or matrices."""
    return op(x, y)


@also(l="x", r="y", a="x", b="y", right="y")
def dot(x: Any, y: Any) -> Expr:
    """``numpy.dot``: scalar times, inner product of vectors, product of matrices, sum over last and second-last axis.

    The dtype is the promoted one. Raises ShapeError where sizes known at build time do not match.

    >>> import fuse.tensor as T
    >>> dot(T.matrix("m"), T.fvector("v")).type
    TensorType(float64, vector)
    """
    x, y = as_expr(x), as_expr(y)
    if not x.type.ndim or not y.type.ndim:
        return ew.mul(x, y)
    if x.type.ndim <= 2 and y.type.ndim <= 2:
        return _dot(x, y)
    return tensordot(x, y, axes=([x.type.ndim - 1], [max(0, y.type.ndim - 2)]))


def transpose_last(x: Expr) -> Expr:
    """``x`` with its last two axes exchanged."""
    n = x.type.ndim
    return dimshuffle(x, [*range(n - 2), n - 1, n - 2])


# ---------------------------------------------------------------- matmul
def _matmul_type(x: Expr, y: Expr) -> TensorType:
    a, b = x.type.shape, y.type.shape
    if len(a) < 2 or len(b) < 2:
        raise ShapeError(f"the op matmul takes ranks of 2 or more, not {len(a)} and {len(b)}; use @ or matmul()")
    _contracted("matmul", a, b, a[-1], b[-2])
    batch = ty.broadcast_static([a[:-2], b[:-2]])
    return TensorType(ty.promote(x.type.dtype, y.type.dtype), (*batch, a[-2], b[-1]))


@op_record(
    "opaque", name="matmul", numpy=_promoted(np.matmul), infer=_matmul_type,
    shape=lambda node, x, y: (*broadcast_sizes([x[:-2], y[:-2]]), x[-2], y[-1]),
    grad=lambda g, out, x, y: (
        sum_to(_matmul(g, transpose_last(y)), x), sum_to(_matmul(transpose_last(x), g), y),
    ),
    jvp=_bilinear_jvp(lambda x, y: _matmul(x, y)), latex="#1 #2",
)
def _matmul(op: Op, x: Expr, y: Expr) -> Expr:
    """Products of stacks of matrices; the leading axes broadcast."""
    return op(x, y)


@also(x1="x", x2="y")
def matmul(x: Any, y: Any, dtype: Any = None) -> Expr:
    """``x @ y`` as in NumPy: matrices in the last two axes, the others broadcast; vectors count as a row and a column.

    Raises ShapeError for scalars and for sizes that do not match.

    >>> import fuse.tensor as T
    >>> matmul(T.tensor("float64", shape=(5, 2, 3)), T.tensor("float64", shape=(3,))).type
    TensorType(float64, (5, 2))
    """
    if dtype is not None:
        return ew.cast(matmul(x, y), dtype_name(dtype))
    x, y = as_expr(x), as_expr(y)
    if not x.type.ndim or not y.type.ndim:
        raise ShapeError("the operands of matmul (@) cannot be scalar: multiply by a scalar with *")
    if x.type.ndim <= 2 and y.type.ndim <= 2:
        return _dot(x, y)
    row, column = x.type.ndim == 1, y.type.ndim == 1
    out = _matmul(dimshuffle(x, "x", 0) if row else x, dimshuffle(y, 0, "x") if column else y)
    n = out.type.ndim
    return dimshuffle(out, [a for a in range(n) if not (row and a == n - 2 or column and a == n - 1)])


# ---------------------------------------------------------------- tensordot
def _pair_of_axes(axes: Any, x: Expr, y: Expr, first: int = 0) -> tuple[list[int], list[int]]:
    """The axes of ``x`` and ``y`` to sum over: an int means the last of ``x``, the first (from ``first``) of ``y``."""
    number = static_int(axes)
    if number is None:
        left, right = _listed_axes(axes, x, y, first)
    elif 0 <= number <= min(x.type.ndim, y.type.ndim) - first:
        left, right = list(range(x.type.ndim - number, x.type.ndim)), list(range(first, first + number))
    else:
        raise FuseValueError(f"axes={number} does not fit to ranks {x.type.ndim} and {y.type.ndim}")
    for a, b in zip(left, right, strict=True):
        m, n = x.type.shape[a], y.type.shape[b]
        if m is not None and n is not None and m != n:
            raise ShapeError(f"tensordot sums over axis {a} of size {m} and axis {b} of size {n}")
    return left, right


def _listed_axes(axes: Any, x: Expr, y: Expr, first: int) -> list[list[int]]:
    try:
        pair = [given if static_int(given) is None else [given] for given in axes]
        listed = [[normalize_axis(a, z.type.ndim) for a in given] for given, z in zip(pair, (x, y), strict=True)]
    except (TypeError, ValueError) as error:
        if isinstance(error, FuseError):
            raise
        raise ShapeError(f"axes is an int or a pair of axis lists, not {axes!r}") from None
    if len(listed[0]) != len(listed[1]):
        raise FuseValueError(
            f"axes {axes!r} names {len(listed[0])} axes of the first operand, {len(listed[1])} of the second"
        )
    if any(len(set(found)) < len(found) or any(a < first for a in found) for found in listed):
        raise FuseValueError(f"axes {axes!r} names an axis twice, or the batch axis")
    return listed


def tensordot(a: Any, b: Any, axes: Any = 2) -> Expr:
    """The sum of products over given axes of ``a`` and ``b``, the remaining axes of ``a`` before those of ``b``.

    ``axes``: an int n for the last n of ``a`` with the first n of ``b``, or a pair of axis lists (``numpy.tensordot``).

    >>> import fuse.tensor as T
    >>> tensordot(T.tensor("float64", shape=(2, 3, 4)), T.tensor("float64", shape=(4, 3)), [[1, 2], [1, 0]]).type
    TensorType(float64, (2,))
    """
    x, y = as_expr(a), as_expr(b)
    left, right = _pair_of_axes(axes, x, y)
    kept_x = [k for k in range(x.type.ndim) if k not in left]
    kept_y = [k for k in range(y.type.ndim) if k not in right]
    sizes_x = sizes_of(x)
    y = agreeing(y, right, [sizes_x[k] for k in left])
    sizes_y = sizes_of(y)
    rows, columns = [sizes_x[k] for k in kept_x], [sizes_y[k] for k in kept_y]
    # One matrix product; vectors where nothing is kept, so that no axis of size 1 has to be made.
    across_x, across_y = [sizes_x[k] for k in left], [sizes_y[k] for k in right]
    x = fold_axes(dimshuffle(x, [*kept_x, *left]), [rows, across_x] if kept_x else [across_x])
    y = fold_axes(dimshuffle(y, [*right, *kept_y]), [across_y, columns] if kept_y else [across_y])
    return unfold_axes(_dot(x, y), [*rows, *columns])


def agreeing(x: Expr, axes: Sequence[int], sizes: Sequence[Any]) -> Expr:
    """``x``, whose ``axes`` are about to be made one and have to have these ``sizes``.

    That the product of the sizes is right is not enough: 2 by 3 elements would be paired with 3 by 2.
    """
    wanted: list[Any] = [None] * x.type.ndim
    if len(axes) > 1:
        for axis, n in zip(axes, sizes, strict=True):
            wanted[axis] = n
    return x if all(n is None for n in wanted) else specify_shape(x, wanted)


def fold_axes(x: Expr, groups: Sequence[Sequence[Any]]) -> Expr:
    """``x`` with each group of neighbouring axes made one axis."""
    if all(len(g) == 1 for g in groups):
        return x
    return reshape(x, tuple([size_product(g) for g in groups]))


def unfold_axes(x: Expr, sizes: Sequence[Any]) -> Expr:
    """``x``, some of whose axes ``fold_axes`` made one, with all its sizes again."""
    return x if len(sizes) == x.type.ndim else reshape(x, tuple(sizes))


# ---------------------------------------------------------------- batches
def _batched_dot_type(x: Expr, y: Expr) -> TensorType:
    a, b = x.type.shape, y.type.shape
    if len(a) != 3 or len(b) != 3:
        raise ShapeError(f"the op batched_dot takes two 3-d operands, not ranks {len(a)} and {len(b)}")
    if a[0] is not None and b[0] is not None and a[0] != b[0]:
        raise ShapeError(f"batched_dot pairs the first axes, which have sizes {a[0]} and {b[0]}")
    _contracted("batched_dot", a, b, a[2], b[1])
    return TensorType(ty.promote(x.type.dtype, y.type.dtype), (b[0] if a[0] is None else a[0], a[1], b[2]))


def _batched_dot_numpy(x: Any, y: Any) -> Any:
    if x.shape[0] != y.shape[0]:
        raise ShapeError(f"batched_dot pairs the first axes, which have sizes {x.shape[0]} and {y.shape[0]}")
    return np.matmul(x, y)


@op_record(
    "opaque", name="batched_dot", numpy=_promoted(_batched_dot_numpy), infer=_batched_dot_type,
    shape=lambda node, x, y: (x[0], x[1], y[2]), jvp=_bilinear_jvp(lambda x, y: _batched_dot(x, y)),
    grad=lambda g, out, x, y: (_batched_dot(g, transpose_last(y)), _batched_dot(transpose_last(x), g)),
)
def _batched_dot(op: Op, x: Expr, y: Expr) -> Expr:
    """One matrix product for each pair of entries along the first axes, which have the same size."""
    return op(x, y)


def batched_dot(a: Any, b: Any) -> Expr:
    """For each i the product ``dot(a[i], b[i])``; the first axes must have the same size (nothing broadcasts).

    Raises ShapeError for a number.

    >>> import fuse.tensor as T
    >>> batched_dot(T.tensor3("a"), T.matrix("b")).type
    TensorType(float64, matrix)
    """
    x, y = as_expr(a), as_expr(b)
    if not x.type.ndim or not y.type.ndim:
        raise ShapeError("batched_dot needs a batch axis in both operands, not a scalar")
    if x.type.ndim == 1 or y.type.ndim == 1:
        n = max(x.type.ndim, y.type.ndim)
        return ew.mul(*[dimshuffle(z, [*range(z.type.ndim), *["x"] * (n - z.type.ndim)]) for z in (x, y)])
    if x.type.ndim > 3 or y.type.ndim > 3:
        return batched_tensordot(x, y, axes=([x.type.ndim - 1], [max(1, y.type.ndim - 2)]))
    row, column = x.type.ndim == 2, y.type.ndim == 2
    out = _batched_dot(dimshuffle(x, 0, "x", 1) if row else x, dimshuffle(y, 0, 1, "x") if column else y)
    return dimshuffle(out, [0, *[axis for axis, single in ((1, row), (2, column)) if not single]])


def batched_tensordot(x: Any, y: Any, axes: Any = 2) -> Expr:
    """``tensordot(x[i], y[i])`` for each i; ``axes`` counts the batch axis 0, which it may not name.

    Raises ShapeError for a number.

    >>> import fuse.tensor as T
    >>> x, y = T.tensor("float64", shape=(5, 2, 3)), T.tensor("float64", shape=(5, 3, 4))
    >>> batched_tensordot(x, y, [[2], [1]]).type
    TensorType(float64, (5, 2, 4))
    """
    x, y = as_expr(x), as_expr(y)
    if not x.type.ndim or not y.type.ndim:
        raise ShapeError("batched_tensordot needs a batch axis in both operands, not a scalar")
    left, right = _pair_of_axes(axes, x, y, first=1)
    kept_x = [k for k in range(1, x.type.ndim) if k not in left]
    kept_y = [k for k in range(1, y.type.ndim) if k not in right]
    sizes_x = sizes_of(x)
    y = agreeing(y, right, [sizes_x[k] for k in left])
    sizes_y = sizes_of(y)
    rows, columns = [sizes_x[k] for k in kept_x], [sizes_y[k] for k in kept_y]
    x = fold_axes(dimshuffle(x, [0, *kept_x, *left]), [[sizes_x[0]], rows, [sizes_x[k] for k in left]])
    y = fold_axes(dimshuffle(y, [0, *right, *kept_y]), [[sizes_y[0]], [sizes_y[k] for k in right], columns])
    out = _batched_dot(x, y)
    return out if len(rows) == len(columns) == 1 else reshape(out, (sizes_x[0], *rows, *columns))


# ---------------------------------------------------------------- written in other ops
def outer(x: Any, y: Any) -> Expr:
    """The matrix of products ``x[i] * y[j]``; operands of other ranks count as flat.

    >>> import fuse.tensor as T
    >>> outer(T.vector("x"), T.vector("y")).type
    TensorType(float64, matrix)
    """
    x, y = flat(as_expr(x)), flat(as_expr(y))
    return ew.mul(dimshuffle(x, 0, "x"), dimshuffle(y, "x", 0))


def inner(x: Any, y: Any) -> Expr:
    """The sum of products over the last axes of both (``numpy.inner``); of scalars the product.

    Raises ShapeError where sizes known at build time do not match.

    >>> inner([[1, 2], [3, 4]], [10, 100]).eval()
    array([210, 430])
    """
    x, y = as_expr(x), as_expr(y)
    if not x.type.ndim or not y.type.ndim:
        return ew.mul(x, y)
    return tensordot(x, y, axes=([x.type.ndim - 1], [y.type.ndim - 1]))


def vdot(x: Any, y: Any) -> Expr:
    """The sum of products of all elements, the first operand conjugated where it is complex.

    >>> vdot([1j, 2.0], [1j, 3.0]).eval()
    array(7.+0.j)
    """
    x, y = flat(as_expr(x)), flat(as_expr(y))
    return _dot(ew.conj(x) if x.type.dtype in ty.COMPLEX else x, y)


@also(X="a")
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    """The sum over a diagonal of ``a`` (``numpy.trace``); integers sum up in 64 bits.

    >>> import fuse.tensor as T
    >>> m = T.imatrix("m")
    >>> trace(m).eval({m: [[1, 2], [3, 4]]})
    array(5)
    """
    from fuse.frontend.layout import diagonal
    from fuse.frontend.reductions import sum as sum_

    return sum_(diagonal(a, offset, axis1, axis2), axis=-1)


def kron(a: Any, b: Any) -> Expr:
    """The Kronecker product of two matrices (or arrays of one rank): each ``a[i, j]`` times the whole of ``b``.

    >>> kron([[1, 10]], [[1, 2], [3, 4]]).eval()
    array([[ 1,  2, 10, 20],
           [ 3,  4, 30, 40]])
    """
    x, y = as_expr(a), as_expr(b)
    n = max(x.type.ndim, y.type.ndim)
    x = dimshuffle(x, [*["x"] * (n - x.type.ndim), *range(x.type.ndim)])
    y = dimshuffle(y, [*["x"] * (n - y.type.ndim), *range(y.type.ndim)])
    wide_x = dimshuffle(x, [d for k in range(n) for d in (k, "x")])
    wide_y = dimshuffle(y, [d for k in range(n) for d in ("x", k)])
    sizes = tuple([size_product(pair) for pair in zip(sizes_of(x), sizes_of(y), strict=True)])
    return reshape(ew.mul(wide_x, wide_y), sizes) if n else ew.mul(x, y)


def matrix_dot(*matrices: Any) -> Expr:
    """The product of several matrices, from left to right.

    Raises FuseValueError where there is none.

    >>> import fuse.tensor as T
    >>> sizes = [(2, 3), (3, 5), (5, 7)]
    >>> matrix_dot(*[T.tensor("float64", shape=s) for s in sizes]).type
    TensorType(float64, (2, 7))
    """
    if not matrices:
        raise FuseValueError("matrix_dot needs at least one matrix")
    product = as_expr(matrices[0])
    for matrix in matrices[1:]:
        product = dot(product, matrix)
    return product


@also(M="m")
def matrix_power(m: Any, n: int) -> Expr:
    """The square matrix ``m`` to an integer power, by repeated squaring; negative powers through the inverse.

    Of a stack of matrices each. Raises ShapeError where ``m`` is no square matrix, FuseTypeError where ``n`` is not
    known at build time.

    >>> matrix_power([[1, 1], [1, 0]], 10).eval()
    array([[89, 55],
           [55, 34]])
    >>> matrix_power([[2.0, 0.0], [0.0, 4.0]], -1).eval()
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    m, power = as_expr(m), static_int(n)
    if power is None:
        raise FuseTypeError("the power of a matrix is an integer known while the graph is built")
    if m.type.ndim < 2:
        raise ShapeError(f"matrix_power takes a matrix, not a {m.type.describe()}")
    if None not in m.type.shape[-2:] and m.type.shape[-2] != m.type.shape[-1]:
        raise ShapeError(f"matrix_power takes a square matrix, not one of shape {shape_text(m.type.shape)}")
    if power == 0:
        from fuse.frontend.creation import eye

        rows, columns = sizes_of(m)[-2:]
        one = eye(rows, columns, dtype=m.type.dtype)
        return one if m.type.ndim == 2 else broadcast_to(one, sizes_of(m))
    if power < 0:
        from fuse.frontend.decompositions import matrix_inverse

        m, power = matrix_inverse(m), -power
    result: Expr | None = None
    while True:
        if power & 1:
            result = m if result is None else matmul(result, m)
        power >>= 1
        if not power:
            assert result is not None
            return result
        m = matmul(m, m)


__all__ = [
    "batched_dot", "batched_tensordot", "dot", "inner", "kron", "matmul", "matrix_dot", "matrix_power", "outer",
    "tensordot", "trace", "vdot",
]
