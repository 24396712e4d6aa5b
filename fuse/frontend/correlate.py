"""Correlation of stacks of signals, images or volumes with filters: one map, linear in each of its two operands.

Three ops, each other's gradients: the correlation itself, and its transposes with respect to the input and to the
filters. All three gather the windows of some images as columns of a matrix that stays in cache (im2col) and leave the
arithmetic to one matrix product per image. K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural
networks for document processing", 2006.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, ShapeError
from fuse.expr import Expr
from fuse.frontend import elementwise as ew
from fuse.frontend.sizes import Size, as_size_expr, size_add, size_floordiv, size_mul, size_sub, sizes_of, static_int
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import COMPLEX, TensorType, promote, shape_text

Array = Any
Ints = tuple[int, ...]
_COLUMNS_BYTES = 1 << 19  # of the columns of the images done together: within a core's own cache


def windows_along(size: Size, window: Size, stride: Size, dilation: int = 1) -> Size:
    """How many windows of ``window`` elements, ``dilation`` apart, fit along ``size`` elements, a ``stride`` apart."""
    extent = size_add(size_mul(size_sub(window, 1), dilation), 1)
    return size_add(size_floordiv(size_sub(size, extent), stride), 1)


def window_view(x: Array, window: Ints, strides: Ints, dilation: Ints, xp: Any = np) -> Array:
    """The windows of the last axes of ``x`` as a view: the axes within the windows, then those over the windows.

    ``x`` is an array of the module ``xp``, which has NumPy's functions.
    """
    n = len(window)
    found: list[Any] = [max(windows_along(*at), 0) for at in zip(x.shape[-n:], window, strides, dilation, strict=True)]
    lead, steps = x.shape[:-n], x.strides[-n:]
    within = [step * d for step, d in zip(steps, dilation, strict=True)]
    over = [step * s for step, s in zip(steps, strides, strict=True)]
    return xp.lib.stride_tricks.as_strided(x, (*lead, *window, *found), (*x.strides[:-n], *within, *over))


# ---------------------------------------------------------------- at run time: on arrays of NumPy or of CuPy
def _columns(
    x: Array, window: Ints, strides: Ints, dilation: Ints, groups: int, xp: Any, room: int
) -> Iterator[tuple[slice, Array]]:
    """(some images, their windows as matrices [image, group, place in the window, place of the window]).

    So many images together as have columns of ``room`` bytes.
    """
    view = window_view(x, window, strides, dilation, xp)
    images, channels = x.shape[:2]
    rows, places = channels // groups * math.prod(window), math.prod(view.shape[2 + len(window) :])
    if math.prod(window) == 1 and set(strides) == {1}:
        yield slice(0, images), xp.ascontiguousarray(x).reshape(images, groups, rows, places)
        return
    together = max(1, min(images, room // max(1, groups * rows * places * x.itemsize)))
    buffer = xp.empty((together, *view.shape[1:]), x.dtype)
    for start in range(0, images, together):
        part = view[start : start + together]
        columns = buffer[: len(part)]
        xp.copyto(columns, part)
        yield slice(start, start + len(part)), columns.reshape(len(part), groups, rows, places)


def correlated(
    x: Array, w: Array, *, strides: Ints, dilation: Ints, groups: int, xp: Any = np, room: int = _COLUMNS_BYTES
) -> Array:
    """The values of ``correlate``."""
    dtype, window = np.result_type(x.dtype, w.dtype), w.shape[2:]
    x, w = x.astype(dtype, copy=False), w.astype(dtype, copy=False)
    check_sizes(x.shape, w.shape, dilation, groups)
    sizes = [windows_along(*at) for at in zip(x.shape[2:], window, strides, dilation, strict=True)]
    out = xp.zeros((len(x), len(w), *sizes), dtype)
    if not out.size or not w.size:
        return out
    grouped = out.reshape(len(x), groups, len(w) // groups, -1)
    filters = xp.ascontiguousarray(w).reshape(groups, len(w) // groups, -1)
    for images, columns in _columns(x, window, strides, dilation, groups, xp, room):
        xp.matmul(filters, columns, out=grouped[images])
    return out


def correlated_wrt_input(
    w: Array, g: Array, *sizes: Any, strides: Ints, dilation: Ints, groups: int, xp: Any = np,
    room: int = _COLUMNS_BYTES,
) -> Array:
    """The values of ``wrt_input``."""
    dtype, window = np.result_type(w.dtype, g.dtype), w.shape[2:]
    w, g = w.astype(dtype, copy=False), g.astype(dtype, copy=False)
    spatial = tuple([int(s) for s in sizes])
    out = xp.zeros((len(g), w.shape[1] * groups, *spatial), dtype)
    check_output(out.shape, w.shape, g.shape, strides, dilation, groups)
    if not out.size or not g.size or not w.size:
        return out
    filters = xp.ascontiguousarray(w).reshape(groups, len(w) // groups, -1).transpose(0, 2, 1)
    gradient = xp.ascontiguousarray(g).reshape(len(g), groups, len(w) // groups, -1)
    images, places = len(g), g.shape[2:]
    one = out.shape[1] * math.prod(window) * math.prod(places) * dtype.itemsize
    together = max(1, min(images, room // max(1, one)))
    for start in range(0, images, together):
        part = slice(start, min(images, start + together))
        columns = xp.matmul(filters, gradient[part])
        columns = columns.reshape(columns.shape[0], out.shape[1], *window, *places)
        for at in np.ndindex(*window):
            where = [
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(at, dilation, places, strides, strict=True)
            ]
            out[(part, slice(None), *where)] += columns[(slice(None), slice(None), *at)]
    return out


def correlated_wrt_filters(
    x: Array, g: Array, *sizes: Any, strides: Ints, dilation: Ints, groups: int, xp: Any = np,
    room: int = _COLUMNS_BYTES,
) -> Array:
    """The values of ``wrt_filters``."""
    dtype, window = np.result_type(x.dtype, g.dtype), tuple([int(s) for s in sizes])
    x, g = x.astype(dtype, copy=False), g.astype(dtype, copy=False)
    out = xp.zeros((g.shape[1], x.shape[1] // groups, *window), dtype)
    check_output(x.shape, out.shape, g.shape, strides, dilation, groups)
    if not out.size or not g.size:
        return out
    gradient = xp.ascontiguousarray(g).reshape(len(g), groups, len(out) // groups, -1)
    total = out.reshape(groups, len(out) // groups, -1)
    for images, columns in _columns(x, window, strides, dilation, groups, xp, room):
        if columns.shape[-1] != gradient.shape[-1]:  # the filter has been cut: there are more windows than were used
            columns = _used(columns, x, window, strides, dilation, g.shape[2:])
        total += xp.matmul(gradient[images], columns.transpose(0, 1, 3, 2)).sum(axis=0)
    return out


def _used(columns: Array, x: Array, window: Ints, strides: Ints, dilation: Ints, places: Ints) -> Array:
    found = [windows_along(*at) for at in zip(x.shape[2:], window, strides, dilation, strict=True)]
    lead = columns.shape[:-1]
    kept = columns.reshape(*lead, *found)[(..., *[slice(n) for n in places])]
    return kept.reshape(*lead, -1)


def check_sizes(x: Sequence[Any], w: Sequence[Any], dilation: Ints, groups: int) -> None:
    if None not in (x[1], w[1]) and x[1] != w[1] * groups:
        raise ShapeError(
            f"a correlation needs as many channels in the input as in the filters: {shape_text(tuple(x))} has "
            f"{x[1]}, the filters {shape_text(tuple(w))} take {w[1]}" + f" in each of {groups} groups" * (groups > 1)
        )
    if w[0] is not None and w[0] % groups:
        raise ShapeError(f"{w[0]} filters do not divide into {groups} groups")
    for size, window, d in zip(x[2:], w[2:], dilation, strict=True):
        if None not in (size, window) and size < (window - 1) * d + 1:
            raise ShapeError(
                f"a filter {shape_text(tuple(w))}" + f" dilated by {dilation}" * any(n != 1 for n in dilation)
                + f" is larger than the input {shape_text(tuple(x))} (with its padding)"
            )


def check_output(
    x: Sequence[Any], w: Sequence[Any], g: Sequence[Any], strides: Ints, dilation: Ints, groups: int
) -> None:
    """Whether a gradient ``g`` fits an input and filters: no more windows than there are."""
    check_sizes(x, w, dilation, groups)
    found: list[Any] = [windows_along(*at) for at in zip(x[2:], w[2:], strides, dilation, strict=True)]
    if g[0] != x[0] or g[1] != w[0] or any(n > most for n, most in zip(g[2:], found, strict=True)):
        raise ShapeError(
            f"a correlation of {shape_text(tuple(x))} with filters {shape_text(tuple(w))} has the shape "
            f"{shape_text((x[0], w[0], *found))}, not {shape_text(tuple(g))}"
        )


# ---------------------------------------------------------------- the three ops
def _dtype(*operands: Expr) -> str:
    dtype = promote(*[a.type.dtype for a in operands])
    if dtype in COMPLEX:
        raise FuseTypeError("convolutions are of real numbers: convolve real and imaginary parts by themselves")
    if dtype == "bool":
        raise FuseTypeError("convolutions are of numbers: cast the bools first")
    return dtype


def _known(size: Any) -> int | None:
    return size if isinstance(size, int) else None


def _type(x: Expr, w: Expr, *, strides: Ints, dilation: Ints, groups: int) -> TensorType:
    check_sizes(x.type.shape, w.type.shape, dilation, groups)
    sizes = [
        None if n is None or k is None else _known(windows_along(n, k, s, d))
        for n, k, s, d in zip(x.type.shape[2:], w.type.shape[2:], strides, dilation, strict=True)
    ]
    return TensorType(_dtype(x, w), (x.type.shape[0], w.type.shape[0], *sizes))


def _wrt_input_type(w: Expr, g: Expr, *sizes: Expr, groups: int, **_: Any) -> TensorType:
    channels = None if w.type.shape[1] is None else w.type.shape[1] * groups
    return TensorType(_dtype(w, g), (g.type.shape[0], channels, *map(static_int, sizes)))


def _wrt_filters_type(x: Expr, g: Expr, *sizes: Expr, groups: int, **_: Any) -> TensorType:
    channels = None if x.type.shape[1] is None else x.type.shape[1] // groups
    return TensorType(_dtype(x, g), (g.type.shape[1], channels, *map(static_int, sizes)))


def _shape(node: Expr, x: Any, w: Any) -> tuple[Any, ...]:
    strides, dilation = node.params["strides"], node.params["dilation"]
    return (x[0], w[0], *[windows_along(*at) for at in zip(x[2:], w[2:], strides, dilation, strict=True)])


def _spatial(x: Expr) -> list[Expr]:
    return [as_size_expr(n) for n in sizes_of(x)[2:]]


def _correlate_grad(g: Expr, out: Expr, x: Expr, w: Expr, **params: Any) -> tuple[Any, ...]:
    return wrt_input(w, g, *_spatial(x), **params), wrt_filters(x, g, *_spatial(w), **params)


def _wrt_input_grad(h: Expr, out: Expr, w: Expr, g: Expr, *sizes: Expr, **params: Any) -> tuple[Any, ...]:
    at_g = _as_many(correlate(h, w, **params), g)
    return wrt_filters(h, g, *_spatial(w), **params), at_g, *[DISCONNECTED] * len(sizes)


def _wrt_filters_grad(h: Expr, out: Expr, x: Expr, g: Expr, *sizes: Expr, **params: Any) -> tuple[Any, ...]:
    at_g = _as_many(correlate(x, h, **params), g)
    return wrt_input(h, g, *_spatial(x), **params), at_g, *[DISCONNECTED] * len(sizes)


def _as_many(full: Expr, g: Expr) -> Expr:
    """``full`` cut to the windows that ``g`` has: a gradient may be for fewer than fit."""
    if None not in full.type.shape[2:] and full.type.shape[2:] == g.type.shape[2:]:
        return full
    return full[(slice(None), slice(None), *[slice(None, n) for n in sizes_of(g)[2:]])]


def _bilinear(tangents: Sequence[Any], out: Expr, a: Expr, b: Expr, *sizes: Expr, **params: Any) -> Any:
    pairs = [(tangents[0], b), (a, tangents[1])]
    terms = [out.op(*pair, *sizes, **params) for pair in pairs if None not in pair]
    return terms[0] if len(terms) == 1 else ew.add(*terms)


@op_record(
    "opaque", numpy=correlated, infer=_type, shape=_shape, grad=_correlate_grad, jvp=_bilinear,
    latex=r"#1 \star #2",
)
def correlate(op: Op, x: Expr, w: Expr, strides: Ints, dilation: Ints, groups: int = 1) -> Expr:
    """``y[n, f, o] = sum over c, k of x[n, c, o * strides + k * dilation] * w[f, c, k]``.

    ``x`` is (images, channels, sizes...), ``w`` (filters, channels / groups, window...), for any number of spatial
    axes; the result (images, filters, places...). Raises ShapeError where they do not fit.
    """
    return op(x, w, strides=strides, dilation=dilation, groups=groups)


@op_record(
    "opaque", name="correlate_wrt_input", numpy=correlated_wrt_input, infer=_wrt_input_type, grad=_wrt_input_grad,
    jvp=_bilinear, shape=lambda node, w, g, *sizes: (
        g[0], size_mul(w[1], node.params["groups"]), *[static_int(s) or s for s in node.args[2:]],
    ),
)
def wrt_input(op: Op, w: Expr, g: Expr, *sizes: Expr, strides: Ints, dilation: Ints, groups: int = 1) -> Expr:
    """The transpose of ``correlate`` in its input: the input of spatial ``sizes`` that gets the cotangent ``g``."""
    return op(w, g, *sizes, strides=strides, dilation=dilation, groups=groups)


@op_record(
    "opaque", name="correlate_wrt_filters", numpy=correlated_wrt_filters, infer=_wrt_filters_type,
    grad=_wrt_filters_grad, jvp=_bilinear, shape=lambda node, x, g, *sizes: (
        g[1], size_floordiv(x[1], node.params["groups"]), *[static_int(s) or s for s in node.args[2:]],
    ),
)
def wrt_filters(op: Op, x: Expr, g: Expr, *sizes: Expr, strides: Ints, dilation: Ints, groups: int = 1) -> Expr:
    """The transpose of ``correlate`` in its filters: the filters of spatial ``sizes`` that get the cotangent ``g``."""
    return op(x, g, *sizes, strides=strides, dilation=dilation, groups=groups)
