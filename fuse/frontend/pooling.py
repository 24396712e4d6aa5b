"""Pooling: the largest element, the sum or the average of each window over the last axes."""
from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.convolution import known_ints, padded
from fuse.frontend.correlate import window_view, windows_along
from fuse.frontend.creation import zeros
from fuse.frontend.indexing import inc_subtensor
from fuse.frontend.layout import dimshuffle, iota
from fuse.frontend.reductions import max as max_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.sizes import (
    Size,
    as_size,
    size_add,
    size_floordiv,
    size_max,
    size_mul,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.frontend.subtensor import gather
from fuse.op import Op, op_record
from fuse.types import COMPLEX, FLOATING, TensorType

__all__ = ["max_pool_2d_same_size", "pool_2d", "pool_3d"]

Ints = tuple[int, ...]
Sizes = tuple[Size, ...]
_MODES = ("max", "sum", "average_inc_pad", "average_exc_pad")
_CUT = "padding works with ignore_border=True only"
_AS_SLICES = 32  # windows of at most so many elements are that many slices, larger ones one gather


# ---------------------------------------------------------------- windows
def _places(size: Size, window: Size, stride: Size, whole: bool) -> Size:
    """How many windows lie along ``size`` elements; unless ``whole``, the last may reach beyond the end."""
    if whole:
        return _along(size, window, stride)
    if not isinstance(stride, int) or not isinstance(window, int):
        # as below: where windows do not overlap each begins inside, else the first that reaches the end is the last
        apart = ew.ge(stride, window)
        beyond = ew.switch(apart, 0, ew.sub(stride, window))
        last = size_floordiv(size_add(size_sub(size, 1), beyond), stride)
        return size_add(size_max(last, ew.switch(apart, -1, 0)), 1)  # apart there is none along no elements
    if stride >= window:
        return size_add(size_floordiv(size_sub(size, 1), stride), 1)
    return size_add(size_max(size_floordiv(size_add(size_sub(size_sub(size, 1), window), stride), stride), 0), 1)


def _along(size: Size, window: Size, stride: Size) -> Size:
    """Whole windows along ``size`` elements: none along fewer than a window."""
    return size_max(windows_along(size, window, stride), 0)


def _slices(x: Expr, window: Ints, strides: Ints) -> list[tuple[Any, ...]]:
    """For each element of the window, where in ``x`` it is for all windows; no bound is negative, or it would wrap."""
    found = [_along(*at) for at in zip(sizes_of(x)[-len(window) :], window, strides, strict=True)]
    return [
        (
            ...,
            *[
                slice(k, size_add(size_mul(n, s), k), s)
                for k, n, s in zip(at, found, strides, strict=True)
            ],
        )
        for at in np.ndindex(*window)
    ]


def _gathered(x: Expr, window: Sizes, strides: Sizes) -> Expr:
    """The windows as trailing axes: the places of the windows, then the places within them."""
    n = len(window)
    indices = []
    for i, (size, k, s) in enumerate(zip(sizes_of(x)[-n:], window, strides, strict=True)):
        place = ew.mul(iota(size_max(windows_along(size, k, s), 0)), s)
        at = ew.add(dimshuffle(place, 0, "x"), iota(k))
        indices.append(dimshuffle(at, ["x"] * i + [0] + ["x"] * (n - 1) + [1] + ["x"] * (n - 1 - i)))
    first = dimshuffle(x, [*range(x.type.ndim - n, x.type.ndim), *range(x.type.ndim - n)])
    out = gather(first, *indices)
    lead = range(2 * n, out.type.ndim)
    return dimshuffle(out, [*lead, *range(2 * n)])


def _window_type(x: Expr, *, window: Ints, strides: Ints) -> TensorType:
    n = len(window)
    sizes: list[Any] = [
        None if s is None else _along(s, k, t)
        for s, k, t in zip(x.type.shape[-n:], window, strides, strict=True)
    ]
    return TensorType(x.type.dtype, (*x.type.shape[:-n], *sizes))


def _window_shape(node: Expr, x: Any) -> tuple[Any, ...]:
    window, strides = node.params["window"], node.params["strides"]
    n = len(window)
    return (*x[:-n], *[_along(*at) for at in zip(x[-n:], window, strides, strict=True)])


def _largest_values(x: Any, window: Ints, strides: Ints) -> Any:
    view = window_view(x, window, strides, (1,) * len(window))
    axes = tuple(range(x.ndim - len(window), x.ndim))
    return view.max(axis=axes)


def _largest_define(x: Expr, window: Ints, strides: Ints) -> Expr:
    return reduce(ew.maximum, [x[at] for at in _slices(x, window, strides)])


def _largest_grad(g: Expr, out: Expr, x: Expr, window: Ints, strides: Ints) -> tuple[Any, ...]:
    """The cotangent goes to every element that is as large as the largest, as in Theano."""
    total = zeros(sizes_of(x), dtype=x.type.dtype)
    none = constant(0, dtype=g.type.dtype)
    for at in _slices(x, window, strides):
        total = inc_subtensor(total[at], ew.switch(ew.eq(x[at], out), g, none))
    return (total,)


@op_record(
    "composite", name="largest_in_windows", numpy=_largest_values, infer=_window_type, define=_largest_define,
    grad=_largest_grad, shape=_window_shape,
)
def _largest_of_slices(op: Op, x: Expr, window: Ints, strides: Ints) -> Expr:
    """The largest element of each window over the last axes of ``x``, as slices compared with each other."""
    return op(x, window=window, strides=strides)


def _few(window: Sizes, strides: Sizes) -> bool:
    """Whether windows are known, and so small that each of their elements is a slice."""
    known = [w for w in window if isinstance(w, int)]
    return len(known) == len(window) and all(isinstance(s, int) for s in strides) and math.prod(known) <= _AS_SLICES


def _largest(x: Expr, window: Any, strides: Any) -> Expr:
    if _few(window, strides):
        return _largest_of_slices(x, window=window, strides=strides)
    out = _gathered(x, window, strides)
    return max_(out, axis=tuple(range(out.type.ndim - len(window), out.type.ndim)))


def _total(x: Expr, window: Any, strides: Any) -> Expr:
    if _few(window, strides):
        return reduce(ew.add, [x[at] for at in _slices(x, window, strides)])
    out = _gathered(x, window, strides)
    return sum_(out, axis=tuple(range(out.type.ndim - len(window), out.type.ndim)))


# ---------------------------------------------------------------- what users call
def pooled_shape(
    imgshape: Sequence[Any], ws: Any = None, ignore_border: bool = False, stride: Any = None, pad: Any = None,
    ndim: int = 2, ds: Any = None, st: Any = None, padding: Any = None,
) -> list[Any]:
    """The sizes of a pooling of sizes ``imgshape`` over its last ``ndim`` axes.

    >>> pooled_shape((9, 8, 6), (2, 2)), pooled_shape((7, 7), (3, 3), ignore_border=True, stride=(2, 2))
    ([9, 4, 3], [3, 3])
    """
    ws, stride, pad = _older_names(ndim, ws, stride, pad, ds, st, padding)
    window, sizes = _sizes(ws, ndim, "ws", 1), list(imgshape)
    if len(sizes) < ndim:
        raise ShapeError(f"pooling over {ndim} axes needs as many sizes, not {sizes}")
    strides = window if stride is None else _sizes(stride, ndim, "stride", 1)
    pads = (0,) * ndim if pad is None else _sizes(pad, ndim, "pad", 0)
    grown = [size_add(as_size(n), size_mul(p, 2)) for n, p in zip(sizes[-ndim:], pads, strict=True)]
    found = [_places(n, k, s, ignore_border) for n, k, s in zip(grown, window, strides, strict=True)]
    return [*sizes[:-ndim], *found]


def pool_2d(
    input: Any, ws: Any = None, ignore_border: bool | None = None, stride: Any = None, pad: Any = (0, 0),
    mode: str = "max", ds: Any = None, st: Any = None, padding: Any = None,
) -> Expr:
    """Each window of ``ws`` = (rows, columns) over the last two axes as one element.

    ``stride`` is the distance of windows (``ws`` if None), ``pad`` what is put around the images. ``mode`` is 'max'
    (with a padding that is never the largest), 'sum', 'average_inc_pad' or 'average_exc_pad' (where the padding does
    not count). With ``ignore_border`` only whole windows count; without, the last may be cut. ``ds``, ``st`` and
    ``padding`` are older names. The gradient of 'max' goes to every element as large as the largest.
    ``ws``, ``stride`` and ``pad`` may be integer vectors, or have integer expressions as entries.
    Raises FuseTypeError for sizes that are no integers, FuseValueError for a padding as large as the windows.

    >>> import fuse.tensor as T
    >>> x = T.matrix("x")
    >>> pool_2d(x, (2, 2), ignore_border=True).eval({x: [[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 0.0, 1.0]]})
    array([[4., 5.]])
    """
    ws, stride, pad = _older_names(2, ws, stride, pad, ds, st, padding)
    return pooled(2, input, ws, ignore_border, stride, pad, mode)


def pool_3d(
    input: Any, ws: Any = None, ignore_border: bool | None = None, stride: Any = None, pad: Any = (0, 0, 0),
    mode: str = "max", ds: Any = None, st: Any = None, padding: Any = None,
) -> Expr:
    """``pool_2d`` over the last three axes.

    >>> import fuse.tensor as T
    >>> pool_3d(T.tensor5("x"), (2, 2, 2), ignore_border=True).type.ndim
    5
    """
    ws, stride, pad = _older_names(3, ws, stride, pad, ds, st, padding)
    return pooled(3, input, ws, ignore_border, stride, pad, mode)


def max_pool_2d_same_size(input: Any, patch_size: Any) -> Expr:
    """``input`` with 0 for all that is not the largest of its patch, over the last two axes; patches do not overlap.

    >>> import fuse.tensor as T
    >>> x = T.matrix("x")
    >>> max_pool_2d_same_size(x, (1, 2)).eval({x: [[1.0, 2.0, 5.0, 0.0]]})
    array([[0., 2., 5., 0.]])
    """
    x, patch = as_expr(input), known_ints(patch_size, 2, "patch_size", 1)
    top = pool_2d(x, patch, ignore_border=True)
    rows, columns = [
        ew.minimum(ew.int_div(iota(n), k), size_sub(f, 1))
        for n, k, f in zip(sizes_of(x)[-2:], patch, sizes_of(top)[-2:], strict=True)
    ]
    first = dimshuffle(top, [x.type.ndim - 2, x.type.ndim - 1, *range(x.type.ndim - 2)])
    spread = gather(first, dimshuffle(rows, 0, "x"), dimshuffle(columns, "x", 0))
    spread = dimshuffle(spread, [*range(2, x.type.ndim), 0, 1])
    inside = [
        ew.lt(iota(n), size_mul(f, k)) for n, k, f in zip(sizes_of(x)[-2:], patch, sizes_of(top)[-2:], strict=True)
    ]
    kept = ew.and_(dimshuffle(inside[0], 0, "x"), inside[1])
    return ew.switch(ew.and_(kept, ew.eq(x, spread)), x, constant(0, dtype=x.type.dtype))


def _older_names(n: int, ws: Any, stride: Any, pad: Any, ds: Any, st: Any, padding: Any) -> tuple[Any, Any, Any]:
    for new, old, what in ((ws, ds, "ws and ds"), (stride, st, "stride and st")):
        if new is not None and old is not None:
            raise FuseValueError(f"{what} are two names of one argument: give one")
    if padding is not None:
        if pad not in (None, (0,) * n):
            raise FuseValueError("pad and padding are two names of one argument: give one")
        pad = padding
    ws = ds if ws is None else ws
    if ws is None:
        raise FuseValueError("pooling needs ws, the size of the windows")
    return ws, st if stride is None else stride, pad


def _items(value: Any, n: int) -> Any:
    vector = isinstance(value, Expr) and value.type.ndim == 1 or isinstance(value, np.ndarray)
    return [value[i] for i in range(n)] if vector else value


def _sizes(value: Any, n: int, what: str, least: int) -> Sizes:
    """``n`` sizes: integers from ``least`` on, or integer expressions."""
    value = _items(value, n)
    if isinstance(value, Expr) and static_int(value) is None:
        value = [value] * n
    given = list(value) if isinstance(value, (list, tuple)) else []
    if not any(isinstance(v, Expr) and static_int(v) is None for v in given):
        return known_ints(value, n, what, least)
    if len(given) != n:
        raise FuseValueError(f"{what} has {n} entries, one for each spatial axis, not {len(given)}: {value!r}")
    sizes = [as_size(v, what) for v in given]
    text = f"{what} is {least} or more"
    return tuple([required(v, [ew.ge(v, least)], text, "FuseValueError") if isinstance(v, Expr) else v for v in sizes])


def _below(pad: Size, window: Size) -> Size:
    """``pad``, which is told where it is not smaller than the window, as far as that is known only at run time."""
    if not isinstance(pad, Expr):
        return pad
    return required(pad, [ew.lt(pad, window)], "pad must be smaller than the windows", "FuseValueError")


def pooled(n: int, x: Any, ws: Any, ignore_border: bool | None, stride: Any, pad: Any, mode: str) -> Expr:
    """Pooling over the last ``n`` axes; see ``pool_2d``."""
    x = as_expr(x)
    if x.type.ndim < n:
        raise ShapeError(f"pool_{n}d needs {n} dimensions, not a {x.type.describe()}")
    if mode not in _MODES:
        raise FuseValueError(f"mode is one of {', '.join(map(repr, _MODES))}, not {mode!r}")
    window = _sizes(ws, n, "ws", 1)
    strides = window if stride is None else _sizes(stride, n, "stride", 1)
    pads = (0,) * n if pad is None else _sizes(pad, n, "pad", 0)
    is_padded = any(isinstance(p, Expr) or p for p in pads)
    if ignore_border is None:
        warnings.warn("pooling without ignore_border cuts the windows at the border (False); say which", stacklevel=3)
        ignore_border = False
    if is_padded and not ignore_border:
        if any(isinstance(p, int) and p for p in pads):
            raise FuseValueError(_CUT)
        pads = tuple([required(p, [ew.eq(p, 0)], _CUT, "FuseValueError") if isinstance(p, Expr) else 0 for p in pads])
    if any(isinstance(p, int) and isinstance(w, int) and p >= w for p, w in zip(pads, window, strict=True)):
        raise FuseValueError(f"pad {pads} must be smaller than the windows {window}")
    pads = tuple([_below(p, w) for p, w in zip(pads, window, strict=True)])
    if mode == "average_exc_pad" and not is_padded:
        mode = "average_inc_pad"
    if mode != "max" and x.type.dtype not in FLOATING and mode != "sum":
        x = ew.cast(x, "float64")
    sizes = sizes_of(x)[-n:]
    grown = [size_add(s, size_mul(p, 2)) for s, p in zip(sizes, pads, strict=True)]
    found = [_places(s, w, t, ignore_border) for s, w, t in zip(grown, window, strides, strict=True)]
    # what the last windows need: less than there is, or more where they may be cut
    needed = [size_add(size_mul(size_sub(f, 1), t), w) for f, t, w in zip(found, strides, window, strict=True)]
    filler: Any = 0
    if mode == "max":
        if x.type.dtype in COMPLEX:
            raise FuseTypeError("pooling is of real numbers: complex ones have no order; pool x.real and x.imag")
        if x.type.dtype != "bool":
            filler = -np.inf if x.type.dtype in FLOATING else np.iinfo(x.type.numpy_dtype).min
    around: list[tuple[Size, Size]] = [
        (p, p if ignore_border else size_max(size_sub(m, size_add(s, p)), 0))
        for p, m, s in zip(pads, needed, sizes, strict=True)
    ]
    x = padded(x, around, filler)
    if mode == "max":
        return _largest(x, window, strides)
    total = _total(x, window, strides)
    if mode == "sum":
        return total
    return ew.true_div(total, _counts(x, window, strides, pads, grown, sizes, found, mode))


def _counts(
    x: Expr, window: Sizes, strides: Sizes, pads: Sizes, grown: Sequence[Size], sizes: Sequence[Size],
    found: Sequence[Size], mode: str,
) -> Expr:
    """How many elements each window averages over: the product of a count along each axis."""
    n, per_axis = len(window), []
    for axis, (w, t, p) in enumerate(zip(window, strides, pads, strict=True)):
        start = ew.mul(iota(found[axis]), t)
        low, high = (0, grown[axis]) if mode == "average_inc_pad" else (p, size_add(sizes[axis], p))
        count = ew.sub(ew.minimum(ew.add(start, w), high), ew.maximum(start, low))
        per_axis.append(dimshuffle(count, ["x"] * axis + [0] + ["x"] * (n - 1 - axis)))
    counts = reduce(ew.mul, per_axis)
    return ew.cast(counts, x.type.dtype)
