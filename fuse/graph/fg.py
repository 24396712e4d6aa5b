"""PyTensor's ``graph.fg``: graphs as objects."""
from fuse.frontend.graph import FunctionGraph as FunctionGraph
