"""Views with other axes: transpose, swapaxes, squeeze, expand_dims, flatten, shape_pad*, and static-shape notes."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError, ShapeError, SpecifiedShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend.layout import broadcast_to, dimshuffle, reshape
from fuse.frontend.sizes import (
    Size,
    as_size_expr,
    as_sizes,
    broadcast_sizes,
    normalize_axes,
    normalize_axis,
    reduced_axes,
    size_product,
    sizes_of,
    static_int,
)
from fuse.op import DISCONNECTED, Op, op_record
from fuse.trace import TRACE
from fuse.types import TensorType, broadcast_static


# ---------------------------------------------------------------- order of axes
@also(a="x")
def transpose(x: Any, *axes: Any) -> Expr:
    """``x`` with its axes reversed, or in the given order.

    Raises FuseValueError where an axis is missing or stands twice.

    >>> import fuse.tensor as T
    >>> transpose(T.tensor("float64", shape=(2, 3, 4)), (0, 2, 1)).type
    TensorType(float64, (2, 4, 3))
    """
    x = as_expr(x)
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (list, tuple, np.ndarray))):
        axes = () if axes[0] is None else tuple(axes[0])
    order = [normalize_axis(a, x.type.ndim) for a in axes] if axes else list(range(x.type.ndim))[::-1]
    if sorted(order) != list(range(x.type.ndim)):
        raise FuseValueError(f"transpose of {x.type.ndim} dimensions needs each axis once, not {axes}")
    out = dimshuffle(x, order)
    if x.name and out.name is None and order == list(range(x.type.ndim))[::-1]:
        out.name = f"{x.name}.T"  # as in Theano
    return out


def matrix_transpose(x: Any) -> Expr:
    """``x`` with its last two axes exchanged (NumPy's ``.mT``).

    Raises ShapeError for fewer than two dimensions.

    >>> import fuse.tensor as T
    >>> matrix_transpose(T.tensor("float64", shape=(5, 2, 3))).type
    TensorType(float64, (5, 3, 2))
    """
    x = as_expr(x)
    if x.type.ndim < 2:
        raise ShapeError(f"matrix_transpose: Input array must be at least 2-dimensional, not a {x.type.describe()}")
    return swapaxes(x, -1, -2)


@also(y="x", a="x")
def swapaxes(x: Any, axis1: int, axis2: int) -> Expr:
    """``x`` with two axes exchanged.

    Raises ShapeError where an axis does not exist.

    >>> import fuse.tensor as T
    >>> swapaxes(T.tensor("float64", shape=(2, 3, 4)), 0, -1).type
    TensorType(float64, (4, 3, 2))
    """
    x = as_expr(x)
    order = list(range(x.type.ndim))
    a, b = normalize_axis(axis1, x.type.ndim), normalize_axis(axis2, x.type.ndim)
    order[a], order[b] = order[b], order[a]
    return dimshuffle(x, order)


@also(a="x")
def moveaxis(x: Any, source: Any, destination: Any) -> Expr:
    """``x`` with some axes moved to other positions, the others in their order (``numpy.moveaxis``).

    Raises FuseValueError where the axes do not pair up.

    >>> import fuse.tensor as T
    >>> moveaxis(T.tensor("float64", shape=(2, 3, 4)), 0, -1).type
    TensorType(float64, (3, 4, 2))
    """
    x = as_expr(x)
    sources, places = [
        [normalize_axis(a, x.type.ndim) for a in (axes if isinstance(axes, Sequence) else [axes])]
        for axes in (source, destination)
    ]
    if len(sources) != len(places) or len(set(sources)) < len(sources) or len(set(places)) < len(places):
        raise FuseValueError(
            f"moveaxis from {source} to {destination}: `source` and `destination` arguments must have the same number "
            f"of elements, and all of them must be distinct"
        )
    order = [a for a in range(x.type.ndim) if a not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return dimshuffle(x, order)


# ---------------------------------------------------------------- axes of size 1
@also(a="x")
def expand_dims(x: Any, axis: Any) -> Expr:
    """``x`` with axes of size 1 inserted, at positions counted in the result.

    >>> import fuse.tensor as T
    >>> expand_dims(T.vector("v"), (0, -1)).type
    TensorType(float64, (True, False, True))
    """
    x = as_expr(x)
    count = 1 if static_int(axis) is not None else len(axis)
    new = normalize_axes(axis, x.type.ndim + count)
    rest = iter(range(x.type.ndim))
    return dimshuffle(x, ["x" if i in new else next(rest) for i in range(x.type.ndim + count)])


def squeeze(x: Any, axis: Any = None) -> Expr:
    """``x`` without axes of size 1: all that are known to have it, or the given ones.

    An axis named here whose size is not known is taken to be 1; a call with another size is an error. As in NumPy a
    scalar may be asked for axis 0 or -1, and stays a scalar.
    Raises ShapeError where no axis is given and the sizes are not known.

    >>> import fuse.tensor as T
    >>> squeeze(T.row("r")).type
    TensorType(float64, vector)
    """
    x = as_expr(x)
    known = [a for a, n in enumerate(x.type.shape) if n == 1]
    if axis is None and TRACE.active and None in x.type.shape:  # the function is then traced with sizes
        raise ShapeError(f"squeeze() needs the sizes of a {x.type.describe()}: say which axis, squeeze(x, axis=...)")
    drop = known if axis is None else reduced_axes(axis, x.type.ndim)
    if any(a not in known for a in drop):
        x = addbroadcast(x, *drop)
    return dimshuffle(x, [a for a in range(x.type.ndim) if a not in drop])


@also(t="x")
def shape_padleft(x: Any, n_ones: int = 1) -> Expr:
    """``x`` with ``n_ones`` axes of size 1 before the others.

    >>> import fuse.tensor as T
    >>> shape_padleft(T.vector("v"), 2).type.broadcastable
    (True, True, False)
    """
    x = as_expr(x)
    return dimshuffle(x, ["x"] * n_ones + list(range(x.type.ndim)))


@also(t="x")
def shape_padright(x: Any, n_ones: int = 1) -> Expr:
    """``x`` with ``n_ones`` axes of size 1 after the others.

    >>> import fuse.tensor as T
    >>> shape_padright(T.vector("v"), 2).type.broadcastable
    (False, True, True)
    """
    x = as_expr(x)
    return dimshuffle(x, list(range(x.type.ndim)) + ["x"] * n_ones)


@also(t="x")
def shape_padaxis(x: Any, axis: int) -> Expr:
    """``x`` with one axis of size 1 inserted at ``axis``.

    >>> import fuse.tensor as T
    >>> shape_padaxis(T.matrix("m"), 1).type.broadcastable
    (False, True, False)
    """
    return expand_dims(x, axis)


def atleast_nd(x: Any, n: int, left: bool = True) -> Expr:
    """``x`` with axes of size 1 added until it has ``n`` dimensions.

    They go before the others, or behind them where ``left`` is false.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> atleast_nd(v, 3).type.broadcastable, atleast_nd(v, 3, left=False).type.broadcastable
    ((True, True, False), (False, True, True))
    """
    x = as_expr(x)
    missing = max(n - x.type.ndim, 0)
    return shape_padleft(x, missing) if left else shape_padright(x, missing)


def _each(xs: tuple[Any, ...], convert: Any) -> Any:
    out = [convert(as_expr(x)) for x in xs]
    return out[0] if len(out) == 1 else out


def atleast_1d(*xs: Any) -> Any:
    """Each argument with at least one axis; one result, or a list of them.

    >>> import fuse.tensor as T
    >>> [x.ndim for x in atleast_1d(T.scalar("s"), T.matrix("m"))]
    [1, 2]
    """
    return _each(xs, lambda x: atleast_nd(x, 1))


def atleast_2d(*xs: Any) -> Any:
    """Each argument with at least two axes; a vector becomes a row.

    >>> import fuse.tensor as T
    >>> atleast_2d(T.vector("v")).type
    TensorType(float64, row)
    """
    return _each(xs, lambda x: atleast_nd(x, 2))


def atleast_3d(*xs: Any) -> Any:
    """Each argument with at least three axes, as ``numpy.atleast_3d``: (n,) becomes (1, n, 1), (n, m) (n, m, 1).

    >>> import fuse.tensor as T
    >>> atleast_3d(T.tensor("float64", shape=(2, 3))).type
    TensorType(float64, (2, 3, 1))
    """
    return _each(xs, lambda x: shape_padright(atleast_nd(x, 2), max(3 - max(x.type.ndim, 2), 0)))


# ---------------------------------------------------------------- fewer axes
def flatten(x: Any, ndim: Any = None, outdim: int | None = None) -> Expr:
    """``x`` with its last axes joined into one, so that ``ndim`` axes (default 1) remain.

    Raises FuseValueError for more dimensions than there are, and for Fortran order.

    >>> import fuse.tensor as T
    >>> flatten(T.tensor("float64", shape=(2, 3, 4)), 2).type
    TensorType(float64, (2, 12))
    """
    x = as_expr(x)
    if isinstance(ndim, str):  # NumPy's flatten(order)
        if ndim not in ("C", "A", "K"):
            raise FuseValueError("flatten is in C order; for Fortran order write x.T.flatten()")
        ndim = None
    keep = 1 if ndim is None and outdim is None else int(outdim if ndim is None else ndim)  # type: ignore[arg-type]
    if keep < 1 or keep > max(x.type.ndim, 1):
        raise FuseValueError(f"flatten to {keep} dimensions of an expression with {x.type.ndim}")
    if x.type.ndim == keep:
        return x
    sizes = sizes_of(x)
    return reshape(x, [*sizes[: keep - 1], size_product(sizes[keep - 1 :])])


def ravel(x: Any, order: str = "C") -> Expr:
    """``x`` as a vector, in C order.

    Raises FuseValueError for Fortran order: a transposed ``x`` in C order is the same.

    >>> ravel([[1, 2], [3, 4]]).eval()
    array([1, 2, 3, 4])
    >>> ravel([[1, 2], [3, 4]], order="F")
    Traceback (most recent call last):
        ...
    fuse.errors.FuseValueError: flatten is in C order; for Fortran order write x.T.flatten()
    """
    return flatten(x, order)


# ---------------------------------------------------------------- what is known of a shape
def _other_rank(sizes: int, x: Expr) -> str:
    return f"specify_shape: {sizes} sizes will never match the {x.type.ndim} dimensions of a {x.type.describe()}"


def _specified_type(x: Expr, *sizes: Expr) -> TensorType:
    if len(sizes) != x.type.ndim:
        raise SpecifiedShapeError(_other_rank(len(sizes), x))
    shape: list[int | None] = []
    for axis, (have, expr) in enumerate(zip(x.type.shape, sizes, strict=True)):
        want = static_int(expr)
        if have is not None and want is not None and have != want:
            raise ShapeError(f"axis {axis} has size {have}, not {want}")
        shape.append(have if want is None else want)
    return TensorType(x.type.dtype, shape)


def _specified_numpy(x: Any, *sizes: Any) -> Any:
    want = tuple([int(n) for n in sizes])
    if x.shape != want:
        raise SpecifiedShapeError(f"SpecifyShape: the value has shape {x.shape}, not {want}")
    return x


@op_record(
    "view", numpy=_specified_numpy, infer=_specified_type, linear=True, shape=lambda node, s, *_: node.args[1:],
    grad=lambda g, out, x, *sizes: (g, *[DISCONNECTED] * len(sizes)),
)
def specify_shape(op: Op, x: Any, shape: Any, *more: Any) -> Expr:
    """``x``, declared to have ``shape`` (None: as it is); a call with another shape is an error.

    Raises SpecifiedShapeError where the number of sizes is not that of the axes.

    >>> import fuse.tensor as T
    >>> specify_shape(T.matrix("m"), (None, 3)).type
    TensorType(float64, (?, 3))
    """
    x = as_expr(x)
    if more:
        shape = (shape, *more)
    if isinstance(shape, (list, tuple)):
        if len(shape) != x.type.ndim:
            raise SpecifiedShapeError(_other_rank(len(shape), x))
        shape = [have if want is None else want for have, want in zip(sizes_of(x), shape, strict=True)]
    sizes = as_sizes(shape, x.type.ndim)
    if sizes == sizes_of(x):
        return x
    return op(x, *map(as_size_expr, sizes))


def _rebroadcast_type(x: Expr, *, pattern: tuple[bool | None, ...]) -> TensorType:
    shape = list(x.type.shape)
    for axis, broadcasts in enumerate(pattern):
        if broadcasts:
            if shape[axis] not in (None, 1):
                raise ShapeError(f"axis {axis} has size {shape[axis]}: it cannot be made to broadcast")
            shape[axis] = 1
        elif broadcasts is False and shape[axis] == 1:
            shape[axis] = None
    return TensorType(x.type.dtype, shape)


def _rebroadcast_numpy(x: Any, pattern: tuple[bool | None, ...]) -> Any:
    for axis, broadcasts in enumerate(pattern):
        if broadcasts and x.shape[axis] != 1:
            raise ValueError(f"axis {axis} was declared to broadcast (size 1), but the value has shape {x.shape}")
    return x


def _rebroadcast_shape(node: Expr, shape: Sequence[Size]) -> tuple[Size, ...]:
    return tuple([1 if b else n for b, n in zip(node.params["pattern"], shape, strict=True)])


@op_record(
    "view", numpy=_rebroadcast_numpy, infer=_rebroadcast_type, shape=_rebroadcast_shape, linear=True,
    grad=lambda g, out, x, pattern: (g,),
)
def rebroadcast(op: Op, x: Any, pattern: Sequence[bool | None]) -> Expr:
    """``x`` with the static note that an axis has size 1 (True) or may have any (False); None leaves an axis alone.

    A call with another size than 1 along an axis declared to have it is an error.

    >>> import fuse.tensor as T
    >>> rebroadcast(T.matrix("m"), (True, None)).type
    TensorType(float64, row)
    """
    x = as_expr(x)
    pairs = zip(pattern, x.type.shape, strict=True)
    changed = tuple([None if b is None or b == (n == 1) else bool(b) for b, n in pairs])
    return x if not any(b is not None for b in changed) else op(x, pattern=changed)


def addbroadcast(x: Any, *axes: int) -> Expr:
    """``x``, declared to have size 1 along ``axes``; a call with another size is an error.

    >>> import fuse.tensor as T
    >>> m = T.matrix("m")
    >>> (addbroadcast(m, 0) + T.vector("v")).type
    TensorType(float64, row)
    >>> addbroadcast(m, 0).eval({m: [[1.0], [2.0]]})
    Traceback (most recent call last):
        ...
    fuse.errors.ShapeError: axis 0 was declared to broadcast (size 1), but the value has shape (2, 1)...
    """
    return _noted(x, axes, True)


def unbroadcast(x: Any, *axes: int) -> Expr:
    """``x`` without the static note that ``axes`` have size 1.

    The size may then differ from call to call; what the note allowed, broadcasting, still happens.

    >>> import fuse.tensor as T
    >>> unbroadcast(T.row("r"), 0).type
    TensorType(float64, matrix)
    """
    return _noted(x, axes, False)


def _noted(x: Any, axes: Any, broadcasts: bool) -> Expr:
    x = as_expr(x)
    if len(axes) == 1 and isinstance(axes[0], (list, tuple)):
        axes = axes[0]
    chosen = [normalize_axis(a, x.type.ndim) for a in axes]
    return rebroadcast(x, [broadcasts if a in chosen else None for a in range(x.type.ndim)])


def patternbroadcast(x: Any, broadcastable: Sequence[bool]) -> Expr:
    """``x`` with the given broadcast pattern as its static note.

    Raises FuseTypeError where the pattern has not one entry per axis.

    >>> import fuse.tensor as T
    >>> patternbroadcast(T.matrix("m"), (False, True)).type
    TensorType(float64, col)
    """
    x = as_expr(x)
    if len(broadcastable) != x.type.ndim:
        raise FuseTypeError(f"the pattern {tuple(broadcastable)} has not the {x.type.ndim} entries of the expression")
    return rebroadcast(x, [bool(b) for b in broadcastable])


# ---------------------------------------------------------------- broadcasting several together
def broadcast_shape(*xs: Any, arrays_are_shapes: bool = False, **_: Any) -> tuple[Any, ...]:
    """The sizes to which the expressions (or shapes, if they are) broadcast: ints or 0-d int64 expressions.

    Raises ShapeError where sizes known at build time do not go together.

    >>> import fuse.tensor as T
    >>> broadcast_shape(T.tensor("float64", shape=(2, 1)), T.tensor("float64", shape=(3,)))
    (2, 3)
    >>> n = broadcast_shape(T.vector("v"), T.matrix("m"))[0]
    >>> n.type
    TensorType(int64, scalar)
    """
    shapes = [as_sizes(tuple(x)) if arrays_are_shapes else sizes_of(as_expr(x)) for x in xs]
    broadcast_static([tuple([n if isinstance(n, int) else None for n in shape]) for shape in shapes])
    return broadcast_sizes(shapes)


def broadcast_arrays(*xs: Any) -> list[Expr]:
    """The expressions, broadcast against each other.

    >>> import fuse.tensor as T
    >>> [a.ndim for a in broadcast_arrays(T.vector("v"), T.matrix("m"))]
    [2, 2]
    """
    exprs = [as_expr(x) for x in xs]
    sizes = broadcast_sizes([sizes_of(x) for x in exprs])
    return [broadcast_to(x, sizes) for x in exprs]


__all__ = [
    "addbroadcast", "atleast_1d", "atleast_2d", "atleast_3d", "atleast_nd", "broadcast_arrays", "broadcast_shape",
    "expand_dims", "flatten", "matrix_transpose", "moveaxis", "patternbroadcast", "ravel", "rebroadcast",
    "shape_padaxis", "shape_padleft", "shape_padright", "specify_shape", "squeeze", "swapaxes", "transpose",
    "unbroadcast",
]
