"""PyTensor's ``compile.executor``."""
from fuse.compiled import Function as Function
