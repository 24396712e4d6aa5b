"""Sums of products that are products of matrices: ``(A[:, :, None] * B[None, :, :]).sum(1)`` is ``A @ B``.

As loops such a sum takes rows × columns × terms steps that read the operands again and again; BLAS keeps blocks of both
in cache. So it is done where each operand lacks an axis of the result, whatever formula each of them is, unless one of
the three sizes is known to be short (`SMALL`): then the loop is unrolled, and what follows can be part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuse.codegen.expand import SMALL, replaced, settle
from fuse.codegen.region import is_literal
from fuse.codegen.sizes import Sizes
from fuse.codegen.written import readers_of
from fuse.expr import Expr, make, toposort
from fuse.frontend.shape import shape_of
from fuse.frontend.sizes import as_size_expr
from fuse.op import OPS

_BETWEEN = ("unbroadcast", "broadcast_to")


def with_products(
    outputs: Sequence[Expr], sizes: Sizes, equal: list[tuple[Expr, Expr]], assuming: bool
) -> tuple[list[Expr], Sizes]:
    """``outputs`` with sums of products over one axis as products of matrices, and their sizes.

    Where that may be assumed, an ``unbroadcast`` or ``broadcast_to`` in between, as gradients have it, changes nothing:
    the sizes that this takes to be equal are added to ``equal``.
    """
    order = toposort(outputs)
    sums = [n for n in order if n.op.name == "sum" and n.args[0].op.name in ("mul", *_BETWEEN)]
    if not sums:
        return list(outputs), sizes
    readers, kept = readers_of(order), set(outputs)
    found = {}
    for node in sums:
        x = node.args[0]
        if x.op.name in _BETWEEN and (not assuming or len(readers[x]) > 1 or x in kept or not _same(x, sizes)):
            continue
        parts = _operands(node, readers, kept)
        if parts is not None:
            found[node] = parts
            equal += _equal(x) if x.op.name in _BETWEEN else ()
    if not found:
        return list(outputs), sizes

    def product(node: Expr, new: dict[Expr, Expr]) -> Expr | None:
        if node not in found:
            return None
        left, right, row, over, column = found[node]
        a = _matrix([new[f] for f in left], (row, over))
        b = _matrix([new[f] for f in right], (over, column))
        return make(OPS["dot"], (a, b))

    return settle(replaced(outputs, product), equal)


def _same(x: Expr, sizes: Sizes) -> bool:
    """Whether ``x``, one of ``_BETWEEN``, has the sizes of its operand as far as the plan goes."""
    own, inner = sizes.of[x], sizes.of[x.args[0]]
    return len(own) == len(inner) and all(sizes.find(n) == sizes.find(m) for n, m in zip(own, inner, strict=True))


def _equal(x: Expr) -> list[tuple[Expr, Expr]]:
    """The sizes that must be the same for ``x``, one of ``_BETWEEN``, to be its operand."""
    sizes = shape_of(x.args[1]) if x.op.name == "unbroadcast" else x.args[1:]
    pairs = zip(map(as_size_expr, shape_of(x.args[0])), map(as_size_expr, sizes), strict=True)
    return [(n, m) for n, m in pairs if n is not m]


def _operands(
    node: Expr, readers: dict[Expr, list[Expr]], kept: set[Expr]
) -> tuple[list[Expr], list[Expr], int, int, int] | None:
    """(factors of the left operand, of the right one, axes: rows, what is summed over, columns); None for others."""
    x, dtype = node.args[0], node.type.dtype
    x = x.args[0] if x.op.name in _BETWEEN else x
    if x.op.name != "mul" or x.type.ndim != 3:
        return None
    if dtype not in ("float32", "float64") or len(node.params["axis"]) != 1 or node.params["dtype"] != dtype:
        return None
    (over,) = node.params["axis"]
    row, column = [d for d in range(3) if d != over]
    factors, stack = [], [x]
    while stack:
        value = stack.pop()
        if value.type.dtype != dtype and not is_literal(value):
            return None
        if value.op.name == "mul" and len(readers[value]) == 1 and value not in kept:
            stack += reversed(value.args)
        else:
            factors.append(value)
    if x in factors:
        return None
    left = [f for f in factors if _shape(f)[column] == 1]
    right = [f for f in factors if f not in left]
    if any(_shape(f)[row] != 1 for f in right):
        return None
    for group, axes in ((left, (row, over)), (right, (over, column))):
        if any(all(_shape(f)[d] == 1 for f in group) for d in axes) or all(f.type.dtype != dtype for f in group):
            return None
    if any(n is not None and n <= SMALL for n in x.type.shape):
        return None
    return left, right, row, over, column


def _shape(value: Expr) -> tuple[int | None, ...]:
    """The known sizes of three axes: those that broadcasting adds are 1."""
    return (*[1] * (3 - value.type.ndim), *value.type.shape)


def _matrix(factors: list[Expr], axes: tuple[int, int]) -> Expr:
    """The product of the factors, in their order, with these of its axes alone."""
    product = factors[0]
    for factor in factors[1:]:
        product = make(OPS["mul"], (product, factor))
    pattern = tuple([d - 3 + product.type.ndim for d in axes])
    if product.op.name == "dimshuffle":
        inner = tuple([product.params["pattern"][d] for d in pattern])
        if "x" not in inner:
            product, pattern = product.args[0], inner
    if pattern == tuple(range(product.type.ndim)):
        return product
    return make(OPS["dimshuffle"], (product,), {"pattern": pattern})
