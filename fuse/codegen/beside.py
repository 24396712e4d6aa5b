"""Stores that lie side by side: their sum is a join, which kernels write part by part.

The gradient of what reads all slices of an array, one beside the other (the gates of a recurrent network, halves that
are treated differently), is a sum of arrays that are zero but for a slice. Each of them would be filled with zeros,
written and read again; together the slices are the whole array.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuse.codegen.expand import replaced
from fuse.codegen.sizes import Sizes
from fuse.codegen.written import readers_of
from fuse.expr import Expr, make, toposort
from fuse.frontend.shape import shape_of
from fuse.frontend.sizes import as_size_expr
from fuse.op import OPS
from fuse.rewrite import uniform

Part = tuple[int, int, int | None]  # an axis, where a slice of it starts, and where it ends: None at the end


def with_joins(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` with sums of stores into zeros that fill an array one beside the other as joins.

    A sum of such stores and other terms is the join and the other terms, in their order.
    """
    order = toposort(outputs)
    parts = {n: part for n in order if (part := _part(n)) is not None}
    if len(parts) < 2:
        return list(outputs)
    sizes, readers, kept = Sizes(outputs), readers_of(order), set(outputs)
    alone = {n for n in order if len(readers[n]) == 1 and n not in kept and readers[n][0].op.name == "add"}
    place = {n: k for k, n in enumerate(order)}
    joined: dict[Expr, list[Expr]] = {}  # by one of the stores, all that lie side by side with it
    gone: set[Expr] = set()
    for node in order:
        if node.op.name != "add" or node in alone:
            continue
        groups: dict[tuple[int, Expr], list[Expr]] = {}
        for term in _terms(node, alone):
            if term in parts and term in alone:
                groups.setdefault((parts[term][0], term.args[0]), []).append(term)
        for members in groups.values():
            stores = sorted(members, key=lambda n: (parts[n][1], parts[n][2] is None, parts[n][2] or 0))
            if _is_whole([parts[n] for n in stores]):
                last = max(members, key=place.__getitem__)  # there all the values are known
                joined[last] = stores
                gone.update(n for n in members if n is not last)
    if not joined:
        return list(outputs)

    def put(node: Expr, new: dict[Expr, Expr]) -> Expr | None:
        if node in joined:
            stores = joined[node]
            return make(OPS["join"], tuple([_value(n, sizes, new) for n in stores]), {"axis": parts[node][0]})
        if node.op.name != "add" or gone.isdisjoint(node.args):
            return None
        left = [new[a] for a in node.args if a not in gone]
        if not left:
            gone.add(node)
        return left[0] if left else new[node.args[0]]

    return replaced(outputs, put)


def _terms(node: Expr, alone: set[Expr]) -> list[Expr]:
    """The terms of a sum that is written as additions of two."""
    found, waiting = [], [*reversed(node.args)]
    while waiting:
        term = waiting.pop()
        if term.op.name == "add" and term in alone:
            waiting += reversed(term.args)
        else:
            found.append(term)
    return found


def _part(node: Expr) -> Part | None:
    """Where ``node`` stores a value into zeros, if that is a slice along one axis of known ends; else None."""
    if node.op.name != "set_subtensor" or len(node.args) != 2 or uniform(node.args[0]) != 0:
        return None
    value, found = node.args[1], []
    if value.type.ndim != node.type.ndim or value.type.dtype != node.type.dtype:
        return None
    for axis, (entry, size) in enumerate(zip(node.params["spec"], node.type.shape, strict=False)):
        if entry[0] != "slice" or entry[3] not in (None, 1) or any(isinstance(v, tuple) for v in entry[1:]):
            return None
        start, stop = entry[1] or 0, entry[2]
        if size is not None:
            start, stop, _ = slice(start, stop).indices(size)
            stop = None if stop == size else stop
        if start < 0 or stop is not None and stop < start:
            return None
        if (start, stop) != (0, None):
            found.append((axis, start, stop))
    return found[0] if len(found) == 1 else None


def _value(store: Expr, sizes: Sizes, new: dict[Expr, Expr]) -> Expr:
    """The value that is stored, in the sizes of its place."""
    zeros, value = [new[a] for a in store.args]
    place = make(OPS["subtensor"], (store.args[0],), store.params)
    pairs = zip(sizes.sizes_of(place), sizes.sizes_of(store.args[1]), strict=True)
    if all(sizes.find(n) == sizes.find(m) for n, m in pairs):
        return value
    shape = shape_of(make(OPS["subtensor"], (zeros,), store.params))
    return make(OPS["broadcast_to"], (value, *map(as_size_expr, shape)))


def _is_whole(parts: Sequence[Part]) -> bool:
    """Whether slices, in the order of their starts, are the whole axis, whatever its size."""
    ends = [0, *[stop for _, _, stop in parts]]
    return len(parts) > 1 and ends[-1] is None and [start for _, start, _ in parts] == ends[:-1]
