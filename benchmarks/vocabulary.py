"""The words that formulas use beyond a peer's own array module, under one name each.

Beside NumPy's own names: ``softmax``, ``log_softmax``, ``logsumexp``, ``sigmoid``, ``erf``, ``put(x, index, value)``
(a copy of ``x`` with ``x[index] = value``), ``correlate2d(x, w)`` (of images and filters, channels
second). Peers with compiled loops have ``inv`` and ``logdet`` of a matrix; ``loop(step, carry, xs, n)``, where
``step(carry, x)`` gives the next carry and what is kept, all of them tuples, and returns the last carry and what was
kept; and ``repeat_while(condition, step, carry, most)``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Vocabulary", "numpy_vocabulary"]


class Vocabulary:
    """A peer's array module, with ``words`` that stand elsewhere in it or under other names.

    >>> import numpy
    >>> m = Vocabulary(numpy, twice=lambda x: x + x)
    >>> float(m.twice(m.sqrt(4.0)))
    4.0
    """

    def __init__(self, module: Any, **words: Any) -> None:
        self._module = module
        self.__dict__.update(vars(module) | words)  # as fast to look up as in the module itself

    def __getattr__(self, word: str) -> Any:  # what the module makes on demand
        return getattr(self._module, word)


def numpy_vocabulary() -> Vocabulary:
    """Return NumPy with the softmax family, as a NumPy user writes it, and SciPy's error function."""
    import numpy as np

    def softmax(x: Any, axis: int = -1) -> Any:
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    def log_softmax(x: Any, axis: int = -1) -> Any:
        z = x - x.max(axis=axis, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))

    def logsumexp(x: Any, axis: int | None = None) -> Any:
        top = x.max(axis=axis, keepdims=True)
        return np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis)

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    def erf(x: Any) -> Any:
        from scipy.special import erf  # SciPy is slow to import: only for formulas that need it

        return erf(x)

    def correlate2d(x: Any, w: Any) -> Any:
        from benchmarks.workloads.images import correlated

        return correlated(x, w)

    def put(x: Any, index: Any, value: Any) -> Any:
        out = x.copy()
        out[index] = value
        return out

    def loop(step: Any, carry: Any, xs: Any, n: Any) -> Any:
        kept = []
        for t in range(len(xs[0]) if n is None else n):
            carry, ys = step(carry, tuple(x[t] for x in xs or ()))
            kept.append(ys)
        return carry, tuple(np.array(column) for column in zip(*kept, strict=True))

    def repeat_while(condition: Any, step: Any, carry: Any, most: int) -> Any:
        for _ in range(most):
            if not condition(carry):
                break
            carry = step(carry)
        return carry

    return Vocabulary(
        np, softmax=softmax, log_softmax=log_softmax, logsumexp=logsumexp, sigmoid=sigmoid, erf=erf, put=put,
        correlate2d=correlate2d, loop=loop, repeat_while=repeat_while, inv=np.linalg.inv,
        logdet=lambda x: np.linalg.slogdet(x)[1],
    )
