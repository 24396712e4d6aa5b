"""Theano's functions of convolution: conv2d, conv3d, their gradients and transposes, separable, causal, upsampling."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.errors import FuseValueError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend.convolution import border_mode_to_pad, convolution, filter_gradient, input_gradient, padded
from fuse.frontend.sizes import size_add, size_mul, size_sub, sizes_of, static_int
from fuse.frontend.upsampling import bilinear_kernel_1D as bilinear_kernel_1D
from fuse.frontend.upsampling import bilinear_kernel_2D as bilinear_kernel_2D
from fuse.frontend.upsampling import bilinear_upsampling as bilinear_upsampling

__all__ = [
    "bilinear_kernel_1D", "bilinear_kernel_2D", "bilinear_upsampling", "border_mode_to_pad", "causal_conv1d", "conv2d",
    "conv2d_grad_wrt_inputs", "conv2d_grad_wrt_weights", "conv2d_transpose", "conv3d", "conv3d_grad_wrt_inputs",
    "conv3d_grad_wrt_weights", "get_conv_gradinputs_shape", "get_conv_gradweights_shape", "get_conv_output_shape",
    "get_conv_shape_1axis", "separable_conv2d", "separable_conv3d",
]


# ---------------------------------------------------------------- convolutions
def conv2d(
    input: Any, filters: Any, input_shape: Any = None, filter_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1), filter_flip: bool = True, image_shape: Any = None, filter_dilation: Any = (1, 1),
    num_groups: int = 1, unshared: bool = False,
) -> Expr:
    """A stack of images convolved with a bank of filters, summed over the channels.

    ``input`` is (images, channels, rows, columns), ``filters`` (filters, channels / ``num_groups``, rows, columns); the
    result is (images, filters, rows, columns). ``border_mode`` puts zeros around the images: none ('valid'), one less
    than the filter ('full'), half the filter ('half'), so many (int, or one or a pair for each axis). ``subsample`` are
    the strides, ``filter_dilation`` the distance of the filter's elements. With ``filter_flip`` the filters are turned
    round, as in mathematics; without it the result is a correlation. ``input_shape`` and ``filter_shape`` say what is
    known of the shapes. ``unshared`` filters have the places of the result after their first axis.
    Raises ShapeError where the shapes do not fit.

    >>> import fuse.tensor as T
    >>> x, w = T.tensor4("x"), T.tensor4("w")
    >>> conv2d(x, w).eval({x: [[[[1.0, 2.0, 3.0]]]], w: [[[[1.0, 10.0]]]]})
    array([[[[12., 23.]]]])
    """
    if image_shape is not None:
        if input_shape is not None:
            raise FuseValueError("conv2d takes input_shape or its old name image_shape, not both")
        input_shape = image_shape
    return convolution(
        2, input, filters, input_shape, filter_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups,
        unshared,
    )


def conv3d(
    input: Any, filters: Any, input_shape: Any = None, filter_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1, 1), num_groups: int = 1,
) -> Expr:
    """``conv2d`` with three spatial axes: ``input`` is (volumes, channels, depth, rows, columns).

    >>> import fuse.tensor as T
    >>> x, w = T.tensor5("x"), T.tensor5("w")
    >>> conv3d(x, w, border_mode="half").type.ndim
    5
    """
    return convolution(
        3, input, filters, input_shape, filter_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups
    )


def conv2d_grad_wrt_inputs(
    output_grad: Any, filters: Any, input_shape: Any, filter_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1), num_groups: int = 1,
    unshared: bool = False,
) -> Expr:
    """The gradient of ``conv2d`` with respect to its input, for the gradient ``output_grad`` of its result.

    The last two entries of ``input_shape`` are needed: several sizes of input give the same size of result.

    >>> import fuse.tensor as T
    >>> g, w = T.tensor4("g"), T.tensor4("w")
    >>> conv2d_grad_wrt_inputs(g, w, (1, 1, 1, 3)).eval({g: [[[[1.0, 1.0]]]], w: [[[[1.0, 10.0]]]]})
    array([[[[10., 11.,  1.]]]])
    """
    _shared(unshared)
    return input_gradient(
        2, output_grad, filters, input_shape, filter_shape, border_mode, subsample, filter_flip, filter_dilation,
        num_groups,
    )


def conv3d_grad_wrt_inputs(
    output_grad: Any, filters: Any, input_shape: Any, filter_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1, 1), num_groups: int = 1,
) -> Expr:
    """``conv2d_grad_wrt_inputs`` with three spatial axes.

    >>> import fuse.tensor as T
    >>> conv3d_grad_wrt_inputs(T.tensor5("g"), T.tensor5("w"), (None, None, 4, 4, 4)).type.shape
    (None, None, 4, 4, 4)
    """
    return input_gradient(
        3, output_grad, filters, input_shape, filter_shape, border_mode, subsample, filter_flip, filter_dilation,
        num_groups,
    )


def conv2d_grad_wrt_weights(
    input: Any, output_grad: Any, filter_shape: Any, input_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1), num_groups: int = 1,
    unshared: bool = False,
) -> Expr:
    """The gradient of ``conv2d`` with respect to its filters, for the gradient ``output_grad`` of its result.

    The last two entries of ``filter_shape`` are needed.

    >>> import fuse.tensor as T
    >>> x, g = T.tensor4("x"), T.tensor4("g")
    >>> conv2d_grad_wrt_weights(x, g, (1, 1, 1, 2)).eval({x: [[[[1.0, 2.0, 3.0]]]], g: [[[[1.0, 1.0]]]]})
    array([[[[5., 3.]]]])
    """
    _shared(unshared)
    return filter_gradient(
        2, input, output_grad, filter_shape, input_shape, border_mode, subsample, filter_flip, filter_dilation,
        num_groups,
    )


def conv3d_grad_wrt_weights(
    input: Any, output_grad: Any, filter_shape: Any, input_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1, 1), num_groups: int = 1,
) -> Expr:
    """``conv2d_grad_wrt_weights`` with three spatial axes.

    >>> import fuse.tensor as T
    >>> conv3d_grad_wrt_weights(T.tensor5("x"), T.tensor5("g"), (None, None, 2, 2, 2)).type.shape
    (None, None, 2, 2, 2)
    """
    return filter_gradient(
        3, input, output_grad, filter_shape, input_shape, border_mode, subsample, filter_flip, filter_dilation,
        num_groups,
    )


def _shared(unshared: bool) -> None:
    if unshared:
        raise FuseValueError("for unshared filters take grad() of conv2d(..., unshared=True)")


def conv2d_transpose(
    input: Any, filters: Any, output_shape: Any, filter_shape: Any = None, border_mode: Any = "valid",
    input_dilation: Any = (1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1), num_groups: int = 1,
    unshared: bool = False,
) -> Expr:
    """The transpose of ``conv2d`` ("deconvolution"): from the shape of its result to that of its input.

    ``output_shape`` is the shape of the result here; its last two entries are needed.

    >>> import fuse.tensor as T
    >>> x, w = T.tensor4("x"), T.tensor4("w")
    >>> conv2d_transpose(x, w, (None, None, 1, 3)).eval({x: [[[[1.0, 1.0]]]], w: [[[[1.0, 10.0]]]]})
    array([[[[10., 11.,  1.]]]])
    """
    return conv2d_grad_wrt_inputs(
        input, filters, output_shape, filter_shape, border_mode, input_dilation, filter_flip, filter_dilation,
        num_groups, unshared,
    )


# ---------------------------------------------------------------- convolutions made of others
def separable_conv2d(
    input: Any, depthwise_filters: Any, pointwise_filters: Any, num_channels: int, input_shape: Any = None,
    depthwise_filter_shape: Any = None, pointwise_filter_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1),
) -> Expr:
    """Each channel convolved by itself (``depthwise_filters``), then mixed by filters of one element.

    F. Chollet, "Xception: deep learning with depthwise separable convolutions", 2017.

    >>> import fuse.tensor as T
    >>> separable_conv2d(T.tensor4(), T.tensor4(), T.tensor4(), num_channels=4).type.ndim
    4
    """
    return _separable(
        2, input, depthwise_filters, pointwise_filters, num_channels, input_shape, depthwise_filter_shape,
        pointwise_filter_shape, border_mode, subsample, filter_flip, filter_dilation,
    )


def separable_conv3d(
    input: Any, depthwise_filters: Any, pointwise_filters: Any, num_channels: int, input_shape: Any = None,
    depthwise_filter_shape: Any = None, pointwise_filter_shape: Any = None, border_mode: Any = "valid",
    subsample: Any = (1, 1, 1), filter_flip: bool = True, filter_dilation: Any = (1, 1, 1),
) -> Expr:
    """``separable_conv2d`` with three spatial axes.

    >>> import fuse.tensor as T
    >>> separable_conv3d(T.tensor5(), T.tensor5(), T.tensor5(), num_channels=4).type.ndim
    5
    """
    return _separable(
        3, input, depthwise_filters, pointwise_filters, num_channels, input_shape, depthwise_filter_shape,
        pointwise_filter_shape, border_mode, subsample, filter_flip, filter_dilation,
    )


def _separable(
    n: int, x: Any, depthwise: Any, pointwise: Any, channels: int, x_shape: Any, depthwise_shape: Any,
    pointwise_shape: Any, mode: Any, strides: Any, flip: bool, dilation: Any,
) -> Expr:
    if any(size not in (None, 1) for size in as_expr(pointwise).type.shape[2:]):
        raise ShapeError("pointwise filters have one element along each spatial axis")
    each = convolution(n, x, depthwise, x_shape, depthwise_shape, mode, strides, flip, dilation, groups=channels)
    return convolution(n, each, pointwise, None, pointwise_shape, "valid", 1, flip, 1)


def causal_conv1d(
    input: Any, filters: Any, filter_shape: Any, input_shape: Any = None, subsample: int = 1, filter_flip: bool = True,
    filter_dilation: int = 1, num_groups: int = 1, unshared: bool = False,
) -> Expr:
    """Signals (signals, channels, time) convolved with filters such that no result depends on a later time.

    Raises ShapeError where an operand has other than three axes.

    >>> import fuse.tensor as T
    >>> x, w = T.tensor3("x"), T.tensor3("w")
    >>> causal_conv1d(x, w, (1, 1, 2)).eval({x: [[[1.0, 2.0, 3.0]]], w: [[[1.0, 10.0]]]})
    array([[[ 1., 12., 23.]]])
    """
    _shared(unshared)
    x = as_expr(input)
    if x.type.ndim != 3:
        raise ShapeError(f"causal_conv1d takes signals (signals, channels, time), not a {x.type.describe()}")
    window = static_int(filter_shape[-1])
    before = size_mul(size_sub(sizes_of(as_expr(filters))[-1] if window is None else window, 1), filter_dilation)
    return convolution(
        1, padded(x, [(before, 0)]), filters, None, filter_shape, "valid", subsample, filter_flip, filter_dilation,
        num_groups,
    )


# ---------------------------------------------------------------- shapes
def get_conv_output_shape(
    image_shape: Sequence[Any], kernel_shape: Sequence[Any], border_mode: Any, subsample: Sequence[int],
    filter_dilation: Sequence[int] | None = None,
) -> tuple[Any, ...]:
    """The shape of a convolution's result; entries may be None (not known).

    >>> get_conv_output_shape((10, 3, 28, 28), (20, 3, 5, 5), "valid", (1, 1))
    (10, 20, 24, 24)
    """
    n = len(subsample)
    filter_dilation = filter_dilation or (1,) * n
    if isinstance(border_mode, str) or static_int(border_mode) is not None:
        border_mode = (border_mode,) * n
    axes = zip(image_shape[2:], kernel_shape[-n:], border_mode, subsample, filter_dilation, strict=True)
    return (image_shape[0], kernel_shape[0], *[get_conv_shape_1axis(*axis) for axis in axes])


def get_conv_shape_1axis(
    image_shape: Any, kernel_shape: Any, border_mode: Any, subsample: int, dilation: int = 1
) -> Any:
    """The size of a convolution's result along one axis, or None.

    >>> get_conv_shape_1axis(28, 5, "half", 2)
    14
    """
    if None in (image_shape, kernel_shape, border_mode, subsample, dilation):
        return None
    extent = size_add(size_mul(size_sub(kernel_shape, 1), dilation), 1)
    before, after = border_mode_to_pad(border_mode if isinstance(border_mode, str) else (border_mode,), 1, (extent,))[0]
    room = size_sub(size_add(size_add(image_shape, before), after), extent)
    out = room if subsample == 1 else room // subsample
    return size_add(out, 1)


def get_conv_gradweights_shape(
    image_shape: Sequence[Any], top_shape: Sequence[Any], border_mode: Any, subsample: Sequence[int],
    filter_dilation: Sequence[int] | None = None, num_groups: int = 1,
) -> tuple[Any, ...]:
    """The shape of the filters, from those of the input and the result; None along an axis where several fit.

    >>> get_conv_gradweights_shape((10, 3, 28, 28), (10, 20, 24, 24), "valid", (1, 1))
    (20, 3, 5, 5)
    """
    n = len(subsample)
    modes = border_mode if isinstance(border_mode, (tuple, list)) else (border_mode,) * n
    channels = None if image_shape[1] is None else image_shape[1] // num_groups
    axes = zip(image_shape[2:], top_shape[2:], modes, subsample, filter_dilation or (1,) * n, strict=True)
    return (top_shape[1], channels, *[_filter_size(*axis) for axis in axes])


def _filter_size(image: Any, top: Any, mode: Any, stride: int, dilation: int) -> Any:
    if None in (image, top) or stride != 1 or mode == "half":
        return None
    if mode == "full":
        extent = size_sub(top, image)
    else:
        before, after = (0, 0) if mode == "valid" else border_mode_to_pad((mode,), 1, (1,))[0]
        extent = size_sub(size_add(size_add(image, before), after), top)
    return size_add(extent if dilation == 1 else extent // dilation, 1)


def get_conv_gradinputs_shape(
    kernel_shape: Sequence[Any], top_shape: Sequence[Any], border_mode: Any, subsample: Sequence[int],
    filter_dilation: Sequence[int] | None = None, num_groups: int = 1,
) -> tuple[Any, ...]:
    """The shape of the input, from those of the filters and the result; None along an axis where several fit.

    >>> get_conv_gradinputs_shape((20, 3, 5, 5), (10, 20, 24, 24), "valid", (1, 1))
    (10, 3, 28, 28)
    """
    n = len(subsample)
    modes = border_mode if isinstance(border_mode, (tuple, list)) else (border_mode,) * n
    channels = None if kernel_shape[1] is None else kernel_shape[1] * num_groups
    axes = zip(kernel_shape[-n:], top_shape[2:], modes, subsample, filter_dilation or (1,) * n, strict=True)
    return (top_shape[0], channels, *[_input_size(*axis) for axis in axes])


def _input_size(window: Any, top: Any, mode: Any, stride: int, dilation: int) -> Any:
    if None in (window, top) or stride != 1:
        return None
    extent = size_add(size_mul(size_sub(window, 1), dilation), 1)
    before, after = border_mode_to_pad(mode if isinstance(mode, str) else (mode,), 1, (extent,))[0]
    return size_sub(size_sub(size_add(top, size_sub(extent, 1)), before), after)
