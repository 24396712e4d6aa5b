"""NumPy's functions of samples, signals and spectra of matrices, for expressions; loaded with the other rarer ones."""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend import axes, creation, join, layout, scans, sizes
from fuse.frontend import elementwise as ew
from fuse.types import COMPLEX, DISCRETE, FLOATING, inexact, promote


def _quantile(scale: float, skip_nan: bool = False) -> Callable[..., Any]:
    def build(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
              keepdims: bool = False) -> Expr:
        from fuse.frontend.ranking import quantile

        q = ew.cast(q, "float64") if isinstance(q, Expr) else np.asarray(q, "float64")  # 30.0 / 100 has to be exact
        return quantile(a, ew.true_div(q, np.float64(scale)) if scale != 1 else q, axis, method, keepdims, skip_nan)

    return build


def _nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Expr:
    return _quantile(1, True)(a, 0.5, axis, keepdims=keepdims is True)


def _correlate(a: Any, v: Any, mode: str = "valid") -> Expr:
    return import_module("fuse.tensor").convolve(a, ew.conj(as_expr(v))[::-1], mode)


def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Expr:
    """Jumps of half a period or more are taken out, as NumPy does it."""
    p = as_expr(p)
    axis = sizes.normalize_axis(axis, p.type.ndim)
    dtype = p.type.dtype if p.type.dtype not in DISCRETE else "float64"
    if dtype != p.type.dtype and isinstance(period, (int, np.integer)):
        raise FuseTypeError("unwrap of integers by an integer period: cast them to float64 first")
    x, half = axes.moveaxis(ew.cast(p, dtype), axis, -1), np.asarray(period / 2, dtype)
    steps = ew.sub(x[..., 1:], x[..., :-1])
    inside = ew.sub(ew.mod(ew.add(steps, half), np.asarray(period, dtype)), half)
    inside = ew.switch(ew.and_(ew.eq(inside, -half), ew.gt(steps, 0)), half, inside)
    least = np.asarray(period / 2 if discont is None else discont, dtype)
    jumps = ew.switch(ew.lt(ew.abs(steps), least), np.asarray(0, dtype), ew.sub(inside, steps))
    moved = ew.add(x[..., 1:], scans.cumsum(jumps, axis=x.type.ndim - 1))
    return axes.moveaxis(join.concatenate([x[..., :1], moved], axis=x.type.ndim - 1), -1, axis)


def _corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Expr:
    c = import_module("fuse.tensor").cov(x, y, rowvar)
    if c.type.ndim == 0:
        return ew.true_div(c, c)
    d = ew.sqrt(layout.diagonal(c))
    return ew.clip(ew.true_div(ew.true_div(c, d[:, None]), d[None, :]), -1, 1)


def _digitize(x: Any, bins: Any, right: bool = False) -> Expr:
    """For edges that rise; for edges that fall turn them round."""
    from fuse.frontend.selecting import searchsorted

    return searchsorted(bins, x, side="left" if right else "right")


def _geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Expr:
    """The ends are exact, and a first number below 0 turns the sign of all, as in NumPy."""
    first, last = (x if isinstance(x, Expr) else as_expr(np.asarray(x) + 0.0) for x in (start, stop))
    work = promote(*[inexact(x.type.dtype) if x.type.dtype in FLOATING else "float64" for x in (first, last)])
    if first.type.dtype in COMPLEX or last.type.dtype in COMPLEX:
        raise FuseTypeError("geomspace of complex numbers: write np.exp(np.linspace(np.log(start), np.log(stop), n))")
    first, last = ew.cast(first, work), ew.cast(last, work)
    sign = ew.switch(ew.lt(first, 0), np.asarray(-1, work), np.asarray(1, work))
    low, high = (ew.log(ew.mul(x, sign)) for x in (first, last))
    values = ew.mul(ew.exp(creation.linspace(low, high, num, endpoint)), sign)
    place = creation.arange(sizes.as_size_expr(sizes.sizes_of(values)[0]))
    place = place.dimshuffle(0, *["x"] * (values.type.ndim - 1))
    if endpoint:
        values = ew.switch(ew.eq(place, ew.sub(num, 1)), last, values)
    values = ew.switch(ew.eq(place, 0), first, values)
    values = axes.moveaxis(values, 0, axis) if axis else values
    return values if dtype is None else ew.cast(values, dtype)


def _iscomplex(x: Any) -> Expr:
    return ew.neq(ew.imag(x), 0)


def _real_if_close(a: Any, tol: float = 100) -> Expr:
    if as_expr(a).type.dtype in COMPLEX:
        raise FuseTypeError("real_if_close of complex numbers: whether they are real is not known yet; write x.real")
    return as_expr(a)


def svdvals(x: Any, /) -> Expr:
    from fuse.frontend.spectral import svd

    return svd(x, compute_uv=False)


def _cond(x: Any, p: Any = None) -> Expr:
    from fuse.frontend.decompositions import matrix_inverse
    from fuse.frontend.factors import norm

    if p is None or p in (2, -2):
        s = svdvals(x)
        return ew.true_div(s[..., -1], s[..., 0]) if p == -2 else ew.true_div(s[..., 0], s[..., -1])
    return ew.mul(norm(x, p, axis=(-2, -1)), norm(matrix_inverse(x), p, axis=(-2, -1)))


def _eigvals(a: Any) -> Expr:
    from fuse.frontend.spectral import eig

    return eig(a)[0]


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Expr:
    from fuse.frontend.factors import norm

    return norm(x, ord, axis=(-2, -1), keepdims=keepdims)


SIGNALS: dict[Any, Callable[..., Any]] = {
    np.corrcoef: _corrcoef, np.digitize: _digitize,
    np.quantile: _quantile(1), np.percentile: _quantile(100), np.nanquantile: _quantile(1, True),
    np.nanpercentile: _quantile(100, True), np.nanmedian: _nanmedian, np.correlate: _correlate, np.unwrap: _unwrap,
    np.geomspace: _geomspace, np.iscomplex: _iscomplex, np.isreal: lambda x: ew.invert(_iscomplex(x)),
    np.real_if_close: _real_if_close, np.linalg.cond: _cond, np.linalg.eigvals: _eigvals,
}

__all__ = ["SIGNALS", "matrix_norm", "svdvals"]
