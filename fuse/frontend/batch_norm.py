"""Batch normalisation with Theano's names: training, inference, and the bare formula.

S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
shift", 2015.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend import elementwise as ew
from fuse.frontend.axes import addbroadcast
from fuse.frontend.layout import dimshuffle
from fuse.frontend.sizes import size_product, sizes_of
from fuse.frontend.statistics import mean, var

__all__ = ["batch_normalization", "batch_normalization_test", "batch_normalization_train"]

_LEAST_EPSILON = 1e-5  # as in Theano, whose GPU library asks for it


def batch_normalization(inputs: Any, gamma: Any, beta: Any, mean: Any, std: Any, mode: str = "low_mem") -> Expr:
    """``(inputs - mean) * gamma / std + beta``; ``mode`` ('low_mem' or 'high_mem') is accepted and has no effect.

    Raises FuseValueError for another mode.

    >>> batch_normalization([1.0, 3.0], 1.0, 0.0, 2.0, 2.0).eval()
    array([-0.5,  0.5])
    """
    if mode not in ("low_mem", "high_mem"):
        raise FuseValueError(f"mode is 'low_mem' or 'high_mem', not {mode!r}")
    x, scale = ew.sub(as_expr(inputs), as_expr(mean)), ew.true_div(as_expr(gamma), as_expr(std))
    return ew.add(ew.mul(x, scale), as_expr(beta))


def _normalized_axes(axes: Any, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(axes that are averaged over, the others)."""
    if axes == "per-activation":
        axes = (0,)
    elif axes == "spatial":
        axes = (0, *range(2, ndim))
    elif isinstance(axes, (tuple, list, np.ndarray)):
        axes = tuple([int(a) for a in axes])
    else:
        raise FuseValueError(f"axes is 'per-activation', 'spatial' or a sequence of axes, not {axes!r}")
    if not axes:
        raise FuseValueError("batch normalisation needs an axis to average over")
    if min(axes) < 0 or max(axes) >= ndim:
        raise FuseValueError(f"axes {axes} of an input with {ndim} dimensions")
    return axes, tuple([a for a in range(ndim) if a not in axes])


def _epsilon(epsilon: float) -> float:
    if epsilon < _LEAST_EPSILON * (1 - 1e-6):
        raise FuseValueError(f"epsilon is at least {_LEAST_EPSILON}, not {epsilon}")
    return float(epsilon)


class _Parameters:
    """Vectors of parameters (or arrays of the input's rank) beside an input."""

    def __init__(self, x: Expr, axes: Sequence[int], kept: Sequence[int], rank: int) -> None:
        self.axes, self.kept, self.whole = tuple(axes), tuple(kept), rank == x.type.ndim
        self.rank, self.ndim = rank, x.type.ndim

    def aligned(self, value: Any, what: str) -> Expr:
        value = as_expr(value)
        if value.type.ndim != self.rank:
            raise ShapeError(f"{what} has {value.type.ndim} dimensions, gamma {self.rank}: they must be equal")
        if self.whole:
            return addbroadcast(value, *self.axes)
        return dimshuffle(value, [self.kept.index(a) if a in self.kept else "x" for a in range(self.ndim)])

    def bare(self, value: Expr) -> Expr:
        return value if self.whole else dimshuffle(value, self.kept)


def _parameters(x: Expr, gamma: Expr, axes: Any) -> _Parameters:
    axes, kept = _normalized_axes(axes, x.type.ndim)
    if gamma.type.ndim not in (x.type.ndim, len(kept)):
        raise ShapeError(
            f"gamma and beta have a dimension for each axis that is not averaged over ({len(kept)}), or as many as the "
            f"input ({x.type.ndim}), not {gamma.type.ndim}"
        )
    return _Parameters(x, axes, kept, gamma.type.ndim)


def batch_normalization_train(
    inputs: Any, gamma: Any, beta: Any, axes: Any = "per-activation", epsilon: float = 1e-4,
    running_average_factor: Any = 0.1, running_mean: Any = None, running_var: Any = None,
) -> tuple[Expr, ...]:
    """``inputs`` normalised over ``axes`` with their own mean and variance: ``(result, mean, 1 / std)``.

    ``axes`` is 'per-activation' (axis 0), 'spatial' (all but axis 1) or a sequence of axes. ``gamma`` and ``beta`` have
    a dimension for each other axis, or the rank of ``inputs``. Given ``running_mean`` and ``running_var``, the tuple
    goes on with their new values: ``(1 - factor) * old + factor * new``, the variance unbiased. Raises FuseValueError
    for an ``epsilon`` below 1e-5.

    >>> import fuse.tensor as T
    >>> x, g, b = T.matrix("x"), T.vector("g"), T.vector("b")
    >>> out, mean, invstd = batch_normalization_train(x, g, b)
    >>> mean.eval({x: [[1.0, 2.0], [3.0, 6.0]]})
    array([2., 4.])
    """
    x, gamma = as_expr(inputs), as_expr(gamma)
    parameters, epsilon = _parameters(x, gamma, axes), _epsilon(epsilon)
    if (running_mean is None) != (running_var is None):
        raise FuseValueError("running_mean and running_var are given together or not at all")
    over = parameters.axes
    average, variance = mean(x, axis=over, keepdims=True), var(x, axis=over, keepdims=True)
    one = constant(1, dtype="int8")
    inverse = ew.true_div(one, ew.sqrt(ew.add(variance, constant(epsilon, dtype=variance.type.dtype))))
    scaled = ew.mul(ew.mul(ew.sub(x, average), inverse), parameters.aligned(gamma, "gamma"))
    results = [average, inverse]
    if running_mean is not None:
        factor = as_expr(running_average_factor)
        if factor.type.dtype != x.type.dtype:
            factor = ew.cast(factor, x.type.dtype)
        keep = ew.sub(one, factor)
        count = ew.cast(as_expr(size_product([sizes_of(x)[a] for a in over])), x.type.dtype)
        unbiased = ew.mul(variance, ew.true_div(count, ew.sub(count, one)))
        for old, new, what in ((running_mean, average, "running_mean"), (running_var, unbiased, "running_var")):
            results.append(ew.add(ew.mul(parameters.aligned(old, what), keep), ew.mul(new, factor)))
    return (ew.add(scaled, parameters.aligned(beta, "beta")), *map(parameters.bare, results))


def batch_normalization_test(
    inputs: Any, gamma: Any, beta: Any, mean: Any, var: Any, axes: Any = "per-activation", epsilon: float = 1e-4
) -> Expr:
    """``inputs`` normalised over ``axes`` with a given mean and variance; the other arguments as in training.

    >>> import fuse.tensor as T
    >>> x = T.matrix("x")
    >>> batch_normalization_test(x, [1.0], [0.0], [1.0], [0.9999]).eval({x: [[1.0], [3.0]]})
    array([[0.],
           [2.]])
    """
    x, gamma = as_expr(inputs), as_expr(gamma)
    parameters, epsilon = _parameters(x, gamma, axes), _epsilon(epsilon)
    gamma, beta = parameters.aligned(gamma, "gamma"), parameters.aligned(beta, "beta")
    average, variance = parameters.aligned(mean, "mean"), parameters.aligned(var, "var")
    std = ew.sqrt(ew.add(variance, constant(epsilon, dtype=variance.type.dtype)))
    return ew.add(ew.true_div(ew.mul(ew.sub(x, average), gamma), std), beta)
