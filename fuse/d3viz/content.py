"""What a page shows: the steps of a function or the nodes of a formula, and the insides of kernels and loops."""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fuse.codegen.explain import explain_kernel
from fuse.codegen.loop_run import loop_texts
from fuse.codegen.region import Region
from fuse.errors import origin_text
from fuse.expr import Constant, Expr, toposort
from fuse.printing.debug import inner_graph, inner_lines, listing, node_text, outputs_of, role_names
from fuse.printing.drawing import graph_boxes, leaf_box, type_text
from fuse.printing.svg import Box, svg

Edge = tuple[int, int, str]
Texts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """A drawing with texts (title, text) below it; ``link`` is the name under which boxes refer to it."""

    title: str
    svg: str
    texts: Texts = ()
    link: str = ""
    kinds: frozenset[str] = field(default=frozenset())


class _Parts:
    """The parts that open, made as they are referred to."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.known: dict[Any, str] = {}

    def graph(self, node: Expr, text: str = "") -> str:
        """A link to the inner graph of a node, whose compiled form may have a text; "" where it has none."""
        inner = inner_graph(node)
        if inner is None:
            return ""
        if inner not in self.known:
            link = self.known[inner] = f"part{len(self.known)}"
            is_loop = node.op.name == "loop"
            labels = _loop_labels(inner) if is_loop else [f"result {k}" for k in range(len(inner.outputs))]
            drawn = svg(
                *graph_boxes(list(inner.outputs), self.graph, list(inner.inputs), labels, role_names(inner)),
                alone=False,
            )
            title = "One step of a loop" if is_loop else f"Inside {inner!r}"
            texts: Texts = (("Its line", origin_text(node.origin)), ("Its steps", "\n".join(inner_lines(inner))))
            if text:
                texts = (*texts, ("Its text", text))
            self.parts.append(Part(title, drawn, texts, link))
        return f"#{self.known[inner]}"

    def add(self, part: Part) -> str:
        self.parts.append(part)
        return part.link


def _loop_labels(body: Any) -> list[str]:
    nexts = [f"next state {k}" for k in range(len(body.nexts))]
    return [*nexts, *[f"result {k}" for k in range(len(body.ys))], *["ends where"] * (body.until is not None)]


def parts_of(obj: Any) -> list[Part]:
    """The picture of a function or a formula, and the parts that its boxes open."""
    program = getattr(obj, "fn", None)
    program = getattr(program, "compiled", program)  # DebugMode's has the compiled one inside
    if program is not None and hasattr(program, "planned"):
        return _function(obj, program)
    outputs = outputs_of(obj)
    parts = _Parts()
    labels = ["result"] if len(outputs) == 1 else [f"result {k}" for k in range(len(outputs))]
    boxes, edges = graph_boxes(outputs, parts.graph, (), labels)
    title = f"The function {obj.name}" if getattr(obj, "name", None) and hasattr(obj, "maker") else "A formula"
    texts = (("Nodes", listing(outputs)),)
    return [Part(title, svg(boxes, edges, alone=False), texts, "", _kinds(boxes)), *parts.parts]


def _kinds(boxes: Sequence[Box]) -> frozenset[str]:
    return frozenset([b.kind for b in boxes])


def _function(function: Any, program: Any) -> list[Part]:
    """The plan of a function: a box for each step."""
    planned = program.planned
    parts = _Parts()
    boxes: list[Box] = []
    edges: list[Edge] = []
    place: dict[Expr, int] = {}

    def leaf(node: Expr) -> int:
        if isinstance(node, Constant):  # one for each reader
            boxes.append(leaf_box(node))
            return len(boxes) - 1
        if node not in place:
            place[node] = len(boxes)
            boxes.append(leaf_box(node))
        return place[node]

    def sources(nodes: Sequence[Expr], own: Any) -> list[int]:
        """The boxes that ``nodes`` come from: steps, or leaves; views on the way are not steps."""
        found: dict[int, None] = {}
        seen = set()
        stack = list(reversed(nodes))
        while stack:
            node = stack.pop()
            if node in seen or node in own:
                continue
            seen.add(node)
            if node in place:
                found[place[node]] = None
            elif node.is_leaf:
                if not isinstance(node, Constant) or node.type.ndim:
                    found[leaf(node)] = None
            else:
                stack += reversed(node.args)
        return list(found)

    for variable in program.inputs:
        leaf(variable)
    launchers = iter(planned.launchers)
    loops = iter(loop_texts(planned.wrapper_source, planned.scope).values())
    number = 0
    for unit in planned.plan.units:
        if isinstance(unit, Region):
            launcher = next(launchers)
            inner = [n for n in toposort(unit.outputs) if n in unit.amap]
            read = sources([a for n in inner for a in n.args], unit.amap)
            link = parts.add(_kernel(number, launcher, unit, parts))
            names = list(dict.fromkeys([n.op.name for n in inner]))
            shown = ", ".join(names[:4]) + ("…" if len(names) > 4 else "")
            types = ", ".join([type_text(o) for o in unit.outputs])
            box = Box((f"kernel {number}", shown, types), "group", f"{len(inner)} operations in one kernel", f"#{link}")
            own: Sequence[Expr] = unit.outputs
            number += 1
        else:
            if unit.op.name == "part":
                place[unit] = sources([unit.args[0]], ())[0]
                continue
            read = sources(list(unit.args), ())
            link = parts.graph(unit, next(loops, "") if unit.op.name == "loop" else "")
            kind = "group" if link else "view" if unit.op.kind == "view" else "call"
            about = f"{node_text(unit)}\nat {origin_text(unit.origin)}"
            box = Box((unit.op.name, type_text(unit)), kind, about, link)
            own = [unit]
        boxes.append(box)
        edges += [(k, len(boxes) - 1, "") for k in read]
        place |= dict.fromkeys(own, len(boxes) - 1)
    names = [f"output {k}" for k in range(len(program.outputs))]
    names += [f"new value of {target.name or 'a shared variable'}" for target, _ in program.updates]
    for result, name in zip(planned.results, names, strict=True):
        found = sources([result], ())
        boxes.append(Box((name, type_text(result)), "output", origin_text(result.origin)))
        edges += [(k, len(boxes) - 1, "") for k in found]
    title = f"The function {function.name}" if function.name else "A function"
    texts = (("What was done", program.explain()), ("The wrapper", program.wrapper_source))
    return [Part(title, svg(boxes, edges, alone=False), texts, "", _kinds(boxes)), *parts.parts]


def _kernel(number: int, launcher: Any, region: Region, parts: _Parts) -> Part:
    around = list(dict.fromkeys(
        [a for n in toposort(region.outputs) if n in region.amap for a in n.args if a not in region.amap]
    ))
    outside = [a for a in around if not isinstance(a, Constant)]
    labels = [f"result {k}" for k in range(len(region.outputs))]
    drawn = svg(*graph_boxes(region.outputs, parts.graph, outside, labels), alone=False)
    lines = dict.fromkeys([origin_text(n.origin) for n in region.amap])
    texts = (
        ("What it does", "\n".join([re.sub(r"^ +", "", line) for line in explain_kernel(number, launcher, region)])),
        ("Its text, for contiguous arrays", launcher.source().text),
        ("Lines of the program that it computes", "\n".join(lines)),
    )
    return Part(f"Kernel {number}", drawn, texts, f"kernel{number}")
