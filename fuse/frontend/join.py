"""Joining and splitting: join, concatenate, stack, split, horizontal_stack, vertical_stack."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fuse import expr as _expr
from fuse import types as ty
from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend.arithmetic import clip, maximum
from fuse.frontend.axes import specify_shape
from fuse.frontend.creation import alloc
from fuse.frontend.layout import dimshuffle
from fuse.frontend.lazy import by_axis
from fuse.frontend.sizes import (
    Size,
    as_sizes,
    is_symbolic,
    make_vector,
    normalize_axis,
    size_add,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.op import Op, op_record
from fuse.types import TensorType, shape_text

_TOO_LONG = 1 << 40  # no axis is as long


def _join_type(*xs: Expr, axis: int) -> TensorType:
    if not xs:
        raise FuseValueError("join needs at least one expression")
    ranks = {x.type.ndim for x in xs}
    if len(ranks) > 1:
        raise ShapeError(f"join takes expressions with the same number of dimensions, not with {_listed(ranks)}")
    shape: list[int | None] = []
    for a, sizes in enumerate(zip(*[x.type.shape for x in xs], strict=True)):
        known = {n for n in sizes if n is not None}
        if a == axis:
            shape.append(None if None in sizes else sum(sizes))
        elif len(known) > 1:
            listed = ", ".join(shape_text(x.type.shape) for x in xs)
            raise ShapeError(
                f"cannot join shapes {listed} along axis {axis}: along axis {a} sizes differ, and must match exactly"
            )
        else:
            shape.append(known.pop() if known else None)
    return TensorType(ty.promote(*[x.type.dtype for x in xs]), shape)


def _listed(ranks: set[int]) -> str:
    return " and ".join(map(str, sorted(ranks)))


def size_sum(sizes: Sequence[Size]) -> Size:
    total: Size = 0
    for n in sizes:
        total = size_add(total, n)
    return total


def _join_shape(node: Expr, *shapes: Sequence[Size]) -> tuple[Size, ...]:
    axis = node.params["axis"]
    total = size_sum([s[axis] for s in shapes])
    return tuple([total if a == axis else n for a, n in enumerate(shapes[0])])


def _join_grad(g: Expr, out: Expr, *xs: Expr, axis: int) -> tuple[Any, ...]:
    """Slices of ``g``; behind a length that is not known, such as that of ``s[1:]``, they are counted from the end."""
    parts: list[Expr] = []
    start: Size = 0
    lengths = [x.type.shape[axis] for x in xs]
    for k, x in enumerate(xs):
        n = sizes_of(x)[axis]
        stop = size_add(start, n)
        after = lengths[k + 1 :]
        if not isinstance(stop, int) and None not in after:
            behind, own = sum(after), lengths[k]  # type: ignore[arg-type]
            first = start if isinstance(start, int) or not own else -own - behind
            if own == 1:  # which the type of a slice would not tell
                row = g[(slice(None),) * axis + (first,)]
                pattern = [*range(axis), "x", *range(axis, row.type.ndim)]
                parts.append(dimshuffle(row, pattern))
                start = stop
                continue
            parts.append(slice_axis(g, axis, first, -behind or None))
        else:
            parts.append(slice_axis(g, axis, start, stop))
        start = stop
    return tuple(parts)


def _join_jvp(tangents: Sequence[Any], out: Expr, *xs: Expr, axis: int) -> Expr:
    """The tangents one after the other, zeros where there is none."""
    zero = constant(0, dtype=out.type.dtype)
    return join(axis, *[alloc(zero, *sizes_of(x)) if t is None else t for t, x in zip(tangents, xs, strict=True)])


@op_record(
    "opaque", numpy=lambda *xs, axis: np.concatenate(xs, axis=axis), infer=_join_type, shape=_join_shape,
    grad=_join_grad, jvp=_join_jvp, traits="along",
)
def join(op: Op, axis: Any, *xs: Any) -> Expr:
    """Expressions of the same rank one after the other along ``axis`` (Theano: the axis comes first).

    ``axis`` is an integer, or a 0-d expression of integers.
    Raises FuseValueError for no expressions, ShapeError for numbers, FuseTypeError for an axis that is no integer.

    >>> import fuse.tensor as T
    >>> join(0, T.vector("a"), [1, 2]).type
    TensorType(float64, vector)
    """
    if len(xs) == 1 and isinstance(xs[0], (list, tuple)):
        xs = tuple(xs[0])
    exprs = [as_expr(x) for x in xs]
    if not exprs:
        raise FuseValueError("join needs at least one expression")
    if any(x.type.ndim == 0 for x in exprs):
        raise ShapeError("0-d expressions have no axis to join along; use stack")
    if is_symbolic(axis):
        if as_expr(axis).type.dtype not in ty.DISCRETE:
            raise FuseTypeError(f"the axis of join is an integer, not a {as_expr(axis).type.describe()}")
        return by_axis(as_expr(axis), exprs[0].type.ndim, lambda k: op(*exprs, axis=k), "join")
    axis = normalize_axis(axis, exprs[0].type.ndim)
    return exprs[0] if len(exprs) == 1 else op(*exprs, axis=axis)


def concatenate(tensor_list: Any, axis: int = 0) -> Expr:
    """The expressions of a list one after the other along ``axis``, as ``numpy.concatenate``.

    Raises FuseTypeError for what is no list.

    >>> import fuse.tensor as T
    >>> a, b = T.matrices("a", "b")
    >>> concatenate([a, b], axis=1).ndim
    2
    """
    if not isinstance(tensor_list, (list, tuple)):
        raise FuseTypeError("concatenate takes a list of expressions: concatenate([a, b], axis=0)")
    if axis is None:
        return join(0, *[as_expr(x).flatten() for x in tensor_list])
    return join(axis, *tensor_list)


@also(arrays="tensors")
def stack(*tensors: Any, axis: int = 0) -> Expr:
    """Expressions of the same rank along a new axis: ``stack([a, b], axis=1)``, or ``stack(a, b)``.

    Raises FuseValueError for no expressions, ShapeError for different ranks.

    >>> import fuse.tensor as T
    >>> a, b = T.matrices("a", "b")
    >>> stack([a, b]).type, stack(a, b).ndim
    (TensorType(float64, (2, ?, ?)), 3)
    """
    if tensors and isinstance(tensors[0], (list, tuple)):
        if len(tensors) == 2 and static_int(tensors[1]) is not None:
            axis = tensors[1]
        elif len(tensors) > 1:
            raise FuseTypeError("stack takes one list, stack([a, b], axis=0), or the expressions themselves")
        tensors = tuple(tensors[0])
    if not tensors:
        raise FuseValueError("No tensor arguments provided: stack needs at least one expression")
    exprs = [as_expr(t) for t in tensors]
    ranks = {e.type.ndim for e in exprs}
    if len(ranks) > 1:
        raise ShapeError(f"stack takes expressions of one rank, not of {_listed(ranks)} dimensions")
    ndim = ranks.pop()
    axis = normalize_axis(axis, ndim + 1)
    if ndim == 0:
        return make_vector(*exprs)
    pattern = [*range(axis), "x", *range(axis, ndim)]
    return join(axis, *[dimshuffle(e, pattern) for e in exprs])


_expr.stack_of_list = stack


def split(x: Any, splits_size: Any, n_splits: int | None = None, axis: int = 0) -> list[Expr]:
    """``x`` cut along ``axis`` into pieces of the given sizes.

    ``splits_size`` is a list of sizes, an integer vector with ``n_splits`` entries, or a number of equal pieces of an
    axis of known size. They have to add up to the size of the axis: a ShapeError at build time or at run time.

    >>> import fuse.tensor as T
    >>> a, b = split(T.vector("v"), [2, 3], 2)
    >>> b.ndim
    1
    """
    x = as_expr(x)
    if is_symbolic(axis):
        pieces = static_int(splits_size) if n_splits is None else n_splits
        count = len(as_sizes(splits_size, None)) if pieces is None else pieces
        cuts = [partial(_piece, x, splits_size, n_splits, k) for k in range(count)]
        return [by_axis(as_expr(axis), x.type.ndim, cut, "split") for cut in cuts]
    axis = normalize_axis(axis, x.type.ndim)
    pieces = static_int(splits_size)
    if pieces is not None:
        splits_size = _equal_pieces(x, axis, pieces)
    sizes = as_sizes(splits_size, n_splits)
    if n_splits is not None and n_splits != len(sizes):
        raise FuseValueError(f"split into {n_splits} pieces needs {n_splits} sizes, not {len(sizes)}")
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise FuseValueError(f"the sizes of a split are not negative: {sizes}")
    known, total = x.type.shape[axis], size_sum(sizes)
    if known is not None and isinstance(total, int) and total != known:
        raise ShapeError(f"the sizes {sizes} of a split do not add up to the size {known} of axis {axis}")
    if known is None or not isinstance(total, int):  # to be checked at run time
        if isinstance(splits_size, Expr):  # with sizes below 0 no sum is the right one
            total = size_sum([n if isinstance(n, int) else maximum(n, clip(-n, 0, 1) * _TOO_LONG) for n in sizes])
        x = specify_shape(x, [total if a == axis else None for a in range(x.type.ndim)])
    out: list[Expr] = []
    start: Size = 0
    for n in sizes:
        stop = size_add(start, n)
        out.append(slice_axis(x, axis, start, stop))
        start = stop
    return out


def _piece(x: Expr, sizes: Any, count: int | None, k: int, axis: int) -> Expr:
    return split(x, sizes, count, axis)[k]


def _equal_pieces(x: Expr, axis: int, pieces: int) -> list[int]:
    n = x.type.shape[axis]
    if n is None or pieces < 1 or n % pieces:
        raise FuseValueError(
            f"axis {axis} of size {'unknown here' if n is None else n} does not split into {pieces} equal pieces: "
            f"give the sizes as a list"
        )
    return [n // pieces] * pieces


def slice_axis(x: Expr, axis: int, start: Size | None, stop: Size | None, step: int | None = None) -> Expr:
    """``x[..., start:stop:step, ...]`` along ``axis``."""
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


def pad_end(x: Expr, size: Size, axis: int = -1) -> Expr:
    """``x`` with zeros after it along ``axis``, up to ``size``."""
    axis = normalize_axis(axis, x.type.ndim)
    sizes = list(sizes_of(x))
    sizes[axis] = size_sub(size, sizes[axis])
    if isinstance(sizes[axis], int) and sizes[axis] == 0:
        return x
    return join(axis, x, alloc(constant(0, dtype=x.type.dtype), *sizes))


def stacklists(arg: Any) -> Expr:
    """Nested lists of expressions as one: each level of lists is an axis.

    >>> import fuse.tensor as T
    >>> a, b, c, d = T.scalars("a", "b", "c", "d")
    >>> stacklists([[a, b], [c, d]]).type
    TensorType(float64, (2, 2))
    """
    return as_expr(arg)


def horizontal_stack(*xs: Any) -> Expr:
    """Matrices side by side.

    Raises ShapeError where one is no matrix.

    >>> horizontal_stack([[1, 2]], [[3]]).eval()
    array([[1, 2, 3]])
    """
    return _matrices(xs, "horizontal_stack", 1)


def vertical_stack(*xs: Any) -> Expr:
    """Matrices one above the other.

    Raises ShapeError where one is no matrix.

    >>> vertical_stack([[1, 2]], [[3, 4]]).eval()
    array([[1, 2],
           [3, 4]])
    """
    return _matrices(xs, "vertical_stack", 0)


def _matrices(xs: Sequence[Any], what: str, axis: int) -> Expr:
    if len(xs) == 1 and isinstance(xs[0], (list, tuple)):
        xs = xs[0]
    exprs = [as_expr(x) for x in xs]
    for x in exprs:
        if x.type.ndim != 2:
            raise ShapeError(f"{what} takes matrices, not a {x.type.describe()}")
    return join(axis, *exprs)


def hstack(tup: Any) -> Expr:
    """As ``numpy.hstack``: vectors one after the other, other expressions along axis 1.

    >>> hstack([[1, 2], [3]]).eval(), hstack([[[1], [2]], [[3], [4]]]).eval()
    (array([1, 2, 3]), array([[1, 3],
           [2, 4]]))
    """
    exprs = [dimshuffle(e, "x") if e.type.ndim == 0 else e for e in map(as_expr, tup)]
    return join(0 if exprs and exprs[0].type.ndim == 1 else 1, *exprs)


def vstack(tup: Any) -> Expr:
    """As ``numpy.vstack``: vectors become rows, then along axis 0.

    >>> vstack([[1, 2], [3, 4]]).eval()
    array([[1, 2],
           [3, 4]])
    """
    exprs = [as_expr(x) for x in tup]
    while any(e.type.ndim < 2 for e in exprs):
        exprs = [dimshuffle(e, ["x", *range(e.type.ndim)]) if e.type.ndim < 2 else e for e in exprs]
    return join(0, *exprs)


__all__ = [
    "concatenate", "horizontal_stack", "hstack", "join", "make_vector", "split", "stack", "stacklists",
    "vertical_stack", "vstack",
]
