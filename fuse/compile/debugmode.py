"""Theano's ``compile.debugmode``."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.errors import DebugModeError as DebugModeError
from fuse.internals import lookup as _lookup
from fuse.mode import DebugMode as DebugMode

# Theano tells apart what DebugMode found; here all of it is this error, which its names catch.
BadCLinkerOutput = BadDestroyMap = BadOptimization = BadThunkOutput = BadViewMap = DebugModeError
InvalidValueError = StochasticOrder = DebugModeError


def str_diagnostic(expected: Any, value: Any, rtol: Any, atol: Any) -> str:
    """How two arrays differ, as text.

    >>> print(str_diagnostic([1.0, 2.0], [1.0, 2.5], 0.1, None))
    expected: shape (2,), dtype float64; value: shape (2,), dtype float64
    largest difference 0.5, largest relative difference 0.2; rtol 0.1, atol None
    """
    a, b = np.asarray(expected), np.asarray(value)
    text = f"expected: shape {a.shape}, dtype {a.dtype}; value: shape {b.shape}, dtype {b.dtype}"
    if a.shape == b.shape and a.size:
        apart = np.abs(a - b)
        relative = apart / np.maximum(np.maximum(np.abs(a), np.abs(b)), np.finfo(float).tiny)
        text += f"\nlargest difference {apart.max()}, largest relative difference {relative.max()}"
        text += f"; rtol {rtol}, atol {atol}"
    return text


__getattr__ = _lookup(__name__)
