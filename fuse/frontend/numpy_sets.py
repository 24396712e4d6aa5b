"""NumPy's functions of sets, which are vectors of distinct elements in rising order."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.expr import Expr, as_expr
from fuse.frontend import axes, join, reductions, sorting
from fuse.frontend import elementwise as ew
from fuse.types import promote


def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False) -> Expr:
    """Whether each element is one of ``test_elements``."""
    element, tests = as_expr(element), axes.ravel(as_expr(test_elements))
    found = reductions.any(ew.eq(axes.shape_padright(element), tests), axis=-1)
    return ew.invert(found) if invert else found


def _pair(ar1: Any, ar2: Any, distinct: bool = False) -> tuple[Expr, Expr]:
    x, y = axes.ravel(as_expr(ar1)), axes.ravel(as_expr(ar2))
    dtype = promote(x.type.dtype, y.type.dtype)
    x, y = ew.cast(x, dtype), ew.cast(y, dtype)
    return (x, y) if distinct else (sorting.unique(x), sorting.unique(y))


def _union1d(ar1: Any, ar2: Any) -> Expr:
    return sorting.unique(join.concatenate(_pair(ar1, ar2, True)))


def _intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Expr:
    x, y = _pair(ar1, ar2, assume_unique)
    return sorting.sort(x[isin(x, y)]) if assume_unique else x[isin(x, y)]


def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Expr:
    x = axes.ravel(as_expr(ar1))
    x = x if assume_unique else sorting.unique(x)
    return x[isin(x, ar2, invert=True)]


def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Expr:
    x, y = _pair(ar1, ar2, assume_unique)
    return sorting.sort(join.concatenate([x[isin(x, y, invert=True)], y[isin(y, x, invert=True)]]))


SETS: dict[Any, Callable[..., Any]] = {
    np.isin: isin, np.union1d: _union1d, np.intersect1d: _intersect1d, np.setdiff1d: _setdiff1d,
    np.setxor1d: _setxor1d,
}

__all__ = ["SETS", "isin"]
