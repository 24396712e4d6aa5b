"""Theano's ``gof.utils``: the errors that programs catch."""
from fuse.errors import MethodNotDefined as MethodNotDefined
from fuse.errors import TestValueError as TestValueError
