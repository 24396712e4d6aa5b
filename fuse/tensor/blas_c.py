"""Theano's ``tensor.blas_c``: here products go through NumPy's BLAS."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
