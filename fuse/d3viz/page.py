"""The web page of a graph: drawings, and a part that opens for each kernel, loop and inner formula."""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fuse.d3viz.content import Part, parts_of
from fuse.printing.graph import dot_text
from fuse.printing.svg import KINDS, clean

_STYLE = """
body { font: 14px sans-serif; margin: 0; display: flex; height: 100vh; color: #222; }
main { flex: 3; overflow: hidden; position: relative; } main > header { position: absolute; padding: 8px 14px; }
#canvas { width: 100%; height: 100%; overflow: auto; padding: 70px 14px 14px; box-sizing: border-box; }
aside { flex: 2; overflow: auto; border-left: 1px solid #ccc; padding: 0 14px; background: #fcfcfc; }
section { display: none; } section:target { display: block; } .first { display: block; }
body:has(section:target) .first { display: none; }
pre { background: #f4f4f4; padding: 8px; overflow: auto; font-size: 12px; } h1, h2 { font-size: 16px; margin: 8px 0; }
.drawn { overflow: auto; border: 1px solid #ddd; background: #fff; }
a g rect { cursor: pointer; stroke-width: 2; } a:hover g rect { stroke-width: 3; }
.key { display: inline-block; border: 1px solid; border-radius: 3px; padding: 0 6px; margin-right: 5px; }
"""
# The page reads and sends nothing: its script only zooms (wheel with Ctrl) and drags the drawing.
_SCRIPT = """
const canvas = document.getElementById('canvas'), drawing = canvas.querySelector('svg');
const box = drawing.viewBox.baseVal; let scale = 1, from = null;
canvas.addEventListener('wheel', e => { if (!e.ctrlKey) return; e.preventDefault();
  scale = Math.min(8, Math.max(0.1, scale * Math.exp(-e.deltaY / 400)));
  drawing.setAttribute('width', box.width * scale); drawing.setAttribute('height', box.height * scale); },
  { passive: false });
canvas.addEventListener('mousedown', e => { from = [e.clientX + canvas.scrollLeft, e.clientY + canvas.scrollTop]; });
window.addEventListener('mousemove', e => { if (!from || !e.buttons) { from = null; return; }
  canvas.scrollLeft = from[0] - e.clientX; canvas.scrollTop = from[1] - e.clientY; });
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def d3viz(fct: Any, outfile: str | os.PathLike[str], copy_deps: bool = True, *_: Any, **__: Any) -> None:
    """Write a web page that shows the graph of a compiled function, an expression or a list of them.

    Of a function it shows what runs: inputs, shared variables, kernels, calls, loops, outputs and updates, with types.
    A click on a kernel or loop opens what was fused in it, its text and the user's lines; formulas show each node, and
    loops and ``OpFromGraph`` open to their inner graphs. The page is one file that needs no other one and no network
    (``copy_deps`` is accepted). Folders of ``outfile`` are made where they are missing.

    >>> import fuse, os, tempfile, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> f = fuse.function([x], T.exp(x).sum())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "graph.html")
    ...     d3viz(f, path)
    ...     text = open(path, encoding="utf-8").read()
    >>> text.count("<svg"), "def kernel" in text, "http" in text.replace("http-equiv", "")
    (2, True, False)
    """
    parts = parts_of(fct)
    path = os.fspath(outfile)
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(parts))


def d3write(fct: Any, path: str | os.PathLike[str], *_: Any, **__: Any) -> None:
    """Write the graph in Graphviz's language: Theano's name for ``pydotprint(fct, path, format='dot')``."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(dot_text(fct))


def page(parts: Sequence[Part]) -> str:
    """The text of the page: the first part is the picture, the others open beside it."""
    first, others = parts[0], parts[1:]
    keys = "".join(
        f'<span class="key" style="background:{fill};border-color:{border}">{kind}</span>'
        for kind, (fill, border, _) in KINDS.items() if kind in first.kinds
    )
    hint = "Click a violet box to open it. " if any(p.link for p in others) else ""
    sections = "".join(_section(p) for p in others)
    about = f'<section class="first">{_texts(first)}</section>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{clean(first.title)}</title>'
        f"<style>{_STYLE}</style></head><body><main><header><h1>{clean(first.title)}</h1>{keys}"
        f'<small>{hint}Drag to move, Ctrl and wheel to zoom.</small></header><div id="canvas">{first.svg}</div></main>'
        f"<aside>{about}{sections}</aside><script>{_SCRIPT}</script></body></html>\n"
    )


def _section(part: Part) -> str:
    drawn = f'<div class="drawn">{part.svg}</div>' if part.svg else ""
    return (
        f'<section id="{part.link}"><h2>{clean(part.title)}</h2><p><a href="#">close</a></p>{drawn}{_texts(part)}'
        "</section>"
    )


def _texts(part: Part) -> str:
    return "".join(f"<h2>{clean(title)}</h2><pre>{clean(text)}</pre>" for title, text in part.texts)
