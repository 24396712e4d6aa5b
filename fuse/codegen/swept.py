"""Swept products: products of matrices and vectors as sums in kernels, where the matrix is larger than any cache.

BLAS reads the whole matrix for each product. A matrix that comes from memory is better read once, row by row: for the
product, for what is computed of it, and for the transposed product that the gradient wants, while the row is at hand.
In a cache BLAS has the better loops. So a program whose matrices may be large has two plans: the wrapper of the one
with BLAS sends calls with such matrices to the other, and which of them serves depends on sizes and layouts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuse.codegen.expand import settle
from fuse.codegen.products import is_product
from fuse.codegen.region import Operand, see_through
from fuse.codegen.sizes import Size, Sizes
from fuse.expr import INPUT, SHARED, Expr, make, rebuild, toposort, transform
from fuse.op import OPS

LARGE = 1 << 24  # bytes of a matrix that no cache is taken to hold
ROW = (32, 4096)  # elements of a row, from which and up to which rows are read as fast as memory gives them


@dataclass(frozen=True)
class Matrix:
    """A matrix among the arrays that a call takes, its sizes, and from how many elements on it is large."""

    leaf: Expr
    rows: Size
    row: Size
    limit: int

    @property
    def conditions(self) -> tuple[tuple[tuple[Size, ...], str, int], ...]:
        """What must hold for products with it to be sums: (sizes to multiply, comparison, number)."""
        return ((self.rows, self.row), ">", self.limit), ((self.row,), ">=", ROW[0]), ((self.row,), "<=", ROW[1])


def _operand(node: Expr, sizes: Sizes) -> Operand | None:
    """The matrix of a product with a vector that can be a sum, seen through views; None for other nodes."""
    if not is_product(node) or node.type.ndim != 1:
        return None
    left, right = node.args
    matrix = see_through(left if left.type.ndim == 2 else right, sizes)
    first, second = sizes.find(sizes.of[left][-1]), sizes.find(sizes.of[right][0])
    if 1 in [n for n in (first, second) if isinstance(n, int)]:
        return None  # a sum of products would broadcast it
    if matrix.base.op not in (INPUT, SHARED) or sorted(d for d in matrix.pattern if d is not None) != [0, 1]:
        return None
    return matrix


def matrices(outputs: Sequence[Expr], sizes: Sizes) -> tuple[Matrix, ...]:
    """The matrices that products with vectors read, and which may be large."""
    found: dict[Expr, Matrix] = {}
    for node in toposort(outputs):
        operand = _operand(node, sizes)
        if operand is not None:
            rows, row = [sizes.find(n) for n in sizes.of[operand.base]]
            found[operand.base] = Matrix(operand.base, rows, row, LARGE // operand.base.type.numpy_dtype.itemsize)
    return tuple([m for m in found.values() if _possible(m)])


def _possible(matrix: Matrix) -> bool:
    if isinstance(matrix.row, int) and not ROW[0] <= matrix.row <= ROW[1]:
        return False
    known = isinstance(matrix.rows, int) and isinstance(matrix.row, int)
    return not known or int(matrix.rows) * int(matrix.row) > matrix.limit


def swept(outputs: Sequence[Expr], sizes: Sizes, equal: Sequence[tuple[Expr, Expr]]) -> tuple[list[Expr], Sizes]:
    """``outputs`` with products of matrices and vectors as sums, and their sizes."""
    chosen = {n for n in toposort(outputs) if _operand(n, sizes) is not None}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node not in chosen:
            return node if node.is_leaf else _at(rebuild(node, args), node)
        left, right = args
        inner = left.type.ndim - 1
        pattern = ("x", 0) if inner else (0, "x")
        vector = make(OPS["dimshuffle"], (right if inner else left,), {"pattern": pattern})
        product = make(OPS["mul"], (left, vector) if inner else (vector, right))
        return _at(make(OPS["sum"], (product,), {"axis": (inner,), "dtype": node.type.dtype}), node)

    return settle(transform(outputs, visit), equal)


def _at(value: Expr, like: Expr) -> Expr:
    """``value``, told to be where ``like`` was written."""
    if not value.is_leaf and like.origin is not None:
        value.origin = like.origin
    return value
