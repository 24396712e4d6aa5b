"""From expressions to SymPy: each op's ``sympy`` template applied while walking the graph."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError
from fuse.expr import Constant, Expr, toposort
from fuse.op import Op
from fuse.types import DISCRETE

_DENOMINATOR = 4096  # floats that are fractions over at most this are written as such


def to_sympy(expr: Expr, mapping: Mapping[Expr, Any] | None = None) -> Any:
    """``expr`` as a SymPy expression; an array of known shape as a SymPy Array.

    An input becomes the Symbol of its name, an input array of known shape the symbols ``x_0``, ``x_1``, ...;
    ``mapping`` gives others. Floats that are short fractions become rationals.

    Raises FuseTypeError for arrays of run-time shape and for ops without a meaning in SymPy.

    >>> import fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> T.log1p(x).to_sympy()
    log(x + 1)
    """
    import sympy

    given = dict(mapping or {})
    memory: dict[Expr, Any] = {}
    for node in toposort([expr], known=given):
        memory[node] = _value(node, [memory[a] if a in memory else _array(given[a]) for a in node.args])
    value = memory[expr] if expr in memory else _array(given[expr])
    return sympy.sympify(value[()]) if value.ndim == 0 else sympy.Array(value.tolist())


def _array(value: Any) -> np.ndarray[Any, Any]:
    import sympy

    if isinstance(value, (sympy.MatrixBase, sympy.NDimArray)):
        value = value.tolist()
    out = np.empty(np.shape(np.array(value, dtype=object)) if isinstance(value, list) else (), dtype=object)
    out[...] = value
    return out


def _value(node: Expr, args: list[Any]) -> Any:
    if isinstance(node, Constant):
        return _mapped(_number, node.data.astype(object), dtype=node.dtype)
    if node.is_leaf:
        return _symbols(node)
    op = node.op
    if op.kind == "elementwise" and op.name not in ("cast", "fill", "zero_grad", "disconnected_grad"):
        return np.asarray(_template(op)(*args), dtype=object)
    if op.name in ("zero_grad", "disconnected_grad"):
        return args[0]
    if op.name == "cast":
        return (
            _mapped(_truncated, args[0]) if node.dtype in DISCRETE and node.args[0].dtype not in DISCRETE else args[0]
        )
    if op.name == "fill":
        return np.broadcast_to(args[1], np.broadcast_shapes(args[0].shape, args[1].shape))
    if op.name in _ARRAY_OPS:
        return np.asarray(_ARRAY_OPS[op.name](args, node), dtype=object)
    if op.kind in ("index", "view"):
        whole = [a if i == 0 else np.asarray(a, dtype="int64") for i, a in enumerate(args)]
        return np.asarray(op.numpy(*whole, **node.params), dtype=object)
    raise FuseTypeError(
        f"{op} has no meaning in SymPy; these ops have: elementwise ones, sums, products, dot, views"
    )


def _mapped(fn: Callable[..., Any], array: Any, **options: Any) -> Any:
    out = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        out[index] = fn(array[index], **options)
    return out


def _number(value: Any, dtype: str) -> Any:
    """An exact SymPy number for a short fraction, a Float for other floats."""
    import sympy

    if isinstance(value, bool):
        return sympy.true if value else sympy.false
    if isinstance(value, int):
        return sympy.Integer(value)
    if isinstance(value, complex):
        return _number(value.real, dtype) + sympy.I * _number(value.imag, dtype)
    if value != value:
        return sympy.nan
    if value in (float("inf"), float("-inf")):
        return sympy.oo if value > 0 else -sympy.oo
    numerator, denominator = value.as_integer_ratio()
    return sympy.Rational(numerator, denominator) if denominator <= _DENOMINATOR else sympy.Float(value)


def _truncated(value: Any) -> Any:
    import sympy

    return sympy.sign(value) * sympy.floor(sympy.Abs(value))


def _symbols(node: Expr) -> Any:
    import sympy

    if not node.name:
        raise FuseTypeError(f"an input without a name ({node.type}) needs one, or a symbol in mapping")
    integer = {"integer": True} if node.dtype in DISCRETE and node.dtype != "bool" else {}
    shape: Any = node.type.shape
    if None in shape:
        raise FuseTypeError(
            f"{node.name} is a {node.type.describe()}: only arrays of known shape go to SymPy. Declare one with "
            f"tensor(dtype, shape=(3,)), or give symbols in mapping"
        )
    out: Any = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        out[index] = sympy.Symbol("_".join([node.name, *map(str, index)]), **integer)
    return out


@cache
def _template(op: Op) -> Callable[..., Any]:
    """The op's meaning as a function of object arrays. Templates are source text of fuse, never of a user's data."""
    import sympy

    if op.sympy is None:
        raise FuseTypeError(f"{op} has no meaning in SymPy: its record has no sympy template")
    nargs = op.nargs or 2
    names = ", ".join(("x", "y", "z", "w")[:nargs])
    scope = {name: getattr(sympy, name) for name in sympy.__all__ if not name.startswith("_")}
    scope["loggamma"] = sympy.loggamma
    meaning = eval(f"lambda {names}: {op.sympy}", scope)
    return np.frompyfunc(lambda *xs: sympy.sympify(meaning(*map(sympy.sympify, xs))), nargs, 1)


def _extremum(name: str) -> Callable[..., Any]:
    def apply(args: list[Any], node: Expr) -> Any:
        import sympy

        array = args[0]
        for axis in sorted(node.params["axis"], reverse=True):
            array = np.apply_along_axis(lambda line: getattr(sympy, name)(*line), axis, array)
        return array

    return apply


_ARRAY_OPS: dict[str, Callable[..., Any]] = {
    "sum": lambda args, node: np.sum(args[0], axis=node.params["axis"]),
    "prod": lambda args, node: np.prod(args[0], axis=node.params["axis"]),
    "max": _extremum("Max"),
    "min": _extremum("Min"),
    "dot": lambda args, node: np.dot(*args),
    "matmul": lambda args, node: np.matmul(*args),
    "make_vector": lambda args, node: np.array([a[()] for a in args], dtype=object),
    "join": lambda args, node: np.concatenate(args, axis=node.params["axis"]),
}
