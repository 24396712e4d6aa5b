"""Theano's ``sparse``: not part of fuse; ``enable_sparse`` says so to programs that ask."""
from fuse.internals import lookup as _lookup

enable_sparse = False
__getattr__ = _lookup(__name__)
