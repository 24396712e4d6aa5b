"""Theano's ``tensor.type``: the type of tensors."""
from fuse.types import TensorType as TensorType
