"""PyTensor with its Numba backend, the default of PyTensor 3."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import theano_like
from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary


def load() -> str:
    """Import PyTensor as its users do, and return its version."""
    import pytensor
    import pytensor.tensor

    return str(pytensor.__version__)


def build(workload: Workload, inputs: Data, mode: str = "NUMBA") -> Program:
    """Return the workload as a ``pytensor.function`` in this mode."""
    import pytensor
    import pytensor.tensor as pt
    from pytensor.tensor.special import log_softmax, softmax

    m = Vocabulary(
        pt, softmax=softmax, log_softmax=log_softmax, put=lambda x, i, v: pt.set_subtensor(x[i], v),
        loop=_loop, repeat_while=_repeat_while, inv=pt.linalg.inv, logdet=lambda x: pt.linalg.slogdet(x)[1],
    )
    function = partial(pytensor.function, mode=mode)
    with pytensor.config.change_flags(floatX=theano_like.precision(inputs)):
        program = theano_like.build(workload, inputs, m, pytensor.shared, pytensor.grad, function)
    # its users' advice for small calls; Python floats still need the conversion that this skips
    compiled: Any = program.function
    compiled.trust_input = all(isinstance(value, np.ndarray) for value in inputs.values())
    return program


def _loop(step: Any, carry: Any, xs: Any, n: Any) -> Any:
    """A loop in carry style as PyTensor's users write it."""
    import pytensor

    kept = 0

    def inner(*args: Any) -> Any:
        nonlocal kept
        count = len(xs or ())
        after, ys = step(args[count : count + len(carry)], args[:count])
        kept = len(ys)
        return [*after, *ys]

    elements = [x[0].type() for x in xs or ()]
    inner(*elements, *[c.type() for c in carry])
    outputs, _ = pytensor.scan(
        inner, sequences=list(xs or ()), outputs_info=[*carry, *[None] * kept], n_steps=n, return_list=True
    )
    return tuple(o[-1] for o in outputs[: len(carry)]), tuple(outputs[len(carry) :])


def _repeat_while(condition: Any, step: Any, carry: Any, most: int) -> Any:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.scan.utils import until

    def inner(*state: Any) -> Any:
        after = step(state)
        return list(after), until(pt.invert(condition(after)))

    outputs, _ = pytensor.scan(inner, outputs_info=list(carry), n_steps=most, return_list=True)
    return tuple(o[-1] for o in outputs)


def environment(folder: Path) -> dict[str, str]:
    """Keep compiled modules in ``folder``."""
    return {
        "PYTENSOR_FLAGS": f"base_compiledir={folder / 'pytensor'}",
        "NUMBA_CACHE_DIR": str(folder / "numba"),
    }
