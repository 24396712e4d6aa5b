"""The report of a run: plain text tables, and the JSON they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.measure import Cell, FirstCell
from benchmarks.peers import PEERS

__all__ = ["first_table", "head", "micros", "steady_table", "table"]

Row = list[str]

_NUMBERS = (  # below this limit, divided by this, in this format
    (0.1, 1, "{:.3f}"),
    (10, 1, "{:.2f}"),
    (100, 1, "{:.1f}"),
    (10_000, 1, "{:.0f}"),
    (100_000, 1000, "{:.1f}k"),
    (float("inf"), 1000, "{:.0f}k"),
)


def table(header: Row, rows: Sequence[Row]) -> str:
    """Return columns aligned by spaces, the first one to the left.

    >>> print(table(["name", "µs"], [["a", "1.25"], ["long name", "10"]]))
    name         µs
    a          1.25
    long name    10
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def micros(seconds: float) -> str:
    """Return microseconds with three digits that count.

    >>> [micros(s) for s in (4.2e-8, 1.234e-6, 4.56e-5, 0.0123)]
    ['0.042', '1.23', '45.6', '12.3k']
    """
    value = seconds * 1e6
    for limit, scale, text in _NUMBERS:
        if value < limit:
            return text.format(value / scale)
    raise ValueError(seconds)


def head(machine: Mapping[str, Any], peers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the machine and the versions of the peers, with the reason for each one that is absent."""
    lines = [
        f"{machine['time']}  {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"load {machine['load']}, {machine['system']}"
    ]
    for peer, found in peers.items():
        what = found.get("error") and f"absent: {found['error']}" or f"{found['version']}, Python {found['python']}"
        lines.append(f"  {PEERS[peer].title:<11} {what}")
    return "\n".join(lines)


def steady_table(cells: Sequence[Cell], peers: Sequence[str]) -> str:
    """Return microseconds per call, medians over the rounds, and the two ratios that matter.

    «vs best» is the best peer's time over that of fuse, above 1 where fuse is ahead of every peer; «vs hand» is the
    time of fuse over that of the hand-written kernel, above 1 where a person is ahead of fuse.
    """
    grouped: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        grouped.setdefault((cell.workload, cell.size), {})[cell.peer] = cell
    rows = []
    for (workload, size), row in grouped.items():
        times = {peer: cell.seconds for peer, cell in row.items() if cell.seconds is not None}
        shown = [micros(times[p]) if p in times else _gap(row.get(p)) for p in peers]
        best = min((p for p in times if PEERS[p].competes), key=lambda p: times[p], default=None)
        rows.append(
            [
                f"{workload}  {size}",
                *shown,
                PEERS[best].title if best else "-",
                _ratio(times.get(best or ""), times.get("fuse")),
                _ratio(times.get("fuse"), times.get("numba")),
            ]
        )
    header = ["µs per call", *(PEERS[p].title for p in peers), "best peer", "vs best", "vs hand"]
    return table(header, rows) + _faults((f"{c.workload}  {c.size}", c) for c in cells)


def first_table(cells: Sequence[FirstCell], peers: Sequence[str]) -> str:
    """Return seconds in a fresh process, «import + building, compiling and calling = together», cold and warm."""
    grouped: dict[tuple[str, str], dict[str, FirstCell]] = {}
    for cell in cells:
        grouped.setdefault((cell.program, cell.cache), {})[cell.peer] = cell
    rows = []
    for (program, cache), row in grouped.items():
        shown = []
        for peer in peers:
            seconds = row[peer].seconds if peer in row else None
            shown.append(
                f"{seconds[0]:.2f} + {seconds[1]:.2f} = {sum(seconds):.2f}" if seconds else _gap(row.get(peer))
            )
        rows.append([f"{program}  {cache}", *shown])
    header = ["seconds to the first answer", *(PEERS[p].title for p in peers)]
    return table(header, rows) + _faults((f"{c.program}  {c.cache}", c) for c in cells)


def _gap(cell: Cell | FirstCell | None) -> str:
    return "failed" if cell and cell.fault else "-"


def _ratio(above: float | None, below: float | None) -> str:
    return f"{above / below:.2f}" if above and below else "-"


def _faults(cells: Iterable[tuple[str, Cell | FirstCell]]) -> str:
    lines = [f"  {name}  {PEERS[cell.peer].title}: {cell.fault}" for name, cell in cells if cell.fault]
    return "\n\nfailed:\n" + "\n".join(lines) if lines else ""
