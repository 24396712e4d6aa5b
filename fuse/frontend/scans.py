"""Reductions that keep positions: argmax, argmin, max_and_argmax, cumsum, cumprod; and linear recurrences."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.errors import FuseTypeError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import flatten
from fuse.frontend.creation import zeros_like
from fuse.frontend.join import join
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.reductions import Axis, kept, literal
from fuse.frontend.reductions import max as max_
from fuse.frontend.sizes import normalize_axis, reduced_axes, size_product, sizes_of, static_int
from fuse.op import ZERO, Op, op_record
from fuse.types import COMPLEX, TensorType, dtype_name


# ---------------------------------------------------------------- the position of the largest element
def _position_type(x: Expr, *, axis: int) -> TensorType:
    if x.type.shape[axis] == 0:
        raise ShapeError("there is no largest or smallest of no elements")
    return TensorType("int64", [n for a, n in enumerate(x.type.shape) if a != axis])


def _position_fields(find: Callable[..., Any]) -> dict[str, Any]:
    return {
        "numpy": lambda x, axis: np.asarray(find(x, axis=axis), dtype="int64"),
        "infer": _position_type,
        "shape": lambda node, s: tuple([n for a, n in enumerate(s) if a != node.params["axis"]]),
        "grad": lambda g, out, x, axis: (ZERO,),
        "meta": {"position": True},
        "traits": "along",
    }


def _position(op: Op, x: Any, axis: Axis, keepdims: bool) -> Expr:
    """Several axes are one: those axes, in order, joined to the last."""
    x = as_expr(x)
    if x.type.dtype in COMPLEX:
        raise FuseTypeError(f"complex numbers have no order: {op} of abs(x), x.real or x.imag is defined")
    axes = reduced_axes(axis, x.type.ndim)
    if not axes:
        return ew.fill(x, literal(0, "int64"))
    if len(axes) == 1:
        out = op(x, axis=axes[0])
    else:
        rest = [a for a in range(x.type.ndim) if a not in axes]
        sizes = sizes_of(x)
        joined = reshape(dimshuffle(x, [*rest, *axes]),
            [*[sizes[a] for a in rest], size_product([sizes[a] for a in axes])])
        out = op(joined, axis=len(rest))
    return kept(out, axes, x.type.ndim) if keepdims else out


@op_record("opaque", **_position_fields(np.argmax))
def argmax(op: Op, x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """The position (int64) of the first largest element over ``axis``; NaN counts as largest, as in NumPy.

    Without ``axis``, or with several, the position in the flattened axes.

    >>> import fuse.tensor as T
    >>> argmax(T.matrix("m"), axis=1).type
    TensorType(int64, vector)
    """
    return _position(op, x, axis, keepdims)


@op_record("opaque", **_position_fields(np.argmin))
def argmin(op: Op, x: Any, axis: Axis = None, keepdims: bool = False) -> Expr:
    """The position (int64) of the first smallest element over ``axis``; see ``argmax``.

    >>> argmin([[3, 1, 1], [2, 5, 4]], axis=1).eval()
    array([1, 0])
    """
    return _position(op, x, axis, keepdims)


@also(a="x")
def max_and_argmax(x: Any, axis: Axis = None, keepdims: bool = False) -> list[Expr]:
    """The largest element over ``axis`` and its position.

    >>> largest, where = max_and_argmax([[3, 1, 1], [2, 5, 4]], axis=1)
    >>> largest.eval(), where.eval()
    (array([3, 5]), array([0, 1]))
    """
    return [max_(x, axis, keepdims), argmax(x, axis, keepdims)]


# ---------------------------------------------------------------- cumulative sums and products, recurrences
def _reversed(x: Expr, axis: int) -> Expr:
    return x[(slice(None),) * axis + (slice(None, None, -1),)]


def _sum_from_here(x: Expr, axis: int) -> Expr:
    return _reversed(cumsum(_reversed(x, axis), axis), axis)


def _cumsum_grad(g: Expr, out: Expr, x: Expr, axis: int) -> tuple[Any, ...]:
    return (_sum_from_here(g, axis),)


def _ends(ndim: int, axis: int) -> list[Any]:
    """The indices of the first element along an axis, of those after it, and of those before the last one."""
    return [(slice(None),) * axis + (s,) for s in (slice(None, 1), slice(1, None), slice(None, -1))]


def _cumprod_grad(g: Expr, out: Expr, x: Expr, axis: int) -> tuple[Any, ...]:
    """d out[k] / d x[i] is the product of all elements up to k but the one at i: of those before, out[i - 1], and of
    those behind, which a recurrence from the end adds up. No element is divided by, so any may be 0.
    """
    later = recurrence(x, g, axis, reverse=True)
    head, tail, most = _ends(x.type.ndim, axis)
    return (join(axis, later[head], out[most] * later[tail]),)


def _recurrence_grad(g: Expr, out: Expr, a: Expr, b: Expr, axis: int, reverse: bool) -> tuple[Any, ...]:
    """What goes from ``b`` to the result is linear, and the other direction is its transpose."""
    through = recurrence(a, g, axis, not reverse)
    head, tail, most = _ends(a.type.ndim, axis)
    factors = through[most] * out[tail] if reverse else through[tail] * out[most]
    return join(axis, zeros_like(through[head]), factors), through


def _recurrence_numpy(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    out = np.array(b)
    rows, factors = np.moveaxis(out, axis, 0), np.moveaxis(a, axis, 0)
    order = range(len(rows) - 2, -1, -1) if reverse else range(1, len(rows))
    for k in order:
        rows[k] += factors[k + reverse] * rows[k + 1 if reverse else k - 1]
    return out


@op_record(
    "opaque", numpy=_recurrence_numpy, infer=lambda a, b, *, axis, reverse: b.type,
    shape=lambda node, a, b: b, grad=_recurrence_grad, traits="along",
)
def recurrence(op: Op, a: Any, b: Any, axis: int, reverse: bool = False) -> Expr:
    """``y`` with ``y[k] = a[k] * y[k - 1] + b[k]`` along ``axis``; ``y[0]`` is ``b[0]``. Both have one type.

    With ``reverse``, the transpose of that map of ``b``: ``y[k] = a[k + 1] * y[k + 1] + b[k]``, from the end.

    >>> import fuse.tensor as T
    >>> recurrence(T.constant([9.0, 2.0, 3.0]), T.constant([1.0, 1.0, 1.0]), 0).eval()
    array([ 1.,  3., 10.])
    """
    return op(a, b, axis=axis, reverse=reverse)


def _cumulative(op: Op, x: Any, axis: Any, dtype: Any) -> Expr:
    x = as_expr(x)
    if dtype is not None:
        x = ew.cast(x, dtype_name(dtype))
    if static_int(axis) is None and axis is None:
        x, axis = flatten(x), 0
    return op(x, axis=normalize_axis(axis, x.type.ndim))


def _same_shape(node: Expr, shape: Any) -> Any:
    return shape


@op_record(
    "opaque", numpy=lambda x, axis: np.cumsum(x, axis=axis, dtype=x.dtype), infer=lambda x, *, axis: x.type,
    shape=_same_shape, grad=_cumsum_grad, linear=True, traits="along",
)
def cumsum(op: Op, x: Any, axis: int | None = None, dtype: Any = None) -> Expr:
    """The sums of the elements so far along ``axis`` (None: of the flattened ``x``); the dtype is kept.

    >>> import fuse.tensor as T
    >>> cumsum(T.bmatrix("m")).type
    TensorType(int8, vector)
    """
    return _cumulative(op, x, axis, dtype)


@op_record(
    "opaque", numpy=lambda x, axis: np.cumprod(x, axis=axis, dtype=x.dtype), infer=lambda x, *, axis: x.type,
    shape=_same_shape, grad=_cumprod_grad, traits="along",
)
def cumprod(op: Op, x: Any, axis: int | None = None, dtype: Any = None) -> Expr:
    """The products of the elements so far along ``axis`` (None: of the flattened ``x``); the dtype is kept.

    >>> cumprod([1, 2, 3, 4]).eval()
    array([ 1,  2,  6, 24])
    """
    return _cumulative(op, x, axis, dtype)


__all__ = ["argmax", "argmin", "cumprod", "cumsum", "max_and_argmax"]
