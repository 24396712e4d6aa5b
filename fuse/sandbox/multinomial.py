"""Theano's ``sandbox.multinomial``: here the streams draw."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
