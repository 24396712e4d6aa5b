"""Convolutions with Theano's names and conventions: borders, strides, dilation, groups, filters of each place's own.

All are correlations (``correlate.py``) of an input with zeros around it; a convolution turns its filters round first.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import specify_shape
from fuse.frontend.correlate import correlate, windows_along, wrt_filters, wrt_input
from fuse.frontend.creation import zeros
from fuse.frontend.indexing import set_subtensor
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.sizes import (
    Size,
    as_size,
    as_size_expr,
    size_add,
    size_floordiv,
    size_mul,
    size_sub,
    sizes_of,
    static_int,
)

Ints = tuple[int, ...]
Pads = list[tuple[Size, Size]]


# ---------------------------------------------------------------- what users write
def known_ints(value: Any, n: int, what: str, least: int = 1) -> Ints:
    """``n`` integers, known while the graph is built, from one or a sequence of them."""
    given = [value] * n if static_int(value) is not None else list(value)
    numbers: list[Any] = [static_int(v) for v in given]
    if len(numbers) != n:
        raise FuseValueError(f"{what} has {n} entries, one for each spatial axis, not {len(numbers)}: {value!r}")
    if None in numbers:
        raise FuseTypeError(f"{what} is made of integers known while the graph is built, not {value!r}")
    if min(numbers) < least:
        raise FuseValueError(f"{what} is at least {least}, not {value!r}")
    return tuple(numbers)


def _as_images(x: Any, n: int, what: str, given: Any = None) -> Expr:
    """``x`` of rank ``n`` + 2, with what the user says of its shape."""
    x = as_expr(x)
    if x.type.ndim != n + 2:
        raise ShapeError(f"{what} has {n + 2} dimensions, not {x.type.ndim} ({x.type.describe()})")
    return _with_shape(x, given)


def _with_shape(x: Expr, given: Any) -> Expr:
    """``x`` with the sizes that the user knows."""
    if given is None:
        return x
    sizes = [None if s is None else static_int(s) for s in given]
    if len(sizes) != x.type.ndim:
        raise ShapeError(f"the shape of a {x.type.describe()} has {x.type.ndim} entries, not {len(sizes)}: {given!r}")
    if all(s is None or s == known for s, known in zip(sizes, x.type.shape, strict=True)):
        return x
    return specify_shape(x, sizes)


def border_mode_to_pad(mode: Any, convdim: int, kshp: Sequence[Any]) -> tuple[tuple[Any, Any], ...]:
    """How many zeros ``border_mode`` puts before and after each spatial axis, for (dilated) filters of sizes ``kshp``.

    >>> border_mode_to_pad("half", 2, (5, 3)), border_mode_to_pad((1, (0, 2)), 2, (5, 3))
    (((2, 2), (1, 1)), ((1, 1), (0, 2)))
    """
    if isinstance(mode, str):
        if mode == "valid":
            return ((0, 0),) * convdim
        if mode == "full":
            return tuple([(size_sub(k, 1), size_sub(k, 1)) for k in kshp])
        if mode == "half":
            return tuple([(size_floordiv(k, 2), size_floordiv(k, 2)) for k in kshp])
    elif static_int(mode) is not None:
        return border_mode_to_pad((mode,) * convdim, convdim, kshp)
    elif isinstance(mode, (tuple, list)) and len(mode) == convdim:
        pairs = [tuple(m) if isinstance(m, (tuple, list)) else (m, m) for m in mode]
        if all(len(p) == 2 and all((static_int(v) or 0) >= 0 and static_int(v) is not None for v in p) for p in pairs):
            return tuple([(int(a), int(b)) for a, b in pairs])
    raise FuseValueError(
        f"border_mode is 'valid', 'full', 'half', an integer of at least 0, or {convdim} of them or of pairs of them, "
        f"not {mode!r}"
    )


def _pads(mode: Any, window: Sequence[Size], dilation: Ints) -> Pads:
    dilated = [size_add(size_mul(size_sub(k, 1), d), 1) for k, d in zip(window, dilation, strict=True)]
    return list(border_mode_to_pad(mode, len(dilated), dilated))


def padded(x: Expr, pads: Pads, value: Any = 0) -> Expr:
    """``x`` with ``value`` before and after its last axes.

    >>> padded(as_expr([1.0, 2.0]), [(1, 2)]).eval()
    array([0., 1., 2., 0., 0.])
    """
    if all(isinstance(n, int) and n == 0 for pair in pads for n in pair):
        return x
    lead, sizes = x.type.ndim - len(pads), sizes_of(x)
    grown = [size_add(size_add(n, a), b) for n, (a, b) in zip(sizes[lead:], pads, strict=True)]
    around = zeros([*sizes[:lead], *grown], dtype=x.type.dtype)
    if value != 0:
        around = ew.add(around, constant(value, dtype=x.type.dtype))
    middle = [slice(a, size_add(a, n)) for n, (a, _) in zip(sizes[lead:], pads, strict=True)]
    return set_subtensor(around[(..., *middle)], x)


def _middle(x: Expr, pads: Pads, sizes: Sequence[Size]) -> Expr:
    if all(isinstance(n, int) and n == 0 for pair in pads for n in pair):
        return x
    return x[(..., *[slice(a, size_add(a, n)) for n, (a, _) in zip(sizes, pads, strict=True)])]


def _turned(w: Expr, n: int, flip: bool) -> Expr:
    return w[(..., *[slice(None, None, -1)] * n)] if flip else w


# ---------------------------------------------------------------- any number of spatial axes
def convolution(
    n: int, x: Any, w: Any, x_shape: Any, w_shape: Any, mode: Any, strides: Any, flip: bool, dilation: Any,
    groups: int = 1, unshared: bool = False,
) -> Expr:
    """The convolution over ``n`` spatial axes; ``x_shape`` and ``w_shape`` are what the user says of the shapes."""
    strides, dilation = known_ints(strides, n, "subsample"), known_ints(dilation, n, "filter_dilation")
    x = _as_images(x, n, "the input", x_shape)
    if unshared:
        return _unshared(n, x, _with_shape(as_expr(w), w_shape), mode, strides, flip, dilation, groups)
    w = _as_images(w, n, "the filters", w_shape)
    pads = _pads(mode, sizes_of(w)[2:], dilation)
    return correlate(padded(x, pads), _turned(w, n, flip), strides=strides, dilation=dilation, groups=groups)


def _unshared(
    n: int, x: Expr, w: Expr, mode: Any, strides: Ints, flip: bool, dilation: Ints, groups: int
) -> Expr:
    """Filters (filters, places..., channels / groups, window...): each place of the result has its own."""
    if w.type.ndim != 2 * n + 2:
        raise ShapeError(f"filters of their own for each place have {2 * n + 2} dimensions, not {w.type.ndim}")
    window = sizes_of(w)[n + 2 :]
    x = padded(x, _pads(mode, window, dilation))
    known: list[Any] = [static_int(k) for k in window]
    if None in known:
        raise FuseTypeError("unshared filters need a window whose sizes are known while the graph is built")
    w = _turned(w, n, flip)
    total = None
    images, channels = sizes_of(x)[:2]
    per_group = (size_floordiv(channels, groups), size_floordiv(sizes_of(w)[0], groups))
    for at in np.ndindex(*known):
        places = [windows_along(*of) for of in zip(sizes_of(x)[2:], known, strides, dilation, strict=True)]
        cut = [
            slice(k * d, size_add(k * d, size_add(size_mul(size_sub(p, 1), t), 1)), t)
            for k, d, p, t in zip(at, dilation, places, strides, strict=True)
        ]
        part = x[(slice(None), slice(None), *cut)]  # (images, channels, places...)
        part = reshape(part, (images, groups, 1, per_group[0], *places), ndim=n + 4)
        filters = w[(*[slice(None)] * (n + 2), *[int(k) for k in at])]  # (filters, places..., channels)
        filters = dimshuffle(filters, 0, n + 1, *range(1, n + 1))
        filters = reshape(filters, (1, groups, per_group[1], per_group[0], *sizes_of(filters)[2:]), ndim=n + 4)
        term = sum_(ew.mul(part, filters), axis=3)
        total = term if total is None else ew.add(total, term)
    assert total is not None
    return reshape(total, (images, sizes_of(w)[0], *sizes_of(total)[3:]), ndim=n + 2)


def input_gradient(
    n: int, g: Any, w: Any, x_shape: Any, w_shape: Any, mode: Any, strides: Any, flip: bool, dilation: Any,
    groups: int = 1,
) -> Expr:
    """What ``grad`` gives for the input of ``convolution`` when its result gets the cotangent ``g``."""
    strides, dilation = known_ints(strides, n, "subsample"), known_ints(dilation, n, "filter_dilation")
    g, w = _as_images(g, n, "the gradient of the output"), _as_images(w, n, "the filters", w_shape)
    sizes = _spatial(x_shape, n, "input_shape")
    pads = _pads(mode, sizes_of(w)[2:], dilation)
    grown = [as_size_expr(size_add(size_add(s, a), b)) for s, (a, b) in zip(sizes, pads, strict=True)]
    out = wrt_input(_turned(w, n, flip), g, *grown, strides=strides, dilation=dilation, groups=groups)
    return _middle(out, pads, sizes)


def filter_gradient(
    n: int, x: Any, g: Any, w_shape: Any, x_shape: Any, mode: Any, strides: Any, flip: bool, dilation: Any,
    groups: int = 1,
) -> Expr:
    """What ``grad`` gives for the filters of ``convolution`` when its result gets the cotangent ``g``."""
    strides, dilation = known_ints(strides, n, "subsample"), known_ints(dilation, n, "filter_dilation")
    x, g = _as_images(x, n, "the input", x_shape), _as_images(g, n, "the gradient of the output")
    sizes = _spatial(w_shape, n, "filter_shape")
    x = padded(x, _pads(mode, sizes, dilation))
    out = wrt_filters(x, g, *map(as_size_expr, sizes), strides=strides, dilation=dilation, groups=groups)
    return _turned(out, n, flip)


def _spatial(shape: Any, n: int, what: str) -> list[Size]:
    """The last ``n`` entries of a shape of rank ``n`` + 2."""
    if isinstance(shape, Expr):
        shape = [shape[i] for i in range(n + 2)]
    entries = list(shape)
    if len(entries) != n + 2 or any(e is None for e in entries[2:]):
        raise ShapeError(f"{what} has {n + 2} entries, the last {n} of them known or symbolic sizes, not {shape!r}")
    return [as_size(e, what) for e in entries[2:]]
