"""Theano's ``compile.pfunc``: ``function`` under its older name."""
from __future__ import annotations

from typing import Any

from fuse.compiled import Function
from fuse.compiled import function as function
from fuse.signature import In as In
from fuse.signature import In as Param


def pfunc(params: Any, outputs: Any = None, **options: Any) -> Function:
    """The function of ``params``: what ``fuse.function`` makes, with the same options.

    >>> import fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(pfunc([x], x + 1)(1.0))
    2.0
    """
    return function(params, outputs, **options)


__all__ = ["In", "Param", "function", "pfunc"]
