"""Theano's ``gradient`` module: every name that has to do with derivatives, in one place."""
from fuse.autodiff.absent import DisconnectedType, NullType, grad_not_implemented, grad_undefined
from fuse.autodiff.check import numeric_grad, verify_grad
from fuse.autodiff.derived import hessian, hessian_vector_product, jacobian
from fuse.autodiff.forward import Rop
from fuse.autodiff.reverse import Lop, grad, subgraph_grad
from fuse.autodiff.stop import (
    consider_constant,
    disconnected_grad,
    grad_clip,
    grad_scale,
    stop_gradient,
    undefined_grad,
    zero_grad,
)
from fuse.errors import DisconnectedInputError, GradientError, NullTypeGradError

disconnected_type = DisconnectedType()
# Theano's ops by name, and their classes.
consider_constant_, zero_grad_, disconnected_grad_ = consider_constant, zero_grad, disconnected_grad


def GradClip(lower, upper):
    """The function ``grad_clip`` with these bounds."""
    return lambda x: grad_clip(x, lower, upper)


def GradScale(multiplier):
    """The function ``grad_scale`` with this factor."""
    return lambda x: grad_scale(x, multiplier)


__all__ = [
    "DisconnectedInputError", "DisconnectedType", "GradientError", "Lop", "NullType", "NullTypeGradError", "Rop",
    "consider_constant", "disconnected_grad", "grad", "grad_clip", "grad_not_implemented", "grad_scale",
    "grad_undefined", "hessian", "hessian_vector_product", "jacobian", "numeric_grad", "stop_gradient",
    "subgraph_grad", "undefined_grad", "verify_grad", "zero_grad",
]
