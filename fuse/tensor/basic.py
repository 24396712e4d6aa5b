"""Theano's ``tensor.basic``: everything of ``tensor``."""
from fuse.tensor import *
from fuse.tensor.elemwise import Join as Join
