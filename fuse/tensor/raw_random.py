"""Theano's ``tensor.raw_random``: draws as functions of a generator's state; programs use the streams instead."""
from fuse.frontend.random import RandomStreams as RandomStreams
from fuse.internals import lookup as _lookup

__all__ = ["RandomStreams"]

__getattr__ = _lookup(__name__)
