"""Theano's ``tensor.elemwise``: classes of ops, for ``isinstance(node.op, Elemwise)``."""
from fuse.tensor.op_classes import All as All
from fuse.tensor.op_classes import Any_ as Any
from fuse.tensor.op_classes import CAReduce as CAReduce
from fuse.tensor.op_classes import CAReduceDtype as CAReduceDtype
from fuse.tensor.op_classes import DimShuffle as DimShuffle
from fuse.tensor.op_classes import Elemwise as Elemwise
from fuse.tensor.op_classes import Prod as Prod
from fuse.tensor.op_classes import ProdWithoutZeros as ProdWithoutZeros
from fuse.tensor.op_classes import Sum as Sum
