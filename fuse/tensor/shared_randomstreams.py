"""Theano's ``tensor.shared_randomstreams``."""
from fuse.frontend.random import RandomStreams

__all__ = ["RandomStreams"]
