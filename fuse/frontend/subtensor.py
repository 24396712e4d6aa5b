"""Core indexing ops: subtensor and gather read; set_/inc_ subtensor and gather return a changed copy."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseIndexError, FuseTypeError, ShapeError
from fuse.expr import Constant, Expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import broadcast_to, linear_index, sum_to
from fuse.frontend.sizes import Size, as_size_expr, broadcast_sizes, shape_of, sizes_of
from fuse.frontend.slices import Spec, numpy_index, sliced_shape, sliced_sizes
from fuse.op import DISCONNECTED, OPS, Op, op_record
from fuse.types import Shape, TensorType, shape_text


def zeros_for(x: Expr, dtype: str) -> Expr:
    """Zeros of the shape of ``x``."""
    return broadcast_to(constant(0, dtype=dtype), sizes_of(x))


# ---------------------------------------------------------------- reading
def _check_dynamic(dynamic: Sequence[Expr]) -> None:
    for index in dynamic:
        if index.type.ndim or index.type.dtype not in ty.INTEGER:
            raise FuseTypeError(f"bounds of slices and indices are 0-d integers, not a {index.type.describe()}")


def _subtensor_type(x: Expr, *dynamic: Expr, spec: Spec) -> TensorType:
    _check_dynamic(dynamic)
    return TensorType(x.type.dtype, sliced_shape(spec, x.type.shape))


def _subtensor_grad(g: Expr, out: Expr, x: Expr, *dynamic: Expr, spec: Spec) -> tuple[Any, ...]:
    return (inc_subtensor_op(zeros_for(x, g.type.dtype), g, *dynamic, spec=spec), *[DISCONNECTED] * len(dynamic))


@op_record(
    "view", name="subtensor", numpy=lambda x, *dynamic, spec: x[numpy_index(spec, dynamic)], infer=_subtensor_type,
    shape=lambda node, sizes, *_: sliced_sizes(node.params["spec"], node.args[1:], sizes), linear=True,
    grad=_subtensor_grad, integers_from=1, traits="chooses",
)
def subtensor(op: Op, x: Expr, *dynamic: Expr, spec: Spec) -> Expr:
    """``x`` indexed by integers and slices on its leading axes; ``spec`` is described in fuse.frontend.slices."""
    return op(x, *dynamic, spec=spec)


def _gathered_shape(x: Expr, indices: Sequence[Expr]) -> Shape:
    """The static shape of ``x[indices]``, after what is known of the indices was checked."""
    if len(indices) > x.type.ndim:
        raise FuseIndexError(f"too many indices: {len(indices)} for {x.type.ndim} dimensions")
    for axis, index in enumerate(indices):
        if index.type.dtype not in ty.INTEGER:
            raise FuseTypeError(f"an index array has an integer dtype, not {index.type.dtype}")
        size = x.type.shape[axis]
        if isinstance(index, Constant) and size is not None and index.data.size:
            for bound in (int(index.data.min()), int(index.data.max())):
                if not -size <= bound < size:
                    raise FuseIndexError(f"index {bound} is out of bounds for axis {axis} with size {size}")
    try:
        shape = ty.broadcast_static([i.type.shape for i in indices])
    except ShapeError as error:
        raise FuseIndexError(f"index arrays do not go together: {error}") from None
    return (*shape, *x.type.shape[len(indices):])


def _gather_type(x: Expr, *indices: Expr) -> TensorType:
    return TensorType(x.type.dtype, _gathered_shape(x, indices))


def _gather_shape(node: Expr, sizes: Sequence[Any], *index_sizes: Sequence[Any]) -> tuple[Any, ...]:
    return (*broadcast_sizes(index_sizes), *sizes[len(index_sizes):])


def _gather_grad(g: Expr, out: Expr, x: Expr, *indices: Expr) -> tuple[Any, ...]:
    back = _rotated_back(indices[0], x) if len(indices) == 1 else None
    if back is not None:
        return gather(g, back), DISCONNECTED
    return (inc_gather_op(zeros_for(x, g.type.dtype), g, *indices), *[DISCONNECTED] * len(indices))


def _rotated_back(index: Expr, x: Expr) -> Expr | None:
    """Where the elements of ``x`` are in ``x[index]``, if that turns its first axis around: periodic boundaries.

    ``arange(n) + a`` modulo n, or as it is: within bounds, -n to n - 1, it goes around too, and a is -n to 0.
    """
    size: Size = shape_of(x)[0]
    around = index.op.name == "mod" and _followed(index.args[1]) == size
    moved = moved_positions(index.args[0] if around else index)
    if moved is None or _followed(moved[0].args[0]) != size:
        return None
    node, moves = moved
    for name, by in moves:
        node = ew.add(node, by) if name == "sub" else ew.sub(node, by)
    return ew.mod(node, as_size_expr(size)) if around else ew.sub(node, as_size_expr(size))


def moved_positions(index: Expr) -> tuple[Expr, list[tuple[str, Expr]]] | None:
    """(arange(n), what is added to it or subtracted, a number each) of an index that is such a sum; else None."""
    moves: list[tuple[str, Expr]] = []
    while index.op.name in ("add", "sub") and index.type.dtype == "int64":
        left, right = index.args
        if right.type.ndim and index.op.name == "add":
            left, right = right, left
        if right.type.ndim or right.type.dtype not in ty.INTEGER:
            return None
        moves.append((index.op.name, right))
        index = left
    return (index, moves) if index.op.name == "iota" and moves else None


def _followed(size: Expr) -> Size:
    """A size in terms of the shapes of inputs, as ``shape_of`` has it."""
    if size.op.name == "maximum" and isinstance(size.args[1], Constant) and not size.args[1].data:
        size = size.args[0]  # no size is below zero
    if isinstance(size, Constant):
        return int(size.data)
    return shape_of(size.args[0])[size.params["axis"]] if size.op.name == "shape_i" else size


@op_record(
    "index", name="gather", numpy=lambda x, *indices: x[indices], infer=_gather_type, shape=_gather_shape, linear=True,
    grad=_gather_grad, traits="chooses",
)
def gather(op: Op, x: Expr, *indices: Expr) -> Expr:
    """``x[i0, i1, ...]`` for integer arrays of one rank that broadcast; their axes come first in the result.

    Negative indices count from the end; an index out of bounds is a FuseIndexError at run time.
    """
    return op(x, *indices)


# ---------------------------------------------------------------- writing
def _stored_type(x: Expr, y: Expr, target: Shape) -> TensorType:
    """The type of ``x`` with ``y`` stored into a part of static shape ``target``."""
    if ty.promote(x.type.dtype, y.type.dtype) != x.type.dtype:
        raise FuseTypeError(
            f"{y.type.dtype} values do not fit into a {x.type.dtype} array: cast one of the two, "
            f"y.astype('{x.type.dtype}') or x.astype('{ty.promote(x.type.dtype, y.type.dtype)}')"
        )
    have = y.type.shape
    fits = len(have) <= len(target) and all(
        n == 1 or n is None or m is None or n == m for n, m in zip(reversed(have), reversed(target), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"a value of shape {shape_text(have)} does not broadcast to the indexed part, {shape_text(target)}"
        )
    return x.type


def _into_subtensor_type(x: Expr, y: Expr, *dynamic: Expr, spec: Spec) -> TensorType:
    _check_dynamic(dynamic)
    return _stored_type(x, y, sliced_shape(spec, x.type.shape))


def _into_gather_type(x: Expr, y: Expr, *indices: Expr) -> TensorType:
    return _stored_type(x, y, _gathered_shape(x, indices))


def _set_slice(out: Any, y: Any, *dynamic: Any, spec: Spec) -> None:
    out[numpy_index(spec, dynamic)] = y


def _inc_slice(out: Any, y: Any, *dynamic: Any, spec: Spec) -> None:
    out[numpy_index(spec, dynamic)] += y


def _set_items(out: Any, y: Any, *indices: Any) -> None:
    out[indices] = y


def _inc_items(out: Any, y: Any, *indices: Any) -> None:
    # NumPy 2.4 reads past the end of a ``y`` that has fewer axes than the indices.
    shape = np.broadcast_shapes(*[i.shape for i in indices]) + out.shape[len(indices) :]
    np.add.at(out, indices, np.broadcast_to(y, shape))


def _on_copy(store: Callable[..., None]) -> Callable[..., Any]:
    def reference(x: Any, y: Any, *rest: Any, **params: Any) -> Any:
        out = np.array(x)
        store(out, y, *rest, **params)
        return out

    return reference


def _set_subtensor_grad(g: Expr, out: Expr, x: Expr, y: Expr, *dynamic: Expr, spec: Spec) -> tuple[Any, ...]:
    zero = constant(0, dtype=g.type.dtype)
    kept = set_subtensor_op(g, zero, *dynamic, spec=spec)
    return (kept, sum_to(subtensor(g, *dynamic, spec=spec), y), *[DISCONNECTED] * len(dynamic))


def _inc_subtensor_grad(g: Expr, out: Expr, x: Expr, y: Expr, *dynamic: Expr, spec: Spec) -> tuple[Any, ...]:
    return (g, sum_to(subtensor(g, *dynamic, spec=spec), y), *[DISCONNECTED] * len(dynamic))


def _stored_jvp(added: bool) -> Callable[..., Any]:
    """The tangent of a store: the tangent of the value, stored into that of the array."""

    def jvp(tangents: Sequence[Any], out: Expr, x: Expr, y: Expr, *dynamic: Expr, spec: Spec) -> Any:
        t_x, t_y = tangents[:2]
        if t_y is None and added:
            return t_x
        t_x = zeros_for(x, out.type.dtype) if t_x is None else t_x
        t_y = constant(0, dtype=out.type.dtype) if t_y is None else t_y
        return (inc_subtensor_op if added else set_subtensor_op)(t_x, t_y, *dynamic, spec=spec)

    return jvp


def _set_gather_grad(g: Expr, out: Expr, x: Expr, y: Expr, *indices: Expr) -> tuple[Any, ...]:
    zero = constant(0, dtype=g.type.dtype)
    g_y = gather(g, *indices)
    if not surely_distinct(indices):
        won = _last_writer(x, indices)
        won = OPS["dimshuffle"](won, pattern=(*range(won.type.ndim), *["x"] * (g_y.type.ndim - won.type.ndim)))
        g_y = ew.switch(won, g_y, zero)
    return (set_gather_op(g, zero, *indices), sum_to(g_y, y), *[DISCONNECTED] * len(indices))


def _inc_gather_grad(g: Expr, out: Expr, x: Expr, y: Expr, *indices: Expr) -> tuple[Any, ...]:
    return (g, sum_to(gather(g, *indices), y), *[DISCONNECTED] * len(indices))


def _last_writer(x: Expr, indices: Sequence[Expr]) -> Expr:
    """Where the value at each place of the index arrays is the one that stays: of equal indices only the last."""
    places = linear_index(*broadcast_sizes([sizes_of(i) for i in indices]))
    owner = broadcast_to(constant(0, dtype="int64"), sizes_of(x)[: len(indices)])
    return ew.eq(gather(set_gather_op(owner, places, *indices), *indices), places)


def surely_distinct(indices: Sequence[Expr]) -> bool:
    """Whether no element is addressed twice, as far as the expressions tell: masks, constants, ``arange(n), y``."""
    sources = {i.args[0] for i in indices if i.op.name == "part"}
    if len(sources) == 1 and all(i.op.name == "part" for i in indices):
        (source,) = sources
        return source.op.name == "nonzero" and len({i.params["i"] for i in indices}) == source.args[0].type.ndim
    if any(_counts_along(i, indices) for i in indices):
        return True
    if all(isinstance(i, Constant) and (i.data >= 0).all() for i in indices):
        rows = np.stack([a.ravel() for a in np.broadcast_arrays(*[i.data for i in indices])], axis=1)
        return len(np.unique(rows, axis=0)) == len(rows)
    return False


def _counts_along(index: Expr, indices: Sequence[Expr]) -> bool:
    """Whether ``index`` is 0, 1, 2, ... and no other index broadcasts it to more places."""
    if index.op.name != "iota":
        return False
    size = sizes_of(index)[0]
    length = index.args[0] if isinstance(size, Expr) else size
    others = [sizes_of(i) for i in indices if i is not index]
    return all(len(s) == 1 and (s[0] in (1, length, size) or isinstance(size, int) and size != 1) for s in others)


def _store_op(
    name: str, store: Callable[..., None], infer: Any, grad: Any, doc: str, **fields: Any
) -> Callable[..., Expr]:
    def builder(op: Op, *args: Expr, **params: Any) -> Expr:
        return op(*args, **params)

    builder.__name__, builder.__doc__ = f"{name}_op", doc
    return op_record(
        "opaque", name=name, numpy=_on_copy(store), infer=infer, grad=grad, meta={"inplace": store},
        shape=lambda node, sizes, *_: sizes, **fields,
    )(builder)


set_subtensor_op = _store_op(
    "set_subtensor", _set_slice, _into_subtensor_type, _set_subtensor_grad,
    "``x`` with ``x[spec]`` replaced by ``y``, which broadcasts.", integers_from=2, jvp=_stored_jvp(False),
)
inc_subtensor_op = _store_op(
    "inc_subtensor", _inc_slice, _into_subtensor_type, _inc_subtensor_grad,
    "``x`` with ``y`` added to ``x[spec]``.", integers_from=2, jvp=_stored_jvp(True),
)
set_gather_op = _store_op(
    "set_gather", _set_items, _into_gather_type, _set_gather_grad,
    "``x`` with ``x[indices]`` replaced by ``y``; of equal indices the last value stays.",
)
inc_gather_op = _store_op(
    "inc_gather", _inc_items, _into_gather_type, _inc_gather_grad,
    "``x`` with ``y`` added at ``x[indices]``; equal indices add up.",
)
