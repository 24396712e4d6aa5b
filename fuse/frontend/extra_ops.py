"""Small functions of Theano's ``extra_ops``: diff, bincount, fill_diagonal, raveled positions."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.axes import specify_shape
from fuse.frontend.creation import zeros
from fuse.frontend.indexing import inc_subtensor
from fuse.frontend.join import join, slice_axis
from fuse.frontend.jumps import placed_by
from fuse.frontend.layout import dimshuffle, iota
from fuse.frontend.padding import pad
from fuse.frontend.reductions import all as all_
from fuse.frontend.reductions import max as max_
from fuse.frontend.selecting import within
from fuse.frontend.shared import vector_length
from fuse.frontend.sizes import as_size, as_sizes, normalize_axis, size_max, size_product, sizes_of, static_int
from fuse.types import INTEGER


def diff(x: Any, n: int = 1, axis: int = -1) -> Expr:
    """The ``n``-th differences of neighbours along ``axis``; of bools, whether they differ.

    Raises FuseValueError where ``n`` is negative.

    >>> diff([1, 4, 9]).eval()
    array([3, 5])
    """
    x = as_expr(x)
    axis = normalize_axis(axis, x.type.ndim)
    if n < 0:
        raise FuseValueError(f"the order of a difference is not negative: {n}")
    for _ in range(n):
        after, before = slice_axis(x, axis, 1, None), slice_axis(x, axis, None, -1)
        x = ew.neq(after, before) if x.type.dtype == "bool" else ew.sub(after, before)
    return x


def bincount(x: Any, weights: Any = None, minlength: Any = None, assert_nonneg: bool = False) -> Expr:
    """How often each of 0, 1, 2, ... occurs in the integer vector ``x``, or the sums of ``weights`` at each.

    ``assert_nonneg`` makes a call with negative numbers an AssertionError; without it they count from the end.

    >>> bincount([0, 2, 2]).eval()
    array([1, 0, 2])
    """
    x = as_expr(x)
    if x.type.ndim != 1 or x.type.dtype not in INTEGER:
        raise FuseTypeError(f"bincount counts in an integer vector, not in a {x.type.describe()}")
    if assert_nonneg and x.type.dtype.startswith("int"):
        x = required(x, [all_(ew.ge(x, 0))], "bincount counts numbers that are not negative")
    counts = constant(1, dtype="int64") if weights is None else as_expr(weights)
    least = 0 if minlength is None else as_size(minlength, "minlength")
    # a -1 before the values: the largest of nothing is then -1, and the length 0
    longest = ew.cast(max_(join(0, constant(np.array([-1])), ew.cast(x, "int64"))), "int64")
    n = size_max(ew.add(longest, 1), least)
    if counts.type.ndim:
        counts = specify_shape(counts, sizes_of(x))
    return inc_subtensor(zeros(n, dtype=counts.type.dtype)[x], counts)


def fill_diagonal(a: Any, val: Any) -> Expr:
    """A copy of ``a`` with ``val`` on its main diagonal (all indices equal).

    Raises ShapeError where ``a`` has fewer than two axes, or more of different sizes.

    >>> fill_diagonal([[1, 2], [3, 4]], 0).eval()
    array([[0, 2],
           [3, 0]])
    """
    a = as_expr(a)
    if a.type.ndim < 2:
        raise ShapeError(f"fill_diagonal needs two dimensions, not a {a.type.describe()}")
    if a.type.ndim > 2:
        a = specify_shape(a, [sizes_of(a)[0]] * a.type.ndim)
    return fill_diagonal_offset(a, val, 0)


def fill_diagonal_offset(a: Any, val: Any, offset: Any) -> Expr:
    """A copy of the matrix ``a`` with ``val`` on diagonal ``offset``.

    ``val`` is one number; positive offsets lie above the main diagonal.
    Raises ShapeError where ``a`` is no matrix or ``val`` no number.

    >>> fill_diagonal_offset([[1, 2], [3, 4]], 0, 1).eval()
    array([[1, 0],
           [3, 4]])
    """
    a, value = as_expr(a), as_expr(val)
    if value.type.ndim:
        raise ShapeError(f"the value on a diagonal is one number, not a {value.type.describe()}")
    if a.type.ndim != 2 and static_int(offset) != 0:
        raise ShapeError(f"fill_diagonal_offset takes a matrix, not a {a.type.describe()}")
    sizes, ndim = sizes_of(a), a.type.ndim
    at = [dimshuffle(iota(n), [0 if b == axis else "x" for b in range(ndim)]) for axis, n in enumerate(sizes)]
    shifted = at[0] if static_int(offset) == 0 else ew.add(at[0], placed_by(as_size(offset, "offset")))
    on = ew.eq(at[1], shifted)
    for other in at[2:]:
        on = ew.and_(on, ew.eq(other, at[0]))
    return ew.switch(on, ew.cast(value, a.type.dtype), a)


def unravel_index(indices: Any, dims: Any, order: str = "C", ndim: int | None = None) -> list[Expr]:
    """The index along each of ``dims`` of positions in an array of those sizes; ``order`` is 'C' or 'F'.

    ``ndim`` says how many sizes there are where ``dims`` is a vector of unknown length. Positions beyond the array are
    a FuseIndexError when the function runs.

    >>> [i.eval() for i in unravel_index([5, 3], (2, 3))]
    [array([1, 1]), array([2, 0])]
    """
    position, sizes = _integers(indices, "positions"), _sizes(dims, ndim)
    position = within(ew.cast(position, "int64"), size_product(sizes))
    axes = range(len(sizes)) if _is_c(order) else range(len(sizes) - 1, -1, -1)
    sizes = [sizes[a] for a in axes]
    out = []
    for k in range(len(sizes)):
        rest = size_product(sizes[k + 1 :])
        place = position if isinstance(rest, int) and rest == 1 else ew.int_div(position, rest)
        out.append(place if k == 0 else ew.mod(place, sizes[k]))
    return out if _is_c(order) else out[::-1]


def ravel_multi_index(multi_index: Any, dims: Any, mode: str = "raise", order: str = "C") -> Expr:
    """The position of the element at the given indices of an array of sizes ``dims``; ``order`` is 'C' or 'F'.

    Indices out of range are an error when the function runs, or with ``mode`` 'wrap' or 'clip' moved into it.
    Raises FuseValueError for another mode.

    >>> ravel_multi_index(([1, 0], [2, 1]), (2, 3)).eval()
    array([5, 1])
    """
    sizes = _sizes(dims, len(multi_index))
    if mode not in ("raise", "wrap", "clip"):
        raise FuseValueError(f"mode is 'raise', 'wrap' or 'clip', not {mode!r}")
    pairs = list(zip([_integers(i, "indices") for i in multi_index], sizes, strict=True))
    position: Any = constant(0, dtype="int64")
    for index, n in pairs if _is_c(order) else pairs[::-1]:
        place = ew.cast(index, "int64")
        if mode == "wrap":
            place = ew.mod(place, n)
        elif mode == "clip":
            place = ew.clip(place, 0, n - 1)
        else:
            inside = all_(ew.and_(ew.ge(place, 0), ew.lt(place, n)))
            place = required(place, [inside], "ravel_multi_index: an index is out of range", "FuseIndexError")
        position = ew.add(ew.mul(position, n), place)
    return position


def _is_c(order: str) -> bool:
    if order not in ("C", "F"):
        raise FuseValueError(f"order is 'C' or 'F', not {order!r}")
    return order == "C"


def _integers(value: Any, what: str) -> Expr:
    x = as_expr(value)
    if x.type.dtype not in INTEGER:
        raise FuseTypeError(f"{what} are integers, not {x.type.dtype}")
    return x


def _sizes(dims: Any, ndim: Any) -> list[Any]:
    """The sizes of ``unravel_index`` and ``ravel_multi_index``: a sequence, or a vector of integers."""
    if ndim is not None and ndim != int(ndim):
        raise FuseValueError(f"ndim is an integer, not {ndim!r}")
    if isinstance(dims, Expr) and dims.type.ndim == 1 and vector_length(dims) is None and ndim is None:
        raise FuseValueError("the number of sizes is not known while the graph is built: give ndim=...")
    if getattr(getattr(dims, "type", None), "ndim", np.ndim(dims) if not isinstance(dims, Expr) else 0) != 1:
        raise FuseTypeError(f"the sizes of an array are a sequence of integers, not {dims!r:.60}")
    return list(as_sizes(dims, ndim))


__all__ = [
    "bincount", "diff", "fill_diagonal", "fill_diagonal_offset", "pad", "ravel_multi_index", "unravel_index",
]
