"""Derivatives of loops: the gradient of a loop is a loop that runs backwards, its tangent one that runs beside it.

Backwards, each step pulls the cotangents of the next states and of the kept values back through the body. It reads the
states before the step, which the forward loop keeps, and of the body's other values those that are dear (`_kept`); the
rest it computes again. Both are ordinary loops, so gradients of gradients need nothing more.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fuse.autodiff import alongside
from fuse.autodiff.absent import is_null
from fuse.autodiff.sweep import cast_like, cotangents, dense, filled, is_discrete, op
from fuse.expr import Constant, Expr, constant, leaves, substitute, toposort, variable
from fuse.frontend import elementwise as ew
from fuse.frontend import windows
from fuse.frontend.indexing import set_subtensor
from fuse.frontend.lazy import guards, has_choices
from fuse.frontend.lengths import has_rows, is_steady
from fuse.frontend.loops import DERIVATIVES, Body, arguments, loop_node, results
from fuse.frozen import dataclass
from fuse.op import DISCONNECTED, ZERO
from fuse.testvalues import after
from fuse.types import only_arrays

# Ops whose value in a step is kept rather than computed again: products, and what needs more than a few instructions.
_DEAR_KINDS = ("opaque", "reduction", "composite")


def reverse(g: Sequence[Any], out: Expr, steps: Expr, *args: Expr, body: Body, **params: Any) -> list[Any]:
    """The cotangents of a loop's arguments."""
    found = _pulled(g, out, steps, *args, body=body, **params)
    used = _used(body, list(map(_arrives, g)))
    return [found[0], *[h if x in used else DISCONNECTED for x, h in zip(body.inputs, found[1:], strict=True)]]


def _arrives(h: Any) -> bool:
    return h is not DISCONNECTED and h is not None


def _used(body: Body, given: Sequence[bool]) -> set[Expr]:
    """The arguments of a body that those of its results with a cotangent (final states, kept values) depend on."""
    count = len(body.states)
    kept = [y for y, h in zip(body.ys, given[count : count + len(body.ys)], strict=True) if h]
    used: set[Expr] = {x for x, h in zip(body.states, given, strict=False) if h}
    pending = [*kept, *[n for n, x in zip(body.nexts, body.states, strict=True) if x in used]]
    while pending:
        read = {x for x in toposort(pending) if x.is_leaf} - used
        used |= read
        pending = [n for n, x in zip(body.nexts, body.states, strict=True) if x in read]
    return used


@dataclass(frozen=True)
class _Step:
    """A step of the body, backwards: what arrives, as variables, and what leaves.

    ``after`` arrives from the step behind, by the number of the state, ``beside`` from outside, by that of the kept
    value; ``slopes`` leave to the arguments of the body.
    """

    after: dict[int, Expr]
    beside: dict[int, Expr]
    slopes: dict[Expr, Any]


def _pulled(
    g: Sequence[Any], out: Expr, steps: Expr, *args: Expr, body: Body, **params: Any
) -> list[Any]:
    given = [h if isinstance(h, Expr) else None for h in g]
    if body.until is not None:
        given = given[:-1]
    own = body.opened()
    inner = alongside.in_normal_form(own)
    flows = zip(inner.outputs, given, g, strict=False)
    flat = [y for y, h, arrived in flows if _arrives(arrived) and (h is None or is_discrete(y))]
    step = _step(inner, given, flat, _used(inner, list(map(_arrives, g))))
    absent = _through_states(inner, {x: h for x, h in step.slopes.items() if is_null(h)})
    checkpoint, truncate = params.get("checkpoint"), int(params.get("truncate", -1))
    if checkpoint is not None and not absent and body.until is None and truncate < 0:
        from fuse.autodiff.checkpoints import reverse_in_segments

        return reverse_in_segments(out, given, checkpoint)
    step.slopes.update(dict.fromkeys(absent, ZERO))
    found = _flown(out, own, inner, step, given, truncate, params)
    found = {x: _absent(step.slopes.get(x, ZERO), x) for x in inner.inputs} | found | absent
    return [DISCONNECTED, *[found[x] for x in inner.inputs]]


def _flown(
    out: Expr, own: Body, inner: Body, step: _Step, given: Sequence[Expr | None], truncate: int, params: dict[str, Any]
) -> dict[Expr, Any]:
    """What flows to the arguments of the loop ``out``, by those of its body ``inner``, ``own`` in normal form.

    It is made by two loops: the forward one, which keeps what is read, and the one backwards.
    """
    steps, (sequences, inits, fixed) = out.args[0], arguments(out)
    sums = [w for w in inner.fixed if isinstance(step.slopes.get(w), Expr)]
    connected = [x for x in inner.sequences if isinstance(step.slopes.get(x), Expr)]
    backward, kept = _backward(inner, step, sums, connected)
    # The forward loop again, with what is to be read kept; the two become one (fuse.looping.tidy).
    extra = Body(own.sequences, own.states, own.fixed, own.nexts, [*own.ys, *kept], own.until)
    own_params = {k: v for k, v in params.items() if k != "ragged"}  # all that is kept here belongs to steps
    _, trajectories, done = results(loop_node(steps, sequences, inits, fixed, extra, **own_params))
    length = steps if done is None else done
    back = length if truncate < 0 else ew.minimum(length, constant(truncate, dtype="int64"))
    flowing = [h for m in step.beside if (h := given[len(inner.states) + m]) is not None]
    reversed_ = [backwards(x, length, back) for x in (*sequences, *trajectories[len(inner.ys):], *flowing)]
    start = [filled(inits[k], 0.0) if (h := given[k]) is None else h for k in step.after]
    start = [cast_like(s, inner.states[k]) for s, k in zip(start, step.after, strict=True)]
    start += [filled(fixed[inner.fixed.index(w)], 0.0) for w in sums]
    label = {k: v for k, v in params.items() if k == "label"}
    finals, slopes, _ = results(loop_node(back, reversed_, start, fixed, backward, **label))
    whole = dict(zip(inner.sequences, sequences, strict=True))
    found = {x: placed(slope, whole[x], length, back) for x, slope in zip(connected, slopes, strict=True)}
    for k, final in zip(step.after, finals, strict=False):
        x = inner.states[k]
        if truncate >= 0:  # the first steps pass nothing on
            final = ew.switch(op("eq", back, length), final, constant(0, dtype=x.type.dtype))
        found[x] = final
    found.update(zip(sums, finals[len(step.after):], strict=True))
    return found


def _step(
    inner: Body, given: Sequence[Expr | None], flat: Sequence[Expr], used: Collection[Expr]
) -> _Step:
    """A step backwards: ``given`` flows into results, zeros into ``flat``, and on through the states in ``used``."""
    count = len(inner.states)
    flowing = [k for k, x in enumerate(inner.states) if x in used]
    after = {k: variable(inner.states[k].type) for k in flowing if not is_discrete(inner.states[k])}
    beside = {  # integers pass nothing on to what is no integer
        m: variable(y.type) for m, y in enumerate(inner.ys) if given[count + m] is not None and not is_discrete(y)
    }
    heads: list[tuple[Expr, Any]] = [(cast_like(inner.nexts[k], v), v) for k, v in after.items()]
    heads += [(inner.ys[m], v) for m, v in beside.items()]
    heads += [(x, ZERO) for x in (*flat, *[inner.nexts[k] for k in flowing if k not in after])]
    return _Step(after, beside, cotangents(heads, [x for x in inner.inputs if not is_discrete(x)]))


def _through_states(inner: Body, absent: Mapping[Expr, Any]) -> dict[Expr, Any]:
    """The inputs without a gradient: with those in ``absent``, what the new values of such states are made of."""
    found = dict(absent)
    waiting = [x for x in inner.states if x in absent]
    while waiting:
        state = waiting.pop()
        for leaf in leaves([inner.nexts[inner.states.index(state)]]):
            if leaf in inner.inputs and leaf not in found:
                found[leaf] = found[state]
                waiting += [leaf] if leaf in inner.states else []
    return {x: ZERO if is_discrete(x) else why for x, why in found.items()}


def _backward(
    inner: Body, step: _Step, sums: Sequence[Expr], connected: Sequence[Expr]
) -> tuple[Body, list[Expr]]:
    """The body of the loop that runs backwards, and the values of the forward steps that it reads.

    Its sequences are those of the forward loop, these values, and what flows in from outside. Its states are what flows
    back through the states, and the ``sums`` over steps of what flows to fixed values; it keeps the slopes of the
    ``connected`` sequences.
    """
    slopes = dict(step.slopes)
    for k, v in step.after.items():  # stored into the one array that flows back, instead of added to it
        flown = slopes[inner.states[k]]
        if isinstance(flown, Expr):
            slopes[inner.states[k]] = windows.added_up(cast_like(flown, v), v)
    kept, known = _kept(inner, [h for h in slopes.values() if isinstance(h, Expr)])

    def recalled(x: Expr, like: Expr) -> Expr:
        return substitute([slopes[x]], known)[0] if isinstance(slopes[x], Expr) else filled(like, 0.0)

    places = {w: variable(w.type) for w in sums}
    nexts = [cast_like(recalled(inner.states[k], v), v) for k, v in step.after.items()]
    nexts += [windows.added_up(cast_like(ew.add(p, recalled(w, w)), p), p) for w, p in places.items()]
    stored = list(dict.fromkeys(known.values()))
    backward = Body(
        [*inner.sequences, *stored, *step.beside.values()], [*step.after.values(), *places.values()], inner.fixed,
        nexts, [recalled(x, x) for x in connected],
    )
    return backward, kept


def _absent(h: Any, x: Expr) -> Any:
    return ZERO if isinstance(h, Expr) or is_discrete(x) else h


def backwards(x: Expr, length: Expr, back: Expr) -> Expr:
    """The last ``back`` of the first ``length`` elements of ``x``, last first."""
    if length is not back:
        first = ew.sub(length, back)
        return x[first:length][::-1]
    return x[::-1] if has_rows(x, length) else x[:length][::-1]


def placed(slope: Expr, sequence: Expr, length: Expr, back: Expr) -> Expr:
    """The gradient of a whole sequence from that of the steps done, last first."""
    slope = slope[::-1]
    if length is back and has_rows(sequence, length):
        return slope
    zeros = filled(sequence, 0.0)
    return _stored(zeros, cast_like(slope, sequence), ew.sub(length, back), length)


def _stored(zeros: Expr, value: Expr, start: Expr, stop: Expr) -> Expr:
    known = isinstance(start, Constant) and int(start.data) == 0
    if known or start.op.name == "sub" and start.args[0] is start.args[1]:
        return set_subtensor(zeros[:stop], value)
    return set_subtensor(zeros[start:stop], value)


def _kept(inner: Body, needed: Sequence[Expr]) -> tuple[list[Expr], dict[Expr, Expr]]:
    """The values of a forward step that the backward one reads, and for each the leaf that stands for it there.

    States are read; of other values those that are dear to compute again, at the edge of what the gradients read.
    """
    order = toposort(needed)
    lazy = guards(order, needed) if has_choices(order) else {}
    forward_nodes = set(toposort(inner.outputs))
    of_body = set(inner.inputs)
    for node in order:  # what the backward step reads of the forward one: those nodes that are in both
        if node in forward_nodes and not node.is_leaf and not of_body.isdisjoint(node.args):
            of_body.add(node)
    varying = {*inner.sequences, *inner.states}
    for node in order:
        if node in of_body and not varying.isdisjoint(node.args):
            varying.add(node)
    readers: dict[Expr, None] = {}  # forward values that backward nodes (or results) read, in order
    for node in order:
        if node not in of_body:
            readers.update(dict.fromkeys(a for a in node.args if a in of_body))
    readers.update(dict.fromkeys(n for n in needed if n in of_body))
    known: dict[Expr, Expr] = {}
    stack, seen = list(readers), set(readers)
    already, moving = {*inner.nexts, *inner.ys}, {*inner.sequences, *inner.states}
    in_place = {x for x, n in zip(inner.states, inner.nexts, strict=True) if windows.change_of(x, n) is not None}
    while stack:
        node = stack.pop()
        if node.op.name == "subtensor" and node.args[0] in in_place and is_steady(node, moving):
            known[node] = variable(node.type)  # a part of a state, which is not kept whole for it
            continue
        drawn = only_arrays(node.type) and not all(only_arrays(a.type) for a in node.args)  # by a generator, say
        if drawn:
            known[node] = variable(node.type)
            continue
        worth = node in varying and not node.is_leaf and (node in already or is_dear(node) and is_steady(node, moving))
        if node in inner.states or worth and not lazy.get(node):
            known[node] = variable(node.type)
            continue
        if node in varying:
            new = [a for a in node.args if a not in seen and a in of_body]
            seen.update(new)
            stack.extend(new)
    return list(known), known


def is_dear(node: Expr) -> bool:
    """Whether a value of a step is kept, or computed ahead, rather than computed again."""
    if not hasattr(node.type, "shape"):
        return False
    if node.op.kind == "elementwise":
        return "light" not in node.op.traits
    return node.op.kind in _DEAR_KINDS and node.op.name not in ("part", "subtensor")


def forward_rule(
    inner: Sequence[Any], out: Expr, steps: Expr, *args: Expr, body: Body, **params: Any
) -> tuple[Any, ...]:
    """The tangents of a loop's results: a loop with the tangents of the states beside the states."""
    from fuse.autodiff import forward

    tangents = inner[1:]
    sequences, inits, fixed = arguments(out)
    opened = body.opened()
    a, count = len(sequences), len(inits)
    live = {
        k for k, (x, t) in enumerate(zip(opened.inputs, tangents, strict=True))
        if isinstance(t, Expr) and not is_discrete(x) and not a <= k < a + count
    }
    states = {a + k for k, x in enumerate(opened.states) if not is_discrete(x)}
    dots = {k: variable(opened.inputs[k].type) for k in sorted(live | states)}
    found = forward.tangents(opened.outputs, {opened.inputs[k]: v for k, v in dots.items()})

    own_sequences = [k for k in dots if k < a]
    own_states = [k for k in dots if a <= k < a + count]
    own_fixed = [k for k in dots if k >= a + count]
    nexts = [dense(found[k - a], opened.nexts[k - a]) for k in own_states]
    moving = [m for m, y in enumerate(opened.ys) if not is_discrete(y)]
    kept = [dense(found[count + m], opened.ys[m]) for m in moving]
    beside = Body(
        [*opened.sequences, *[dots[k] for k in own_sequences]], [*opened.states, *[dots[k] for k in own_states]],
        [*opened.fixed, *[dots[k] for k in own_fixed]], [*opened.nexts, *nexts], [*opened.ys, *kept], opened.until,
    )
    start = [dense(tangents[k], inits[k - a]) for k in own_states]
    node = loop_node(
        steps, [*sequences, *[cast_like(tangents[k], sequences[k]) for k in own_sequences]], [*inits, *start],
        [*fixed, *[cast_like(tangents[k], args[k]) for k in own_fixed]], beside,
        **{k: v for k, v in params.items() if k != "nonempty"},
    )
    finals, values, _ = results(node)
    final_dots = dict(zip(own_states, finals[count:], strict=True))
    value_dots = dict(zip(moving, values[len(opened.ys):], strict=True))
    result: list[Any] = [final_dots.get(a + k, ZERO) for k in range(count)]
    result += [value_dots.get(m, ZERO) for m in range(len(opened.ys))]
    return tuple(result if body.until is None else [*result, ZERO])


DERIVATIVES.update(reverse=reverse, forward=forward_rule, alongside=after(alongside.gradient))
