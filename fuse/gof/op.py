"""Theano's ``gof.op``: the base class of a user's own ops."""
from fuse.frontend.class_op import Op as Op
from fuse.gof import utils as utils
from fuse.internals import lookup as _lookup
from fuse.testvalues import debug_error_message as debug_error_message
from fuse.testvalues import get_debug_values as get_debug_values
from fuse.testvalues import get_test_value as get_test_value

PureOp = Op


__getattr__ = _lookup(__name__)
