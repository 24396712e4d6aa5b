"""Formulas with derivatives of the user's own as nodes, on which OpFromGraph, custom_vjp and custom_jvp stand.

A formula with an override becomes one node until gradients have been taken; rewriting then puts its graph in place, so
that it fuses with what is around it. A formula without overrides is put in place at once.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.autodiff.absent import is_null
from fuse.autodiff.sweep import cotangents
from fuse.errors import FuseTypeError
from fuse.expr import INPUT, Expr, as_expr, leaves, substitute, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.parts import parts
from fuse.op import DISCONNECTED, OPS, Op
from fuse.reference import evaluate
from fuse.types import TupleType

Rule = Callable[..., Any]


class Graph:
    """A formula: inputs, outputs, and how cotangents come back through it or tangents go on.

    ``pull(args, outputs, gs)`` gives one cotangent per input, ``push(args, outputs, tangents)`` one tangent per output
    (a tangent is None where an input does not move). ``captured`` are the variables of the outputs that are no inputs.
    """

    def __init__(
        self, inputs: Sequence[Expr], outputs: Sequence[Expr], pull: Rule | None = None, push: Rule | None = None,
        name: str = "graph",
    ) -> None:
        self.inputs, self.outputs, self.pull, self.push, self.name = list(inputs), list(outputs), pull, push, name
        given = set(self.inputs)
        found = leaves(self.outputs)
        self.captured = [n for n in found if n not in given and (n.op is INPUT or n.op.name == "shared")]

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *args: Any) -> list[Expr]:
        """The outputs at ``args``."""
        if len(args) != len(self.inputs):
            raise FuseTypeError(f"{self.name} takes {len(self.inputs)} inputs, not {len(args)}")
        given = [as_input(a, i, self.name) for a, i in zip(args, self.inputs, strict=True)]
        if self.pull is None and self.push is None:
            return self.at(given)
        return parts(GRAPH_OP(*given, *self.captured, graph=self))

    def at(self, args: Sequence[Expr]) -> list[Expr]:
        """The outputs, as the graph has them, with ``args`` for the inputs (and then for what is captured)."""
        return substitute(self.outputs, dict(zip([*self.inputs, *self.captured], args, strict=False)))


def as_input(value: Any, like: Expr, name: str) -> Expr:
    value = as_expr(value)
    if value.type.ndim != like.type.ndim:
        raise FuseTypeError(
            f"{name}: input {like.name or 'without a name'} is a {like.type.describe()}, not a {value.type.describe()}"
        )
    return value if value.type.dtype == like.type.dtype else ew.cast(value, like.type.dtype)


# ---------------------------------------------------------------- the op
def _tuple_or_one(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else list(items)


def _values(*values: Any, graph: Graph) -> Any:
    return _tuple_or_one(evaluate(graph.outputs, dict(zip([*graph.inputs, *graph.captured], values, strict=True))))


def _infer(*args: Expr, graph: Graph) -> Any:
    types = [o.type for o in graph.outputs]
    return types[0] if len(types) == 1 else TupleType(tuple(types))


def _define(*args: Expr, graph: Graph) -> Any:
    return _tuple_or_one(graph.at(args))


def _shape(node: Expr, *shapes: Any) -> Any:
    from fuse.frontend.sizes import shape_of

    found = [tuple(shape_of(o)) for o in node.params["graph"].at(node.args)]
    return found[0] if len(found) == 1 else tuple(found)


def _pull(g: Any, out: Expr, *args: Expr, graph: Graph) -> list[Any]:
    gs = list(g) if isinstance(g, tuple) else [g]
    own = len(graph.inputs)
    through = default_pull(graph, args, gs, range(own, len(args)))
    if graph.pull is None:
        pull = default_pull if graph.push is None else _transposed_push
        return [*pull(graph, args, gs, range(own)), *through]
    found = graph.pull(list(args[:own]), parts(out), gs)
    if len(found) != own:
        raise FuseTypeError(f"the gradient of {graph.name} has {len(found)} entries for {own} inputs")
    return [*found, *through]


def _apart(graph: Graph, args: Sequence[Expr]) -> tuple[list[Expr], list[Expr]]:
    """Variables in the place of ``args``, and the outputs at them: what an argument does to the outputs by itself,
    though it may be given twice, or others be made of it."""
    alone = [variable(a.type) for a in args]
    return alone, graph.at(alone)


def default_pull(graph: Graph, args: Sequence[Expr], gs: Sequence[Any], places: Sequence[int]) -> list[Any]:
    """The ordinary gradient, through the graph, for the arguments at ``places``."""
    if not places:
        return []
    alone, outputs = _apart(graph, args)
    pairs = [(o, g) for o, g in zip(outputs, gs, strict=True) if g is not DISCONNECTED]
    found = cotangents(pairs, [alone[k] for k in places])
    return _put_back([found[alone[k]] for k in places], alone, args)


def _put_back(found: Sequence[Any], alone: Sequence[Expr], args: Sequence[Expr]) -> list[Any]:
    """What was found, with ``args`` for the variables in their place; what is no expression stays."""
    live = [h for h in found if isinstance(h, Expr) and not is_null(h)]
    known: dict[Expr, Any] = dict(zip(live, substitute(live, dict(zip(alone, args, strict=True))), strict=True))
    return [known.get(h, h) if isinstance(h, Expr) else h for h in found]


def _transposed_push(graph: Graph, args: Sequence[Expr], gs: Sequence[Any], places: Sequence[int]) -> list[Any]:
    """Tangents are linear in the tangents of the inputs: the cotangents of these are the gradient."""
    own = args[: len(graph.inputs)]
    tangents = [variable(a.type, None) for a in own]
    outputs = graph.at(args)
    pushed = graph.push(list(own), outputs, tangents)  # type: ignore[misc]
    pairs = [(t, g) for t, g in zip(pushed, gs, strict=True) if g is not DISCONNECTED and isinstance(t, Expr)]
    found = cotangents(pairs, tangents)
    # the tangents themselves matter no more, but for their shapes: those of the inputs
    return _put_back([found[tangents[k]] for k in places], tangents, own)


def _push(tangents: Sequence[Any], out: Expr, *args: Expr, graph: Graph) -> Any:
    own = len(graph.inputs)
    if graph.push is None:
        from fuse.autodiff.forward import push_forward

        plain = Op("from_graph", "composite", _values, infer=_infer, define=_define, shape=_shape, grad=_pull)
        return push_forward(plain(*args, graph=graph), tangents)
    pushed = list(graph.push(list(args[:own]), parts(out), list(tangents[:own])))
    through = _default_push(graph, args, tangents)
    pushed = [_added(p, t) for p, t in zip(pushed, through, strict=True)] if through else pushed
    return pushed[0] if len(pushed) == 1 else tuple(pushed)


def _default_push(graph: Graph, args: Sequence[Expr], tangents: Sequence[Any]) -> list[Any]:
    """The tangents of the outputs from those of what is captured; none where that does not move."""
    from fuse.autodiff import forward

    own = len(graph.inputs)
    if not any(isinstance(t, Expr) for t in tangents[own:]):
        return []
    alone, outputs = _apart(graph, args)
    start = {x: t for x, t in zip(alone[own:], tangents[own:], strict=True) if isinstance(t, Expr)}
    return _put_back(forward.tangents(outputs, start), alone, args)


def _added(one: Any, other: Any) -> Any:
    if not isinstance(other, Expr):
        return one
    return ew.add(one, other) if isinstance(one, Expr) else other


GRAPH_OP = Op(
    "from_graph", "composite", _values, infer=_infer, define=_define, shape=_shape, grad=_pull, jvp=_push,
    doc="A formula with derivatives of the user's own.",
)
OPS.setdefault(GRAPH_OP.name, GRAPH_OP)


__all__ = ["GRAPH_OP", "Graph", "Rule", "as_input", "default_pull"]
