"""Theano's ``gof.vm``: here functions are compiled as a whole."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
