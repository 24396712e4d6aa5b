"""Theano's ``tensor.sort``."""
from fuse.frontend.ranking import *
from fuse.frontend.sorting import *
