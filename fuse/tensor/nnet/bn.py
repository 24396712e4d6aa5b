"""Theano's deep path to batch normalisation: ``tensor.nnet.bn``."""
from fuse.frontend.batch_norm import *
from fuse.frontend.batch_norm import __all__ as __all__
