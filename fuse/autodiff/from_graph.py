"""OpFromGraph: an op made of a graph, whose derivatives can be overridden."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from fuse.autodiff.absent import DisconnectedType, is_disconnected, is_null
from fuse.autodiff.custom import GRAPH_OP, Graph, Rule, as_input, default_pull
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, toposort
from fuse.frontend.creation import zeros_like
from fuse.frontend.fgraph import FunctionGraph
from fuse.notes import given_with
from fuse.op import DISCONNECTED


class OpFromGraph:
    """An op made of a graph: call it as often as wanted; its derivatives can be overridden.

    ``grad_overrides`` is a function ``(inputs, output_grads)`` that returns one gradient per input, another
    OpFromGraph of these arguments, or a list with one of them (each then returns one gradient), 'default', None or
    a variable of NullType or DisconnectedType per input. ``lop_overrides`` are the same with ``(inputs, outputs,
    output_grads)``, ``rop_overrides`` with ``(inputs, eval_points)`` and one entry per output; PyTensor calls these two
    ``pullback`` and ``pushforward``. Shared variables may occur in the graph.
    ``inline`` is accepted: the graph is always fused with what is around it.

    >>> import fuse, fuse.tensor as T
    >>> x, y, z = T.scalars("xyz")
    >>> op = OpFromGraph([x, y, z], [x + y * z])
    >>> fn = fuse.function([x, y, z], op(x, y, z) + op(z, y, x))
    >>> float(fn(1.0, 2.0, 3.0))
    12.0
    """

    def __init__(
        self, inputs: Sequence[Expr], outputs: Sequence[Expr], inline: bool = False, lop_overrides: Any = "default",
        grad_overrides: Any = "default", rop_overrides: Any = "default", connection_pattern: Any = None,
        name: str | None = None, *, pullback: Any = None, pushforward: Any = None, **ignored: Any,
    ) -> None:
        if pullback is not None:
            lop_overrides = _one_of("pullback", pullback, "lop_overrides", lop_overrides)
        if pushforward is not None:
            rop_overrides = _one_of("pushforward", pushforward, "rop_overrides", rop_overrides)
        if not isinstance(outputs, (list, tuple)):
            raise FuseTypeError(f"the outputs of OpFromGraph are a list of expressions, not {type(outputs).__name__}")
        for value in (*inputs, *outputs):
            if not isinstance(value, Expr):
                raise FuseTypeError(f"inputs and outputs of OpFromGraph are expressions, not {value!r:.60}")
        if "updates" in ignored or "givens" in ignored:
            raise FuseTypeError("OpFromGraph takes no updates or givens")
        if not _is_default(lop_overrides) and not _is_default(grad_overrides):
            raise FuseValueError("lop_overrides and grad_overrides are two ways to say one thing: give one")
        self.name = name or "OpFromGraph"
        self.inputs, self.outputs, self.connection = list(inputs), list(outputs), connection_pattern
        pull = push = None
        if not _is_default(lop_overrides):
            pull = self._pull_of(lop_overrides, lambda args, outs, gs: (args, outs, gs))
        elif not _is_default(grad_overrides):
            pull = self._pull_of(grad_overrides, lambda args, outs, gs: (args, gs))
        if not _is_default(rop_overrides):
            push = self._push_of(rop_overrides)
        self.graph = Graph(inputs, outputs, pull, push, self.name)

    def __str__(self) -> str:
        return self.name

    inner_inputs = property(lambda self: [*self.inputs, *self.shared_inputs])  # as PyTensor calls them
    inner_outputs = property(lambda self: list(self.outputs))
    shared_inputs = property(lambda self: [x for x in self.graph.captured if x.op.name == "shared"])

    @property
    def fgraph(self) -> FunctionGraph:
        """The graph inside."""
        return FunctionGraph(self.inner_inputs, self.inner_outputs)

    def clone(self) -> OpFromGraph:
        """Another op of the same graph."""
        return copy(self)

    def _count(self, args: Sequence[Any], least: str = "") -> None:
        if len(args) != len(self.inputs):
            raise ShapeError(f"Expected {least}{len(self.inputs)} input(s) of {self.name}, not {len(args)}")

    def __call__(self, *args: Any, **_: Any) -> Any:
        self._count(args, "at least " if len(args) < len(self.inputs) else "")
        results = self.graph(*args)
        given_with(results, args)  # the op is inlined
        return results[0] if len(results) == 1 else results

    def make_node(self, *args: Any) -> Any:
        """The application of the graph as one op, which rewriting puts in place."""
        self._count(args)
        given = [as_input(a, i, self.name) for a, i in zip(args, self.inputs, strict=True)]
        return GRAPH_OP(*given, *self.graph.captured, graph=self.graph).owner

    def connection_pattern(self, node: Any = None) -> list[list[bool]]:
        """For each input, whether it is connected with each output."""
        if self.connection is not None:
            return self.connection
        reached = [set(toposort([o])) for o in self.outputs]
        return [[i in found for found in reached] for i in [*self.inputs, *self.graph.captured]]

    def _pull_of(self, overrides: Any, arguments: Callable[..., Any]) -> Rule:
        def pull(args: list[Expr], outputs: list[Expr], gs: list[Any]) -> list[Any]:
            dense = [zeros_like(o) if g is DISCONNECTED else g for o, g in zip(outputs, gs, strict=True)]
            given = arguments(args, outputs, dense)
            if not isinstance(overrides, (list, tuple)):
                return [_special(v) for v in _called(overrides, given)]
            if len(overrides) != len(args):
                raise FuseValueError(f"{self.name} has {len(args)} inputs and {len(overrides)} overrides of gradients")
            plain = Graph(self.inputs, self.outputs, name=self.name)
            full = [*args, *plain.captured]
            return [
                default_pull(plain, full, gs, [k])[0] if o is None or isinstance(o, str)
                else _special(_called(o, given)[0])
                for k, o in enumerate(overrides)
            ]

        return pull

    def _push_of(self, overrides: Any) -> Rule:
        def push(args: list[Expr], outputs: list[Expr], tangents: list[Any]) -> list[Any]:
            dense = [zeros_like(a) if t is None else t for a, t in zip(args, tangents, strict=True)]
            if not isinstance(overrides, (list, tuple)):
                return [_special(v) for v in _called(overrides, (args, dense))]
            from fuse.autodiff.forward import tangents as default_tangents

            found = []
            for i, override in enumerate(overrides):
                if override is None or isinstance(override, str):
                    at = Graph(self.inputs, self.outputs).at(args)
                    found.append(default_tangents([at[i]], dict(zip(args, dense, strict=True)))[0])
                else:
                    found.append(_special(_called(override, (args, dense))[0]))
            return found

        return push


def _one_of(name: str, value: Any, other: str, overrides: Any) -> Any:
    if not _is_default(overrides):
        raise FuseValueError(f"{name} and {other} are two ways to say one thing: give one")
    return value


def _is_default(overrides: Any) -> bool:
    if isinstance(overrides, (list, tuple)):
        return all(o is None or isinstance(o, str) and o == "default" for o in overrides)
    if isinstance(overrides, str):
        if overrides != "default":
            raise FuseValueError(f"an override is 'default', a function, an OpFromGraph or a list, not {overrides!r}")
        return True
    return overrides is None


def _called(override: Any, given: Sequence[Any]) -> list[Any]:
    """What an override returns, as a list: an OpFromGraph takes its arguments one by one, a function takes lists."""
    if isinstance(override, OpFromGraph):
        found = override(*[a for group in given for a in group])
    elif isinstance(override, Expr):
        return [override]
    else:
        found = override(*given)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _special(value: Any) -> Any:
    if value is None or isinstance(value, DisconnectedType) or isinstance(value, Expr) and is_disconnected(value):
        return DISCONNECTED
    return value if isinstance(value, Expr) or is_null(value) else as_expr(value)


__all__ = ["OpFromGraph"]
