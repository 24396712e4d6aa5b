"""PyTensor's ``graph.op``: the base class of a user's own ops."""
from fuse.frontend.class_op import Op as Op
