"""as_op: an op of a Python function on arrays."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError
from fuse.frontend.apply import Apply
from fuse.frontend.class_op import Op
from fuse.typebase import Type


class FromFunctionOp(Op):
    """The op of a Python function on arrays, made by ``as_op``."""

    def __init__(
        self, fn: Callable[..., Any], itypes: Sequence[Type], otypes: Sequence[Type], infer_shape: Any
    ) -> None:
        self.fn, self.itypes, self.otypes = fn, tuple(itypes), tuple(otypes)
        if infer_shape is not None:
            self.infer_shape = infer_shape

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.fn == other.fn

    def __hash__(self) -> int:
        return hash((type(self), self.fn))

    def __str__(self) -> str:
        return f"FromFunctionOp{{{self.fn.__name__}}}"

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        found = self.fn(*inputs)
        results = found if isinstance(found, (list, tuple)) else (found,)
        if len(results) != len(output_storage):
            count = len(output_storage)
            raise FuseValueError(f"{self.fn.__name__} returned {len(results)} results, otypes has {count}")
        for cell, value in zip(output_storage, results, strict=True):
            cell[0] = value

    def __reduce__(self) -> Any:
        return _named_op, (self.fn.__module__, self.fn.__qualname__)


def _named_op(module: str, name: str) -> Any:
    import importlib
    from functools import reduce

    return reduce(getattr, name.split("."), importlib.import_module(module))


def as_op(
    itypes: Any, otypes: Any, infer_shape: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], FromFunctionOp]:
    """Make an op of the decorated function on arrays; ``itypes`` and ``otypes`` are types or lists of types.

    >>> import numpy as np, fuse, fuse.tensor as T
    >>> @fuse.as_op(itypes=[T.dmatrix], otypes=[T.dvector])
    ... def row_medians(x):
    ...     return np.median(x, axis=1)
    >>> x = T.dmatrix("x")
    >>> row_medians(x).eval({x: [[1, 2, 6], [4, 4, 5]]})
    array([2., 4.])
    """

    def listed(types: Any) -> list[Type]:
        found = []
        for t in types if isinstance(types, (list, tuple)) else [types]:
            t = t if isinstance(t, Type) else getattr(t, "type", None) or getattr(t(), "type", None)
            if not isinstance(t, Type):
                raise FuseTypeError("itypes and otypes are types such as fuse.tensor.dmatrix")
            found.append(t)
        return found

    def decorate(fn: Callable[..., Any]) -> FromFunctionOp:
        return FromFunctionOp(fn, listed(itypes), listed(otypes), infer_shape)

    return decorate


wrap_py = as_op
