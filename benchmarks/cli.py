"""``python -m benchmarks``: choose workloads and peers, measure, print the tables and keep them with their JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.measure import Plan, as_records, describe, first_answers, steady_states
from benchmarks.peers import PEERS
from benchmarks.processes import Interpreters
from benchmarks.report import first_table, head, steady_table
from benchmarks.workloads import FIRST_ANSWERS, WORKLOADS

__all__ = ["chosen_sizes", "main"]

INTERPRETERS = "FUSE_BENCH_PYTHON"
FOLDER = Path(__file__).resolve().parent.parent / "build" / "benchmarks"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what ``argv`` asks for and return the exit status: 0 unless fuse failed somewhere or gave wrong numbers."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        interpreters = Interpreters([*filter(None, os.environ.get(INTERPRETERS, "").split(",")), *options.python])
    except ValueError as error:
        parser.error(str(error))
    sizes = chosen_sizes(options.only, options.quick)
    programs = [name for name in FIRST_ANSWERS if _matches(name, options.only)]
    if options.list:
        print("\n".join([*(f"{workload}  {size}" for workload, size in sizes), *programs]))
        return 0

    plan = Plan.quick() if options.quick else Plan()
    found = describe(options.peers, interpreters)
    peers = [peer for peer, answer in found.items() if "error" not in answer]
    report: dict[str, Any] = {"machine": machine(), "peers": found}
    text = [head(report["machine"], found)]
    print(text[0], flush=True)

    firsts = first_answers(programs, peers, interpreters, plan, _progress)
    cells = steady_states(sizes, peers, interpreters, plan, _progress)
    _progress("")
    if firsts:
        text.append(first_table(firsts, peers))
    if cells:
        text.append(steady_table(cells, peers))
    print("\n" + "\n\n".join(text[1:]))

    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    report |= {"plan": vars(plan), "first_answers": as_records(firsts), "steady_states": as_records(cells)}
    (folder / "results.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nkept in {folder}")
    faults = [cell.peer for cell in firsts if cell.fault] + [cell.peer for cell in cells if cell.fault]
    return int("fuse" in faults)


def chosen_sizes(only: Sequence[str], quick: bool) -> list[tuple[str, str]]:
    """Return the (workload, size) that match a pattern, all if there is none; with ``quick`` those of a quick run.

    >>> chosen_sizes(["call/x+y float"], quick=False)
    [('call/x+y', 'float')]
    >>> len(chosen_sizes([], quick=True)) < len(chosen_sizes([], quick=False))
    True
    """
    return [
        (workload.name, size)
        for workload in WORKLOADS.values()
        for size in workload.sizes
        if _matches(f"{workload.name} {size}", only) and (size in workload.quick or not quick)
    ]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(pattern in name or fnmatch(name, pattern) for pattern in patterns)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _peer_list(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time fuse and its peers on the same workloads; every result is checked against NumPy first.",
        epilog=f"Peers that need another Python: --python, or {INTERPRETERS}=PEER=PATH,PEER=PATH in the environment.",
    )
    parser.add_argument("--quick", action="store_true", help="few sizes, short rounds: a few minutes")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="part of a name; repeatable")
    parser.add_argument("--peers", type=_peer_list, default=list(PEERS), metavar="A,B", help="of " + ", ".join(PEERS))
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="an interpreter; repeatable")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of report.txt and results.json")
    parser.add_argument("--list", action="store_true", help="print what would be measured")
    return parser
