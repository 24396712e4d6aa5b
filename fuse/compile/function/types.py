"""``compile.function.types``."""
from fuse.function import Function as Function
