"""What need not be in a loop: what never changes, and what depends on sequences alone."""
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from fuse.autodiff.batching import rule_of, vectorize
from fuse.autodiff.loops import is_dear
from fuse.expr import Constant, Expr, constant, substitute, toposort, variable
from fuse.frontend.layout import broadcast_to
from fuse.frontend.lengths import has_all, has_rows, is_steady, uncut
from fuse.frontend.signs import element_givers
from fuse.frontend.sizes import as_size_expr, sizes_of
from fuse.looping.opened import Closed, Opened, always
from fuse.op import OPS
from fuse.types import TensorType

MANY_KEPT = 3  # values of a step that are kept so that others can be computed of them afterwards
# A stack of systems is a call of SciPy's for each, a loop's are its own; the others belong to their step.
_ONE_BY_ONE = ("loop", "solve_triangular", "nonzero", "assert")
_WALKED = ("sum", "prod", "max", "min", "dimshuffle")  # done in one pass within a step
_VIEWS = ("dimshuffle", "broadcast_to", "fill", "unbroadcast")


def varying(loop: Opened, leaves: Any, sizes: bool = True) -> set[Expr]:
    """The values of the body that depend on ``leaves``, these among them; by their ``sizes`` too, or not."""
    found = set(leaves)
    for node in toposort(loop.roots):
        if not found.isdisjoint(node.args) and (sizes or node.op.kind != "shape"):
            found.add(node)
    return found


# ---------------------------------------------------------------- invariants
def constant_sequences(loop: Opened) -> bool:
    """A sequence whose elements are all the same is no sequence."""
    changed = False
    for x, sequence in list(loop.sequences.items()):
        element = _element(sequence)
        fits = element is not None and (element.type.ndim, element.type.dtype) == (x.type.ndim, x.type.dtype)
        if element is not None and fits and has_all(sequence, loop.steps):
            del loop.sequences[x]
            loop.fixed[x] = element
            changed = True
    return changed


def _element(sequence: Expr) -> Expr | None:
    """Any element of what is the same along its first axis; None where that is not known."""
    if sequence.op.name == "fill":
        model, value = sequence.args
        if value.type.ndim == 0:
            return broadcast_to(value, sizes_of(model)[1:]) if model.type.ndim > 1 else value
        return None
    if sequence.op.name == "broadcast_to":
        value, rest = sequence.args[0], sequence.args[2:]
        if value.type.ndim == sequence.type.ndim:
            if value.type.shape[0] != 1:
                return None
            value = value[0]
        return broadcast_to(value, rest) if rest and value.type.ndim < len(rest) or _smaller(value, rest) else value
    if sequence.op.name == "dimshuffle" and sequence.params["pattern"][0] == "x":
        pattern = sequence.params["pattern"][1:]
        value = sequence.args[0]
        return value if pattern == tuple(range(value.type.ndim)) else OPS["dimshuffle"](value, pattern=pattern)
    if sequence.op.name == "subtensor" and [entry[0] for entry in sequence.params["spec"]] == ["slice"]:
        return _element(sequence.args[0])  # as in a loop that runs backwards
    if isinstance(sequence, Constant) and len(sequence.data):
        first = sequence.data[:1].tobytes()  # to the sign of a zero
        if sequence.data.tobytes() == first * len(sequence.data):
            return constant(sequence.data[0], dtype=sequence.type.dtype)
    return None


def _smaller(value: Expr, sizes: Sequence[Expr]) -> bool:
    return any(n is None or n == 1 for n in value.type.shape[len(value.type.shape) - len(sizes):])


def hoisted(loop: Opened) -> bool:
    """What depends on nothing that changes is computed once, before the loop."""
    moving = varying(loop, [*loop.sequences, *loop.states])
    order = toposort(loop.roots)
    edge: dict[Expr, None] = {}
    for node in order:
        if node in moving:
            edge.update(dict.fromkeys(a for a in node.args if a not in moving))
    edge.update(dict.fromkeys(r for r in loop.roots if r not in moving))
    changes: dict[Expr, Expr] = {}
    for node in list(edge):
        while node.op.name in _VIEWS:  # a view costs nothing in the loop
            node = element_givers(node)[0]
        if node.is_leaf or node in changes or not hasattr(node.type, "shape") or node.op.kind == "shape":
            continue
        if any(n.op.stateful for n in toposort([node])):
            continue
        [value] = substitute([node], loop.fixed)
        changes[node] = loop.add_fixed(value, node)
    for node in _measures(loop, moving, order):
        if node not in changes and (outer := _of_sizes(loop, node)) is not None:
            changes[node] = loop.add_fixed(outer, node)
    loop.replace(changes)
    return bool(changes)


def _measures(loop: Opened, moving: Collection[Expr], order: Sequence[Expr]) -> list[Expr]:
    """What is kept or dear and depends on nothing that changes but for its sizes, which are the same in every step."""
    changing = varying(loop, [*loop.sequences, *loop.states], sizes=False)
    wanted = {*loop.kept.values(), *loop.extra.values()}
    return [n for n in order if n in moving and n not in changing and isinstance(n.type, TensorType) and not n.type.ndim
            and (n in wanted or is_dear(n))]


def _of_sizes(loop: Opened, node: Expr) -> Expr | None:
    """``node`` outside of the loop, where sizes of states and sequences are those of what they begin with."""
    outer = {x: (start, 0) for x, (start, _) in loop.states.items()}
    outer |= {x: (sequence, 1) for x, sequence in loop.sequences.items()}
    known: dict[Expr, Expr] = dict(loop.fixed)
    for inner in toposort([node]):
        if inner.op.kind == "shape" and inner.args[0] not in loop.fixed:
            if inner.args[0] not in outer:
                return None
            value, before = outer[inner.args[0]]
            known[inner] = as_size_expr(sizes_of(value)[inner.params["axis"] + before])
    [found] = substitute([node], known)
    return None if any(n.op.stateful for n in toposort([found])) else found


# ---------------------------------------------------------------- work that depends on sequences alone
def mapped(loop: Opened) -> bool:
    """Results, and dear parts of the body, that read sequences but no state are computed for all steps at once."""
    if loop.until is not None:
        return False
    moving = varying(loop, loop.states)
    changed = False
    for i, y in list(loop.kept.items()):
        if y not in moving and can_batch([y], loop):
            del loop.kept[i]
            loop.outside[i] = always(batched(loop, y))
            changed = True
    ahead = varying(loop, loop.sequences, sizes=False) - moving  # sizes are the same in every step
    changes: dict[Expr, Expr] = {}
    for node in toposort(loop.roots):
        if node not in moving:
            continue
        for arg in node.args:
            if arg in ahead and not arg.is_leaf and arg not in changes and hasattr(arg.type, "shape"):
                inner = toposort([arg])
                if any(n in ahead and is_dear(n) for n in inner) and can_batch([arg], loop):
                    changes[arg] = loop.add_sequence(batched(loop, arg), arg)
    loop.replace(changes)
    return changed or bool(changes)


def trailing(loop: Opened) -> bool:
    """Results that no later step reads are computed for all steps at once, where that is dear and reads few values."""
    ends = [] if loop.until is None else [loop.until]
    needed = set(toposort([*[after for _, after in loop.states.values()], *ends]))
    moving = varying(loop, loop.states)
    changed = False
    for i, y in list(loop.kept.items()):
        if y in needed or y.is_leaf or y not in moving:
            continue
        edge: dict[Expr, None] = {}
        inner, stack = [], [y]
        seen = {y}
        while stack:
            node = stack.pop()
            inner.append(node)
            for arg in node.args:
                if arg in seen or isinstance(arg, Constant) or arg in loop.fixed:
                    continue
                seen.add(arg)
                if arg in needed or arg.is_leaf:
                    edge[arg] = None
                else:
                    stack.append(arg)
        if not all(is_steady(x, {*loop.sequences, *loop.states}) for x in edge):
            continue
        if len(edge) > MANY_KEPT or not any(is_dear(n) for n in inner) or not can_batch([y], loop, edge):
            continue
        if all(map(_is_walked, inner)) and any(
            x.type.ndim > y.type.ndim and x not in loop.states and x not in loop.kept.values() for x in edge
        ):
            continue  # what would be kept of each step is larger than what one pass over it gives there and then
        del loop.kept[i]
        loop.outside[i] = _afterwards(loop, y, list(edge))
        changed = True
    return changed


def _is_walked(node: Expr) -> bool:
    """Whether a value is no more than a pass over others: of positions, those along rows that are compared at once."""
    if "position" in node.op.meta:
        return bool(node.params["axis"] < node.args[0].type.ndim - 1)
    if node.op.name == "dot":  # of two vectors
        return not node.type.ndim and node.type.dtype in ("float64", "float32")
    return node.op.name in _WALKED or node.op.kind == "elementwise" and not is_dear(node)


def _afterwards(loop: Opened, y: Expr, edge: Sequence[Expr]) -> Callable[[Closed], Expr]:
    stand_ins: dict[Expr, Expr] = {x: variable(x.type) for x in edge}
    [outer] = substitute(substitute([y], stand_ins), loop.fixed)
    numbers = [loop.keep(x) for x in edge]

    def make(closed: Closed) -> Expr:
        rows = [closed.rows(n) for n in numbers]
        return vectorize([outer], dict(zip(stand_ins.values(), rows, strict=True)), closed.length)[0]

    return make


def can_batch(values: Sequence[Expr], loop: Opened, edge: Collection[Expr] = ()) -> bool:
    """Whether all that ``values`` are computed with can be computed for all steps at once, from ``edge`` on."""
    wide = {*loop.sequences, *edge}
    order = toposort(values, known=edge)
    if not all(has_all(loop.sequences[x], loop.steps) for x in loop.sequences.keys() & {*order, *edge}):
        return False  # the loop tells that a sequence is too short
    for node in order:
        if node.op.stateful or node.op.name in _ONE_BY_ONE:
            return False
        if node.is_leaf or wide.isdisjoint(node.args):
            continue
        wide.add(node)
        if rule_of(node.op) is None and node.op.kind != "shape":
            return False
        if node.op.name in ("iota", "linear_index"):
            return False
        same = 2 if node.op.name in ("set_gather", "inc_gather") else node.op.integers_from
        if same is not None and not wide.isdisjoint(node.args[same:]):
            return False  # a size or an index that differs from step to step
    return True


def batched(loop: Opened, value: Expr, in_order: bool = True) -> Expr:
    """``value`` for all steps, in terms of the loop's arguments; ``in_order`` or in any.

    Sequences that are all walked from their ends are walked from their beginnings, which is easier to read.
    """
    used = [x for x in loop.sequences if x in set(toposort([value]))]
    found = {x: uncut(loop.sequences[x]) for x in used}
    backwards = bool(used) and all(b and has_rows(x, loop.steps) for x, b in found.values())
    rows = {x: found[x][0] if backwards else whole(loop.sequences[x], loop.steps) for x in used}
    [wide] = vectorize(substitute([value], loop.fixed), rows, loop.steps)
    return wide[::-1] if backwards and in_order else wide


def whole(sequence: Expr, steps: Expr) -> Expr:
    """The first ``steps`` rows of a sequence."""
    if not has_rows(sequence, steps):
        return sequence[:steps]
    base, backwards = uncut(sequence)
    return base[::-1] if backwards else base
