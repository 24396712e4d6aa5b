"""Halos: one array with zeros around a value serves all sums that add the value at several offsets.

The gradient of what reads several slices of an array is a sum of arrays that are zero but for a slice. Where these
slices hold multiples of one value, that value is stored once, with a margin of zeros as wide as the offsets need, and
each summand is a slice of that array: loads in the kernel that adds them up, instead of a pass over memory for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.codegen.expand import replaced
from fuse.codegen.frames import margins
from fuse.codegen.sizes import Sizes
from fuse.codegen.written import readers_of
from fuse.expr import Constant, Expr, constant, make, toposort
from fuse.frontend.shape import shape_of
from fuse.frontend.sizes import as_size_expr, size_add
from fuse.op import OPS
from fuse.rewrite import uniform

WIDEST = 16  # margins beyond this may be many more elements than the value has


def with_halos(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` with stores of multiples of one value into zeros read from one array."""
    order = toposort(outputs)
    stores = [n for n in order if _is_padding(n)]
    if len(stores) < 2:
        return list(outputs)
    sizes, readers = Sizes(outputs), readers_of(order)
    kept = set(outputs)
    roots = _roots(order, sizes)
    groups: dict[Expr, list[Expr]] = {}
    for node in stores:
        root = _root(node.args[1], roots)
        part = make(OPS["subtensor"], (node.args[0],), node.params)
        alike = all(
            sizes.find(n) is sizes.find(m) or sizes.find(n) == sizes.find(m)
            for n, m in zip(sizes.sizes_of(part), sizes.sizes_of(root), strict=False)
        )
        wide = max(margins(node) or (0,)) > WIDEST
        summed = not wide and node not in kept and all(r.op.kind == "elementwise" for r in readers[node])
        if alike and summed and root.type.ndim == node.type.ndim and root.type.dtype == node.type.dtype:
            groups.setdefault(root, []).append(node)
    shared = {n: root for root, members in groups.items() if len(members) > 1 for n in members}
    if not shared:
        return list(outputs)
    widths: dict[Expr, tuple[int, ...]] = {}
    for node, root in shared.items():
        widths[root] = tuple(map(max, widths.get(root, ()) or margins(node), margins(node)))  # type: ignore[arg-type]
    place = {n: k for k, n in enumerate(order)}
    padded: dict[Expr, Expr] = {}

    def read_part(node: Expr, new: dict[Expr, Expr]) -> Expr | None:
        root = shared.get(node)
        if root is None:
            return None
        if root not in padded:
            value = new[root] if root in new else make(root.op, tuple([new[a] for a in root.args]), root.params)
            padded[root] = _padded(value, node, widths[root])
        own = margins(node)
        assert own is not None
        return _multiple(node.args[1], root, _slice(padded[root], widths[root], own), place)

    return replaced(list(outputs), read_part)


def _is_padding(node: Expr) -> bool:
    """Whether ``node`` stores a value into zeros, with known margins around it."""
    return (
        node.op.name == "set_subtensor"
        and len(node.args) == 2
        and margins(node) is not None
        and uniform(node.args[0]) == 0
        and node.args[1].type.ndim == node.type.ndim
    )


def _roots(order: Sequence[Expr], sizes: Sizes) -> dict[Expr, Expr]:
    """What each node is a multiple of, by finite constants, where that is not the node itself.

    What is guarded to be no sum (``unbroadcast``), for the same sizes, of multiples of one value are multiples of one.
    """
    roots: dict[Expr, Expr] = {}
    first: dict[Any, Expr] = {}
    for node in order:
        if node.op.name == "unbroadcast" and node in sizes.of:
            value, like = node.args
            root = _root(value, roots)
            again = root.op.name == "unbroadcast" and sizes.of[root.args[1]] == sizes.of[like]
            once = make(node.op, (root, like), node.params)
            roots[node] = root if again else first.setdefault((root, sizes.of[like]), once)
            continue
        factors = [a for a in node.args if not _is_finite(a)]
        name, count = node.op.name, len(factors)
        divided = name == "true_div" and count == 1 and factors[0] is node.args[0]
        if not (name == "neg" or divided or name == "mul" and count == 1 or name in ("add", "sub") and count == 2):
            continue
        known = {_root(a, roots) for a in factors}
        (root,) = known if len(known) == 1 else (node,)
        if root.type.ndim == node.type.ndim and root.type.dtype == node.type.dtype and root is not node:
            roots[node] = root
    return roots


def _root(node: Expr, roots: dict[Expr, Expr]) -> Expr:
    return roots.get(node, node)


def _factors(node: Expr) -> tuple[Expr, ...]:
    return node.args[:1] if node.op.name == "unbroadcast" else node.args


def _is_finite(x: Expr) -> bool:
    """Whether ``x`` is a finite number that is known."""
    return isinstance(x, Constant) and x.data.size == 1 and x.type.dtype != "bool" and bool(np.isfinite(x.data).all())


def _padded(value: Expr, store: Expr, widths: tuple[int, ...]) -> Expr:
    """``value``, that ``store`` holds within other margins, within margins of these ``widths``."""
    own = margins(store)
    assert own is not None
    more = [w - o for w, o in zip(widths, own, strict=True)]
    lengths = [size_add(n, sum(more[2 * d : 2 * d + 2])) for d, n in enumerate(shape_of(store))]
    zero = constant(0, dtype=store.type.dtype)
    zeros = make(OPS["broadcast_to"], (zero, *[as_size_expr(n) for n in lengths]))
    return make(OPS["set_subtensor"], (zeros, value), {"spec": _spec(widths)})


def _slice(padded: Expr, widths: tuple[int, ...], own: tuple[int, ...]) -> Expr:
    """The part of ``padded`` in which the value has its ``own`` margins."""
    spec = _spec(tuple([w - o for w, o in zip(widths, own, strict=True)]))
    return make(OPS["subtensor"], (padded,), {"spec": spec}) if spec else padded


def _spec(cut: tuple[int, ...]) -> tuple[Any, ...]:
    """Slices without the first and the last so many elements along each axis."""
    pairs = [cut[d : d + 2] for d in range(0, len(cut), 2)]
    while pairs and not any(pairs[-1]):
        pairs.pop()
    return tuple([("slice", low or None, -high or None, None) for low, high in pairs])


def _multiple(value: Expr, root: Expr, part: Expr, place: dict[Expr, int]) -> Expr:
    """What ``value`` is of its ``root``, of ``part`` instead."""
    found: dict[Expr, None] = {}
    ends = {root, root.args[0]} if root.op.name == "unbroadcast" else {root}
    stack = [value]
    while stack:
        node = stack.pop()
        if node in ends or node in found:
            continue
        found[node] = None
        stack.extend(a for a in _factors(node) if not _is_finite(a))
    made: dict[Expr, Expr] = {}
    for node in sorted(found, key=place.__getitem__):
        args = [a if _is_finite(a) else made.get(a, part) for a in _factors(node)]
        made[node] = args[0] if node.op.name == "unbroadcast" else make(node.op, tuple(args), node.params)
    return made.get(value, part)
