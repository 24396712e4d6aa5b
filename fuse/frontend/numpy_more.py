"""NumPy's rarer functions on expressions, in terms of others; loaded when the first one is met."""
from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend import axes, creation, join, layout, linalg, reductions, scans, sizes, statistics
from fuse.frontend import elementwise as ew
from fuse.frontend.numpy_numbers import UFUNCS as NUMBERS
from fuse.frontend.numpy_parts import PARTS
from fuse.frontend.numpy_protocol import cumulative
from fuse.frontend.numpy_sets import SETS
from fuse.frontend.numpy_signals import SIGNALS, matrix_norm, svdvals
from fuse.frontend.weak import as_numpy_does, numpys
from fuse.trace import TRACE
from fuse.types import DISCRETE, inexact, promote

# Functions, of numpy or numpy.linalg, that fuse.tensor has under the same name.
SAME = frozenset("allclose convolve cov interp matmul matrix_transpose outer tensordot unique".split())

# What to write instead of functions that expressions cannot have.
INSTEAD = {
    **dict.fromkeys(
        ("put", "place", "putmask", "put_along_axis", "fill_diagonal"),
        "expressions do not change: write x = x.at[index].set(value) (set_subtensor), or np.where(mask, value, x)",
    ),
    "copyto": "expressions do not change, and arrays take none: write np.ones(shape) * x in place of np.full(shape, x)",
    **dict.fromkeys(
        ("array2string", "array_repr", "array_str", "save", "savetxt", "savez", "savez_compressed"),
        "there is no value while a function is traced: return the array, or look at fuse.Print(message)(x)",
    ),
    **dict.fromkeys(("may_share_memory", "shares_memory"), "expressions have no memory"),
    "trim_zeros": "index with what is kept: x[indices]",
    "roots": "find the eigenvalues of your own matrix",
    "ix_": "write x[i[:, None], j]",
    "polymul": "np.convolve(a, b) has the coefficients of the product, leading zeros among them",
    "poly": "np.convolve of the factors [1, -root], one after the other, has the coefficients",
    "histogram_bin_edges": "np.linspace(x.min(), x.max(), n + 1) are the edges of n bins",
    "array_equiv": "write np.all(x == y)",
}


def builder(function: Any, name: str) -> Callable[..., Any]:
    """What builds NumPy's ``function``; FuseTypeError with what to write instead where nothing does."""
    own = FUNCTIONS.get(function)
    if own is not None:
        return own
    word = function.__name__
    if word in SAME:
        return getattr(importlib.import_module("fuse.tensor"), word)
    hint = INSTEAD.get(word, "see fuse.tensor for what there is, and fuse.as_op for a function of arrays of your own")
    raise FuseTypeError(f"{name} has no counterpart for expressions: {hint}")


# ---------------------------------------------------------------- parts and joins
def _append(arr: Any, values: Any, axis: int | None = None) -> Expr:
    parts = [as_expr(arr), as_expr(values)]
    return join.concatenate([axes.ravel(p) for p in parts] if axis is None else parts, axis=axis or 0)


def _split(x: Any, parts: Any, axis: int = 0) -> list[Expr]:
    """NumPy's array_split, for a known size or bounds."""
    axis = sizes.normalize_axis(axis, x.type.ndim)
    size = sizes.sizes_of(x)[axis]
    if isinstance(parts, (int, np.integer)):
        if not isinstance(size, int):
            raise FuseTypeError("into equal parts one splits an axis whose size is known; give the bounds instead")
        if parts < 1:
            raise FuseValueError(f"the number of pieces is 1 or more, not {parts}")
        each, more = divmod(size, int(parts))
        lengths = [each + 1] * more + [each] * (int(parts) - more)
        bounds: list[Any] = [0, *np.cumsum(lengths).tolist()]
    else:
        bounds = [0, *parts, None]
    return [x[(*[slice(None)] * axis, slice(a, b))] for a, b in pairwise(bounds)]


def _split_along(axis: int, x: Any, parts: Any) -> list[Expr]:
    if x.type.ndim < (least := (2, 1, 3)[axis]):
        raise FuseValueError(f"{'vhd'[axis]}split takes arrays of {least} or more axes, not a {x.type.describe()}")
    axis = 0 if axis == 1 and x.type.ndim == 1 else axis
    return join.split(x, parts, axis=axis) if isinstance(parts, (int, np.integer)) else _split(x, parts, axis)


def _column_stack(tup: Sequence[Any]) -> Expr:
    columns = [as_expr(x) for x in tup]
    return join.concatenate([x if x.type.ndim > 1 else axes.atleast_2d(x).T for x in columns], axis=1)


def _dstack(tup: Sequence[Any]) -> Expr:
    return join.concatenate([axes.atleast_3d(x) for x in tup], axis=2)


def _unstack(x: Any, /, *, axis: int = 0) -> tuple[Expr, ...]:
    return tuple(axes.moveaxis(x, axis, 0))


def _rollaxis(a: Any, axis: int, start: int = 0) -> Expr:
    n = a.type.ndim
    axis, start = sizes.normalize_axis(axis, n), n if start == n else sizes.normalize_axis(start, n)
    return axes.moveaxis(a, axis, start - 1 if axis < start else start)


def _diagflat(v: Any, k: int = 0) -> Expr:
    flat = axes.ravel(v)
    padded = creation.diag(flat)
    if k == 0:
        return padded
    n = abs(int(k))
    from fuse.frontend.padding import pad

    return pad(padded, ((0, n), (n, 0)) if k > 0 else ((n, 0), (0, n)))


def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Expr:
    flat = axes.ravel(ary)
    parts = [to_begin, flat[1:] - flat[:-1], to_end]
    given = [axes.ravel(as_expr(p)) for p in parts if p is not None]
    return given[0] if len(given) == 1 else join.concatenate(given)


# ---------------------------------------------------------------- elementwise
def _heaviside(x: Any, middle: Any) -> Expr:
    x, middle = as_expr(x), as_expr(middle)
    dtype = inexact(promote(x.type.dtype, middle.type.dtype))
    known = ew.switch(ew.eq(x, 0), ew.cast(middle, dtype), ew.cast(ew.gt(x, 0), dtype))
    return ew.switch(ew.isnan(x), ew.cast(x, dtype), known)


def _copysign(x: Any, y: Any) -> Expr:
    dtype = np.result_type(as_expr(x).type.numpy_dtype, as_expr(y).type.numpy_dtype)
    size = ew.abs(ew.cast(x, dtype.name if dtype.kind == "f" else "float64"))
    return ew.switch(ew.signbit(y), ew.neg(size), size)


def _modf(x: Any) -> tuple[Expr, Expr]:
    """Parts behind the point, 0 for infinities, and before it, both with the sign of ``x``."""
    x = as_expr(x)
    x = ew.cast(x, "float64") if x.type.dtype in DISCRETE else x
    rest = ew.switch(ew.isinf(x), ew.mul(0, ew.sgn(x)), ew.sub(x, ew.trunc(x)))
    return _copysign(rest, x), ew.trunc(x)


def _skipping_nan(pick: Callable[..., Any]) -> Callable[..., Expr]:
    def build(x: Any, y: Any) -> Expr:
        return ew.switch(ew.isnan(x), y, ew.switch(ew.isnan(y), x, pick(x, y)))

    return build


def _fmod(x: Any, y: Any) -> Expr:
    """The remainder with the sign of the dividend."""
    x, y = as_expr(x), as_expr(y)
    if x.type.dtype in DISCRETE and y.type.dtype in DISCRETE:  # the least of a dtype has no magnitude
        rest = ew.mod(x, y)
        return ew.switch(ew.and_(ew.neq(rest, 0), ew.xor(ew.lt(x, 0), ew.lt(y, 0))), ew.sub(rest, y), rest)
    below = ew.signbit(x)
    rest = ew.mod(ew.switch(below, ew.neg(x), x), ew.abs(y))  # the slope by x is 1, also at 0, where that of abs is 0
    return ew.switch(below, ew.neg(rest), rest)


def whole(x: Any) -> Expr:
    """trunc and fix, of which integers are their own."""
    return as_expr(x) if as_expr(x).type.dtype in DISCRETE else ew.trunc(x)


def reciprocal(x: Any) -> Expr:
    """Of integers the whole part, as NumPy has it."""
    x = as_expr(x)
    if x.type.dtype not in DISCRETE:
        return ew.reciprocal(x)
    x = ew.cast(x, "int8") if x.type.dtype == "bool" else x
    return ew.switch(ew.eq(ew.abs(x), np.asarray(1, x.type.dtype)), x, np.asarray(0, x.type.dtype))


def fabs(x: Any) -> Expr:
    x = as_expr(x)
    return ew.abs(ew.cast(x, "float64") if x.type.dtype in DISCRETE else x)


def _select(conditions: Sequence[Any], choices: Sequence[Any], default: Any = 0) -> Expr:
    if len(conditions) != len(choices):
        raise FuseValueError(f"select takes as many choices as conditions, not {len(choices)} and {len(conditions)}")
    if TRACE.active:
        *choices, default = as_numpy_does(*numpys(*choices, default))
    result = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = ew.switch(condition, choice, result)
    return as_expr(result)


def _polyval(p: Any, x: Any) -> Expr:
    p = as_expr(p)
    total: Any = None
    for coefficient in p:
        total = coefficient + x * 0 if total is None else total * x + coefficient
    return as_expr(0 if total is None else total)


def _vander(x: Any, N: int | None = None, increasing: bool = False) -> Expr:
    powers: Any = np.arange(len(x) if N is None else N)
    return axes.expand_dims(x, 1) ** (powers if increasing else powers[::-1])


def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Expr:
    return ew.cast(x, dtype)


# ---------------------------------------------------------------- reductions
def _without_nan(reduce: Callable[..., Any], neutral: Callable[[Expr], Any]) -> Callable[..., Any]:
    def build(a: Any, axis: Any = None, keepdims: bool = False, **options: Any) -> Expr:
        if a.type.dtype in DISCRETE:
            return reduce(a, axis=axis, keepdims=keepdims, **options)
        kept = ew.switch(ew.isnan(a), as_expr(np.asarray(neutral(a), a.type.dtype)), a)
        return reduce(kept, axis=axis, keepdims=keepdims, **options)

    return build


def _extreme(reduce: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    """nanmax, nanmin: NaN only where all elements are."""
    inner = _without_nan(reduce, lambda a: neutral)

    def build(a: Any, axis: Any = None, keepdims: bool = False) -> Expr:
        if a.type.dtype in DISCRETE:
            return reduce(a, axis=axis, keepdims=keepdims)
        empty = reductions.all(ew.isnan(a), axis=axis, keepdims=keepdims)
        return ew.switch(empty, as_expr(np.asarray(np.nan, a.type.dtype)), inner(a, axis, keepdims))

    return build


def _counted(a: Any, axis: Any, keepdims: bool) -> Expr:
    present = ew.cast(ew.invert(ew.isnan(a)), a.type.dtype)
    return reductions.sum(present, axis=axis, keepdims=keepdims)


def _nanmean(a: Any, axis: Any = None, keepdims: bool = False) -> Expr:
    if a.type.dtype in DISCRETE:
        return statistics.mean(a, axis=axis, keepdims=keepdims)
    return ew.true_div(_nansum(a, axis=axis, keepdims=keepdims), _counted(a, axis, keepdims))


def _nanvar(a: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Expr:
    if a.type.dtype in DISCRETE:
        return statistics.var(a, axis=axis, ddof=ddof, keepdims=keepdims)
    middle = _nanmean(a, axis=axis, keepdims=True)
    squares = ew.sqr(ew.abs(ew.sub(a, middle)))  # of an infinity not a number, which is no element left out
    kept = ew.switch(ew.isnan(a), np.asarray(0, squares.type.dtype), squares)
    squares = reductions.sum(kept, axis=axis, keepdims=keepdims)
    count = ew.cast(ew.real(_counted(a, axis, keepdims)), squares.type.dtype)
    if ddof == 0:
        return ew.true_div(squares, count)
    freedom = ew.sub(count, np.asarray(ddof, count.type.dtype))
    return ew.switch(ew.gt(freedom, 0), ew.true_div(squares, freedom), np.asarray(np.nan, squares.type.dtype))


def _nanstd(a: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Expr:
    return statistics.root(_nanvar(a, axis, ddof, keepdims))


def _count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Expr:
    return reductions.sum(ew.neq(a, 0), axis=axis, keepdims=keepdims)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Expr:
    y = axes.moveaxis(as_expr(y), axis, -1)
    middles = ew.mul(ew.add(y[..., 1:], y[..., :-1]), np.asarray(0.5, "float32"))
    if x is None:
        steps: Any = as_expr(dx)
    else:
        x = as_expr(x)
        x = x if x.type.ndim == 1 else axes.moveaxis(x, axis, -1)
        steps = ew.sub(x[..., 1:], x[..., :-1])
    return reductions.sum(ew.mul(middles, steps), axis=-1)


def _cumulative(scan: Callable[..., Any], start: int) -> Callable[..., Any]:
    def build(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Expr:
        if axis is None and x.type.ndim != 1:
            raise FuseValueError("axis must be given for arrays of several axes")
        axis = 0 if axis is None else axis
        found = scan(x if dtype is None else ew.cast(x, dtype), axis=axis)
        if not include_initial:
            return found
        first = found[(*[slice(None)] * sizes.normalize_axis(axis, x.type.ndim), slice(0, 1))]
        return join.concatenate([creation.full_like(first, start), found], axis=axis)

    return build


def _nan_cumulative(scan: Callable[..., Any], instead: int) -> Callable[..., Any]:
    def build(a: Any, axis: int | None = None, dtype: Any = None) -> Expr:
        known = ew.switch(ew.isnan(a), np.asarray(instead, a.type.dtype), a)
        return cumulative(scan)(known, axis, dtype)

    return build


# ---------------------------------------------------------------- products
def vector_dot(x1: Any, x2: Any, axis: int = -1) -> Expr:
    """Products of the vectors along ``axis``, of which the first is conjugated, in their dtype."""
    dtype = np.result_type(*[as_expr(x).type.numpy_dtype for x in (x1, x2)])
    return ew.cast(reductions.sum(ew.mul(ew.conj(x1), x2), axis=axis), dtype)


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Expr:
    if axis is None:
        if keepdims:
            raise FuseTypeError("vector_norm of all axes with keepdims: give axis")
        x = axes.ravel(x)
        axis = 0
    return statistics.norm(x, ord, axis, keepdims)


def cross_product(a: Any, b: Any, axis: int | None = -1) -> Expr:
    axis = -1 if axis is None else axis
    a, b = [axes.moveaxis(as_expr(v), axis, -1) for v in (a, b)]
    a, b = [axes.specify_shape(v, [*[None] * (v.type.ndim - 1), 3]) for v in (a, b)]
    x, y = [[v[..., i] for i in range(3)] for v in (a, b)]
    parts = [x[i - 2] * y[i - 1] - x[i - 1] * y[i - 2] for i in range(3)]
    return axes.moveaxis(join.stack(parts, axis=-1), -1, axis)


def _last_diagonal(x: Any, /, *, offset: int = 0) -> Expr:
    return layout.diagonal(x, offset, -2, -1)


def _last_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Expr:
    return reductions.sum(_last_diagonal(x, offset=offset), axis=-1, dtype=dtype)


def _triangle(make: Callable[..., Any]) -> Callable[..., Any]:
    def build(arr: Any, k: int = 0) -> Any:
        if arr.type.ndim != 2:
            raise FuseValueError(f"the places in a triangle are those of a matrix, not of a {arr.type.describe()}")
        return make(sizes.sizes_of(arr)[-2], k=k, m=sizes.sizes_of(arr)[-1])

    return build


_nansum = _without_nan(reductions.sum, lambda a: 0)

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.append: _append, np.array_split: _split, np.column_stack: _column_stack, np.dstack: _dstack,
    **{getattr(np, n): functools.partial(_split_along, axis) for n, axis in (("vsplit", 0), ("hsplit", 1),
                                                                             ("dsplit", 2))},
    np.rollaxis: _rollaxis, np.diagflat: _diagflat, np.ediff1d: _ediff1d, np.select: _select,
    np.polyval: _polyval, np.vander: _vander, np.fix: whole,
    np.nansum: _nansum, np.nanprod: _without_nan(reductions.prod, lambda a: 1),
    np.nanmax: _extreme(reductions.max, -np.inf), np.nanmin: _extreme(reductions.min, np.inf),
    np.nanmean: _nanmean, np.nanvar: _nanvar, np.nanstd: _nanstd, np.count_nonzero: _count_nonzero,
    np.nancumsum: _nan_cumulative(scans.cumsum, 0), np.nancumprod: _nan_cumulative(scans.cumprod, 1),
    np.cross: cross_product, **SIGNALS, **PARTS, **SETS,
    np.linalg.multi_dot: lambda arrays: linalg.matrix_dot(*arrays),
    np.tril_indices_from: _triangle(np.tril_indices), np.triu_indices_from: _triangle(np.triu_indices),
    np.isrealobj: lambda x: not x.type.dtype.startswith("complex"),
    np.array_equal: lambda a, b: reductions.all(ew.eq(a, b)),
}
_NEW: dict[str, Callable[..., Any]] = {  # older versions of NumPy do not have them
    "trapezoid": _trapezoid, "trapz": _trapezoid, "unstack": _unstack, "astype": _astype,
    "cumulative_sum": _cumulative(cumulative(scans.cumsum), 0),
    "cumulative_prod": _cumulative(cumulative(scans.cumprod), 1),
    "linalg.vecdot": vector_dot, "linalg.vector_norm": _vector_norm, "linalg.cross": cross_product,
    "linalg.svdvals": svdvals, "linalg.matrix_norm": matrix_norm,
    "linalg.diagonal": _last_diagonal, "linalg.trace": _last_trace,
}
for _name, _build in _NEW.items():
    _home: Any = np.linalg if _name.startswith("linalg.") else np
    if hasattr(_home, _name.rpartition(".")[2]):
        FUNCTIONS[getattr(_home, _name.rpartition(".")[2])] = _build

UFUNCS: dict[Any, Callable[..., Any]] = {
    np.logaddexp2: lambda x, y: ew.mul(ew.logaddexp(ew.mul(x, math.log(2)), ew.mul(y, math.log(2))), 1 / math.log(2)),
    np.modf: _modf,
    np.copysign: _copysign, np.heaviside: _heaviside, np.fmax: _skipping_nan(ew.maximum),
    np.fmin: _skipping_nan(ew.minimum), np.fmod: _fmod, **NUMBERS,
}
for _name, _build in {
    "vecdot": vector_dot, "matvec": lambda a, v: linalg.matmul(a, v[..., None])[..., 0],
    "vecmat": lambda v, a: linalg.matmul(ew.conj(v)[..., None, :], a)[..., 0, :],
}.items():
    if hasattr(np, _name):
        UFUNCS[getattr(np, _name)] = _build


__all__ = ["FUNCTIONS", "INSTEAD", "SAME", "UFUNCS", "builder", "fabs", "reciprocal", "whole"]
