"""Theano's ``tensor.signal.conv``: convolution of one image, or a stack, with one filter, or a stack."""
from __future__ import annotations

from typing import Any

from fuse.errors import ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import conv as _conv
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.sizes import sizes_of

__all__ = ["conv2d"]


def conv2d(
    input: Any, filters: Any, image_shape: Any = None, filter_shape: Any = None, border_mode: str = "valid",
    subsample: Any = (1, 1), **older: Any,
) -> Expr:
    """Every image convolved with every filter: both are matrices or stacks (rank 3) of them.

    The result has an axis for the images if ``input`` has one, then one for the filters if ``filters`` has one.
    Raises ShapeError for other ranks than 2 and 3.

    >>> import fuse.tensor as T
    >>> x, w = T.matrix("x"), T.matrix("w")
    >>> conv2d(x, w).eval({x: [[1.0, 2.0, 3.0]], w: [[1.0, 10.0]]})
    array([[12., 23.]])
    """
    x, w = as_expr(input), as_expr(filters)
    for value, what in ((x, "the input"), (w, "the filters")):
        if value.type.ndim not in (2, 3):
            raise ShapeError(f"signal.conv2d takes matrices or stacks of them; {what} is a {value.type.describe()}")
    images = dimshuffle(x, 0, "x", 1, 2) if x.type.ndim == 3 else dimshuffle(x, "x", "x", 0, 1)
    bank = dimshuffle(w, 0, "x", 1, 2) if w.type.ndim == 3 else dimshuffle(w, "x", "x", 0, 1)
    out = _conv.conv2d(images, bank, border_mode=border_mode, subsample=subsample)
    sizes = sizes_of(out)
    kept = [sizes[0]] * (x.type.ndim == 3) + [sizes[1]] * (w.type.ndim == 3) + [*sizes[2:]]
    return reshape(out, tuple(kept), ndim=len(kept))


def __getattr__(name: str) -> Any:
    if name == "convolve1d":
        from fuse.tensor.newer import convolve1d

        return convolve1d
    raise AttributeError(f"module 'fuse.tensor.signal.conv' has no attribute {name!r}")
