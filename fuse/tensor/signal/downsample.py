"""Theano's older path to pooling, ``tensor.signal.downsample``, with its order of arguments."""
from __future__ import annotations

from typing import Any

from fuse.expr import Expr
from fuse.frontend.pooling import max_pool_2d_same_size, pool_2d

__all__ = ["max_pool_2d", "max_pool_2d_same_size"]


def max_pool_2d(
    input: Any, ds: Any, ignore_border: bool | None = None, st: Any = None, padding: Any = (0, 0), mode: str = "max"
) -> Expr:
    """``tensor.signal.pool.pool_2d`` under its older name.

    >>> import fuse.tensor as T
    >>> max_pool_2d(T.tensor4("x"), (2, 2), ignore_border=True).type.ndim
    4
    """
    return pool_2d(input, ds, ignore_border, st, padding, mode)
