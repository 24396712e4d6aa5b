"""PyTensor's ``tensor.variable``: there constants and shared variables are tensor variables too."""
from fuse.expr import Expr
from fuse.tensor.var import *

DenseTensorVariable = TensorVariable = Expr  # type: ignore[misc]
