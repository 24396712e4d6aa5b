"""Theano's ``tensor.sort``."""
from fuse.frontend.ranking import *  # noqa: F403
from fuse.frontend.sorting import *  # noqa: F403
