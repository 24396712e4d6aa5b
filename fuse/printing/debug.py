"""Graphs over several lines: ``debugprint`` as a tree in Theano's form, and ``listing`` as numbered assignments."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr, toposort
from fuse.printing.tree import constant_text, leaf_text, number_text, param_text

_LINES = 2_000
_DEPTH = 200


def debugprint(
    obj: Any,
    depth: int = -1,
    print_type: bool = False,
    file: Any = None,
    ids: str = "CHAR",
    stop_on_name: bool = False,
    **_: Any,
) -> Any:
    """Print the graph of an expression, a list of them or a compiled function as a tree, one node a line.

    A node that was printed before is named by its id and not written out again. ``depth`` limits the levels (-1: no
    limit), ``print_type`` adds types, ``stop_on_name`` does not go below named nodes, ``ids`` is ``'CHAR'``, ``'int'``,
    ``'id'`` or ``''``. ``file``: an open file; ``'str'`` returns the text. Long and deep graphs are cut, and say so.
    The bodies of loops and the graphs inside of ``OpFromGraph`` follow below "Inner graphs:", where ``element0`` stands
    for an element of the first sequence, ``state0`` for the first state, ``fixed0`` for what does not change.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> fuse.debugprint((x + 1) * x)
    mul [id A]
     |add [id B]
     | |x [id C]
     | |TensorConstant{1} [id D]
     |x [id C]
    """
    known = _Ids(ids)
    outputs = outputs_of(obj)
    lines = _tree_lines(outputs, depth, print_type, known, stop_on_name)
    inner = inner_graphs(outputs)
    for k, (node, graph) in enumerate(inner):
        lines += ["", "Inner graphs:", ""] if not k else [""]
        lines.append(f"{node.op.name}{known.text(node)}")
        names = role_names(graph)
        tree = _tree_lines(list(graph.outputs), depth, print_type, _Ids(ids, f"{k + 1}."), stop_on_name, names)
        lines += [f" >{line}" for line in tree]
    text = "\n".join(lines)
    if file == "str":
        return text
    print(text, file=sys.stdout if file is None else file)
    return file


def outputs_of(obj: Any) -> list[Expr]:
    """The expressions that an expression, a compiled function, a graph or a list of those stands for."""
    if isinstance(obj, Expr):
        return [obj]
    if hasattr(obj, "maker"):
        return list(obj.maker.fgraph.outputs)
    if hasattr(obj, "outputs"):
        return list(obj.outputs)
    if isinstance(obj, (list, tuple)):
        return [o for item in obj for o in outputs_of(item)]
    raise FuseTypeError(f"only expressions, lists of them and compiled functions print, not {type(obj).__name__}")


class _Ids:
    """The id of each node, in the order of their first appearance."""

    def __init__(self, style: str, prefix: str = "") -> None:
        if style not in ("", "id", *_ID_STYLES):
            raise FuseValueError(f"ids is one of '', 'id', {', '.join(map(repr, _ID_STYLES))}, not {style!r}")
        self._style, self._prefix = style, prefix if style != "id" else ""
        self._number: dict[Expr, int] = {}

    def __contains__(self, node: Expr) -> bool:
        return node in self._number

    def text(self, node: Expr) -> str:
        number = self._number.setdefault(node, len(self._number))
        if not self._style:
            return ""
        return f" [id {self._prefix}{str(id(node)) if self._style == 'id' else _ID_STYLES[self._style](number)}]"


def _letters(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> BA (base 26, as Theano counts)."""
    out = chr(ord("A") + number % 26)
    while number >= 26:
        number //= 26
        out = chr(ord("A") + number % 26) + out
    return out


_ID_STYLES: dict[str, Callable[[int], str]] = {"CHAR": _letters, "int": str, "auto": lambda n: f"auto_{n}"}


def _tree_lines(
    outputs: Sequence[Expr], depth: int, print_type: bool, ids: _Ids, stop_on_name: bool,
    names: Mapping[Expr, str] = MappingProxyType({}),
) -> list[str]:
    lines: list[str] = []
    limit = depth if depth >= 0 else _DEPTH
    stack: list[tuple[Expr, int, str, str]] = [(o, 0, "", "") for o in reversed(outputs)]
    while stack:
        node, level, prefix, below = stack.pop()
        if len(lines) >= _LINES:
            lines.append(
                f"... ({len(toposort(outputs))} nodes in all; depth=... or stop_on_name=True shows less of each)"
            )
            break
        again = node in ids
        type_ = f" <{node.type}>" if print_type else ""
        named = f" '{node.name}'" if node.name and not node.is_leaf else ""
        lines.append(f"{prefix}{names.get(node) or node_text(node)}{type_}{ids.text(node)}{named}")
        if node.is_leaf or again or stop_on_name and node.name and level:
            continue
        if level + 1 >= limit + (depth < 0):
            if depth < 0:
                lines.append(f"{below} |... (deeper levels are left out)")
            continue
        last = len(node.args) - 1
        children = [
            (a, level + 1, f"{below} |", below + ("  " if i == last else " |")) for i, a in enumerate(node.args)
        ]
        stack += reversed(children)
    return lines


def node_text(node: Expr) -> str:
    """A node without its arguments: ``add``, ``sum{axis=(0,)}``, ``TensorConstant{2}``, the name of a leaf."""
    if isinstance(node, Constant):
        return constant_text(node)
    if node.is_leaf:
        return leaf_text(node)
    params = ", ".join([f"{k}={param_text(v)}" for k, v in node.params.items()])
    return f"{node.op}{{{params}}}" if params else str(node.op)


def min_informative_str(obj: Any) -> str:
    """As much of an expression as says what it is in terms of named variables and constants, one node a line.

    >>> import fuse, fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> print(min_informative_str(T.exp(x) + y))
    A. add
     B. exp
      C. x
     D. y
    """
    if not isinstance(obj, Expr):
        return f"A. {'<ndarray>' if hasattr(obj, '__array__') else obj}"
    lines: list[str] = []
    tags: dict[Expr, str] = {}
    stack = [(obj, 0)]
    while stack:
        node, level = stack.pop()
        if node in tags:
            lines.append(f"{' ' * level}<{tags[node]}>")
            continue
        tags[node] = _letters(len(tags))
        lines.append(f"{' ' * level}{tags[node]}. {node.name or node_text(node)}")
        if not node.name:
            stack += [(arg, level + 1) for arg in reversed(node.args)]
    return "\n".join(lines)


def listing(obj: Any, limit: int = 400) -> str:
    """The graph as numbered assignments with types, each node once, arguments first; a long one without its middle.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> print(fuse.printing.listing(T.exp(x).sum() + 1))
    v0: float64 (?,) = input x
    v1: float64 (?,) = exp(v0)
    v2: float64 () = sum(v1, axis=(0,), dtype='float64')
    v3: float64 () = add(v2, 1)
    return v3
    """
    outputs = outputs_of(obj)
    order = [n for n in toposort(outputs) if not isinstance(n, Constant) or n.type.ndim]
    number = {node: f"v{i}" for i, node in enumerate(order)}
    half = limit // 2
    if len(order) > limit:
        shown: list[Expr | None] = [*order[:half], None, *order[-half:]]
    else:
        shown = list(order)
    lines = [f"... ({len(order) - 2 * half} more)" if n is None else _assignment(n, number) for n in shown]
    results = [number.get(o) or number_text(o) for o in outputs]  # type: ignore[arg-type]
    lines.append(f"return {', '.join(results)}")
    for node, graph in inner_graphs(outputs, limit):
        lines += ["", f"inside {number.get(node) or node.op.name}:", *[f"  {x}" for x in inner_lines(graph, limit)]]
    return "\n".join(lines)


def inner_lines(graph: Any, limit: int = 400) -> list[str]:
    """The graph inside of a node as assignments: its inputs by the parts they play, and what becomes of its results.

    >>> import fuse, fuse.tensor as T
    >>> total, _ = fuse.loop(lambda s, x: (s * 2, None), T.dscalar("s"), n_steps=3)
    >>> print(*inner_lines(inner_graphs([total])[0][1]), sep="\\n")
    v0: float64 () = mul(state0, 2)
    next state0: v0
    """
    names = role_names(graph)
    order = [n for n in toposort(list(graph.outputs), known=list(graph.inputs)) if n.args or n.type.ndim]
    order = [n for n in order if n not in names]
    number = names | {node: f"v{i}" for i, node in enumerate(order)}
    lines = [_assignment(n, number) for n in order[:limit]]
    if len(order) > limit:
        lines.append(f"... ({len(order) - limit} more)")
    roles = [f"result {k}" for k in range(len(graph.outputs))]
    if hasattr(graph, "nexts"):
        roles = [f"next state{k}" for k in range(len(graph.nexts))] + [f"result {k}" for k in range(len(graph.ys))]
        roles += ["ends where"] * (graph.until is not None)
    results = [number.get(o) or number_text(o) for o in graph.outputs]
    return [*lines, *[f"{role}: {result}" for role, result in zip(roles, results, strict=True)]]


def role_names(graph: Any) -> dict[Expr, str]:
    """Names of the inputs of an inner graph: those of a loop's body have none of their own."""
    if not hasattr(graph, "sequences"):
        return {x: x.name or f"input{k}" for k, x in enumerate(graph.inputs)}
    parts = {"element": graph.sequences, "state": graph.states, "fixed": graph.fixed}
    return {x: f"{word}{k}" for word, inputs in parts.items() for k, x in enumerate(inputs)}


def inner_graphs(outputs: Sequence[Expr], limit: int = _LINES) -> list[tuple[Expr, Any]]:
    """The graphs inside of nodes, and inside of those, each once with the first of its nodes."""
    found: dict[Any, Expr] = {}
    waiting = [list(outputs)]
    while waiting and len(found) < limit:
        for node in toposort(waiting.pop(0)):
            inner = None if node.is_leaf else inner_graph(node)
            if inner is not None and inner not in found:
                found[inner] = node
                waiting.append(list(inner.outputs))
    return [(node, inner) for inner, node in found.items()]


def inner_graph(node: Expr) -> Any:
    """What has the ``inputs`` and ``outputs`` of the graph inside of a node: a loop's body, a formula of its own."""
    return next((v for v in node.params.values() if hasattr(v, "inputs") and hasattr(v, "outputs")), None)


def _assignment(node: Expr, number: dict[Expr, str]) -> str:
    from fuse.types import TensorType, shape_text

    type_ = node.type
    described = f"{type_.dtype} {shape_text(type_.shape)}" if isinstance(type_, TensorType) else str(type_)
    if isinstance(node, Constant):
        body = f"constant {number_text(node)}"
    elif node.is_leaf:
        body = f"{node.op} {node.name or '(no name)'}"
    else:
        args = [number.get(a) or number_text(a) for a in node.args]  # type: ignore[arg-type]
        body = f"{node.op}({', '.join([*args, *[f'{k}={param_text(v)}' for k, v in node.params.items()]])})"
    note = f"  # {node.name}" if node.name and not node.is_leaf else ""
    return f"{number[node]}: {described} = {body}{note}"
