"""Theano's deep path to the losses: ``tensor.nnet.nnet``."""
from fuse.frontend.nnet import *
from fuse.frontend.nnet import __all__ as __all__


def __getattr__(name):
    from fuse.tensor.nnet import op_classes

    if name in op_classes.__all__:
        return getattr(op_classes, name)
    raise AttributeError(f"module 'fuse.tensor.nnet.nnet' has no attribute {name!r}")
