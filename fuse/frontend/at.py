"""``x.at[index].set(y)``: changed copies of expressions, in the words that JAX has for them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend import elementwise as ew
from fuse.frontend.indexing import inc_subtensor, set_subtensor
from fuse.types import DISCRETE


class At:
    """``x.at``: waits for an index."""

    def __init__(self, x: Expr) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Place:
        return Place(self._x, index)


class Place:
    """``x.at[index]``: each method gives a copy of ``x`` in which the elements there are changed.

    Values are cast to the dtype of ``x``. ``set`` and ``add`` take any index (of equal indices the last value stays,
    and all are added); the others take no arrays of integers, which may name an element twice.

    >>> import fuse, numpy as np
    >>> fuse.jit(lambda x: x.at[1:].multiply(10.0))(np.ones(3))
    array([ 1., 10., 10.])
    >>> fuse.jit(lambda x: x.at[np.array([0, 0])].add(1))(np.ones(3))
    array([3., 1., 1.])
    """

    def __init__(self, x: Expr, index: Any) -> None:
        self._x, self._index = x, index

    def get(self) -> Expr:
        """The elements."""
        return self._x[self._index]

    def set(self, y: Any) -> Expr:
        """With ``y``, which broadcasts, in their place."""
        return set_subtensor(self.get(), self._cast(y))

    def add(self, y: Any) -> Expr:
        """With ``y`` added to them."""
        return inc_subtensor(self.get(), self._cast(y))

    def subtract(self, y: Any) -> Expr:
        """With ``y`` subtracted from them."""
        return inc_subtensor(self.get(), ew.neg(self._cast(y)))

    def multiply(self, y: Any) -> Expr:
        """With their products with ``y``."""
        return self.apply(lambda part: ew.mul(part, self._cast(y)))

    mul = multiply

    def divide(self, y: Any) -> Expr:
        """With their quotients by ``y``."""
        return self.apply(lambda part: ew.true_div(part, self._cast(y)))

    def power(self, y: Any) -> Expr:
        """With their powers."""
        return self.apply(lambda part: ew.pow(part, y))

    def min(self, y: Any) -> Expr:
        """With the smaller of each and ``y``."""
        return self.apply(lambda part: ew.minimum(part, self._cast(y)))

    def max(self, y: Any) -> Expr:
        """With the larger of each and ``y``."""
        return self.apply(lambda part: ew.maximum(part, self._cast(y)))

    def apply(self, function: Callable[[Expr], Any]) -> Expr:
        """With ``function`` of them."""
        entries = self._index if isinstance(self._index, tuple) else (self._index,)
        for entry in entries:
            plain = entry is None or entry is Ellipsis or isinstance(entry, (int, slice))
            if not plain and as_expr(entry).type.ndim and as_expr(entry).type.dtype in DISCRETE[1:]:
                raise FuseTypeError(
                    "an array of integers may name an element twice, which only set, add and subtract understand: "
                    "index with a slice or a mask"
                )
        return set_subtensor(self.get(), self._cast(function(self.get())))

    def _cast(self, y: Any) -> Expr:
        y = as_expr(y)
        return y if y.type.dtype == self._x.type.dtype else ew.cast(y, self._x.type.dtype)


__all__ = ["At", "Place"]
