"""Time to the first answer: ``python -m benchmarks.first_answer PEER WORKLOAD SIZE`` prints it as JSON.

Two clocks: the import of the peer with what it needs, and from there (inputs ready) to the results of the first call:
building, differentiating, compiling, calling. Beside them the processor's time for both, which other work on the
machine does not change.
"""

from __future__ import annotations

import time

_START = time.perf_counter()  # before NumPy, which is part of every peer's import

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

from benchmarks.machine import processor_time  # noqa: E402
from benchmarks.peers import PEERS, failure  # noqa: E402

__all__ = ["main"]


def main(peer: str, workload: str, size: str) -> dict[str, object]:
    """Import the peer, build the workload, call it once, and return the seconds of both parts and whether it agreed."""
    module = PEERS[peer].module()
    try:
        module.load()
    except ImportError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    imported, before = time.perf_counter(), processor_time()

    from benchmarks.records import disagreement
    from benchmarks.workloads import WORKLOADS

    record = WORKLOADS[workload]
    inputs = record.inputs(size)
    begin, idle = time.perf_counter(), processor_time() - before
    try:
        program = module.build(record, inputs)
        found = program.results(program.function(*program.arguments))
    except Exception as error:  # whatever a peer raises is a cell of the table
        return failure(error)
    end, processor = time.perf_counter(), processor_time() - idle
    wrong = disagreement(found, record.expected(inputs))
    times = {"import": imported - _START, "answer": end - begin, "processor": processor}
    return times | ({"wrong": wrong} if wrong else {})


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what libraries print goes to stderr
    os.dup2(2, 1)
    channel.write(json.dumps(main(*sys.argv[1:4])) + "\n")
    channel.flush()
