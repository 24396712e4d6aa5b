"""Theano's ``gof.type``: the base of types."""
from fuse.types import TensorType as PureType
from fuse.types import TensorType as Type

__all__ = ["PureType", "Type"]
