"""Theano's ``cpu_contiguous``: an array in C order, as ops of the user's own may need it."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.compile.ops import ViewOp
from fuse.frontend.apply import Apply

__all__ = ["CpuContiguous", "cpu_contiguous"]


class CpuContiguous(ViewOp):
    """The identity, whose result lies in C order.

    >>> import fuse.tensor as T
    >>> m = T.dmatrix("m")
    >>> cpu_contiguous(m.T).eval({m: np.ones((2, 3))}).flags.c_contiguous
    True
    """

    exact_types = True

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        output_storage[0][0] = np.ascontiguousarray(inputs[0]).reshape(np.shape(inputs[0]))


cpu_contiguous = CpuContiguous()
