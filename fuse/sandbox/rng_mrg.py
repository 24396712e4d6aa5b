"""Theano's ``sandbox.rng_mrg``."""
from fuse.frontend.random import MRG_RandomStreams
from fuse.internals import lookup as _lookup

MRG_RandomStream = MRG_RandomStreams
__all__ = ["MRG_RandomStreams"]

__getattr__ = _lookup(__name__)
