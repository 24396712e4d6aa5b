"""Theano's ``gradient`` module: every name that has to do with derivatives, in one place."""
from typing import Any as _Any

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
from fuse.tensor.op_classes import op_class as _op_class


def format_as(use_list: bool, use_tuple: bool, outputs: _Any) -> _Any:
    """``outputs`` (an expression or several) as a list, a tuple, or the only one of them.

    >>> format_as(False, True, ["gradient"])
    ('gradient',)
    """
    found = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    if use_list:
        return found
    if use_tuple:
        return tuple(found)
    if len(found) != 1:
        raise ValueError(f"{len(found)} results are no single one")
    return found[0]


def sparse_grad(var: _Any) -> _Any:
    """``var``: Theano keeps the gradient of such a selection of rows sparse; here gradients are dense.

    >>> import fuse.tensor as T
    >>> x, i = T.dmatrix("x"), T.lvector("i")
    >>> sparse_grad(x[i]) is x[i]
    True
    """
    return var


disconnected_type = DisconnectedType()
pullback, pushforward = Lop, Rop  # as PyTensor calls them
pushforward_through_pullback = Rop  # the same numbers; fuse takes the shorter way
# Theano's ops by name, and their classes.
consider_constant_, zero_grad_, disconnected_grad_ = consider_constant, zero_grad, disconnected_grad


UndefinedGrad = _op_class("UndefinedGrad", "undefined_grad", lambda: undefined_grad)
GradClip = _op_class("GradClip", "grad_clip", lambda lower, upper: lambda x: grad_clip(x, lower, upper))
GradScale = _op_class("GradScale", "grad_scale", lambda multiplier: lambda x: grad_scale(x, multiplier))
ConsiderConstant = _op_class("ConsiderConstant", "consider_constant", lambda: consider_constant)
ZeroGrad = _op_class("ZeroGrad", "zero_grad", lambda: zero_grad)
DisconnectedGrad = _op_class("DisconnectedGrad", "disconnected_grad", lambda: disconnected_grad)


__all__ = [
    "DisconnectedInputError", "DisconnectedType", "GradientError", "Lop", "NullType", "NullTypeGradError", "Rop",
    "consider_constant", "disconnected_grad", "grad", "grad_clip", "grad_not_implemented", "grad_scale",
    "grad_undefined", "hessian", "hessian_vector_product", "jacobian", "numeric_grad", "stop_gradient",
    "subgraph_grad", "undefined_grad", "verify_grad", "zero_grad",
]
