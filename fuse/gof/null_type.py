"""Theano's ``gof.null_type``: the type of a gradient that is not defined."""
from fuse.autodiff.absent import NullType as NullType

null_type = NullType()
