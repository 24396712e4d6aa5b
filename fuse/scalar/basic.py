"""Theano's ``scalar.basic``: functions and types of scalars, which are 0-d expressions here."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as _np

from fuse import types as _types
from fuse.errors import DTypeError as ComplexError
from fuse.expr import Constant, Expr, as_expr, substitute, variable
from fuse.frontend.elementwise import *
from fuse.frontend.tensor import as_tensor_variable as as_scalar
from fuse.frontend.tensor import constant as constant
from fuse.scalar.classes import *
from fuse.tensor.op_classes import op_class as _op_class
from fuse.tensor.op_classes import plain_classes as _plain_classes
from fuse.types import COMPLEX, CONTINUOUS, DISCRETE, FLOATING, INTEGER, TensorType, dtype_name, promote

IntegerDivisionError = TypeError
ScalarVariable, ScalarConstant = Expr, Constant


def round_half_away_from_zero_vec(a: Any) -> Any:
    """The NumPy function behind ``round_half_away_from_zero``, of arrays.

    >>> round_half_away_from_zero_vec([0.5, -1.5])
    array([ 1., -2.])
    """
    a = _np.asarray(a, dtype=_np.result_type(_np.asarray(a), _np.float16))
    return _np.copysign(_np.floor(_np.abs(a) + a.dtype.type(0.5)), a)


class ScalarType(TensorType):
    """The type of a 0-d expression of ``dtype``, equal to the TensorType of that dtype and rank 0; prints as its dtype.

    >>> str(ScalarType("int8")), ScalarType("int8")("n").type == TensorType("int8", ())
    ('int8', True)
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(dtype, ())

    def __call__(self, name: str | None = None, *, shape: Any = None) -> Expr:
        return variable(TensorType(self.dtype, ()), name)

    def __eq__(self, other: object) -> Any:
        return isinstance(other, TensorType) and (self.dtype, self.shape) == (other.dtype, other.shape)

    __hash__ = TensorType.__hash__

    def __str__(self) -> str:
        return self.dtype

    def __repr__(self) -> str:
        return f"Scalar({self.dtype})"


Scalar = get_scalar_type = ScalarType
float_types, complex_types, discrete_types, continuous_types = (
    [ScalarType(d) for d in group] for group in (FLOATING, COMPLEX, DISCRETE, CONTINUOUS)
)
int_types = [ScalarType(d) for d in INTEGER if d[0] == "i"]
uint_types = [ScalarType(d) for d in INTEGER if d[0] == "u"]
integer_types = int_types + uint_types
all_types = discrete_types + continuous_types
bool_ = bool = ScalarType("bool")
int8, int16, int32, int64 = int_types
uint8, uint16, uint32, uint64 = uint_types
float16, float32, float64 = float_types
complex64, complex128 = complex_types


def upcast(dtype: Any, *dtypes: Any) -> str:
    """The dtype that NumPy gives an operation on these.

    >>> upcast("int8", "float32")
    'float32'
    """
    return promote(*map(dtype_name, (dtype, *dtypes)))


def identity(x: Any) -> Expr:
    """``x`` as an expression."""
    return as_expr(x)


def _makers(dtype: str) -> Callable[..., Any]:
    def make(*names: Any) -> Any:
        """New scalars: one for each letter of a name, or for each name."""
        listed = list(names[0]) if len(names) == 1 and isinstance(names[0], str) else list(names)
        made = [variable(TensorType(dtype, ()), name) for name in listed]
        return made[0] if len(made) == 1 else made

    return make


floats, ints, complexs = _makers("float64"), _makers("int64"), _makers("complex128")
complexs64 = _makers("complex64")


class Composite:
    """The function of scalars or arrays that has ``outputs`` as its value at ``inputs``.

    >>> x, y = floats("xy")
    >>> f = Composite([x, y], [x * y + x])
    >>> float(f(as_expr(2.0), as_expr(3.0)).eval())
    8.0
    """

    def __init__(self, inputs: Sequence[Expr], outputs: Sequence[Expr]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)

    def make_node(self, *args: Any) -> SimpleNamespace:
        """The arguments, and the outputs at them."""
        if len(args) != len(self.inputs):
            raise TypeError(f"this Composite takes {len(self.inputs)} arguments, not {len(args)}")
        given = list(map(as_expr, args))
        found = substitute(self.outputs, dict(zip(self.inputs, given, strict=True)))
        return SimpleNamespace(op=self, inputs=given, outputs=found, out=found[0])

    def __call__(self, *args: Any) -> Any:
        found = self.make_node(*args).outputs
        return found[0] if len(found) == 1 else found


# Theano's classes of scalar ops, by the function that each stands for.
_CLASSES = {
    "Abs": "abs", "Add": "add", "Sub": "sub", "Mul": "mul", "TrueDiv": "true_div", "IntDiv": "int_div", "Mod": "mod",
    "Pow": "pow", "Neg": "neg", "Inv": "reciprocal", "Sqr": "sqr", "Sqrt": "sqrt", "Exp": "exp", "Exp2": "exp2",
    "Expm1": "expm1", "Log": "log", "Log2": "log2", "Log10": "log10", "Log1p": "log1p", "Sgn": "sgn", "Ceil": "ceil",
    "Floor": "floor", "Trunc": "trunc", "RoundHalfToEven": "round_half_to_even", "EQ": "eq", "NEQ": "neq", "LT": "lt",
    "LE": "le", "GT": "gt", "GE": "ge", "IsNan": "isnan", "IsInf": "isinf", "AND": "and_", "OR": "or_", "XOR": "xor",
    "Invert": "invert", "Switch": "switch", "Clip": "clip", "Maximum": "maximum", "Minimum": "minimum",
    "FloorDivide": "int_div", "TrueDivide": "true_div", "Second": "fill",
    "Cos": "cos", "Sin": "sin", "Tan": "tan", "ArcCos": "arccos", "ArcSin": "arcsin",
    "ArcTan": "arctan", "ArcTan2": "arctan2", "Cosh": "cosh", "Sinh": "sinh", "Tanh": "tanh", "ArcCosh": "arccosh",
    "ArcSinh": "arcsinh", "ArcTanh": "arctanh", "Real": "real", "Imag": "imag", "Angle": "angle", "Conj": "conj",
    "Erf": "erf", "Erfc": "erfc", "Gamma": "gamma", "GammaLn": "gammaln", "Psi": "psi",
}
globals().update(_plain_classes(_CLASSES, globals()))
Cast = _op_class(
    "Cast", "cast", lambda o_type, name=None: lambda x: cast(x, getattr(o_type, "dtype", o_type)),
    """The scalar op that casts to a type: ``Cast(float32)``; ``convert_to_float32`` and its kin are such ops."""
)
globals().update({f"convert_to_{kind}": Cast(kind) for kind in all_types})
scalar_maximum, scalar_minimum, Reciprocal = maximum, minimum, globals()["Inv"]
ScalarMaximum, ScalarMinimum, Sign = [globals()[name] for name in ("Maximum", "Minimum", "Sgn")]
Identity = lambda *_, **__: identity  # noqa: E731
second, scalar_sigmoid = fill, sigmoid


class autocast_float_as:
    """A context in which Python floats become constants of the first of these dtypes that holds them, else the last.

    >>> import fuse.tensor as T
    >>> with autocast_float_as("float32"):
    ...     (T.fvector("x") + 1.1).dtype, autocast_float.dtypes
    ('float32', ('float32',))
    """

    def __init__(self, *dtypes: str) -> None:
        self._dtypes = tuple([dtype_name(d) for d in dtypes])
        self._saved: list[tuple[str, ...]] = []

    def __enter__(self) -> None:
        self._saved.append(_types.AUTOCAST)
        _types.AUTOCAST = self._dtypes

    def __exit__(self, *error: Any) -> None:
        _types.AUTOCAST = self._saved.pop()


class _Autocast:
    """Python floats as NumPy numbers of the dtype that they have in expressions.

    >>> autocast_float(0.5).dtype
    dtype('float32')
    """

    @property
    def dtypes(self) -> tuple[str, ...]:
        return _types.AUTOCAST or ("float16", "float32", "float64")

    def __call__(self, x: float) -> Any:
        return _np.dtype(_types.constant_dtype(float(x))).type(x)


autocast_float = _Autocast()


def div_proxy(x: Any, y: Any) -> Expr:
    """``x / y`` as Theano writes it in Python 2: of integers the quotient rounded down.

    >>> div_proxy(7, 2).eval()
    array(3, dtype=int8)
    """
    x, y = as_expr(x), as_expr(y)
    whole = all(v.type.dtype in DISCRETE for v in (x, y))
    return int_div(x, y) if whole else true_div(x, y)


def mean(*args: Any) -> Expr:
    """The mean of several scalars; 0 of none.

    >>> float(mean(1, 2.0).eval())
    1.5
    """
    total = as_expr(args[0] if args else 0.0)
    for x in args[1:]:
        total = add(total, x)
    return true_div(total, len(args)) if args else total


def InRange(openlow: Any, openhi: Any) -> Callable[[Any, Any, Any], Expr]:
    """The function ``(x, low, high)`` that tells whether ``x`` lies between; open ends are not part of the range.

    >>> bool(InRange(False, True)(1, 1, 2).eval()), bool(InRange(False, True)(2, 1, 2).eval())
    (True, False)
    """
    return lambda x, low, high: and_((gt if openlow else ge)(x, low), (lt if openhi else le)(x, high))


__all__ = [name for name in globals() if not name.startswith("_") and name not in ("annotations", "Any", "Callable",
           "Sequence", "SimpleNamespace", "substitute", "variable")]
