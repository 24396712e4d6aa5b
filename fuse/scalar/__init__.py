"""Theano's ``scalar``: names that programs use from there; scalars are 0-d expressions here."""
from fuse.scalar import basic as basic
from fuse.scalar.basic import *
from fuse.scalar.basic import __all__ as __all__
