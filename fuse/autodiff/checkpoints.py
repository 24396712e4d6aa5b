"""The gradient of a loop in little memory: states are kept now and then, and the steps between are done again.

A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic differentiation",
Optimization Methods and Software 1, 1992; here with one level of segments, so that memory grows as the root of steps.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.autodiff.sweep import cast_like, cotangents, dense, filled, is_discrete
from fuse.expr import Expr, constant, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.indexing import set_subtensor
from fuse.frontend.layout import iota
from fuse.frontend.loops import Body, arguments, loop_node, results
from fuse.op import DISCONNECTED, ZERO


def reverse_in_segments(out: Expr, given: Sequence[Expr | None], checkpoint: int) -> list[Any]:
    """The cotangents of a loop's arguments; ``given`` are those of its results.

    ``checkpoint`` steps make a segment, 0: as many as there are segments. The states before each are kept.
    """
    body: Body = out.params["body"]
    sequences, inits, fixed = arguments(out)
    steps = out.args[0]
    length = _segment(steps, checkpoint)
    segments = ew.int_div(ew.sub(ew.add(steps, length), constant(1, dtype="int64")), length)
    numbers = iota(segments)
    # Forwards, for the states before each segment.
    segment = _Segment(body, sequences, fixed, steps, length)
    inner = loop_node(segment.count, segment.slices, segment.states, segment.fixed, _without_ys(body))
    forward = Body([segment.number], segment.states, segment.outer, results(inner)[0], segment.states)
    known = [*segment.arguments]
    starts = results(loop_node(segments, [numbers], inits, known, forward))[1]
    # Backwards, with the steps of each segment done again.
    count = len(body.states)
    segment = _Segment(body, sequences, fixed, steps, length)
    inner = loop_node(segment.count, segment.slices, segment.states, segment.fixed, body)
    finals, kept, _ = results(inner)
    live = [k for k, x in enumerate(body.states) if not is_discrete(x)]
    after = {k: variable(finals[k].type) for k in live}
    flowing = {m: h for m, y in enumerate(kept) if (h := given[count + m]) is not None}
    whole = {m: variable(h.type) for m, h in flowing.items()}
    heads: list[tuple[Expr, Any]] = [(finals[k], after[k]) for k in live]
    heads += [(kept[m], cast_like(segment.cut(h), kept[m])) for m, h in whole.items()]
    targets = [x for x in (*segment.slices, *segment.states, *segment.fixed) if not is_discrete(x)]
    found = cotangents(heads, targets)
    nexts = [dense(found.get(segment.states[k]), after[k]) for k in live]
    places: dict[Expr, Expr] = {}
    for x, whole_sequence in zip(segment.slices, segment.sequences, strict=True):
        slope = found.get(x)
        if isinstance(slope, Expr):
            places[x] = variable(whole_sequence.type)
            nexts.append(set_subtensor(segment.cut(places[x]), cast_like(slope, places[x])))
    for x in segment.fixed:
        slope = found.get(x)
        if isinstance(slope, Expr):
            places[x] = variable(x.type)
            nexts.append(ew.add(places[x], cast_like(slope, places[x])))
    backward = Body(
        [segment.number, *segment.states], [*after.values(), *places.values()], [*segment.outer, *whole.values()],
        nexts,
    )
    begin = [dense(given[k], inits[k]) for k in live]
    outer = dict(zip([*segment.slices, *segment.fixed], [*sequences, *fixed], strict=True))
    begin += [filled(outer[x], 0.0) for x in places]
    node = loop_node(
        segments, [numbers[::-1], *[s[::-1] for s in starts]], begin, [*segment.arguments, *flowing.values()], backward,
    )
    last = results(node)[0]
    states = dict(zip(live, last, strict=False))
    others = dict(zip(places, last[len(live):], strict=True))
    return [
        DISCONNECTED, *[others.get(x, ZERO) for x in segment.slices], *[states.get(k, ZERO) for k in range(count)],
        *[others.get(x, ZERO) for x in segment.fixed],
    ]


class _Segment:
    """Leaves for a step over one segment, and the parts of the sequences that belong to it."""

    def __init__(
        self, body: Body, sequences: Sequence[Expr], fixed: Sequence[Expr], steps: Expr, length: Expr
    ) -> None:
        self.number = variable(constant(0, dtype="int64").type)
        self.steps, self.length = variable(steps.type), variable(length.type)
        self.sequences = [variable(x.type) for x in sequences]
        self.states = [variable(x.type) for x in body.states]
        self.fixed = [variable(x.type) for x in fixed]
        self.outer = [self.steps, self.length, *self.sequences, *self.fixed]
        self.arguments = [steps, length, *sequences, *fixed]
        self.start = ew.mul(self.number, self.length)
        self.count = ew.minimum(self.length, ew.sub(self.steps, self.start))
        self.slices = [self.cut(x) for x in self.sequences]

    def cut(self, x: Expr) -> Expr:
        """The rows of this segment."""
        return x[self.start : ew.add(self.start, self.count)]


def _segment(steps: Expr, checkpoint: int) -> Expr:
    if checkpoint:
        return constant(checkpoint, dtype="int64")
    root = ew.ceil(ew.sqrt(ew.cast(steps, "float64")))
    return ew.maximum(ew.cast(root, "int64"), constant(1, dtype="int64"))


def _without_ys(body: Body) -> Body:
    return Body(body.sequences, body.states, body.fixed, body.nexts)

