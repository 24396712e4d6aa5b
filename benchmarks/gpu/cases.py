"""What is measured on a GPU: formulas as those of ``benchmarks.workloads``, at sizes by the bytes that a call moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.records import Data, Workload
from benchmarks.workloads import WORKLOADS

__all__ = ["CASES", "Case"]

_OF = WORKLOADS if isinstance(WORKLOADS, Mapping) else {w.name: w for w in WORKLOADS}


@dataclass(frozen=True)
class Case:
    """A workload whose size follows from the bytes that a call moves, or is ``size`` elements where it is small.

    ``arrays`` of the size of an input are read and written in all; ``columns`` are those of a matrix, 0 of a vector.
    The goal is ``share``, of the bandwidth of a copy, or ``microseconds`` for a call.
    """

    name: str
    workload: Workload
    dtype: str
    arrays: int
    columns: int = 0
    size: int = 0
    share: float = 0.0
    microseconds: float = 0.0

    def inputs(self, moved: int) -> Data:
        """The inputs of a call that moves about so many bytes."""
        count = max(moved // (self.arrays * np.dtype(self.dtype).itemsize), 1)
        count = min(count, self.size) if self.size else count
        rng = np.random.default_rng(0)
        if self.columns:
            return self.workload.data(rng, max(count // self.columns, 1), self.columns, self.dtype)
        return self.workload.data(rng, count, self.dtype)

    def bytes(self, inputs: Data) -> int:
        """The bytes that a call reads and writes."""
        return self.arrays * next(iter(inputs.values())).nbytes


def _vectors(names: str) -> Callable[..., Data]:
    def data(rng: np.random.Generator, n: int, dtype: str) -> Data:
        return {name: rng.standard_normal(n, dtype=np.dtype(dtype).type) for name in names}

    return data


def _matrix(rng: np.random.Generator, rows: int, columns: int, dtype: str) -> Data:
    return {"x": rng.standard_normal((rows, columns), dtype=np.dtype(dtype).type)}


def _made(name: str, names: str, formula: Callable[..., Any], **options: Any) -> Workload:
    return Workload(name, {}, (), _vectors(names), formula, **options)


def _like(name: str, workload: str) -> Workload:
    found = _OF[workload]

    def data(rng: np.random.Generator, n: int, dtype: str) -> Data:
        shape = (n,) if workload.startswith("ocean") else n
        return found.data(rng, shape, dtype)

    return Workload(
        name, {}, (), data, found.formula, found.reference, found.wrt, found.rate, found.pointwise, found.peers
    )


def _layer_norm(m: Any, x: Any) -> Any:
    centred = x - m.mean(x, axis=1, keepdims=True)
    return centred / m.sqrt(m.mean(centred * centred, axis=1, keepdims=True) + 1e-5)


def _cases() -> list[Case]:
    found = []
    for dtype in ("float32", "float64"):
        f = f"f{np.dtype(dtype).itemsize}"
        pointwise = {
            "2 x + y": (_made("2 x + y", "xy", lambda m, x, y: 2 * x + y), 3),
            "tanh": (_made("tanh", "x", lambda m, x: m.tanh(x) * x + 1), 2),
        }
        for name, (workload, arrays) in pointwise.items():
            found.append(Case(f"elementwise/{name} {f}", workload, dtype, arrays, share=0.9))
        sums = {
            "sum": (_made("sum", "x", lambda m, x: m.sum(x * x)), 1),
            "max": (_made("max", "x", lambda m, x: m.max(x)), 1),
            "dot": (_made("dot", "xy", lambda m, x, y: m.sum(x * y * y)), 2),
        }
        for name, (workload, arrays) in sums.items():
            found.append(Case(f"whole/{name} {f}", workload, dtype, arrays, share=0.9))
        rows = {
            "softmax": Workload("softmax", {}, (), _matrix, lambda m, x: m.softmax(x, axis=1)),
            "layer norm": Workload("layer norm", {}, (), _matrix, _layer_norm),
        }
        for name, workload in rows.items():
            for columns in (128, 1024, 8192, 100_000):
                found.append(Case(f"rows/{name} {columns} {f}", workload, dtype, 2, columns, share=0.85))
        found.append(Case(f"black-scholes/greeks {f}", _like("greeks", "black-scholes/greeks"), dtype, 10))
        found.append(Case(f"ocean/density {f}", _like("density", "ocean/density"), dtype, 4))
    small = {
        "x + y": _made("x + y", "xy", lambda m, x, y: x + y),
        "tanh sum": _made("tanh sum", "x", lambda m, x: m.sum(m.tanh(x))),
        "logistic": _made("logistic", "xw", lambda m, x, w: m.log(1 + m.exp(-x * w)), wrt=("w",), pointwise=True),
    }
    for name, workload in small.items():
        arrays = 1 if name == "tanh sum" else 3
        found.append(Case(f"small/{name}", workload, "float32", arrays, size=1000, microseconds=30))
    return found


CASES = tuple(_cases())
