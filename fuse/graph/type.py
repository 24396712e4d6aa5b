"""PyTensor's ``graph.type``: the base of types."""
from fuse.typebase import Type as Type
