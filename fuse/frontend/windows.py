"""States of loops that a step changes in a few places: windows that move along, arrays in which elements are stored.

A step that drops the oldest of some values and takes in a new one (``concatenate([s[1:], [x]])``), or stores one
element (``set_subtensor(s[i], x)``), makes a whole new array as a formula. A compiled loop writes what is new.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuse.expr import Constant, Expr, constant, make, toposort
from fuse.frontend.signs import element_givers
from fuse.frontend.sizes import shape_of
from fuse.frozen import dataclass
from fuse.op import OPS
from fuse.types import TensorType

STORES = ("set_subtensor", "inc_subtensor")


@dataclass(frozen=True)
class Change:
    """How the next value of a state comes from the state: it moves along, then parts of it are stored.

    ``shift`` rows are dropped at the beginning (negative: at the end), and the rows of ``new`` are taken in at the
    other one; ``stores`` are the nodes that store parts, the first one first; ``moved`` is what they begin with.
    """

    shift: int
    new: tuple[Expr, ...]
    stores: tuple[Expr, ...]
    moved: Expr


def change_of(state: Expr, after: Expr) -> Change | None:
    """The change that makes ``after`` of an array ``state``; None where it is any other formula."""
    if not isinstance(state.type, TensorType) or not state.type.ndim:
        return None
    stores, node = _stores_of(after)
    if node is state:
        return Change(0, (), tuple(stores[::-1]), node) if stores else None
    if node.op.name != "join" or node.params["axis"] != 0 or len(node.args) < 2:
        return None
    first, last = node.args[0], node.args[-1]
    shift = _rest(first, state, False)
    if shift:
        return Change(shift, node.args[1:], tuple(stores[::-1]), node)
    shift = _rest(last, state, True)
    return Change(-shift, node.args[:-1], tuple(stores[::-1]), node) if shift else None


def _rest(x: Expr, state: Expr, at_end: bool) -> int:
    """How many rows ``x`` leaves out at the beginning of the state, or at its end; 0 where it is anything else."""
    if x.op.name != "subtensor" or x.args != (state,) or len(x.params["spec"]) != 1:
        return 0
    [entry] = x.params["spec"]
    start, stop, step = entry[1:] if entry[0] == "slice" else (None, None, 0)
    if step not in (None, 1):
        return 0
    if at_end:
        return -stop if start in (None, 0) and type(stop) is int and stop < 0 else 0
    return start if stop is None and type(start) is int and start > 0 else 0


def is_alone(change: Change, after: Expr, order: Sequence[Expr], results: Sequence[Expr]) -> bool:
    """Whether nobody reads what a change makes, but for the state in the next step."""
    inner = {change.moved, *change.stores} if change.shift else set(change.stores)
    chain = {change.moved, *change.stores}
    if sum(r in inner for r in results) != 1:
        return False
    for node in order:
        for k, a in enumerate(node.args):
            if a in inner and not (node in chain and k == 0):
                return False
    return after in inner


# ---------------------------------------------------------------- one form of what is taken in
def normal(state: Expr, after: Expr) -> Expr:
    """``after``, the next value of ``state``, with a number where a window of numbers takes in one number.

    ``concatenate([s[1:], s[:1] + x])`` takes in ``s[0] + x``, as does a store of it behind a store of all that stays.
    """
    if not isinstance(state.type, TensorType) or state.type.ndim != 1:
        return after
    change = change_of(state, after) or _stored_along(state, after)
    if change is None or abs(change.shift) != 1 or len(change.new) != 1:
        return after
    number = _element(change.new[0], state)
    if number is None or number.type.dtype != state.type.dtype:
        return after
    row = make(OPS["dimshuffle"], (number,), {"pattern": ("x",)})
    cut = (1, None) if change.shift > 0 else (None, -1)
    stay = make(OPS["subtensor"], (state,), {"spec": (("slice", *cut, None),)})
    found = make(OPS["join"], (stay, row) if change.shift > 0 else (row, stay), {"axis": 0})
    for store in change.stores:
        found = make(store.op, (found, *store.args[1:]), store.params)
    return found if found.type == after.type else after


def _stores_of(after: Expr) -> tuple[list[Expr], Expr]:
    """The stores that make ``after``, the last one first, and what they store into."""
    stores: list[Expr] = []
    node = after
    while node.op.name in STORES and node.type == after.type:
        stores.append(node)
        node = node.args[0]
    return stores, node


def _stored_along(state: Expr, after: Expr) -> Change | None:
    """The change of stores of which the first one moves what stays, and the second one is a new row."""
    stores, node = _stores_of(after)
    if node is not state or len(stores) < 2 or any(s.op.name != "set_subtensor" for s in stores[-2:]):
        return None
    move, put = stores[-1], stores[-2]
    for shift, target, source, place in (
        (1, (None, -1), (1, None), ("int", -1)), (-1, (1, None), (None, -1), ("int", 0)),
    ):
        inner = move.args[1]
        whole = len(move.args) == 2 and move.params["spec"] == (("slice", *target, None),)
        same = inner.op.name == "subtensor" and inner.args == (state,)
        if whole and same and inner.params["spec"] == (("slice", *source, None),) and len(put.args) == 2 \
                and put.params["spec"] == (place,):
            row = make(OPS["dimshuffle"], (put.args[1],), {"pattern": ("x",)})
            return Change(shift, (row,), tuple(stores[:-2][::-1]), put)
    return None


def _element(row: Expr, state: Expr) -> Expr | None:
    """The number in an array that surely has one, or as many as ``state`` has in a slice of one."""
    found: dict[Expr, Expr] = {}
    inner: list[Expr] = []
    stack, seen = [row], {row}
    while stack:
        node = stack.pop()
        number = node if not node.type.ndim else _only(node, state)
        if number is not None:
            found[node] = number
        elif node.type.ndim == 1 and node.op.kind == "elementwise":
            inner.append(node)
            stack += [a for a in node.args if a not in seen]
            seen.update(node.args)
        else:
            return None
    for node in toposort([row], known=found):
        if node not in found:
            found[node] = make(node.op, tuple([found[a] for a in node.args]), node.params)
    return found[row]


def _only(node: Expr, state: Expr) -> Expr | None:
    """The one element of an array as a number."""
    if node.op.name == "dimshuffle" and node.params["pattern"] == ("x",):
        return node.args[0]
    if node.op.name == "make_vector" and len(node.args) == 1 and node.args[0].type.dtype == node.type.dtype:
        return node.args[0]
    if isinstance(node, Constant) and node.data.size == 1 and node.type.ndim == 1:
        return constant(node.data[0], dtype=node.type.dtype)
    if node.op.name != "subtensor" or node.args != (state,) or len(node.params["spec"]) != 1:
        return None
    kind, *bounds = node.params["spec"][0]
    start, stop, step = bounds if kind == "slice" else (None, None, 0)
    if step not in (None, 1) or any(isinstance(b, tuple) for b in bounds):
        return None
    start = 0 if start is None else start
    at = start if start >= 0 and stop == start + 1 or (start, stop) == (-1, None) else None
    return None if at is None else make(OPS["subtensor"], (state,), {"spec": (("int", at),)})


# ---------------------------------------------------------------- sums of parts
def added_up(total: Expr, moving: Expr) -> Expr:
    """A sum of arrays of which some are zero but for a part, as additions to these parts of the others.

    What ``moving`` moves along by some rows, zeros taken in, is written as such.
    """
    if not total.type.ndim or total.op.name not in ("add", *STORES):
        return total
    dense: list[Expr] = []
    sparse: list[Expr] = []
    stack = [total]
    while stack:
        node = stack.pop()
        if node.op.name == "add" and all(a.type == node.type for a in node.args):
            stack += node.args[::-1]
        elif node.op.name in STORES and _is_zeros(node.args[0]) and node.args[1].type.dtype == node.type.dtype:
            moved = _along(node, moving)
            (sparse if moved is None else dense).append(node if moved is None else moved)
        else:
            dense.append(node)
    if not sparse:
        return total if len(dense) > 1 else dense[0]
    if not dense:
        dense.append(sparse.pop(0))
    found = dense[0]
    for each in dense[1:]:
        found = make(OPS["add"], (found, each))
    for each in sparse:
        found = make(OPS["inc_subtensor"], (found, *each.args[1:]), each.params)
    return found if found.type == total.type else total


def _is_zeros(x: Expr) -> bool:
    while x.op.name in ("fill", "broadcast_to"):
        (x,) = element_givers(x)
    return isinstance(x, Constant) and not x.data.any() and not np.signbit(x.data).any()


def _along(store: Expr, moving: Expr) -> Expr | None:
    """Rows of ``moving`` stored into zeros some rows further: zeros and these rows."""
    value = store.args[1]
    if len(store.args) != 2 or len(store.params["spec"]) != 1 or value.op.name != "subtensor":
        return None
    source = value.args[0]
    root = source
    while root.op.name in STORES:
        root = root.args[0]
    if root is not moving or len(value.args) != 1 or source.type != store.type or len(value.params["spec"]) != 1:
        return None
    target, part = store.params["spec"][0], value.params["spec"][0]
    for at_end in (False, True):
        here, there = (target, part) if at_end else (part, target)
        rows = here[1]
        if here[0] != "slice" or type(rows) is not int or rows < 1 or here[2:] not in ((None, None), (None, 1)):
            continue
        if there[0] != "slice" or there[1] is not None or there[2] != -rows or there[3] not in (None, 1):
            continue
        zero = constant(np.zeros((), store.type.dtype), dtype=store.type.dtype)
        sizes = [constant(rows, dtype="int64"), *[
            n if isinstance(n, Expr) else constant(n, dtype="int64") for n in shape_of(source)[1:]
        ]]
        zeros = make(OPS["broadcast_to"], (zero, *sizes)) if len(sizes) > 1 or rows > 1 else make(
            OPS["dimshuffle"], (zero,), {"pattern": ("x",)})
        return make(OPS["join"], (zeros, value) if at_end else (value, zeros), {"axis": 0})
    return None
