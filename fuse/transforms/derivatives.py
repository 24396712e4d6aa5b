"""Derivatives of Python functions: functions with the same arguments, to be called with arrays or in a trace."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np

from fuse import tree
from fuse.autodiff import derived, reverse
from fuse.autodiff.batching import dimshuffle
from fuse.autodiff.batching import vectorize as batched
from fuse.autodiff.forward import Rop, tangents
from fuse.autodiff.sweep import filled, is_discrete, op
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant, substitute
from fuse.frontend.axes import specify_shape
from fuse.frontend.elementwise import cast
from fuse.frontend.sizes import as_size_expr, size_product, sizes_of
from fuse.trace import TRACE, tracing
from fuse.transforms.tracing import PYTHON, Jitted

Function = Callable[..., Any]


def expression(value: Any) -> Expr:
    """A leaf as an expression; a Python number has the dtype that it has as an argument."""
    if isinstance(value, Expr):
        return value
    kind = type(value)
    if kind in PYTHON:
        narrow = {float: "float32", complex: "complex64"} if TRACE.single else {}
        return constant(value, dtype=narrow.get(kind, PYTHON[kind]))
    return as_expr(value)


class Point:
    """Where a function is differentiated: new variables in place of the leaves of some arguments.

    The function is run on the variables, so that what it reads elsewhere does not count, and ``back`` puts the
    arguments in place of them. A variable for integers is one of floats: derivatives are those with respect to
    the same numbers as floats.
    """

    def __init__(self, args: Sequence[Any], argnums: Any, name: str) -> None:
        self.one = isinstance(argnums, (int, np.integer))
        try:
            chosen = [index(i) for i in ([argnums] if self.one else argnums)]
        except TypeError:
            text = f"argnums is the place of an argument, or a tuple of places, not {argnums!r:.60}"
            raise FuseTypeError(f"{name}: {text}") from None
        if any(not -len(args) <= i < len(args) for i in chosen):
            raise FuseValueError(f"{name}: argnums={argnums} with {len(args)} positional arguments")
        self.args = list(args)
        wanted = [args[i] for i in chosen]
        leaves, self.structure = tree.flatten(wanted[0] if self.one else tuple(wanted))
        self.values = [_continuous(expression(v)) for v in leaves]
        self.variables = [v.type(v.name) for v in self.values]
        if TRACE.decisions is not None:
            TRACE.decisions.stand_in(self.variables, self.values)
        put = tree.unflatten(self.structure, self.variables)
        for i, value in zip(chosen, [put] if self.one else put, strict=True):
            self.args[i] = value

    def tree(self, leaves: Sequence[Any]) -> Any:
        """A tree like the arguments with these leaves."""
        return tree.unflatten(self.structure, leaves)

    def back(self, result: Any) -> Any:
        """The tree ``result`` in terms of the arguments."""
        leaves, structure = tree.flatten(result)
        places = [i for i, v in enumerate(leaves) if isinstance(v, Expr)]
        replaced: dict[Expr, Expr] = dict(zip(self.variables, self.values, strict=True))
        for i, new in zip(places, substitute([leaves[i] for i in places], replaced), strict=True):
            leaves[i] = new
        return tree.unflatten(structure, leaves)


def _continuous(value: Expr) -> Expr:
    return cast(value, "float64") if is_discrete(value) else value


def _with_aux(result: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise FuseTypeError(f"with has_aux=True {name} returns a pair (result, auxiliary data), not {result!r:.60}")
    return result


def _named(f: Function, prefix: str) -> str:
    return f"{prefix}({getattr(f, '__name__', type(f).__name__)})"


def transformed(f: Function, prefix: str) -> Callable[[Function], Jitted]:
    """A decorator: the decorated function, which builds expressions, in place of ``f``."""
    def decorate(build: Function) -> Jitted:
        if not callable(f):
            raise FuseTypeError(f"{prefix} takes a function first, not {type(f).__name__} {f!r:.60}")
        jitted = Jitted(build, eager=True, name=_named(f, prefix))
        jitted.__wrapped__ = f  # type: ignore[attr-defined]
        jitted.__doc__ = f"{prefix} of {getattr(f, '__name__', f)}.\n\n{getattr(f, '__doc__', None) or ''}"
        return jitted

    return decorate


# ---------------------------------------------------------------- reverse
def value_and_grad(f: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """The function that returns ``f`` and its gradient with respect to the arguments ``argnums``.

    ``f`` returns a real scalar; with ``has_aux`` a pair of it and more results, and the value is then that pair. The
    gradient has the structure of the argument, or is a tuple where ``argnums`` is one.

    >>> import numpy as np
    >>> value_and_grad(lambda p, x: np.sum((p["w"] * x) ** 2))({"w": 2.0}, np.ones(3))
    (array(12.), {'w': array(12.)})
    """
    @transformed(f, "value_and_grad")
    def build(*args: Any, **kwargs: Any) -> Any:
        point = Point(args, argnums, "grad")
        result = f(*point.args, **kwargs)
        value, aux = _with_aux(result, has_aux, "the function of grad")
        cost = _cost(value)
        if cost.type.ndim == 0 and is_discrete(cost):
            cost = cast(cost, "float64")
        with tracing(False):
            found = reverse.grad(cost, point.variables, disconnected_inputs="ignore", add_names=False)
        found = [_alike(g, v, "a gradient", "argument") for g, v in zip(found, point.variables, strict=True)]
        return point.back(((cost, aux) if has_aux else cost, point.tree(found)))

    return build


def _cost(value: Any) -> Expr:
    if isinstance(value, (tuple, list, dict)) or value is None:
        raise FuseTypeError(
            f"the function of grad returns a scalar, not a {type(value).__name__} (has_aux=True is for pairs)"
        )
    cost = expression(value)
    if cost.type.ndim and all(n == 1 for n in cost.type.shape):
        raise FuseTypeError(f"the function of grad returns a {cost.type.describe()}: take its only element")
    return cost


def grad(f: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """The gradient of a function: see ``value_and_grad``; with ``has_aux`` the pair (gradient, auxiliary data).

    >>> float(grad(lambda x: x**3)(2.0)), float(grad(grad(lambda x: x**3))(2.0))
    (12.0, 12.0)
    """
    both = value_and_grad(f, argnums, has_aux).function  # type: ignore[attr-defined]

    @transformed(f, "grad")
    def build(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return build


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """``f`` at ``primals``, and the function from a cotangent of the result to those of the arguments, a tuple.

    With ``has_aux``, where ``f`` returns a pair: (result, function, auxiliary data).
    Raises FuseTypeError where a cotangent has another rank than its result, ShapeError where it has another size.

    >>> import numpy as np
    >>> value, back = vjp(lambda x, y: x * y, np.array([1.0, 2.0]), 3.0)
    >>> back(np.array([1.0, 10.0]))
    (array([ 3., 30.]), array(21.))
    """
    @transformed(f, "vjp")
    def forward(*args: Any) -> Any:
        point = Point(args, range(len(args)), "vjp")
        return point.back(_with_aux(f(*point.args), has_aux, "the function of vjp") if has_aux else f(*point.args))

    @transformed(f, "vjp")
    def pulled(at: tuple[Any, ...], cotangent: Any) -> Any:
        point = Point(at, range(len(at)), "vjp")
        value, _ = _with_aux(f(*point.args), has_aux, "the function of vjp")
        heads, structure = tree.flatten(value)
        weights = tree.upto(structure, cotangent)
        both = [(expression(h), expression(w)) for h, w in zip(heads, weights, strict=True)]
        pairs = [(h, _alike(w, h, "a cotangent", "result")) for h, w in both]
        pairs = [(h, w) for h, w in pairs if not is_discrete(h)]
        with tracing(False):
            found = reverse.Lop(
                [h for h, _ in pairs], point.variables, [w for _, w in pairs], disconnected_inputs="ignore"
            )
        return point.back(point.tree(found))

    result = forward(*primals)
    value, aux = result if has_aux else (result, None)

    def back(cotangent: Any) -> Any:
        """The cotangents of the arguments for a cotangent of the result."""
        return pulled(primals, cotangent)

    return (value, back, aux) if has_aux else (value, back)


def _alike(value: Expr, like: Expr, what: str, of: str) -> Expr:
    """``value``, which has the shape of ``like``; sizes that are not known yet are compared at run time."""
    have, want = value.type.shape, like.type.shape
    if len(have) != len(want):
        raise FuseTypeError(f"{what} has the rank of its {of}: a {like.type.describe()}, not a {value.type.describe()}")
    if any(m is not None and n is not None and m != n for m, n in zip(have, want, strict=True)):
        raise ShapeError(f"{what} has the shape of its {of}: a {like.type.describe()}, not a {value.type.describe()}")
    return value if have == want and None not in want else specify_shape(value, sizes_of(like))


# ---------------------------------------------------------------- forward
def jvp(f: Function, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """``f`` at ``primals``, and its derivative in the direction ``tangents``; both are tuples of arguments.

    With ``has_aux``, where ``f`` returns a pair: (result, derivative, auxiliary data).
    Raises FuseTypeError where arguments and tangents are no tuples, ShapeError where a tangent has another shape than
    its argument.

    >>> value, slope = jvp(lambda x: x**3, (2.0,), (1.0,))
    >>> float(value), float(slope)
    (8.0, 12.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise FuseTypeError("jvp takes the arguments and their tangents as two tuples: jvp(f, (x,), (v,))")

    @transformed(f, "jvp")
    def pushed(at: Any, directions: Any) -> Any:
        point = Point(at, range(len(at)), "jvp")
        value, aux = _with_aux(f(*point.args), has_aux, "the function of jvp")
        given = [_alike(expression(t), v, "a tangent", "argument")
                 for t, v in zip(tree.upto(point.structure, tuple(directions)), point.variables, strict=True)]
        heads, structure = tree.flatten(value)
        exprs = [expression(h) for h in heads]
        with tracing(False):
            slopes = Rop(exprs, point.variables, given, disconnected_outputs="ignore")
        found = value, tree.unflatten(structure, slopes)
        return point.back((*found, aux) if has_aux else found)

    return pushed(tuple(primals), tuple(tangents))


# ---------------------------------------------------------------- Jacobians
def jacrev(f: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """The Jacobian of a function, by one batched reverse sweep: of shape ``result.shape + argument.shape``.

    For trees it is the tree of the result whose leaves are trees of the argument.

    >>> import numpy as np
    >>> jacrev(lambda x: x[:2] ** 2)(np.array([1.0, 2.0, 3.0]))
    array([[2., 0., 0.],
           [0., 4., 0.]])
    """
    return _jacobian(f, argnums, has_aux, "jacrev", _reverse_rows)


def jacfwd(f: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """The Jacobian of a function, as ``jacrev``, by a batched forward sweep: for fewer arguments than results.

    >>> import numpy as np
    >>> jacfwd(lambda t: np.stack([t**2, 3 * t]))(2.0)
    array([4., 3.])
    """
    return _jacobian(f, argnums, has_aux, "jacfwd", _forward_rows)


def _jacobian(f: Function, argnums: Any, has_aux: bool, name: str, rows: Callable[..., Any]) -> Function:
    @transformed(f, name)
    def build(*args: Any, **kwargs: Any) -> Any:
        point = Point(args, argnums, name)
        value, aux = _with_aux(f(*point.args, **kwargs), has_aux, f"the function of {name}")
        heads, structure = tree.flatten(value)
        exprs = [expression(h) for h in heads]
        with tracing(False):
            blocks = [point.tree(r) for r in rows(exprs, point.variables)]
        found = tree.unflatten(structure, blocks)
        return point.back((found, aux) if has_aux else found)

    return build


def _reverse_rows(heads: Sequence[Expr], variables: Sequence[Expr]) -> list[list[Expr]]:
    found = []
    for head in heads:
        if is_discrete(head):
            head = cast(head, "float64")
        found.append(list(derived.jacobian(head, list(variables), disconnected_inputs="ignore")))
    return found


def _forward_rows(heads: Sequence[Expr], variables: Sequence[Expr]) -> list[list[Expr]]:
    columns = [_columns(heads, v) for v in variables]
    return [list(row) for row in zip(*columns, strict=True)] if heads else []


def _columns(heads: Sequence[Expr], v: Expr) -> list[Expr]:
    """The derivatives of all heads with respect to all elements of ``v``, whose axes come last."""
    if v.type.ndim == 0:
        return list(Rop(list(heads), v, filled(v, 1.0), disconnected_outputs="ignore"))
    direction = v.type()
    stable = reverse.stabilized(list(heads), [v])
    slopes = tangents(stable, {v: direction})
    live = [t for t in slopes if isinstance(t, Expr) and isinstance(t.type, type(v.type))]
    count = as_size_expr(size_product(sizes_of(v)))
    wide = dict(zip(live, batched(live, {direction: derived.unit_vectors(v, count)}, count), strict=True))
    return [_last(head, v, wide.get(t)) for head, t in zip(heads, slopes, strict=True)]


def _last(head: Expr, v: Expr, rows: Expr | None) -> Expr:
    sizes = [as_size_expr(n) for n in [*sizes_of(head), *sizes_of(v)]]
    if rows is None:
        return op("broadcast_to", cast(filled(v, 0.0), v.type.dtype), *sizes)
    turned = dimshuffle(rows, *range(1, rows.type.ndim), 0)
    return turned if v.type.ndim == 1 else op("reshape", turned, *sizes)


def hessian(f: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """All second derivatives: the Jacobian of the Jacobian, for scalars that of the gradient.

    The result has the axes of ``f``'s, then those of the argument twice.

    >>> import numpy as np
    >>> hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    >>> hessian(lambda x: np.stack([x, x**2, x**3]))(2.0)
    array([ 0.,  2., 12.])
    """
    return jacrev(jacrev(f, argnums, has_aux), argnums, has_aux)


__all__ = ["grad", "hessian", "jacfwd", "jacrev", "jvp", "value_and_grad", "vjp"]
