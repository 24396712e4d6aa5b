"""Plots of a run as SVG, written by hand: nothing to install, and small enough for the docs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.peers import PEERS

__all__ = ["ratios"]

_COLOURS = {
    "numba": "#111111",
    "numpy": "#4477aa",
    "numexpr": "#66ccee",
    "pytensor": "#228833",
    "pytensor-c": "#88bb44",
    "jax": "#aa3377",
    "torch": "#ee8866",
    "torch-compile": "#cc3311",
    "autograd": "#bbbbbb",
    "casadi": "#999933",
    "lambdify": "#ddaa33",
}
_LEFT, _RIGHT, _ROW, _TOP, _WIDTH = 250, 20, 16, 46, 860


def ratios(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return a plot of seconds over those of fuse: a line per cell, a mark per peer, right of 1 where fuse is ahead.

    ``rows``: label to seconds by peer. The axis is logarithmic; rows without fuse are left out.

    >>> picture = ratios("speed", {"x + y": {"fuse": 1e-6, "numpy": 2e-6}})
    >>> picture.startswith("<svg") and "NumPy: 2.00" in picture
    True
    """
    shown = {
        label: {peer: seconds / times["fuse"] for peer, seconds in times.items() if peer != "fuse"}
        for label, times in rows.items()
        if "fuse" in times and len(times) > 1
    }
    found = [ratio for row in shown.values() for ratio in row.values()]
    low = math.floor(math.log10(min([*found, 0.5])) * 2) / 2
    high = math.ceil(math.log10(max([*found, 10])) * 2) / 2
    height = _TOP + _ROW * len(shown) + 24

    def place(ratio: float) -> float:
        return _LEFT + (math.log10(ratio) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="16" font-size="13" font-weight="bold">{escape(title)}</text>',
        *_legend({peer for row in shown.values() for peer in row}),
    ]
    bottom = _TOP + _ROW * len(shown)
    for tick in _ticks(low, high):
        x = place(tick)
        colour = "#333333" if tick == 1 else "#dddddd"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}" stroke="{colour}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{tick:g}×</text>')
    for i, (label, row) in enumerate(shown.items()):
        y = _TOP + _ROW * i + 8
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#f0f0f0"/>')
        for peer, ratio in row.items():
            parts.append(_mark(peer, place(ratio), y, f"{PEERS[peer].title}: {ratio:.2f}"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(low: float, high: float) -> Sequence[float]:
    decades = range(math.floor(low), math.ceil(high) + 1)
    found = [base * 10.0**decade for decade in decades for base in (1, 3)]
    return [tick for tick in found if low <= math.log10(tick) <= high]


def _mark(peer: str, x: float, y: float, text: str) -> str:
    title = f"<title>{escape(text)}</title>"
    if peer == "numba":
        return f'<rect x="{x - 1.5:.1f}" y="{y - 6}" width="3" height="12" fill="{_COLOURS[peer]}">{title}</rect>'
    return f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{_COLOURS[peer]}" fill-opacity="0.85">{title}</circle>'


def _legend(peers: set[str]) -> list[str]:
    parts, x = [], 10.0
    for peer in _COLOURS:
        if peer in peers:
            parts.append(_mark(peer, x, 30, PEERS[peer].title))
            parts.append(f'<text x="{x + 8:.1f}" y="34">{PEERS[peer].title}</text>')
            x += 26 + 6.2 * len(PEERS[peer].title)
    return parts
