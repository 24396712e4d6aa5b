"""``compile.function.types``."""
from fuse.compiled import Function as Function
