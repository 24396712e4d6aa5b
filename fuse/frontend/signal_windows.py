"""Windows of signal processing."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import iota
from fuse.frontend.sizes import as_size, size_max, size_sub

__all__ = ["bartlett"]


def bartlett(M: Any) -> Expr:
    """The triangle of ``M`` points that is 0 at its ends, as ``numpy.bartlett``.

    Raises FuseTypeError for an array.

    >>> bartlett(5).eval()
    array([0. , 0.5, 1. , 0.5, 0. ])
    """
    if getattr(getattr(M, "type", None), "ndim", 0):
        raise FuseTypeError("bartlett takes a number of points, not an array")
    n = size_max(as_size(M, "the number of points"), 0)
    at = ew.cast(iota(n), "float64")
    last = ew.cast(ew.maximum(constant(1, dtype="int64"), size_sub(n, 1)), "float64")
    one, two = constant(1, dtype="int8"), constant(2, dtype="int8")
    inner = ew.sub(one, ew.abs(ew.sub(ew.true_div(ew.mul(two, at), last), one)))
    return ew.switch(ew.eq(n, 1), ew.fill(inner, constant(1.0)), inner)
