"""Theano's ``misc``: pickling of models."""
from fuse.misc import pkl_utils as pkl_utils
