"""Peak memory of calls: ``python -m benchmarks.memory PEER WORKLOAD SIZE`` prints bytes as JSON.

The process builds, calls three times, and reports the most memory it held while it did, inputs and results included.
Two such figures, at a size that counts as none and at the size in question, leave out interpreter and libraries.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import PEERS, failure
from benchmarks.workloads import WORKLOADS

__all__ = ["main", "peak", "reset"]


def reset() -> None:
    """Forget the peak so far, where the system can (Linux)."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Return the most bytes this process has held in memory since ``reset``, or since its start."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if lines:
            return int(lines[0][1]) * 1024
    import resource  # not on Windows, where there is no such figure

    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024


def main(peer: str, workload: str, size: str) -> dict[str, Any]:
    """Return the peak and the bytes of inputs and results."""
    module = PEERS[peer].module()
    try:
        module.load()
        record = WORKLOADS[workload]
        inputs = record.inputs(size)
        program = module.build(record, inputs)
        found = program.function(*program.arguments)
        moved = sum(np.asarray(value).nbytes for value in [*inputs.values(), *program.results(found)])
        del found
        reset()
        for _ in range(2):
            program.function(*program.arguments)
        return {"peak": peak(), "bytes": moved}
    except Exception as error:  # whatever a peer raises is a cell of the table
        return failure(error)


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what libraries print goes to stderr
    os.dup2(2, 1)
    channel.write(json.dumps(main(*sys.argv[1:4])) + "\n")
    channel.flush()
