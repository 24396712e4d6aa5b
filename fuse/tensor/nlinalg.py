"""Theano's ``tensor.nlinalg``: linear algebra of NumPy."""
from fuse.frontend.creation import diag
from fuse.frontend.decompositions import det, matrix_inverse, slogdet
from fuse.frontend.linalg import kron, matrix_dot, matrix_power, tensordot, trace
from fuse.missing import borrowed as _borrowed

inv = matrix_inverse

_HOMES = {
    **dict.fromkeys(
        "eig eigh einsum extract_diag norm pinv qr svd tensorinv tensorsolve".split(), "fuse.tensor.linalg"
    ),
    **dict.fromkeys(
        "AllocDiag Det Eig Eigh EighGrad ExtractDiag MatrixInverse MatrixPinv QRFull QRIncomplete SLogDet SVD "
        "TensorInv TensorSolve _zero_disconnected alloc_diag lstsq".split(), "fuse.tensor.linalg_classes",
    ),
}
__getattr__ = _borrowed(__name__, _HOMES)

__all__ = [
    "det", "diag", "inv", "kron", "matrix_dot", "matrix_inverse", "matrix_power", "slogdet", "tensordot", "trace",
    *(name for name in _HOMES if not name.startswith("_")),
]
