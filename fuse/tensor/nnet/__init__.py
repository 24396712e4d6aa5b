"""Theano's ``tensor.nnet``: losses and activations."""
from fuse.frontend.nnet import *
from fuse.frontend.nnet import __all__ as __all__
from fuse.tensor.nnet import nnet, sigm
