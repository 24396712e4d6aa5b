"""``compile.function.types``."""
from fuse.compiled import Function as Function
from fuse.errors import UnusedInputError as UnusedInputError
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
