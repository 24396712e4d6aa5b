"""PyTensor's ``graph.type``: the base of types."""
from fuse.internals import lookup as _lookup
from fuse.typebase import Type as Type

__getattr__ = _lookup(__name__)
