"""PyTensor's functions on axes: of size 1 by declaration, joined and split; arrays packed side by side and unpacked."""
from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fuse.errors import AxisError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend.axes import atleast_nd, broadcast_arrays, specify_shape
from fuse.frontend.join import concatenate, split
from fuse.frontend.layout import broadcast_to, reshape
from fuse.frontend.sizes import as_size_expr, as_sizes, normalize_axes, size_mul, sizes_of

__all__ = [
    "concat_with_broadcast", "join_dims", "pack", "slice_at_axis", "specify_broadcastable", "split_dims", "unpack",
]


def specify_broadcastable(x: Any, *axes: int) -> Expr:
    """``x``, declared to have the size 1 along ``axes``; a call with another size is an error.

    >>> import fuse.tensor as T
    >>> specify_broadcastable(T.matrix("m"), 0).type.broadcastable
    (True, False)
    """
    x = as_expr(x)
    if not axes:
        return x
    ones = normalize_axes(axes, x.type.ndim)
    return specify_shape(x, [1 if d in ones else None for d in range(x.type.ndim)])


def slice_at_axis(sl: slice, axis: int) -> tuple[Any, ...]:
    """The index that is the slice ``sl`` at ``axis`` and everything elsewhere.

    >>> slice_at_axis(slice(1), 1)
    (slice(None, None, None), slice(None, 1, None), Ellipsis)
    """
    whole = (slice(None),)
    return (*whole * axis, sl, ...) if axis >= 0 else (..., sl, *whole * (-1 - axis))


def join_dims(x: Any, start_axis: int = 0, n_axes: int | None = None) -> Expr:
    """``n_axes`` axes from ``start_axis`` on (None: all behind it) as one; none gives a new axis of size 1.

    Raises AxisError for an axis that is not there.

    >>> import fuse.tensor as T
    >>> join_dims(T.tensor("float64", shape=(2, 3, 4)), 1).type.shape
    (2, 12)
    """
    x = as_expr(x)
    start = start_axis + max(1, x.type.ndim) if start_axis < 0 else start_axis
    count = x.type.ndim - start if n_axes is None else n_axes
    if not 0 <= start <= x.type.ndim or start + count > x.type.ndim:
        raise AxisError(f"Axis {start_axis} is out of bounds for array of dimension {x.type.ndim}")
    sizes = sizes_of(x)
    joined: Any = 1
    for n in sizes[start : start + count]:
        joined = size_mul(joined, n)
    return reshape(x, (*sizes[:start], joined, *sizes[start + count :]))


def split_dims(x: Any, shape: Any, axis: int = 0) -> Expr:
    """``x`` with ``axis`` as several axes of the sizes ``shape``, of which one may be -1.

    Raises ShapeError where the sizes surely do not fit.

    >>> import fuse.tensor as T
    >>> split_dims(T.tensor("float64", shape=(6, 4)), (2, 3)).type.shape
    (2, 3, 4)
    """
    x = as_expr(x)
    (at,) = normalize_axes(axis, x.type.ndim)
    inner: Any = as_sizes(shape)
    sizes = sizes_of(x)
    if not inner:
        return specify_broadcastable(x, at)[(slice(None),) * at + (0,)]
    known = [n for n in inner if isinstance(n, int)]
    if isinstance(sizes[at], int) and len(known) == len(inner) and -1 not in known and prod(known) != sizes[at]:
        raise ShapeError(f"split_dims: an axis of {sizes[at]} elements has not the sizes {tuple(known)}")
    return reshape(x, (*sizes[:at], *inner, *sizes[at + 1 :]))


def _kept(keep_axes: Any, ranks: Sequence[int]) -> tuple[int, int]:
    """How many leading and trailing axes are kept."""
    if keep_axes is None:
        return 0, 0
    kept = [keep_axes] if isinstance(keep_axes, (int, np.integer)) else list(keep_axes)
    front, back = sorted([a for a in kept if a >= 0]), sorted([a for a in kept if a < 0])
    if front != list(range(len(front))):
        raise FuseValueError("Positive axes must be contiguous and start from 0.")
    if back != list(range(-len(back), 0)):
        raise FuseValueError("Negative axes must be contiguous and end at -1.")
    if min(ranks) < len(front) + len(back):
        raise FuseValueError(f"pack keeps {len(front) + len(back)} axes, and an argument has {min(ranks)}")
    return len(front), len(back)


def pack(*tensors: Any, keep_axes: Any = None) -> tuple[Expr, list[tuple[Any, ...]]]:
    """Arrays side by side, all axes but ``keep_axes`` raveled into one; and for each the sizes that were raveled.

    Raises FuseValueError for no arrays.

    >>> import fuse.tensor as T
    >>> packed, shapes = pack(T.tensor("float64", shape=(2, 3)), T.tensor("float64", shape=(4,)))
    >>> packed.type.shape, [a.type.shape for a in unpack(packed, shapes)]
    ((10,), [(2, 3), (4,)])
    """
    if not tensors:
        raise FuseValueError("Cannot pack an empty list of tensors.")
    xs = list(map(as_expr, tensors))
    front, back = _kept(keep_axes, [x.type.ndim for x in xs])
    inner = [sizes_of(x)[front : x.type.ndim - back] for x in xs]
    flat = [join_dims(x, front, x.type.ndim - front - back) for x in xs]
    return concatenate(flat, axis=front), inner


def unpack(packed_input: Any, packed_shapes: Sequence[Any], keep_axes: Any = None) -> list[Expr]:
    """The arrays that ``pack`` put side by side, from the sizes that it gave.

    Raises FuseValueError where the rank is not that of a packed array.

    >>> import fuse.tensor as T
    >>> [a.eval().tolist() for a in unpack(T.constant([1, 2, 3]), [(2,), ()])]
    [[1, 2], 3]
    """
    x = as_expr(packed_input)
    kept = normalize_axes(() if keep_axes is None else keep_axes, x.type.ndim)
    rest = [d for d in range(x.type.ndim) if d not in kept]
    if len(rest) != 1:
        raise FuseValueError(f"unpack input must have exactly one more dimension than keep_axes; it has {x.type.ndim}")
    sizes: list[Any] = []
    for shape in packed_shapes:
        count: Any = 1
        for n in as_sizes(shape):
            count = size_mul(count, n)
        sizes.append(count)
    pieces = [x] if len(sizes) == 1 else split(x, [as_size_expr(n) for n in sizes], len(sizes), rest[0])
    return [split_dims(p, shape, rest[0]) for p, shape in zip(pieces, packed_shapes, strict=True)]


def concat_with_broadcast(tensor_list: Sequence[Any], axis: int = 0) -> Expr:
    """The arrays joined along ``axis``, broadcast against each other along the others.

    Raises FuseValueError for no arrays.

    >>> import fuse.tensor as T
    >>> concat_with_broadcast([T.dmatrix("m"), T.drow("r")], axis=1).type.ndim
    2
    """
    if not tensor_list:
        raise FuseValueError("Cannot concatenate an empty list of tensors.")
    xs = list(map(as_expr, tensor_list))
    rank = max(x.type.ndim for x in xs)
    xs = [atleast_nd(x, rank) for x in xs]
    (at,) = normalize_axes(axis, rank)
    outer = sizes_of(broadcast_arrays(*[x[slice_at_axis(slice(0, 1), at)] for x in xs])[0])
    sizes = [[sizes_of(x)[d] if d == at else outer[d] for d in range(rank)] for x in xs]
    return concatenate([broadcast_to(x, s) for x, s in zip(xs, sizes, strict=True)], axis=at)
