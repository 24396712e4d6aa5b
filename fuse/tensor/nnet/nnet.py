"""Theano's deep path to the losses: ``tensor.nnet.nnet``."""
from fuse.frontend.nnet import *
from fuse.frontend.nnet import __all__ as __all__
