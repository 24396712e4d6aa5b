"""Theano's deep path to patches of images: ``tensor.nnet.neighbours``."""
from fuse.frontend.neighbours import *
from fuse.frontend.neighbours import __all__ as __all__
from fuse.tensor.nnet.op_classes import Images2Neibs as Images2Neibs
