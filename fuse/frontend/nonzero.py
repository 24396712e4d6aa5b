"""nonzero: the positions of the true elements, a node with one result per axis; what bool masks become."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.errors import FuseIndexError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.jumps import PLACES
from fuse.frontend.parts import parts
from fuse.frontend.sizes import as_size_expr
from fuse.op import Op, op_record
from fuse.types import TensorType, TupleType


def _type(x: Expr, *sizes: Expr) -> Any:
    if not x.type.ndim:
        raise ShapeError("nonzero of a scalar has no axis to count along: use switch, or reshape(x, (1,)) first")
    return TupleType((TensorType("int64", (None,)),) * x.type.ndim)


def _numpy(x: Any, *sizes: Any) -> list[Any]:
    want = tuple(map(int, sizes))
    if sizes and want != x.shape:
        raise FuseIndexError(f"a bool index of shape {x.shape} does not match the indexed axes, of sizes {want}")
    return [i.astype("int64", copy=False) for i in np.nonzero(x)]


@op_record(
    "opaque", name="nonzero", numpy=_numpy, infer=_type,
    meta={"undefined": PLACES, "sizes_from": 1, "position": True},
)
def nonzero_op(op: Op, x: Expr, *sizes: Expr) -> Expr:
    """The positions of the elements of ``x`` that are not 0, one vector per axis; ``sizes``: the shape x must have."""
    return op(x, *sizes)


def nonzero_within(mask: Expr, sizes: Sequence[Any]) -> Sequence[Expr]:
    """One index vector per axis of ``mask``; at run time its shape must be ``sizes`` where these are given."""
    if isinstance(mask, Constant):
        places: list[Expr] = [constant(i.astype("int64")) for i in np.nonzero(mask.data)]
        open_ = [(n, m) for n, m in zip(sizes, mask.data.shape, strict=False) if not isinstance(n, int)]
        if open_:  # the positions are known, whether they fit is not
            text = f"a bool index of shape {mask.data.shape} does not match the indexed axes"
            fits = [ew.eq(as_size_expr(n), constant(m, dtype="int64")) for n, m in open_]
            places[0] = required(places[0], fits, text, "FuseIndexError")
        return places
    return parts(nonzero_op(mask, *map(as_size_expr, sizes)))


def nonzero(a: Any, return_matrix: bool = False) -> Any:
    """The positions of the nonzero elements: a tuple of int64 vectors, one per axis, in C order.

    ``return_matrix=True`` gives one matrix with a row per axis instead. Raises ShapeError for scalars.

    >>> import fuse.tensor as T
    >>> rows, columns = nonzero(T.matrix("m"))
    >>> rows.type
    TensorType(int64, vector)
    """
    a = as_expr(a)
    if not a.type.ndim:
        _type(a)
    found = tuple(nonzero_within(a, ()))
    if not return_matrix:
        return found
    from fuse.frontend.join import stack

    return stack(found)


def flatnonzero(a: Any) -> Expr:
    """The positions of the nonzero elements of ``a`` in C order, as a vector.

    Raises ShapeError for a number.

    >>> flatnonzero([[0, 5], [7, 0]]).eval()
    array([1, 2])
    """
    from fuse.frontend.layout import reshape

    a = as_expr(a)
    if a.type.ndim == 0:
        raise ShapeError("flatnonzero takes an array: a number has no positions")
    return nonzero_within(a if a.type.ndim == 1 else reshape(a, (-1,)), ())[0]


def argwhere(a: Any) -> Expr:
    """The positions of the nonzero elements as a matrix with one row per element.

    Raises ShapeError for scalars.

    >>> argwhere([[0, 5], [7, 0]]).eval()
    array([[0, 1],
           [1, 0]])
    """
    return ew.cast(nonzero(a, return_matrix=True), "int64").T


@also(condition="cond", first="ift", second="iff")
def where(cond: Any, ift: Any = None, iff: Any = None, **options: Any) -> Any:
    """``ift`` where ``cond`` holds, ``iff`` elsewhere (``switch``); of ``cond`` alone, the positions where it holds.

    Raises FuseValueError where one of the two values is given without the other.

    >>> where([True, False], 1.0, [2.0, 3.0]).eval(), where([0, 3])[0].eval()
    (array([1., 3.]), array([1]))
    """
    if (ift is None) != (iff is None):
        raise FuseValueError("where takes either both values or neither of them")
    return nonzero(cond, **options) if ift is None else ew.switch(cond, ift, iff, **options)


where.op = ew.switch.op  # type: ignore[attr-defined]  # so that node.op == where is true of a switch
__all__ = ["argwhere", "flatnonzero", "nonzero", "where"]
