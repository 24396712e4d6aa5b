"""SymPy's lambdify: the pointwise formula and its derivatives as NumPy text, common subexpressions once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.records import Data, Program, Workload
from benchmarks.vocabulary import Vocabulary


def load() -> str:
    """Import SymPy and return its version."""
    import sympy

    return str(sympy.__version__)


def build(workload: Workload, inputs: Data) -> Program:
    """Return the workload through ``sympy.lambdify``."""
    if not workload.pointwise:
        raise Unsupported
    import sympy

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + sympy.exp(-x))

    m = Vocabulary(sympy, sigmoid=sigmoid, where=_where)
    symbols = {name: sympy.Symbol(name, real=True) for name in inputs}
    found = workload.formula(m, *symbols.values())
    outputs = list(found) if isinstance(found, tuple) else [found]
    outputs += [sympy.diff(found, symbols[name]) for name in workload.wrt]
    if any(str(getattr(value, "dtype", "")) == "float32" for value in inputs.values()):
        outputs = [output.evalf() for output in outputs]  # sqrt(2) would be a float64 of NumPy, 1.41... is nothing
    single = len(outputs) == 1
    compiled = sympy.lambdify(
        list(symbols.values()), outputs[0] if single else outputs, modules=["scipy", "numpy"], cse=True
    )

    def with_gradients(*values: Any) -> Any:
        value, *slopes = compiled(*values)
        return np.sum(value), *slopes

    def results(output: Any) -> list[np.ndarray]:
        return [np.asarray(output)] if single else [np.asarray(value) for value in output]

    return Program(with_gradients if workload.wrt else compiled, tuple(inputs.values()), results)


def environment(folder: Path) -> dict[str, str]:
    """SymPy keeps nothing on disk."""
    return {}


def _where(condition: Any, yes: Any, no: Any) -> Any:
    import sympy

    return sympy.Piecewise((yes, condition), (no, True))
