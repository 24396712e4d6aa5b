"""Theano's ``tensor.slinalg``: linear algebra of SciPy."""
from fuse.frontend.decompositions import cholesky, solve, solve_triangular
from fuse.frontend.linalg import kron


def solve_lower_triangular(a, b):
    """The solution ``x`` of ``a x = b`` for a lower triangular ``a``."""
    return solve_triangular(a, b, lower=True)


def solve_upper_triangular(a, b):
    """The solution ``x`` of ``a x = b`` for an upper triangular ``a``."""
    return solve_triangular(a, b, lower=False)


__all__ = ["cholesky", "kron", "solve", "solve_lower_triangular", "solve_triangular", "solve_upper_triangular"]
