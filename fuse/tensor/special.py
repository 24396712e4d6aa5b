"""PyTensor's ``tensor.special``: softmax along any axis (a vector stays one), and functions of combinatorics."""
from fuse.frontend.composed import betaln as betaln
from fuse.frontend.composed import logit as logit
from fuse.frontend.incomplete import beta as beta
from fuse.frontend.incomplete import factorial as factorial
from fuse.frontend.incomplete import poch as poch
from fuse.frontend.softmax import log_softmax as log_softmax
from fuse.frontend.softmax import softmax as softmax
from fuse.frontend.special import xlog1py as xlog1py
from fuse.frontend.special import xlogy as xlogy
