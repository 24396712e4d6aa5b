"""The process of one peer: ``python -m benchmarks.worker PEER`` answers one JSON line per JSON line on stdin.

Requests are ``{"do": "describe"}``, ``{"do": "load", "workload": ..., "size": ...}`` (build the program and check it),
``{"do": "time", "seconds": ...}`` (time what is loaded, for about so long) and ``{"do": "drop"}``. An answer with the
key "error" says that the request failed; the process goes on.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import timeit
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peers import PEERS, PeerModule, failure
from benchmarks.records import disagreement
from benchmarks.workloads import WORKLOADS

__all__ = ["Worker", "main"]

_RUN = 2e-4  # seconds of a run of calls: long for the clock, short beside what a system does in between


class Worker:
    """One peer with at most one workload loaded.

    >>> worker = Worker("numpy")
    >>> worker.answer({"do": "load", "workload": "call/x+y", "size": "float"})["ok"]
    True
    >>> worker.answer({"do": "time", "seconds": 0.001})["seconds"] > 0
    True
    >>> worker.answer({"do": "drop"})
    {}
    """

    def __init__(self, peer: str) -> None:
        self.peer: PeerModule = PEERS[peer].module()
        self.timer: timeit.Timer | None = None
        self.number = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what ``request`` asks and return the answer."""
        do: dict[str, Callable[..., dict[str, Any]]] = {
            "describe": self.describe,
            "load": self.load,
            "time": self.time,
            "drop": self.drop,
        }
        arguments = {key: value for key, value in request.items() if key != "do"}
        try:
            return do[request["do"]](**arguments)
        except Exception as error:  # whatever a peer raises is a cell of the table
            return failure(error)

    def describe(self) -> dict[str, Any]:
        """Import the peer; say its version and its Python's."""
        version = self.peer.load()
        return {"version": version, "python": sys.version.split()[0]}

    def load(self, workload: str, size: str) -> dict[str, Any]:
        """Build a program, call it once, compare it with NumPy, and keep it if it agrees."""
        self.drop()
        record = WORKLOADS[workload]
        inputs = record.inputs(size)
        start = perf_counter()
        program = self.peer.build(record, inputs)
        found = program.results(program.function(*program.arguments))
        seconds = perf_counter() - start
        moved = sum(np.asarray(value).nbytes for value in [*inputs.values(), *found])
        wrong = disagreement(found, record.expected(inputs))
        if wrong:
            return {"ok": False, "wrong": wrong}
        self.timer = timeit.Timer(program.statement, globals=program.namespace)
        self.number = 0
        return {"ok": True, "build": seconds, "bytes": moved}

    def time(self, seconds: float) -> dict[str, Any]:
        """Time one round of about ``seconds``: of many short runs of calls the quickest, its mean per call."""
        if self.timer is None:
            return {"error": "nothing is loaded"}
        if not self.number:  # the first round finds out how many calls a run needs for the clock
            number, elapsed = 1, self.timer.timeit(1)
            while elapsed < _RUN:
                number *= 4
                elapsed = min(self.timer.repeat(3, number))
            self.number = max(1, round(number * _RUN / elapsed))
        runs, end = [], perf_counter() + seconds
        while len(runs) < 3 or (perf_counter() < end and len(runs) < 1000):
            runs.append(self.timer.timeit(self.number))
        return {"seconds": min(runs) / self.number, "calls": self.number * len(runs)}

    def drop(self) -> dict[str, Any]:
        """Forget what is loaded, and give its memory back."""
        self.timer = None
        gc.collect()
        return {}


def main(peer: str) -> None:
    """Answer the requests on stdin until it ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")  # ours alone: what libraries print goes to stderr
    os.dup2(2, 1)
    worker = Worker(peer)
    for line in sys.stdin:
        channel.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        channel.flush()


if __name__ == "__main__":
    main(sys.argv[1])
