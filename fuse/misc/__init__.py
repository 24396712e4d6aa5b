"""Theano's ``misc``: pickling of models."""
from fuse.misc import may_share_memory as may_share_memory
from fuse.misc import pkl_utils as pkl_utils
