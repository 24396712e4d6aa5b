"""The branches of lazy choices as loops of one step or none: planned, compiled and skipped as loops are.

What only one branch of an ``ifelse`` needs becomes the body of a loop with ``branch="lazy"``, whose number of steps is
1 where the branch is taken. A condition has one loop per side and level: values that lead back into the branch by way
of the choice itself (in a gradient) need a second one, for which the first keeps what it reads. Choices within a branch
are choices of its body, and closed when that is simplified. ``chosen`` takes the value from the loop that ran.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.expr import Constant, Expr, as_expr, make, rebuild, substitute, toposort, transform, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.lazy import IFELSE, Literal, either_shape, guards, has_choices
from fuse.frontend.loops import Body, loop_node, results
from fuse.op import Op, register
from fuse.types import TensorType

Group = tuple[Expr, bool, int]  # condition, side, level
DEEP = 20  # levels of choices within choices, each of which is a program of its own


def _chosen(condition: Any, then: Any, other: Any, *, rows: tuple[bool, bool], **_: Any) -> Any:
    value, is_row = (then, rows[0]) if condition else (other, rows[1])
    return value[0] if is_row else np.array(value)


def _type(condition: Expr, then: Expr, other: Expr, *, rows: tuple[bool, bool], **_: Any) -> TensorType:
    shapes = [x.type.shape[1:] if r else x.type.shape for x, r in zip((then, other), rows, strict=True)]
    return TensorType(then.type.dtype, tuple([m if m == n else None for m, n in zip(*shapes, strict=True)]))


def _shape(node: Expr, _: Any, then: Any, other: Any) -> Any:
    rows = node.params["rows"]
    then, other = then[rows[0]:], other[rows[1]:]
    return then if node.params.get("same") else either_shape(then, other)


CHOSEN = register(Op(
    name="chosen", kind="opaque", numpy=_chosen, infer=_type, shape=_shape, nargs=3,
    doc="One of two values, or rows of loops of which one ran.",
))


def is_deep(outputs: Sequence[Expr]) -> bool:
    """Whether there are so many choices within choices that only the interpreter, which does not recurse, does them."""
    order = toposort(outputs)
    if sum(n.op is IFELSE for n in order) <= DEEP:
        return False
    return any(len(found) > DEEP for found in guards(order, outputs).values())


def of_one_size(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` whose choices take values of the same sizes on both sides; who plans so has to check it."""

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.op is CHOSEN:
            return make(CHOSEN, args, {**node.params, "same": True})
        if node.params.get("branch"):
            return make(node.op, args, {**node.params, "branch": "sized"})
        return rebuild(node, args) if args else node

    return transform(outputs, visit) if any(n.op is CHOSEN for n in toposort(outputs)) else list(outputs)


def closed(outputs: Sequence[Expr], mode: str | None = "default") -> list[Expr]:
    """``outputs`` with loops for the branches of their choices, which planning simplifies in ``mode``."""
    if not has_choices(toposort(outputs)):
        return list(outputs)
    outputs = transform(outputs, _decided)
    order = toposort(outputs)
    return _Closing(outputs, order, mode).outputs if has_choices(order) else outputs


def _decided(node: Expr, args: tuple[Expr, ...]) -> Expr:
    """A choice whose condition is known, or whose branches are the same, is none."""
    if node.op is IFELSE and isinstance(args[0], Constant):
        return args[1] if args[0].data else args[2]
    if node.op is IFELSE and args[1] is args[2]:
        return args[1]
    return rebuild(node, args) if args else node


class _Closing:
    """The graph again, with a loop for each group of nodes that one branch alone needs."""

    def __init__(self, outputs: Sequence[Expr], order: Sequence[Expr], mode: str | None) -> None:
        self.order, self.mode = order, mode
        self.area = _areas(order, outputs)
        self.level = _levels(order, self.area)
        groups: dict[Group, list[Expr]] = {}
        for node in order:
            where = self.group(node)
            if where is not None:
                groups.setdefault(where, []).append(node)
        self.wanted = self._wanted()
        self.new: dict[Expr, Expr] = {}  # values of the outer graph
        self.rows: dict[Expr, Expr] = {}  # values of branches, as rows of their loops
        self.steps: dict[Literal, Expr] = {}
        self.groups = groups
        for node in self._arranged():
            if not isinstance(node, Expr):
                self._close(node)
            elif node.op is IFELSE:
                self.new[node] = self._choose(node)
            else:
                self.new[node] = rebuild(node, [self.new[a] for a in node.args]) if node.args else node
        self.outputs = [self.new[o] for o in outputs]

    def group(self, node: Expr) -> Group | None:
        area = self.area[node]
        return None if area is None or node.is_leaf else (*area, self.level[node])

    def _wanted(self) -> dict[Group, dict[Expr, None]]:
        """The values of each group that are read outside of it."""
        wanted: dict[Group, dict[Expr, None]] = {}
        for node in self.order:
            here = self.group(node)
            for arg in node.args:
                there = self.group(arg)
                if there is not None and there != here:
                    wanted.setdefault(there, {})[arg] = None
        return wanted

    def _arranged(self) -> list[Any]:
        """Nodes of the outer graph, and groups, each after what it reads."""
        def needs(item: Any) -> list[Any]:
            args = item.args if isinstance(item, Expr) else [item[0], *[a for n in self.groups[item] for a in n.args]]
            found = [self.group(a) or a for a in args]
            return [f for f in found if f != item]

        done: dict[Any, None] = {}
        for node in self.order:
            stack = [self.group(node) or node]
            while stack:
                item = stack[-1]
                waiting = [] if item in done else [n for n in needs(item) if n not in done]
                if waiting:
                    stack += waiting
                else:
                    done[stack.pop()] = None
        return list(done)

    def _steps(self, condition: Expr, side: bool) -> Expr:
        """1 where the branch is taken, else 0."""
        if (condition, side) not in self.steps:
            zero = as_expr(np.zeros((), condition.type.dtype))
            holds = ew.neq(self.new[condition], zero) if side else ew.eq(self.new[condition], zero)
            self.steps[condition, side] = ew.cast(holds, "int64")
        return self.steps[condition, side]

    def _close(self, group: Group) -> None:
        condition, side, _ = group
        inside = set(self.groups[group])
        ys = list(self.wanted[group])
        sequences: dict[Expr, Expr] = {}
        fixed: dict[Expr, Expr] = {}
        for node in self.groups[group]:
            for arg in node.args:
                if arg in inside or isinstance(arg, Constant) and arg.data.size == 1:
                    continue
                into = sequences if self.group(arg) is not None else fixed
                into.setdefault(arg, variable(arg.type))
        own = substitute(ys, {**sequences, **fixed})
        body = Body(list(sequences.values()), [], list(fixed.values()), [], own)
        node = loop_node(
            self._steps(condition, side), [self.rows[a] for a in sequences], [], [self.new[a] for a in fixed], body,
            branch="lazy", mode=self.mode,
        )
        self.rows.update(zip(ys, results(node)[1], strict=True))

    def _choose(self, node: Expr) -> Expr:
        condition, *branches = node.args
        rows = tuple([self.group(b) is not None for b in branches])
        values = [self.rows[b] if r else self.new[b] for b, r in zip(branches, rows, strict=True)]
        return make(CHOSEN, (self._steps(condition, True), *values), {"rows": rows})


def _areas(order: Sequence[Expr], outputs: Sequence[Expr]) -> dict[Expr, Literal | None]:
    """The branch that alone needs a node; None for what is always computed. Choices within a branch are not asked."""
    area: dict[Expr, Literal | None] = dict.fromkeys(outputs)
    for node in reversed(order):
        own = area[node]
        for k, arg in enumerate(node.args):
            edge = (node.args[0], k == 1) if own is None and node.op is IFELSE and k else own
            if arg not in area:
                area[arg] = edge
            elif area[arg] != edge:
                area[arg] = None
    for node in reversed(order):  # the parts of a node are where it is
        if node.op.name == "part" and area[node.args[0]] is None and area[node] is not None:
            area[node] = None
    return area


def _levels(order: Sequence[Expr], area: dict[Expr, Literal | None]) -> dict[Expr, int]:
    """How often the way to a node leaves branches; of nodes in branches, as late as what reads them allows."""
    level: dict[Expr, int] = {}
    for node in order:
        level[node] = max([level[a] + (area[a] is not None and area[a] != area[node] and not a.is_leaf)
                           for a in node.args], default=0)
    latest: dict[Expr, int] = {}
    for node in reversed(order):
        if area[node] is not None and node in latest:
            level[node] = max(level[node], latest[node])
        for arg in node.args:
            if area[arg] is not None:
                bound = level[node] if area[arg] == area[node] else level[node] - 1
                latest[arg] = min(latest.get(arg, bound), bound)
    for node in order:  # parts are made together with what they are parts of
        if node.op.name == "part" and area[node] is not None:
            level[node] = level[node.args[0]]
    return level
