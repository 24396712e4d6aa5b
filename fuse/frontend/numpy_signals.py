"""NumPy's functions of samples, signals and spectra of matrices, for expressions; loaded with the other rarer ones."""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend import axes, creation, join, layout, reductions, scans, sizes
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import Assert
from fuse.types import COMPLEX, DISCRETE, FLOATING, inexact, promote


def _quantile(scale: float, skip_nan: bool = False) -> Callable[..., Any]:
    def build(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
              keepdims: bool = False, weights: Any = None) -> Expr:
        from fuse.frontend.ranking import quantile, weighted_quantile

        q = ew.cast(q, "float64") if isinstance(q, Expr) else np.asarray(q, "float64")  # 30.0 / 100 has to be exact
        q = ew.true_div(q, np.float64(scale)) if scale != 1 else q
        if weights is None:
            return quantile(a, q, axis, method, keepdims, skip_nan)
        if method != "inverted_cdf" or skip_nan:
            raise FuseValueError("quantiles with weights are those of quantile and percentile, method='inverted_cdf'")
        return weighted_quantile(a, q, weights, axis, keepdims)

    return build


def _nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Expr:
    from fuse.frontend.ranking import median

    return median(a, axis, keepdims is True, skip_nan=True)


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
    """Edges may rise or fall; those that are known when the formula is written are looked at then."""
    from fuse.frontend.selecting import searchsorted

    side = "left" if right else "right"
    if not isinstance(bins, Expr):
        steps = np.diff(np.asarray(bins))
        if (steps < 0).any() and (steps > 0).any():
            raise FuseValueError("bins must rise or fall monotonically")
        if not (steps < 0).any():
            return searchsorted(bins, x, side=side)
    bins = as_expr(bins)
    falls = reductions.any(ew.lt(bins[-1:], bins[:1]))
    places = searchsorted(ew.switch(falls, bins[::-1], bins), x, side=side)
    return ew.switch(falls, ew.sub(sizes.as_size_expr(sizes.sizes_of(bins)[0]), places), places)


def _gradient(f: Any, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Second differences inside, differences of the first or second order at the two ends."""
    f = as_expr(f)
    f = ew.cast(f, "float64") if f.type.dtype in DISCRETE else f
    if edge_order not in (1, 2):
        raise FuseValueError(f"edge_order is 1 or 2, not {edge_order}")
    chosen = list(range(f.type.ndim)) if axis is None else [axis] if isinstance(axis, (int, np.integer)) else list(axis)
    steps = list(spacing) * (len(chosen) if len(spacing) == 1 else 1) or [1.0] * len(chosen)
    if len(steps) != len(chosen):
        raise FuseTypeError(f"gradient along {len(chosen)} axes takes one spacing or one for each, not {len(steps)}")
    found = []
    for k, h in zip(chosen, steps, strict=True):
        g = _enough(axes.moveaxis(f, k, 0), edge_order + 1)
        slopes = _slopes(g, as_expr(h), edge_order)
        found.append(axes.moveaxis(ew.cast(join.concatenate(slopes), f.type.dtype), 0, k))
    return found[0] if len(found) == 1 else tuple(found)


def _enough(x: Expr, least: int) -> Expr:
    """``x``, whose first axis has so many elements or more; fewer are an error, at a call where its size is unknown."""
    n, message = sizes.sizes_of(x)[0], f"slopes are of {least} or more elements"
    if isinstance(n, int):
        if n < least:
            raise FuseValueError(f"{message}, not of {n}")
        return x
    return Assert(message)(x, ew.ge(n, least))


def _slopes(g: Expr, h: Expr, edge_order: int) -> list[Expr]:
    """The slopes along the first axis at its first place, inside and at its last; ``h``: a step, or the places.

    The weights are those of the parabola through three neighbours (Fornberg, Mathematics of Computation 51, 1988).
    """
    if h.type.ndim > 1:
        raise FuseTypeError(f"the spacing of gradient is one step, or the coordinates along an axis, not {h.type}")
    h = ew.cast(h, "float64") if h.type.dtype in DISCRETE else h  # differences of narrow integers wrap
    if not h.type.ndim:
        inner = ew.true_div(ew.sub(g[2:], g[:-2]), ew.mul(h, 2))
        if edge_order == 1:
            return [ew.true_div(ew.sub(g[1:2], g[:1]), h), inner, ew.true_div(ew.sub(g[-1:], g[-2:-1]), h)]
        first = ew.sub(ew.sub(ew.mul(4, g[1:2]), ew.mul(3, g[:1])), g[2:3])
        last = ew.add(ew.sub(ew.mul(3, g[-1:]), ew.mul(4, g[-2:-1])), g[-3:-2])
        return [ew.true_div(first, ew.mul(h, 2)), inner, ew.true_div(last, ew.mul(h, 2))]
    step = ew.sub(h[1:], h[:-1])
    step = step.dimshuffle(0, *["x"] * (g.type.ndim - 1))
    slope = ew.true_div(ew.sub(g[1:], g[:-1]), step)  # of the lines through neighbours
    before, after = step[:-1], step[1:]
    both = ew.add(before, after)
    inner = ew.true_div(ew.add(ew.mul(slope[:-1], after), ew.mul(slope[1:], before)), both)
    if edge_order == 1:
        return [slope[:1], inner, slope[-1:]]
    bend = ew.true_div(ew.sub(slope[1:], slope[:-1]), both)
    return [
        ew.sub(slope[:1], ew.mul(bend[:1], before[:1])), inner, ew.add(slope[-1:], ew.mul(bend[-1:], after[-1:])),
    ]


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
        found = ew.true_div(s[..., -1], s[..., 0]) if p == -2 else ew.true_div(s[..., 0], s[..., -1])
        lost = ew.and_(ew.isnan(found), ew.invert(reductions.any(ew.isnan(as_expr(x)), axis=(-2, -1))))
        return ew.switch(lost, np.asarray(np.inf, found.type.dtype), found)  # 0 / 0
    return ew.mul(norm(x, p, axis=(-2, -1)), norm(matrix_inverse(x), p, axis=(-2, -1)))


def _eigvals(a: Any) -> Expr:
    from fuse.frontend.spectral import eig

    return eig(a)[0]


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Expr:
    from fuse.frontend.factors import norm

    return norm(x, ord, axis=(-2, -1), keepdims=keepdims)


SIGNALS: dict[Any, Callable[..., Any]] = {
    np.corrcoef: _corrcoef, np.digitize: _digitize, np.gradient: _gradient,
    np.quantile: _quantile(1), np.percentile: _quantile(100), np.nanquantile: _quantile(1, True),
    np.nanpercentile: _quantile(100, True), np.nanmedian: _nanmedian, np.correlate: _correlate, np.unwrap: _unwrap,
    np.geomspace: _geomspace, np.iscomplex: _iscomplex, np.isreal: lambda x: ew.invert(_iscomplex(x)),
    np.real_if_close: _real_if_close, np.linalg.cond: _cond, np.linalg.eigvals: _eigvals,
}

__all__ = ["SIGNALS", "matrix_norm", "svdvals"]
