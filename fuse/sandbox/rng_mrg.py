"""Theano's ``sandbox.rng_mrg``."""
from fuse.frontend.random import MRG_RandomStreams

__all__ = ["MRG_RandomStreams"]
