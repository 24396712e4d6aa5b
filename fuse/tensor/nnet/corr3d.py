"""Theano's ``tensor.nnet.corr3d``: here ``conv3d`` serves."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
