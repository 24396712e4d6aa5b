"""Repeated and moved elements: tile, repeat, roll, flip, rot90, meshgrid."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend.axes import flatten, swapaxes
from fuse.frontend.join import join
from fuse.frontend.layout import broadcast_to, dimshuffle, iota, reshape
from fuse.frontend.sizes import (
    Size,
    as_size,
    as_size_expr,
    as_sizes,
    normalize_axes,
    normalize_axis,
    size_max,
    size_mul,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import DISCRETE, TensorType


def _filled_up(reps: Any, ndim: int | None) -> Any:
    """``reps``, with ones in front where it is a vector that may be shorter than ``ndim``."""
    if ndim is None or not isinstance(reps, Expr) or reps.type.shape != (None,) or reps.type.dtype not in DISCRETE:
        return reps
    lacking = size_max(size_sub(ndim, sizes_of(reps)[0]), 0)
    return join(0, broadcast_to(constant(1, dtype="int64"), (lacking,)), reps)


@also(A="x")
def tile(x: Any, reps: Any, ndim: int | None = None) -> Expr:
    """``x`` laid ``reps`` times along its axes, as ``numpy.tile``.

    The result has ``ndim`` axes, if given: fewer repetitions are those of the last ones. A vector of repetitions whose
    length is not known needs it. Raises ShapeError for repetitions that are no integers, and for a smaller ``ndim``.

    >>> import fuse.tensor as T
    >>> tile(T.tensor("float64", shape=(2, 3)), (2, 1)).type
    TensorType(float64, (4, 3))
    """
    x = as_expr(x)
    try:
        counts: tuple[Size, ...] = as_sizes(_filled_up(reps, ndim), ndim)
    except FuseTypeError as error:
        raise ShapeError(f"tile: {error}") from error
    if ndim is not None and ndim < max(x.type.ndim, len(counts)):
        raise ShapeError(f"tile to {ndim} axes of an expression with {x.type.ndim}, {len(counts)} repetitions")
    rank = max(x.type.ndim, len(counts), ndim or 0)
    counts = (1,) * (rank - len(counts)) + counts
    x = dimshuffle(x, ["x"] * (rank - x.type.ndim) + list(range(x.type.ndim)))
    if all(isinstance(n, int) and n == 1 for n in counts):
        return x
    sizes = sizes_of(x)
    spread = dimshuffle(x, [d for a in range(rank) for d in ("x", a)])
    wide = broadcast_to(spread, [n for pair in zip(counts, sizes, strict=True) for n in pair])
    return reshape(wide, [size_mul(n, c) for c, n in zip(counts, sizes, strict=True)])


def _repeat_indices_type(counts: Expr, *size: Expr) -> TensorType:
    if counts.type.ndim != 1 or counts.type.dtype not in DISCRETE:
        raise FuseTypeError(f"the counts of repeat are integers, one per element, not a {counts.type.describe()}")
    return TensorType("int64", (None,))


def _repeated(size: int, counts: Any) -> Any:
    return np.repeat(np.arange(size), counts.astype("int64"))  # NumPy takes no uint64


@op_record(
    "opaque", numpy=lambda counts, *size: _repeated(size[0] if size else counts.size, counts),
    infer=_repeat_indices_type, grad=lambda g, out, *args: (DISCONNECTED,) * len(args),
)
def repeat_indices(op: Op, counts: Any, *size: Any) -> Expr:
    """0 repeated ``counts[0]`` times, 1 repeated ``counts[1]`` times, ...: int64.

    With a ``size``, that many numbers; a single count is then for each of them.

    >>> repeat_indices([2, 0, 3]).eval()
    array([0, 0, 2, 2, 2])
    """
    return op(counts, *size)


@also(a="x")
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Expr:
    """Each element of ``x`` repeated along ``axis`` (None: of the flattened ``x``), as ``numpy.repeat``.

    ``repeats`` is one number for all, or an integer vector with one number per element.

    >>> import fuse.tensor as T
    >>> repeat(T.tensor("float64", shape=(2, 3)), 2, axis=1).type
    TensorType(float64, (2, 6))
    """
    x = as_expr(x)
    if axis is None:
        x, axis = flatten(x), 0
    axis = normalize_axis(axis, x.type.ndim)
    counts = as_expr(repeats)
    if counts.type.ndim == 1 and counts.type.shape[0] == 1:
        counts = counts[0]
    if counts.type.ndim:
        # the size tells whether there is a count for each element, or one for all
        places = repeat_indices(counts, as_size_expr(sizes_of(x)[axis]))
        if isinstance(counts, Constant) and counts.type.shape == (sizes_of(x)[axis],) and (counts.data >= 0).all():
            places = as_expr(_repeated(counts.data.size, counts.data))  # the size of the result is known
        return x[(slice(None),) * axis + (places,)]
    n = as_size(counts, "repeats")
    sizes = list(sizes_of(x))
    spread = dimshuffle(x, [*range(axis + 1), "x", *range(axis + 1, x.type.ndim)])
    wide = broadcast_to(spread, [*sizes[: axis + 1], n, *sizes[axis + 1 :]])
    sizes[axis] = size_mul(sizes[axis], n)
    return reshape(wide, sizes)


def roll(x: Any, shift: Any, axis: Any = None) -> Expr:
    """Elements of ``x`` moved ``shift`` places along ``axis``, those that fall off the end coming in at the front.

    Without ``axis``, in flattened order. Several axes and shifts are given as sequences, as in NumPy.
    Raises FuseValueError where shifts and axes do not pair up.

    >>> import fuse.tensor as T
    >>> roll(T.vector("v"), 1).type
    TensorType(float64, vector)
    """
    x = as_expr(x)
    if axis is None:
        flat = roll(flatten(x), shift, 0) if x.type.ndim else x
        return reshape(flat, sizes_of(x))
    axes = [axis] if static_int(axis) is not None else list(axis)
    shifts = list(shift) if isinstance(shift, (list, tuple)) else [shift] * len(axes)
    if len(shifts) != len(axes):
        raise FuseValueError(f"roll has {len(shifts)} shifts for {len(axes)} axes")
    for places, a in zip(shifts, axes, strict=True):
        x = _rolled(x, places, normalize_axis(a, x.type.ndim))
    return x


def _rolled(x: Expr, shift: Any, axis: int) -> Expr:
    places, n = as_size(shift, "shift"), sizes_of(x)[axis]
    if isinstance(places, int) and isinstance(n, int):
        distance: Size = places % n if n else 0
        if distance == 0:
            return x
    else:
        distance = as_size_expr(places) % as_size_expr(size_max(n, 1))
    position = iota(n) - as_size_expr(distance)  # indices below zero count from the end
    return x[(slice(None),) * axis + (position,)]


@also(arr="x", m="x")
def flip(x: Any, axis: Any = None) -> Expr:
    """``x`` with the order of elements reversed along the given axes (None: all).

    >>> flip([[1, 2], [3, 4]]).eval()
    array([[4, 3],
           [2, 1]])
    """
    x = as_expr(x)
    axes = normalize_axes(axis, x.type.ndim)
    return x[tuple([slice(None, None, -1 if a in axes else None) for a in range(x.type.ndim)])] if axes else x


def fliplr(x: Any) -> Expr:
    """``x`` reversed along axis 1.

    >>> fliplr([[1, 2], [3, 4]]).eval()
    array([[2, 1],
           [4, 3]])
    """
    return flip(x, 1)


def flipud(x: Any) -> Expr:
    """``x`` reversed along axis 0.

    >>> flipud([[1, 2], [3, 4]]).eval()
    array([[3, 4],
           [1, 2]])
    """
    return flip(x, 0)


def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Expr:
    """``x`` turned by 90 degrees ``k`` times, from the first of ``axes`` towards the second.

    >>> rot90([[1, 2], [3, 4]]).eval()
    array([[2, 4],
           [1, 3]])
    """
    x = as_expr(x)
    first, second = [normalize_axis(a, x.type.ndim) for a in axes]
    if first == second:
        raise FuseValueError(f"rot90 turns from one axis to another: not axes={axes}")
    turns = {
        0: lambda: x,
        1: lambda: flip(swapaxes(x, first, second), first),
        2: lambda: flip(x, (first, second)),
        3: lambda: swapaxes(flip(x, first), first, second),
    }
    return turns[k % 4]()


def meshgrid(*xs: Any, indexing: str = "xy", sparse: bool = False, copy: bool = True) -> list[Expr]:
    """Coordinate arrays of a grid from coordinate vectors, as ``numpy.meshgrid``.

    Raises FuseValueError for another ``indexing``.

    >>> import fuse.tensor as T
    >>> X, Y = meshgrid(T.vector("x"), T.vector("y"))
    >>> X.ndim
    2
    """
    if indexing not in ("xy", "ij"):
        raise FuseValueError(f"indexing is 'xy' or 'ij', not {indexing!r}")
    vectors = [flatten(x) for x in xs]
    place = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        place[:2] = [1, 0]
    spread = [
        dimshuffle(v, [0 if a == p else "x" for a in range(len(vectors))]) for p, v in zip(place, vectors, strict=True)
    ]
    if sparse:
        return spread
    sizes: list[Any] = [None] * len(vectors)
    for p, v in zip(place, vectors, strict=True):
        sizes[p] = sizes_of(v)[0]
    return [broadcast_to(v, sizes) for v in spread]


__all__ = ["flip", "fliplr", "flipud", "meshgrid", "repeat", "repeat_indices", "roll", "rot90", "tile"]
