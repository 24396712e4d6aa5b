"""Theano's deep path to the convolutions: ``tensor.nnet.abstract_conv``."""
from fuse.frontend.conv import *
from fuse.frontend.conv import __all__ as __all__
from fuse.internals import lookup as _lookup
from fuse.tensor.nnet.op_classes import AbstractConv2d as AbstractConv2d
from fuse.tensor.nnet.op_classes import AbstractConv2d_gradInputs as AbstractConv2d_gradInputs
from fuse.tensor.nnet.op_classes import AbstractConv2d_gradWeights as AbstractConv2d_gradWeights
from fuse.tensor.nnet.op_classes import AbstractConv3d as AbstractConv3d
from fuse.tensor.nnet.op_classes import AbstractConv3d_gradInputs as AbstractConv3d_gradInputs
from fuse.tensor.nnet.op_classes import AbstractConv3d_gradWeights as AbstractConv3d_gradWeights

imported_scipy_signal = True  # Theano's tests ask; here it is installed in any case

__getattr__ = _lookup(__name__)
