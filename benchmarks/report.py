"""The report of a run, made from its JSON: tables as plain text or Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.goals import COLD, Figures, Verdict
from benchmarks.peers import PEERS

__all__ = [
    "first_table",
    "further_table",
    "goal_table",
    "head",
    "markdown",
    "memory_table",
    "micros",
    "plain",
    "steady_table",
    "stream_table",
]

Row = list[str]
Table = tuple[Row, list[Row]]  # header and rows

_NUMBERS = (  # below this limit, divided by this, in this format
    (0.1, 1, "{:.3f}"),
    (10, 1, "{:.2f}"),
    (100, 1, "{:.1f}"),
    (10_000, 1, "{:.0f}"),
    (100_000, 1000, "{:.1f}k"),
    (float("inf"), 1000, "{:.0f}k"),
)
_LARGE = 1 << 25  # bytes: what does not fit a cache is compared with the bandwidth of memory


def plain(table: Table) -> str:
    """Return columns aligned by spaces, the first one to the left.

    >>> print(plain((["name", "µs"], [["a", "1.25"], ["long name", "10"]])))
    name         µs
    a          1.25
    long name    10
    """
    header, rows = table
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """Return the table as Markdown, numbers to the right.

    >>> print(markdown((["name", "µs"], [["a|b", "1.25"]])))
    | name | µs |
    |---|---:|
    | a\\|b | 1.25 |
    """
    header, rows = table
    lines = [
        header,
        ["---", *("---:" for _ in header[1:])],
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "\n".join(
        "|" + "|".join(f" {cell} " if i != 1 else cell for cell in row) + "|" for i, row in enumerate(lines)
    )


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
        lines.append(f"  {PEERS[peer].title:<13} {what}")
    return "\n".join(lines)


def steady_table(figures: Figures, peers: Sequence[str], start: str = "") -> Table:
    """Return microseconds per call and the ratios that matter, of workloads whose names begin with ``start``.

    «vs best» is the best peer's time over that of fuse, above 1 where fuse is ahead of every peer; «vs hand» is the
    time of fuse over that of the hand-written kernel, above 1 where a person is ahead of fuse; «of STREAM» the bytes
    of inputs and results over the time of fuse, as a share of the bandwidth measured in the same run.
    """
    rows = []
    chosen = {key: times for key, times in figures.calls.items() if key[0].startswith(start)}
    peers = [peer for peer in peers if any(peer in times for times in chosen.values())]
    for (workload, size), times in chosen.items():
        best = min((p for p in times if PEERS[p].competes), key=lambda p: times[p], default=None)
        rows.append(
            [
                f"{workload.removeprefix(start)}  {size}",
                *(micros(times[p]) if p in times else "-" for p in peers),
                PEERS[best].title if best else "-",
                _ratio(times.get(best or ""), times.get("fuse")),
                _ratio(times.get("fuse"), times.get("numba")),
                _share(figures, workload, size),
            ]
        )
    return ["µs per call", *(PEERS[p].title for p in peers), "best peer", "vs best", "vs hand", "of STREAM"], rows


def _share(figures: Figures, workload: str, size: str) -> str:
    moved = figures.bytes[workload, size]
    seconds = figures.calls[workload, size].get("fuse")
    name = "stream/copy" if workload.endswith("a+1") or workload.startswith("function/") else "stream/triad"
    stream = figures.calls.get((name, "1e7"), {}).get("numba")
    if not seconds or not stream or moved < _LARGE:
        return "-"
    return f"{moved / seconds / (figures.bytes[name, '1e7'] / stream):.0%}"


def stream_table(figures: Figures) -> Table:
    """Return the bandwidth of memory in GB/s, inputs and results counted once, as McCalpin's STREAM does."""
    rows = [
        [workload.removeprefix("stream/"), f"{figures.bytes[workload, size] / times['numba'] / 1e9:.1f}"]
        for (workload, size), times in figures.calls.items()
        if workload.startswith("stream/") and "numba" in times
    ]
    return ["STREAM, all cores", "GB/s"], rows


def first_table(figures: Figures, peers: Sequence[str]) -> Table:
    """Return seconds to the first answer in a fresh process, imports included, with empty and with filled caches."""
    rows = []
    for (program, cache), times in figures.first.items():
        asked = f"{COLD[program]:.1f}" if cache == "cold" and program in COLD else "-"
        rows.append([f"{program}, {cache}", *(f"{times[p]:.2f}" if p in times else "-" for p in peers), asked])
    return ["seconds to the first answer", *(PEERS[p].title for p in peers), "goal"], rows


def further_table(figures: Figures, peers: Sequence[str]) -> Table:
    """Return milliseconds from the first line of a further function to its first results."""
    rows = [
        [
            program,
            *(f"{times[p] * 1e3:.0f}" if p in times else "-" for p in peers),
            _ratio(times.get("fuse"), times.get("jax")),
        ]
        for program, times in figures.further.items()
    ]
    return ["ms for a further function", *(PEERS[p].title for p in peers), "fuse / JAX"], rows


def memory_table(found: Sequence[Mapping[str, Any]], peers: Sequence[str]) -> Table:
    """Return peak memory over the bytes of inputs and results."""
    grouped: dict[str, dict[str, float]] = {}
    for cell in found:
        grouped.setdefault(f"{cell['workload']}  {cell['size']}", {})[cell["peer"]] = cell["ratio"]
    rows = [[name, *(f"{row[p]:.2f}" if p in row else "-" for p in peers)] for name, row in grouped.items()]
    return ["peak memory / (inputs + results)", *(PEERS[p].title for p in peers)], rows


def goal_table(missed: Sequence[Verdict]) -> Table:
    """Return the goals that were missed, the worst first."""
    rows = [[f"{v.cell}", v.goal, _figure(v.found), _figure(v.asked), v.against, f"{v.missed:.2f}"] for v in missed]
    return ["missed", "goal", "found", "asked", "against", "by"], rows


def _figure(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else f"{value * 1e6:.2f} µs"


def _ratio(above: float | None, below: float | None) -> str:
    return f"{above / below:.2f}" if above and below else "-"
