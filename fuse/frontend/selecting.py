"""Selecting elements by position: take, choose, compress, take_along_axis, searchsorted; and ordering."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.indexing import getitem
from fuse.frontend.layout import broadcast_to, dimshuffle, flat, iota, linear_index, reshape
from fuse.frontend.nonzero import flatnonzero
from fuse.frontend.sizes import as_size_expr, broadcast_sizes, normalize_axis, shape_i, size_product, sizes_of
from fuse.frontend.sorting import argsort, sort, unique
from fuse.frontend.subtensor import gather
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import TensorType

MODES = ("raise", "wrap", "clip")


def _into_range(indices: Expr, size: Any, mode: str) -> Expr:
    """Integer ``indices`` made to lie in 0..size-1 as ``mode`` says; unchanged for "raise"."""
    if mode not in MODES:
        raise FuseValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    if indices.type.dtype not in ty.INTEGER:
        raise FuseTypeError(f"indices are integers, not a {indices.type.describe()}: cast them with .astype('int64')")
    if mode == "raise":
        return indices
    indices, size = ew.cast(indices, "int64"), as_size_expr(size)
    if mode == "wrap":
        return ew.mod(indices, size)
    return ew.minimum(ew.maximum(indices, 0), ew.sub(size, 1))


def take(a: Any, indices: Any, axis: int | None = None, mode: str | None = "raise") -> Expr:
    """The elements (or slices along ``axis``) of ``a`` at ``indices``; without an axis ``a`` counts as flat.

    ``mode``: "raise" an error out of bounds, "wrap" around, or "clip" to the ends (no negative indices then).

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> take(m, [2, 0], axis=1).eval({m: [[1.0, 2.0, 3.0]]})
    array([[3., 1.]])
    """
    a, mode = as_expr(a), mode or "raise"
    if axis is None:
        a, axis = flat(a), 0
    axis = normalize_axis(axis, a.type.ndim)
    indices = as_expr(np.asarray(indices, "int64") if isinstance(indices, (list, tuple)) and not indices else indices)
    indices = _into_range(indices, shape_i(a, axis), mode)
    return getitem(a, (*[slice(None)] * axis, indices))


def take_along_axis(arr: Any, indices: Any, axis: int | None = 0) -> Expr:
    """For each place of ``indices`` the element of ``arr`` with that index along ``axis``, else at that place.

    Both have the same rank and broadcast but along ``axis`` (``numpy.take_along_axis``), as ``argsort`` gives them.
    Raises ShapeError for different ranks, FuseTypeError for indices that are no integers.

    >>> scores = [[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]]
    >>> take_along_axis(scores, argsort(scores, axis=1), axis=1).eval()
    array([[1., 2., 3.],
           [4., 5., 6.]])
    """
    arr, indices = as_expr(arr), as_expr(indices)
    if axis is None:
        if indices.type.ndim != 1:
            raise ShapeError(f"take_along_axis of the flat array takes a vector of indices, not a "
                             f"{indices.type.describe()}")
        arr, axis = flat(arr), 0
    if arr.type.ndim != indices.type.ndim:
        raise ShapeError(f"take_along_axis needs equal ranks, not {arr.type.ndim} and {indices.type.ndim}")
    axis = normalize_axis(axis, arr.type.ndim)
    indices = _into_range(indices, shape_i(arr, axis), "raise")
    ndim = arr.type.ndim
    places = [
        indices if a == axis else dimshuffle(iota(shape_i(arr, a)), [0 if b == a else "x" for b in range(ndim)])
        for a in range(ndim)
    ]
    return gather(arr, *places)


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Expr:
    """``choices[a[i]][i]`` for each position i: an element of one of several arrays (``numpy.choose``).

    ``choices`` is a sequence of arrays, or one array whose first axis counts the choices; they broadcast with ``a``.
    Raises FuseValueError for no choices and for ``out``, ShapeError for a number.

    >>> import fuse.tensor as T
    >>> i = T.lvector("i")
    >>> choose(i, [[1, 2, 3], [10, 20, 30]]).eval({i: [0, 1, 0]})
    array([ 1, 20,  3])
    """
    if out is not None:
        raise FuseValueError("choose has no out=: the result is a new expression")
    a = as_expr(a)
    if isinstance(choices, (list, tuple)):
        listed = [as_expr(c) for c in choices]
    else:
        whole = as_expr(choices)
        if not whole.type.ndim:
            raise ShapeError("choose needs a sequence of choices, not a scalar")
        known = whole.type.shape[0]
        if known is None:
            return _choose_from_array(a, whole, mode)
        listed = [getitem(whole, k) for k in range(known)]
    if not listed:
        raise FuseValueError("choose needs at least one choice")
    position = _choice(a, len(listed), mode)
    dtype = ty.promote(*[c.type.dtype for c in listed])
    result = ew.cast(listed[-1], dtype)
    for k in reversed(range(len(listed) - 1)):
        result = ew.switch(ew.eq(position, k), ew.cast(listed[k], dtype), result)
    return broadcast_to(result, broadcast_sizes([sizes_of(result), sizes_of(a)]))


def _choice(a: Expr, count: Any, mode: str) -> Expr:
    """``a`` within 0..count-1; out of bounds (here also below 0) a run-time FuseIndexError where ``mode`` is raise."""
    position = _into_range(a, count, mode)
    if mode != "raise":
        return position
    return within(ew.cast(position, "int64"), count)


def within(position: Expr, count: Any) -> Expr:
    """``position``, int64, where it lies in 0..count-1; else a call is a FuseIndexError, in compiled loops too."""
    return getitem(iota(count), ew.switch(ew.lt(position, 0), as_size_expr(count), position))


def _choose_from_array(a: Expr, whole: Expr, mode: str) -> Expr:
    """The choices along a first axis of run-time length: one gather from them as a table of rows."""
    sizes = broadcast_sizes([sizes_of(whole)[1:], sizes_of(a)])
    position = broadcast_to(_choice(a, shape_i(whole, 0), mode), sizes)
    rest = dimshuffle(whole, [0, *["x"] * (len(sizes) - whole.type.ndim + 1), *range(1, whole.type.ndim)])
    rows = reshape(broadcast_to(rest, (shape_i(whole, 0), *sizes)), (shape_i(whole, 0), size_product(sizes)))
    return gather(rows, position, linear_index(*sizes)) if sizes else getitem(whole, position)


def compress(condition: Any, x: Any, axis: int | None = None) -> Expr:
    """The slices of ``x`` along ``axis`` (of flat ``x`` without one) where the vector ``condition`` is not 0.

    Raises ShapeError where ``condition`` is no vector.

    >>> compress([True, False, True], [[1, 2, 3], [4, 5, 6]], axis=1).eval()
    array([[1, 3],
           [4, 6]])
    """
    condition = as_expr(condition)
    if condition.type.ndim != 1:
        raise ShapeError(f"the condition of compress is a vector, not a {condition.type.describe()}")
    return take(x, flatnonzero(condition), axis=axis)


def nonzero_values(a: Any) -> Expr:
    """The nonzero elements of ``a``, in C order, as a vector.

    >>> nonzero_values([[0, 5], [7, 0]]).eval()
    array([5, 7])
    """
    a = flat(as_expr(a))
    return gather(a, flatnonzero(a))


# ---------------------------------------------------------------- searchsorted
def _searchsorted_type(x: Expr, v: Expr, *sorter: Expr, side: str) -> TensorType:
    if side not in ("left", "right"):
        raise FuseValueError(f"side is 'left' or 'right', not {side!r}")
    if x.type.ndim != 1:
        raise ShapeError(f"searchsorted looks in a vector, not in a {x.type.describe()}")
    if sorter and (sorter[0].type.ndim != 1 or sorter[0].type.dtype not in ty.INTEGER):
        text = f"the sorter is an integer vector, as argsort gives it, not a {sorter[0].type.describe()}"
        raise FuseTypeError(text) if sorter[0].type.ndim == 1 else ShapeError(text)
    return TensorType("int64", v.type.shape)


def _searchsorted_numpy(x: Any, v: Any, *sorter: Any, side: Any) -> Any:
    return np.searchsorted(x, v, side=side, sorter=sorter[0] if sorter else None)


@op_record(
    "opaque", name="searchsorted", numpy=_searchsorted_numpy, infer=_searchsorted_type,
    shape=lambda node, x, v, *_: v, grad=lambda g, out, *args, side: (DISCONNECTED,) * len(args),
)
def _searchsorted(op: Op, x: Expr, v: Expr, *sorter: Expr, side: str) -> Expr:
    """The positions in the sorted vector ``x`` before (``side="left"``) or after which ``v`` keeps the order."""
    return op(x, v, *sorter, side=side)


def searchsorted(x: Any, v: Any, side: str = "left", sorter: Any = None) -> Expr:
    """The positions in the sorted vector ``x`` at which the values ``v`` keep it sorted (``numpy.searchsorted``).

    ``side="left"`` goes before equal values, "right" behind them; ``sorter`` is an argsort of an unsorted ``x``.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> searchsorted([1.0, 2.0, 3.0], v).eval({v: [2.0, 9.0]})
    array([1, 3])
    """
    return _searchsorted(as_expr(x), as_expr(v), *([] if sorter is None else [as_expr(sorter)]), side=side)


__all__ = [
    "argsort", "choose", "compress", "nonzero_values", "searchsorted", "sort", "take", "take_along_axis", "unique",
]
