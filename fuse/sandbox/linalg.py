"""Theano's ``sandbox.linalg``."""
from fuse.tensor.nlinalg import det, diag, matrix_dot, matrix_inverse, trace
from fuse.tensor.slinalg import cholesky, solve

__all__ = ["cholesky", "det", "diag", "matrix_dot", "matrix_inverse", "solve", "trace"]
