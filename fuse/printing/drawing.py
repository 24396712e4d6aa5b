"""Formulas as drawings: a box for each node, with its type, and an edge for each argument."""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fuse.errors import origin_text
from fuse.expr import Constant, Expr, toposort
from fuse.printing.debug import node_text
from fuse.printing.svg import Box, svg
from fuse.printing.tree import leaf_text

NODES = 400  # drawn at most: those nearest to the outputs


def type_text(node: Any) -> str:
    type_ = node.type
    return type_.describe() if hasattr(type_, "describe") else str(type_)


def leaf_box(leaf: Expr) -> Box:
    """The box of an input, a shared variable or a constant."""
    if isinstance(leaf, Constant):
        return Box((node_text(leaf),), "constant", type_text(leaf))
    name = leaf_text(leaf)
    lines = (name, type_text(leaf)) if leaf.name else (type_text(leaf),)
    return Box(lines, "shared" if leaf.op.name == "shared" else "input", f"{leaf.op.name} {name}")


def node_box(node: Expr, link: str = "") -> Box:
    """The box of a node: its op, its name where it has one, its type; its line under the mouse."""
    if node.is_leaf:
        return leaf_box(node)
    title = f"{node.name} = {node.op.name}" if node.name else node.op.name
    about = f"{node_text(node)}\nat {origin_text(node.origin)}"
    kind = "group" if link else "view" if node.op.kind == "view" else "op"
    return Box((title, type_text(node)), kind, about, link)


def graph_boxes(
    outputs: Sequence[Expr], link: Callable[[Expr], str] = lambda node: "", known: Collection[Expr] = (),
    labels: Sequence[str] = (), names: Mapping[Expr, str] = MappingProxyType({}),
) -> tuple[list[Box], list[tuple[int, int, str]]]:
    """The boxes and edges of a graph; what is below ``known`` is not drawn; ``labels`` are boxes below the outputs.

    ``names`` are those of nodes among ``known``.
    """
    below = {a: None for n in toposort(outputs, known=set(known)) for a in n.args}
    order = [*[n for n in known if n in below or n in outputs], *toposort(outputs, known=set(known))]
    order = list(dict.fromkeys(order))
    left = len(order) - NODES
    order = order[-NODES:]
    boxes, edges = [], []
    place: dict[Expr, int] = {}
    if left > 0:
        boxes.append(Box((f"{left} more nodes",), "more"))
    for node in order:
        if isinstance(node, Constant):
            continue  # each reader has a box of its own for it: one for all draws long edges
        place[node] = len(boxes)
        box = node_box(node, link(node) if not node.is_leaf and node not in known else "")
        if node in known:
            box = Box((names.get(node, box.lines[0]), *box.lines[1:]), "input", box.title)
        boxes.append(box)
        for k, arg in enumerate(node.args if node not in known else ()):
            label = str(k) if len(node.args) > 1 else ""
            if isinstance(arg, Constant):
                boxes.append(leaf_box(arg))
                edges.append((len(boxes) - 1, place[node], label))
            elif arg in place or left > 0:
                edges.append((place.get(arg, 0), place[node], label))
    for output, label in zip(outputs, labels, strict=False):
        boxes.append(Box((label,), "output", type_text(output)))
        if isinstance(output, Constant):
            boxes.append(leaf_box(output))
            edges.append((len(boxes) - 1, len(boxes) - 2, ""))
        else:
            edges.append((place[output], len(boxes) - 1, ""))
    return boxes, edges


def drawing(outputs: Sequence[Expr]) -> str:
    """The SVG text of a graph."""
    labels = ["result"] if len(outputs) == 1 else [f"result {k}" for k in range(len(outputs))]
    return svg(*graph_boxes(outputs, labels=labels))


__all__ = ["drawing", "graph_boxes", "leaf_box", "node_box", "type_text"]
