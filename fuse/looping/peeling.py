"""Axes along which the elements of a loop are loops of their own: no step puts two of their elements together.

A step that adds noise to ten thousand particles is ten thousand loops over numbers; one that multiplies a batch of
states with a matrix is a loop over vectors for each row. `peeled` finds such axes and gives the body of one element.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fuse.expr import Constant, Expr, make, rebuild, toposort, variable
from fuse.frontend.loops import Body, is_array
from fuse.op import OPS
from fuse.types import TensorType


@dataclass(frozen=True)
class Peeled:
    """The ``body`` of one element, and of each dimension of the whole body's values the axis it is along, or None.

    ``inputs`` has them for the body's inputs, ``results`` for its next states and kept values.
    """

    body: Body
    axes: int
    inputs: tuple[tuple[int | None, ...], ...]
    results: tuple[tuple[int | None, ...], ...]


class _Axes:
    """Which dimensions of a body's values are one axis; ``tied`` are those whose elements meet."""

    def __init__(self) -> None:
        self.above: list[int] = []
        self.tied: set[int] = set()
        self.of: dict[Expr, list[int | None]] = {}  # None: of size 1

    def new(self) -> int:
        self.above.append(len(self.above))
        return len(self.above) - 1

    def find(self, axis: int) -> int:
        while self.above[axis] != axis:
            self.above[axis] = axis = self.above[self.above[axis]]
        return axis

    def is_tied(self, axis: int) -> bool:
        return self.find(axis) in {self.find(t) for t in self.tied}

    def same(self, a: int | None, b: int | None) -> int | None:
        """The axis that both are; one of size 1 is repeated."""
        if a is None or b is None:
            return b if a is None else a
        self.above[self.find(a)] = self.find(b)
        return b

    def tie(self, axes: Sequence[int | None]) -> None:
        self.tied.update(a for a in axes if a is not None)

    def fresh(self, node: Expr) -> list[int | None]:
        return [None if n == 1 else self.new() for n in node.type.shape]

    def visit(self, node: Expr) -> None:
        """The axes of a node from those of its arguments."""
        given = [self.of[a] for a in node.args if is_array(a.type)]
        match node.op.name:
            case "shape_i":
                found: list[int | None] = []
            case "dimshuffle":
                found = [None if d == "x" else given[0][d] for d in node.params["pattern"]]
            case "broadcast_to":
                lead = node.type.ndim - len(given[0])
                new = self.fresh(node)
                found = [new[d] if d < lead or given[0][d - lead] is None else given[0][d - lead]
                         for d in range(node.type.ndim)]
            case "unbroadcast":
                for g, like in zip(*given, strict=True):
                    if (g is None) != (like is None):
                        self.tie([g, like])
                    self.same(g, like)
                found = given[1]
            case "dot":
                self.tie([given[0][-1], given[1][0]])
                found = [*given[0][:-1], *given[1][1:]]
            case _ if node.op.kind == "elementwise":
                found = [None] * node.type.ndim
                for own in given:
                    lead = node.type.ndim - len(own)
                    for d, axis in enumerate(own):
                        found[lead + d] = self.same(found[lead + d], axis)
            case _ if node.op.kind == "reduction" or _finds_one(node):
                over = _over(node)
                self.tie([given[0][d] for d in over])
                found = [axis for d, axis in enumerate(given[0]) if d not in over]
            case _:
                for own in given:
                    self.tie(own)
                found = self.fresh(node) if is_array(node.type) else []
                self.tie(found)
        self.of[node] = found


def _finds_one(node: Expr) -> bool:
    """Whether a node is the position of one element along an axis, as argmax is and argsort or nonzero are not."""
    return "position" in node.op.meta and is_array(node.type) and node.type.ndim < node.args[0].type.ndim


def _over(node: Expr) -> set[int]:
    axis, rank = node.params["axis"], node.args[0].type.ndim
    listed = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return {d % rank for d in listed}


def peeled(body: Body, outputs: Sequence[Expr]) -> Peeled | None:
    """The loop of one element of ``body``, whose ``outputs`` stand in core ops; None where all elements meet."""
    if not all(is_array(x.type) for x in (*body.inputs, *outputs)):
        return None
    order = toposort(outputs)
    axes = _Axes()
    for node in order:
        if node.is_leaf:
            axes.of[node] = axes.fresh(node)
            if node not in body.inputs:
                axes.tie(axes.of[node])
        else:
            axes.visit(node)
    for x in body.inputs:
        axes.of.setdefault(x, axes.fresh(x))
    results = outputs[: len(body.states) + len(body.ys)]
    for x, after in zip(body.states, results, strict=False):
        for a, b in zip(axes.of[x], axes.of[after], strict=True):
            if (a is None) != (b is None):
                axes.tie([a, b])
            axes.same(a, b)
    _tie_sizes(order, axes)
    for own in axes.of.values():  # m + m.T
        roots = [axes.find(a) for a in own if a is not None]
        axes.tie([a for a in roots if roots.count(a) > 1])
    chosen = _chosen(body, results, axes)
    if not chosen:
        return None

    def along(node: Expr) -> tuple[int | None, ...]:
        roots = [None if a is None else axes.find(a) for a in axes.of[node]]
        return tuple([chosen.index(a) if a in chosen else None for a in roots])

    inner = _without(order, {node: along(node) for node in axes.of}, body)
    if inner is None or any(inner[o] is None for o in outputs):
        return None
    a, b = len(body.sequences), len(body.sequences) + len(body.states)
    inputs: list[Any] = [inner[x] for x in body.inputs]
    values: list[Any] = [inner[o] for o in outputs]
    c, d = len(body.states), len(results)
    until = values[-1] if body.until is not None else None
    one = Body(inputs[:a], inputs[a:b], inputs[b:], values[:c], values[c:d], until)
    return Peeled(one, len(chosen), tuple(map(along, body.inputs)), tuple(map(along, results)))


def _tie_sizes(order: Sequence[Expr], axes: _Axes) -> None:
    """An axis that a value is repeated along has the size of an array's own, or it stays in the body."""
    for node in order:
        if node.op.name == "broadcast_to":
            x, *sizes = node.args
            lead = len(sizes) - x.type.ndim
            for d, (size, axis) in enumerate(zip(sizes, axes.of[node], strict=True)):
                if size.op.name == "shape_i":
                    own = axes.of[size.args[0]][size.params["axis"]]
                    fits = own is not None and axis is not None and axes.find(own) == axes.find(axis)
                else:
                    fits = isinstance(size, Constant) and d >= lead and x.type.shape[d - lead] == int(size.data)
                if not fits:
                    axes.tie([axis])


def _chosen(body: Body, results: Sequence[Expr], axes: _Axes) -> list[int]:
    """The axes that every state and kept value is along, but for numbers, which each element computes for itself."""
    there = {axes.find(a) for x in body.inputs for a in axes.of[x] if a is not None}
    free = {a for a in there if not axes.is_tied(a)}
    found: list[list[int]] = []
    for value in results:
        if value.type.ndim:
            found.append([axes.find(a) for a in axes.of[value] if a is not None and axes.find(a) in free])
    if not found:
        return []
    largest = max(found, key=len)
    if all(set(own) <= set(largest) and own for own in found):
        return largest
    return [a for a in largest if all(a in own for own in found)]


def _without(
    order: Sequence[Expr], along: dict[Expr, tuple[int | None, ...]], body: Body
) -> dict[Expr, Expr | None] | None:
    """Each node for one element; None stands for the size of an axis that is gone."""
    new: dict[Expr, Expr | None] = {}

    def left(node: Expr) -> list[int]:
        """The dimensions that stay."""
        return [d for d, a in enumerate(along[node]) if a is None]

    def within(node: Expr, arg: Expr, value: Expr) -> Expr:
        """The ``value`` of ``arg`` without the dimensions of size 1 that ``node`` repeats along one that is gone."""
        lead = node.type.ndim - arg.type.ndim
        return _turned(value, tuple([i for i, d in enumerate(left(arg)) if along[node][lead + d] is None]))

    for x in body.inputs:
        new[x] = variable(TensorType(x.type.dtype, tuple([x.type.shape[d] for d in left(x)])))
    for node in order:
        if node in new or isinstance(node, Constant):
            new.setdefault(node, node)
            continue
        name, args = node.op.name, [new[a] for a in node.args]
        first, own = (args[0], left(node.args[0])) if args else (None, [])
        if name == "shape_i":
            d = node.params["axis"]
            new[node] = None if d not in own else make(node.op, (_sure(first),), {"axis": own.index(d)})
            continue
        if name == "broadcast_to":
            sizes = [args[1 + d] for d in left(node)]
            if any(s is None for s in sizes):
                return None
            x = within(node, node.args[0], _sure(first))
            new[node] = make(node.op, (x, *map(_sure, sizes))) if sizes else x
            continue
        if any(a is None for a in args):
            return None
        values = [_sure(a) for a in args]
        if name == "dimshuffle":
            pattern = [p for p, a in zip(node.params["pattern"], along[node], strict=True) if a is None]
            new[node] = _turned(values[0], tuple([p if p == "x" else own.index(p) for p in pattern]))
        elif name == "unbroadcast":
            new[node] = make(node.op, tuple(values)) if left(node) else values[0]
        elif node.op.kind == "elementwise":
            values = [within(node, arg, value) for arg, value in zip(node.args, values, strict=True)]
            new[node] = make(node.op, tuple(values), node.params)
        elif _finds_one(node):
            new[node] = make(node.op, tuple(values), {"axis": own.index(node.params["axis"])})
        elif node.op.kind == "reduction":
            over = tuple([own.index(d) for d in sorted(_over(node))])
            new[node] = make(node.op, tuple(values), {**node.params, "axis": over})
        else:
            new[node] = rebuild(node, values)
    return new


def _sure(value: Expr | None) -> Expr:
    assert value is not None
    return value


def _turned(x: Expr, pattern: tuple[Any, ...]) -> Expr:
    return x if pattern == tuple(range(x.type.ndim)) else make(OPS["dimshuffle"], (x,), {"pattern": pattern})
