"""``x[...]``: any NumPy index as subtensor, gather and dimshuffle; set_subtensor and inc_subtensor go back."""
from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseError, FuseIndexError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant, holds_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.nonzero import nonzero_within
from fuse.frontend.sizes import make_vector, shape_i, sizes_of, static_int
from fuse.frontend.slices import FULL, GATHERED, Spec, trimmed, unmarked
from fuse.frontend.subtensor import (
    gather,
    inc_gather_op,
    inc_subtensor_op,
    set_gather_op,
    set_subtensor_op,
    subtensor,
)
from fuse.frozen import dataclass
from fuse.types import shape_text

# GAP: an ellipsis that stands for no axis. It separates index arrays all the same.
INT, SLICE, NEW, ARRAY, MASK, GAP = "int", "slice", "new", "array", "mask", "gap"


@dataclass(frozen=True)
class Item:
    """One part of an index. ``axis`` is the axis of x it works on; None for newaxis and for a 0-d mask."""

    kind: str
    value: Any = None
    axis: int | None = None


# ---------------------------------------------------------------- reading the index
def _items(x: Expr, index: Any) -> list[Item]:
    """The parts of ``index``, masks as their nonzero positions, the ellipsis as slices, each with its axis."""
    if isinstance(index, list) and any(isinstance(e, slice) or e is None or e is Ellipsis for e in index):
        index = tuple(index)  # as older NumPys took it
    entries = index if isinstance(index, tuple) else (index,)
    found = [e if e is Ellipsis else _item(e) for e in entries]
    used = sum(_axes_used(i) for i in found if i is not Ellipsis)
    if found.count(Ellipsis) > 1:
        raise FuseIndexError("an index has at most one ellipsis (...)")
    if used > x.type.ndim:
        raise FuseIndexError(
            f"too many indices: {x.name or 'the expression'} is a {x.type.describe()} with {x.type.ndim} dimensions, "
            f"the index takes {used}"
        )
    rest = [Item(SLICE, FULL)] * (x.type.ndim - used)
    if Ellipsis in found:
        at = found.index(Ellipsis)
        found[at : at + 1] = rest or [Item(GAP)]
    else:
        found += rest
    out: list[Item] = []
    axis = 0
    for item in found:
        assert isinstance(item, Item)
        if item.kind == MASK and item.value.type.ndim:
            out += [Item(ARRAY, i, axis + k) for k, i in enumerate(_mask_positions(x, item.value, axis))]
        elif item.kind == MASK:  # a 0-d mask adds an axis of length 0 or 1
            out.append(Item(ARRAY, nonzero_within(_one_element(item.value), ())[0]))
        else:
            out.append(item if item.kind in (NEW, GAP) else Item(item.kind, item.value, axis))
        axis += _axes_used(item)
    return out


def _one_element(mask: Expr) -> Expr:
    return constant(mask.data.reshape(1)) if isinstance(mask, Constant) else reshape(mask, (1,))


def _axes_used(item: Item) -> int:
    return item.value.type.ndim if item.kind == MASK else 0 if item.kind in (NEW, GAP) else 1


def _item(entry: Any) -> Item:
    if entry is None:
        return Item(NEW)
    if isinstance(entry, slice):
        return Item(SLICE, ("slice", *[_bound(v) for v in (entry.start, entry.stop, entry.step)]))
    if isinstance(entry, (bool, np.bool_)):
        return Item(MASK, constant(bool(entry)))
    if not isinstance(entry, (Expr, list, np.ndarray)) and hasattr(entry, "__index__"):
        return Item(INT, operator.index(entry))
    return _array_item(entry)


def _array_item(entry: Any) -> Item:
    if isinstance(entry, (list, tuple)) and not holds_expr(entry) and np.size(entry) == 0:
        entry = np.zeros(np.shape(entry), "int64")  # NumPy takes an empty list as indices, too
    try:
        expr = as_expr(entry)
    except FuseError:
        raise FuseTypeError(f"{_MEANING}; {entry!r:.60} is a {type(entry).__name__}") from None
    dtype = expr.type.dtype
    if dtype == "bool":
        return Item(MASK, expr)
    if dtype not in ty.INTEGER:
        raise FuseTypeError(
            f"{_MEANING}; this one is a {expr.type.describe()}: cast it with .astype('int64'), or use a comparison "
            f"(x[y > 0]) where a mask is meant"
        )
    if expr.type.ndim:
        return Item(ARRAY, expr)
    known = static_int(expr)
    return Item(INT, _int64(expr) if known is None else known)


_MEANING = "an index is an integer, a slice, None, ..., an integer array or a bool array"


def _bound(value: Any) -> Any:
    """A start, stop or step: an int, None, or a 0-d int64 expression."""
    if value is None:
        return None
    known = None if isinstance(value, (bool, np.bool_)) else static_int(value)
    if known is not None:
        return known
    if hasattr(value, "__index__") and not isinstance(value, (Expr, bool, np.bool_)):
        return operator.index(value)
    if isinstance(value, Expr) and value.type.ndim == 0 and value.type.dtype in ty.INTEGER:
        return _int64(value)
    what = value.type.describe() if isinstance(value, Expr) else repr(value)
    raise FuseTypeError(f"slice bounds are integers or 0-d integer expressions, not {what}")


def _int64(value: Expr) -> Expr:
    """An index or a bound as int64: what is too large for that is beyond every end, too."""
    if value.type.dtype == "uint64":
        value = ew.minimum(value, constant(2**63 - 1, dtype="uint64"))
    return value if value.type.dtype == "int64" else ew.cast(value, "int64")


def _mask_positions(x: Expr, mask: Expr, axis: int) -> Sequence[Expr]:
    """The positions of the true elements of ``mask``, which covers the axes of ``x`` from ``axis`` on."""
    covered = x.type.shape[axis : axis + mask.type.ndim]
    for k, (n, m) in enumerate(zip(covered, mask.type.shape, strict=True)):
        if n is not None and m is not None and n != m:
            raise FuseIndexError(
                f"a bool index of shape {shape_text(mask.type.shape)} does not match axis {axis + k}, "
                f"which has size {n}"
            )
    sizes = [shape_i(x, axis + k) for k in range(mask.type.ndim)]
    return nonzero_within(mask, [] if covered == mask.type.shape and None not in covered else sizes)


# ---------------------------------------------------------------- building the expression
def getitem(x: Any, index: Any) -> Expr:
    """``x[index]`` with NumPy's meaning: ints, slices, None, ``...``, integer arrays, bool masks, and mixtures.

    Indices and slice bounds may be expressions. The result is built of ``subtensor`` (slices and ints), ``gather``
    (integer arrays) and ``dimshuffle``. Raises FuseIndexError for indices known to be out of bounds or too many,
    FuseTypeError for indices that are no integers.

    >>> import fuse.tensor as T
    >>> x, i = T.tensor("float64", shape=(4, None)), T.lvector("i")
    >>> x[1:, 0].type, x[::2, i].type, x[None, ..., -1].type
    (TensorType(float64, (3,)), TensorType(float64, (2, ?)), TensorType(float64, (1, 4)))
    """
    x = as_expr(x)
    if not isinstance(x.type, ty.TensorType) and hasattr(type(x.type), "getitem"):  # lists
        return x.type.getitem(x, index)
    if x.op.name == "make_vector" and (short := _of_listed(x, index)) is not None:
        return short
    items = _items(x, index)
    return _advanced(x, items) if any(i.kind == ARRAY for i in items) else _basic(x, items)


def _of_listed(x: Expr, index: Any) -> Expr | None:
    """An element or a slice of a vector whose elements are expressions already (``x.shape[0]``)."""
    known = None if isinstance(index, bool) else static_int(index)
    if known is not None and -len(x.args) <= known < len(x.args):
        element = x.args[known]
        return element if element.type.dtype == x.type.dtype else ew.cast(element, x.type.dtype)
    if isinstance(index, slice) and all(v is None or static_int(v) is not None for v in _bounds(index)):
        part = x.args[slice(*[None if v is None else static_int(v) for v in _bounds(index)])]
        if part:
            return make_vector(*[a if a.type.dtype == x.type.dtype else ew.cast(a, x.type.dtype) for a in part])
    return None


def _bounds(index: slice) -> tuple[Any, Any, Any]:
    return index.start, index.stop, index.step


def _sliced(x: Expr, entries: Sequence[tuple[Any, ...]]) -> Expr:
    """``x[entries]``, one entry per axis; expressions among the bounds become dynamic arguments."""
    dynamic: list[Expr] = []
    spec: list[tuple[Any, ...]] = []
    for entry in entries:
        values = []
        for value in entry[1:]:
            if isinstance(value, Expr):
                if value not in dynamic:
                    dynamic.append(value)
                value = ("arg", dynamic.index(value))
            values.append(value)
        spec.append(_plain((entry[0], *values)) if entry != GATHERED else entry)
    return subtensor(x, *dynamic, spec=trimmed(spec))


def _plain(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """One spelling for slices of one meaning: a start of 0 and a step of 1 are None."""
    if entry[0] != "slice":
        return entry
    _, start, stop, step = entry
    ahead = step is None or isinstance(step, int) and step > 0
    return ("slice", None if start == 0 and ahead else start, stop, None if step == 1 else step)


def _entry(item: Item) -> tuple[Any, ...]:
    return item.value if item.kind == SLICE else ("int", item.value)


def _basic(x: Expr, items: Sequence[Item]) -> Expr:
    entries = [_entry(i) for i in items if i.kind in (INT, SLICE)]
    kept = [i for i in items if i.kind in (SLICE, NEW)]
    axes = iter(range(len(kept)))
    pattern = ["x" if i.kind == NEW else next(axes) for i in kept]
    if "x" in pattern and all(e == FULL for e in entries):
        return dimshuffle(x, pattern)
    return dimshuffle(_sliced(x, entries), pattern)


def _advanced(x: Expr, items: Sequence[Item]) -> Expr:
    arrays = [i for i in items if i.kind == ARRAY]
    rank = max(i.value.type.ndim for i in arrays)
    indices = [_padded(i.value, rank) for i in arrays]
    k = len(arrays)
    if [i.axis for i in items[:k]] == list(range(k)) and all(i.kind == SLICE and i.value == FULL for i in items[k:]):
        return gather(x, *indices)
    # NumPy: the axes of the index arrays stand where these stood if they stood together (ints count), else first.
    advanced = [p for p, i in enumerate(items) if i.kind in (ARRAY, INT)]
    together = advanced[-1] - advanced[0] == len(advanced) - 1
    # Slices and ints first, then the gathered axes to the front.
    turned = together and all(i.kind == ARRAY and i.axis is not None or i.value == FULL for i in items)
    entries = [GATHERED if i.kind == ARRAY else _entry(i) for i in items if i.axis is not None]
    view = x if turned else _sliced(x, entries)  # x[:, i] is x.T[i].T
    left = [i for i in items if i.axis is not None and i.kind != INT]
    gathered = ["x" if i.axis is None else left.index(i) for i in arrays]
    picked = gather(dimshuffle(view, [*gathered, *[p for p, i in enumerate(left) if i.kind == SLICE]]), *indices)
    block = list(range(rank))
    pattern: list[Any] = [] if together else list(block)
    following = iter(range(rank, picked.type.ndim))
    for position, item in enumerate(items):
        if together and position == advanced[0]:
            pattern += block
        if item.kind in (SLICE, NEW):
            pattern.append("x" if item.kind == NEW else next(following))
    return dimshuffle(picked, pattern)


def _padded(index: Expr, rank: int) -> Expr:
    return dimshuffle(index, [*["x"] * (rank - index.type.ndim), *range(index.type.ndim)])


# ---------------------------------------------------------------- storing
def set_subtensor(
    x: Expr, y: Any, inplace: bool = False, tolerate_inplace_aliasing: bool = False, ignore_duplicates: bool = False
) -> Expr:
    """A copy of ``base`` in which the part ``x = base[...]`` is replaced by ``y``, which broadcasts to it.

    ``x`` is written as the indexed expression itself. Of an element that is indexed twice the last value stays.
    ``inplace`` is accepted for Theano's sake: whether memory is reused is decided when a function is compiled.
    ``y`` is cast to the dtype of ``x`` within its kind (float64 to float32). Raises FuseTypeError where ``x`` is no
    indexed expression or ``y`` is of a wider kind, as floats are for an array of integers.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> set_subtensor(v[1:], 7).eval({v: [1.0, 2.0, 3.0]})
    array([1., 7., 7.])
    """
    return _store(x, y, set_subtensor_op, set_gather_op, "set_subtensor")


def inc_subtensor(
    x: Expr, y: Any, inplace: bool = False, set_instead_of_inc: bool = False, tolerate_inplace_aliasing: bool = False,
    ignore_duplicates: bool = False,
) -> Expr:
    """A copy of ``base`` in which ``y`` is added to the part ``x = base[...]``; repeated indices add up.

    With ``ignore_duplicates`` they do not, as in NumPy's ``base[...] += y``: the last one stays.

    >>> import fuse.tensor as T
    >>> v = T.vector("v")
    >>> inc_subtensor(v[[0, 0]], 1).eval({v: [1.0, 2.0]})
    array([3., 2.])
    """
    if set_instead_of_inc:
        return set_subtensor(x, y)
    if ignore_duplicates:
        return set_subtensor(x, ew.cast(ew.add(x, y), x.type.dtype))
    return _store(x, y, inc_subtensor_op, inc_gather_op, "inc_subtensor")


@dataclass(frozen=True)
class _Path:
    """An index expression taken apart, from the outside: dimshuffle(gather(dimshuffle(subtensor(base))))."""

    base: Expr
    outer: Expr | None  # dimshuffle
    picked: Expr | None  # gather
    inner: Expr | None  # dimshuffle
    view: Expr | None  # subtensor


def _path(x: Any, what: str) -> _Path:
    if isinstance(x, Expr):
        outer, node = _unwrap(x, "dimshuffle")
        picked, node = _unwrap(node, "gather")
        if picked is None:
            view, base = _unwrap(node, "subtensor")
            if view is not None:
                return _Path(base, outer, None, None, view)
        else:
            inner, below = _unwrap(node, "dimshuffle")
            view, base = _unwrap(below, "subtensor")
            if view is not None and GATHERED in view.params["spec"]:
                return _Path(base, outer, picked, inner, view)
            if inner is not None and inner.params["pattern"][0] == "x" and _from_scalar_mask(picked.args[1]):
                raise FuseTypeError(f"{what} into x[mask] with a 0-d mask: write switch(mask, {what}(x[...], y), x)")
            turned = outer is not None and inner is not None and not _adds_axes(outer) and not _adds_axes(inner)
            if turned:  # x[:, i], or x.T[i].T, which is the same
                return _Path(below, outer, picked, inner, None)
            return _Path(node, outer, picked, None, None)
    described = f"a {x.type.describe()} made by {x.op}" if isinstance(x, Expr) else f"a {type(x).__name__}"
    raise FuseTypeError(f"{what} takes an indexed expression as in {what}(x[0:2], y), not {described}")


def _from_scalar_mask(index: Expr) -> bool:
    """Whether ``index`` is what a 0-d bool index becomes: at most the position 0 of an axis made for it."""
    if index.op.name == "part" and index.args[0].op.name == "nonzero":
        mask = index.args[0].args[0]
        return mask.op.name == "reshape" and mask.args[0].type.ndim == 0
    return isinstance(index, Constant) and index.type.shape in ((0,), (1,)) and not index.data.any()


def _adds_axes(shuffle: Expr) -> bool:
    return "x" in shuffle.params["pattern"]


def _unwrap(node: Expr, name: str) -> tuple[Expr | None, Expr]:
    return (node, node.args[0]) if node.op.name == name else (None, node)


def _store(
    x: Any, value: Any, into_view: Callable[..., Expr], into_items: Callable[..., Expr], what: str
) -> Expr:
    path = _path(x, what)
    y = _stored_value(value, x)
    if path.outer is not None:
        y = _undo_dimshuffle(path.outer, y)
    if path.picked is None:
        assert path.view is not None
        return into_view(path.base, y, *path.view.args[1:], spec=unmarked(path.view.params["spec"]))
    indices = path.picked.args[1:]
    if path.view is None and path.inner is None:
        return into_items(path.base, y, *indices)
    spec: Spec = () if path.view is None else unmarked(path.view.params["spec"])
    dynamic = () if path.view is None else path.view.args[1:]
    part = subtensor(path.base, *dynamic, spec=spec) if spec else path.base
    pattern = path.inner.params["pattern"] if path.inner is not None else tuple(range(part.type.ndim))
    changed = into_items(dimshuffle(part, pattern), y, *indices)
    changed = dimshuffle(changed, [pattern.index(a) for a in range(part.type.ndim)])
    return set_subtensor_op(path.base, changed, *dynamic, spec=spec) if spec else changed


def _stored_value(value: Any, x: Expr) -> Expr:
    """``value`` as an expression of the dtype of ``x``, where that is of its kind: as NumPy's ``x += value`` takes it.

    A plain Python number has to fit. What is of a wider kind, as floats for an array of integers, is left to the op,
    which refuses it: Theano and NumPy's ``x[...] = value`` cut such values without a word.
    """
    dtype = x.type.dtype
    plain = isinstance(value, (int, float, complex)) and not isinstance(value, (bool, np.generic))
    if plain and (isinstance(value, int) or dtype in ty.COMPLEX or isinstance(value, float) and dtype in ty.FLOATING):
        try:
            return constant(value, dtype=dtype)
        except OverflowError:
            raise FuseValueError(f"{value} does not fit into {dtype}") from None
    y = as_expr(value)
    if y.type.ndim > x.type.ndim:
        raise ShapeError(
            f"a value of {y.type.ndim} dimensions ({y.type.describe()}) does not fit into the indexed part, which has "
            f"{x.type.ndim} ({x.type.describe()})"
        )
    return ew.cast(y, dtype) if ty.kind(y.type.dtype) == ty.kind(dtype) else y


def _undo_dimshuffle(node: Expr, y: Expr) -> Expr:
    """``y``, which broadcasts to ``dimshuffle(z)``, as a value that broadcasts to ``z``."""
    if y.type.ndim == 0:
        return y
    pattern = node.params["pattern"]
    y = _padded(y, len(pattern))
    if any(d == "x" and n != 1 for d, n in zip(pattern, y.type.shape, strict=True)):
        # Sizes that are only known at run time and must be 1: the reshape checks them.
        sizes = [1 if d == "x" else n for d, n in zip(pattern, sizes_of(y), strict=True)]
        y = reshape(y, tuple(sizes))
    return dimshuffle(y, [pattern.index(a) if a in pattern else "x" for a in range(node.args[0].type.ndim)])


def set_method(x: Expr, y: Any) -> Expr:
    """``base[...].set(y)``: a copy of ``base`` with that part replaced; see set_subtensor."""
    return set_subtensor(x, y)


def inc_method(x: Expr, y: Any) -> Expr:
    """``base[...].inc(y)``: a copy of ``base`` with ``y`` added to that part; see inc_subtensor."""
    return inc_subtensor(x, y)


__all__ = ["getitem", "inc_method", "inc_subtensor", "set_method", "set_subtensor"]
