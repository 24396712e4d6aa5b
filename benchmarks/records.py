"""What a workload is: one record, from which every peer builds its own program. Needs nothing but NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Data", "Program", "Workload", "disagreement"]

Data = Mapping[str, Any]
"""The inputs of a workload by name, in the order of its formula: arrays, or Python floats."""

_TOLERANCES = {"float64": 1e-9, "float32": 2e-4}


@dataclass(frozen=True)
class Workload:
    """One thing to compute, at some sizes.

    ``formula(m, *inputs)`` is written once for every peer that offers NumPy's vocabulary; ``m`` is that vocabulary
    (``m.exp``, ``m.softmax``, ...). What a peer computes depends on ``wrt`` and ``rate``:

    * neither: the values of the formula, one or a tuple;
    * ``wrt``: the formula is a scalar cost, the results are the cost and its gradients, derived by the peer;
    * ``wrt`` and ``rate``: the named inputs are parameters that the peer keeps, and a call is one step of descent,
      ``p - rate * gradient``; the results are the cost and, after one step, the new parameters.

    ``reference(*inputs)`` is NumPy by hand and the oracle: the values, or the cost and the gradients.

    A ``pointwise`` formula speaks of one element: peers of scalar formulas (SymPy, CasADi, numexpr) can run it too. Its
    cost, where there is ``wrt``, is the sum over all elements. ``peers`` restricts a workload to those named.
    """

    name: str
    sizes: Mapping[str, Mapping[str, Any]]  # label: arguments of ``data``
    quick: tuple[str, ...]  # labels that --quick keeps
    data: Callable[..., Data]  # data(rng, **size)
    formula: Callable[..., Any]
    reference: Callable[..., Any] | None = None  # None: the formula itself, in NumPy
    wrt: tuple[str, ...] = ()
    rate: float = 0.0
    pointwise: bool = False
    peers: tuple[str, ...] = ()

    def expression(self, m: Any, *values: Any) -> Any:
        """Return the formula in the vocabulary ``m``, its sum where a pointwise formula is a cost."""
        found = self.formula(m, *values)
        return m.sum(found) if self.pointwise and self.wrt else found

    def inputs(self, size: str) -> Data:
        """Return the inputs at the size with this label, the same in every process."""
        return self.data(np.random.default_rng(0), **self.sizes[size])

    def calculate(self, inputs: Data) -> tuple[Any, ...]:
        """Return what NumPy says: the values, or the cost and the gradients."""
        from benchmarks.vocabulary import numpy_vocabulary

        values = inputs.values()
        m = numpy_vocabulary()
        if self.wrt and self.pointwise and not self.reference:
            return self.expression(m, *values), *(self._slope(m, inputs, name) for name in self.wrt)
        found = self.reference(*values) if self.reference else self.expression(m, *values)
        return found if isinstance(found, tuple) else (found,)

    def _slope(self, m: Any, inputs: Data, name: str) -> np.ndarray:
        """Return the derivative of each element by an imaginary step, too small to be seen in the value."""
        step = 1e-30
        moved = {**inputs, name: inputs[name].astype(np.float64) + 1j * step}
        return (np.imag(self.formula(m, *moved.values())) / step).astype(inputs[name].dtype)

    def expected(self, inputs: Data) -> list[np.ndarray]:
        """Return the results that every peer must give, the parameters after one step among them."""
        found = self.calculate(inputs)
        if self.rate:
            cost, *gradients = found
            steps = zip(self.wrt, gradients, strict=True)
            found = (cost, *(inputs[name] - self.rate * gradient for name, gradient in steps))
        return [np.asarray(value) for value in found]


@dataclass(frozen=True)
class Program:
    """A workload as one peer runs it: ``function(*arguments)``.

    ``results`` turns what a call returned into the arrays to check. ``statement`` is the call as it is timed; a peer
    that returns before it has finished waits in it, with ``wait``.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    results: Callable[[Any], list[np.ndarray]]
    wait: Callable[[Any], Any] | None = None

    @property
    def statement(self) -> str:
        """The call as Python text, over the names of ``namespace``."""
        call = f"function({', '.join(f'argument{i}' for i in range(len(self.arguments)))})"
        return f"wait({call})" if self.wait else call

    @property
    def namespace(self) -> dict[str, Any]:
        """What the names in ``statement`` mean."""
        arguments = {f"argument{i}": value for i, value in enumerate(self.arguments)}
        return {"function": self.function, "wait": self.wait} | arguments


def disagreement(found: list[np.ndarray], expected: list[np.ndarray]) -> str | None:
    """Say how ``found`` differs from what NumPy says, None if it does not: in number, shape, dtype or values.

    >>> disagreement([np.ones(2)], [np.ones(2)])
    >>> disagreement([np.ones(2)], [np.array([1.0, 1.1])])
    'result 0 is off by 0.1 at values of 1.05'
    """
    if len(found) != len(expected):
        return f"{len(found)} results, not {len(expected)}"
    for i, (got, want) in enumerate(zip(found, expected, strict=True)):
        if (got.shape, got.dtype) != (want.shape, want.dtype):
            return f"result {i} is {got.dtype}{got.shape}, not {want.dtype}{want.shape}"
        tolerance = _TOLERANCES.get(str(want.dtype), 0.0)
        scale = float(np.abs(want).mean(dtype=np.float64)) if want.size else 0.0
        if not np.allclose(got, want, rtol=tolerance, atol=tolerance * scale):
            worst = float(np.abs(np.subtract(got, want, dtype=np.float64)).max())
            return f"result {i} is off by {worst:.2g} at values of {scale:.3g}"
    return None
