"""softmax, log_softmax and the cross-entropy of softmax with labels: composite ops with their own stable gradients.

Each is defined by core ops over one axis, spelled alike, so that a value and its gradient share the maximum and the
sum and become one kernel that reads each row once.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle, iota, reshape
from fuse.frontend.reductions import kept
from fuse.frontend.reductions import max as max_
from fuse.frontend.reductions import sum as sum_
from fuse.frontend.sizes import normalize_axis, shape_i, sizes_of
from fuse.frontend.subtensor import gather
from fuse.op import DISCONNECTED, Op, op_record
from fuse.types import TensorType, shape_text


def _same_type(x: Expr, *, axis: int) -> TensorType:
    _need_float(x, "softmax")
    return x.type


def _need_float(x: Expr, what: str) -> None:
    if x.type.dtype not in ty.FLOATING:
        raise FuseTypeError(f"{what} takes floats, not a {x.type.describe()}")


def _total(x: Expr, axis: int) -> Expr:
    return sum_(x, axis=axis, keepdims=True, dtype=x.type.dtype)


def _shifted(x: Expr, axis: int) -> Expr:
    """``x`` minus its maximum along ``axis``: the exponential cannot overflow, the largest is 1."""
    return ew.sub(x, max_(x, axis=axis, keepdims=True))


# ---------------------------------------------------------------- softmax
def _softmax_numpy(x: Any, axis: int) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))  # of nothing too
    return e / np.sum(e, axis=axis, keepdims=True)


def _softmax_define(x: Expr, axis: int) -> Expr:
    e = ew.exp(_shifted(x, axis))
    return ew.true_div(e, _total(e, axis))


def _softmax_pull(g: Expr, s: Expr, axis: int) -> Expr:
    """s * (g - sum(g * s)); the Jacobian is symmetric, so this serves forward mode as well."""
    return ew.mul(s, ew.sub(g, _total(ew.mul(g, s), axis)))


@op_record(
    "composite", name="softmax", numpy=_softmax_numpy, infer=_same_type, define=_softmax_define,
    shape=lambda node, x: x, grad=lambda g, out, x, axis: (_softmax_pull(g, out, axis),),
    jvp=lambda tangents, out, x, axis: _softmax_pull(tangents[0], out, axis),
    latex=r"\operatorname{softmax}\left(#1\right)",
    traits="nonnegative simple-logarithm along",
)
def _softmax(op: Op, x: Expr, *, axis: int) -> Expr:
    """``exp(x) / sum(exp(x))`` along ``axis``."""
    return op(x, axis=axis)


def _along(op: Any, x: Any, axis: int | None, what: str) -> Expr:
    x = as_expr(x)
    if x.type.dtype in ty.DISCRETE:
        x = ew.cast(x, ty.inexact(x.type.dtype))
    if not x.type.ndim:
        raise ShapeError(f"{what} needs an axis to sum along, the operand is a scalar")
    if axis is None:
        return reshape(op(reshape(x, (-1,)), axis=0), sizes_of(x))
    return op(x, axis=normalize_axis(axis, x.type.ndim))


def softmax(c: Any, axis: int | None = None) -> Expr:
    """``exp(c) / sum(exp(c))`` along ``axis`` (None: over all elements), without overflow; of the shape of ``c``.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> softmax(v).eval({v: [1000.0, 1000.0]})
    array([0.5, 0.5])
    """
    return _along(_softmax, c, axis, "softmax")


# ---------------------------------------------------------------- log_softmax
def _log_softmax_numpy(x: Any, axis: int) -> Any:
    z = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))


def _log_softmax_define(x: Expr, axis: int) -> Expr:
    z = _shifted(x, axis)
    return ew.sub(z, ew.log(_total(ew.exp(z), axis)))


@op_record(
    "composite", name="log_softmax", numpy=_log_softmax_numpy, infer=_same_type, define=_log_softmax_define,
    shape=lambda node, x: x,
    grad=lambda g, out, x, axis: (ew.sub(g, ew.mul(_softmax(x, axis=axis), _total(g, axis))),),
    jvp=lambda tangents, out, x, axis: ew.sub(
        tangents[0], _total(ew.mul(_softmax(x, axis=axis), tangents[0]), axis)
    ),
    latex=r"\log \operatorname{softmax}\left(#1\right)", traits="along",
)
def _log_softmax(op: Op, x: Expr, *, axis: int) -> Expr:
    """``log(softmax(x))`` along ``axis``."""
    return op(x, axis=axis)


def log_softmax(c: Any, axis: int | None = None) -> Expr:
    """``log(softmax(c))`` along ``axis`` (None: over all elements), exact also where the softmax underflows.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> log_softmax(v).eval({v: [0.0, 1000.0]})
    array([-1000.,     0.])
    """
    return _along(_log_softmax, c, axis, "log_softmax")


# ---------------------------------------------------------------- cross-entropy of softmax with integer labels
def _crossentropy_type(x: Expr, y: Expr) -> TensorType:
    _need_float(x, "softmax_crossentropy")
    check_labels(x, y)
    return TensorType(x.type.dtype, [n if m is None else m for n, m in zip(x.type.shape, y.type.shape, strict=False)])


def check_labels(x: Expr, y: Expr) -> None:
    """Raise where ``y`` are no labels for the rows of ``x``: integers, one per position of all axes but the last."""
    if y.type.dtype not in ty.INTEGER:
        raise FuseTypeError(
            f"labels are integers, not a {y.type.describe()}: cast them with .astype('int64'), or give a distribution "
            f"of the rank of the predictions ({x.type.ndim})"
        )
    if y.type.ndim != x.type.ndim - 1:
        raise ShapeError(f"labels for a {x.type.describe()} have {x.type.ndim - 1} dimensions, not {y.type.ndim}")
    for n, m in zip(x.type.shape, y.type.shape, strict=False):
        if n is not None and m is not None and n != m:
            text = f"labels of shape {shape_text(y.type.shape)} for predictions of shape {shape_text(x.type.shape)}"
            raise ShapeError(text)


def _crossentropy_numpy(x: Any, y: Any) -> Any:
    if x.shape[:-1] != y.shape:
        raise ShapeError(f"labels of shape {y.shape} for predictions of shape {x.shape}")
    labels = np.arange(x.shape[-1])[y]
    return -np.take_along_axis(_log_softmax_numpy(x, -1), labels[..., None], -1)[..., 0]


def is_label(x: Expr, y: Expr) -> Expr:
    """Where along the last axis of ``x`` the label stands: bool, of the shape of ``x``.

    The labels pass through a gather from 0..k-1: this wraps negative ones and stops those out of bounds.
    """
    classes = iota(shape_i(x, x.type.ndim - 1))
    labels = gather(classes, y) if y.type.ndim else classes[y]
    return ew.eq(classes, dimshuffle(labels, [*range(y.type.ndim), "x"]))


def _crossentropy_define(x: Expr, y: Expr) -> Expr:
    axis = x.type.ndim - 1
    z = _shifted(x, axis)
    total = sum_(ew.exp(z), axis=axis, dtype=x.type.dtype)
    picked = sum_(ew.switch(is_label(x, y), z, constant(0, dtype=x.type.dtype)), axis=axis, dtype=x.type.dtype)
    return ew.sub(ew.log(total), picked)


def _crossentropy_slope(x: Expr, y: Expr) -> Expr:
    """softmax(x) - onehot(y)."""
    return ew.sub(_softmax(x, axis=x.type.ndim - 1), ew.cast(is_label(x, y), x.type.dtype))


def _crossentropy_grad(g: Expr, out: Expr, x: Expr, y: Expr) -> tuple[Any, ...]:
    axis = x.type.ndim - 1
    return ew.mul(_crossentropy_slope(x, y), kept(g, (axis,), x.type.ndim)), DISCONNECTED


def _crossentropy_jvp(tangents: Sequence[Any], out: Expr, x: Expr, y: Expr) -> Expr:
    return sum_(ew.mul(_crossentropy_slope(x, y), tangents[0]), axis=-1, dtype=x.type.dtype)


@op_record(
    "composite", name="softmax_crossentropy", numpy=_crossentropy_numpy, infer=_crossentropy_type,
    define=_crossentropy_define, shape=lambda node, x, y: x[:-1], grad=_crossentropy_grad, jvp=_crossentropy_jvp,
)
def softmax_crossentropy(op: Op, x: Any, y: Any) -> Expr:
    """``-log(softmax(x))`` at the integer label ``y`` of each row (last axis) of ``x``.

    Its gradient is ``softmax(x) - onehot(y)``. A label out of bounds is a FuseIndexError at run time.

    >>> import fuse.tensor as T
    >>> x, y = T.matrix("x"), T.lvector("y")
    >>> softmax_crossentropy(x, y).eval({x: [[0.0, 1000.0]], y: [0]})
    array([1000.])
    """
    return op(as_expr(x), as_expr(y))


__all__ = ["log_softmax", "softmax", "softmax_crossentropy"]
