"""NumPy under another name, for programs that import ``jax.numpy`` or ``autograd.numpy``.

Everything here is NumPy's own, since its functions build expressions when they are given some, but for those that make
an array out of a list, a number or several values, which NumPy does by itself: ``array``, ``asarray``, ``full``, ``r_``
and ``c_``; and for ``vectorize``, which is ``fuse.vectorize``. Arrays that are made here of sizes, bounds or values
(``array``, ``zeros``, ``arange``, ``eye``, ...) may be indexed by expressions and have ``.at`` (`fuse.frontend.held`).
"""
from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend import axes, creation, join  # not their functions: names here that NumPy has, too, would hide its
from fuse.frontend import elementwise as ew
from fuse.frontend.held import held
from fuse.transforms.mapped import vectorize

__all__ = ["array", "asanyarray", "asarray", "ascontiguousarray", "c_", "full", "r_", "vectorize"]

for _name in ("fft", "linalg", "random"):  # import fuse.numpy.linalg
    sys.modules[f"{__name__}.{_name}"] = getattr(np, _name)


def _symbolic(value: Any) -> bool:
    return isinstance(value, Expr) or isinstance(value, (list, tuple)) and any(map(_symbolic, value))


def _stacked(value: Any) -> Expr:
    if isinstance(value, (list, tuple)) and _symbolic(value):
        return join.stack([_stacked(v) for v in value])
    return as_expr(value)


def array(object: Any, dtype: Any = None, *, ndmin: int = 0, **options: Any) -> Any:
    """``numpy.array``; where a list, or a list of lists, holds expressions, an expression that stacks them.

    >>> import fuse
    >>> turn = fuse.jit(lambda a: array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]))
    >>> turn(0.0)
    array([[ 1., -0.],
           [ 0.,  1.]])
    """
    if not _symbolic(object):
        return held(np.array(object, dtype=dtype, ndmin=ndmin, **options))
    made = _stacked(object)
    made = made if dtype is None else ew.cast(made, dtype)
    return made.dimshuffle(*["x"] * max(0, ndmin - made.type.ndim), *range(made.type.ndim))


def asarray(a: Any, dtype: Any = None, **options: Any) -> Any:
    """``numpy.asarray``, as ``array``.

    >>> asarray([1.0, 2.0])
    array([1., 2.])
    """
    return array(a, dtype) if _symbolic(a) else held(np.asarray(a, dtype=dtype, **options))


asanyarray = ascontiguousarray = asarray


def full(shape: Any, fill_value: Any, dtype: Any = None, **options: Any) -> Any:
    """``numpy.full``; of an expression, or of sizes that are expressions, an expression.

    >>> import fuse
    >>> fuse.jit(lambda x: full((2, 2), x))(1.5)
    array([[1.5, 1.5],
           [1.5, 1.5]])
    """
    if _symbolic(shape) or _symbolic(fill_value):
        return creation.full(shape, _stacked(fill_value), dtype)
    return held(np.full(shape, fill_value, dtype=dtype, **options))


class _Joiner:
    """``r_`` and ``c_``: parts between brackets, joined along the last axis."""

    def __init__(self, name: str, columns: bool) -> None:
        self._name, self._columns = name, columns

    def __repr__(self) -> str:
        return self._name

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if not any(_symbolic(p) for p in parts):
            return getattr(np, self._name)[key]
        if any(isinstance(p, str) for p in parts):
            raise FuseTypeError(f"{self._name} with text is for arrays: write np.concatenate or np.stack")
        made = [as_expr(np.r_[p]) if isinstance(p, slice) else axes.atleast_1d(_stacked(p)) for p in parts]
        if self._columns:
            made = [p if p.type.ndim > 1 else p.dimshuffle(0, "x") for p in made]
        return join.concatenate(made, axis=-1 if self._columns else 0)


r_, c_ = _Joiner("r_", columns=False), _Joiner("c_", columns=True)


# NumPy's functions that make arrays of sizes and bounds.
_MAKERS = frozenset(
    "arange diag_indices empty eye frombuffer fromfunction fromiter fromstring genfromtxt geomspace hamming hanning "
    "identity indices kaiser bartlett blackman linspace loadtxt logspace meshgrid ones tri tril_indices triu_indices "
    "zeros".split()
)


def __getattr__(name: str) -> Any:
    found = getattr(np, name)
    if name not in _MAKERS:
        return found

    @functools.wraps(found)
    def made(*args: Any, **options: Any) -> Any:
        return held(found(*args, **options))

    globals()[name] = made
    return made


def __dir__() -> list[str]:
    return sorted({*dir(np), *__all__})
