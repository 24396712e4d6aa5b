"""Theano's ``gof.optdb``: here ``fuse.Mode`` says which rewrites run."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
