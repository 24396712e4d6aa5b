"""JAX on the CPU, jitted, in 64 bits; a call is timed until its results are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary


def load() -> str:
    """Import JAX as its users do, and return its version."""
    import jax
    import jax.numpy

    return str(jax.__version__)


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload under ``jax.jit``; the parameters of a descent are donated from step to step."""
    import jax
    import jax.numpy as jnp

    m = Vocabulary(
        jnp,
        softmax=jax.nn.softmax,
        log_softmax=jax.nn.log_softmax,
        logsumexp=jax.scipy.special.logsumexp,
        sigmoid=jax.nn.sigmoid,
        erf=jax.scipy.special.erf,
        put=lambda x, i, v: x.at[i].set(v),
        correlate2d=lambda x, w: jax.lax.conv(x, w, (1, 1), "VALID"),
        loop=jax.lax.scan,
        repeat_while=_repeat_while,
        inv=jnp.linalg.inv,
        logdet=lambda x: jnp.linalg.slogdet(x)[1],
    )
    arguments = {name: value if isinstance(value, float) else jnp.asarray(value) for name, value in inputs.items()}

    def formula(*values: Any) -> Any:
        return workload.expression(m, *values)

    if not workload.wrt:
        return Program(jax.jit(formula), tuple(arguments.values()), _arrays, _wait)

    positions = tuple(list(inputs).index(name) for name in workload.wrt)
    with_gradients = jax.value_and_grad(formula, positions)
    if not workload.rate:
        return Program(jax.jit(with_gradients), tuple(arguments.values()), _arrays, _wait)

    given = [name for name in inputs if name not in workload.wrt]

    def step(params: tuple[Any, ...], *batch: Any) -> Any:
        values = dict(zip(given, batch, strict=True)) | dict(zip(workload.wrt, params, strict=True))
        cost, gradients = with_gradients(*(values[name] for name in inputs))
        return cost, tuple(p - workload.rate * g for p, g in zip(params, gradients, strict=True))

    jitted = jax.jit(step, donate_argnums=0)
    params = tuple(arguments[name] for name in workload.wrt)

    def advance(*batch: Any) -> Any:
        nonlocal params
        cost, params = jitted(params, *batch)
        return cost, params

    return Program(advance, tuple(arguments[name] for name in given), _arrays, _wait)


def _repeat_while(condition: Any, step: Any, carry: Any, most: int) -> Any:
    import jax
    import jax.numpy as jnp

    state = jax.lax.while_loop(
        lambda s: jnp.logical_and(condition(s[0]), s[1] < most), lambda s: (step(s[0]), s[1] + 1), (carry, 0)
    )
    return state[0]


def environment(folder: Path) -> dict[str, str]:
    """Compute in 64 bits on the CPU, and keep every compiled program in ``folder``."""
    return {
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _wait(output: Any) -> Any:
    """Wait for the first array: those of one program are ready together, and this is cheaper than asking each."""
    while isinstance(output, tuple):
        output = output[0]
    return output.block_until_ready()


def _arrays(output: Any) -> list[np.ndarray]:
    import jax

    return [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(output)]
