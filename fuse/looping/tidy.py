"""The passes over the loops of a graph, in order, and their driver.

A graph's loops are visited from its inputs to its outputs, each one after what it reads. The driver asks which results
are used, takes the loop apart, lets each pass change the parts, and builds the loop again; its old results are replaced
everywhere. Loops in bodies are visited when the body is simplified, which is once per level of nesting.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from fuse import rules
from fuse.autodiff.alongside import in_normal_form
from fuse.expr import Expr, make, rebuild, substitute, toposort, transform
from fuse.frontend.axes import specify_shape
from fuse.frontend.loops import LOOP, Body, arguments, loop_node, results
from fuse.looping.branches import closed
from fuse.looping.opened import Opened
from fuse.looping.products import steps_ahead, sums_outside
from fuse.looping.pushing import constant_sequences, hoisted, mapped, trailing
from fuse.op import OPS
from fuse.types import TensorType, TupleType

Optimize = Callable[[Sequence[Expr]], list[Expr]]
PASSES = (constant_sequences, hoisted, steps_ahead, mapped, trailing, sums_outside)


def has_loops(outputs: Sequence[Expr]) -> bool:
    """Whether a graph has loops."""
    return any(n.op is LOOP for n in toposort(outputs))


def tidied(outputs: Sequence[Expr], mode: str | None) -> list[Expr]:
    """Simplified ``outputs`` with loops that are as small as they can be.

    ``mode`` is that of ``rules.optimize``, by which bodies, and what has left them, are simplified too; in "strict"
    loops keep what would change a bit elsewhere.
    """
    outputs = closed(outputs, mode)
    if not has_loops(outputs):
        return outputs

    def optimize(roots: Sequence[Expr]) -> list[Expr]:
        return tidied(rules.optimize(roots, mode=mode), mode)

    return rules.optimize(_tidied(merged(_written_alike(outputs)), optimize, mode != "strict"), mode=mode)


def _written_alike(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` with the windows of loops in one form: derivatives have it, and loops become one with theirs."""
    changes: dict[Expr, Body] = {}
    for node in toposort(outputs):
        if node.op is LOOP and not node.params.get("branch"):
            own: Body = node.params["body"]
            body = in_normal_form(own)
            if body is not own:
                changes[node] = Body(body.sequences, body.states, body.fixed, body.nexts, body.ys, body.until)

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node in changes:
            return make(LOOP, args, {**node.params, "body": changes[node]})
        return rebuild(node, args) if args else node

    return transform(outputs, visit) if changes else list(outputs)


def _tidied(outputs: Sequence[Expr], optimize: Optimize, changing: bool) -> list[Expr]:
    used = _used(outputs)
    new: dict[Expr, Expr] = {}
    found: dict[Expr, list[Expr | None]] = {}
    for node in toposort(outputs):
        if node.op is LOOP:
            now = rebuild(node, [new[a] for a in node.args])
            found[node] = _smaller(now, used[node], optimize, changing)
            new[node] = now
        elif node.op.name == "part" and node.args[0] in found:
            replaced = found[node.args[0]][node.params["i"]]
            assert replaced is not None
            new[node] = _as_known(replaced, node)
        else:
            new[node] = rebuild(node, [new[a] for a in node.args]) if node.args else node
    return [new[o] for o in outputs]


def _as_known(value: Expr, like: Expr) -> Expr:
    """``value`` with the sizes of 1 that ``like`` is known to have: what reads it may drop or stretch these axes."""
    if not isinstance(value.type, TensorType):
        return value
    ones = [1 if h is None and w == 1 else None for h, w in zip(value.type.shape, like.type.shape, strict=True)]
    return specify_shape(value, ones) if any(ones) else value


def _used(outputs: Sequence[Expr]) -> dict[Expr, set[int]]:
    """Which results of each loop are read."""
    used: dict[Expr, set[int]] = {}
    for node in toposort(outputs):
        if node.op is LOOP:
            used[node] = set()
        elif node.op.name == "part" and node.args[0].op is LOOP:
            used[node.args[0]].add(node.params["i"])
    return used


def _smaller(node: Expr, used: set[int], optimize: Optimize, changing: bool) -> list[Expr | None]:
    """The results of a loop, from a smaller one; None for those that are not used."""
    loop = Opened(node, used)
    loop.prune()
    if loop.params.get("branch"):
        # Nothing leaves a branch: it would be computed where the branch is not taken. Its body is simplified when it is
        # planned, by itself: once for each level of choices within choices.
        return loop.closed()
    loop.simplify(optimize)
    loop.windows()
    loop.prune()
    for each in PASSES if changing else PASSES[:2]:
        if each(loop):
            loop.prune()
    loop.simplify(optimize)
    loop.prune()
    return loop.closed()


# ---------------------------------------------------------------- one loop for several
def merged(outputs: Sequence[Expr]) -> list[Expr]:
    """Loops that carry the same states over the same arrays are one, which keeps what any of them keeps.

    The gradient of a loop reads values that the loop itself need not keep, so that it is written with a loop of its
    own, which this makes the same again.
    """
    outputs = _within_others(list(outputs))
    while True:
        groups: dict[object, list[Expr]] = {}
        for node in toposort(outputs):
            if node.op is LOOP:
                body: Body = node.params["body"]
                shared = node.args, body.inputs, body.nexts, body.until, node.params.get("branch")
                groups.setdefault(shared, []).append(node)
        twins = [g for g in groups.values() if len(g) > 1]
        if not twins:
            return outputs
        changes: dict[Expr, Expr] = {}
        for group in twins:
            changes.update(_together(group))
        new: dict[Expr, Expr] = {}
        for node in toposort(outputs):
            now = changes.get(node, node)
            if now is not node:  # a result of the loop that does all: its arguments are known already
                whole = now.args[0]
                new[node] = make(OPS["part"], (rebuild(whole, [new[a] for a in whole.args]),), now.params)
            else:
                new[node] = rebuild(node, [new[a] for a in node.args]) if node.args else node
        outputs = [new[o] for o in outputs]


def _within_others(outputs: list[Expr]) -> list[Expr]:
    """Loops whose states are the first ones of another loop become part of that one (a loop, and its tangents')."""
    while True:
        groups: dict[object, list[Expr]] = {}
        for node in toposort(outputs):
            if node.op is LOOP and node.params["body"].until is None:
                groups.setdefault((node.args[0], *arguments(node)[0]), []).append(node)
        pairs = [(a, b) for group in groups.values() for a in group for b in group if a is not b]
        changes = next((c for small, large in pairs if (c := _within(small, large))), None)
        if changes is None:
            return outputs
        outputs = substitute(outputs, changes)


def _within(small: Expr, large: Expr) -> dict[Expr, Expr] | None:
    """The results of both loops as those of one, where ``small`` does what the first states of ``large`` do."""
    body: Body = small.params["body"]
    other: Body = large.params["body"]
    n = len(body.states)
    special = (small.params.keys() | large.params.keys()) - {"body", "nonempty", "label"}
    if special or len(other.states) <= n:
        return None
    same = zip(small.args[1:], large.args[1:], strict=False)
    fixed, more = arguments(small)[2], arguments(large)[2]
    if any(a is not b for (a, b), _ in zip(same, [*body.sequences, *body.states], strict=False)):
        return None
    if any(a is not b for a, b in zip(fixed, more, strict=False)) or len(fixed) > len(more):
        return None
    names = [*other.sequences, *other.states[:n], *other.fixed[: len(fixed)]]
    if any(x.type != y.type for x, y in zip(body.inputs, names, strict=True)):
        return None
    found = substitute(body.outputs, {x: y for x, y in zip(body.inputs, names, strict=True) if x is not y})
    if tuple(found[:n]) != other.nexts[:n] or small in toposort(large.args):
        return None
    return _parts(small, large, found[n:])


def _parts(small: Expr, large: Expr, ys: Sequence[Expr]) -> dict[Expr, Expr]:
    """The results of a loop as those of a larger one, of which ``ys`` are kept too."""
    body: Body = large.params["body"]
    kept = list(dict.fromkeys([*body.ys, *ys]))
    wider = Body(body.sequences, body.states, body.fixed, body.nexts, kept)
    nonempty = {"nonempty": True} if small.params.get("nonempty") or large.params.get("nonempty") else {}
    params = {k: v for k, v in large.params.items() if k != "body"} | nonempty
    finals, values, _ = results(loop_node(large.args[0], *arguments(large), wider, **params))
    place = dict(zip(kept, values, strict=True))
    n = len(small.params["body"].states)
    new = [*finals[:n], *[place[y] for y in ys]]
    changes = {OPS["part"](small, i=i): x for i, x in enumerate(new)}
    own = [*finals, *[place[y] for y in body.ys]]
    changes.update({OPS["part"](large, i=i): x for i, x in enumerate(own)})
    return {old: new for old, new in changes.items() if old is not new}


def _together(group: Sequence[Expr]) -> dict[Expr, Expr]:
    """The results of equal loops as results of one."""
    first: Body = group[0].params["body"]
    ys = list(dict.fromkeys([y for node in group for y in node.params["body"].ys]))
    body = Body(first.sequences, first.states, first.fixed, first.nexts, ys, first.until)
    params = {k: v for k, v in group[0].params.items() if k not in ("body", "nonempty")}
    if any(n.params.get("nonempty") for n in group):
        params["nonempty"] = True
    sequences, inits, fixed = arguments(group[0])
    whole = loop_node(group[0].args[0], sequences, inits, fixed, body, **params)
    finals, kept, done = results(whole)
    place = dict(zip(body.ys, kept, strict=True))
    changes: dict[Expr, Expr] = {}
    for node in group:
        own: Body = node.params["body"]
        assert isinstance(node.type, TupleType)
        old = [OPS["part"](node, i=i) for i in range(len(node.type.elements))]
        new = [*finals, *[place[y] for y in own.ys], *([done] if done is not None else [])]
        changes.update({a: b for a, b in zip(old, new, strict=True) if a is not b})
    return changes
