"""Theano's ``tensor.shared_randomstreams``."""
from fuse.frontend.random import RandomStreams
from fuse.internals import lookup as _lookup

__all__ = ["RandomStreams"]

__getattr__ = _lookup(__name__)
