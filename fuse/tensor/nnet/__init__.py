"""Theano's ``tensor.nnet``: losses and activations."""
from fuse.frontend.nnet import *
from fuse.frontend.nnet import __all__ as __all__
from fuse.missing import no_attribute as _no_attribute
from fuse.tensor.nnet import nnet, sigm


def __getattr__(name: str) -> None:
    raise _no_attribute("fuse.tensor.nnet", name)
