"""Theano's ``scan_module.scan_opt``: here loops are made less by fuse.looping."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
