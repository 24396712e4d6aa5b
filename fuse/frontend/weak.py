"""Python's numbers beside an expression in a traced function: of the dtype that NumPy gives them there (NEP 50)."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.expr import Constant, Expr, constant
from fuse.frontend.asserting import required
from fuse.frontend.elementwise import cast, ge, le
from fuse.trace import TRACE
from fuse.types import INTEGER

_SINGLE = {float: "float32", complex: "complex64", int: "int64", bool: "bool"}
_OPERATORS = {"add", "sub", "mul", "true_div", "int_div", "mod", "pow", "neg", "abs", "cast"}  # of Python's numbers
_WIDE = ("float64", "complex128")
_WHOLE = ("int32", "int64", "uint32", "uint64")
_NARROW = {"float16": "float16", "float32": "float32", "complex64": "float32"}


def as_numpy_does(*operands: Any, compared: bool = False) -> tuple[Any, ...]:
    """The operands, with Python's numbers as constants of the dtype they have beside the others.

    A 0-d expression of integers beside float32 is as a number too: it is a size or a count, as a rule, and
    ``x.sum() / x.shape[0]`` stays float32. So is what operators make of sizes and Python's numbers, as in
    ``x / x.shape[1] ** 0.5``, but not of sizes and NumPy's, as in ``x / (x.shape[1] * np.sqrt(2))``. Beside integers
    of 32 and 64 bits sizes, but no other counts, have their dtype, in which they have to fit; narrower ones NumPy
    refuses beside most sizes. Where they are ``compared`` with integers they are what they are.
    """
    exprs = [x for x in operands if isinstance(x, Expr)]
    arrays = [x.type.dtype for x in exprs] + [x.dtype.name for x in operands if isinstance(x, (np.ndarray, np.generic))]
    if not exprs or len(operands) < 2:
        return operands
    counts = set(filter(_is_count, exprs))
    others = [x.type.dtype for x in exprs if x not in counts] + arrays[len(exprs) :]
    common = np.result_type(*others).name if 0 < len(others) < len(arrays) else ""
    beside, whole = _NARROW.get(common), common if common in _WHOLE and not compared else None
    found = []
    for x in operands:
        if type(x) in (bool, int, float, complex):
            x = constant(x, dtype=np.result_type(*(others if beside or whole else arrays), x))
        elif isinstance(x, Expr):
            if beside is not None and x in counts:
                x = cast(x, "complex64" if x.type.dtype == "complex128" else beside)
            elif whole is not None and x in counts and x.type.dtype == "int64" and _of_sizes(x):
                x = _fitting(x, whole)
        elif isinstance(x, (np.float64, np.complex128)) and len(counts) == len(set(exprs)):
            x = required(constant(x), [], "")  # the number itself, which `_of_sizes` takes for no number of Python's
        found.append(x)
    return tuple(found)


def _fitting(x: Expr, dtype: str) -> Expr:
    """A number made of sizes in a dtype of integers; an error at run time where it is none of those."""
    if x.op.name == "shape_i" or dtype == "int64":
        return cast(x, dtype)
    limits = np.iinfo(dtype)
    fits = [ge(x, limits.min)] if dtype == "uint64" else [ge(x, limits.min), le(x, limits.max)]
    return cast(required(x, fits, f"a number made of sizes does not fit {dtype}", "FuseValueError"), dtype)


def _is_count(x: Expr) -> bool:
    return x.type.ndim == 0 and (x.type.dtype in INTEGER or x.type.dtype in _WIDE and _of_sizes(x))


def _of_sizes(x: Expr) -> bool:
    """Whether a number would be Python's in NumPy: made of sizes alone, which are integers there, by operators."""
    pending, seen = [x], {x}
    measured = False
    while pending:
        node = pending.pop()
        if node.op.name == "shape_i":
            measured = True
        elif isinstance(node, Constant) or node.op.name in _OPERATORS and not node.type.ndim:
            new = [a for a in node.args if a not in seen]
            seen.update(new)
            pending.extend(new)
        else:
            return False
    return measured


def numpys(*values: Any) -> tuple[Any, ...]:
    """The values of a choice; Python's numbers among them are constants where no array gives them a dtype."""
    if any(type(x) not in (bool, int, float, complex) for x in values):
        return values
    return tuple([constant(x, dtype=_SINGLE.get(type(x)) if TRACE.single else np.asarray(x).dtype) for x in values])
