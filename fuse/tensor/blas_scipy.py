"""Theano's ``tensor.blas_scipy``: here products go through NumPy's BLAS."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
