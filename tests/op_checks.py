"""What every table of operations checks: value, dtype, static shape, shape rule, and gradient of each case."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fuse
from fuse.expr import Expr, variable
from fuse.frontend.shape import shape_of
from fuse.op import DISCONNECTED, ZERO
from fuse.reference import evaluate
from fuse.types import TensorType


def inputs_like(arrays: Sequence[np.ndarray], static: bool) -> list[Expr]:
    """An input per array; its sizes are known at build time, or none is."""
    return [variable(TensorType(a.dtype, a.shape if static else (None,) * a.ndim)) for a in arrays]


def random_array(rng: np.random.Generator, shape: Sequence[int], dtype: str = "float64") -> np.ndarray:
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        return rng.integers(0 if kind == "u" else -5, 6, shape).astype(dtype)
    values = rng.uniform(-2, 2, shape)
    return (values + 1j * rng.uniform(-2, 2, shape) if kind == "c" else values).astype(dtype)


def check_value(out: Expr, want: Any, values: dict[Expr, Any], rtol: float = 1e-12,
    dtype: str | None = None) -> np.ndarray:
    """The reference value of ``out`` is ``want``, of its type's dtype, and of the shape that its type and rule give."""
    (got,) = evaluate([out], values)
    want = np.asarray(want)
    assert got.dtype.name == out.type.dtype
    if dtype is not None:
        assert out.type.dtype == dtype
    assert got.shape == want.shape
    assert out.type.ndim == want.ndim
    assert all(n is None or n == m for n, m in zip(out.type.shape, want.shape, strict=True)), out.type
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    sizes = shape_of(out)
    assert len(sizes) == want.ndim
    found = [n if isinstance(n, int) else int(evaluate([n], values)[0]) for n in sizes]
    assert found == list(want.shape), "shape_of"
    return got


def check_gradient(
    build: Callable[..., Expr], inputs: Sequence[Expr], arrays: Sequence[np.ndarray], eps: float = 1e-6,
    tol: float = 1e-6
) -> None:
    """The gradient of a weighted sum of ``build(*inputs)`` agrees with central differences, in every element."""
    out = build(*inputs)
    weights = np.random.default_rng(0).uniform(0.5, 1.5,
        evaluate([out], dict(zip(inputs, arrays, strict=True)))[0].shape)
    cost = (out * weights).sum()
    grads = fuse.grad(cost, list(inputs), disconnected_inputs="ignore")
    values = dict(zip(inputs, arrays, strict=True))
    found = evaluate(grads, values)
    for k, array in enumerate(arrays):
        assert found[k].shape == array.shape
        assert found[k].dtype == array.dtype
        want = np.zeros(array.shape)
        for at in np.ndindex(array.shape):
            ends = []
            for step in (eps, -eps):
                moved = array.copy()
                moved[at] += step
                ends.append(float(evaluate([cost], values | {inputs[k]: moved})[0]))
            want[at] = (ends[0] - ends[1]) / (2 * eps)
        np.testing.assert_allclose(found[k], want, rtol=tol, atol=tol)


def rule(node: Expr, g: Expr) -> tuple[Any, ...]:
    """The op's own gradient rule, unfinished as it is: for tests that look at one rule alone."""
    return tuple(node.op.grad(g, node, *node.args, **node.params))


__all__ = ["DISCONNECTED", "ZERO", "check_gradient", "check_value", "inputs_like", "random_array", "rule"]
