"""NumPy's functions with the arguments that few programs give: ``where``, ``initial``, ``weights``, ``prepend``, ..."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend import axes, creation, join, layout, reductions, sizes, sorting, statistics
from fuse.frontend import elementwise as ew
from fuse.types import COMPLEX, DISCRETE, FLOATING, real_of

_NONE: Any = np._NoValue


def _given(value: Any) -> bool:
    return value is not None and value is not _NONE


def _chosen(x: Expr, where: Any, neutral: Any) -> Expr:
    return x if where is True or not _given(where) else ew.switch(where, x, as_expr(np.asarray(neutral, x.type.dtype)))


def _wide(x: Expr, where: Any) -> Expr:
    """``x`` as large as the mask: elements are counted once for each place."""
    return x if where is True or not _given(where) else axes.broadcast_arrays(x, where)[0]


# ---------------------------------------------------------------- reductions of a part
def _accumulating(reduce: Callable[..., Any], combine: Callable[..., Any], neutral: int) -> Callable[..., Any]:
    def build(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _NONE,
              where: Any = True) -> Expr:
        x = _wide(as_expr(a), where)
        if x.type.dtype == "bool" and where is not True:
            x = ew.cast(x, "int64")
        found = reduce(_chosen(x, where, neutral), axis=axis, dtype=dtype, keepdims=_given(keepdims) and keepdims)
        return combine(found, initial) if _given(initial) else found

    return build


def _extreme(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def build(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _NONE,
              where: Any = True) -> Expr:
        x, masked = _wide(as_expr(a), where), where is not True and _given(where)
        if masked and not _given(initial):
            raise FuseValueError("reductions without an identity take initial= beside where=, as in NumPy")
        if masked:
            x = ew.switch(where, x, ew.cast(as_expr(initial), x.type.dtype))
        keep = _given(keepdims) and keepdims
        if not _given(initial):
            return reduce(x, axis=axis, keepdims=keep)
        # an element more, since an empty row has no largest one of its own
        places = sizes.normalize_axes(axis, x.type.ndim)
        rest = [a for a in range(x.type.ndim) if a not in places]
        known = sizes.sizes_of(x)
        outer = [known[a] for a in rest]
        rows = layout.reshape(x.dimshuffle(*rest, *places), [*outer, sizes.size_product([known[a] for a in places])])
        first = creation.full([*outer, 1], ew.cast(as_expr(initial), x.type.dtype), dtype=x.type.dtype)
        found = reduce(join.concatenate([first, rows], axis=len(rest)), axis=len(rest))
        return reductions.kept(found, places, x.type.ndim) if keep else found

    return build


def _truth(reduce: Callable[..., Any], neutral: bool) -> Callable[..., Any]:
    def build(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, where: Any = True) -> Expr:
        x = ew.neq(_wide(as_expr(a), where), 0)
        return reduce(_chosen(x, where, neutral), axis=axis, keepdims=_given(keepdims) and keepdims)

    return build


def _mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, where: Any = True
) -> Expr:
    x, keep = as_expr(a), _given(keepdims) and keepdims
    if dtype is not None:
        x = ew.cast(x, dtype)
    if where is True or not _given(where):
        return statistics.mean(x, axis=axis, keepdims=keep)
    x = _wide(ew.cast(x, "float64") if x.type.dtype in DISCRETE else x, where)
    mask = axes.broadcast_arrays(ew.cast(as_expr(where), real_of(x.type.dtype)), x)[0]
    total = reductions.sum(_chosen(x, where, 0), axis=axis, keepdims=keep)
    return ew.true_div(total, reductions.sum(mask, axis=axis, keepdims=keep))


def _var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = _NONE, correction: Any = _NONE,
) -> Expr:
    x, keep = as_expr(a), _given(keepdims) and keepdims
    if _given(correction):
        ddof = correction
    if dtype is not None or x.type.dtype in DISCRETE:
        x = ew.cast(x, dtype or "float64")
    middle = mean if _given(mean) else _mean(x, axis, keepdims=True, where=where)
    squares = ew.sqr(ew.abs(ew.sub(x, middle)))
    total = _accumulating(reductions.sum, ew.add, 0)(squares, axis, keepdims=keep, where=where)
    ones = creation.ones_like(axes.broadcast_arrays(squares, where)[0] if where is not True else squares)
    count = _accumulating(reductions.sum, ew.add, 0)(ones, axis, keepdims=keep, where=where)
    freedom = ew.maximum(ew.sub(count, np.asarray(ddof, squares.type.dtype)), np.asarray(0, squares.type.dtype))
    return ew.true_div(total, freedom)


def _std(*args: Any, **options: Any) -> Expr:
    return statistics.root(_var(*args, **options))


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    x, keep = as_expr(a), _given(keepdims) and keepdims
    if weights is None:
        found = statistics.mean(x, axis=axis, keepdims=keep)
        total = ew.true_div(reductions.sum(creation.ones_like(found if keep else x), axis=axis, keepdims=keep), 1)
        return (found, total) if returned else found
    w = as_expr(weights)
    if w.type.ndim != x.type.ndim:
        if axis is None or isinstance(axis, tuple):
            raise FuseTypeError("average takes weights for all elements, or a vector of them and its axis")
        place = sizes.normalize_axis(axis, x.type.ndim)
        w = w.dimshuffle(*["x"] * place, 0, *["x"] * (x.type.ndim - place - 1))
    if x.type.dtype in DISCRETE and w.type.dtype in DISCRETE:
        x = ew.cast(x, "float64")
    wide = axes.broadcast_arrays(w, x)[0]
    total = reductions.sum(wide, axis=axis, keepdims=keep)
    found = ew.true_div(reductions.sum(ew.mul(x, w), axis=axis, keepdims=keep), total)
    return (found, ew.cast(total, found.type.dtype)) if returned else found


# ---------------------------------------------------------------- others
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NONE, append: Any = _NONE) -> Expr:
    from fuse.frontend.extra_ops import diff

    x = as_expr(a)
    axis = sizes.normalize_axis(axis, x.type.ndim)

    def edge(value: Any) -> list[Expr]:
        if not _given(value):
            return []
        value = as_expr(value)
        if value.type.ndim == 0:
            value = creation.full([1 if k == axis else s for k, s in enumerate(sizes.sizes_of(x))], value)
        return [value]

    parts = [*edge(prepend), x, *edge(append)]
    return diff(parts[0] if len(parts) == 1 else join.concatenate(parts, axis=axis), n, axis)


def _angle(z: Any, deg: bool = False) -> Expr:
    z, found = as_expr(z), ew.angle(z)
    found = found if z.type.dtype in DISCRETE else ew.cast(found, real_of(z.type.dtype))
    return ew.rad2deg(found) if deg else found


def _like(make: Callable[..., Any]) -> Callable[..., Any]:
    def build(a: Any, *value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
              device: Any = None, **fill: Any) -> Expr:
        value = (*value, *fill.values())
        model = as_expr(a)
        return make(sizes.sizes_of(model) if shape is None else shape, *value, dtype=dtype or model.type.dtype)

    return build


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Expr:
    from fuse.frontend.numpy_more import cross_product

    if axis is not None:
        axisa = axisb = axisc = axis
    found = cross_product(axes.moveaxis(as_expr(a), axisa, -1), axes.moveaxis(as_expr(b), axisb, -1))
    return axes.moveaxis(found, -1, axisc)


def _as_part(x: Any, dtype: Any, casting: Any) -> Expr:
    x = as_expr(x)
    if dtype is not None and not np.can_cast(x.type.numpy_dtype, np.dtype(dtype), casting):
        raise FuseTypeError(f"parts of {x.type.dtype} are not joined as {np.dtype(dtype)} with casting={casting!r}")
    return x if dtype is None else ew.cast(x, dtype)


def _joined(join_parts: Callable[..., Any]) -> Callable[..., Any]:
    def build(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Expr:
        return join_parts([_as_part(x, dtype, casting) for x in arrays], axis)

    return build


def _in_row(join_parts: Callable[..., Any]) -> Callable[..., Any]:
    def build(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Expr:
        return join_parts([_as_part(x, dtype, casting) for x in tup])

    return build


def _sorted(sort: Callable[..., Any]) -> Callable[..., Any]:
    def build(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Expr:
        return sort(a, axis)  # which is stable

    return build


FULL: dict[Any, Callable[..., Any]] = {
    np.sort: _sorted(sorting.sort), np.argsort: _sorted(sorting.argsort),
    np.sum: _accumulating(reductions.sum, ew.add, 0), np.prod: _accumulating(reductions.prod, ew.mul, 1),
    **dict.fromkeys((np.max, np.amax), _extreme(reductions.max)),
    **dict.fromkeys((np.min, np.amin), _extreme(reductions.min)),
    np.all: _truth(reductions.all, True), np.any: _truth(reductions.any, False),
    np.mean: _mean, np.var: _var, np.std: _std, np.average: _average, np.diff: _diff, np.angle: _angle,
    np.zeros_like: _like(creation.zeros), np.ones_like: _like(creation.ones),
    np.empty_like: _like(creation.zeros), np.full_like: _like(creation.full), np.cross: _cross,
    np.concatenate: _joined(lambda parts, axis: join.concatenate(parts, axis=axis)),
    np.stack: _joined(lambda parts, axis: join.stack(parts, axis=axis)),
    np.vstack: _in_row(join.vstack), np.hstack: _in_row(join.hstack),
}


# ---------------------------------------------------------------- functions of SciPy
def _ndtr(x: Any) -> Expr:
    return ew.mul(0.5, ew.erfc(ew.mul(x, np.asarray(-(0.5**0.5), _float(x)))))


def _log_ndtr(x: Any) -> Expr:
    """Mills' ratio far to the left, where the probability is nothing beside 1 or underflows."""
    x = as_expr(x)
    y = ew.mul(x, np.asarray(0.5**0.5, _float(x)))
    left = ew.lt(x, -1)
    far = ew.sub(ew.log(ew.mul(0.5, ew.erfcx(ew.neg(ew.switch(left, y, -1.0))))), ew.sqr(y))
    near = ew.log1p(ew.mul(-0.5, ew.erfc(ew.switch(left, -1.0, y))))
    return ew.cast(ew.switch(left, far, near), _float(x))


def _float(x: Any) -> str:
    dtype = as_expr(x).type.dtype
    return dtype if dtype in FLOATING or dtype in COMPLEX else "float64"


def _ndtri(p: Any) -> Expr:
    return ew.mul(np.asarray(-(2.0**0.5), _float(p)), ew.erfcinv(ew.mul(2, p)))


def _entr(x: Any) -> Expr:
    from fuse.frontend.special import xlogy

    return ew.switch(ew.lt(x, 0), np.asarray(-np.inf, _float(x)), ew.neg(xlogy(x, x)))


def _rel_entr(x: Any, y: Any) -> Expr:
    inside = ew.and_(ew.gt(x, 0), ew.gt(y, 0))
    value = ew.mul(x, ew.log(ew.true_div(ew.switch(inside, x, 1), ew.switch(inside, y, 1))))
    edge = ew.switch(ew.and_(ew.eq(x, 0), ew.ge(y, 0)), ew.mul(value, 0), np.asarray(np.inf, _float(value)))
    unknown = ew.or_(ew.isnan(x), ew.isnan(y))
    return ew.switch(inside, value, ew.switch(unknown, np.asarray(np.nan, _float(value)), edge))


def _log_expit(x: Any) -> Expr:
    from fuse.frontend.activations import softplus

    return ew.neg(softplus(ew.neg(as_expr(x))))


def _scaled_bessel(name: str, order: int) -> Callable[..., Any]:
    """SciPy's ``i0e`` and its kin, whose order is in the name."""
    return lambda x: getattr(importlib.import_module("fuse.tensor"), name)(order, x)


SPECIAL: dict[str, Callable[..., Any]] = {
    "ndtr": _ndtr, "log_ndtr": _log_ndtr, "ndtri": _ndtri, "entr": _entr, "rel_entr": _rel_entr,
    "kl_div": lambda x, y: ew.add(ew.sub(_rel_entr(x, y), x), y), "log_expit": _log_expit,
    **{f"{name}{order}e": _scaled_bessel(f"{name}ve", order) for name in "ik" for order in (0, 1)},
}
# Functions of scipy.special that fuse.tensor has under the same name, with the same arguments.
SAME_SPECIAL = frozenset((
    "beta betainc betaincinv betaln cbrt digamma erf erfc erfcinv erfcx erfinv exp1 exp2 expi expit expm1 gamma "
    "gammainc gammaincc gammainccinv gammaincinv gammaln hyp2f1 i0 i1 iv ive j0 j1 jv k0 k1 kn kv kve log1p logit "
    "owens_t poch psi xlog1py xlogy y0 y1 yv"
).split())


def special(ufunc: Any) -> Callable[..., Any] | None:
    """What builds a function of scipy.special; None for others."""
    home = sys.modules.get("scipy.special")
    name = ufunc.__name__
    if home is None or getattr(home, name, None) is not ufunc:
        return None
    if name in SAME_SPECIAL:
        return getattr(importlib.import_module("fuse.tensor"), name)
    return SPECIAL.get(name)


__all__ = ["FULL", "special"]
