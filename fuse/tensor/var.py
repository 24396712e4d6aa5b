"""Theano's ``tensor.var``: the classes of variables."""
from __future__ import annotations

from fuse.expr import Constant, Expr, TensorVariable
from fuse.frontend.shared import SharedVariable

__all__ = [
    "Constant", "DenseTensorConstant", "DenseTensorVariable", "TensorConstant", "TensorSharedVariable",
    "TensorVariable", "Variable",
]

Variable = Expr
DenseTensorVariable = TensorVariable
TensorConstant = DenseTensorConstant = Constant
TensorSharedVariable = SharedVariable
