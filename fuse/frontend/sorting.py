"""Order: sort, argsort, unique."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.errors import FuseValueError
from fuse.expr import Expr, as_expr
from fuse.frontend.axes import flatten
from fuse.frontend.lazy import by_axis
from fuse.frontend.parts import parts
from fuse.frontend.sizes import is_symbolic, normalize_axis
from fuse.op import DISCONNECTED, ZERO, Op, op_record
from fuse.types import TensorType, TupleType

_KINDS = ("quicksort", "mergesort", "heapsort", "stable")


def _along(x: Any, axis: Any) -> tuple[Expr, int]:
    """``x`` and the axis to sort along; None stands for the flattened ``x``."""
    x = as_expr(x)
    if axis is None:
        return flatten(x), 0
    return x, normalize_axis(axis, x.type.ndim)


def _sort_grad(g: Expr, out: Expr, x: Expr, axis: int) -> tuple[Any, ...]:
    """Each element gets the cotangent of the place that it went to."""
    from fuse.frontend.selecting import take_along_axis  # it imports this module

    place = argsort(argsort(x, axis), axis)
    return (take_along_axis(g, place, axis),)


def _ordered(op: Op, x: Any, axis: Any, kind: str | None, order: None, stable: bool | None) -> Expr:
    if order is not None:
        raise FuseValueError("The order argument is not applicable: it sorts records by field, and here are no fields")
    if kind is not None and stable is not None:
        raise FuseValueError("kind and stable cannot be set at the same time")
    if kind is not None and kind not in _KINDS:
        raise FuseValueError(f"kind must be one of {', '.join(_KINDS)}, not {kind!r}")
    if is_symbolic(axis) and as_expr(x).type.ndim:
        return by_axis(as_expr(axis), as_expr(x).type.ndim, lambda k: op(x, axis=k), op.name)
    x, axis = _along(x, axis)
    return op(x, axis=axis)


@also(a="x")
@op_record(
    "opaque", numpy=lambda x, axis: np.sort(x, axis=axis, kind="stable"), infer=lambda x, *, axis: x.type,
    shape=lambda node, s: s, grad=_sort_grad, traits="along",
)
def sort(
    op: Op, x: Any, axis: Any = -1, kind: str | None = None, order: None = None, stable: bool | None = None
) -> Expr:
    """The elements of ``x`` in rising order along ``axis`` (None: of the flattened ``x``); NaN comes last.

    Whatever ``kind`` and ``stable`` say, the sort is stable. ``axis`` may be a 0-d expression.
    Raises FuseValueError for a kind that NumPy has not.

    >>> import fuse.tensor as T
    >>> sort(T.constant([3.0, 1.0, 2.0])).eval()
    array([1., 2., 3.])
    """
    return _ordered(op, x, axis, kind, order, stable)


@also(a="x")
@op_record(
    "opaque", numpy=lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
    infer=lambda x, *, axis: TensorType("int64", x.type.shape), shape=lambda node, s: s,
    grad=lambda g, out, x, axis: (ZERO,), meta={"position": True}, traits="along",
)
def argsort(
    op: Op, x: Any, axis: Any = -1, kind: str | None = None, order: None = None, stable: bool | None = None
) -> Expr:
    """The positions (int64) that sort ``x`` along ``axis``; equal elements keep their order.

    >>> import fuse.tensor as T
    >>> argsort(T.constant([3.0, 1.0, 2.0])).eval()
    array([1, 2, 0])
    """
    return _ordered(op, x, axis, kind, order, stable)


# ---------------------------------------------------------------- unique
_RETURNS = ("index", "inverse", "counts")


def _unique_type(x: Expr, *, returns: tuple[str, ...], axis: int | None) -> Any:
    sizes: Any = x.type.shape if axis is None else (x.type.shape[axis],)
    total = None if None in sizes else math.prod(sizes)
    extra = [TensorType("int64", (total if r == "inverse" else None,)) for r in returns]
    shape = (None,) if axis is None else [None if a == axis else n for a, n in enumerate(x.type.shape)]
    return TupleType((TensorType(x.type.dtype, shape), *extra))


def _unique_numpy(x: Any, returns: tuple[str, ...], axis: int | None) -> list[Any]:
    flags: Any = {f"return_{r}": True for r in returns}
    found: Any = np.unique(x.ravel() if axis is None else x, axis=axis, **flags)
    values, *rest = found if returns else (found,)
    return [values, *[r.ravel().astype("int64", copy=False) for r in rest]]


@op_record(
    "opaque", name="unique", numpy=_unique_numpy, infer=_unique_type,
    grad=lambda g, out, x, returns, axis: (DISCONNECTED,),
)
def _unique(op: Op, x: Expr, *, returns: tuple[str, ...], axis: int | None) -> Expr:
    """The distinct values of ``x`` in order, and what ``returns`` names."""
    return op(x, returns=returns, axis=axis)


def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None,
) -> Any:
    """The distinct elements of ``ar`` in ascending order, or with ``axis`` its distinct parts along that axis.

    With flags a list, in which int64 vectors follow: the first position of each, for each element of flat ``ar`` (each
    part along ``axis``) the position of its value, how often each occurs.

    >>> import fuse.tensor as T
    >>> v = T.lvector("v")
    >>> values, counts = unique(v, return_counts=True)
    >>> counts.eval({v: [3, 1, 3]})
    array([1, 2])
    """
    flags = zip(_RETURNS, (return_index, return_inverse, return_counts), strict=True)
    returns = tuple([name for name, wanted in flags if wanted])
    x = as_expr(ar)
    along = None if axis is None else normalize_axis(axis, x.type.ndim)
    found = parts(_unique(x, returns=returns, axis=along))
    return found if returns else found[0]


__all__ = ["argsort", "sort", "unique"]
