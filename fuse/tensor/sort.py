"""Theano's ``tensor.sort``."""
from fuse.frontend.ranking import *
from fuse.frontend.sorting import *
from fuse.missing import borrowed as _borrowed

__getattr__ = _borrowed(__name__, dict.fromkeys(("ArgSortOp", "SortOp", "TopKOp"), "fuse.tensor.op_classes"))
