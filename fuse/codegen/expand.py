"""Expansion: composite ops become their definitions, and fills become broadcasts.

After this pass a graph holds only what the planner knows: leaves, elementwise, reductions, index and view ops,
opaque calls, and 0-d integer formulas over sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.codegen.lift import lift_gather
from fuse.codegen.sizes import Sizes
from fuse.expr import Expr, constant, make, rebuild, toposort, transform
from fuse.frontend.elementwise import mul
from fuse.frontend.layout import dimshuffle
from fuse.frontend.shape import shape_of
from fuse.op import OPS

SMALL = 4  # of the matrices in a stack: up to there the sums take half the time of NumPy's matmul, and mostly a sixth


def expand(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` with every composite op replaced by its definition, down to core ops."""
    current = list(outputs)
    while any(_expandable(n) for n in toposort(current)):
        current = transform(current, _expand_node)
    return transform(current, _lift_node)


def _lift_node(node: Expr, args: tuple[Expr, ...]) -> Expr:
    node = node if node.is_leaf or args == node.args else keep_origin(make(node.op, args, node.params), node)
    if node.op.name in ("inc_gather", "set_gather") and node.args[1].type.dtype != node.type.dtype:
        value = make(OPS["cast"], (node.args[1],), {"dtype": node.type.dtype})
        return keep_origin(make(node.op, (node.args[0], value, *node.args[2:]), node.params), node)
    if node.op.name == "inc_subtensor" and node.args[0].is_leaf and node.type.dtype != "bool":  # copied in any case
        part = make(OPS["subtensor"], (node.args[0], *node.args[2:]), node.params)
        value = make(OPS["add"], (part, node.args[1]))
        return keep_origin(make(OPS["set_subtensor"], (node.args[0], value, *node.args[2:]), node.params), node)
    return keep_origin(lift_gather(node), node) if node.op.name == "gather" else node


def _expandable(node: Expr) -> bool:
    if node.op.name == "unbroadcast":
        return bool(_summed(*node.args))
    return node.op.kind == "composite" or node.op.name == "fill" or _is_small_product(node)


def _is_small_product(node: Expr) -> bool:
    """Whether ``node`` is a stack of products of which each has a few multiplications per element and few columns."""
    if node.op.name != "matmul" or node.type.dtype not in ("float32", "float64"):
        return False
    inner, columns, same = node.args[1].type.shape[-2], node.type.shape[-1], node.args[0].type.shape[-1]
    return inner is not None and inner == same and inner <= SMALL and columns is not None and columns <= SMALL


def _small_products(left: Expr, right: Expr, dtype: str) -> Expr:
    """The products of two stacks of matrices as sums: NumPy takes longer to go to the next pair than they do."""
    rank = max(left.type.ndim, right.type.ndim) - 2
    first, second = [rank + 2 - x.type.ndim for x in (left, right)]
    rows = [*["x"] * first, *range(left.type.ndim), "x"]
    columns = [*["x"] * second, *range(right.type.ndim - 2), "x", right.type.ndim - 2, right.type.ndim - 1]
    product = mul(dimshuffle(left, rows), dimshuffle(right, columns))
    return make(OPS["sum"], (product,), {"axis": (rank + 1,), "dtype": dtype})


def _summed(value: Expr, like: Expr) -> tuple[int, ...]:
    """The axes that ``unbroadcast(value, like)`` is known to sum over."""
    sizes = zip(value.type.shape, like.type.shape, strict=True)
    return tuple([d for d, (n, m) in enumerate(sizes) if m == 1 and n != 1])


def _expand_node(node: Expr, args: tuple[Expr, ...]) -> Expr:
    if node.is_leaf:
        return node
    if node.op.kind == "composite":
        assert node.op.define is not None
        return _as_type(node.op.define(*args, **node.params), node)
    if _is_small_product(node):
        return _as_type(_small_products(args[0], args[1], node.type.dtype), node)
    if node.op.name == "fill":
        model, value = args
        if value.type.ndim == model.type.ndim and value.type.shape == model.type.shape and None not in value.type.shape:
            return _as_type(value, node)
        own = [*[1] * (node.type.ndim - model.type.ndim), *shape_of(model)]  # of which nothing else is read
        sizes = tuple([_met(n, m) for n, m in zip(shape_of(node), own, strict=True)])
        return _as_type(make(OPS["broadcast_to"], (value, *sizes)) if sizes else value, node)
    if node.op.name == "unbroadcast" and (axis := _summed(*args)):
        args = (_sum_kept(args[0], axis), args[1])
    return node if args == node.args else keep_origin(make(node.op, args, node.params), node)


def _met(size: Any, model: Any) -> Expr:
    """A size of what is filled; where only the value tells it, that of the model is compared with it."""
    if isinstance(size, Expr):
        return size
    known = constant(size, dtype="int64")
    return make(OPS["broadcast_size"], (model, known)) if isinstance(model, Expr) else known


def _sum_kept(value: Expr, axis: tuple[int, ...]) -> Expr:
    """The sum over ``axis``, which stays as dimensions of size 1."""
    reduced = make(OPS["sum"], (value,), {"axis": axis, "dtype": value.type.dtype})
    kept = iter(range(reduced.type.ndim))
    pattern = tuple(["x" if d in axis else next(kept) for d in range(value.type.ndim)])
    return make(OPS["dimshuffle"], (reduced,), {"pattern": pattern})


def settle(outputs: Sequence[Expr], equal: Sequence[tuple[Expr, Expr]]) -> tuple[list[Expr], Sizes]:
    """``outputs`` and their sizes, after every ``unbroadcast`` that sizes show to be a sum has become one.

    Types know only constant sizes; that a size is 1 can also follow from formulas over sizes.
    """
    current = list(outputs)
    while True:
        sizes = Sizes(current, equal)
        axes: dict[Expr, tuple[int, ...]] = {}
        for node in sizes.of:
            if node.op.name == "unbroadcast":
                pairs = zip(sizes.of[node.args[0]], sizes.of[node.args[1]], strict=True)
                found = tuple([d for d, (n, m) in enumerate(pairs) if sizes.find(m) == 1 and sizes.find(n) != 1])
                if found:
                    axes[node] = found
        if not axes:
            return current, sizes

        def visit(node: Expr, args: tuple[Expr, ...], axes: dict[Expr, tuple[int, ...]] = axes) -> Expr:
            if node in axes:
                return _sum_kept(args[0], axes[node])
            return node if node.is_leaf else keep_origin(rebuild(node, args), node)

        current = transform(current, visit)


def _as_type(value: Expr, like: Expr) -> Expr:
    if value.type.dtype != like.type.dtype:
        value = make(OPS["cast"], (value,), {"dtype": like.type.dtype})
    return keep_origin(value, like)


def replaced(outputs: Sequence[Expr], put: Callable[[Expr, dict[Expr, Expr]], Expr | None]) -> list[Expr]:
    """``outputs`` with ``put(node, new)`` in the place of nodes, where it is not None.

    ``new`` has what became of the nodes before; what takes a node's place keeps its line of the user's program.
    """
    new: dict[Expr, Expr] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        value = put(node, new)
        if value is None:
            value = node if node.is_leaf else rebuild(node, args)
        new[node] = keep_origin(value, node)
        return value

    return transform(outputs, visit)


def keep_origin(value: Expr, like: Expr) -> Expr:
    """``value`` with the line of the user's program that ``like`` has."""
    if not value.is_leaf and value.origin != like.origin and like.origin is not None:
        value.origin = like.origin
    return value
