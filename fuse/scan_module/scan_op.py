"""Theano's ``scan_module.scan_op``: here ``fuse.scan`` makes loops."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
