"""PyTorch under ``torch.compile``: one graph of value, gradients and descent through C++ kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.with_torch import arrays, load, tensors, vocabulary
from benchmarks.records import Data, Program, Workload

__all__ = ["build", "environment", "load"]


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload compiled for its shapes; the parameters of a descent are kept from step to step."""
    import torch

    torch.compiler.reset()
    m, arguments = vocabulary(), tensors(inputs)

    def formula(*values: Any) -> Any:
        return workload.expression(m, *values)

    if not workload.wrt:
        compiled = torch.compile(formula, fullgraph=True, dynamic=False)

        @torch.no_grad()
        def value(*values: Any) -> Any:
            return compiled(*values)

        return Program(value, tuple(arguments.values()), arrays)

    positions = tuple(list(inputs).index(name) for name in workload.wrt)
    slopes = torch.func.grad_and_value(formula, positions)
    if not workload.rate:

        def gradients(*values: Any) -> Any:
            found, cost = slopes(*values)
            return cost, *found

        compiled = torch.compile(gradients, fullgraph=True, dynamic=False)
        return Program(torch.no_grad()(compiled), tuple(arguments.values()), arrays)

    given = [name for name in inputs if name not in workload.wrt]

    def step(params: tuple[Any, ...], *batch: Any) -> Any:
        values = dict(zip(given, batch, strict=True)) | dict(zip(workload.wrt, params, strict=True))
        found, cost = slopes(*(values[name] for name in inputs))
        for p, g in zip(params, found, strict=True):
            p.sub_(g, alpha=workload.rate)
        return cost

    compiled = torch.compile(step, fullgraph=True, dynamic=False)
    params = tuple(arguments[name].clone() for name in workload.wrt)

    @torch.no_grad()
    def advance(*batch: Any) -> Any:
        return compiled(params, *batch)

    return Program(advance, tuple(arguments[name] for name in given), lambda cost: arrays((cost, *params)))


def environment(folder: Path) -> dict[str, str]:
    """Keep compiled kernels in ``folder``."""
    return {"TORCHINDUCTOR_CACHE_DIR": str(folder / "torch")}
