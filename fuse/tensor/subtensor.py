"""Theano's deep path to indexing: ``tensor.subtensor``."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseIndexError as AdvancedIndexingError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.indexing import inc_subtensor as inc_subtensor
from fuse.frontend.indexing import set_subtensor as set_subtensor
from fuse.frontend.selecting import take as take
from fuse.frontend.sizes import as_size, static_int
from fuse.internals import lookup as _lookup
from fuse.tensor.op_classes import AdvancedBooleanIncSubtensor as AdvancedBooleanIncSubtensor
from fuse.tensor.op_classes import AdvancedBooleanSubtensor as AdvancedBooleanSubtensor
from fuse.tensor.op_classes import AdvancedIncSubtensor as AdvancedIncSubtensor
from fuse.tensor.op_classes import AdvancedIncSubtensor1 as AdvancedIncSubtensor1
from fuse.tensor.op_classes import AdvancedSubtensor as AdvancedSubtensor
from fuse.tensor.op_classes import AdvancedSubtensor1 as AdvancedSubtensor1
from fuse.tensor.op_classes import IncSubtensor as IncSubtensor
from fuse.tensor.op_classes import Subtensor as Subtensor

advanced_subtensor, advanced_subtensor1 = AdvancedSubtensor(), AdvancedSubtensor1()
advanced_boolean_subtensor = AdvancedBooleanSubtensor()
advanced_inc_subtensor, advanced_inc_subtensor1 = AdvancedIncSubtensor(), AdvancedIncSubtensor1()
advanced_boolean_inc_subtensor = AdvancedBooleanIncSubtensor()
advanced_set_subtensor = AdvancedIncSubtensor(set_instead_of_inc=True)
advanced_set_subtensor1 = AdvancedIncSubtensor1(set_instead_of_inc=True)
advanced_boolean_set_subtensor = AdvancedBooleanIncSubtensor(set_instead_of_inc=True)


def get_canonical_form_slice(theslice: Any, length: Any) -> tuple[Any, Any]:
    """A slice with start and stop between 0 and ``length`` and a step that is positive, and 1 or -1 for the direction.

    An integer or expression comes back as it is (counted from the start where negative), with 1. The elements are
    those of ``theslice``; with -1 in the opposite order.

    >>> get_canonical_form_slice(slice(None, None, -2), 5)
    (slice(0, 5, 2), -1)
    """
    if not isinstance(theslice, slice):
        at = theslice if isinstance(theslice, int) else as_expr(theslice)
        if isinstance(at, int) and isinstance(length, int):
            return (at + length if at < 0 else at), 1
        return ew.switch(ew.lt(at, 0), ew.add(at, length), at), 1
    step = 1 if theslice.step is None else as_size(theslice.step, "a step")
    whole = isinstance(step, int) and isinstance(length, int)
    if whole and all(isinstance(v, (int, type(None))) for v in (theslice.start, theslice.stop)):
        places = range(*theslice.indices(length))
        if step > 0:
            return slice(places.start, max(places.start, places.stop), step), 1
        if not places:
            return slice(0, 0, -step), -1
        return slice(places[-1], places[0] + 1, -step), -1
    n = as_expr(length)
    up, down = _rising(theslice, n, step), _falling(theslice, n, step)
    if isinstance(step, int):
        return (slice(*up, step), 1) if step > 0 else (slice(*down, -step), -1)
    rises = ew.gt(step, 0)
    start, stop = [ew.switch(rises, u, d) for u, d in zip(up, down, strict=True)]
    return slice(start, stop, ew.abs(step)), ew.switch(rises, 1, -1)


def _clipped(value: Any, n: Expr, low: Any, high: Any, default: Any) -> Expr:
    if value is None:
        return as_expr(default)
    value = as_expr(value)
    return ew.clip(ew.switch(ew.lt(value, 0), ew.add(value, n), value), low, high)


def _rising(places: slice, n: Expr, step: Any) -> tuple[Expr, Expr]:
    """(start, stop) of a slice with a positive step of ``n`` elements."""
    start = _clipped(places.start, n, 0, n, 0)
    return start, ew.maximum(start, _clipped(places.stop, n, 0, n, n))


def _falling(places: slice, n: Expr, step: Any) -> tuple[Expr, Expr]:
    """(start, stop) of the elements of a slice with a negative step, in rising order."""
    last = ew.sub(n, 1)
    start, stop = _clipped(places.start, n, -1, last, last), _clipped(places.stop, n, -1, last, -1)
    back = ew.neg(step) if isinstance(step, Expr) else max(-step, 1)
    count = ew.maximum(ew.int_div(ew.add(ew.sub(start, stop), ew.sub(back, 1)), back), 0)
    first = ew.maximum(ew.sub(start, ew.mul(ew.sub(count, 1), back)), 0)
    return first, ew.switch(ew.gt(count, 0), ew.add(start, 1), first)


def get_idx_list(inputs: Any, idx_list: Any) -> tuple[Any, ...]:
    """The index of ``Subtensor(idx_list)(*inputs)``."""
    return tuple(idx_list)


def as_index_literal(idx: Any) -> Any:
    """What an index is known to be: an integer, None or a slice of such; an expression that is not constant stays.

    >>> as_index_literal(slice(as_expr(1), None))
    slice(1, None, None)
    """
    if isinstance(idx, slice):
        return slice(*[as_index_literal(part) for part in (idx.start, idx.stop, idx.step)])
    found = None if idx is None else static_int(idx)
    return idx if found is None else found


def basic_shape(shape: Any, indices: Any) -> tuple[Any, ...]:
    """The sizes of ``x[indices]``, for integers, slices and None, and an ``x`` of the sizes ``shape``."""
    return indexed_result_shape(shape, indices)


def indexed_result_shape(array_shape: Any, indices: Any, indices_are_shapes: bool = False) -> tuple[Any, ...]:
    """The sizes of ``x[indices]`` for an ``x`` of the sizes ``array_shape``.

    >>> indexed_result_shape((3, 4), (slice(1, None), 0))
    (2,)
    """
    from fuse.frontend.creation import zeros
    from fuse.frontend.sizes import sizes_of

    found = [zeros(tuple(i), dtype="int64") if indices_are_shapes and isinstance(i, tuple) else i for i in indices]
    return sizes_of(zeros(tuple(array_shape))[tuple(found)])


__all__ = [
    "AdvancedBooleanIncSubtensor", "AdvancedBooleanSubtensor", "AdvancedIndexingError", "indexed_result_shape",
    "AdvancedIncSubtensor", "AdvancedIncSubtensor1",
    "AdvancedSubtensor", "AdvancedSubtensor1", "IncSubtensor", "Subtensor", "advanced_boolean_inc_subtensor",
    "advanced_boolean_set_subtensor", "advanced_boolean_subtensor", "advanced_inc_subtensor",
    "advanced_inc_subtensor1", "advanced_set_subtensor", "advanced_set_subtensor1", "advanced_subtensor",
    "advanced_subtensor1", "as_index_literal", "basic_shape", "get_canonical_form_slice",
    "get_idx_list", "inc_subtensor", "set_subtensor", "take",
]

_inside = _lookup(__name__)


def __getattr__(name: str) -> Any:
    if name in ("flip", "slice_at_axis", "specify_broadcastable"):
        import fuse.tensor

        return getattr(fuse.tensor, name)
    return _inside(name)
