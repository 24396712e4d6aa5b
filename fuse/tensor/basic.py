"""Theano's ``tensor.basic``: everything of ``tensor``."""
from fuse.tensor import *  # noqa: F403
from fuse.tensor.elemwise import Join as Join
