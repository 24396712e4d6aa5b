"""Theano's ``gof.params_type``: parameters of C code, which is not used."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
