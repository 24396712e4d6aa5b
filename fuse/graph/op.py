"""PyTensor's ``graph.op``: the base class of a user's own ops."""
from fuse.frontend.class_op import Op as Op
from fuse.internals import lookup as _lookup
from fuse.testvalues import get_test_value as get_test_value

__getattr__ = _lookup(__name__)
