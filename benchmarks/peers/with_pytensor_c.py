"""PyTensor with its C backend; needs a C++ compiler."""

from __future__ import annotations

from benchmarks.peers import with_pytensor
from benchmarks.peers.with_pytensor import environment
from benchmarks.records import Data, Program, Workload

__all__ = ["build", "environment", "load"]


def load() -> str:
    """Import PyTensor and return its version; ImportError if it found no compiler."""
    import pytensor

    version = with_pytensor.load()
    if not pytensor.config.cxx:
        raise ImportError("PyTensor found no C++ compiler")
    return version


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload as a ``pytensor.function`` of compiled C."""
    return with_pytensor.build(workload, inputs, mode="CVM")
