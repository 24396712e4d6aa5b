"""Matrices taken apart once: solving systems with a matrix, its inverse and its determinant share triangular factors.

A Gaussian likelihood and its gradient ask for all of these of one matrix and of its transpose. NumPy takes it apart for
each: with 100 rows and more that is most of the time. Stacks keep NumPy's own loops over their matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuse.codegen.expand import keep_origin, replaced
from fuse.expr import Expr, constant, toposort
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import diagonal, iota
from fuse.frontend.linalg import transpose_last
from fuse.frontend.lu import lu_factor, lu_inverse, lu_solution
from fuse.frontend.sizes import sizes_of

SHARING = ("solve", "matrix_inverse", "slogdet")


def with_shared_factors(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` with the steps that need factors of one matrix using the same ones."""
    asking: dict[Expr, list[Expr]] = {}
    for node in toposort(outputs):
        if node.op.name in SHARING and _is_plain(node):
            asking.setdefault(_upright(node.args[0])[0], []).append(node)
    sharing = {node for nodes in asking.values() if len(nodes) > 1 for node in nodes}

    def put(node: Expr, new: dict[Expr, Expr]) -> Expr | None:
        if node.op.name == "part" and node.args[0] in sharing:
            matrix, _ = _upright(node.args[0].args[0])
            return _determinant(*_factors(new[matrix], node))[node.params["i"]]
        if node not in sharing or node.op.name == "slogdet":
            return None
        matrix, transposed = _upright(node.args[0])
        packed, pivots = _factors(new[matrix], node)
        if node.op.name == "solve":
            return lu_solution(packed, pivots, new[node.args[1]], transposed=transposed)
        inverse = lu_inverse(packed, pivots)
        return transpose_last(inverse) if transposed else inverse

    return replaced(outputs, put) if sharing else list(outputs)


def _is_plain(node: Expr) -> bool:
    """Whether the operands are one real matrix and what has its dtype."""
    dtype = node.args[0].type.dtype
    return node.args[0].type.ndim == 2 and dtype in ("float32", "float64") and all(
        x.type.dtype == dtype and x.type.ndim <= 2 for x in node.args
    )


def _upright(matrix: Expr) -> tuple[Expr, bool]:
    """(the matrix that is transposed, whether it is)."""
    if matrix.op.name == "dimshuffle" and matrix.params["pattern"] == (1, 0):
        return matrix.args[0], True
    return matrix, False


def _factors(matrix: Expr, asking: Expr) -> tuple[Expr, Expr]:
    """The factors of a matrix, with the line of the user's program that asks for them."""
    packed, pivots = lu_factor(matrix)
    keep_origin(packed.args[0], asking)
    return packed, pivots


def _determinant(packed: Expr, pivots: Expr) -> tuple[Expr, Expr]:
    """The sign and the logarithm of the determinant of a matrix from its factors: its transpose has the same ones.

    As in NumPy a pivot that is no number has a sign, and one that is 0 is told whatever the others are.
    """
    pivot = diagonal(packed)
    exchanges = ew.neq(pivots, iota(sizes_of(pivots)[0])).sum()
    odd = ew.mod(ew.add(exchanges, ew.lt(pivot, 0).sum()), 2)
    singular = ew.eq(pivot, 0).any()
    sign = ew.switch(singular, 0, ew.sub(1, ew.mul(2, odd)))
    logarithm = ew.log(ew.abs(pivot)).sum()
    return ew.cast(sign, packed.type.dtype), ew.switch(singular, constant(-np.inf, packed.type.dtype), logarithm)
