"""Theano's ``tensor.raw_random``: draws as functions of a generator's state; programs use the streams instead."""
from fuse.frontend.random import RandomStreams as RandomStreams

__all__ = ["RandomStreams"]
