"""PyTensor's ``tensor.optimize``: minima and roots as expressions that begin at their variable's own value.

Each comes with whether it was found: where SciPy's method gives up, its last state is the result. Derivatives with
respect to all else in the formula follow from the implicit function theorem, as for ``root_of`` and ``argmin_of``.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from fuse.autodiff.derived import jacobian
from fuse.autodiff.reverse import grad
from fuse.compiled import function
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr, substitute, toposort
from fuse.forks import cached_property
from fuse.frontend.parts import part
from fuse.op import DISCONNECTED, ZERO, Op
from fuse.optimize.implicit import Array, Equations, closed, joined, one_vector, pulled
from fuse.types import TensorType, TupleType

_LIMITED = ("bounds", "constraints")  # options with which the derivative need not vanish at a solution


class Search(Equations):
    """A problem, the function of ``scipy.optimize`` that solves it, and what is handed to that."""

    kind: str
    jac: bool
    hess: bool
    options: Mapping[str, Any]

    @cached_property
    def _functions(self) -> tuple[Any, Any, Any]:
        """Of (z, *params): the cost or the residuals, their derivative (compiled when it is asked for), that of it."""
        inputs: list[Any] = [self.z, *self.params]
        options: dict[str, Any] = {"on_unused_input": "ignore", "no_default_updates": True}
        values = self.residuals if self.cost is None else self.cost
        first = self.derivative if self.cost is None else self.residuals
        made = [function(inputs, values, **options), None, None]
        if self.jac:
            made[1] = function(inputs, first, **options)
        if self.hess:
            made[2] = function(inputs, jacobian(first.reshape((-1,)), self.z), **options)
        return made[0], made[1], made[2]

    def told(self, start: Array, *params: Array) -> tuple[Array, bool]:
        """(SciPy's last state, whether it is a solution)."""
        if not start.size:
            return start.copy(), True
        found = self._found(start, params)
        success = bool(found.success)
        if success and not any(self.options.get(name) is not None for name in _LIMITED):
            return self._polished(found, params), True
        return found.x, success

    def _found(self, start: Array, params: Sequence[Array]) -> Any:
        from scipy import optimize

        of: list[Any] = [f and (lambda z, f=f: f(z, *params)) for f in self._functions]
        value, first, second = of
        options = dict(self.options)
        if self.kind == "minimize":
            found = optimize.minimize(
                lambda z: float(value(z)), start, jac=first, hess=second, method=self.method, **options
            )
        elif self.kind == "root":
            found = optimize.root(value, start, jac=first, method=self.method, **options)
        elif self.kind == "minimize_scalar":
            found = optimize.minimize_scalar(lambda t: float(value(np.array([t]))), method=self.method, **options)
        else:
            f, df, ddf = [g and (lambda t, g=g: g(np.array([t])).item()) for g in of]
            found = optimize.root_scalar(f, fprime=df, fprime2=ddf, x0=start.item(), method=self.method, **options)
            found.x, found.success, found.message = found.root, found.converged, str(found.flag)
        return SimpleNamespace(
            x=np.array(found.x, np.float64).reshape(-1), success=found.success, message=getattr(found, "message", "")
        )


# ---------------------------------------------------------------- the op
class _Record(Op):
    """The record of the one op here, which pickles by name."""

    def __reduce__(self) -> Any:
        return _record, ()


def _record() -> Op:
    return _SEARCHED


def _values(start: Array, *params: Array, problem: Search) -> list[Array]:
    x, success = problem.told(np.asarray(start, np.float64), *params)
    return [x, np.asarray(success)]


def _infer(start: Expr, *params: Expr, problem: Search) -> Any:
    return TupleType((TensorType("float64", start.type.shape), TensorType("bool", ())))


def _pull(g: Any, out: Expr, start: Expr, *params: Expr, problem: Search) -> list[Any]:
    if g[0] is DISCONNECTED:
        return [DISCONNECTED for _ in (start, *params)]
    return [ZERO, *pulled(g[0], part(out, 0), params, problem)]


_SEARCHED = _Record(
    "searched", "opaque", _values, infer=_infer, shape=lambda node, start, *params: (start, ()), grad=_pull,
    doc="The last state of a search that begins at a vector, and whether it is a solution.",
)


# ---------------------------------------------------------------- public
def minimize(
    objective: Any, x: Any, method: str = "BFGS", jac: bool = True, hess: bool = False,
    use_vectorized_jac: bool = False, optimizer_kwargs: Mapping[str, Any] | None = None,
) -> tuple[Any, Expr]:
    """(where the scalar ``objective`` is least, whether SciPy's method found that), beginning at the value of ``x``.

    ``x`` is a variable or a list of them, and so is the solution; ``jac`` and ``hess`` say which derivatives are handed
    to ``scipy.optimize.minimize``, ``optimizer_kwargs`` its further arguments. Derivatives with respect to ``x`` are
    zero, those with respect to all else implicit. Jacobians are batched always, whatever ``use_vectorized_jac`` says.
    Raises FuseValueError for an objective that is no number or does not depend on ``x``.

    >>> import fuse, fuse.tensor as T
    >>> x, a = T.dvector("x"), T.dscalar("a")
    >>> best, found = T.optimize.minimize(((x - a) ** 2).sum(), x)
    >>> where, success = fuse.function([x, a], [best, found])([0.0, 1.0], 3.0)
    >>> where.round(6).tolist(), bool(success)
    ([3.0, 3.0], True)
    """
    return _searched("minimize", objective, x, method, jac, hess, optimizer_kwargs)


def minimize_scalar(
    objective: Any, x: Any, method: str = "brent", optimizer_kwargs: Mapping[str, Any] | None = None
) -> tuple[Any, Expr]:
    """As ``minimize`` of a number, by ``scipy.optimize.minimize_scalar``, which needs no place to begin.

    >>> import fuse, fuse.tensor as T
    >>> x, a = T.dscalar("x"), T.dscalar("a")
    >>> best, _ = T.optimize.minimize_scalar((x - a) ** 2, x)
    >>> round(float(fuse.function([x, a], fuse.grad(best, a))(0.0, 3.0)), 6)
    1.0
    """
    return _searched("minimize_scalar", objective, x, method, False, False, optimizer_kwargs)


def root(
    equations: Any, variables: Any, method: str = "hybr", jac: bool = True, use_vectorized_jac: bool = False,
    optimizer_kwargs: Mapping[str, Any] | None = None,
) -> tuple[Any, Expr]:
    """(where ``equations`` are zero, whether ``scipy.optimize.root`` found that), beginning at ``variables``.

    The arguments are those of ``minimize``; there are as many equations as unknowns.

    >>> import fuse, fuse.tensor as T
    >>> x, a = T.dscalar("x"), T.dscalar("a")
    >>> at, _ = T.optimize.root(x**3 + x - a, x)
    >>> [round(float(v), 6) for v in fuse.function([x, a], [at, fuse.grad(at, a)])(1.0, 10.0)]
    [2.0, 0.076923]
    """
    return _searched("root", equations, variables, method, jac, False, optimizer_kwargs)


def root_scalar(
    equation: Any, variable: Any, method: str = "secant", jac: bool = False, hess: bool = False,
    optimizer_kwargs: Mapping[str, Any] | None = None,
) -> tuple[Any, Expr]:
    """As ``root`` of one equation of a number, by ``scipy.optimize.root_scalar``.

    >>> import fuse, fuse.tensor as T
    >>> x, a = T.dscalar("x"), T.dscalar("a")
    >>> at, found = T.optimize.root_scalar(x**2 - a, x, method="halley", jac=True, hess=True)
    >>> [round(float(v), 6) for v in fuse.function([x, a], [at, found])(1.0, 2.0)]
    [1.414214, 1.0]
    """
    if hess and not jac:
        raise FuseValueError("root_scalar: methods that read the second derivative read the first one too: jac=True")
    return _searched("root_scalar", equation, variable, method, jac, hess, optimizer_kwargs)


def _searched(
    kind: str, formula: Any, x: Any, method: str, jac: bool, hess: bool, options: Mapping[str, Any] | None
) -> tuple[Any, Expr]:
    formula = as_expr(formula)
    single = not isinstance(x, (list, tuple))
    variables = [x] if single else list(x)
    least = kind.startswith("minimize")
    for v in variables:
        if not isinstance(v, Expr) or v.type.dtype not in ("float32", "float64"):
            raise FuseTypeError(f"{kind} finds variables of real numbers, not {v!r:.60}")
        if kind.endswith("_scalar") and v.type.ndim:
            raise FuseValueError(f"{kind} finds a number (0-dimensional), not a {v.type.describe()}")
    if (least or kind == "root_scalar") and formula.type.ndim:
        raise FuseValueError(f"the formula of {kind} is one number (0-dimensional), not a {formula.type.describe()}")
    if formula.type.dtype not in ("float32", "float64"):
        raise FuseTypeError(f"{kind} needs a formula of real numbers, not a {formula.type.describe()}")
    reached = set(toposort([formula]))
    for v in variables:
        if v not in reached:
            raise FuseValueError(f"{kind}: the formula does not depend on {v.name or v}")
    inner = [v.type(v.name) for v in variables]  # the variables themselves stay where the search begins
    [formula] = substitute([formula], dict(zip(variables, inner, strict=True)))
    z, parts, first = one_vector(inner, variables)
    [formula] = substitute([formula], dict(zip(inner, parts, strict=True)))
    [formula], params, standing = closed([formula], z)
    cost = formula if least else None
    problem = Search(z, standing, grad(formula, z) if least else joined([formula]), cost, method, kind)
    problem.kind, problem.jac, problem.hess, problem.options = kind, bool(jac), bool(hess), dict(options or {})
    node = _SEARCHED(first, *params, problem=problem)
    results = substitute(parts, {z: part(node, 0)})
    return (results[0] if single else tuple(results)), part(node, 1)


__all__ = ["minimize", "minimize_scalar", "root", "root_scalar"]
