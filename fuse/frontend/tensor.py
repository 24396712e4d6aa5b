"""Constructors of input variables, as_tensor_variable, and the operators and methods of expressions."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.config import config
from fuse.errors import DTypeError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Constant, Expr, as_expr, constant, variable
from fuse.frontend import methods, numpy_protocol
from fuse.frontend.layout import dimshuffle
from fuse.types import DTYPES, Shape, TensorType, dtype_name

# The table of constructors: name -> static shape (1: the axis broadcasts).
SHAPES: dict[str, Shape] = {
    "scalar": (), "vector": (None,), "matrix": (None, None), "row": (1, None), "col": (None, 1),
    **{f"tensor{n}": (None,) * n for n in range(3, 8)},
}
PREFIXES = {
    "b": "int8", "w": "int16", "i": "int32", "l": "int64", "f": "float32", "d": "float64", "c": "complex64",
    "z": "complex128",
}
PLURALS = {
    "scalar": "scalars", "vector": "vectors", "matrix": "matrices", "row": "rows", "col": "cols",
    **{f"tensor{n}": f"tensor{n}s" for n in range(3, 8)},
}


def tensor(*args: Any, dtype: Any = None, shape: Any = None, broadcastable: Any = None,
    name: str | None = None) -> Expr:
    """An input variable of any dtype and static shape.

    ``shape`` has a size or None (known at run time) per axis; ``broadcastable``, Theano's form, True or False. By
    position either Theano's order (dtype, broadcastable, name) or (name, dtype, shape).
    Raises FuseTypeError where there is no shape.

    >>> tensor("float32", shape=(None, 3), name="x").type
    TensorType(float32, (?, 3))
    >>> tensor("x", shape=(2,)).type
    TensorType(float64, (2,))
    """
    rest = list(args)
    if rest and _names_dtype(rest[0], dtype):
        dtype = rest.pop(0)
        if rest and shape is None and broadcastable is None:
            shape = rest.pop(0)
    elif rest and name is None:
        name = rest.pop(0)
        if rest and dtype is None:
            dtype = rest.pop(0)
        if rest and shape is None and broadcastable is None:
            shape = rest.pop(0)
    if rest and name is None:
        name = rest.pop(0)
    if rest:
        raise FuseTypeError("tensor takes (dtype, shape, name) or (name, dtype, shape)")
    if shape is None and broadcastable is None:
        raise FuseTypeError("tensor needs a shape: tensor('x', shape=(None, 3)) is a matrix with three columns")
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        shape = (shape,)
    type_ = TensorType(config.floatX if dtype is None else dtype, shape, broadcastable=broadcastable)
    return type_(name) if 0 not in type_.shape else variable(type_, name)


def _names_dtype(value: Any, dtype: Any) -> bool:
    if not isinstance(value, str):
        return value is not None
    return dtype is None and (value in DTYPES or value == "floatX")


def _constructor(kind: str, shape: Shape) -> Callable[..., Expr]:
    def make(name: str | None = None, dtype: Any = None, *, shape: Any = None) -> Expr:
        if name is not None and not isinstance(name, str):
            raise FuseTypeError(f"the name of a variable is a string, not {name!r}: write {kind}('x', dtype=...)")
        static = own if shape is None else tuple(shape)
        if len(static) != len(own):
            raise ShapeError(f"a {kind} has {len(own)} dimensions, not {len(static)}")
        return TensorType(config.floatX if dtype is None else dtype_name(dtype), static)(name)

    own = shape
    make.__name__ = make.__qualname__ = kind
    make.__doc__ = (
        f"An input variable: a {kind}, of floatX or the given dtype.\n\n"
        f">>> {kind}('x').type.broadcastable\n{tuple(n == 1 for n in shape)}\n"
    )
    return make


def _plural(one: Callable[..., Expr], type_: TensorType, kind: str, many: str) -> Callable[..., Any]:
    def make(*names: Any, **options: Any) -> Any:
        if len(names) == 1 and isinstance(names[0], int):
            names = (None,) * names[0]
        elif len(names) == 1 and isinstance(names[0], (str, list, tuple)):
            names = tuple(names[0])  # dmatrices("ab") makes two, as in Theano
        if len(names) == 1:
            return one(names[0], **options)
        return [one(name, **options) for name in names]

    make.__name__ = make.__qualname__ = many
    make.__doc__ = (
        f"Several {kind} variables: {many}('x', 'y'), {many}('xy'), or {many}(2) without names.\n\n"
        f">>> x, y = {many}('x', 'y')\n>>> x.type\n{type_!r}\n"
    )
    return make


def _constructors() -> dict[str, Any]:
    """Every constructor by name. A prefixed one (dmatrix) is a type, and calling it makes a variable, as in Theano."""
    table: dict[str, Any] = {}
    for kind, shape in SHAPES.items():
        table[kind] = _constructor(kind, shape)
        table[PLURALS[kind]] = _plural(table[kind], TensorType(config.floatX, shape), kind, PLURALS[kind])
        for letter, dtype in PREFIXES.items():
            one = table[letter + kind] = TensorType(dtype, shape)
            table[letter + PLURALS[kind]] = _plural(one, one, letter + kind, letter + PLURALS[kind])
    return table


CONSTRUCTORS = _constructors()
globals().update(CONSTRUCTORS)


def as_tensor_variable(x: Any, name: str | None = None, ndim: int | None = None, dtype: Any = None) -> Expr:
    """``x`` as an expression: itself, a constant, a stack of a list of expressions.

    With ``ndim``, leading axes of size 1 are added, or taken away, until there are so many.
    Raises ShapeError where ``x`` has more than ``ndim`` axes, FuseTypeError for what is no array.

    >>> as_tensor_variable([1, 2, 3]).type
    TensorType(int64, (3,))
    """
    if hasattr(x, "outputs") and not isinstance(x, Expr):  # an application
        x = x.default_output()
    expr = as_expr(x, name=name, dtype=dtype) if not isinstance(x, Expr) else x
    if ndim is None or ndim == expr.type.ndim:
        return expr
    extra = ndim - expr.type.ndim
    if extra > 0:
        return dimshuffle(expr, ["x"] * extra + list(range(expr.type.ndim)))
    if any(n != 1 for n in expr.type.shape[:-extra]):
        raise ShapeError(
            f"Tensor of type {expr.type} could not be cast to have {ndim} dimensions: its leading axes may exceed 1"
        )
    return dimshuffle(expr, list(range(-extra, expr.type.ndim)))


_SEEN_THROUGH = ("assert", "broadcast_to", "cast", "dimshuffle", "fill", "reshape")


def get_scalar_constant_value(x: Any, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
    """The value of a 0-d expression of constants, as an array; NotScalarConstantError where ``x`` is not one.

    An array of one element, or of one value repeated, counts; one without elements is a FuseValueError. Theano's
    further arguments are accepted, without effect.

    >>> get_scalar_constant_value(as_tensor_variable(3.0))
    array(3., dtype=float32)
    """
    from fuse.frontend.sizes import constant_value

    expr = as_expr(x)
    while expr.op.name in _SEEN_THROUGH and not isinstance(expr, Constant):
        known = [constant_value(c) for c in expr.args[1:]] if expr.op.name == "assert" else []
        if any(c is None or not c.all() for c in known):
            break
        expr = expr.args[1] if expr.op.name == "fill" else expr.args[0]
    value = constant_value(expr)
    if value is not None and not value.size:
        raise FuseValueError("an array without elements is not a constant number")
    if value is not None and value.size == 1:
        return np.array(value).reshape(()).astype(as_expr(x).type.dtype)
    raise NotScalarConstantError(f"{x} is not a constant number")


class NotScalarConstantError(DTypeError):
    """An expression that is not a 0-d constant where one was needed at build time.

    >>> get_scalar_constant_value(lscalar("n"))
    Traceback (most recent call last):
        ...
    fuse.frontend.tensor.NotScalarConstantError: n is not a constant number
    """


methods.attach(Expr)
numpy_protocol.attach(Expr)

__all__ = [
    "NotScalarConstantError", "TensorType", "as_tensor_variable", "constant", "get_scalar_constant_value", "tensor",
    *CONSTRUCTORS,
]
