"""Jacobians, Hessians and their products with vectors, from one batched reverse sweep."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fuse import testvalues
from fuse.autodiff import batching
from fuse.autodiff.batching import dimshuffle
from fuse.autodiff.functions import also_of_functions
from fuse.autodiff.reverse import (
    as_nodes,
    check_choices,
    complain,
    derived,
    grad,
    in_form_of,
    stable_cotangents,
    targets_of,
)
from fuse.autodiff.sweep import filled, is_discrete, is_null, op
from fuse.errors import FuseTypeError, NullTypeGradError, ShapeError
from fuse.expr import Expr, as_expr
from fuse.frontend.sizes import as_size_expr, size_product, sizes_of
from fuse.op import DISCONNECTED


@also_of_functions("jacrev")
@testvalues.after
def jacobian(
    expression: Any,
    wrt: Any,
    consider_constant: Iterable[Expr] | None = None,
    disconnected_inputs: str = "raise",
    vectorize: bool = True,
) -> Any:
    """All first derivatives of ``expression``: an expression of shape ``expression.shape + wrt.shape``.

    ``wrt`` is one expression or a list or tuple of them, and so is the result. The rows of the Jacobian are computed
    together, by one reverse sweep with a leading axis more, whatever ``vectorize`` (PyTensor's) says; lengths may be
    known at run time only. Of a Python function it is another function, ``jacrev``.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> fuse.gradient.jacobian(x ** 2, x).eval({x: [1.0, 2.0, 3.0]})
    array([[2., 0., 0.],
           [0., 4., 0.],
           [0., 0., 6.]])
    """
    check_choices(disconnected_inputs=disconnected_inputs)
    expression = as_expr(expression)
    targets = targets_of(wrt, "jacobian")
    if expression.type.dtype not in ("float16", "float32", "float64") and not is_discrete(expression):
        raise FuseTypeError(f"jacobian needs a real expression, not {expression.type.dtype}")
    options: dict[str, Any] = {"consider_constant": consider_constant, "disconnected_inputs": disconnected_inputs}
    if expression.type.ndim == 0:
        return grad(expression, wrt, add_names=False, **options)
    stop = as_nodes(consider_constant)
    row = expression.type()
    found = stable_cotangents([(expression, row)], targets, stop)
    sizes = sizes_of(expression)
    count = as_size_expr(size_product(sizes))
    live = {t: g for t, g in found.items() if isinstance(g, Expr)}
    for g in live.values():
        if is_null(g):
            raise NullTypeGradError(f"the Jacobian passes through an op without one: {g.type.describe()}")
    batched = batching.vectorize(list(live.values()), {row: unit_vectors(expression, count)}, count)
    rows = dict(zip(live, batched, strict=True))
    shaped = [_shaped(expression, t, rows.get(t), found[t] is DISCONNECTED, disconnected_inputs) for t in targets]
    return in_form_of(wrt, derived(shaped, [expression]))


def unit_vectors(expression: Expr, count: Expr) -> Expr:
    """Row i holds 1 at position i (in C order) of an array of the shape of ``expression``."""
    sizes = list(map(as_size_expr, sizes_of(expression)))
    position = op("linear_index", *sizes) if len(sizes) > 1 else op("iota", *sizes)
    row = dimshuffle(op("iota", count), 0, *["x"] * expression.type.ndim)
    hit = op("eq", row, dimshuffle(position, "x", *range(expression.type.ndim)))
    return op("cast", hit, dtype=expression.type.dtype)


def _shaped(expression: Expr, target: Expr, rows: Expr | None, disconnected: bool, disconnected_inputs: str) -> Expr:
    """The rows with their first axis as the axes of ``expression``; zeros where there are none."""
    sizes = list(map(as_size_expr, [*sizes_of(expression), *sizes_of(target)]))
    if disconnected:
        complain(target, disconnected_inputs, [expression])
    if rows is None:
        return op("broadcast_to", filled(target, 0.0), *sizes)
    return rows if expression.type.ndim == 1 else op("reshape", rows, *sizes)


@also_of_functions("hessian")
def hessian(
    cost: Expr,
    wrt: Any,
    consider_constant: Iterable[Expr] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """All second derivatives of the scalar ``cost`` within each entry of ``wrt``: of shape ``wrt.shape + wrt.shape``.

    Of a Python function it is another function: ``hessian(f, argnums=0, has_aux=False)``.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> fuse.gradient.hessian((x ** 3).sum(), x).eval({x: [1.0, 2.0]})
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    targets = targets_of(wrt, "hessian")
    first = grad(cost, targets, consider_constant, disconnected_inputs, add_names=False)
    second = [
        jacobian(g, t, consider_constant, disconnected_inputs="ignore") for g, t in zip(first, targets, strict=True)
    ]
    return in_form_of(wrt, second)


def hessian_vector_product(cost: Expr, wrt: Any, p: Any, **grad_kwargs: Any) -> Any:
    """The Hessian of the scalar ``cost`` times the vector ``p``, without making the Hessian.

    ``p`` has the structure and shapes of ``wrt``, and so has the result: the gradient of ``sum(grad(cost) * p)``.

    >>> import fuse, fuse.tensor as T
    >>> x, p = T.dvectors("x", "p")
    >>> fuse.gradient.hessian_vector_product((x ** 3).sum(), x, p).eval({x: [1.0, 2.0], p: [1.0, 1.0]})
    array([ 6., 12.])
    """
    targets = targets_of(wrt, "hessian_vector_product")
    vectors = list(p) if isinstance(p, (list, tuple)) else [p]
    if len(vectors) != len(targets):
        raise ShapeError(f"hessian_vector_product got {len(targets)} variables and {len(vectors)} vectors")
    options = {"add_names": False, **grad_kwargs}
    total: Expr | None = None
    for g, v in zip(grad(cost, targets, **options), vectors, strict=True):
        product = op("mul", g, op("disconnected_grad", as_expr(v)))
        if product.type.ndim:
            product = op("sum", product, axis=tuple(range(product.type.ndim)), dtype=product.type.dtype)
        total = product if total is None else op("add", total, product)
    return in_form_of(wrt, grad(total, targets, **{**options, "disconnected_inputs": "ignore"}))
