"""Theano's deep path to the losses: ``tensor.nnet.nnet``."""
from fuse.frontend.nnet import *
from fuse.frontend.nnet import __all__ as __all__
from fuse.internals import lookup as _lookup


def __getattr__(name):
    from fuse.tensor.nnet import op_classes

    if name in op_classes.__all__:
        return getattr(op_classes, name)
    from fuse.tensor.nnet import smaller

    if name in smaller.__all__:
        return getattr(smaller, name)
    return _lookup(__name__)(name)
