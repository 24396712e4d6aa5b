"""NumPy arrays that expressions may index, and that have ``.at``: what ``fuse.numpy`` makes."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.expr import Constant, Expr, as_expr, leaves
from fuse.frontend.at import At, Place
from fuse.reference import evaluate


class Array(np.ndarray[Any, Any]):
    """A NumPy array; indexed by an expression it is an expression, which NumPy's own arrays cannot be.

    ``a.at[index].set(y)`` and its kin (`fuse.frontend.at.Place`) are changed copies: arrays where everything in them is
    known, else expressions.

    >>> import fuse, fuse.numpy as jnp
    >>> fuse.jit(lambda labels: jnp.eye(3)[labels])(np.array([2, 0]))
    array([[0., 0., 1.],
           [1., 0., 0.]])
    >>> jnp.zeros(3).at[1:].set(5.0)
    array([0., 5., 5.])
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return as_expr(self)[index] if _symbolic(index) else super().__getitem__(index)

    @property
    def at(self) -> Any:
        """Changed copies: ``a.at[index].set(y)``, ``.add(y)``, ..."""
        return _At(At(as_expr(self)))

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else super().__array_wrap__(array, context, return_scalar)

    def __repr__(self) -> str:
        return repr(np.asarray(self))


def held(value: Any) -> Any:
    """``value``, its arrays in the class ``Array``."""
    if type(value) is np.ndarray:
        return value.view(Array)
    return type(value)(map(held, value)) if type(value) in (list, tuple) else value


def computed(made: Expr) -> Any:
    """``made`` as an array where everything in it is known, else as it is."""
    return held(evaluate([made], {})[0]) if all(isinstance(x, Constant) for x in leaves([made])) else made


def _symbolic(index: Any) -> bool:
    if isinstance(index, slice):
        return any(isinstance(i, Expr) for i in (index.start, index.stop, index.step))
    return isinstance(index, Expr) or isinstance(index, (list, tuple)) and any(map(_symbolic, index))


class _At:
    """What `Array.at` is: as of an expression, but for results."""

    def __init__(self, at: At) -> None:
        self._at = at

    def __getitem__(self, index: Any) -> _Place:
        return _Place(self._at[index])


class _Place:
    """A place in an array: what is made of known values alone is an array again."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._place, name)

        def called(*args: Any, **options: Any) -> Any:
            return computed(method(*args, **options))

        return called


__all__ = ["Array", "computed", "held"]
