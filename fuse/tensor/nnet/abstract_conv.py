"""Theano's deep path to the convolutions: ``tensor.nnet.abstract_conv``."""
from fuse.frontend.conv import *
from fuse.frontend.conv import __all__ as __all__
