"""Library calls of a GPU program through CuPy, which brings cuBLAS, cuSOLVER and the rest: those in ``CALLS``.

CuPy is one well-kept package for all of them, takes and gives arrays without copies, and works on the stream that the
kernels use; nvmath-python would serve products alone. Where it is not installed these steps run on the host.

cuSOLVER says in a number beside its result whether that means anything, and CuPy looks at it where it is told to. Then
the host computes the call once more, for its own words, or for what else the op does with such a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np

from fuse.codegen import device
from fuse.codegen.cuda_array import DeviceArray, placed, to_device
from fuse.expr import Expr
from fuse.frontend import correlate as convolving
from fuse.frontend.decompositions import lapack_dtype
from fuse.frontend.systems import solve_columns
from fuse.types import COMPLEX, FLOATING, TupleType

COLUMNS = 1 << 28  # bytes of the windows that are gathered together
LEGACY = 1  # the stream of all launches
# For each op: its text over CuPy (cp), the arguments and the parameters of the node (p).
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "dot": lambda cp, a, p: cp.dot(*a),
    "matmul": lambda cp, a, p: cp.matmul(*a),
    "batched_dot": lambda cp, a, p: cp.matmul(*a),
    "det": lambda cp, a, p: cp.linalg.det(*a),
    "slogdet": lambda cp, a, p: cp.linalg.slogdet(*a),
    "matrix_inverse": lambda cp, a, p: cp.linalg.inv(*a),
    "solve": lambda cp, a, p: _solved(cp, *a),
    "cholesky": lambda cp, a, p: _cholesky(cp.linalg.cholesky, a[0], p["lower"]),
    "qr": lambda cp, a, p: cp.linalg.qr(*a, mode=p["mode"]),
    "qr_r": lambda cp, a, p: cp.linalg.qr(*a, mode="r"),
    "eigh": lambda cp, a, p: cp.linalg.eigh(*a, UPLO="L" if p["lower"] else "U"),
    "eigvalsh": lambda cp, a, p: cp.linalg.eigvalsh(*a, UPLO="L" if p["lower"] else "U"),
    "svd": lambda cp, a, p: cp.linalg.svd(*a, full_matrices=p["full_matrices"]),
    "svdvals": lambda cp, a, p: cp.linalg.svd(*a, compute_uv=False),
    "sort": lambda cp, a, p: cp.sort(_with_one_nan(cp, *a), axis=p["axis"]),
    "argsort": lambda cp, a, p: cp.argsort(*a, axis=p["axis"]),
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
_SORTS = ("sort", "argsort")
# cuSOLVER's, on operands in the dtype of NumPy's; those of which NumPy takes stacks of matrices, where CuPy may not.
_SOLVER = (
    "det", "slogdet", "matrix_inverse", "solve", "cholesky", "qr", "qr_r", "eigh", "eigvalsh", "svd", "svdvals",
)  # fmt: skip
_MATRICES = ("qr", "qr_r")
_SINGULAR_TOO = ("det", "slogdet")  # what is reported of singular matrices is no fault there


def _solved(cp: Any, a: Any, b: Any) -> Any:
    """The solution, of stacks that broadcast too: CuPy takes a matrix beside a stack for vectors."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if a.ndim > 2 or b.ndim > 2:
        a, b = [cp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (a, b)]
    return solve_columns(cp.linalg.solve, a, b)


def _cholesky(function: Callable[[Any], Any], x: Any, lower: bool) -> Any:
    """The factor of one triangle: the function reads the lower one."""
    return function(x) if lower else function(x.swapaxes(-1, -2).conj()).swapaxes(-1, -2).conj()


def _with_one_nan(cp: Any, x: Any) -> Any:
    """``x``, whose NaNs have no sign: CuPy sorts floats by their bits, negative ones first."""
    return cp.where(cp.isnan(x), cp.asarray(np.nan, x.dtype), x) if x.dtype.kind == "f" else x


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


def call_of(node: Expr) -> Callable[..., Any] | None:
    """What computes an op on the device through a library; None where nothing does."""
    name = node.op.name
    call = CALLS.get(name) if _is_served(node) else None
    cupy = _cupy() if call is not None else None
    if cupy is None or call is None:
        return None
    kind: Any = node.type
    several = isinstance(kind, TupleType)
    dtypes = [t.dtype for t in (kind.elements if several else (kind,))]
    params, found, solves = node.params, call, name in _SOLVER

    def run(*given: DeviceArray | int) -> Any:
        on = device.current()
        if solves and not all(a.size for a in given if isinstance(a, DeviceArray)):
            return on_host(*given)
        on.counts["library calls"] += 1
        with cupy.cuda.ExternalStream(LEGACY), _watched(name):  # whatever stream the caller works on
            arrays: list[Any] = [a if isinstance(a, int) else cupy.asarray(_Lent(a)) for a in given]
            if solves:
                work = lapack_dtype(*[a.type.dtype for a in node.args])
                arrays = [a.astype(work, copy=False) for a in arrays]
            try:
                made = found(cupy, arrays, params)
            except np.linalg.LinAlgError:
                return on_host(*given)
            results = [cupy.asarray(x, d) for x, d in zip(made if several else [made], dtypes, strict=True)]
        there = [placed(int(x.data.ptr), x.dtype, x.shape, x.strides, x, False) for x in results]
        return tuple(there) if several else there[0]

    def on_host(*given: DeviceArray | int) -> Any:
        device.current().counts["steps on the host"] += 1
        assert node.op.numpy is not None
        made = node.op.numpy(*[a if isinstance(a, int) else a.get() for a in given], **params)
        there = [to_device(np.asarray(x, d)) for x, d in zip(made if several else [made], dtypes, strict=True)]
        return tuple(there) if several else there[0]

    return run


def _is_served(node: Expr) -> bool:
    """Whether CuPy has an op for operands such as a node's."""
    name = node.op.name
    if name in _IN_FLOATS:
        return node.type.dtype in FLOATING
    if name in _SORTS:
        return node.args[0].type.dtype not in (*COMPLEX, "bool", "float16")
    return name not in _MATRICES or node.args[0].type.ndim == 2 and node.params.get("mode") != "raw"


def _watched(name: str) -> Any:
    """What has CuPy look at what cuSOLVER says of a result."""
    if name not in _SOLVER or name in _SINGULAR_TOO:
        return nullcontext()
    from cupyx import errstate

    return errstate(linalg="raise")


class _Lent:
    """An array for a call on the stream of the launches: without a stream in its interface nobody waits for that."""

    def __init__(self, array: DeviceArray) -> None:
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, "stream": None}
