"""Theano's ``tensor.signal.conv``: convolution of one image, or a stack, with one filter, or a stack."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import conv as _conv
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.padding import pad
from fuse.frontend.sizes import (
    as_size_expr,
    size_add,
    size_floordiv,
    size_max,
    size_min,
    size_sub,
    sizes_of,
    static_int,
)
from fuse.types import COMPLEX, promote

__all__ = ["conv2d", "convolve2d"]


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


def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0, method: str = "auto"
) -> Expr:
    """The convolution of two matrices, as ``scipy.signal.convolve2d``: 'full', 'valid' or 'same' (the size of ``in1``).

    Beyond its ends ``in1`` is ``fillvalue``, or goes on with ``boundary`` 'wrap' or 'symm'. Integers
    stay integers. Arrays with more axes are stacks of matrices. ``method`` makes no difference.
    Raises FuseValueError for other words, ShapeError for less than matrices.

    >>> convolve2d([[1.0, 2.0]], [[1.0, 10.0]], boundary="wrap").eval()
    array([[21., 12., 21.]])
    """
    x, w = as_expr(in1), as_expr(in2)
    if mode not in ("full", "valid", "same") or boundary not in _BOUNDARIES:
        raise FuseValueError(
            f"convolve2d has the modes full, valid, same and boundaries fill, wrap, symm; not {mode!r}, {boundary!r}"
        )
    if x.type.ndim < 2 or w.type.ndim < 2:
        raise ShapeError(f"convolve2d takes matrices, not a {x.type.describe()} and a {w.type.describe()}")
    if x.type.ndim > 2 or w.type.ndim > 2:
        from fuse.transforms.mapped import vectorize

        return vectorize(
            lambda a, b: convolve2d(a, b, mode, boundary, fillvalue), signature="(n,m),(k,l)->(p,q)"
        )(x, w)
    if mode != "valid" and (boundary != "fill" or static_int(fillvalue) != 0):
        around, kind = [(n, n) for n in [ew.sub(as_size_expr(n), 1) for n in sizes_of(w)]], _BOUNDARIES[boundary]
        whole = whole_convolution(x, w, lambda x: pad(x, around, kind, constant_values=fillvalue))
    else:
        whole = whole_convolution(x, w)
    return part_of_convolution(whole, mode, x, w)


def whole_convolution(x: Expr, w: Expr, padded: Callable[[Expr], Expr] | None = None) -> Expr:
    """The convolution of two matrices in their common dtype, of integers in integers.

    ``padded`` puts around the first one what stands there instead of zeros.
    """
    dtype = promote(x.type.dtype, w.type.dtype)
    if dtype in COMPLEX:
        raise FuseTypeError("convolve2d is of real numbers: convolve real and imaginary parts by themselves")
    work = "int64" if dtype == "bool" else dtype
    x, w = ew.cast(x, work), ew.cast(w, work)
    whole = conv2d(x, w, border_mode="full") if padded is None else conv2d(padded(x), w)
    return whole if work == dtype else ew.cast(whole, dtype)


def part_of_convolution(whole: Expr, mode: str, x: Expr, w: Expr) -> Expr:
    """What SciPy's ``mode`` keeps of the whole convolution of ``x`` and ``w``."""
    if mode == "full":
        return whole
    sizes = list(zip(sizes_of(x), sizes_of(w), strict=True))
    if mode == "same":
        starts = [size_floordiv(size_sub(m, 1), 2) for _, m in sizes]
        return whole[tuple([slice(a, size_add(a, n)) for a, (n, _) in zip(starts, sizes, strict=True)])]
    return whole[tuple([slice(size_sub(size_min(n, m), 1), size_max(n, m)) for n, m in sizes])]


_BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def __getattr__(name: str) -> Any:
    if name == "convolve1d":
        from fuse.tensor.newer import convolve1d

        return convolve1d
    raise AttributeError(f"module 'fuse.tensor.signal.conv' has no attribute {name!r}")
