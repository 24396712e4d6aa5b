"""Theano's ``gof.fg``: graphs as objects, and the error of a missing input."""
from fuse.errors import MissingInputError as MissingInputError
from fuse.frontend.fgraph import FunctionGraph as FunctionGraph
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
