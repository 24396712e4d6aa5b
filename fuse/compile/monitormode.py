"""Theano's ``compile.monitormode``: functions of the user's own around every operation."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.mode import MonitorMode as MonitorMode


def detect_nan(i: int, node: Any, fn: Any) -> None:
    """A ``post_func`` that prints an operation whose results have NaN, with its inputs and outputs.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> f = fuse.function([x], T.log(x), mode=MonitorMode(post_func=detect_nan))
    >>> _ = f(-1.0)  # doctest: +ELLIPSIS
    *** NaN detected ***
    ...
    """
    from fuse.printing import debugprint

    for output in fn.outputs:
        if np.isnan(output[0]).any():
            print("*** NaN detected ***")
            debugprint(node)
            print(f"Inputs : {[cell[0] for cell in fn.inputs]}")
            print(f"Outputs: {[cell[0] for cell in fn.outputs]}")
            break
