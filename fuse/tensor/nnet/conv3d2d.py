"""Theano's ``tensor.nnet.conv3d2d``: convolution in three dimensions with time before the channels."""
from __future__ import annotations

from typing import Any

from fuse.expr import Expr, as_expr
from fuse.frontend import conv as _conv
from fuse.frontend.layout import dimshuffle
from fuse.internals import lookup as _lookup

__all__ = ["conv3d"]


def conv3d(
    signals: Any, filters: Any, signals_shape: Any = None, filters_shape: Any = None, border_mode: Any = "valid"
) -> Expr:
    """``signals`` (batch, time, channels, rows, columns) convolved with ``filters`` (filters, time, channels, rows,
    columns), filters turned round; ``border_mode`` is 'valid', 'full', 'half', or one of them for each spatial axis.

    >>> import fuse.tensor as T
    >>> conv3d(T.tensor5("x"), T.tensor5("w")).type.ndim
    5
    """
    order = (0, 2, 1, 3, 4)
    of_x, of_w = [None if s is None else tuple([s[i] for i in order]) for s in (signals_shape, filters_shape)]
    x, w = [dimshuffle(as_expr(a), *order) for a in (signals, filters)]
    return dimshuffle(_conv.conv3d(x, w, of_x, of_w, border_mode), *order)

__getattr__ = _lookup(__name__)
