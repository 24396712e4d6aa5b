"""Theano's smaller names of ``tensor.nnet.nnet``: gradients of the losses as formulas, a column put before a matrix."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import shape_padright
from fuse.frontend.creation import arange, ones, zeros_like
from fuse.frontend.indexing import inc_subtensor
from fuse.frontend.join import concatenate
from fuse.frontend.nnet import logsoftmax, softmax
from fuse.frontend.reductions import sum as sum_of

__all__ = [
    "CrossentropyCategorical1HotGrad", "CrossentropySoftmax1HotWithBiasDx", "Prepend_scalar_constant_to_each_row",
    "Prepend_scalar_to_each_row", "SoftmaxGrad", "crossentropy_softmax_1hot_with_bias_dx", "logsoftmax_op",
    "prepend_0_to_each_row", "prepend_1_to_each_row", "prepend_scalar_to_each_row", "softmax_grad",
    "softmax_graph", "softmax_op",
]

softmax_op, logsoftmax_op = softmax, logsoftmax


def softmax_graph(c: Any) -> Expr:
    """``softmax`` along the last axis.

    >>> softmax_graph([[0.0, 0.0]]).eval()
    array([[0.5, 0.5]])
    """
    return softmax(c, axis=-1)


def softmax_grad(dy: Any, sm: Any) -> Expr:
    """The gradient of ``softmax`` by its argument, from that by its result and the result ``sm``.

    >>> softmax_grad([[1.0, 0.0]], [[0.5, 0.5]]).eval()
    array([[ 0.25, -0.25]])
    """
    weighted = ew.mul(dy, sm)
    return ew.sub(weighted, ew.mul(sum_of(weighted, axis=-1, keepdims=True), sm))


def crossentropy_softmax_1hot_with_bias_dx(dy: Any, sm: Any, y_idx: Any) -> Expr:
    """The gradient of ``crossentropy_softmax_1hot_with_bias`` by ``x``, from that by the losses and the result ``sm``.

    >>> crossentropy_softmax_1hot_with_bias_dx([1.0], [[0.5, 0.5]], [0]).eval()
    array([[-0.5,  0.5]])
    """
    dy, sm, y_idx = as_expr(dy), as_expr(sm), as_expr(y_idx)
    whole = ew.mul(sm, shape_padright(dy) if dy.type.ndim else dy)
    return inc_subtensor(whole[arange(y_idx.shape[0]), y_idx], ew.neg(dy))


def _categorical_grad(g_y: Any, coding_dist: Any, true_one_of_n: Any) -> Expr:
    """The gradient of ``crossentropy_categorical_1hot`` by the distributions, from that by its result."""
    p, n = as_expr(coding_dist), as_expr(true_one_of_n)
    at = arange(n.shape[0]), n
    return inc_subtensor(zeros_like(p)[at], ew.neg(ew.true_div(as_expr(g_y), p[at])))


def CrossentropyCategorical1HotGrad() -> Callable[[Any, Any, Any], Expr]:
    """The function (gradient of the losses, distributions, indices) that gives the gradient of the distributions.

    >>> CrossentropyCategorical1HotGrad()([1.0], [[0.5, 0.5]], [0]).eval()
    array([[-2.,  0.]])
    """
    return _categorical_grad


def CrossentropySoftmax1HotWithBiasDx() -> Callable[[Any, Any, Any], Expr]:
    """The function ``crossentropy_softmax_1hot_with_bias_dx``."""
    return crossentropy_softmax_1hot_with_bias_dx


def SoftmaxGrad() -> Callable[[Any, Any], Expr]:
    """The function ``softmax_grad``."""
    return softmax_grad


def _prepended(val: Any, mat: Any) -> Expr:
    """``mat`` with a first column of ``val``."""
    mat = as_expr(mat)
    column = ew.mul(ones((mat.shape[0], 1), dtype=mat.type.dtype), ew.cast(as_expr(val), mat.type.dtype))
    return concatenate([column, mat], axis=1)


def Prepend_scalar_to_each_row() -> Callable[[Any, Any], Expr]:
    """The function (number, matrix) that gives the matrix with a first column of that number.

    >>> Prepend_scalar_to_each_row()(5.0, [[1.0], [2.0]]).eval()
    array([[5., 1.],
           [5., 2.]])
    """
    return _prepended


def Prepend_scalar_constant_to_each_row(val: Any = 0) -> Callable[[Any], Expr]:
    """The function that puts a first column of ``val`` before a matrix.

    >>> Prepend_scalar_constant_to_each_row(4.0)([[1.0]]).eval()
    array([[4., 1.]])
    """
    return lambda mat: _prepended(val, mat)


prepend_scalar_to_each_row = Prepend_scalar_to_each_row()
prepend_0_to_each_row, prepend_1_to_each_row = map(Prepend_scalar_constant_to_each_row, (0.0, 1.0))
