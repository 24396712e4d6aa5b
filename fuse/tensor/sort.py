"""Theano's ``tensor.sort``."""
from fuse.frontend.ranking import *
from fuse.frontend.sorting import *
from fuse.tensor.op_classes import ArgSortOp as ArgSortOp
from fuse.tensor.op_classes import SortOp as SortOp
from fuse.tensor.op_classes import TopKOp as TopKOp
