"""Graphs as SVG text, with a layout of our own: no program and no other package is needed."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from fuse.printing.layout import layout

LINE, CHARACTER, MARGIN = 15.0, 6.9, 9.0
# Of each kind of box: colour of its inside, of its border, and the radius of its corners.
KINDS = {
    "input": ("#d5f5e3", "#2e8b57", 2), "shared": ("#d6eaf8", "#2e6da4", 2), "constant": ("#f2f3f4", "#999999", 2),
    "output": ("#fadbd8", "#b03a2e", 2), "op": ("#ffffff", "#666666", 12), "view": ("#ffffff", "#bbbbbb", 12),
    "call": ("#fdebd0", "#b9770e", 12), "group": ("#e8daef", "#6c3483", 4), "more": ("#ffffff", "#ffffff", 0),
}


@dataclass(frozen=True)
class Box:
    """A box of a drawing: lines of text, its kind, more text shown under the mouse, and where a click leads."""

    lines: tuple[str, ...]
    kind: str = "op"
    title: str = ""
    link: str = ""


def clean(text: str) -> str:
    """``text`` for XML: with its special characters escaped, and without those that XML does not allow."""
    allowed = [c if c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff" else "\ufffd" for c in text]
    return escape("".join(allowed), quote=True)


def shortened(text: str, length: int = 46) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def svg(boxes: Sequence[Box], edges: Sequence[tuple[int, int, str]], alone: bool = True) -> str:
    """The drawing of boxes and edges (source, target, label); ``alone``: as a file of its own.

    >>> text = svg([Box(("x",), "input"), Box(("exp",))], [(0, 1, "")])
    >>> text.startswith("<svg"), text.count("<rect"), "&lt;" in svg([Box(("<x>",))], [])
    (True, 2, True)
    """
    shown = [tuple([shortened(line) for line in box.lines]) for box in boxes]
    sizes = [
        (max([_width(line) for line in lines], default=0.0) + 2 * MARGIN, LINE * max(len(lines), 1) + MARGIN)
        for lines in shown
    ]
    placed = layout(sizes, [(a, b) for a, b, _ in edges])
    parts = [_path(points, label) for points, (_, _, label) in zip(placed.edges, edges, strict=True)]
    for box, lines, size, centre in zip(boxes, shown, sizes, placed.centres, strict=True):
        parts.append(_box(box, lines, size, centre))
    width, height = placed.width + 20, placed.height + 20
    namespace = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    return (
        f'<svg{namespace} viewBox="-10 -10 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'font-family="sans-serif" font-size="12"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#888"/></marker></defs>\n'
        + "\n".join(parts) + "\n</svg>\n"
    )


def _width(line: str) -> float:
    return sum(CHARACTER if ord(c) < 0x2E80 else 2 * CHARACTER for c in line)


def _box(box: Box, lines: Sequence[str], size: tuple[float, float], centre: tuple[float, float]) -> str:
    (w, h), (x, y) = size, centre
    fill, border, radius = KINDS[box.kind]
    text = "".join(
        f'<text x="{x:.1f}" y="{y - LINE * (len(lines) - 1) / 2 + LINE * k + 4:.1f}" text-anchor="middle"'
        f'{"" if k else " font-weight=" + chr(34) + "bold" + chr(34)}>{clean(line)}</text>'
        for k, line in enumerate(lines)
    )
    title = f"<title>{clean(box.title)}</title>" if box.title else ""
    body = (
        f'<g class="{box.kind}">{title}<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" '
        f'rx="{radius}" fill="{fill}" stroke="{border}"/>{text}</g>'
    )
    return f'<a href="{clean(box.link)}">{body}</a>' if box.link else body


def _path(points: Sequence[tuple[float, float]], label: str) -> str:
    x, y = points[0]
    text = f"M{x:.1f} {y:.1f}"
    for x2, y2 in points[1:]:
        middle = (y + y2) / 2
        text += f"C{x:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"
        x, y = x2, y2
    drawn = f'<path d="{text}" fill="none" stroke="#888" marker-end="url(#tip)"/>'
    if label:
        drawn += f'<text x="{x + 4:.1f}" y="{y - 7:.1f}" font-size="9" fill="#888">{clean(label)}</text>'
    return drawn


__all__ = ["Box", "svg"]
