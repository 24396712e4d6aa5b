"""The command ``python -m benchmarks.gpu``: every case on every peer, checked, then timed in turns, as one table."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.cases import CASES, Case
from benchmarks.gpu.peers import PEERS, Missing, available
from benchmarks.gpu.timing import interleaved
from benchmarks.records import Data, Program, disagreement
from fuse.codegen import device
from fuse.codegen.cuda_array import to_device
from fuse.errors import DeviceError

__all__ = ["main"]

SAMPLE = 1 << 18  # elements of an input whose results are compared with NumPy's


def main(argv: Sequence[str] | None = None) -> int:
    """Run what ``argv`` asks for; return 0, or 1 where fuse failed or gave wrong numbers, or 2 without a GPU."""
    options = _parser().parse_args(argv)
    try:
        on = device.current()
    except DeviceError as error:
        print(f"benchmarks.gpu: nothing to measure: {error}", file=sys.stderr)
        return 2
    if on.simulated and not options.check:
        print("benchmarks.gpu: the simulator has no speed to measure; --check runs each case once", file=sys.stderr)
        return 2
    cases = [case for case in CASES if options.only in case.name][options.skip :]
    if options.list:
        print("\n".join([case.name for case in cases]))
        return 0
    moved, rounds, seconds = (options.bytes, options.rounds, 0.05) if not options.check else (2000, 1, 0.0)
    peers = available([name for name in PEERS if not options.peers or name in options.peers.split(",")])
    copying = _copying(moved, rounds, seconds)
    print(f"{on.name}; copies on the device: {copying / 1e9:.4g} GB/s; peers: {', '.join(peers)}")
    if on.simulated:
        print("in the simulator: numbers are checked, times mean nothing")
    records, failed, start = [], False, time.monotonic()
    for number, case in enumerate(cases):
        if time.monotonic() - start > options.limit:
            print(f"{options.limit:.0f} s are over: --skip {number + options.skip} begins with {case.name}")
            break
        record = measured(case, peers, moved, rounds, seconds, copying)
        records.append(record)
        failed |= "fuse" in record["failures"]
        print(_line(case, record), flush=True)
        if options.output:  # after each, so that a run that is ended has left what it found
            told = {"device": on.name, "copy_bytes_per_second": copying, "records": records}
            Path(options.output).write_text(json.dumps(told, indent=1), encoding="utf-8")
    return int(failed)


def _copying(moved: int, rounds: int, seconds: float) -> float:
    """Bytes per second that a copy on the device reads and writes."""
    source = to_device(np.zeros(max(moved // 2, 1), np.uint8))
    target = source.copy()
    program = Program(lambda: source.memory.on.copy(target.flat(), source.flat()), (), lambda out: [])
    return 2 * source.nbytes / interleaved({"copy": program}, rounds, seconds)["copy"]


def measured(case: Case, peers: list[str], moved: int, rounds: int, seconds: float, copying: float) -> dict[str, Any]:
    """The record of one case: seconds per call of each peer whose results are right, and why others have none."""
    inputs = case.inputs(moved)
    expected, ends = compared(case, inputs)
    programs, failures = {}, {}
    for name in peers:
        try:
            program = PEERS[name][1](case.workload, inputs)
            found = [ends(np.asarray(a)) for a in program.results(program.function(*program.arguments))]
        except Missing as why:
            failures[name] = f"left out: {why}"
            continue
        except Exception as error:  # a peer that fails has no time, and the others go on
            failures[name] = f"{type(error).__name__}: {error}"
            continue
        wrong = disagreement(found, expected)
        if wrong is None:
            programs[name] = program
        else:
            failures[name] = wrong
    times = interleaved(programs, rounds, seconds) if programs else {}
    size = case.bytes(inputs)
    return {
        "case": case.name, "bytes": size, "seconds": times, "failures": failures,
        "share_of_copy": {name: size / t / copying for name, t in times.items()},
        "ratio_to_fuse": {name: t / times["fuse"] for name, t in times.items()} if "fuse" in times else {},
    }


def compared(case: Case, inputs: Data) -> tuple[list[np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """What NumPy makes of the first and the last rows, and what takes these of a result.

    NumPy takes minutes for all rows of all cases. Where a result is of all rows together, they are all taken.
    """
    rows = {name: a for name, a in inputs.items() if np.ndim(a)}
    n, *others = next(iter(rows.values())).shape
    k = max(SAMPLE // (2 * math.prod(others)), 1)

    def ends(a: np.ndarray) -> np.ndarray:
        return np.concatenate([a[:k], a[-k:]]) if a.shape[:1] == (n,) else a

    if n > 2 * k and all(len(a) == n for a in rows.values()):
        wanted = case.workload.expected({**inputs, **{name: ends(a) for name, a in rows.items()}})
        if all(a.shape[:1] == (2 * k,) for a in wanted):
            return wanted, ends
    return case.workload.expected(inputs), lambda a: a


def _line(case: Case, record: dict[str, Any]) -> str:
    """A row of the table: the time and bandwidth of fuse, the goal, and the time of each peer over that of fuse."""
    times = record["seconds"]
    cells = [f"{case.name:<30}"]
    if "fuse" in times:
        share = record["share_of_copy"]["fuse"]
        speed = record["bytes"] / times["fuse"] / 1e9
        cells.append(f"{times['fuse'] * 1e6:>12.1f} µs {speed:>8.1f} GB/s {share:>6.0%}")
        peers = [ratio for name, ratio in record["ratio_to_fuse"].items() if name in ("jax", "torch")]
        if case.share:
            goal, met = f"{case.share:.0%}", share >= case.share
        elif case.microseconds:
            goal, met = f"{case.microseconds:.0f} µs", times["fuse"] * 1e6 <= case.microseconds
        else:
            goal, met = "jax, torch" if peers else "", all(ratio >= 1 for ratio in peers)
        said = f"goal {goal}: {'met' if met else 'missed'}" if goal and not device.current().simulated else ""
        cells.append(f"{said:<24}")
    cells += [f"{name} {ratio:.2f}x" for name, ratio in record["ratio_to_fuse"].items() if name != "fuse"]
    cells += [f"{name}: {why.splitlines()[0][:70]}" for name, why in record["failures"].items()]
    return "  ".join(cells)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--peers", default="", help=f"of {', '.join(PEERS)}, with commas (default: all installed)")
    parser.add_argument("--bytes", type=int, default=10**9, help="that a call moves (default: 1 GB)")
    parser.add_argument("--rounds", type=int, default=9, help="of batches, of which the median is shown (default: 9)")
    parser.add_argument("--check", action="store_true", help="tiny sizes, one round: whether everything runs")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many cases at the beginning")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds after which no further case is begun")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--output", help="a file for the records, as JSON")
    return parser
