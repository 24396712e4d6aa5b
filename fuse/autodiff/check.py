"""Gradients against finite differences: ``verify_grad`` and ``numeric_grad``."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.autodiff.reverse import grad
from fuse.autodiff.sweep import op
from fuse.errors import FuseTypeError, FuseValueError, GradientError
from fuse.expr import Expr, as_expr
from fuse.types import TensorType

# Half the width of central differences: rounding (unit / eps) against truncation (eps ** 2).
_EPS = {"float16": 1e-1, "float32": 3e-3, "float64": 1e-6}
_TOLERANCE = {"float16": 1e-1, "float32": 1e-2, "float64": 1e-4}


class numeric_grad:
    """The gradient of the scalar-valued NumPy function ``f`` at ``pt`` by central differences, in ``gf``.

    ``pt`` is a float array or a list of them; ``gf`` has the same structure. ``eps`` is half the step.

    >>> numeric_grad(lambda x: (x ** 2).sum(), np.array([1.0, 2.0])).gf.round(6)
    array([2., 4.])
    """

    type_eps = _EPS

    def __init__(self, f: Callable[..., Any], pt: Any, eps: float | None = None, out_type: Any = None) -> None:
        packed = isinstance(pt, (list, tuple))
        points = [np.array(p) for p in (pt if packed else [pt])]
        narrowest = _narrowest([*points, *([np.empty(0, out_type)] if out_type is not None else [])])
        step = _EPS[narrowest] if eps is None else eps
        gradients = [np.zeros(p.shape, p.dtype) for p in points]
        for point, gradient in zip(points, gradients, strict=True):
            for index in np.ndindex(point.shape):
                here = point[index]
                point[index] = here + step
                high, x_high = float(f(*points)), float(point[index])
                point[index] = here - step
                low, x_low = float(f(*points)), float(point[index])
                point[index] = here
                gradient[index] = (high - low) / (x_high - x_low)
        self.gf = gradients if packed else gradients[0]

    @staticmethod
    def abs_rel_err(a: Any, b: Any) -> tuple[Any, Any]:
        """Absolute and relative differences, elementwise; the relative one against ``|a| + |b|``."""
        difference = np.abs(a - b)
        return difference, difference / np.maximum(np.abs(a) + np.abs(b), 1e-8)

    def abs_rel_errors(self, g_pt: Sequence[Any]) -> list[tuple[Any, Any]]:
        """``abs_rel_err`` of each gradient in ``g_pt`` against the numeric one."""
        own = self.gf if isinstance(self.gf, list) else [self.gf]
        if len(own) != len(g_pt):
            raise FuseValueError(f"there are {len(own)} numeric gradients, {len(g_pt)} were given")
        out = []
        for i, (a, b) in enumerate(zip(own, g_pt, strict=True)):
            if a.shape != np.shape(b):
                raise FuseValueError(f"gradient {i} has shape {np.shape(b)}, its argument {a.shape}")
            out.append(self.abs_rel_err(a, b))
        return out

    def max_err(self, g_pt: Sequence[Any], abs_tol: float, rel_tol: float) -> tuple[int, int, float, float]:
        """Where the worst disagreement is: (argument, position in C order, absolute and relative difference)."""
        worst, found = -1.0, (0, 0, 0.0, 0.0)
        for i, (absolute, relative) in enumerate(self.abs_rel_errors(g_pt)):
            if not absolute.size:
                continue
            score = np.minimum(absolute / abs_tol, relative / rel_tol)
            score = np.where(np.isnan(score), np.inf, score)
            at = int(np.argmax(score))
            if score.flat[at] > worst:
                worst, found = float(score.flat[at]), (i, at, float(absolute.flat[at]), float(relative.flat[at]))
        return found


def verify_grad(
    fun: Callable[..., Any],
    pt: Sequence[Any],
    n_tests: int = 2,
    rng: Any = None,
    eps: float | None = None,
    out_type: Any = None,
    abs_tol: float | None = None,
    rel_tol: float | None = None,
    mode: Any = None,
    cast_to_output_type: bool = False,
    no_debug_ref: bool = True,
) -> None:
    """Check the gradient of ``fun`` at ``pt`` against finite differences, for random weights of its outputs.

    ``fun`` takes as many expressions as there are arrays in ``pt`` and returns one expression. ``rng`` is a NumPy
    ``RandomState``, a ``Generator``, a seed or None. A disagreement counts where it is above both ``abs_tol`` and
    ``rel_tol`` (defaults by dtype, 1e-4 for float64). ``mode`` compiles the functions; ``cast_to_output_type`` casts
    the points to ``out_type`` first; ``no_debug_ref`` is accepted for Theano programs.

    Raises GradientError, which says where, and both values.

    >>> import numpy as np, fuse.tensor as T
    >>> verify_grad(lambda x, y: T.exp(x) * y, [np.array([0.1, 0.2]), np.array([3.0, -1.0])])
    """
    from fuse.compiled import function

    points = [np.array(p, dtype=out_type if cast_to_output_type else None) for p in pt]
    for i, p in enumerate(points):
        if p.dtype.name not in _EPS:
            raise FuseTypeError(f"verify_grad differentiates with respect to floats; pt[{i}] is {p.dtype.name}")
    inputs = [TensorType(p.dtype, [1 if n == 1 else None for n in p.shape])(f"input {i}") for i, p in enumerate(points)]
    output = fun(*inputs)
    if isinstance(output, (list, tuple)):
        raise FuseTypeError("verify_grad takes a function with one output: check each of several by itself")
    narrowest = _narrowest([*points, np.empty(0, output.dtype)])
    abs_tol = _TOLERANCE[narrowest] if abs_tol is None else abs_tol
    rel_tol = _TOLERANCE[narrowest] if rel_tol is None else rel_tol
    options: dict[str, Any] = {"mode": mode, "on_unused_input": "ignore"}
    value = function(inputs, output, **options)(*points)
    weights = TensorType(output.type.dtype, output.type.shape)("weights")
    cost = _weighted_sum(output, weights)
    cost_of = function([*inputs, weights], cost, **options)
    gradients_of = function([*inputs, weights], grad(cost, inputs, disconnected_inputs="ignore"), **options)
    uniform = _uniform(rng)
    for test in range(n_tests):
        drawn = np.asarray(uniform(value.shape) + 0.5, dtype=output.type.dtype)
        numeric = numeric_grad(lambda *xs, w=drawn: cost_of(*xs, w), points, eps, out_type or output.type.dtype)
        symbolic = gradients_of(*points, drawn)
        which, at, absolute, relative = numeric.max_err(symbolic, abs_tol, rel_tol)
        if not (absolute <= abs_tol or relative <= rel_tol):
            raise GradientError(
                f"the gradient disagrees with finite differences in test {test}, argument {which} (shape "
                f"{points[which].shape}), position {np.unravel_index(at, points[which].shape)} where the argument is "
                f"{points[which].flat[at]}: symbolic {symbolic[which].flat[at]}, numeric {numeric.gf[which].flat[at]}; "
                f"absolute difference {absolute:.3g} (allowed {abs_tol:g}), "
                f"relative {relative:.3g} (allowed {rel_tol:g})"
            )


def _weighted_sum(output: Expr, weights: Expr) -> Expr:
    product = op("mul", weights, as_expr(output))
    if not product.type.ndim:
        return product
    return op("sum", product, axis=tuple(range(product.type.ndim)), dtype=product.type.dtype)


def _narrowest(arrays: Sequence[Any]) -> str:
    names = [a.dtype.name for a in arrays if a.dtype.name in _EPS]
    return min(names or ["float64"], key=lambda n: np.dtype(n).itemsize)


def _uniform(rng: Any) -> Callable[[tuple[int, ...]], Any]:
    """Uniform draws from a RandomState (or the module numpy.random), a Generator, a seed, or None."""
    if rng is None or isinstance(rng, (int, np.integer)):
        rng = np.random.default_rng(rng)
    return rng.random if hasattr(rng, "random") and not hasattr(rng, "rand") else lambda shape: rng.rand(*shape)


verify_grad.E_grad = GradientError  # type: ignore[attr-defined]
__all__ = ["GradientError", "numeric_grad", "verify_grad"]
