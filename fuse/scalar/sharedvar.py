"""Theano's ``scalar.sharedvar``: shared scalars are shared 0-d arrays here."""
from fuse.internals import lookup as _lookup

__getattr__ = _lookup(__name__)
