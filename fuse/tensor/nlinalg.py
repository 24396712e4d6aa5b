"""Theano's ``tensor.nlinalg``: linear algebra of NumPy."""
from typing import Any as _Any

from fuse.frontend.creation import diag
from fuse.frontend.decompositions import det, matrix_inverse, slogdet
from fuse.frontend.linalg import kron, matrix_dot, matrix_power, tensordot, trace
from fuse.missing import no_attribute as _no_attribute

inv = matrix_inverse

_LATER = {
    **dict.fromkeys("eig eigh einsum extract_diag norm pinv qr svd tensorinv tensorsolve".split(), "linalg"),
    **dict.fromkeys(
        "AllocDiag Det Eig Eigh EighGrad ExtractDiag MatrixInverse MatrixPinv QRFull QRIncomplete SLogDet SVD "
        "TensorInv TensorSolve _zero_disconnected alloc_diag lstsq".split(), "linalg_classes",
    ),
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise _no_attribute(__name__, name)
    from importlib import import_module

    globals()[name] = value = getattr(import_module(f"fuse.tensor.{_LATER[name]}"), name)
    return value


__all__ = [
    "det", "diag", "inv", "kron", "matrix_dot", "matrix_inverse", "matrix_power", "slogdet", "tensordot", "trace",
    *(name for name in _LATER if not name.startswith("_")),
]
