"""Theano's ``tensor.fourier``: the discrete Fourier transform along one axis, in complex128."""
from __future__ import annotations

from typing import Any

from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.fourier import fft as _transform
from fuse.frontend.lazy import by_axis
from fuse.frontend.sizes import static_int
from fuse.tensor.op_classes import op_class as _op_class

__all__ = ["Fourier", "fft"]


def fft(a: Any, n: Any = None, axis: Any = None) -> Expr:
    """The transform of ``a`` along ``axis`` (None: the last), cut or filled with zeros to ``n`` elements.

    The axis may be known at run time only.

    Raises ShapeError where there is no such axis.

    >>> fft([1.0, 1.0], 4).eval()
    array([2.+0.j, 1.-1.j, 0.+0.j, 1.+1.j])
    """
    if isinstance(axis, Expr) and static_int(axis) is None:
        a = as_expr(a)
        return by_axis(axis, a.type.ndim, lambda k: fft(a, n, k), "fft")
    return ew.cast(_transform(a, n, -1 if axis is None else axis), "complex128")


Fourier = _op_class("Fourier", "fourier", lambda: fft)
