"""Batching of formulas that are one node: by what they mean, and with derivatives of the user's own kept."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.autodiff.batching import Batch, vectorize
from fuse.autodiff.custom import Graph
from fuse.autodiff.sweep import op
from fuse.expr import Expr, substitute, variable
from fuse.frontend.sizes import as_size_expr, sizes_of
from fuse.op import OPS
from fuse.types import TensorType, TupleType


def composite(batch: Batch, node: Expr, args: list[Expr], flags: list[bool]) -> Expr:
    """The formula of ``node`` with a leading axis more."""
    if node.op.name == "from_graph":
        graph = _batched_graph(node.params["graph"], node.args, flags)
        return OPS["from_graph"](*args, graph=graph)
    inner = [a.type() for a in node.args]
    meaning = node.op.define(*inner, **node.params)  # type: ignore[misc]
    outputs = list(meaning) if isinstance(meaning, (list, tuple)) else [meaning]
    if isinstance(node.type, TupleType):
        graph = _batched_graph(Graph(inner, outputs, name=node.op.name), node.args, flags)
        return OPS["from_graph"](*args, graph=graph)
    return _at(outputs, inner, args, flags, batch.size)[0]


def _at(
    outputs: Sequence[Expr], inner: Sequence[Expr], args: Sequence[Expr], flags: Sequence[bool], size: Expr
) -> list[Expr]:
    """``outputs``, formulas of ``inner``, with ``args`` for these: batched where ``flags`` say so."""
    batched = {i: a for i, a, f in zip(inner, args, flags, strict=True) if f}
    shared = {i: a for i, a, f in zip(inner, args, flags, strict=True) if not f}
    return substitute(vectorize(outputs, batched, size), shared)


def _batched_graph(graph: Graph, args: Sequence[Expr], flags: Sequence[bool]) -> Graph:
    """``graph`` for batched arguments; its rules for derivatives are those of the one, batched as well."""
    own = len(graph.inputs)
    leaves = [_wide(a.type) if f else a.type() for a, f in zip(args, flags, strict=True)]
    first = flags.index(True)

    def size_of(values: Sequence[Expr]) -> Expr:
        return as_size_expr(sizes_of(values[first])[0])

    inner = [a.type() for a in args]
    outputs = _at(graph.at(inner), inner, leaves, flags, size_of(leaves))
    pull = push = None
    if graph.pull is not None:

        def pull(values: list[Expr], results: list[Expr], gs: list[Any]) -> list[Any]:
            known = [*values, *leaves[own:]]
            given = [*known[:own], *results, *[g for g in gs if isinstance(g, Expr)]]
            mapped = [*flags[:own], *[True] * (len(given) - own)]
            one = [(_narrow(v.type) if f else v.type)() for v, f in zip(given, mapped, strict=True)]
            rest = iter(one[own + len(results):])
            found = graph.pull(  # type: ignore[misc]
                one[:own], one[own : own + len(results)], [next(rest) if isinstance(g, Expr) else g for g in gs]
            )
            return [
                _summed(_one(h, one, given, mapped, size_of(values)), f) for h, f in zip(found, flags, strict=False)
            ]

    if graph.push is not None:

        def push(values: list[Expr], results: list[Expr], tangents: list[Any]) -> list[Any]:
            dense = [t for t in tangents if isinstance(t, Expr)]
            given = [*values, *results, *dense]
            moving = [f for f, t in zip(flags, tangents, strict=False) if isinstance(t, Expr)]
            mapped = [*flags[:own], *[True] * len(results), *moving]
            one = [(_narrow(v.type) if f else v.type)() for v, f in zip(given, mapped, strict=True)]
            rest = iter(one[own + len(results):])
            found = graph.push(  # type: ignore[misc]
                one[:own], one[own : own + len(results)], [next(rest) if isinstance(t, Expr) else t for t in tangents]
            )
            return [_one(t, one, given, mapped, size_of(values)) for t in found]

    made = Graph(leaves[:own], outputs, pull, push, graph.name)
    made.captured = leaves[own:]  # in the order of the node's arguments
    return made


def _one(result: Any, one: Sequence[Expr], given: Sequence[Expr], mapped: Sequence[bool], size: Expr) -> Any:
    return _at([result], one, given, mapped, size)[0] if isinstance(result, Expr) else result


def _summed(g: Any, batched: bool) -> Any:
    """The cotangent of an argument that all entries share is the sum of theirs."""
    return g if batched or not isinstance(g, Expr) else op("sum", g, axis=(0,), dtype=g.type.dtype)


def _wide(type_: Any) -> Expr:
    return variable(TensorType(type_.dtype, (None, *type_.shape)))


def _narrow(type_: Any) -> TensorType:
    return TensorType(type_.dtype, type_.shape[1:])
