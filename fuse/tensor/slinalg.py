"""Theano's ``tensor.slinalg``: linear algebra of SciPy."""
from typing import Any as _Any

from fuse.frontend.decompositions import cholesky
from fuse.frontend.linalg import kron
from fuse.frontend.systems import solve, solve_triangular
from fuse.missing import no_attribute as _no_attribute

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


_LATER = {
    **dict.fromkeys("block_diag eigvalsh expm qr".split(), "linalg"),
    **dict.fromkeys(
        "BlockDiagonal Cholesky CholeskyGrad Eigvalsh EigvalshGrad Expm ExpmGrad KroneckerProduct Solve "
        "SolveTriangular solve_symmetric".split(), "linalg_classes",
    ),
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise _no_attribute(__name__, name)
    from importlib import import_module

    globals()[name] = value = getattr(import_module(f"fuse.tensor.{_LATER[name]}"), name)
    return value


__all__ = [
    "MATRIX_STRUCTURES", "cholesky", "kron", "solve", "solve_lower_triangular", "solve_triangular",
    "solve_upper_triangular", *_LATER,
]
