"""Theano's ``gof.op``: the base class of a user's own ops."""
from fuse.frontend.class_op import Op as Op
from fuse.testvalues import get_test_value as get_test_value
