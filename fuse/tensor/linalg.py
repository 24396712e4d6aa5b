"""Linear algebra: products, systems, factors, eigenvalues and singular values; PyTensor's ``linalg``."""
from fuse.frontend.creation import diag
from fuse.frontend.decompositions import cholesky, det, matrix_inverse, slogdet
from fuse.frontend.einsum import einsum
from fuse.frontend.equations import (
    cho_solve,
    solve_continuous_lyapunov,
    solve_discrete_lyapunov,
    solve_sylvester,
)
from fuse.frontend.factors import (
    alloc_diag,
    block_diag,
    expm,
    extract_diag,
    lstsq,
    norm,
    qr,
    tensorinv,
    tensorsolve,
)
from fuse.frontend.linalg import kron, matrix_dot, matrix_power, tensordot, trace
from fuse.frontend.lu import lu, lu_factor, lu_solve, pivot_to_permutation
from fuse.frontend.schur import ordqz, qz, schur, solve_discrete_are
from fuse.frontend.spectral import eig, eigh, eigvalsh, pinv, svd
from fuse.frontend.systems import solve, solve_triangular
from fuse.missing import borrowed as _borrowed

inv = matrix_inverse
__getattr__ = _borrowed(__name__, dict.fromkeys(
    "BlockDiagonal Cholesky CholeskySolve Det Eig Eigh Eigvalsh Expm KroneckerProduct MatrixInverse MatrixPinv SLogDet "
    "SVD Solve SolveBase SolveTriangular TensorInv TensorSolve".split(), "fuse.tensor.linalg_classes",
))
__path__: list[str] = []  # PyTensor divides it into modules

__all__ = [
    "alloc_diag", "block_diag", "cho_solve", "cholesky", "det", "diag", "eig", "eigh", "eigvalsh", "einsum", "expm",
    "extract_diag", "inv", "kron", "lstsq", "lu", "lu_factor", "lu_solve", "matrix_dot", "matrix_inverse",
    "matrix_power", "norm", "ordqz", "pinv", "pivot_to_permutation", "qr", "qz", "schur", "slogdet", "solve",
    "solve_continuous_lyapunov", "solve_discrete_are", "solve_discrete_lyapunov", "solve_sylvester",
    "solve_triangular", "svd", "tensordot", "tensorinv", "tensorsolve", "trace",
]
