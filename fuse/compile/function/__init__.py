"""``compile.function`` as a module."""
from fuse.compile.function import types as types
from fuse.compiled import function as function
