"""Interpolation between known points: ``interp``."""
from __future__ import annotations

from typing import Any

from fuse.errors import ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.join import join
from fuse.frontend.selecting import searchsorted
from fuse.frontend.sizes import as_size_expr, sizes_of
from fuse.frontend.sorting import argsort


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Expr:
    """The straight lines between the points (``xp``, ``fp``) at ``x``, which may have any shape (``numpy.interp``).

    The vector ``xp`` increases. Below its first and above its last element the value is ``left`` and ``right``, by
    default that of the point there. With a ``period`` the points, in any order, repeat, and ``left`` and ``right`` mean
    nothing. Differentiable in ``x``, ``xp`` and ``fp``; at a point of ``xp`` the slope is that of the line after it.

    Raises ShapeError for points that are no vectors.

    >>> import fuse.tensor as T
    >>> x = T.vector("x")
    >>> interp(x, [0.0, 1.0, 3.0], [0.0, 10.0, 0.0]).eval({x: [0.5, 2.0, 9.0]})
    array([5., 5., 0.])
    """
    x, xp, fp = map(as_expr, (x, xp, fp))
    for name, points in (("xp", xp), ("fp", fp)):
        if points.type.ndim != 1:
            raise ShapeError(f"interp takes vectors of points, not {name}: {points.type.describe()}")
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
    inside = fp[i] + (fp[after] - fp[i]) / ew.switch(ew.eq(gap, 0), 1, gap) * (x - xp[i])
    low = inside if left is None and period is not None else ew.switch(
        ew.lt(x, xp[0]), fp[0] if left is None else left, inside
    )
    top = fp[last] if right is None else right
    out = ew.switch(ew.gt(x, xp[last]), top, ew.switch(ew.eq(x, xp[last]), fp[last], low))
    return ew.switch(ew.isnan(x), x, out)


__all__ = ["interp"]
