"""Permutations as vectors of positions: applied to the rows of a matrix, and inverted."""
from __future__ import annotations

from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend.elementwise import cast
from fuse.frontend.layout import dimshuffle
from fuse.frontend.selecting import take_along_axis
from fuse.frontend.sorting import argsort
from fuse.types import INTEGER

__all__ = ["inverse_permutation", "permute_row_elements"]


def permute_row_elements(x: Any, y: Any, inverse: Any = 0) -> Expr:
    """The rows of ``x`` with their elements in the order of the rows of ``y``: ``out[..., j] = x[..., y[..., j]]``.

    With ``inverse`` the order is undone: ``out[..., y[..., j]] = x[..., j]``. Leading axes broadcast.
    Raises FuseTypeError unless ``y`` holds integers.

    >>> permute_row_elements([10, 20, 30], [2, 0, 1]).eval()
    array([30, 10, 20])
    >>> permute_row_elements([10, 20, 30], [2, 0, 1], inverse=True).eval()
    array([20, 30, 10])
    """
    x, y = as_expr(x), as_expr(y)
    if y.type.dtype not in INTEGER:
        raise FuseTypeError(f"a permutation is made of integers, not of {y.type.dtype}")
    rank = max(x.type.ndim, y.type.ndim)
    x, y = [dimshuffle(a, ["x"] * (rank - a.type.ndim) + list(range(a.type.ndim))) for a in (x, y)]
    return take_along_axis(x, argsort(y, axis=-1) if bool(inverse) else y, axis=-1)


def inverse_permutation(perm: Any) -> Expr:
    """The permutations that undo those in the rows of ``perm``, in its dtype.

    Raises FuseTypeError for what is no integer.

    >>> inverse_permutation([2, 0, 1]).eval()
    array([1, 2, 0])
    """
    perm = as_expr(perm)
    if perm.type.dtype not in INTEGER:
        raise FuseTypeError(f"a permutation is made of integers, not of {perm.type.dtype}")
    return cast(argsort(perm, axis=-1), perm.type.dtype)
