"""What is measured and in which order: every peer in turn within a round, so that a noisy minute hits all alike."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.processes import Interpreters, PeerProcess, first_answer
from benchmarks.workloads import FIRST_ANSWERS, WORKLOADS

__all__ = ["Cell", "FirstCell", "Plan", "as_records", "describe", "first_answers", "steady_states"]

_THREADED = 2e-5  # seconds: shorter calls wake no threads

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int = 9  # of each workload on each peer
    seconds: float = 0.1  # of a round
    settle: float = 0.15  # pause after a round: threads of BLAS libraries go on spinning for a while
    processes: int = 5  # fresh ones for each first answer
    patience: float = 30.0  # a first answer that takes longer is not timed again

    @staticmethod
    def quick() -> Plan:
        """Return a plan of a few minutes."""
        return Plan(rounds=5, seconds=0.02, processes=3, patience=2.0)


@dataclass
class Cell:
    """A workload at one size on one peer: seconds per call in each round, or why there are none."""

    workload: str
    size: str
    peer: str
    rounds: list[float] = field(default_factory=list)
    build: float | None = None  # seconds to build, compile and call once
    fault: str = ""

    @property
    def seconds(self) -> float | None:
        """The median of the rounds."""
        return median(self.rounds) if self.rounds else None


@dataclass
class FirstCell:
    """A program on one peer in fresh processes, with cold or warm caches: seconds of (import, rest) in each."""

    program: str
    peer: str
    cache: str
    runs: list[tuple[float, float]] = field(default_factory=list)
    fault: str = ""

    @property
    def seconds(self) -> tuple[float, float] | None:
        """The medians of import and of the rest, None if a run failed."""
        if self.fault or not self.runs:
            return None
        imports, rests = zip(*self.runs, strict=True)
        return median(imports), median(rests)


def describe(peers: Sequence[str], interpreters: Interpreters) -> dict[str, dict[str, Any]]:
    """Return version and Python of each peer; with the key "error" where it is absent."""
    found = {}
    for peer in peers:
        with PeerProcess(peer, interpreters[peer]) as process:
            found[peer] = process.ask("describe")
    return found


def steady_states(
    chosen: Sequence[tuple[str, str]], peers: Sequence[str], interpreters: Interpreters, plan: Plan, progress: Progress
) -> list[Cell]:
    """Time every (workload, size) of ``chosen`` on every peer, each in a process of its own."""
    cells: list[Cell] = []
    with ExitStack() as stack:
        processes = {peer: stack.enter_context(PeerProcess(peer, interpreters[peer])) for peer in peers}
        for workload, size in chosen:
            progress(f"{workload} {size}")
            row = {peer: Cell(workload, size, peer) for peer in peers if _offers(peer, workload)}
            cells += row.values()
            for peer, cell in row.items():
                answer = processes[peer].ask("load", workload=workload, size=size)
                cell.build = answer.get("build")
                cell.fault = answer.get("wrong") or answer.get("error") or ""
            running = [peer for peer, cell in row.items() if cell.build is not None]
            for turn in range(plan.rounds):
                for peer in running[turn % len(running) :] + running[: turn % len(running)]:
                    answer = processes[peer].ask("time", seconds=plan.seconds)
                    if "seconds" not in answer:
                        row[peer].fault = answer.get("error", "no time")
                        continue
                    row[peer].rounds.append(answer["seconds"])
                    if answer["seconds"] > _THREADED:
                        time.sleep(plan.settle)
            for peer in running:
                processes[peer].ask("drop")
    return cells


def _offers(peer: str, workload: str) -> bool:
    """Say whether there is a program: the peer derives one, or the record holds one."""
    return PEERS[peer].derives or peer in WORKLOADS[workload].by_hand


def first_answers(
    chosen: Sequence[str], peers: Sequence[str], interpreters: Interpreters, plan: Plan, progress: Progress
) -> list[FirstCell]:
    """Time every program of ``chosen`` in fresh processes of every peer: once with empty caches, once with filled."""
    cells: dict[tuple[str, str, str], FirstCell] = {}
    for program in chosen:
        workload, size = FIRST_ANSWERS[program]
        able = [peer for peer in peers if _offers(peer, workload)]
        with ExitStack() as stack:
            filled = {peer: stack.enter_context(_folder()) for peer in able}
            for turn in range(plan.processes):
                progress(f"{program} {turn + 1}/{plan.processes}")
                for peer in able[turn % len(able) :] + able[: turn % len(able)]:
                    with _folder() as empty:
                        for cache, folder in (("cold", empty if turn else filled[peer]), ("warm", filled[peer])):
                            cell = cells.setdefault((program, peer, cache), FirstCell(program, peer, cache))
                            if not cell.fault and not (cell.runs and sum(cell.runs[-1]) > plan.patience):
                                _run(cell, interpreters[peer], workload, size, Path(folder))
    return sorted(cells.values(), key=lambda cell: (list(FIRST_ANSWERS).index(cell.program), cell.cache))


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuse-bench-", ignore_cleanup_errors=True)


def _run(cell: FirstCell, interpreter: str, workload: str, size: str, folder: Path) -> None:
    answer = first_answer(cell.peer, interpreter, workload, size, folder)
    cell.fault = answer.get("error") or answer.get("wrong") or ""
    if not cell.fault:
        cell.runs.append((answer["import"], answer["answer"]))


def as_records(cells: Sequence[Cell] | Sequence[FirstCell]) -> list[dict[str, Any]]:
    """Return the cells as JSON, the median among their fields."""
    return [asdict(cell) | {"seconds": cell.seconds} for cell in cells]
