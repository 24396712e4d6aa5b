"""Arrays of which a part was stored: that part is read where it was computed, or left out where it is stored again.

``f(set_subtensor(x[1:-1], v))[1:-1]`` is ``f(v)``, and what stores into the same part of that formula needs only
``f(x)``; a number stored into an inner part of a formula is a choice inside the loop that goes on with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.codegen.calls import is_constant_view
from fuse.codegen.expand import keep_origin
from fuse.codegen.frames import margins
from fuse.codegen.sizes import Sizes
from fuse.expr import Constant, Expr, constant, make, rebuild, toposort, transform
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import iota
from fuse.frontend.shape import shape_of
from fuse.frontend.sizes import as_size_expr
from fuse.op import OPS

LIMIT = 16  # operations of a formula that is computed for a part of what it was written for


def without_detours(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` with parts read where they were computed, and numbers stored by the loops that read them."""
    order = toposort(outputs)
    if not any(n.op.name == "set_subtensor" for n in order):
        return list(outputs)
    return _chosen(_read_back(outputs, order))


def readers_of(order: Sequence[Expr]) -> dict[Expr, list[Expr]]:
    """The nodes that have each node among their arguments."""
    found: dict[Expr, list[Expr]] = {n: [] for n in order}
    for node in order:
        for arg in node.args:
            found[arg].append(node)
    return found


# ---------------------------------------------------------------- parts of formulas
def _read_back(outputs: Sequence[Expr], order: Sequence[Expr]) -> list[Expr]:
    sizes, readers, results = Sizes(outputs), readers_of(order), set(outputs)
    changed: dict[Expr, tuple[dict[Expr, None], set[Expr]]] = {}
    for node in order:
        if node.op.name not in ("subtensor", "set_subtensor") or not _is_part(node):
            continue
        whole = node.args[0]
        if whole.op.kind != "elementwise" or whole in results:
            continue
        spec = node.params["spec"]
        if not all(r.op.name in ("subtensor", "set_subtensor") and r.args[0] is whole and whole not in r.args[1:]
                   and r.params["spec"] == spec and _is_part(r) for r in readers[whole]):
            continue
        formula = _formula(whole)
        if formula is None:
            continue
        given = dict.fromkeys(a for n in formula for a in n.args if a not in formula)
        stored = {a for a in given if a.op.name == "set_subtensor" and a.params["spec"] == spec and _is_part(a)}
        stored = {a for a in stored if _is_filled(a, sizes)}
        rest = [a for a in given if a not in stored and not _is_number(a)]
        if stored and all(_alike(sizes.of[a], sizes.of[whole], sizes) for a in [*rest, *formula]):
            changed[node] = formula, stored

    new: dict[Expr, Expr] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        made = node if node.is_leaf else rebuild(node, args)
        if node in changed:
            formula, stored = changed[node]
            part = node.op.name == "subtensor"
            values: dict[Expr, Expr] = {}
            for inner in reversed(formula):
                below = []
                for a in inner.args:
                    if a in values or _is_number(a):
                        below.append(values.get(a, new[a]))
                    elif a in stored:
                        below.append(new[a.args[1 if part else 0]])
                    else:
                        below.append(make(OPS["subtensor"], (new[a],), node.params) if part else new[a])
                values[inner] = make(inner.op, tuple(below), inner.params)
            value = values[node.args[0]]
            made = value if part else make(node.op, (value, *args[1:]), node.params)
            made = keep_origin(made, node)
        new[node] = made
        return made

    return transform(list(outputs), visit) if changed else list(outputs)


def _is_part(node: Expr) -> bool:
    """Whether a subtensor, or a store into one, is of slices that are known."""
    count = 1 if node.op.name == "subtensor" else 2
    return len(node.args) == count and is_constant_view(node) and all(e[0] == "slice" for e in node.params["spec"])


def _is_number(a: Expr) -> bool:
    return a.type.ndim == 0 or isinstance(a, Constant) and a.data.size == 1


def _formula(whole: Expr) -> dict[Expr, None] | None:
    """The elementwise operations that make ``whole``, each before what it reads; None where there are many."""
    found: dict[Expr, None] = {}
    stack = [whole]
    while stack:
        node = stack.pop()
        if node in found or node.op.kind != "elementwise":
            continue
        found[node] = None
        if len(found) > LIMIT:
            return None
        stack.extend(node.args)
    place = {n: k for k, n in enumerate(toposort([whole], known=[a for n in found for a in n.args if a not in found]))}
    return dict.fromkeys(sorted(found, key=place.__getitem__, reverse=True))


def _is_filled(store: Expr, sizes: Sizes) -> bool:
    """Whether the stored value has the shape of the part itself."""
    value = store.args[1]
    part = make(OPS["subtensor"], (store.args[0],), store.params)
    return value.type.dtype == store.type.dtype and _alike(sizes.of[value], sizes.sizes_of(part), sizes)


def _alike(a: Sequence[Any], b: Sequence[Any], sizes: Sizes) -> bool:
    found = [[sizes.find(n) for n in side] for side in (a, b)]
    return len(a) == len(b) and all(n is m or n == m for n, m in zip(*found, strict=True))


# ---------------------------------------------------------------- numbers
def _chosen(outputs: list[Expr]) -> list[Expr]:
    """``outputs`` with numbers stored into inner parts of formulas as choices between number and formula."""
    order = toposort(outputs)
    readers, results = readers_of(order), set(outputs)
    chosen = {
        n for n in order
        if n.op.name == "set_subtensor" and len(n.args) == 2 and _is_number(n.args[1]) and margins(n) is not None
        and n not in results and n.args[0].op.kind == "elementwise" and len(readers[n.args[0]]) == 1
        and readers[n] and all(r.op.kind in ("elementwise", "reduction") for r in readers[n])
    }

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node not in chosen:
            return node if node.is_leaf else rebuild(node, args)
        whole, number = args
        if number.type.ndim:
            number = constant(number.data.reshape(()), dtype=number.type.dtype)
        number = ew.cast(number, node.type.dtype)
        made = make(OPS["switch"], (_inside(whole, margins(node) or ()), number, whole))
        return keep_origin(made, node) if made.type == node.type else rebuild(node, args)

    return transform(outputs, visit) if chosen else outputs


def _inside(whole: Expr, cut: tuple[int, ...]) -> Expr:
    """Whether each place of ``whole`` lies inside margins of these widths."""
    tests: list[Expr] = []
    for d, n in enumerate(shape_of(whole)):
        low, high = cut[2 * d : 2 * d + 2]
        if not low and not high:
            continue
        size = as_size_expr(n)
        pattern = tuple([0 if e == d else "x" for e in range(whole.type.ndim)])
        place = make(OPS["dimshuffle"], (iota(size),), {"pattern": pattern})
        tests += [ew.ge(place, constant(low, dtype="int64"))] * bool(low)
        tests += [ew.lt(place, ew.sub(size, high))] * bool(high)
    found = tests[0]
    for test in tests[1:]:
        found = ew.and_(found, test)
    return found
