"""What a page shows: the steps of a function or the nodes of a formula, and the insides of kernels and loops."""
from __future__ import annotations

import re
from collections.abc import Container, Sequence
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


class _Steps:
    """The boxes of what a function reads, does and returns, and the edges that its values take."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.edges: list[Edge] = []
        self.place: dict[Expr, int] = {}  # the box that a value comes from

    def leaf(self, node: Expr) -> int:
        if node not in self.place or isinstance(node, Constant):  # a constant has a box for each reader
            self.place[node] = len(self.boxes)
            self.boxes.append(leaf_box(node))
        return self.place[node]

    def sources(self, nodes: Sequence[Expr], own: Container[Expr] = ()) -> list[int]:
        """The boxes that ``nodes`` come from: steps, or leaves; views on the way are not steps."""
        found: dict[int, None] = {}
        seen = set()
        stack = list(reversed(nodes))
        while stack:
            node = stack.pop()
            if node in seen or node in own:
                continue
            seen.add(node)
            if node.is_leaf:
                if not isinstance(node, Constant) or node.type.ndim:
                    found[self.leaf(node)] = None
            elif node in self.place:
                found[self.place[node]] = None
            else:
                stack += reversed(node.args)
        return list(found)

    def add(self, box: Box, read: Sequence[int], values: Sequence[Expr] = ()) -> None:
        """A box behind those that it reads, for ``values``."""
        self.boxes.append(box)
        self.edges += [(k, len(self.boxes) - 1, "") for k in read]
        self.place |= dict.fromkeys(values, len(self.boxes) - 1)


def _function(function: Any, program: Any) -> list[Part]:
    """The plan of a function: a box for each step."""
    planned = program.planned
    parts, steps = _Parts(), _Steps()
    for variable in program.inputs:
        steps.leaf(variable)
    launchers = enumerate(planned.launchers)
    loops = iter(loop_texts(planned.wrapper_source, planned.scope).values())
    for unit in planned.plan.units:
        if isinstance(unit, Region):
            _add_kernel(steps, parts, unit, *next(launchers))
        elif unit.op.name == "part":
            steps.place[unit] = steps.sources([unit.args[0]])[0]
        else:
            link = parts.graph(unit, next(loops, "") if unit.op.name == "loop" else "")
            kind = "group" if link else "view" if unit.op.kind == "view" else "call"
            about = f"{node_text(unit)}\nat {origin_text(unit.origin)}"
            steps.add(Box((unit.op.name, type_text(unit)), kind, about, link), steps.sources(unit.args), [unit])
    names = [f"output {k}" for k in range(len(program.outputs))]
    names += [f"new value of {target.name or 'a shared variable'}" for target, _ in program.updates]
    for result, name in zip(planned.results, names, strict=True):
        steps.add(Box((name, type_text(result)), "output", origin_text(result.origin)), steps.sources([result]))
    title = f"The function {function.name}" if function.name else "A function"
    texts = (("What was done", program.explain()), ("The wrapper", program.wrapper_source))
    drawn = svg(steps.boxes, steps.edges, alone=False)
    return [Part(title, drawn, texts, "", _kinds(steps.boxes)), *parts.parts]


def _add_kernel(steps: _Steps, parts: _Parts, region: Region, number: int, launcher: Any) -> None:
    inner = [n for n in toposort(region.outputs) if n in region.amap]
    names = list(dict.fromkeys([n.op.name for n in inner]))
    shown = ", ".join(names[:4]) + ("…" if len(names) > 4 else "")
    types = ", ".join([type_text(o) for o in region.outputs])
    read = steps.sources([a for n in inner for a in n.args], region.amap)
    link = parts.add(_kernel(number, launcher, region, parts))
    about = f"{len(inner)} operations in one kernel"
    steps.add(Box((f"kernel {number}", shown, types), "group", about, f"#{link}"), read, region.outputs)


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
