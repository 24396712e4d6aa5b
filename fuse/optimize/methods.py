"""SciPy's minimize, root and least_squares on compiled values and on derivatives from the graph."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr
from fuse.frontend.reductions import sum as sum_
from fuse.optimize.packing import Problem, arguments

Array = Any

# What SciPy's methods of minimize read besides the value: the gradient, then the Hessian itself ("hess") or its product
# with a vector ("hessp"). None: SciPy's own choice, one of those with a gradient.
READS: Mapping[str | None, tuple[str, ...]] = {
    None: ("jac",),
    "nelder-mead": (), "powell": (), "cobyla": (), "cobyqa": (),
    "cg": ("jac",), "bfgs": ("jac",), "l-bfgs-b": ("jac",), "tnc": ("jac",), "slsqp": ("jac",),
    "newton-cg": ("jac", "hessp"), "trust-ncg": ("jac", "hessp"), "trust-krylov": ("jac", "hessp"),
    "trust-constr": ("jac", "hessp"), "dogleg": ("jac", "hess"), "trust-exact": ("jac", "hess"),
}
WITH_JACOBIAN = ("hybr", "lm")  # methods of root that read the Jacobian


def minimize(
    cost: Any,
    wrt: Any = None,
    x0: Any = None,
    *,
    args: Sequence[Any] = (),
    method: str | None = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    givens: Any = None,
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """The minimum of a scalar by ``scipy.optimize.minimize``, with compiled value, gradient and second derivatives.

    ``cost`` is an expression and ``wrt`` the variable to find, or a list of them (inputs, which ``x0`` gives a start:
    an array, a list, or a dict; or shared variables, which start at their values and end at the minimum). Or ``cost``
    is a Python function of one array (and ``args``), and what follows is its start: ``minimize(f, x0)``. Variables may
    have any shapes; float32 ones are found as such.

    * ``givens``: replacements in the graph: expressions, or values, which other inputs of the cost need;
    * ``bounds``: as for SciPy, over all elements in order, or a dict from variables to (low, high), each of which is
      None, a number or an array;
    * ``constraints``: as for SciPy; ``fun`` of a dict may be an expression of the variables, without ``jac``;
    * ``jac``, ``hess``, ``hessp``: in place of those from the graph, as for SciPy (``jac='2-point'``, ...).

    The lines of a Python function mean what NumPy says, as in ``fuse.jit``; its start may be a dict, or another tree of
    arrays, as are ``x`` and ``jac`` of the result then.

    Returns SciPy's ``OptimizeResult``; ``x`` (and ``jac``) have the shapes of the variables, as a list where ``wrt`` is
    one. Random streams in the cost stand still, so that it is one function. Raises ShapeError where the cost is no
    scalar, DTypeError for integer variables, DisconnectedInputError where it does not depend on one.

    >>> import fuse, fuse.optimize, fuse.tensor as T
    >>> x, y = T.dvector("x"), T.dscalar("y")
    >>> cost = ((x - y) ** 2).sum() + (y - 3) ** 2
    >>> found = minimize(cost, [x, y], x0=[[0.0, 0.0], 1.0])
    >>> [value.round(4).tolist() for value in found.x], found.success
    ([[3.0, 3.0], 3.0], True)
    >>> minimize(lambda x: ((x - [1.0, 2.0]) ** 4).sum(), [0.0, 0.0], method="trust-exact").x.round(1)
    array([1., 2.])
    """
    import scipy.optimize

    problem = Problem(cost, wrt, x0, givens, args, "minimize")
    value = problem.formula
    if value.type.ndim:
        raise ShapeError(f"minimize needs a scalar cost, not a {value.type.describe()}: .sum() or .mean() of it?")
    if value.type.dtype not in ("float32", "float64"):
        raise FuseTypeError(f"minimize needs a cost that is a real number, not {value.type.dtype}")
    known = reads(method)
    gradient = problem.gradient(value) if "jac" in known and (jac is None or jac is True) else None
    given = {key: _with(args, own) for key, own in (("jac", jac), ("hess", hess), ("hessp", hessp))}
    if gradient is None:
        fun = problem.compile(value)
    else:
        fun, given["jac"] = problem.compile([value, gradient]), True
        if "hessp" in known and hess is None and hessp is None:
            given["hessp"] = _product(problem, gradient)
        elif "hess" in known and hess is None:
            given["hess"] = _last(problem.compile(problem.jacobian(gradient)))
    result = scipy.optimize.minimize(
        _as_numbers(fun), problem.start, method=method, bounds=problem.limits(bounds),
        constraints=_constraints(problem, constraints), tol=tol, callback=_callback(problem, callback),
        options=None if options is None else dict(options),
        **{key: choice for key, choice in given.items() if choice is not None},
    )
    if isinstance(result.get("jac"), np.ndarray) and result.jac.shape == problem.start.shape:
        result.jac = problem.split(result.jac)
    return problem.finish(result)


def root(
    f: Any, wrt: Any = None, x0: Any = None, *, args: Sequence[Any] = (), method: str = "hybr", jac: Any = None,
    givens: Any = None, tol: float | None = None, callback: Any = None, options: Mapping[str, Any] | None = None,
) -> Any:
    """Where ``f`` is zero, by ``scipy.optimize.root`` with the compiled value and, where the method reads it, Jacobian.

    ``f`` has as many elements as the variables together; arguments and result are those of ``minimize``.
    ``root_of`` gives a root as an expression, with a gradient.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> f = T.stack([x[0] + 2 * x[1] - 2, x[0] ** 2 + 4 * x[1] ** 2 - 4])
    >>> root(f, x, x0=[1.0, 2.0]).x.round(6) + 0.0
    array([0., 1.])
    >>> round(float(root(lambda x: x**2 - 2, 1.0).x), 6)
    1.414214
    """
    import scipy.optimize

    problem = Problem(f, wrt, x0, givens, args, "root")
    value = _flat(problem)
    if jac is None and method in WITH_JACOBIAN:
        jac = _last(problem.compile(problem.jacobian(value)))
    else:
        jac = _with(args, jac)
    fun = problem.compile(value)
    at = fun(problem.start).size
    if at != problem.start.size:
        sizes = f"f has {at} elements, the variables {problem.start.size}"
        raise ShapeError(f"root needs as many equations as unknowns: {sizes}")
    keep = {} if callback is None else {"callback": callback}
    result = scipy.optimize.root(
        fun, problem.start, method=method, jac=jac, tol=tol, options=None if options is None else dict(options), **keep
    )
    return problem.finish(result)


def least_squares(
    residuals: Any, wrt: Any = None, x0: Any = None, *, args: Sequence[Any] = (), jac: Any = None, bounds: Any = None,
    givens: Any = None, **options: Any,
) -> Any:
    """The minimum of a sum of squares, by ``scipy.optimize.least_squares`` with compiled residuals and Jacobian.

    ``residuals`` is an array of any shape; arguments and result are those of ``minimize``, and ``options`` are SciPy's
    (``method``, ``loss``, ``ftol``, ``x_scale``, ...). ``result.jac`` is the matrix for all elements in order.

    >>> import numpy as np, fuse.tensor as T
    >>> t, rate, scale = T.dvector("t"), T.dscalar("rate"), T.dscalar("scale")
    >>> times = np.linspace(0, 1, 20)
    >>> residuals = scale * T.exp(-rate * t) - 3 * np.exp(-2 * times)
    >>> found = least_squares(residuals, [scale, rate], x0=[1.0, 1.0], givens={t: times})
    >>> [round(float(value), 6) for value in found.x]
    [3.0, 2.0]
    """
    import scipy.optimize

    problem = Problem(residuals, wrt, x0, givens, args, "least_squares")
    value = _flat(problem)
    if jac is None:
        jac = _last(problem.compile(problem.jacobian(value)))
    else:
        jac = _with(args, jac)
    limits = problem.limits(bounds)
    if limits is not None:
        options["bounds"] = limits
    return problem.finish(scipy.optimize.least_squares(problem.compile(value), problem.start, jac=jac, **options))


# ---------------------------------------------------------------- parts
def reads(method: Any) -> tuple[str, ...]:
    """What a method of minimize reads besides the value; FuseValueError for one that SciPy has not."""
    if callable(method):  # a method of the user's own
        return ("jac",)
    known = READS.get(method if method is None else str(method).lower())
    if known is None:
        raise FuseValueError(f"minimize knows the methods {', '.join(m for m in READS if m)}; not {method!r}")
    return known


def _flat(problem: Problem) -> Expr:
    if problem.formula.type.dtype not in ("float32", "float64"):
        raise FuseTypeError(f"{problem.what} needs real values, not {problem.formula.type.describe()}")
    return problem.flat()


def _product(problem: Problem, gradient: Expr) -> Callable[..., Array]:
    """The Hessian times a vector, without the Hessian."""
    p = problem.multiplier()
    return problem.compile(problem.gradient(sum_(gradient * p)), p)


def _last(fn: Callable[..., Array]) -> Callable[..., Array]:
    """``fn`` of the vector alone: SciPy hands its ``args`` on too, of which there are none."""
    return lambda z, *_: fn(z)


def _with(args: Any, own: Any) -> Any:
    """A derivative of the user's own, which SciPy calls with the vector (and a direction), with ``args`` behind."""
    rest = arguments(args)
    return (lambda *values: own(*values, *rest)) if callable(own) and len(rest) else own


def _as_numbers(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The value as a Python float: an array of rank 0 is slower to compare, and some methods keep it."""

    def call(z: Array) -> Any:
        found = fun(z)
        return (float(found[0]), found[1]) if isinstance(found, list) else float(found)

    return call


def _callback(problem: Problem, callback: Any) -> Any:
    """The user's callback with values in the shapes of the variables."""
    if callback is None:
        return None

    if list(inspect.signature(callback).parameters) == ["intermediate_result"]:

        def named(*, intermediate_result: Any) -> Any:
            intermediate_result.x = problem.split(intermediate_result.x)
            return callback(intermediate_result=intermediate_result)

        return named

    def call(z: Array, *rest: Any) -> Any:
        return callback(problem.split(z), *rest)

    return call


def _constraints(problem: Problem, constraints: Any) -> Any:
    """SciPy's constraints, with expressions compiled."""
    several = constraints if isinstance(constraints, (list, tuple)) else [constraints]
    found = []
    for item in several:
        if isinstance(item, Mapping) and isinstance(item.get("fun"), Expr):
            value = problem.of_vector(item["fun"])
            derivative = _last(problem.compile(problem.jacobian(value)))
            found.append({**item, "fun": problem.compile(value), "jac": derivative})
        else:
            found.append(item)
    return found
