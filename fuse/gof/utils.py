"""Theano's ``gof.utils``: the errors that programs catch, and the hash of a class."""
from fuse.errors import MethodNotDefined as MethodNotDefined
from fuse.errors import TestValueError as TestValueError


def hashtype(self: object) -> int:
    """A number that is the same for all objects of a class: for ``__hash__`` of ops without parameters.

    >>> hashtype(1) == hashtype(2) != hashtype("1")
    True
    """
    return hash(type(self).__name__) ^ hash(type(self).__module__)
