"""Solutions as expressions: roots and minima whose derivatives follow from the implicit function theorem.

With ``F(z(p), p) = 0`` the solution moves by ``dz = -J^-1 (dF/dp) dp``, ``J = dF/dz``: a cotangent ``g`` of it becomes
``-(dF/dp)^T J^-T g``, whatever the method was that found it (Griewank & Walther, Evaluating Derivatives, 2008, chapter
15). For a minimum F is the gradient of the cost.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuse.autodiff.derived import jacobian
from fuse.autodiff.forward import tangents as push_tangents
from fuse.autodiff.reverse import grad
from fuse.autodiff.sweep import cotangents
from fuse.compiled import function
from fuse.errors import DisconnectedInputError, DTypeError, FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import CONSTANT, INPUT, Expr, as_expr, substitute, toposort
from fuse.forks import cached_property
from fuse.frontend.elementwise import cast, neg
from fuse.frontend.join import concatenate
from fuse.frontend.layout import dimshuffle, reshape
from fuse.frontend.sizes import as_size_expr, size_product, sizes_of
from fuse.frontend.systems import solve
from fuse.op import DISCONNECTED, Op
from fuse.optimize.methods import WITH_JACOBIAN, reads
from fuse.types import TensorType

Array = Any
POLISH = 10  # Newton's steps at most behind SciPy's method, each of which has to bring the residual down
NEAR = 1e-8  # a Newton step relative to the solution that tells that it is one, where SciPy's method is not sure


class Equations:
    """``F(z, *params) = 0``, or the least ``cost(z, *params)``, for a vector ``z``: what a node solves."""

    def __init__(
        self, z: Expr, params: Sequence[Expr], residuals: Expr, cost: Expr | None, method: str | None, name: str
    ) -> None:
        self.z, self.params, self.residuals, self.cost = z, list(params), residuals, cost
        self.method, self.name = method, name

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def derivative(self) -> Expr:
        """The Jacobian of the residuals."""
        return jacobian(self.residuals, self.z)

    @cached_property
    def compiled(self) -> Any:
        """Functions of (z, *params): residuals, their Jacobian, and (cost, gradient) where there is a cost."""
        inputs = [self.z, *self.params]
        options: dict[str, Any] = {"on_unused_input": "ignore", "no_default_updates": True}
        first = function(inputs, self.residuals, **options)
        both = None if self.cost is None else function(inputs, [self.cost, self.residuals], **options)
        return first, function(inputs, self.derivative, **options), both

    def at(self, exprs: Sequence[Expr], z: Expr, params: Sequence[Expr]) -> list[Expr]:
        """Formulas of this problem at a solution and parameters of the graph around."""
        return substitute(exprs, {self.z: z, **dict(zip(self.params, params, strict=True))})

    # ------------------------------------------------------------ values
    def solve(self, start: Array, *params: Array) -> Array:
        """The solution that SciPy's method finds from ``start``; raises FuseValueError where it finds none."""
        if not start.size:
            return start.copy()
        residuals, _, _ = self.compiled
        size = residuals(start, *params).size
        if size != start.size:
            raise ShapeError(f"{self.name} needs as many equations as unknowns: {size} and {start.size}")
        found = self._searched(start, params)
        return self._polished(found, params)

    def _searched(self, start: Array, params: Sequence[Array]) -> Any:
        from scipy import optimize

        residuals, derivative, both = self.compiled
        if both is None:
            method = self.method or "hybr"
            jac = (lambda z: derivative(z, *params)) if method in WITH_JACOBIAN else None
            return optimize.root(lambda z: residuals(z, *params), start, jac=jac, method=method)

        def value(z: Array) -> Any:
            cost, gradient = both(z, *params)
            return float(cost), gradient

        method = self.method or "BFGS"
        known = reads(method)
        if not known:
            return optimize.minimize(lambda z: value(z)[0], start, method=method)
        wants = {"hess": lambda z: derivative(z, *params)} if {"hess", "hessp"} & set(known) else {}
        return optimize.minimize(value, start, jac=True, method=method, **wants)

    def _polished(self, found: Any, params: Sequence[Array]) -> Array:
        """The solution to the last digits: SciPy's methods stop at about half of them, derivatives would show it."""
        residuals, derivative, _ = self.compiled
        z = np.array(found.x, np.float64)
        left, near = _norm(residuals(z, *params)), False
        for _ in range(POLISH):
            if not left:
                break
            try:
                step = np.linalg.solve(derivative(z, *params), residuals(z, *params))
            except np.linalg.LinAlgError:
                break
            near = _norm(step) <= NEAR * (1 + _norm(z))
            after = _norm(residuals(z - step, *params))
            if not after < left:
                break
            z, left = z - step, after
        if not (found.success or near or not left):
            raise FuseValueError(
                f"{self.name}: no solution found from this start: {found.message} (largest residual {left:.3g}); "
                f"give a start that is nearer, or another method"
            )
        return z


def _norm(x: Array) -> float:
    found = float(np.max(np.abs(x))) if np.size(x) else 0.0
    return found if found == found else float("inf")


# ---------------------------------------------------------------- the op
class _Record(Op):
    """The record of the one op here, which pickles by name."""

    def __reduce__(self) -> Any:
        return _record, ()


def _record() -> Op:
    return _SOLUTION


def _values(start: Array, *params: Array, problem: Equations) -> Array:
    return problem.solve(np.asarray(start, np.float64), *params)


def _infer(start: Expr, *params: Expr, problem: Equations) -> TensorType:
    return TensorType("float64", start.type.shape)


def pulled(g: Expr, out: Expr, params: Sequence[Expr], problem: Equations) -> list[Any]:
    """The cotangents of the parameters where that of the solution ``out`` is ``g``."""
    [derivative] = problem.at([problem.derivative], out, params)
    multiplier = neg(solve(dimshuffle(derivative, 1, 0), g))
    inner = problem.z.type()  # stands for the multiplier while the inner formula is differentiated
    wanted = [p for p in problem.params if p.type.dtype in ("float32", "float64")]
    found: dict[Expr, Any] = cotangents([(problem.residuals, inner)], wanted)
    live = [p for p in wanted if isinstance(found[p], Expr)]
    outer = {problem.z: out, inner: multiplier, **dict(zip(problem.params, params, strict=True))}
    of = dict(zip(live, substitute([found[p] for p in live], outer), strict=True))
    return [of.get(p, found.get(p, DISCONNECTED)) for p in problem.params]


def _pull(g: Expr, out: Expr, start: Expr, *params: Expr, problem: Equations) -> list[Any]:
    return [DISCONNECTED, *pulled(g, out, params, problem)]


def _push(tangents: Sequence[Any], out: Expr, start: Expr, *params: Expr, problem: Equations) -> Any:
    moving = {p: t for p, t in zip(problem.params, tangents[1:], strict=True) if isinstance(t, Expr)}
    inner: dict[Expr, Any] = {p: p.type() for p in moving}
    [moved] = push_tangents([problem.residuals], dict(inner))
    if not isinstance(moved, Expr):
        return None
    outer = {problem.z: out, **dict(zip(problem.params, params, strict=True))}
    outer |= {inner[p]: t for p, t in moving.items()}
    derivative, right = substitute([problem.derivative, moved], outer)
    return neg(solve(derivative, right))


_SOLUTION = _Record(
    "solution", "opaque", _values, infer=_infer, shape=lambda node, start, *params: start, grad=_pull, jvp=_push,
    doc="Where equations hold, or a cost is least, found from a start; derivatives by the implicit function theorem.",
)


# ---------------------------------------------------------------- public
def root_of(f: Any, x: Any, start: Any, method: str | None = None) -> Any:
    """Where ``f`` is zero, as an expression: the value of ``x`` (or of a list of variables) found from ``start``.

    ``f`` is an expression of the input variables ``x`` with as many elements, or a list of such; ``start`` is a number,
    an array or an expression in the shape of ``x``. Everything else in ``f`` may be a variable of the graph around: the
    result is differentiable with respect to it, forward and in reverse, any number of times, by the implicit function
    theorem. With respect to ``start`` the derivative is zero. ``method`` is one of ``scipy.optimize.root``
    (``'hybr'``); Newton's steps follow it, so that the solution is exact to about rounding.

    Raises FuseValueError at run time where no root is found, or where the Jacobian is singular there in a gradient.

    >>> import fuse, fuse.tensor as T
    >>> x, a = T.dscalar("x"), T.dscalar("a")
    >>> r = root_of(x**3 + x - a, x, start=1.0)
    >>> [float(v) for v in fuse.function([a], [r, fuse.grad(r, a)])(10.0)]  # da/dx = 3 x² + 1 = 13
    [2.0, 0.07692307692307693]
    """
    listed = list(f) if isinstance(f, (list, tuple)) else [f]
    return _solution(listed, x, start, method, None, "root_of")


def argmin_of(cost: Any, x: Any, start: Any, method: str | None = None) -> Any:
    """Where the scalar ``cost`` is least, as an expression: the value of ``x`` (or of a list) found from ``start``.

    As ``root_of`` for the gradient of ``cost``: differentiable with respect to all else in it. ``method`` is one of
    ``scipy.optimize.minimize`` (``'BFGS'``).

    >>> import fuse, fuse.tensor as T
    >>> w, penalty = T.dvector("w"), T.dscalar("penalty")
    >>> data, target = T.constant([[1.0, 0.0], [0.0, 2.0]]), T.constant([1.0, 1.0])
    >>> ridge = argmin_of(((data.dot(w) - target) ** 2).sum() + penalty * (w**2).sum(), w, start=[0.0, 0.0])
    >>> f = fuse.function([penalty], [ridge, fuse.gradient.jacobian(ridge, penalty)])
    >>> [value.round(6).tolist() for value in f(1.0)]
    [[0.5, 0.4], [-0.25, -0.08]]
    """
    if not isinstance(cost, Expr) or cost.type.ndim or cost.type.dtype not in ("float32", "float64"):
        what = cost.type.describe() if isinstance(cost, Expr) else type(cost).__name__
        raise ShapeError(f"argmin_of needs a real scalar cost, not a {what}")
    return _solution([cost], x, start, method, cost, "argmin_of")


def _solution(f: list[Any], x: Any, start: Any, method: str | None, cost: Expr | None, name: str) -> Any:
    single = not isinstance(x, (list, tuple))
    variables, starts = ([x], [start]) if single else (list(x), list(start))
    if len(starts) != len(variables):
        raise ShapeError(f"{name} got {len(variables)} variables and {len(starts)} starts")
    for v in variables:
        if not isinstance(v, Expr) or v.op is not INPUT:
            raise FuseTypeError(f"{name} finds input variables, such as fuse.tensor.dvector('x'), not {v!r:.60}")
        if v.type.dtype not in ("float32", "float64"):
            raise DTypeError(f"{name} finds variables of real numbers; {v.name or 'one'} is a {v.type.describe()}")
    begins = [_as_start(s, v, name) for s, v in zip(starts, variables, strict=True)]
    equations = [e if isinstance(e, Expr) else as_expr(e) for e in f]
    for e in equations:
        if e.type.dtype not in ("float32", "float64"):
            raise FuseTypeError(f"{name} needs an expression of real numbers, not a {e.type.describe()}")
    reached = set(toposort(equations))
    for v in variables:
        if v not in reached:
            raise DisconnectedInputError(f"{name}: the formula does not depend on {v.name or v}")
    z, parts, first = one_vector(variables, begins)
    equations = substitute(equations, dict(zip(variables, parts, strict=True)))
    equations, params, inner = closed(equations, z)
    if cost is None:
        residuals = joined(equations)
    else:
        [cost] = equations
        residuals = grad(cost, z)
    static = residuals.type.shape[0], first.type.shape[0]
    if None not in static and static[0] != static[1]:
        raise ShapeError(f"{name} needs as many equations as unknowns: {static[0]} and {static[1]}")
    problem = Equations(z, inner, residuals, cost, method, name)
    solved = _SOLUTION(first, *params, problem=problem)
    results = substitute(parts, {z: solved})
    for result, v in zip(results, variables, strict=True):
        if result.name is None:
            result.name = v.name
    return results[0] if single else results


def _as_start(start: Any, v: Expr, name: str) -> Expr:
    what = f"{name}: the start of {v.name or 'a variable'}"
    try:
        found = start if isinstance(start, Expr) else as_expr(np.asarray(start, v.type.dtype))
    except (TypeError, ValueError, FuseError):
        raise FuseTypeError(f"{what} is an array of numbers, not {start!r:.60}") from None
    if found.type.ndim != v.type.ndim:
        raise ShapeError(f"{what} is a {found.type.describe()}, the variable a {v.type.describe()}")
    return found


def joined(pieces: Sequence[Expr]) -> Expr:
    flat = [reshape(cast(p, "float64"), (-1,)) for p in pieces]
    return flat[0] if len(flat) == 1 else concatenate(flat)


def one_vector(variables: Sequence[Expr], starts: Sequence[Expr]) -> tuple[Expr, list[Expr], Expr]:
    """A vector variable, the variables as parts of it (in the shapes of the starts), and the vector of the starts."""
    first = joined(starts)
    z = first.type("z")
    parts, begin = [], as_expr(np.int64(0))
    for v, s in zip(variables, starts, strict=True):
        sizes = list(map(as_size_expr, sizes_of(s)))
        end = begin + as_size_expr(size_product(sizes_of(s)))
        piece = z if len(variables) == 1 else z[begin:end]
        part = piece if v.type.ndim == 1 else reshape(piece, sizes, ndim=v.type.ndim) if sizes else reshape(piece, ())
        parts.append(cast(part, v.type.dtype))
        begin = end
    return z, parts, first


def closed(formulas: Sequence[Expr], z: Expr) -> tuple[list[Expr], list[Expr], list[Expr]]:
    """(formulas of ``z`` and new variables, what these stand for, the variables).

    What does not depend on ``z`` is computed once, outside, and its derivative is taken there.
    """
    order = toposort(formulas)
    moving = {z}
    for node in order:
        if any(a in moving for a in node.args):
            moving.add(node)
    outside: dict[Expr, Expr] = {}
    for node in order:
        if node in moving:
            for a in node.args:
                if a not in moving and a.op is not CONSTANT and a not in outside:
                    outside[a] = a.type()
    return substitute(formulas, outside), list(outside), list(outside.values())
