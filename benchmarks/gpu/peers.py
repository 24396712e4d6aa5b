"""The peers on a GPU: a workload as each runs it, on arrays that are in the card's memory already."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.peers import with_fuse, with_jax, with_torch_compile
from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary

__all__ = ["PEERS", "Missing", "available"]


class Missing(Exception):
    """A workload that a peer does not have."""


def fuse_program(workload: Workload, inputs: Data) -> Program:
    """``fuse.function(device="cuda")``."""
    import fuse
    from fuse.codegen.cuda_array import to_device

    with fuse.config.change_flags(device="cuda"):
        program = with_fuse.build(workload, inputs)
    arguments = tuple([to_device(np.asarray(a)) for a in program.arguments])

    def results(output: Any) -> list[np.ndarray]:
        return [np.asarray(a) for a in (output if isinstance(output, (list, tuple)) else [output])]

    return replace(program, arguments=arguments, results=results)


def jax_program(workload: Workload, inputs: Data) -> Program:
    """``jax.jit``, on JAX's own stream: a call is over when its results are there."""
    import jax

    jax.config.update("jax_enable_x64", True)
    if jax.default_backend() != "gpu":
        raise Missing("this JAX has no GPU")
    return with_jax.build(workload, inputs)


def torch_program(workload: Workload, inputs: Data) -> Program:
    """``torch.compile``."""
    import torch

    if not torch.cuda.is_available():
        raise Missing("this PyTorch has no GPU")
    program = with_torch_compile.build(workload, inputs)

    def results(output: Any) -> list[np.ndarray]:
        flat = output if isinstance(output, tuple) else (output,)
        return [value.detach().cpu().numpy() for value in flat]

    return replace(program, arguments=tuple([a.cuda() for a in program.arguments]), results=results)


def cupy_program(workload: Workload, inputs: Data) -> Program:
    """CuPy as it is written by its users: a kernel for each operation."""
    if workload.wrt:
        raise Missing("CuPy has no gradients")
    import cupy
    from cupyx.scipy import special

    def softmax(x: Any, axis: int) -> Any:
        e = cupy.exp(x - x.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    m = Vocabulary(cupy, softmax=softmax, erf=special.erf)

    def value(*values: Any) -> Any:
        return workload.expression(m, *values)

    return Program(value, tuple([cupy.asarray(a) for a in inputs.values()]), lambda out: [cupy.asnumpy(out)])


PEERS: dict[str, tuple[str, Callable[[Workload, Data], Program]]] = {
    "fuse": ("fuse", fuse_program), "jax": ("jax", jax_program), "torch": ("torch", torch_program),
    "cupy": ("cupy", cupy_program),
}  # fmt: skip


def available(names: list[str]) -> list[str]:
    """Those of the peers that are installed, with settings that let them share a card."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return [name for name in names if find_spec(PEERS[name][0]) is not None]
