"""NumPy's functions that put parts together, leave some out, sort, count or fit; loaded with the other rarer ones."""
from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend import axes, creation, join, layout, reductions, scans, selecting, sizes, sorting
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import Assert
from fuse.types import DISCRETE, inexact, promote


def _known(x: Expr, axis: int, name: str) -> int:
    size = sizes.sizes_of(x)[axis]
    if not isinstance(size, int):
        raise FuseTypeError(f"{name} needs the size of the axis as a number: declare it with specify_shape")
    return size


def _along(arr: Any, axis: int | None) -> tuple[Expr, int]:
    """The array and the axis that are meant: without an axis, the flat array."""
    x = as_expr(arr)
    return (axes.ravel(x), 0) if axis is None else (x, sizes.normalize_axis(axis, x.type.ndim))


# ---------------------------------------------------------------- parts and joins
def _block(arrays: Any) -> Expr:
    """Nested lists: the innermost are joined along the last axis, those around along the one before."""
    depth, inner = 0, arrays
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0]

    def parts(nested: Any) -> list[Expr]:
        return [p for n in nested for p in parts(n)] if isinstance(nested, list) else [as_expr(nested)]

    rank = max([depth, *[p.type.ndim for p in parts(arrays)]])

    def joined(nested: Any, level: int) -> Expr:
        if not isinstance(nested, list):
            return axes.shape_padleft(nested, rank - as_expr(nested).type.ndim)
        return join.concatenate([joined(n, level + 1) for n in nested], axis=rank - depth + level)

    return joined(arrays, 0)


def _insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Expr:
    """At places that are known: the array and the values, taken in the order that NumPy gives their positions."""
    if isinstance(obj, Expr):
        raise FuseTypeError("insert takes places that are known while the function is traced")
    x, axis = _along(arr, axis)
    n = _known(x, axis, "insert")
    places = np.asarray(obj) if not isinstance(obj, slice) else np.arange(n)[obj]
    if places.dtype == bool:
        places = np.flatnonzero(places)
    new = ew.cast(as_expr(values), x.type.dtype)
    if places.size == 1 and places.ndim and new.type.ndim:  # a list of one place takes all values
        places, new = places.reshape(()), axes.moveaxis(
            axes.shape_padleft(new, max(x.type.ndim - new.type.ndim, 0)), axis, 0)
    if places.ndim == 0 and new.type.ndim:  # one place takes a whole array: its first axis lies along this one
        new = axes.moveaxis(axes.shape_padleft(new, max(x.type.ndim - new.type.ndim, 0)), 0, axis)
    count = sizes.sizes_of(new)[axis] if places.ndim == 0 and new.type.ndim else places.size
    if not isinstance(count, int):
        raise FuseTypeError("insert needs the number of values: declare it with specify_shape")
    wide = layout.broadcast_to(new, [count if k == axis else s for k, s in enumerate(sizes.sizes_of(x))])
    at = np.repeat(places, count) if places.ndim == 0 else places
    order = np.insert(np.arange(n), at, n + np.arange(count))
    return selecting.take(join.concatenate([x, wide], axis=axis), order, axis=axis)


def _delete(arr: Any, obj: Any, axis: int | None = None) -> Expr:
    x, axis = _along(arr, axis)
    if isinstance(obj, Expr):
        if obj.type.ndim:
            raise FuseTypeError("delete takes one place, or places that are known while the function is traced")
        n = sizes.as_size_expr(sizes.sizes_of(x)[axis])
        rest, place = creation.arange(ew.sub(n, 1)), ew.switch(ew.lt(obj, 0), ew.add(obj, n), obj)
        inside = ew.and_(ew.ge(place, 0), ew.lt(place, n))
        place = Assert(f"delete takes a place within axis {axis}")(place, inside)
        return selecting.take(x, ew.add(rest, ew.ge(rest, place)), axis=axis)
    return selecting.take(x, np.delete(np.arange(_known(x, axis, "delete")), obj), axis=axis)


def _extract(condition: Any, arr: Any) -> Expr:
    return selecting.compress(axes.ravel(as_expr(condition)), axes.ravel(as_expr(arr)))


def _resize(a: Any, new_shape: Any) -> Expr:
    shape = [new_shape] if isinstance(new_shape, (int, np.integer)) else list(new_shape)
    flat = axes.ravel(as_expr(a))
    places = ew.mod(creation.arange(math.prod(map(int, shape))), sizes.as_size_expr(sizes.sizes_of(flat)[0]))
    return layout.reshape(flat[places], shape)


# ---------------------------------------------------------------- order and counts
def _partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Expr:
    return sorting.sort(a, axis)  # sorted arrays are partitioned everywhere


def _argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Expr:
    return sorting.argsort(a, axis)


def _lexsort(keys: Any, axis: int = -1) -> Expr:
    rows = [as_expr(k) for k in keys]
    found = sorting.argsort(rows[0], axis)
    for key in rows[1:]:  # each sort is stable
        among = sorting.argsort(selecting.take_along_axis(key, found, axis), axis)
        found = selecting.take_along_axis(found, among, axis)
    return found


def _position(find: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    """nanargmax, nanargmin: -1 where all elements are NaN, which NumPy refuses."""
    def build(a: Any, axis: int | None = None, keepdims: bool = False) -> Expr:
        x = as_expr(a)
        if x.type.dtype in DISCRETE:
            return find(x, axis=axis, keepdims=keepdims)
        kept = ew.switch(ew.isnan(x), np.asarray(neutral, x.type.dtype), x)
        found = find(kept, axis=axis, keepdims=keepdims)
        return ew.switch(reductions.all(ew.isnan(x), axis=axis, keepdims=keepdims), np.int64(-1), found)

    return build


def _histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Expr, Expr]:
    """Counts between edges, the last edge included, and the edges."""
    if isinstance(bins, str):
        raise FuseTypeError("histogram of an expression takes a number of bins, or their edges")
    x = axes.ravel(as_expr(a))
    if isinstance(bins, (int, np.integer)) and bins < 1:
        raise FuseValueError(f"histogram takes one bin or more, not {bins}")
    for name, told in (("bins", bins), ("range", range)):
        known = None if isinstance(told, (Expr, int, np.integer)) or told is None else np.asarray(told)
        if known is not None and known.dtype.kind in "fiu" and (np.diff(known) < 0).any():
            raise FuseValueError(f"{name} of histogram must increase: {told!r:.60}")
    if isinstance(bins, (int, np.integer)):
        low, high = (reductions.min(x), reductions.max(x)) if range is None else map(as_expr, range)
        dtype = promote(inexact(x.type.dtype) if x.type.dtype not in DISCRETE else "float64", *[
            e.type.dtype for e in (low, high)])
        low, high = ew.cast(low, dtype), ew.cast(high, dtype)
        same, half = ew.eq(low, high), np.asarray(0.5, dtype)
        low, high = ew.switch(same, ew.sub(low, half), low), ew.switch(same, ew.add(high, half), high)
        edges = ew.cast(creation.linspace(low, high, int(bins) + 1), dtype)
    else:
        edges = as_expr(bins)
    order = sorting.argsort(x)
    ordered = x[order]
    upto = join.concatenate([selecting.searchsorted(ordered, edges[:-1], side="left"),
                             selecting.searchsorted(ordered, edges[-1:], side="right")])
    if weights is not None:
        w = axes.ravel(as_expr(weights))
        sums = scans.cumsum(ew.cast(w, "float64")[order] if w.type.dtype in DISCRETE else w[order])
        upto = join.concatenate([creation.zeros(1, dtype=sums.type.dtype), sums])[upto]
    counts = ew.sub(upto[1:], upto[:-1])
    if density:
        widths = ew.cast(ew.sub(edges[1:], edges[:-1]), "float64")
        counts = ew.true_div(ew.true_div(counts, widths), reductions.sum(counts))
    return counts, edges


# ---------------------------------------------------------------- functions of parts
def _apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Expr:
    x = as_expr(arr)
    axis, outer = sizes.normalize_axis(axis, x.type.ndim), x.type.ndim - 1
    mapped: Any = lambda row: func1d(row, *args, **kwargs)  # noqa: E731
    for _ in range(outer):
        mapped = importlib.import_module("fuse.transforms.mapped").vmap(mapped)
    found = as_expr(mapped(axes.moveaxis(x, axis, -1)))
    own = found.type.ndim - outer
    return axes.moveaxis(found, list(range(outer, outer + own)), list(range(axis, axis + own))) if own else found


def _apply_over_axes(func: Any, a: Any, axes: Any) -> Expr:
    x = as_expr(a)
    for axis in [axes] if isinstance(axes, (int, np.integer)) else axes:
        axis = sizes.normalize_axis(axis, x.type.ndim)
        found = as_expr(func(x, axis))
        x = found if found.type.ndim == x.type.ndim else found.dimshuffle(
            *range(axis), "x", *range(axis, found.type.ndim))
    return x


def _piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Expr:
    """Functions and numbers chosen per element, in the dtype of ``x``; what no condition is true for is 0."""
    x = as_expr(x)
    listed = isinstance(condlist, (list, tuple)) and (not condlist or isinstance(condlist[0], (list, tuple, Expr))
                                                      or np.ndim(condlist[0]) > 0 or x.type.ndim == 0)
    if isinstance(condlist, Expr) and condlist.type.ndim > x.type.ndim:
        listed, condlist = True, list(condlist)
    conditions = [ew.neq(as_expr(c), 0) for c in (condlist if listed else [condlist])]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise FuseValueError(f"with {len(conditions)} conditions, {len(conditions)} or one more functions are expected")

    def value(f: Any) -> Expr:
        return ew.cast(as_expr(f(x, *args, **kw) if callable(f) else f), x.type.dtype)

    found = value(funclist[-1]) if len(funclist) > len(conditions) else creation.zeros_like(x)
    for condition, f in zip(conditions, funclist, strict=False):
        found = ew.switch(condition, value(f), found)
    return found


# ---------------------------------------------------------------- fits
def _polyadd(a1: Any, a2: Any) -> Expr:
    """The coefficients of the lowest powers stand last."""
    first, second = (axes.atleast_1d(as_expr(a)) for a in (a1, a2))
    more = _known(first, 0, "polyadd") - _known(second, 0, "polyadd")
    if more < 0:
        first, second, more = second, first, -more
    return join.concatenate([first[:more], ew.add(first[more:], second)]) if more else ew.add(first, second)


def _polysub(a1: Any, a2: Any) -> Expr:
    return _polyadd(a1, ew.neg(as_expr(a2)))


def _polynomial(p: Any, m: Any, name: str) -> tuple[Expr, int]:
    """Coefficients, and how many times ``name`` is done to them."""
    p, m = as_expr(p), int(m)
    if p.type.ndim != 1:
        raise FuseTypeError(f"{name} takes the coefficients of one polynomial, a vector, not a {p.type.describe()}")
    if m < 0:
        raise FuseValueError(f"the order of {name} is not negative, as {m} is: polyder and polyint undo each other")
    return p, m


def _polyder(p: Any, m: int = 1) -> Expr:
    p, m = _polynomial(p, m, "polyder")
    for _ in range(m):
        p = ew.mul(p[:-1], np.arange(_known(p, 0, "polyder") - 1, 0, -1))
    return p


def _polyint(p: Any, m: int = 1, k: Any = None) -> Expr:
    p, m = _polynomial(p, m, "polyint")
    constants = axes.atleast_1d(as_expr(0.0 if k is None else k))
    count = _known(constants, 0, "polyint")
    if count != 1 and count < m:
        raise FuseValueError(f"polyint takes a constant for each of {m} integrals, or one for all, not {count}")
    for i in range(m):
        last = constants if count == 1 else constants[i : i + 1]
        p = join.concatenate([ew.true_div(p, np.arange(_known(p, 0, "polyint"), 0, -1)), last])
    return p


def _polyfit(x: Any, y: Any, deg: int, rcond: Any = None) -> Expr:
    """Coefficients by least squares on columns of length 1, as NumPy finds them."""
    from fuse.frontend.factors import lstsq

    x, y = [ew.cast(as_expr(v), "float64") if as_expr(v).type.dtype in DISCRETE else as_expr(v) for v in (x, y)]
    powers = axes.expand_dims(x, 1) ** np.arange(int(deg), -1, -1)
    scale = ew.sqrt(reductions.sum(ew.sqr(powers), axis=0))
    found = lstsq(ew.true_div(powers, scale), y, rcond)[0]
    return ew.true_div(found, scale if y.type.ndim == 1 else axes.expand_dims(scale, 1))


def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Expr:
    from fuse.frontend.spectral import svd

    s = svd(A, compute_uv=False)
    if tol is None:
        dtype = s.type.dtype
        largest = sizes.as_size_expr(sizes.size_max(*sizes.sizes_of(A)[-2:]))
        part = ew.mul(ew.cast(largest, dtype), np.asarray(np.finfo(dtype).eps, dtype)) if rtol is None else rtol
        tol = ew.mul(reductions.max(s, axis=-1, keepdims=True), part)
    return reductions.sum(ew.gt(s, tol), axis=-1)


PARTS: dict[Any, Callable[..., Any]] = {
    np.block: _block, np.insert: _insert, np.delete: _delete, np.extract: _extract, np.resize: _resize,
    np.partition: _partition, np.argpartition: _argpartition, np.lexsort: _lexsort, np.histogram: _histogram,
    np.nanargmax: _position(scans.argmax, -np.inf), np.nanargmin: _position(scans.argmin, np.inf),
    np.apply_along_axis: _apply_along_axis, np.apply_over_axes: _apply_over_axes, np.piecewise: _piecewise,
    np.polyadd: _polyadd, np.polysub: _polysub, np.polyder: _polyder, np.polyint: _polyint, np.polyfit: _polyfit,
    np.linalg.matrix_rank: _matrix_rank,
}

__all__ = ["PARTS"]
