"""Theano's ``tensor.type_other``: None and slices as symbolic values; here they are Python's own."""
from fuse.internals import lookup as _lookup

NoneConst = None
__all__ = ["MakeSlice", "NoneConst", "make_slice"]


def make_slice(start: object = None, stop: object = None, step: object = None) -> slice:
    """Python's slice: its parts may be expressions.

    >>> make_slice(1, 2)
    slice(1, 2, None)
    """
    if isinstance(start, slice):
        return start
    return slice(start, stop, step)


MakeSlice = lambda: make_slice  # noqa: E731

__getattr__ = _lookup(__name__)
