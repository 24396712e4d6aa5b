"""Theano's ``compile.function_module``."""
from fuse.function import Function as Function
from fuse.function import function as function
from fuse.signature import In as In
from fuse.signature import Out as Out
