"""PyTensor's ``compile.maker``."""
from fuse.compiled import function as function
from fuse.errors import UnusedInputError as UnusedInputError
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
