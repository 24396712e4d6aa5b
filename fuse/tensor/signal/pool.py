"""Theano's deep path to pooling: ``tensor.signal.pool``."""
from fuse.frontend.pooling import *
from fuse.frontend.pooling import __all__ as __all__
from fuse.internals import lookup as _lookup
from fuse.tensor.nnet.op_classes import AveragePoolGrad as AveragePoolGrad
from fuse.tensor.nnet.op_classes import DownsampleFactorMaxGradGrad as DownsampleFactorMaxGradGrad
from fuse.tensor.nnet.op_classes import MaxPoolGrad as MaxPoolGrad
from fuse.tensor.nnet.op_classes import Pool as Pool

__getattr__ = _lookup(__name__)
