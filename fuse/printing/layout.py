"""Where the boxes of a drawn graph go: layers from top to bottom, few crossings, short edges.

Sugiyama's method in its plain form: the layer of a box is its longest way from a source; boxes of a layer are put in
the order of the mean place of their neighbours, over and over; places along the layer are the nearest to that mean that
keep the order (least squares with order constraints, by pooling adjacent violators).
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]
GAP_X, GAP_Y, THIN = 24.0, 46.0, 4.0  # between boxes of a layer, between layers, and the width of a passing edge
MOST_PASSING = 4000  # bends of long edges; a graph with more of them gets straight ones


@dataclass(frozen=True)
class Placed:
    """Centres of the boxes, the points of each edge from its source to its target, and the size of the whole."""

    centres: list[Point]
    edges: list[list[Point]]
    width: float
    height: float


def layout(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Placed:
    """Place boxes of these (width, height) so that each edge (source, target) points down; sources come first.

    >>> placed = layout([(40, 20), (60, 20), (50, 20)], [(0, 2), (1, 2)])
    >>> [round(y) for _, y in placed.centres], round(placed.width)
    ([10, 10, 76], 124)
    """
    layer = _layers(len(sizes), edges)
    widths = [w for w, _ in sizes]
    chains = _chains(edges, layer, widths)
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for box, row in enumerate(layer):
        rows[row].append(box)
    above: list[list[int]] = [[] for _ in layer]
    below: list[list[int]] = [[] for _ in layer]
    for chain in chains:
        for a, b in pairwise(chain):
            if layer[b] == layer[a] + 1:
                below[a].append(b)
                above[b].append(a)
    _order(rows, above, below)
    x = _across(rows, above, below, widths)
    heights = [max([sizes[b][1] for b in row if b < len(sizes)], default=0.0) for row in rows]
    tops = [sum(heights[:k]) + GAP_Y * k for k in range(len(rows))]
    y = [tops[row] + heights[row] / 2 for row in layer]
    left = min([x[b] - widths[b] / 2 for b in range(len(layer))], default=0.0)
    x = [v - left for v in x]
    width = max([x[b] + widths[b] / 2 for b in range(len(layer))], default=0.0)
    paths = []
    for chain in chains:
        first, last = chain[0], chain[-1]
        inner = [(x[b], y[b]) for b in chain[1:-1]]
        start = (x[first], y[first] + sizes[first][1] / 2)
        paths.append([start, *inner, (x[last], y[last] - sizes[last][1] / 2)])
    height = tops[-1] + heights[-1] if rows else 0.0
    return Placed(list(zip(x, y, strict=True))[: len(sizes)], paths, width, height)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each box: below all its sources, and boxes without sources right above their first target."""
    sources: list[list[int]] = [[] for _ in range(count)]
    targets: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        sources[b].append(a)
        targets[a].append(b)
    layer = [0] * count
    waiting = [len(s) for s in sources]
    ready = [b for b in range(count) if not waiting[b]]
    while ready:
        box = ready.pop()
        for other in targets[box]:
            layer[other] = max(layer[other], layer[box] + 1)
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    for box in range(count):
        if not sources[box] and targets[box]:
            layer[box] = min(layer[t] for t in targets[box]) - 1
    return layer


def _chains(edges: Sequence[tuple[int, int]], layer: list[int], widths: list[float]) -> list[list[int]]:
    """Each edge as the boxes that it goes through: where it passes layers it has a thin box in each (which is made)."""
    passing = sum(layer[b] - layer[a] - 1 for a, b in edges)
    chains = []
    for a, b in edges:
        chain = [a]
        for row in range(layer[a] + 1, layer[b] if passing <= MOST_PASSING else 0):
            chain.append(len(layer))
            layer.append(row)
            widths.append(THIN)
        chains.append([*chain, b])
    return chains


def _order(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort each layer by the mean place of what its boxes are joined to, downwards and upwards in turn."""
    place: dict[int, float] = {}
    for row in rows:
        place |= {box: k - len(row) / 2 for k, box in enumerate(row)}
    for turn in range(8):
        down = turn % 2 == 0
        for row in rows if down else reversed(rows):
            near = above if down else below
            row.sort(key=lambda b: sum(place[o] for o in near[b]) / len(near[b]) if near[b] else place[b])
            place |= {box: k - len(row) / 2 for k, box in enumerate(row)}


def _across(
    rows: list[list[int]], above: list[list[int]], below: list[list[int]], widths: list[float]
) -> list[float]:
    """The horizontal centre of each box."""
    x = [0.0] * len(widths)
    for row in rows:
        _settle(row, [0.0] * len(row), widths, x)
    for turn in range(10):
        for row in rows if turn % 2 == 0 else reversed(rows):
            wanted = []
            for box in row:
                near = [x[o] for o in (*above[box], *below[box])]
                wanted.append(sum(near) / len(near) if near else x[box])
            _settle(row, wanted, widths, x)
    return x


def _settle(row: list[int], wanted: list[float], widths: list[float], x: list[float]) -> None:
    """Put the boxes of a layer as near as can be to where they want to be, in order and without overlap."""
    offset = 0.0
    offsets: list[float] = []
    blocks: list[tuple[float, int]] = []  # sum of wanted places of the first box, and number of boxes
    for k, box in enumerate(row):
        if k:
            offset += (widths[row[k - 1]] + widths[box]) / 2 + GAP_X
        offsets.append(offset)
        total, count = wanted[k] - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            before = blocks.pop()
            total, count = total + before[0], count + before[1]
        blocks.append((total, count))
    k = 0
    for total, count in blocks:
        for _ in range(count):
            x[row[k]] = total / count + offsets[k]
            k += 1


__all__ = ["Placed", "layout"]
