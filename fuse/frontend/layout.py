"""Core ops on the layout of arrays: dimshuffle, broadcast_to, unbroadcast, reshape, diagonal, iota, linear_index."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.signs import never_negative
from fuse.frontend.sizes import (
    Size,
    as_size,
    as_size_expr,
    as_sizes,
    normalize_axis,
    size_add,
    size_floordiv,
    size_max,
    size_min,
    size_product,
    sizes_of,
    static_int,
)
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import Shape, TensorType, shape_text


def _ints(sizes: Any) -> tuple[int, ...]:
    return tuple([int(n) for n in sizes])


# ---------------------------------------------------------------- dimshuffle
def _dimshuffle_type(x: Expr, *, pattern: tuple[Any, ...]) -> TensorType:
    ndim = x.type.ndim
    kept = [d for d in pattern if d != "x"]
    if len(set(kept)) < len(kept):
        raise FuseValueError(f"an axis may not appear twice in a dimshuffle pattern, as in {pattern}")
    for d in kept:
        if not 0 <= d < ndim:
            raise FuseValueError(f"dimshuffle pattern {pattern} names axis {d} of an expression with {ndim} dimensions")
    for axis, n in enumerate(x.type.shape):
        if axis not in kept and n != 1:
            raise ShapeError(
                f"dimshuffle pattern {pattern} drops axis {axis}, which is not known to have size 1 "
                f"(static shape {shape_text(x.type.shape)}); index it (x[0]) or sum over it, or declare the size "
                f"with specify_shape or addbroadcast"
            )
    return TensorType(x.type.dtype, [1 if d == "x" else x.type.shape[d] for d in pattern])


def _dimshuffle_numpy(x: Any, pattern: tuple[Any, ...]) -> Any:
    kept = [d for d in pattern if d != "x"]
    dropped = tuple([a for a in range(x.ndim) if a not in kept])
    moved = np.transpose(x, (*kept, *dropped))[(...,) + (0,) * len(dropped)]
    return np.expand_dims(moved, tuple([i for i, d in enumerate(pattern) if d == "x"]))


def _dimshuffle_grad(g: Expr, out: Expr, x: Expr, pattern: tuple[Any, ...]) -> tuple[Any, ...]:
    back = [pattern.index(a) if a in pattern else "x" for a in range(x.type.ndim)]
    if any(d == "x" and g.type.shape[i] != 1 for i, d in enumerate(pattern)):
        g = unbroadcast_like(g, out)  # of size 1 there, but its static shape does not say so
    return (dimshuffle(g, back),)


@op_record(
    "index", numpy=_dimshuffle_numpy, infer=_dimshuffle_type, linear=True, grad=_dimshuffle_grad,
    shape=lambda node, s: tuple([1 if d == "x" else s[d] for d in node.params["pattern"]]), traits="chooses",
)
def dimshuffle(op: Op, x: Any, *pattern: Any) -> Expr:
    """``x`` with its axes in the order of ``pattern``; ``'x'`` inserts one of size 1, those of size 1 may be left out.

    Raises FuseValueError for what is no axis and not ``'x'``.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> dimshuffle(v, "x", 0).type
    TensorType(float64, row)
    """
    x = as_expr(x)
    if len(pattern) == 1 and isinstance(pattern[0], (list, tuple)):
        pattern = tuple(pattern[0])
    steps: list[Any] = []
    for d in pattern:
        if isinstance(d, str):
            if d != "x":
                raise FuseValueError(f"a dimshuffle pattern has axis numbers and 'x', not {d!r}")
            steps.append("x")
        else:
            steps.append(normalize_axis(d, x.type.ndim, "dimshuffle axis"))
    if steps == list(range(x.type.ndim)):
        return x
    return op(x, pattern=tuple(steps))


# ---------------------------------------------------------------- broadcasting, there and back
def _broadcast_to_type(x: Expr, *sizes: Expr) -> TensorType:
    _need_sizes(sizes)
    have, want = x.type.shape, [static_int(n) for n in sizes]
    if len(have) > len(want):
        raise ShapeError(f"an expression with {len(have)} dimensions does not broadcast to {len(want)} dimensions")
    shift = len(want) - len(have)
    for axis, n in enumerate(have, shift):
        m = want[axis]
        if n is not None and n != 1:
            if m is not None and m != n:
                raise ShapeError(f"shape {shape_text(have)} does not broadcast to {shape_text(tuple(want))}")
            want[axis] = n
    return TensorType(x.type.dtype, want)


def _need_sizes(sizes: Any) -> None:
    for n in sizes:
        if n.type.ndim or n.type.dtype != "int64":
            raise FuseTypeError(f"a size is a 0-d int64 expression, not a {n.type.describe()}")
        known = static_int(n)
        if known is not None and known < 0:
            raise FuseValueError(f"a size is not negative: {known}")


def _broadcast_array(x: Any, *sizes: Any) -> Any:
    shape = _ints(sizes)
    if any(n < 0 for n in shape):
        raise ShapeError(f"an array of shape {shape} was asked for: a size is not negative")
    if type(x) is np.ndarray and x.ndim == 0:  # a number: NumPy's function takes ten times as long
        repeated = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        repeated.flags.writeable = False
        return repeated
    return np.broadcast_to(x, shape)


def _broadcast_to_grad(g: Expr, out: Expr, x: Expr, *sizes: Expr) -> tuple[Any, ...]:
    return (sum_to(g, x), *[DISCONNECTED] * len(sizes))


@also(array="x")
@op_record(
    "index", numpy=_broadcast_array, infer=_broadcast_to_type, linear=True,
    grad=_broadcast_to_grad, shape=lambda node, *s: node.args[1:], integers_from=1, traits="chooses",
)
def broadcast_to(op: Op, x: Any, *shape: Any) -> Expr:
    """``x`` repeated to ``shape`` by the rules of broadcasting; nothing is copied.

    >>> import fuse.tensor as T
    >>> broadcast_to(T.vector("v"), (2, 3)).type
    TensorType(float64, (2, 3))
    """
    sizes = as_sizes(shape[0]) if len(shape) == 1 else tuple([as_size(n) for n in shape])
    x = as_expr(x)
    if tuple(x.type.shape) == sizes:
        return x
    return op(x, *map(as_size_expr, sizes))


def sum_to(g: Expr, x: Expr) -> Expr:
    """``g`` summed over the axes along which ``x`` was broadcast to it: leading axes, and axes of size 1."""
    from fuse.frontend.reductions import sum as sum_  # the only use of a reduction here; reductions come later

    extra = g.type.ndim - x.type.ndim
    if extra:
        g = sum_(g, axis=tuple(range(extra)), dtype=g.type.dtype)
    return unbroadcast_like(g, x)


def _unbroadcast_type(g: Expr, like: Expr) -> TensorType:
    if g.type.ndim != like.type.ndim:
        raise ShapeError(f"unbroadcast takes two expressions of the same rank, not {g.type.ndim} and {like.type.ndim}")
    shape: list[int | None] = []
    for n, m in zip(g.type.shape, like.type.shape, strict=True):
        if n is not None and n != 1 and m is not None and m not in (1, n):
            raise ShapeError(f"shape {shape_text(like.type.shape)} was not broadcast to {shape_text(g.type.shape)}")
        shape.append(1 if n == 1 else m)
    return TensorType(g.type.dtype, shape)


def _unbroadcast_numpy(g: Any, like: Any) -> Any:
    axes = tuple([a for a in range(g.ndim) if like.shape[a] == 1 != g.shape[a]])
    result = np.sum(g, axis=axes, keepdims=True, dtype=g.dtype) if axes else g
    if result.shape != like.shape:
        raise ValueError(f"shape {like.shape} was not broadcast to {g.shape}")
    return result


@op_record(
    "index", name="unbroadcast", numpy=_unbroadcast_numpy, infer=_unbroadcast_type, linear=True,
    shape=lambda node, g, like: tuple([1 if node.args[0].type.shape[a] == 1 else n for a, n in enumerate(like)]),
    grad=lambda h, out, g, like: (broadcast_to(h, *sizes_of(g)), DISCONNECTED), traits="keeps-sign",
)
def unbroadcast_like(op: Op, g: Any, like: Any) -> Expr:
    """``g`` summed, with axes kept, over the axes where ``like`` has size 1 and ``g`` has not; ranks are equal.

    Which axes these are is decided at run time where sizes are not known before: the reverse of broadcasting.
    """
    g, like = as_expr(g), as_expr(like)
    pairs = list(zip(g.type.shape, like.type.shape, strict=False))
    same_rank = g.type.ndim == like.type.ndim
    if same_rank and all(n == 1 or n is not None and n == m for n, m in pairs):
        return g
    return op(g, like)


# ---------------------------------------------------------------- reshape
def _reshape_type(x: Expr, *sizes: Expr) -> TensorType:
    want = [static_int(n) for n in sizes]
    for n, expr in zip(want, sizes, strict=True):
        if expr.type.ndim or expr.type.dtype != "int64":
            raise FuseTypeError(f"a size is a 0-d int64 expression, not a {expr.type.describe()}")
        if n is not None and n < -1:
            raise FuseValueError(f"a size is not negative: {n}")
    if want.count(-1) > 1:
        raise FuseValueError("only one size of a reshape may be -1")
    return TensorType(x.type.dtype, _reshaped(x.type.shape, want))


def _reshaped(have: Shape, want: list[int | None]) -> list[int | None]:
    """Static sizes of a reshape: one unknown size follows from the number of elements where that is known."""
    unknown = [i for i, n in enumerate(want) if n is None or n == -1]
    shape = [None if n == -1 else n for n in want]
    if None in have or len(unknown) > 1:
        return shape
    total = math.prod(have)  # type: ignore[arg-type]
    rest = math.prod([n for n in shape if n is not None])
    if unknown and rest and total % rest == 0:
        shape[unknown[0]] = total // rest
    elif unknown and rest or not unknown and total != rest:
        raise ShapeError(
            f"Reshape: Input shape {shape_text(have)} is incompatible with new shape {shape_text(tuple(want))}: "
            f"it has {total} elements"
        )
    return shape


def _reshape_shape(node: Expr, shape: Any, *_: Any) -> tuple[Size, ...]:
    sizes: list[Size] = [n if (known := static_int(n)) is None else known for n in node.args[1:]]
    total = size_product(shape)
    out: list[Size] = []
    for i, n in enumerate(sizes):
        rest = size_product(sizes[:i] + sizes[i + 1 :])
        if isinstance(n, int):
            out.append(size_floordiv(total, size_max(rest, 1)) if n == -1 else n)
        elif never_negative(n):
            out.append(n)
        else:  # a run-time -1 stands for what is left
            out.append(ew.switch(ew.lt(n, 0), size_floordiv(total, size_max(rest, 1)), n))
    return tuple(out)


@also(newshape="shape")
@op_record(
    "view", numpy=lambda x, *sizes: np.reshape(x, _ints(sizes)), infer=_reshape_type, shape=_reshape_shape,
    linear=True, grad=lambda g, out, x, *sizes: (reshape(g, sizes_of(x)), *[DISCONNECTED] * len(sizes)),
    integers_from=1, traits="chooses",
)
def reshape(op: Op, x: Any, *newshape: Any, ndim: int | None = None, shape: Any = None) -> Expr:
    """The elements of ``x`` in C order as ``newshape``; one size may be -1.

    The shape is a sequence, several arguments, or an integer vector (its length known, or given as ``ndim``).
    Raises ShapeError where the numbers of elements or of axes surely differ.

    >>> import fuse.tensor as T
    >>> reshape(T.tensor("float64", shape=(4, 3)), (2, -1)).type
    TensorType(float64, (2, 6))
    """
    x = as_expr(x)
    if shape is not None:
        newshape = (shape,)
    if len(newshape) == 2 and not isinstance(newshape[0], (int, np.integer)) and _is_shape(newshape[0]):
        ndim = static_int(newshape[1])  # Theano: reshape(x, newshape, ndim)
        newshape = newshape[:1]
    sizes = as_sizes(newshape[0], ndim) if len(newshape) == 1 else tuple([as_size(n) for n in newshape])
    if ndim is not None and static_int(ndim) != len(sizes):
        raise ShapeError(f"the shape {tuple(sizes)} has {len(sizes)} sizes, not ndim={ndim}")
    if None not in x.type.shape and tuple(x.type.shape) == sizes:
        return x
    return op(x, *map(as_size_expr, sizes))


def flat(x: Expr) -> Expr:
    """``x`` as a vector."""
    return x if x.type.ndim == 1 else reshape(x, (-1,))


def _is_shape(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) or isinstance(value, Expr) and value.type.ndim == 1


# ---------------------------------------------------------------- diagonal
def _diagonal_length(rows: Size, columns: Size, offset: int) -> Size:
    return size_max(size_min(size_add(rows, min(offset, 0)), size_add(columns, -max(offset, 0))), 0)


def _diagonal_type(x: Expr, *, offset: int, axis1: int, axis2: int) -> TensorType:
    shape = x.type.shape
    rows, columns = shape[axis1], shape[axis2]
    length = None if rows is None or columns is None else static_int(_diagonal_length(rows, columns, offset))
    return TensorType(x.type.dtype, (*[n for a, n in enumerate(shape) if a not in (axis1, axis2)], length))


def _diagonal_shape(node: Expr, shape: Any) -> tuple[Size, ...]:
    axis1, axis2, offset = node.params["axis1"], node.params["axis2"], node.params["offset"]
    length = _diagonal_length(shape[axis1], shape[axis2], offset)
    return (*[n for a, n in enumerate(shape) if a not in (axis1, axis2)], length)


def _diagonal_grad(g: Expr, out: Expr, x: Expr, offset: int, axis1: int, axis2: int) -> tuple[Any, ...]:
    """g on the diagonal, 0 elsewhere: a choice by index, so that it fuses."""
    from fuse.frontend.join import pad_end

    sizes = sizes_of(x)
    along, across = (axis1, axis2) if offset >= 0 else (axis2, axis1)
    g = pad_end(g, sizes[along])  # element t of the diagonal lies at position t of the axis ``along``
    others = [a for a in range(x.type.ndim) if a not in (axis1, axis2)]
    place = {a: i for i, a in enumerate([*others, along])}
    spread = dimshuffle(g, [place.get(a, "x") for a in range(x.type.ndim)])
    position = [dimshuffle(iota(sizes[a]), ["x" if b != a else 0 for b in range(x.type.ndim)]) for a in (along, across)]
    zero = ew.cast(0, g.type.dtype)
    return (broadcast_to(ew.switch(ew.eq(position[1], ew.add(position[0], abs(offset))), spread, zero), *sizes),)


@also(a="x")
@op_record(
    "view", numpy=np.diagonal, infer=_diagonal_type, shape=_diagonal_shape, linear=True, grad=_diagonal_grad,
    traits="along",
)
def diagonal(op: Op, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    """The diagonals of ``x`` over two axes, as the last axis of the result (``numpy.diagonal``).

    Raises ShapeError for less than a matrix, FuseValueError for one axis given twice.

    >>> import fuse.tensor as T
    >>> diagonal(T.tensor("float64", shape=(2, 5)), offset=1).type
    TensorType(float64, (2,))
    """
    x = as_expr(x)
    if x.type.ndim < 2:
        raise ShapeError(f"diagonal needs two dimensions, not a {x.type.describe()}")
    axis1, axis2 = normalize_axis(axis1, x.type.ndim), normalize_axis(axis2, x.type.ndim)
    if axis1 == axis2:
        raise FuseValueError("diagonal needs two different axes")
    known = static_int(offset)
    if known is None:
        raise FuseTypeError("the offset of a diagonal is an integer known while the graph is built")
    return op(x, offset=known, axis1=axis1, axis2=axis2)


# ---------------------------------------------------------------- positions
def _positions_type(*sizes: Expr) -> TensorType:
    _need_sizes(sizes)
    return TensorType("int64", [static_int(n) for n in sizes])


def _no_gradient(g: Expr, out: Expr, *args: Expr) -> tuple[Any, ...]:
    return (DISCONNECTED,) * len(args)


def _count(n: Any) -> int:
    if n < 0:
        raise FuseValueError(f"a size is not negative: {n}")
    return int(n)


@op_record(
    "index", numpy=lambda n: np.arange(_count(n), dtype="int64"), infer=_positions_type, grad=_no_gradient,
    shape=lambda node, s: node.args, traits="count", meta={"sizes_from": 0},
)
def iota(op: Op, n: Any) -> Expr:
    """The int64 vector 0, 1, ..., n - 1.

    >>> iota(3).type
    TensorType(int64, (3,))
    """
    return op(as_size_expr(as_size(n)))


@op_record(
    "index", numpy=lambda *sizes: np.arange(math.prod(map(_count, sizes)), dtype="int64").reshape(_ints(sizes)),
    infer=_positions_type, grad=_no_gradient, shape=lambda node, *s: node.args, traits="count",
    meta={"sizes_from": 0},
)
def linear_index(op: Op, *sizes: Any) -> Expr:
    """The position of each element in C order, int64, for an array of the given sizes.

    >>> linear_index(2, 3).type
    TensorType(int64, (2, 3))
    """
    listed = as_sizes(sizes[0]) if len(sizes) == 1 else tuple([as_size(n) for n in sizes])
    return op(*map(as_size_expr, listed))


__all__ = [
    "broadcast_to", "diagonal", "dimshuffle", "iota", "linear_index", "reshape", "sum_to",
    "unbroadcast_like",
]
