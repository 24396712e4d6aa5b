"""numexpr: pointwise formulas, written out as its text, parsed once, then called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.records import Data, Program, Workload

_FUNCTIONS = "exp expm1 log log1p log10 sqrt sin cos tan tanh arctan sinh cosh where".split()
_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "gt": ">", "lt": "<"}


class _Text:
    """A formula that writes itself down; ``constants`` collects the numbers that must not count as float64."""

    def __init__(self, text: str, constants: dict[str, np.float32]) -> None:
        self.text, self.constants = text, constants

    def of(self, pattern: str, *values: Any) -> _Text:
        """Return ``pattern`` with these values filled in."""
        return _Text(pattern.format(*map(self.written, values)), self.constants)

    def written(self, value: Any) -> str:
        if isinstance(value, _Text):
            return value.text
        if isinstance(value, int) or self.constants is _DOUBLE:
            return repr(value)
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.float32(value)
        return name

    def __neg__(self) -> _Text:
        return self.of("(-{})", self)


_DOUBLE: dict[str, np.float32] = {}


def _operators() -> None:
    for name, sign in _OPERATORS.items():
        pattern = f"({{}} {sign} {{}})"
        setattr(_Text, f"__{name}__", lambda a, b, pattern=pattern: a.of(pattern, a, b))
        setattr(_Text, f"__r{name}__", lambda a, b, pattern=pattern: a.of(pattern, b, a))


_operators()


class _Words:
    """What numexpr knows of a formula's vocabulary."""

    def __getattr__(self, word: str) -> Any:
        if word not in _FUNCTIONS:
            raise Unsupported

        def call(*values: Any) -> _Text:
            model = next(value for value in values if isinstance(value, _Text))
            return model.of(f"{word}({', '.join('{}' for _ in values)})", *values)

        return call

    def sigmoid(self, x: Any) -> Any:
        return 1 / (1 + self.exp(-x))


def load() -> str:
    """Import numexpr and return its version."""
    import numexpr

    return str(numexpr.__version__)


def build(workload: Workload, inputs: Data) -> Program:
    """Return the pointwise formula as a compiled numexpr expression."""
    if not workload.pointwise or workload.wrt:
        raise Unsupported
    import numexpr

    single = any(str(getattr(value, "dtype", "")) == "float32" for value in inputs.values())
    constants = {} if single else _DOUBLE
    found = workload.formula(_Words(), *(_Text(name, constants) for name in inputs))
    if isinstance(found, tuple):
        raise Unsupported
    values = {**inputs, **constants}
    signature = [(name, numexpr.necompiler.getType(np.asarray(value))) for name, value in values.items()]
    compiled = numexpr.NumExpr(found.text, signature, truediv=True)
    return Program(compiled, tuple(values.values()), lambda output: [np.asarray(output)])


def environment(folder: Path) -> dict[str, str]:
    """numexpr keeps nothing on disk."""
    return {}
