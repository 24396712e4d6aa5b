"""Theano's deep path to the sigmoids: ``tensor.nnet.sigm``."""
from fuse.frontend.nnet import hard_sigmoid, sigmoid, softplus, ultra_fast_sigmoid
from fuse.internals import lookup as _lookup

__all__ = ["hard_sigmoid", "sigmoid", "softplus", "ultra_fast_sigmoid"]

__getattr__ = _lookup(__name__)
