"""Theano's ``compile.function_module``."""
from fuse.compiled import Function as Function
from fuse.compiled import function as function
from fuse.errors import UnusedInputError as UnusedInputError
from fuse.internals import lookup as _lookup
from fuse.signature import In as In
from fuse.signature import Out as Out

__getattr__ = _lookup(__name__)
