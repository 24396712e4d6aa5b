"""Theano's ``misc.may_share_memory``: whether two arrays may overlap."""
from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["may_share_memory"]


def may_share_memory(a: Any, b: Any, raise_other_type: bool = True) -> bool:
    """Whether the bounds of two arrays overlap; TypeError for what is no array, unless that is to be False.

    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> may_share_memory(x, x[:2]), may_share_memory(x, x.copy())
    (True, False)
    """
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        if raise_other_type:
            raise TypeError(f"may_share_memory compares arrays, not {type(a).__name__} and {type(b).__name__}")
        return False
    return np.may_share_memory(a, b)
