"""PyTensor's ``tensor.variable``: the classes of variables."""
from fuse.tensor.var import *
