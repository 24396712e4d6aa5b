"""PyTensor's ``graph.utils``: the errors that programs catch."""
from fuse.errors import MethodNotDefined as MethodNotDefined
from fuse.errors import MissingInputError as MissingInputError
from fuse.errors import TestValueError as TestValueError
from fuse.gof.utils import hashtype as hashtype
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
