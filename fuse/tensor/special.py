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


def __getattr__(name):
    if name in ("LogSoftmax", "Softmax"):  # classes that take the axis
        from fuse.tensor.op_classes import op_class

        make = {"LogSoftmax": log_softmax, "Softmax": softmax}[name]
        kind = {"LogSoftmax": "log_softmax", "Softmax": "softmax"}[name]
        globals()[name] = made = op_class(name, kind, lambda axis=None: lambda x: make(x, axis=axis))
        return made
    if name == "SoftmaxGrad":
        from fuse.internals import stand_in

        return stand_in(__name__, name, "use softmax and fuse.grad")
    raise AttributeError(f"module 'fuse.tensor.special' has no attribute {name!r}")
