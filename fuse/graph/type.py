"""PyTensor's ``graph.type``: the base of types."""
from fuse.types import TensorType

Type = TensorType
