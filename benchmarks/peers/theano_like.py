"""Building for the two peers that speak Theano: fuse and PyTensor differ in modules and modes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary

__all__ = ["build", "precision"]


def precision(inputs: Data) -> str:
    """Return ``floatX`` for these inputs: constants of formulas take part in float32 there as everywhere else."""
    return "float32" if any(str(getattr(value, "dtype", "")) == "float32" for value in inputs.values()) else "float64"


def build(
    workload: Workload,
    inputs: Data,
    m: Vocabulary,
    shared: Callable[..., Any],
    grad: Callable[..., Any],
    function: Callable[..., Any],
) -> Program:
    """Return the workload as a compiled function; parameters of a descent are shared variables with updates."""
    kept = workload.wrt if workload.rate else ()
    variables = {
        name: shared(value.copy(), name=name) if name in kept else _variable(m, name, value)
        for name, value in inputs.items()
    }
    found = workload.expression(m, *variables.values())
    outputs, updates = list(found) if isinstance(found, tuple) else found, []
    if workload.wrt:
        gradients = grad(found, [variables[name] for name in workload.wrt])
        if kept:
            updates = [(variables[p], variables[p] - workload.rate * g) for p, g in zip(kept, gradients, strict=True)]
        else:
            outputs = [found, *gradients]
    arguments = {name: value for name, value in inputs.items() if name not in kept}
    compiled = function([variables[name] for name in arguments], outputs, updates=updates)

    def results(output: Any) -> list[np.ndarray]:
        values = list(output) if isinstance(output, list | tuple) else [output]
        return [np.asarray(value) for value in (*values, *(variables[p].get_value() for p in kept))]

    return Program(compiled, tuple(arguments.values()), results)


def _variable(m: Vocabulary, name: str, value: Any) -> Any:
    value = np.asarray(value)
    return m.tensor(name=name, dtype=str(value.dtype), shape=(None,) * value.ndim)
