"""PyTensor's ``breakpoint``."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
