"""A run as it is kept: one JSON object, several of them joined, and the figures that tables and goals read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import Figures

__all__ = ["figures", "joined", "read"]

Results = dict[str, Any]
_KEYS = {
    "steady_states": ("workload", "size", "peer"),
    "first_answers": ("program", "cache", "peer"),
    "further_functions": ("workload", "peer"),
    "memory": ("workload", "size", "peer"),
}


def read(paths: Iterable[Path]) -> Results:
    """Return the runs in these files as one, later ones over earlier ones."""
    return joined([json.loads(path.read_text(encoding="utf-8")) for path in paths])


def joined(runs: Sequence[Results]) -> Results:
    """Return one run: machine and plan of the last, peers of all, and of every cell the row of the latest run."""
    peers = {peer: what for run in runs for peer, what in run["peers"].items()}
    found: Results = {**runs[-1], "runs": len(runs), "peers": peers}
    for part, keys in _KEYS.items():
        rows: dict[Any, list[Any]] = {}  # a row is measured together and kept together
        for run in runs:
            new: dict[Any, list[Any]] = {}
            for cell in run.get(part, []):
                new.setdefault(tuple(cell[key] for key in keys[:-1]), []).append(cell)
            rows |= new
        found[part] = [cell for row in rows.values() for cell in row]
    return found


def figures(results: Results, least: bool = False) -> Figures:
    """Return the seconds of a run: medians of its rounds, or ``least``, which serves on a machine with other work.

    That is the quickest round of calls, and for first answers and further functions the least time of the processor.
    """
    calls: dict[tuple[str, str], dict[str, float]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for cell in results.get("steady_states", []):
        key = cell["workload"], cell["size"]
        if cell["rounds"]:
            calls.setdefault(key, {})[cell["peer"]] = min(cell["rounds"]) if least else cell["seconds"]
            sizes[key] = cell["bytes"]
    first: dict[tuple[str, str], dict[str, float]] = {}
    for cell in results.get("first_answers", []):
        if cell["seconds"]:
            together = min(cell["processor"]) if least else sum(cell["seconds"])
            first.setdefault((cell["program"], cell["cache"]), {})[cell["peer"]] = together
    further: dict[str, dict[str, float]] = {}
    for cell in results.get("further_functions", []):
        if cell["rounds"]:
            seconds = min(cell["processor"]) if least else cell["seconds"]
            further.setdefault(cell["workload"], {})[cell["peer"]] = seconds
    return Figures(calls, sizes, first, further)
