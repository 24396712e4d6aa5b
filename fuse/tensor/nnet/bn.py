"""Theano's deep path to batch normalisation: ``tensor.nnet.bn``."""
from fuse.frontend.batch_norm import *
from fuse.frontend.batch_norm import __all__ as __all__
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
