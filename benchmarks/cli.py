"""``python -m benchmarks``: choose workloads and peers, measure, print the tables and keep them with their JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.goals import misses
from benchmarks.machine import machine
from benchmarks.measure import (
    Cell,
    Plan,
    as_records,
    describe,
    first_answers,
    further_functions,
    memory,
    started,
    steady_states,
)
from benchmarks.peers import PEERS
from benchmarks.processes import Interpreters
from benchmarks.report import first_table, further_table, goal_table, head, memory_table, plain, steady_table
from benchmarks.results import figures
from benchmarks.workloads import FIRST_ANSWERS, WORKLOADS

__all__ = ["chosen_sizes", "main", "text"]

INTERPRETERS = "FUSE_BENCH_PYTHON"
FOLDER = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
PARTS = ("first", "further", "calls", "memory")
_SLOW = ("torch-compile", "pytensor-c")  # a quick run does not wait for C++ compilers in fresh processes
QUICK_PROGRAMS = ("x + y", "logistic gradient")
# In a quick run PyTensor's C code, which takes 5 to 15 seconds to compile, is met where it is the best of its two.
_QUICK_ROWS = {"pytensor-c": ("elementwise/*", "function/*", "call/*", "ocean/*")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what ``argv`` asks for and return the exit status: 0 unless fuse failed somewhere or gave wrong numbers."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        interpreters = Interpreters([*filter(None, os.environ.get(INTERPRETERS, "").split(",")), *options.python])
    except ValueError as error:
        parser.error(str(error))
    sizes = chosen_sizes(options.only, options.quick) if "calls" in options.parts else []
    programs = [p for p in (QUICK_PROGRAMS if options.quick else FIRST_ANSWERS) if _matches(p, options.only)]
    if options.list:
        print("\n".join([*(f"{workload}  {size}" for workload, size in sizes), *programs]))
        return 0

    plan = Plan.quick() if options.quick else Plan()
    if options.rounds:
        plan = replace(plan, rounds=options.rounds, processes=min(options.rounds, plan.processes))
    if options.patience:
        plan = replace(plan, patience=options.patience)
    with started(options.peers, interpreters) as processes:
        found = describe(processes)
        peers = [peer for peer, answer in found.items() if "error" not in answer]
        results: dict[str, Any] = {"machine": machine(), "peers": found, "plan": vars(plan)}
        print(head(results["machine"], found), flush=True)

        slow = _SLOW if options.quick else ()
        builders = [peer for peer in peers if peer not in slow]
        first, further = (programs if part in options.parts else [] for part in ("first", "further"))
        cells: list[Cell] = []
        options.output.mkdir(parents=True, exist_ok=True)
        results |= {"further_functions": [], "steady_states": [], "memory": []}
        firsts = first_answers(first, builders, interpreters, plan, _progress)
        _keep(results | {"first_answers": as_records(firsts)}, options.output)  # a long run may be cut short
        furthers = further_functions(further, builders, interpreters, plan, _progress)
        results |= {"first_answers": as_records(firsts), "further_functions": as_records(furthers)}
        running = {peer: processes[peer] for peer in peers}
        for row in steady_states(sizes, running, plan, _progress, _in_quick_run if options.quick else _in_any_run):
            cells += row
            _keep(results | {"steady_states": as_records(cells)}, options.output)
        results["steady_states"] = as_records(cells)
    if "memory" in options.parts and not options.quick:
        results["memory"] = memory(peers, interpreters, plan, _progress, lambda name: _matches(name, options.only))
    _progress("")
    _keep(results, options.output)
    report = text(results, least=options.least)
    print("\n" + report)

    (options.output / "report.txt").write_text(report + "\n", encoding="utf-8")
    print(f"\nkept in {options.output}")
    return int(any(cell.peer == "fuse" and cell.fault for cell in [*firsts, *furthers, *cells]))


def text(results: Mapping[str, Any], least: bool = False) -> str:
    """Return the whole report of a run as plain text."""
    known = figures(dict(results), least)
    peers = [peer for peer in results["peers"] if "error" not in results["peers"][peer]]
    builders = [peer for peer in peers if PEERS[peer].compiles]
    tables = (
        first_table(known, builders),
        further_table(known, builders),
        steady_table(known, peers),
        memory_table(results["memory"], peers),
        goal_table(misses(known)),
    )
    parts = [head(results["machine"], results["peers"]), *(plain(table) for table in tables if table[1])]
    faults = [
        f"  {cell.get('workload') or cell['program']} {cell.get('size') or cell.get('cache', '')}  "
        f"{PEERS[cell['peer']].title}: {cell['fault']}"
        for part in ("first_answers", "further_functions", "steady_states")
        for cell in results[part]
        if cell["fault"]
    ]
    return "\n\n".join(parts + (["failed:\n" + "\n".join(faults)] if faults else []))


def _in_quick_run(peer: str, workload: str) -> bool:
    return any(fnmatch(workload, pattern) for pattern in _QUICK_ROWS.get(peer, "*"))


def _in_any_run(peer: str, workload: str) -> bool:
    return True


def _keep(results: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")


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


def _listed(kind: str, known: Sequence[str]) -> Any:
    def names(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {kind} {', '.join(unknown)}; there are {', '.join(known)}")
        return text.split(",")

    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time fuse and its peers on the same workloads; every result is checked against NumPy first.",
        epilog=f"Peers that need another Python: --python, or {INTERPRETERS}=PEER=PATH,PEER=PATH in the environment.",
    )
    parser.add_argument("--quick", action="store_true", help="few sizes, short rounds: about three minutes")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="part of a name; repeatable")
    parser.add_argument(
        "--peers", type=_listed("peer", list(PEERS)), default=list(PEERS), metavar="A,B", help="of " + ", ".join(PEERS)
    )
    parser.add_argument(
        "--parts", type=_listed("part", PARTS), default=PARTS, metavar="A,B", help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="an interpreter; repeatable")
    parser.add_argument("--rounds", type=int, help="of each cell, instead of the plan's")
    parser.add_argument("--patience", type=float, metavar="SECONDS", help="for a program to be there")
    parser.add_argument("--least", action="store_true", help="report the least of the rounds, not their median")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of report.txt and results.json")
    parser.add_argument("--list", action="store_true", help="print what would be measured")
    return parser
