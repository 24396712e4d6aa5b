"""Theano's classes of ops of neural networks: to ask ``isinstance`` and to call with their parameters."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fuse.autodiff.forward import Rop
from fuse.autodiff.reverse import Lop
from fuse.expr import Expr, as_expr
from fuse.frontend import conv, neighbours, nnet, pooling
from fuse.tensor.op_classes import op_class
from fuse.types import FLOATING

__all__ = [
    "AbstractConv2d", "AbstractConv2d_gradInputs", "AbstractConv2d_gradWeights", "AbstractConv3d",
    "AbstractConv3d_gradInputs", "AbstractConv3d_gradWeights", "AveragePoolGrad", "CrossentropyCategorical1Hot",
    "CrossentropySoftmaxArgmax1HotWithBias", "DownsampleFactorMaxGradGrad", "Images2Neibs", "LogSoftmax", "MaxPoolGrad",
    "Pool", "Softmax", "SoftmaxWithBias",
]

Softmax = op_class("Softmax", "softmax", lambda: nnet.softmax)
LogSoftmax = op_class("LogSoftmax", "log_softmax", lambda: nnet.log_softmax)
SoftmaxWithBias = op_class("SoftmaxWithBias", "softmax", lambda: nnet.softmax_with_bias)
CrossentropySoftmaxArgmax1HotWithBias = op_class(
    "CrossentropySoftmaxArgmax1HotWithBias", "softmax_crossentropy",
    lambda **_: nnet.crossentropy_softmax_argmax_1hot_with_bias,
)
CrossentropyCategorical1Hot = op_class(
    "CrossentropyCategorical1Hot", "neg", lambda: nnet.crossentropy_categorical_1hot
)
Images2Neibs = op_class("Images2Neibs", "gather", lambda mode="valid": partial(neighbours.images2neibs, mode=mode))


def _pool(ignore_border: bool = False, mode: str = "max", ndim: int = 2, openmp: Any = None) -> Callable[..., Expr]:
    def build(x: Any, ws: Any, stride: Any = None, pad: Any = None) -> Expr:
        return pooling.pooled(ndim, x, ws, ignore_border, stride, pad, mode)

    return build


Pool = op_class("Pool", "largest_in_windows", _pool)


def _max_grad(ignore_border: bool = False, ndim: int = 2, openmp: Any = None) -> Callable[..., Expr]:
    def build(x: Any, maxout: Any, gz: Any, ws: Any, stride: Any = None, pad: Any = None) -> Expr:
        x = as_expr(x)
        return Lop(pooling.pooled(ndim, x, ws, ignore_border, stride, pad, "max"), x, gz)

    return build


def _average_grad(ignore_border: bool = False, mode: str = "average_inc_pad", ndim: int = 2) -> Callable[..., Expr]:
    def build(x: Any, gz: Any, ws: Any, stride: Any = None, pad: Any = None) -> Expr:
        x = as_expr(x)
        return Lop(pooling.pooled(ndim, x, ws, ignore_border, stride, pad, mode), x, gz)

    return build


def _max_tangent(
    ignore_border: bool = False, mode: str = "max", ndim: int = 2, openmp: Any = None
) -> Callable[..., Expr]:
    def build(x: Any, *rest: Any) -> Expr:  # of MaxPoolRop: no output between, but integers
        has_output = getattr(rest[1], "dtype", "") in FLOATING
        tangent, ws, stride, pad = (*(rest[1:] if has_output else rest), None, None)[:4]
        x = as_expr(x)
        return Rop(pooling.pooled(ndim, x, ws, ignore_border, stride, pad, "max"), x, as_expr(tangent))

    return build


MaxPoolGrad = op_class("MaxPoolGrad", "", _max_grad, "The gradient of Pool of mode 'max'.")
AveragePoolGrad = op_class("AveragePoolGrad", "", _average_grad, "The gradient of Pool of the other modes.")
DownsampleFactorMaxGradGrad = op_class(
    "DownsampleFactorMaxGradGrad", "", _max_tangent, "The gradient of MaxPoolGrad: changes at the largest elements."
)
Pool.out_shape = staticmethod(pooling.pooled_shape)  # type: ignore[attr-defined]


def _convolution(n: int, function: Callable[..., Expr]) -> Callable[..., Any]:
    def build(
        imshp: Any = None, kshp: Any = None, border_mode: Any = "valid", subsample: Any = None,
        filter_flip: bool = True, filter_dilation: Any = None, num_groups: int = 1, unshared: bool = False,
    ) -> Callable[..., Expr]:
        options = {
            "border_mode": border_mode, "subsample": subsample or (1,) * n, "filter_flip": filter_flip,
            "filter_dilation": filter_dilation or (1,) * n, "num_groups": num_groups,
        }
        return lambda *args: function(args, imshp, kshp, **({**options, "unshared": True} if unshared else options))

    return build


def _forward(of: Callable[..., Expr]) -> Callable[..., Expr]:
    return lambda args, imshp, kshp, **options: of(*args, imshp, kshp, **options)


def _wrt_inputs(of: Callable[..., Expr]) -> Callable[..., Expr]:
    """Arguments (filters, gradient, spatial sizes of the input)."""
    return lambda args, imshp, kshp, **options: of(
        args[1], args[0], imshp if len(args) < 3 else _sizes(args), kshp, **options
    )


def _wrt_weights(of: Callable[..., Expr]) -> Callable[..., Expr]:
    """Arguments (input, gradient, spatial sizes of the filters)."""
    return lambda args, imshp, kshp, **options: of(
        args[0], args[1], kshp if len(args) < 3 else _sizes(args), imshp, **options
    )


def _sizes(args: Any) -> tuple[Any, ...]:
    """A shape of which the third argument tells the spatial sizes: a list, or a vector."""
    sizes = args[2]
    if isinstance(sizes, Expr):
        sizes = [sizes[i] for i in range(sizes.type.shape[0] or as_expr(args[0]).type.ndim - 2)]
    return None, None, *sizes


AbstractConv2d = op_class("AbstractConv2d", "correlate", _convolution(2, _forward(conv.conv2d)))
AbstractConv3d = op_class("AbstractConv3d", "correlate", _convolution(3, _forward(conv.conv3d)))
AbstractConv2d_gradInputs = op_class(
    "AbstractConv2d_gradInputs", "correlate_wrt_input", _convolution(2, _wrt_inputs(conv.conv2d_grad_wrt_inputs))
)
AbstractConv3d_gradInputs = op_class(
    "AbstractConv3d_gradInputs", "correlate_wrt_input", _convolution(3, _wrt_inputs(conv.conv3d_grad_wrt_inputs))
)
AbstractConv2d_gradWeights = op_class(
    "AbstractConv2d_gradWeights", "correlate_wrt_filters", _convolution(2, _wrt_weights(conv.conv2d_grad_wrt_weights))
)
AbstractConv3d_gradWeights = op_class(
    "AbstractConv3d_gradWeights", "correlate_wrt_filters", _convolution(3, _wrt_weights(conv.conv3d_grad_wrt_weights))
)
