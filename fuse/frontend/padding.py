"""pad: elements added at both ends of axes, in each of NumPy's modes."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseValueError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend import reductions
from fuse.frontend.asserting import required
from fuse.frontend.creation import alloc, linspace
from fuse.frontend.join import join, slice_axis
from fuse.frontend.layout import broadcast_to, iota
from fuse.frontend.sizes import Size, as_size, as_size_expr, size_add, size_max, size_min, size_sub, sizes_of
from fuse.types import DISCRETE, INTEGER

Pair = tuple[Any, Any]
Pad = Callable[[Expr, int, Size, Size, Pair], Expr]


def pad(
    x: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = 0, *, end_values: Any = 0,
    stat_length: Any = None, reflect_type: str = "even",
) -> Expr:
    """``x`` with elements added at both ends of its axes, as ``numpy.pad``: mode 'constant', 'edge', 'linear_ramp',
    'maximum', 'mean', 'median', 'minimum', 'reflect', 'symmetric', 'wrap' or 'empty' (zeros).

    Widths are integers or integer expressions: a number, a pair (before, after), or a pair for each axis; so are
    ``stat_length``, of how many elements at an end the mean and the like are taken (None: all), and
    ``constant_values`` and ``end_values``, to which ramps lead, of numbers.
    Raises FuseValueError for another mode, for negative widths, and for reflect_type 'odd'.

    >>> pad([1, 2, 3], (1, 2)).eval()
    array([0, 1, 2, 3, 0, 0])
    >>> pad([2.0, 4.0], 1, "mean").eval()
    array([3., 2., 4., 3.])
    """
    x = as_expr(x)
    if mode not in _PADDING:
        raise FuseValueError(f"Invalid mode: {mode}; pad has {', '.join(_PADDING)}")
    if reflect_type != "even":
        raise FuseValueError(f"pad reflects with reflect_type='even' only, not {reflect_type!r}")
    widths = [tuple([_width(n) for n in pair]) for pair in _pairs(pad_width, x.type.ndim, "pad_width")]
    given = {"linear_ramp": end_values, **dict.fromkeys(_STATISTICS, stat_length)}.get(mode, constant_values)
    values = _pairs(given, x.type.ndim, "a value of pad")
    for axis, (before, after) in enumerate(widths):
        if _is_some(before) or _is_some(after):
            x = _PADDING[mode](x, axis, before, after, values[axis])
    return x


def _pairs(value: Any, ndim: int, what: str) -> list[Pair]:
    """What holds before and after each axis, from a number, a pair, or a pair for each axis."""
    if isinstance(value, Expr) and value.type.ndim:
        whole = broadcast_to(value, (ndim, 2))
        return [(whole[a, 0], whole[a, 1]) for a in range(ndim)]
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return [(value, value)] * ndim
    rows = [_pair(v) if isinstance(v, (list, tuple, np.ndarray)) else None for v in value]
    if all(r is None for r in rows):
        rows = [_pair(value)]
    if None in rows or len(rows) not in (1, ndim):
        raise FuseValueError(f"{what} is a number, a pair, or a pair for each of {ndim} axes, not {value!r:.80}")
    return [r for r in rows if r is not None] * (ndim if len(rows) == 1 else 1)


def _pair(value: Any) -> Pair:
    items = list(value)
    if len(items) not in (1, 2):
        raise FuseValueError(f"pad takes pairs (before, after), not {value!r:.80}")
    return items[0], items[-1]


def _width(n: Any, what: str = "a pad width") -> Size:
    size = as_size(n, what)
    text = f"{what} is not negative: {n}"
    if isinstance(size, int):
        if size < 0:
            raise FuseValueError(text)
        return size
    return required(size, [ew.ge(size, 0)], f"{what} is not negative", "FuseValueError")


def _is_some(n: Size) -> bool:
    return isinstance(n, Expr) or n != 0


def _joined(x: Expr, axis: int, before: Size, after: Size, blocks: Sequence[Expr]) -> Expr:
    parts = (blocks[0], before), (x, 1), (blocks[1], after)
    return join(axis, *[p for p, n in parts if _is_some(n)])


def _block(x: Expr, axis: int, n: Size, value: Expr) -> Expr:
    """``value``, of size 1 along ``axis`` or of no axes, ``n`` times."""
    return alloc(ew.cast(value, x.type.dtype), *[n if a == axis else size for a, size in enumerate(sizes_of(x))])


def _constant(x: Expr, axis: int, before: Size, after: Size, values: Pair) -> Expr:
    return _joined(x, axis, before, after, [
        _block(x, axis, n, as_expr(v)) for n, v in zip((before, after), values, strict=True)
    ])


def _ends(x: Expr, axis: int) -> tuple[Expr, Expr]:
    return slice_axis(x, axis, None, 1), slice_axis(x, axis, -1, None)


def _ramps(x: Expr, axis: int, before: Size, after: Size, values: Pair) -> Expr:
    """Equal steps from ``values`` to the elements at the ends; of integers rounded down, as in NumPy."""
    blocks = []
    for n, end, value in zip((before, after), _ends(x, axis), values, strict=True):
        edge = reductions.sum(end, axis=axis, dtype=x.type.dtype)  # of one element: without the axis
        blocks.append(linspace(as_expr(value), edge, n, endpoint=False, dtype=x.type.dtype, axis=axis))
    back = tuple([slice(None)] * axis + [slice(None, None, -1)])
    return _joined(x, axis, before, after, [blocks[0], blocks[1][back]])


def _from(position: Any) -> Pad:
    """Padding by the elements at ``position(offset from the first element, size)``."""

    def padded(x: Expr, axis: int, before: Size, after: Size, values: Pair) -> Expr:
        n = sizes_of(x)[axis]
        offset = ew.sub(iota(size_add(n, size_add(before, after))), as_size_expr(before))
        return x[(slice(None),) * axis + (position(offset, n),)]

    return padded


def _mirror(offset: Expr, n: Any, period: Any, shift: int) -> Expr:
    place = ew.mod(offset, period)
    return ew.minimum(place, ew.sub(ew.sub(period, shift), place))


def _statistic(name: str) -> Pad:
    """Padding by a value of the first elements, and one of the last."""

    def padded(x: Expr, axis: int, before: Size, after: Size, lengths: Pair) -> Expr:
        n, found = sizes_of(x)[axis], []
        for k, length in enumerate(lengths):
            count = n if length is None else size_min(_width(length, "stat_length"), n)
            if isinstance(count, int) and count < 1 and name in ("maximum", "minimum"):
                raise FuseValueError(f"stat_length {count} leaves nothing to take the {name} of")
            part = x
            if length is not None:
                part = slice_axis(x, axis, *((None, count) if k == 0 else (size_max(size_sub(n, count), 0), None)))
            found.append(_value(name, part, axis, x.type.dtype))
        blocks = [_block(x, axis, m, v) for m, v in zip((before, after), found, strict=True)]
        return _joined(x, axis, before, after, blocks)

    return padded


def _value(name: str, x: Expr, axis: int, dtype: str) -> Expr:
    from fuse.frontend.statistics import mean

    if name == "median":
        from fuse.frontend.ranking import median

        value = median(x, axis=axis, keepdims=True)
    else:
        value = {"maximum": reductions.max, "minimum": reductions.min, "mean": mean}[name](
            x, axis=axis, keepdims=True
        )
    return ew.round_half_to_even(value) if dtype in INTEGER and value.type.dtype not in DISCRETE else value


_STATISTICS = ("maximum", "mean", "median", "minimum")
_PADDING: dict[str, Pad] = {
    "constant": _constant,
    "edge": _from(lambda i, n: ew.clip(i, 0, ew.sub(as_size_expr(n), 1))),
    "linear_ramp": _ramps,
    **{name: _statistic(name) for name in _STATISTICS},
    "reflect": _from(lambda i, n: _mirror(i, n, size_max(n * 2 - 2, 1), 0)),
    "symmetric": _from(lambda i, n: _mirror(i, n, n * 2, 1)),
    "wrap": _from(lambda i, n: ew.mod(i, n)),
    "empty": lambda x, axis, before, after, values: _constant(x, axis, before, after, (constant(0), constant(0))),
}

__all__ = ["pad"]
