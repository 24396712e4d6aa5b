"""Theano's ``tensor.extra_ops``."""
from fuse.frontend.axes import squeeze as squeeze
from fuse.frontend.extra_ops import *
from fuse.frontend.nnet import to_one_hot as to_one_hot
from fuse.frontend.rearrange import repeat as repeat
from fuse.frontend.scans import cumprod as cumprod
from fuse.frontend.scans import cumsum as cumsum
from fuse.frontend.selecting import compress as compress
from fuse.frontend.selecting import searchsorted as searchsorted
