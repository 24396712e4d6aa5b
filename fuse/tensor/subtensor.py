"""Theano's deep path to indexing: ``tensor.subtensor``."""
from __future__ import annotations

from typing import Any

from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.indexing import inc_subtensor as inc_subtensor
from fuse.frontend.indexing import set_subtensor as set_subtensor
from fuse.frontend.selecting import take as take
from fuse.frontend.sizes import as_size
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


def get_canonical_form_slice(theslice: Any, length: Any) -> tuple[Any, int]:
    """A slice with start and stop between 0 and ``length`` and a step that is positive, and 1 or -1 for the direction.

    An integer or expression comes back as it is (counted from the start where negative), with 1. The elements are
    those of ``theslice``; with -1 in the opposite order. Steps are integers known while the graph is built.

    >>> get_canonical_form_slice(slice(None, None, -2), 5)
    (slice(0, 5, 2), -1)
    """
    if not isinstance(theslice, slice):
        at = theslice if isinstance(theslice, int) else as_expr(theslice)
        if isinstance(at, int) and isinstance(length, int):
            return (at + length if at < 0 else at), 1
        return ew.switch(ew.lt(at, 0), ew.add(at, length), at), 1
    step = 1 if theslice.step is None else as_size(theslice.step, "a step")
    if not isinstance(step, int):
        raise TypeError("the step of a slice is an integer known while the graph is built")
    if all(isinstance(v, (int, type(None))) for v in (theslice.start, theslice.stop)) and isinstance(length, int):
        places = range(*theslice.indices(length))
        if step > 0:
            return slice(places.start, max(places.start, places.stop), step), 1
        if not places:
            return slice(0, 0, -step), -1
        return slice(places[-1], places[0] + 1, -step), -1
    n = as_expr(length)

    def clipped(value: Any, low: Any, high: Any, default: Any) -> Expr:
        if value is None:
            return as_expr(default)
        value = as_expr(value)
        return ew.clip(ew.switch(ew.lt(value, 0), ew.add(value, n), value), low, high)

    if step > 0:
        start = clipped(theslice.start, 0, n, 0)
        return slice(start, ew.maximum(start, clipped(theslice.stop, 0, n, n)), step), 1
    last = ew.sub(n, 1)
    start, stop = clipped(theslice.start, -1, last, last), clipped(theslice.stop, -1, last, -1)
    count = ew.maximum(ew.int_div(ew.add(ew.sub(start, stop), -step - 1), -step), 0)
    first = ew.maximum(ew.add(start, ew.mul(ew.sub(count, 1), step)), 0)
    return slice(first, ew.switch(ew.gt(count, 0), ew.add(start, 1), first), -step), -1


def get_idx_list(inputs: Any, idx_list: Any) -> tuple[Any, ...]:
    """The index of ``Subtensor(idx_list)(*inputs)``."""
    return tuple(idx_list)


__all__ = [
    "AdvancedBooleanIncSubtensor", "AdvancedBooleanSubtensor", "AdvancedIncSubtensor", "AdvancedIncSubtensor1",
    "AdvancedSubtensor", "AdvancedSubtensor1", "IncSubtensor", "Subtensor", "advanced_boolean_inc_subtensor",
    "advanced_boolean_set_subtensor", "advanced_boolean_subtensor", "advanced_inc_subtensor",
    "advanced_inc_subtensor1", "advanced_set_subtensor", "advanced_set_subtensor1", "advanced_subtensor",
    "advanced_subtensor1", "get_canonical_form_slice", "get_idx_list", "inc_subtensor", "set_subtensor", "take",
]
