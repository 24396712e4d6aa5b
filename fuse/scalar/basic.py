"""Theano's ``scalar.basic``: upcast, identity and the type of a 0-d expression."""
from __future__ import annotations

from typing import Any

from fuse.expr import Expr, as_expr
from fuse.types import TensorType, dtype_name, promote


def upcast(dtype: Any, *dtypes: Any) -> str:
    """The dtype that NumPy gives an operation on these.

    >>> upcast("int8", "float32")
    'float32'
    """
    return promote(*map(dtype_name, (dtype, *dtypes)))


def identity(x: Any) -> Expr:
    """``x`` as an expression."""
    return as_expr(x)


def ScalarType(dtype: Any) -> TensorType:
    """The type of a 0-d expression of ``dtype``."""
    return TensorType(dtype, ())


Scalar = ScalarType
