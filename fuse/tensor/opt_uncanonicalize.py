"""Theano's ``tensor.opt_uncanonicalize``: here rules are in tables of their own."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
