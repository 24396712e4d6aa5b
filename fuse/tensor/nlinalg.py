"""Theano's ``tensor.nlinalg``: linear algebra of NumPy."""
from fuse.frontend.creation import diag
from fuse.frontend.decompositions import det, matrix_inverse, slogdet
from fuse.frontend.linalg import kron, matrix_dot, matrix_power, tensordot, trace

inv = matrix_inverse

__all__ = [
    "det", "diag", "inv", "kron", "matrix_dot", "matrix_inverse", "matrix_power", "slogdet", "tensordot", "trace",
]
