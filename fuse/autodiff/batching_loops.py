"""Batches and loops: a loop for a whole batch at once, with entries that end by themselves; a loop over a batch.

Where the number of steps is the same for all, each step is done for the whole batch. Where entries end by themselves
the loop runs as long as any of them does, and those that have ended wait: their states stay as they are. What has no
form for a whole batch, such as slices of different lengths, is done entry by entry in a loop (`in_turn`).
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from fuse.autodiff import batching
from fuse.autodiff.sweep import op
from fuse.errors import FuseTypeError
from fuse.expr import Expr, constant, substitute, variable
from fuse.frontend import elementwise as ew
from fuse.frontend import reductions, scans
from fuse.frontend.join import concatenate
from fuse.frontend.loops import LOOP, Body, foreign, is_array, loop_node, results
from fuse.types import TensorType

_RAGGED = "what a loop keeps of each step has a length of its own in each entry of a batch, if it ends by a condition"


def batched(batch: batching.Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """A loop for a whole batch at once: its states and values have the new axis in front, in every step."""
    body: Body = node.params["body"]
    plain = all(is_array(x.type) for x in body.inputs)
    ends = flags[0] or body.until is not None
    if not plain or ends and (node.params.keys() & {"truncate", "branch"} or flags[0] and node.params.get("nonempty")):
        return batching.one_by_one(batch, node, args, flags)
    inner = body.opened()
    a, count = len(inner.sequences), len(inner.states)
    if flags[0] and any(flags[1 : 1 + a]):  # rows that go with steps which not all entries have
        raise batching.UnbatchedError(_RAGGED)
    wide = {x for x, f in zip(inner.inputs, flags[1:], strict=True) if f}
    wide.update(inner.states)
    size = variable(batch.size.type)
    leaves = {x: variable(TensorType(x.type.dtype, (None, *x.type.shape))) for x in inner.inputs if x in wide}
    outputs = batching.vectorize(inner.outputs, leaves, size)
    given = []
    for k, (arg, flag) in enumerate(zip(args[1:], flags[1:], strict=True)):
        if flag and k < a:
            arg = batching.dimshuffle(arg, 1, 0, *range(2, arg.type.ndim))
        elif a <= k < a + count and not flag:
            arg = batch.widened(arg)
        given.append(arg)
    new = [leaves.get(x, x) for x in inner.inputs]
    sequences, states, fixed = new[:a], new[a : a + count], [*new[a + count :], size]
    inits, others = given[a : a + count], [*given[a + count :], batch.size]
    params = {k: v for k, v in node.params.items() if k != "body"}
    if not ends:
        wider = Body(sequences, states, fixed, outputs[:count], outputs[count:])
        return loop_node(args[0], given[:a], inits, others, wider, **params)
    steps = args[0] if flags[0] else None
    firsts = inits
    if steps is not None:  # an entry that takes no step is computed as one that does
        places = op("iota", batch.size)
        some = scans.argmax(concatenate([ew.gt(steps, 0), constant([True])]))
        places = ew.switch(ew.gt(steps, 0), places, ew.minimum(some, ew.sub(batch.size, 1)))
        firsts = [op("gather", x, places) for x in inits]
        others[:-1] = [op("gather", x, places) if f else x
                       for x, f in zip(others[:-1], flags[1 + a + count :], strict=True)]
    wider, starts, more = _in_step(outputs, sequences, states, fixed, body.until is not None, steps, batch)
    total = args[0] if steps is None else reductions.max(concatenate([constant([0], dtype="int64"), steps]))
    return loop_node(total, given[:a], [*inits, *starts], [*others, *firsts, *more], wider, **params)


def _in_step(
    outputs: Sequence[Expr], sequences: list[Expr], states: list[Expr], fixed: list[Expr], until: bool,
    steps: Expr | None, batch: batching.Batch,
) -> tuple[Body, list[Expr], list[Expr]]:
    """The body of a loop of which each entry ends by itself, the first values of its further states, and fixed values.

    The further states say which entries go on, and how many steps each has done. An entry that has ended is computed
    from its first state, for which a step is defined, and what comes out is not used.
    """
    count = len(states)
    going, done = variable(TensorType("bool", (None,))), variable(TensorType("int64", (None,)))
    first = [variable(x.type) for x in states]
    limit = [] if steps is None else [variable(TensorType("int64", (None,)))]
    safe = {x: _chosen(going, x, y) for x, y in zip(states, first, strict=True)}
    outputs = substitute(outputs, safe)
    nexts = [_chosen(going, n, x) for n, x in zip(outputs, states, strict=False)]
    after = ew.add(done, ew.cast(going, "int64"))
    on = ew.and_(going, ew.eq(outputs[-1], constant(False))) if until else going
    if limit:
        on = ew.and_(on, ew.lt(after, limit[0]))
    kept = outputs[count:-1] if until else outputs[count:]
    body = Body(
        sequences, [*states, going, done], [*fixed, *first, *limit], [*nexts, on, after], kept,
        ew.invert(reductions.any(on)),
    )
    start = ew.gt(steps, 0) if steps is not None else batch.widened(constant(True))
    return body, [start, batch.widened(constant(0, dtype="int64"))], [] if steps is None else [steps]


def _chosen(going: Expr, new: Expr, old: Expr) -> Expr:
    return ew.switch(batching.dimshuffle(going, 0, *["x"] * (new.type.ndim - 1)), new, old)


def batched_part(batch: batching.Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """A part of what was batched; of a loop, kept values have the axis of steps in front."""
    loop, i = args[0], node.params["i"]
    if loop.op is not LOOP or i < len(node.args[0].params["body"].states):
        return op("part", loop, i=i)
    body: Body = loop.params["body"]
    count = len(node.args[0].params["body"].states)
    extra = len(body.states) - count
    if extra and i == count + len(body.ys):  # the number of steps of each entry
        return op("part", loop, i=count + 1)
    if extra and not loop.params.get("ragged"):
        raise batching.UnbatchedError(_RAGGED)
    rows = op("part", loop, i=i + extra)
    return batching.dimshuffle(rows, 1, 0, *range(2, rows.type.ndim))


def in_turn(outputs: Sequence[Expr], batched: Mapping[Expr, Expr], size: Expr) -> list[Expr]:
    """``batching.vectorize`` by a loop over the entries."""
    elements = {key: variable(key.type, key.name) for key in batched}
    roots = substitute(outputs, elements)
    if not all(is_array(r.type) for r in roots):
        raise FuseTypeError("only arrays are computed for one entry of a batch after the other")
    outside = foreign(roots, list(elements.values()))
    fixed = {x: variable(x.type, x.name) for x in outside}
    roots = substitute(roots, fixed)
    body = Body(list(elements.values()), [], list(fixed.values()), [], roots)
    return results(loop_node(size, list(batched.values()), [], outside, body))[1]

