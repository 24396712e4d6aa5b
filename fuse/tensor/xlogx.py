"""Theano's ``tensor.xlogx``: x log x and x log y, 0 where x is 0.

``T.xlogx`` is a module in Theano and a function here: each has what people ask of the other.
"""
import sys as _sys
from types import ModuleType as _ModuleType

from fuse.frontend.elementwise import xlogx as xlogx
from fuse.frontend.elementwise import xlogy as xlogy
from fuse.frontend.elementwise import xlogy as xlogy0


class _Module(_ModuleType):
    __call__ = staticmethod(xlogx)


_sys.modules[__name__].__class__ = _Module
