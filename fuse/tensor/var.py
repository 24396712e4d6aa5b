"""Theano's ``tensor.var``: the classes of variables."""
from fuse.expr import Constant as Constant
from fuse.expr import Constant as DenseTensorConstant
from fuse.expr import Constant as TensorConstant
from fuse.expr import Expr as DenseTensorVariable
from fuse.expr import Expr as TensorVariable
from fuse.expr import Expr as Variable
from fuse.frontend.shared import SharedVariable as TensorSharedVariable

__all__ = [
    "Constant", "DenseTensorConstant", "DenseTensorVariable", "TensorConstant", "TensorSharedVariable",
    "TensorVariable", "Variable",
]
