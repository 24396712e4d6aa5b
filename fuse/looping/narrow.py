"""Sizes of 1 that are known of what a loop is given, known in its steps too: what has them repeats there."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from fuse.expr import Expr, make, rebuild, substitute, transform, variable
from fuse.frontend.loops import LOOP, Body, arguments
from fuse.types import TensorType


def narrowed(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs``, where the steps of loops know of sizes of 1 what the types of the loops' arguments say.

    A state keeps its type in each step; where steps do not give it that of its initial value, it keeps the one it had.
    """

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        new = node if node.is_leaf else rebuild(node, args)
        body = next(_bodies(new), None) if new.op is LOOP else None
        if body is not None:
            new = make(LOOP, args, {**node.params, "body": body})
            new.origin = new.origin or node.origin
        return new

    return transform(outputs, visit)


def _bodies(node: Expr) -> Iterator[Body]:
    """The body on leaves with more sizes of 1 than its own: states among them, and else without."""
    body: Body = node.params["body"]
    sequences, inits, fixed = arguments(node)
    shapes = [x.type.shape[1:] for x in sequences]
    others = [getattr(x.type, "shape", None) for x in (*inits, *fixed)]
    new = [_ones(x, shape) for x, shape in zip(body.inputs, [*shapes, *others], strict=True)]
    states = range(len(sequences), len(sequences) + len(inits))
    for leaves in (new, [body.inputs[k] if k in states else x for k, x in enumerate(new)]):
        changes = {x: y for x, y in zip(body.inputs, leaves, strict=True) if x is not y}
        if not changes:
            continue
        outputs = narrowed(substitute(body.outputs, changes))
        a, b = len(body.nexts), len(body.nexts) + len(body.ys)
        until = None if body.until is None else outputs[-1]
        if all(leaves[k].type == x.type for k, x in zip(states, outputs, strict=False)):
            first, last = states.start, states.stop
            yield Body(leaves[:first], leaves[first:last], leaves[last:], outputs[:a], outputs[a:b], until)


def _ones(x: Expr, shape: Sequence[int | None] | None) -> Expr:
    """A variable for ``x`` that has size 1 wherever ``shape`` has; ``x`` itself where it has that already."""
    if shape is None or not isinstance(x.type, TensorType):
        return x
    sizes = tuple([1 if n == 1 and m is None else m for n, m in zip(shape, x.type.shape, strict=True)])
    return x if sizes == x.type.shape else variable(TensorType(x.type.dtype, sizes), x.name)
