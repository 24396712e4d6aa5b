"""Theano's ``tensor.slinalg``: linear algebra of SciPy."""
from fuse.frontend.decompositions import cholesky
from fuse.frontend.linalg import kron
from fuse.frontend.systems import solve, solve_triangular
from fuse.missing import borrowed as _borrowed

MATRIX_STRUCTURES = (
    "general", "symmetric", "lower_triangular", "upper_triangular", "hermitian", "banded", "diagonal", "toeplitz"
)
imported_scipy = True


def solve_lower_triangular(a, b):
    """The solution ``x`` of ``a x = b`` for a lower triangular ``a``."""
    return solve_triangular(a, b, lower=True)


def solve_upper_triangular(a, b):
    """The solution ``x`` of ``a x = b`` for an upper triangular ``a``."""
    return solve_triangular(a, b, lower=False)


_HOMES = {
    **dict.fromkeys(
        "block_diag cho_solve eigvalsh expm lu lu_factor lu_solve ordqz pivot_to_permutation qr qz schur "
        "solve_continuous_lyapunov solve_discrete_are solve_discrete_lyapunov solve_sylvester".split(),
        "fuse.tensor.linalg",
    ),
    **dict.fromkeys(
        "BlockDiagonal Cholesky CholeskyGrad CholeskySolve Eigvalsh EigvalshGrad Expm ExpmGrad KroneckerProduct Solve "
        "SolveBase SolveTriangular solve_symmetric".split(), "fuse.tensor.linalg_classes",
    ),
}
__getattr__ = _borrowed(__name__, _HOMES)

__all__ = [
    "MATRIX_STRUCTURES", "cholesky", "kron", "solve", "solve_lower_triangular", "solve_triangular",
    "solve_upper_triangular", *_HOMES,
]
