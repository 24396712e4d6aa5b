"""CasADi: a scalar graph of the pointwise formula, mapped over the elements, called through its buffers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary


def load() -> str:
    """Import CasADi and return its version."""
    import casadi

    return str(casadi.__version__)


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload as a mapped function that reads and writes NumPy's memory; it has float64 only."""
    values = {name: np.asarray(value) for name, value in inputs.items()}
    kinds = {(value.dtype.name, value.shape) for value in values.values()}
    if not workload.pointwise or len(kinds) > 1 or kinds.pop()[0] != "float64":
        raise Unsupported
    import casadi

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + casadi.exp(-x))

    m = Vocabulary(casadi, sigmoid=sigmoid, where=casadi.if_else)
    symbols = {name: casadi.SX.sym(name) for name in inputs}
    found = workload.formula(m, *symbols.values())
    outputs = list(found) if isinstance(found, tuple) else [found]
    outputs += [casadi.gradient(found, symbols[name]) for name in workload.wrt]
    shape, size = next((value.shape, value.size) for value in values.values())
    function = casadi.Function("f", list(symbols.values()), outputs)
    buffers, trigger = (function if size == 1 else function.map(size)).buffer()
    kept = [np.zeros(shape) for _ in outputs]
    for i, out in enumerate(kept):
        buffers.set_res(i, memoryview(out))
    result = tuple(kept)
    floats = any(isinstance(value, float) for value in inputs.values())

    def call(*arguments: Any) -> Any:
        for i, argument in enumerate(arguments):
            buffers.set_arg(i, memoryview(np.asarray(argument) if floats else argument))
        trigger()
        return (result[0].sum(), *result[1:]) if workload.wrt else result

    return Program(call, tuple(inputs.values()), lambda output: [np.asarray(value) for value in output])


def environment(folder: Path) -> dict[str, str]:
    """CasADi keeps nothing on disk."""
    return {}
