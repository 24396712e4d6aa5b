"""Basic indexing as data: the entries of a spec, the bounds they must keep, and the lengths they give.

A spec holds one entry per leading axis: ``("int", v)`` removes the axis, ``("slice", start, stop, step)`` keeps it.
``v``, ``start``, ``stop``, ``step`` are ints, None, or ``("arg", k)``: dynamic argument number k of the node.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.errors import FuseIndexError, FuseValueError
from fuse.expr import Expr
from fuse.frontend import elementwise as ew
from fuse.frontend.sizes import Size, size_add, size_floordiv, size_max, size_min, size_sub
from fuse.types import Shape

Spec = tuple[tuple[Any, ...], ...]

FULL = ("slice", None, None, None)
# An axis that the gather above this node indexes. As a slice it is FULL; written with an explicit step it tells
# ``x[1:, i]`` (one index expression on x) from ``x[1:][:, i]`` (two), which set_subtensor must keep apart.
GATHERED = ("slice", None, None, 1)


def is_dynamic(value: Any) -> bool:
    return isinstance(value, tuple)


def trimmed(spec: Sequence[tuple[Any, ...]]) -> Spec:
    """``spec`` without trailing full slices: ``x[0, :]`` is ``x[0]``."""
    entries = list(spec)
    while entries and entries[-1] == FULL:
        entries.pop()
    return tuple(entries)


def unmarked(spec: Spec) -> Spec:
    """``spec`` with GATHERED axes as ordinary full slices, trimmed."""
    return trimmed([FULL if entry == GATHERED else entry for entry in spec])


def resolve(spec: Spec, dynamic: Sequence[Any]) -> list[tuple[Any, ...]]:
    """``spec`` with its dynamic arguments put in (values at run time, expressions in shape rules)."""
    return [(e[0], *[dynamic[v[1]] if is_dynamic(v) else v for v in e[1:]]) for e in spec]


def numpy_index(spec: Spec, dynamic: Sequence[Any]) -> tuple[Any, ...]:
    """The NumPy index that ``spec`` means for these run-time values."""
    entries = resolve(spec, [int(v) for v in dynamic])
    return tuple([e[1] if e[0] == "int" else slice(*e[1:]) for e in entries])


def sliced_shape(spec: Spec, shape: Shape) -> Shape:
    """The static shape of ``x[spec]`` for ``x`` of static ``shape``; raises where an index is surely out of bounds."""
    if len(spec) > len(shape):
        raise FuseIndexError(f"too many indices: {len(spec)} for {len(shape)} dimensions")
    out: list[int | None] = []
    for axis, entry in enumerate(spec):
        size = shape[axis]
        if entry[0] == "int":
            check_bounds(entry[1], size, axis)
        else:
            out.append(_static_length(size, *entry[1:]))
    return (*out, *shape[len(spec):])


def check_bounds(index: Any, size: int | None, axis: int) -> None:
    """Raise FuseIndexError where a constant index is outside an axis of known size."""
    if size is not None and not is_dynamic(index) and not -size <= index < size:
        raise FuseIndexError(f"index {index} is out of bounds for axis {axis} with size {size}")


def _static_length(size: int | None, start: Any, stop: Any, step: Any) -> int | None:
    if step == 0 and not is_dynamic(step):
        raise FuseValueError("slice step cannot be zero")
    if (start, stop, step) in ((None, None, None), (None, None, 1), (None, None, -1)):
        return size
    if size == 0:
        return 0
    if any(map(is_dynamic, (start, stop, step))):
        return None
    if size is not None:
        return len(range(*slice(start, stop, step).indices(size)))
    # Of an axis of unknown size: sure only where the bounds cross whatever the size is.
    ahead = step is None or step > 0
    if ahead and stop == 0:
        return 0
    if start is None or stop is None or (start < 0) != (stop < 0):
        return None
    return 0 if (stop <= start if ahead else start <= stop) else None


# ---------------------------------------------------------------- symbolic lengths: NumPy's formula in integers
def sliced_sizes(spec: Spec, dynamic: Sequence[Expr], sizes: Sequence[Size]) -> tuple[Size, ...]:
    """The sizes of ``x[spec]``, ints or 0-d int64 expressions, for the sizes of ``x``."""
    entries = resolve(spec, dynamic)
    out = [slice_length(n, *e[1:]) for n, e in zip(sizes, entries, strict=False) if e[0] == "slice"]
    return (*out, *sizes[len(spec):])


def slice_length(size: Size, start: Any, stop: Any, step: Any) -> Size:
    """The length of ``range(size)[start:stop:step]``, where each of the four may be a 0-d int64 expression.

    >>> slice_length(10, 8, None, -3)
    3
    """
    if not any(isinstance(v, Expr) for v in (size, start, stop, step)):
        return len(range(*slice(start, stop, step).indices(size)))
    if step is None or isinstance(step, int) and step > 0:
        return _forward(size, start, stop, 1 if step is None else step)
    if isinstance(step, int):
        return _backward(size, start, stop, -step)
    forward = _forward(size, start, stop, size_max(step, 1))
    backward = _backward(size, start, stop, size_max(size_sub(0, step), 1))
    return ew.switch(ew.gt(step, 0), forward, backward)


def _forward(size: Size, start: Any, stop: Any, step: Size) -> Size:
    last = size if stop is None else _bound(stop, size)
    if start is None or isinstance(start, int) and start == 0:
        return _steps(last, step)
    if stop is None and isinstance(start, int) and start < 0:
        return _steps(size_min(size, -start), step)
    first = start if stop is None and isinstance(start, int) else _bound(start, size)
    return _steps(size_max(size_sub(last, first), 0), step)


def _backward(size: Size, start: Any, stop: Any, step: Size) -> Size:
    # Positions counted from the end turn x[start:stop:-step] into a forward walk: p = size - 1 - i.
    end = size_sub(size, 1)
    last = size if stop is None else size_min(size_max(size_sub(end, _wrapped(stop, size)), 0), size)
    if start is None:
        return _steps(last, step)
    first = size_max(size_sub(end, _wrapped(start, size)), 0)
    return _steps(size_max(size_sub(last, first), 0), step)


def _steps(span: Size, step: Size) -> Size:
    return size_floordiv(size_add(span, size_sub(step, 1)), step)


def _wrapped(index: Any, size: Size) -> Size:
    """``index`` with a negative one counted from the end."""
    if isinstance(index, int):
        return index if index >= 0 else size_add(size, index)
    return ew.switch(ew.lt(index, 0), size_add(index, size), index)


def _bound(index: Any, size: Size) -> Size:
    """``index`` as a position 0..size."""
    if isinstance(index, int):
        return size_min(index, size) if index >= 0 else size_max(size_add(size, index), 0)
    return size_min(size_max(_wrapped(index, size), 0), size)
