"""Theano's ``gof.sched``: here ``toposort`` of a FunctionGraph orders applications."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
