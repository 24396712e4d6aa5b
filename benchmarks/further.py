"""A further function in a running process: ``python -m benchmarks.further PEER PROGRAM ...`` prints seconds as JSON.

The process has compiled two other functions already, so that what a peer loads late is there; the clock runs from the
first line of building, inputs ready, to the results of the first call.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from benchmarks.machine import processor_time
from benchmarks.peers import PEERS, failure
from benchmarks.records import disagreement
from benchmarks.workloads import FIRST_ANSWERS, WORKLOADS

__all__ = ["main"]

_BEFORE = (("elementwise/gauss", "10"), ("rows/layer_norm gradient", "1000x10"))


def main(peer: str, *programs: str) -> Iterator[dict[str, Any]]:
    """Yield seconds, or what went wrong, by program."""
    module = PEERS[peer].module()
    try:
        module.load()
    except ImportError as error:
        yield {key: {"error": f"{type(error).__name__}: {error}"} for key in programs}
        return
    for workload, size in _BEFORE:
        _seconds(module, workload, size)
    for program in programs:
        yield {program: _seconds(module, *FIRST_ANSWERS[program])}


def _seconds(module: Any, workload: str, size: str) -> dict[str, Any]:
    record = WORKLOADS[workload]
    inputs = record.inputs(size)
    begin, processor = perf_counter(), processor_time()
    try:
        program = module.build(record, inputs)
        found = program.results(program.function(*program.arguments))
    except Exception as error:  # whatever a peer raises is a cell of the table
        return failure(error)
    times = {"seconds": perf_counter() - begin, "processor": processor_time() - processor}
    wrong = disagreement(found, record.expected(inputs))
    return {"error": wrong} if wrong else times


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what libraries print goes to stderr
    os.dup2(2, 1)
    for found in main(*sys.argv[1:]):  # one by one: a later one may be too slow for whoever waits
        channel.write(json.dumps(found) + "\n")
        channel.flush()
