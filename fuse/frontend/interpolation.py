"""Interpolation between known points: ``interp``."""
from __future__ import annotations

from typing import Any

from fuse.errors import ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import specify_shape
from fuse.frontend.join import join
from fuse.frontend.selecting import searchsorted
from fuse.frontend.sizes import as_size_expr, sizes_of
from fuse.frontend.sorting import argsort
from fuse.types import DISCRETE, promote, real_of


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Expr:
    """The straight lines between the points (``xp``, ``fp``) at ``x``, which may have any shape (``numpy.interp``).

    The vector ``xp`` increases. Below its first and above its last element the value is ``left`` and ``right``, by
    default that of the point there. With a ``period`` the points, in any order, repeat, and ``left`` and ``right`` mean
    nothing. Differentiable in ``x``, ``xp`` and ``fp``; at a point of ``xp`` the slope is that of the line after it.
    Integers count as float64.

    Raises ShapeError for points that are no vectors, or not as many in one as in the other.

    >>> import fuse.tensor as T
    >>> x = T.vector("x")
    >>> interp(x, [0.0, 1.0, 3.0], [0.0, 10.0, 0.0]).eval({x: [0.5, 2.0, 9.0]})
    array([5., 5., 0.])
    """
    x, xp, fp = map(as_expr, (x, xp, fp))
    for name, points in (("xp", xp), ("fp", fp)):
        if points.type.ndim != 1:
            raise ShapeError(f"interp takes vectors of points, not {name}: {points.type.describe()}")
    x, xp, fp = _floating(x, xp, fp)
    fp = specify_shape(fp, sizes_of(xp))
    if period is not None:
        period = abs(as_expr(period))
        x, xp = ew.mod(x, period), ew.mod(xp, period)
        order = argsort(xp)
        xp, fp = xp[order], fp[order]
        xp, fp = join(0, xp[-1:] - period, xp, xp[:1] + period), join(0, fp[-1:], fp, fp[:1])
    last = as_size_expr(sizes_of(xp)[0]) - 1
    i = ew.clip(searchsorted(xp, x.ravel(), side="right") - 1, 0, ew.maximum(last - 1, 0))
    i = ew.cast(i, "int64").reshape(sizes_of(x)) if x.type.ndim != 1 else ew.cast(i, "int64")
    after = ew.minimum(i + 1, last)  # of a single point itself
    gap = xp[after] - xp[i]
    slope = (fp[after] - fp[i]) / ew.switch(ew.eq(gap, 0), 1, gap)
    inside = fp[i] + slope * (x - xp[i])
    # An infinite point makes NaN of what is finite, or infinite: on the point itself, and seen from the other end.
    other = fp[after] + slope * (x - xp[after])
    other = ew.switch(ew.and_(ew.isnan(other), ew.eq(fp[i], fp[after])), fp[i], other)
    inside = ew.switch(ew.isnan(inside), ew.switch(ew.eq(x, xp[i]), fp[i], other), inside)
    low = inside if left is None and period is not None else ew.switch(
        ew.lt(x, xp[0]), fp[0] if left is None else left, inside
    )
    top = fp[last] if right is None else right
    out = ew.switch(ew.gt(x, xp[last]), top, ew.switch(ew.eq(x, xp[last]), fp[last], low))
    return ew.switch(ew.isnan(x), x, out)


def _floating(x: Expr, xp: Expr, fp: Expr) -> tuple[Expr, Expr, Expr]:
    """All three in one precision, in which their differences are exact where they can be; ``fp`` may be complex."""
    real = promote(x.type.dtype, xp.type.dtype, real_of(fp.type.dtype))
    real = "float64" if real in DISCRETE else real
    return ew.cast(x, real), ew.cast(xp, real), ew.cast(fp, promote(real, fp.type.dtype))


__all__ = ["interp"]
