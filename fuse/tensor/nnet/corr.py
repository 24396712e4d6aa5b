"""Theano's ``tensor.nnet.corr``: here ``conv2d`` serves."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
