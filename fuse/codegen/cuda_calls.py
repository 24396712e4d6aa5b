"""Library calls of a GPU program through CuPy, which brings cuBLAS, cuSOLVER and the rest: those in ``CALLS``.

CuPy is one well-kept package for all of them, takes and gives arrays without copies, and works on the stream that the
kernels use; nvmath-python would serve products alone. Where it is not installed these steps run on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fuse.codegen import device
from fuse.codegen.cuda_array import DeviceArray, placed
from fuse.expr import Expr
from fuse.frontend import correlate as convolving
from fuse.types import FLOATING

COLUMNS = 1 << 28  # bytes of the windows that are gathered together
LEGACY = 1  # the stream of all launches
# For each op: its text over CuPy (cp), the arguments and the parameters of the node (p).
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "dot": lambda cp, a, p: cp.dot(*a),
    "matmul": lambda cp, a, p: cp.matmul(*a),
    "batched_dot": lambda cp, a, p: cp.matmul(*a),
    "matrix_inverse": lambda cp, a, p: cp.linalg.inv(*a),
    "det": lambda cp, a, p: cp.linalg.det(*a),
    "solve": lambda cp, a, p: cp.linalg.solve(*a),
    "cumsum": lambda cp, a, p: cp.cumsum(*a, axis=p["axis"]),
    "cumprod": lambda cp, a, p: cp.cumprod(*a, axis=p["axis"]),
    "argmax": lambda cp, a, p: cp.argmax(*a, axis=p["axis"]),
    "argmin": lambda cp, a, p: cp.argmin(*a, axis=p["axis"]),
    "join": lambda cp, a, p: cp.concatenate(a, axis=p["axis"]),
    "correlate": lambda cp, a, p: convolving.correlated(*a, **p, xp=cp, room=COLUMNS),
    "correlate_wrt_input": lambda cp, a, p: convolving.correlated_wrt_input(*a, **p, xp=cp, room=COLUMNS),
    "correlate_wrt_filters": lambda cp, a, p: convolving.correlated_wrt_filters(*a, **p, xp=cp, room=COLUMNS),
}
_IN_FLOATS = ("correlate", "correlate_wrt_input", "correlate_wrt_filters")  # cuBLAS is for these alone


@cache
def _cupy() -> Any:
    """CuPy, or None where it is not installed or there is no GPU for it."""
    if device.current().simulated:
        return None
    try:
        import cupy
    except ImportError:
        return None
    return cupy


def call_of(node: Expr) -> Callable[..., DeviceArray] | None:
    """What computes an op on the device through a library; None where nothing does."""
    call = CALLS.get(node.op.name)
    if node.op.name in _IN_FLOATS and node.type.dtype not in FLOATING:
        return None
    cupy = _cupy() if call is not None else None
    if cupy is None or call is None:
        return None
    dtype, params, found = node.type.dtype, node.params, call

    def run(*given: DeviceArray | int) -> DeviceArray:
        on = device.current()
        on.counts["library calls"] += 1
        with cupy.cuda.ExternalStream(LEGACY):  # whatever stream the caller works on
            arrays = [a if isinstance(a, int) else cupy.asarray(_Lent(a)) for a in given]
            made = cupy.asarray(found(cupy, arrays, params), dtype)
        return placed(int(made.data.ptr), np.dtype(dtype), made.shape, made.strides, made, False)

    return run


class _Lent:
    """An array for a call on the stream of the launches: without a stream in its interface nobody waits for that."""

    def __init__(self, array: DeviceArray) -> None:
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, "stream": None}
