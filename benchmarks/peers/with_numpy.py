"""NumPy: the reference itself, timed; descents update their parameters in place."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import numpy_vocabulary


def load() -> str:
    """Return the version of NumPy."""
    return np.__version__


def build(workload: Workload, inputs: Data) -> Program:
    """Return the reference as a program."""
    vocabulary, reference = numpy_vocabulary(), workload.reference
    if reference is None and workload.wrt:
        raise Unsupported  # the oracle takes imaginary steps: no program to compare with
    if reference is None:
        return Program(partial(workload.formula, vocabulary), tuple(inputs.values()), _arrays)
    if not workload.rate:
        return Program(reference, tuple(inputs.values()), _arrays)

    params = {name: inputs[name].copy() for name in workload.wrt}
    values = list((dict(inputs) | params).values())
    given = {name: i for i, name in enumerate(inputs) if name not in params}

    def step(*batch: Any) -> Any:
        for i, value in zip(given.values(), batch, strict=True):
            values[i] = value
        cost, *gradients = reference(*values)
        for p, g in zip(params.values(), gradients, strict=True):
            g *= workload.rate
            np.subtract(p, g, out=p)
        return cost

    return Program(step, tuple(inputs[name] for name in given), lambda cost: _arrays((cost, *params.values())))


def environment(folder: Path) -> dict[str, str]:
    """NumPy keeps nothing on disk."""
    return {}


def _arrays(output: Any) -> list[np.ndarray]:
    return [np.asarray(value) for value in (output if isinstance(output, tuple) else (output,))]
