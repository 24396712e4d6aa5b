"""Theano's ``misc.safe_asarray``: an array of exactly the dtype asked for."""
from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["_asarray"]


def _asarray(a: Any, dtype: Any, order: Any = None) -> Any:
    """``numpy.asarray`` with a dtype that has to be given; 'floatX' stands for ``config.floatX``.

    >>> _asarray([1, 2], "int8").dtype
    dtype('int8')
    """
    if str(dtype) == "floatX":
        from fuse.config import config

        dtype = config.floatX
    return np.asarray(a, dtype=dtype, order=order)
