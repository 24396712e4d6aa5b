"""Theano's older ``tensor.nnet.conv``: ``conv2d`` whose filters are always turned round."""
from __future__ import annotations

from typing import Any

from fuse.expr import Expr
from fuse.frontend import conv as _conv
from fuse.internals import lookup as _lookup

__all__ = ["conv2d"]


def conv2d(
    input: Any, filters: Any, image_shape: Any = None, filter_shape: Any = None, border_mode: str = "valid",
    subsample: Any = (1, 1), **older: Any,
) -> Expr:
    """``tensor.nnet.conv2d`` with the older order of arguments; what Theano took to tune its loops has no effect.

    Raises TypeError for unknown arguments.

    >>> import fuse.tensor as T
    >>> conv2d(T.tensor4("x"), T.tensor4("w"), (10, 1, 28, 28), (20, 1, 5, 5)).type.shape
    (10, 20, 24, 24)
    """
    tuning = {"unroll_batch", "unroll_kern", "unroll_patch", "openmp", "version", "verbose", "imshp_logical",
              "kshp_logical", "kshp_logical_top_aligned"}
    unknown = sorted(set(older) - tuning)
    if unknown:
        raise TypeError(f"conv2d got unexpected arguments: {', '.join(unknown)}")
    return _conv.conv2d(input, filters, image_shape, filter_shape, border_mode, subsample)

imported_scipy_signal = True  # Theano's tests ask; here it is installed in any case

__getattr__ = _lookup(__name__)
