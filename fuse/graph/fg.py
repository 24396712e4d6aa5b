"""PyTensor's ``graph.fg``: graphs as objects."""
from fuse.frontend.graph import FunctionGraph as FunctionGraph
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
