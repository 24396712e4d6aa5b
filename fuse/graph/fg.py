"""PyTensor's ``graph.fg``: graphs as objects."""
from fuse.errors import MissingInputError as MissingInputError
from fuse.frontend.fgraph import FunctionGraph as FunctionGraph
from fuse.frontend.fgraph import Output as Output
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
