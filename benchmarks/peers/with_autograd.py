"""autograd: NumPy with a tape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary


def load() -> str:
    """Import autograd and return its version."""
    from importlib.metadata import version

    import autograd
    import autograd.numpy  # noqa: F401

    return version("autograd")


def build(workload: Workload, inputs: Data) -> Program:
    """Return the gradients of the workload; without gradients it would be NumPy again."""
    if not workload.wrt:
        raise Unsupported
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.special import erf, expit, logsumexp

    def softmax(x: Any, axis: int = -1) -> Any:
        e = anp.exp(x - anp.max(x, axis=axis, keepdims=True))
        return e / anp.sum(e, axis=axis, keepdims=True)

    def log_softmax(x: Any, axis: int = -1) -> Any:
        return x - logsumexp(x, axis=axis, keepdims=True)

    def put(x: Any, index: Any, value: Any) -> Any:
        raise Unsupported

    m = Vocabulary(anp, softmax=softmax, log_softmax=log_softmax, logsumexp=logsumexp, sigmoid=expit, erf=erf, put=put)
    names = list(inputs)

    def cost(params: tuple[Any, ...], *batch: Any) -> Any:
        values = dict(zip(given, batch, strict=True)) | dict(zip(workload.wrt, params, strict=True))
        return workload.expression(m, *(values[name] for name in names))

    given = [name for name in names if name not in workload.wrt]
    slopes = autograd.value_and_grad(cost)
    params = tuple(np.array(inputs[name]) for name in workload.wrt)

    def gradients(*batch: Any) -> Any:
        value, found = slopes(params, *batch)
        return value, *found

    def step(*batch: Any) -> Any:
        value, found = slopes(params, *batch)
        for p, g in zip(params, found, strict=True):
            p -= workload.rate * g
        return value

    def results(output: Any) -> list[np.ndarray]:
        return [np.asarray(value) for value in ((output, *params) if workload.rate else output)]

    return Program(step if workload.rate else gradients, tuple(inputs[name] for name in given), results)


def environment(folder: Path) -> dict[str, str]:
    """autograd keeps nothing on disk."""
    return {}
