"""What is measured and in which order: every peer in turn within a round, so that a noisy minute hits all alike."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.processes import Interpreters, PeerProcess, fresh
from benchmarks.workloads import FIRST_ANSWERS, MEMORY, WORKLOADS

__all__ = [
    "Cell",
    "FirstCell",
    "Plan",
    "as_records",
    "describe",
    "first_answers",
    "further_functions",
    "memory",
    "started",
    "steady_states",
]

_THREADED = 2e-5  # seconds: shorter calls wake no threads
_BUILDERS = 3  # peers that build at the same time, outside all timing

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int = 9  # of each workload on each peer
    seconds: float = 0.05  # of a round
    settle: float = 0.1  # pause after a round of a peer whose threads go on spinning for a while
    processes: int = 5  # fresh ones for each first answer
    patience: float = 60.0  # a program that is not there after so long is given up

    @staticmethod
    def quick() -> Plan:
        """Return a plan of a few minutes."""
        return Plan(rounds=3, seconds=0.01, settle=0.03, processes=1, patience=30.0)


@dataclass
class Cell:
    """A workload at one size on one peer: seconds per call in each round, or why there are none."""

    workload: str
    size: str
    peer: str
    rounds: list[float] = field(default_factory=list)
    build: float | None = None  # seconds to build, compile and call once
    bytes: int = 0  # of inputs and results
    processor: list[float] = field(default_factory=list)  # of a further function: the processor's seconds
    fault: str = ""

    @property
    def seconds(self) -> float | None:
        """The median of the rounds."""
        return median(self.rounds) if self.rounds else None

    @property
    def least(self) -> float | None:
        """The quickest round: the figure for a machine that has other work."""
        return min(self.rounds, default=None)


@dataclass
class FirstCell:
    """A program on one peer in fresh processes, with cold or warm caches: seconds of (import, rest) in each."""

    program: str
    peer: str
    cache: str
    runs: list[tuple[float, float]] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)  # its seconds for both together
    fault: str = ""

    @property
    def seconds(self) -> tuple[float, float] | None:
        """The medians of import and of the rest, None if a run failed."""
        if self.fault or not self.runs:
            return None
        imports, rests = zip(*self.runs, strict=True)
        return median(imports), median(rests)


@contextmanager
def started(peers: Sequence[str], interpreters: Interpreters) -> Iterator[dict[str, PeerProcess]]:
    """Give every peer a process, to be used for as long as the context lasts."""
    with ExitStack() as stack:
        yield {peer: stack.enter_context(PeerProcess(peer, interpreters[peer])) for peer in peers}


def describe(processes: Mapping[str, PeerProcess]) -> dict[str, dict[str, Any]]:
    """Return version and Python of each peer; with the key "error" where it is absent."""
    with ThreadPoolExecutor(_BUILDERS) as pool:
        return dict(zip(processes, pool.map(lambda process: process.ask("describe"), processes.values()), strict=True))


def steady_states(
    chosen: Sequence[tuple[str, str]],
    processes: Mapping[str, PeerProcess],
    plan: Plan,
    progress: Progress,
    takes_part: Callable[[str, str], bool] = lambda peer, workload: True,
) -> Iterator[list[Cell]]:
    """Time every (workload, size) of ``chosen`` on every peer that takes part, each in a process of its own.

    Yields row by row.
    """
    with ThreadPoolExecutor(_BUILDERS) as pool:
        for workload, size in chosen:
            progress(f"{workload} {size}")
            only = WORKLOADS[workload].peers or processes
            row = {p: Cell(workload, size, p) for p in processes if p in only and takes_part(p, workload)}
            list(pool.map(lambda cell: _load(cell, processes[cell.peer], plan), row.values()))
            row = {peer: cell for peer, cell in row.items() if cell.build is not None or cell.fault}
            running = [peer for peer, cell in row.items() if not cell.fault]
            for turn in range(plan.rounds if running else 0):
                for peer in running[turn % len(running) :] + running[: turn % len(running)]:
                    answer = processes[peer].ask("time", seconds=plan.seconds)
                    if "seconds" not in answer:
                        row[peer].fault = answer.get("error", "no time")
                        continue
                    row[peer].rounds.append(answer["seconds"])
                    if answer["seconds"] > _THREADED and PEERS[peer].spins:
                        time.sleep(plan.settle)
            for peer in row:
                processes[peer].ask("drop")
            yield list(row.values())


def _load(cell: Cell, process: PeerProcess, plan: Plan) -> None:
    """Build and check a program; whoever cannot stays without a time, whoever needs too long is given up."""
    answer = process.ask("load", timeout=plan.patience, workload=cell.workload, size=cell.size)
    cell.build, cell.bytes = answer.get("build"), answer.get("bytes", 0)
    cell.fault = answer.get("wrong") or answer.get("error") or ""


def first_answers(
    chosen: Sequence[str], peers: Sequence[str], interpreters: Interpreters, plan: Plan, progress: Progress
) -> list[FirstCell]:
    """Time every program of ``chosen`` in fresh processes of every peer: once with empty caches, once with filled."""
    cells: dict[tuple[str, str, str], FirstCell] = {}
    for program in chosen:
        workload, size = FIRST_ANSWERS[program]
        able = [peer for peer in peers if PEERS[peer].compiles]
        with ExitStack() as stack:
            filled = {peer: stack.enter_context(_folder()) for peer in able}
            for turn in range(plan.processes):
                progress(f"{program} {turn + 1}/{plan.processes}")
                for peer in able[turn % len(able) :] + able[: turn % len(able)]:
                    with _folder() as empty:
                        for cache, folder in (("cold", empty if turn else filled[peer]), ("warm", filled[peer])):
                            cell = cells.setdefault((program, peer, cache), FirstCell(program, peer, cache))
                            if not cell.fault:
                                _run(cell, interpreters[peer], workload, size, Path(folder), plan.patience)
    return sorted(cells.values(), key=lambda cell: (list(FIRST_ANSWERS).index(cell.program), cell.cache))


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuse-bench-", ignore_cleanup_errors=True)


def _run(cell: FirstCell, interpreter: str, workload: str, size: str, folder: Path, patience: float) -> None:
    answer = fresh("first_answer", cell.peer, interpreter, [workload, size], folder, patience)
    cell.fault = answer.get("error") or answer.get("wrong") or ""
    if not cell.fault and "answer" in answer:
        cell.runs.append((answer["import"], answer["answer"]))
        cell.processor.append(answer["processor"])


def further_functions(
    chosen: Sequence[str], peers: Sequence[str], interpreters: Interpreters, plan: Plan, progress: Progress
) -> list[Cell]:
    """Time every program of ``chosen`` as a further function of a running process, in fresh ones with empty caches."""
    cells = {(p, peer): Cell(p, "", peer) for p in chosen for peer in peers if PEERS[peer].compiles}
    for turn in range(plan.processes if chosen else 0):
        order = [*chosen[turn % len(chosen) :], *chosen[: turn % len(chosen)]]
        for peer in dict.fromkeys(peer for _, peer in cells):
            progress(f"further functions of {peer} {turn + 1}/{plan.processes}")
            with _folder() as folder:
                asked = [p for p in order if not cells[p, peer].fault]
                patience = plan.patience * len(asked)
                found = fresh("further", peer, interpreters[peer], asked, Path(folder), patience)
            for program in asked:
                answer = found.get(program) or {"error": found.get("error", "no time")}
                cells[program, peer].fault = answer.get("error", "")
                if "seconds" in answer:
                    cells[program, peer].rounds.append(answer["seconds"])
                    cells[program, peer].processor.append(answer["processor"])
    return list(cells.values())


def memory(
    peers: Sequence[str], interpreters: Interpreters, plan: Plan, progress: Progress, only: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """Return, by workload and peer, the peak memory that the size brings, over the bytes of inputs and results."""
    found = []
    for workload, small, large in MEMORY:
        for peer in peers if only(f"{workload} {large}") else ():
            progress(f"memory of {workload} {large}, {peer}")
            with _folder() as folder:
                held = partial(fresh, "memory", peer, interpreters[peer], folder=Path(folder), timeout=plan.patience)
                if PEERS[peer].compiles:  # what a compiler leaves behind is not what calls need
                    held([workload, small]), held([workload, large])
                base, full = held([workload, small]), held([workload, large])
            if "peak" in base and "peak" in full:
                ratio = (full["peak"] - base["peak"]) / (full["bytes"] - base["bytes"])
                found.append({"workload": workload, "size": large, "peer": peer, "ratio": ratio})
    return found


def as_records(cells: Sequence[Cell] | Sequence[FirstCell]) -> list[dict[str, Any]]:
    """Return the cells as JSON, the median among their fields."""
    return [asdict(cell) | {"seconds": cell.seconds} for cell in cells]
