"""Python's numbers beside an expression in a traced function: of the dtype that NumPy gives them there (NEP 50)."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.expr import Expr, constant
from fuse.frontend.elementwise import cast
from fuse.trace import TRACE
from fuse.types import INTEGER

_SINGLE = {float: "float32", complex: "complex64", int: "int64", bool: "bool"}
_NARROW = {"float16": "float16", "float32": "float32", "complex64": "float32"}


def as_numpy_does(*operands: Any) -> tuple[Any, ...]:
    """The operands, with Python's numbers as constants of the dtype they have beside the others.

    A 0-d expression of integers beside float32 is as a number too: it is a size or a count, as a rule, and
    ``x.sum() / x.shape[0]`` stays float32.
    """
    exprs = [x for x in operands if isinstance(x, Expr)]
    arrays = [x.type.dtype for x in exprs] + [x.dtype.name for x in operands if isinstance(x, (np.ndarray, np.generic))]
    if not exprs or len(operands) < 2:
        return operands
    found = []
    for x in operands:
        if type(x) in (bool, int, float, complex):
            x = constant(x, dtype=np.result_type(*arrays, x))
        elif isinstance(x, Expr) and x.type.ndim == 0 and x.type.dtype in INTEGER:
            floats = [d for d in arrays if d not in INTEGER and d != "bool"]
            if floats and all(d in _NARROW for d in floats):
                x = cast(x, _NARROW[str(np.result_type(*floats))])
        found.append(x)
    return tuple(found)


def numpys(*values: Any) -> tuple[Any, ...]:
    """The values of a choice; Python's numbers among them are constants where no array gives them a dtype."""
    if any(type(x) not in (bool, int, float, complex) for x in values):
        return values
    return tuple([constant(x, dtype=_SINGLE.get(type(x)) if TRACE.single else np.asarray(x).dtype) for x in values])
