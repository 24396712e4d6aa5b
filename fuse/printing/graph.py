"""Graphs as pictures: Mermaid text, Graphviz text, and ``pydotprint`` to PNG, SVG or PDF."""
from __future__ import annotations

import os
from typing import Any

from fuse.errors import FuseError, FuseValueError
from fuse.expr import Constant, Expr, toposort
from fuse.printing.debug import node_text, outputs_of

_NODES = 500
_SHAPES = {"input": ("box", "#d5f5e3"), "shared": ("box", "#d6eaf8"), "constant": ("box", "#f2f3f4")}
_OP_SHAPE, _OUTPUT_COLOUR = ("ellipse", "#ffffff"), "#fadbd8"
_CONTROL = dict.fromkeys(range(32), "?")  # characters that no picture shows


class MissingGraphviz(FuseError, ImportError):
    """A picture was asked for, and pygraphviz (which carries Graphviz) is not installed."""


def _drawn(outputs: list[Expr]) -> tuple[list[Expr], int]:
    """The nodes to draw: those nearest to the outputs where there are too many; and how many are left out."""
    order = toposort(outputs)
    return order[-_NODES:], max(0, len(order) - _NODES)


def _label(node: Expr, with_ids: bool, number: int, simple: bool, size: int) -> str:
    text = node_text(node)
    if node.is_leaf and not simple and not isinstance(node, Constant):
        text = f"{node.name or ''} {node.type}".strip()
    elif not node.is_leaf and node.name:
        text = f"{node.name} = {text}"
    text = text.encode("utf-8", "replace").decode().translate(_CONTROL)
    text = text if len(text) <= size else text[: size - 3] + "..."
    return f"{text} id={number}" if with_ids else text


def mermaid(obj: Any) -> str:
    """The graph of an expression, a list of them or a function as Mermaid text, which Markdown viewers draw.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> print(fuse.printing.mermaid(x * x))
    graph TD
      n0["x"]
      n1(["mul"])
      n0 --> n1
      n0 --> n1
    """
    nodes, missing = _drawn(outputs_of(obj))
    number = {node: i for i, node in enumerate(nodes)}
    lines = ["graph TD"]
    for node, i in number.items():
        text = _label(node, False, i, True, 70).translate({ord('"'): "'", ord("<"): "&lt;", ord(">"): "&gt;"})
        lines.append(f'  n{i}["{text}"]' if node.is_leaf else f'  n{i}(["{text}"])')
    if missing:
        lines.append(f'  more["... {missing} more nodes"]')
    for node, i in number.items():
        lines += [f"  {f'n{number[a]}' if a in number else 'more'} --> n{i}" for a in node.args]
    return "\n".join(lines)


def dot_text(
    obj: Any, with_ids: bool = False, simple: bool = True, colours: bool = True, max_label_size: int = 70
) -> str:
    """The same graph in Graphviz's language.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> print(fuse.printing.dot_text(-x, colours=False))
    digraph fuse {
      n0 [label="x", shape=box];
      n1 [label="neg", shape=ellipse];
      n0 -> n1;
    }
    """
    outputs = outputs_of(obj)
    nodes, missing = _drawn(outputs)
    number = {node: i for i, node in enumerate(nodes)}
    lines = ["digraph fuse {"]
    for node, i in number.items():
        shape, colour = _SHAPES.get(node.op.name, _OP_SHAPE) if node.is_leaf else _OP_SHAPE
        if any(node is o for o in outputs):
            colour = _OUTPUT_COLOUR
        label = _label(node, with_ids, i, simple, max_label_size).replace("\\", "\\\\").replace('"', '\\"')
        style = f', style=filled, fillcolor="{colour}"' if colours else ""
        lines.append(f'  n{i} [label="{label}", shape={shape}{style}];')
    if missing:
        lines.append(f'  more [label="... {missing} more nodes", shape=plaintext];')
    for node, i in number.items():
        for position, a in enumerate(node.args):
            label = f' [label="{position}"]' if len(node.args) > 1 else ""
            lines.append(f"  {f'n{number[a]}' if a in number else 'more'} -> n{i}{label};")
    return "\n".join([*lines, "}"])


def pydotprint(
    fct: Any,
    outfile: str | os.PathLike[str] | None = None,
    compact: bool = True,
    format: str | None = None,
    with_ids: bool = False,
    high_contrast: bool = True,
    cond_highlight: Any = None,
    colorCodes: Any = None,
    max_label_size: int = 70,
    scan_graphs: bool = False,
    var_with_name_simple: bool = False,
    print_output_file: bool = False,
    return_image: bool = False,
    **_: Any,
) -> Any:
    """Draw the graph of an expression, a list of them or a compiled function into ``outfile``.

    The format (``png``, ``svg``, ``pdf``, ``dot``, ...) is ``format`` or the ending of ``outfile``, else PNG; without a
    name the file is ``fuse.pydotprint.png``. ``var_with_name_simple`` labels inputs by their names alone. With
    ``return_image`` the result is an image that notebooks show, and no file is written.

    PNG and PDF need pygraphviz (``pip install "fuse[viz]"``), whose wheels carry Graphviz: no program of the system is
    called. Without it SVG is drawn by a layout of our own, and the others raise MissingGraphviz, after the graph was
    written beside ``outfile`` as SVG and as Mermaid text.

    >>> import fuse, os, tempfile, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "graph.dot")
    ...     fuse.printing.pydotprint(-x, path, high_contrast=False)
    ...     print(open(path).read())
    digraph fuse {
      n0 [label="x ...", shape=box];
      n1 [label="neg", shape=ellipse];
      n0 -> n1;
    }
    """
    path = os.fspath(outfile) if outfile is not None else f"fuse.pydotprint.{format or 'png'}"
    ending = os.path.splitext(path)[1][1:].lower()
    kind = format or ending or "png"
    text = dot_text(fct, with_ids, var_with_name_simple, high_contrast, max_label_size)
    if kind == "dot" and not return_image:
        return _write(path, text.encode(), print_output_file)
    try:
        import pygraphviz
    except ImportError as error:
        from fuse.printing.drawing import drawing

        drawn = drawing(outputs_of(fct)).encode("utf-8")
        if kind == "svg":
            return Picture(drawn, kind) if return_image else _write(path, drawn, print_output_file)
        beside = os.path.splitext(path)[0]
        _write(f"{beside}.svg", drawn, False)
        _write(f"{beside}.mmd", mermaid(fct).encode("utf-8", "replace"), False)
        raise MissingGraphviz(
            f'drawing {kind} needs pygraphviz: pip install "fuse[viz]" (it carries Graphviz, nothing else is needed). '
            f"The graph is in {beside}.svg, and as Mermaid text in {beside}.mmd"
        ) from error
    try:
        picture = pygraphviz.AGraph(string=text).draw(format=kind, prog="dot")
    except (ValueError, OSError, RuntimeError, TypeError) as error:  # TypeError: pygraphviz, for a format it lacks
        raise FuseValueError(f"Graphviz cannot draw this as {kind!r}: {error}") from error
    if return_image:
        return Picture(picture, kind)
    return _write(path, picture, print_output_file)


def _write(path: str, data: bytes, tell: bool) -> None:
    with open(path, "wb") as file:
        file.write(data)
    if tell:
        print("The output file is available at", path)


class Picture:
    """A drawn graph; notebooks show it, ``data`` holds its bytes."""

    def __init__(self, data: bytes, format: str) -> None:
        self.data, self.format = data, format

    def _repr_png_(self) -> bytes | None:
        return self.data if self.format == "png" else None

    def _repr_svg_(self) -> str | None:
        return self.data.decode() if self.format == "svg" else None
