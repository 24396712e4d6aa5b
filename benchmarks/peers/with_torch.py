"""PyTorch as it is written by its users: eager operations, gradients from the tape, descents in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary


def load() -> str:
    """Import PyTorch and return its version."""
    import torch

    return str(torch.__version__)


def vocabulary() -> Vocabulary:
    """Return torch under NumPy's names."""
    import torch

    def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return x.mean() if axis is None else x.mean(dim=axis, keepdim=keepdims)

    def total(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return x.sum() if axis is None else x.sum(dim=axis, keepdim=keepdims)

    def highest(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return x.amax() if axis is None else x.amax(dim=axis, keepdim=keepdims)

    def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return x.var(correction=0) if axis is None else x.var(dim=axis, correction=0, keepdim=keepdims)

    def maximum(x: Any, y: Any) -> Any:
        return torch.maximum(x, y) if isinstance(y, torch.Tensor) else torch.clamp(x, min=y)

    def put(x: Any, index: Any, value: Any) -> Any:
        out = x.clone()
        out[index] = value
        return out

    return Vocabulary(
        torch,
        dot=torch.matmul,
        mean=mean,
        sum=total,
        max=highest,
        var=var,
        maximum=maximum,
        put=put,
        correlate2d=torch.nn.functional.conv2d,
        concatenate=lambda parts, axis=0: torch.cat(tuple(parts), dim=axis),
        stack=lambda parts, axis=0: torch.stack(tuple(parts), dim=axis),
        transpose=lambda x, axes: x.permute(*axes),
        softmax=lambda x, axis=-1: torch.softmax(x, dim=axis),
        log_softmax=lambda x, axis=-1: torch.log_softmax(x, dim=axis),
        logsumexp=lambda x, axis: torch.logsumexp(x, dim=axis),
    )


def tensors(inputs: Data) -> dict[str, Any]:
    """Return the inputs as tensors that share their memory."""
    import torch

    return {name: torch.from_numpy(np.array(value)) for name, value in inputs.items()}


def arrays(output: Any) -> list[np.ndarray]:
    """Return the tensors of a result, in a tuple or not, as arrays."""
    flat = output if isinstance(output, tuple) else (output,)
    return [array for value in flat for array in (arrays(value) if isinstance(value, tuple) else [value.numpy()])]


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload as plain calls on tensors."""
    import torch

    m, arguments = vocabulary(), tensors(inputs)
    if not workload.wrt:

        @torch.no_grad()
        def value(*values: Any) -> Any:
            return workload.expression(m, *values)

        return Program(value, tuple(arguments.values()), arrays)

    params = [arguments[name].clone().requires_grad_(True) for name in workload.wrt]
    leaves = dict(zip(workload.wrt, params, strict=True))
    if not workload.rate:

        def gradients(*values: Any) -> Any:
            cost = workload.expression(m, *values)
            return cost.detach(), *torch.autograd.grad(cost, [values[i] for i in positions])

        positions = [list(inputs).index(name) for name in workload.wrt]
        return Program(gradients, tuple((arguments | leaves).values()), arrays)

    given = [name for name in inputs if name not in workload.wrt]

    def step(*batch: Any) -> Any:
        values = dict(zip(given, batch, strict=True)) | leaves
        cost = workload.expression(m, *(values[name] for name in inputs))
        slopes = torch.autograd.grad(cost, params)
        with torch.no_grad():
            for p, g in zip(params, slopes, strict=True):
                p.sub_(g, alpha=workload.rate)
        return cost.detach()

    def results(cost: Any) -> list[np.ndarray]:
        return arrays((cost, *(p.detach() for p in params)))

    return Program(step, tuple(arguments[name] for name in given), results)


def environment(folder: Path) -> dict[str, str]:
    """PyTorch without its compiler keeps nothing on disk."""
    return {}
