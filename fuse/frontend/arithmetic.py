"""Arithmetic: sums, products, quotients, powers, signs, extrema, and casts."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.config import config
from fuse.errors import DTypeError, FuseTypeError
from fuse.expr import Constant, Expr, as_expr
from fuse.frontend.logic import NO_GRADIENT, eq, gt, neq, or_, switch
from fuse.frontend.transcendental import finite_if_complex, log
from fuse.op import DISCONNECTED, ZERO, elementwise, inexact, numeric, public, same

if TYPE_CHECKING:
    from fuse.codegen import mathlib


# ---------------------------------------------------------------- dtype rules
def quotient(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """As ``same``, with float64 for integers and bools."""
    common = ty.promote(*dtypes)
    common = "float64" if common in ty.DISCRETE else common
    return (common,) * len(dtypes), common


def integer_quotient(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """As ``same``; bools divide as int8. Complex numbers have no order to round a quotient down by."""
    common = ty.promote(*dtypes)
    if common in ty.COMPLEX:
        raise DTypeError("complex numbers have no // and no %: take real(x), imag(x) or abs(x) first")
    return ("int8" if common == "bool" else common,) * len(dtypes), common


def power(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """As ``same``, with int8 for bools."""
    common = ty.promote(*dtypes)
    common = "int8" if common == "bool" else common
    return (common,) * len(dtypes), common


def magnitude(dtype: str) -> tuple[tuple[str, ...], str]:
    """The dtype of the real part."""
    return (dtype,), ty.real_of(dtype)


def filled(model: str, value: str) -> tuple[tuple[str, ...], str]:
    """The dtype of the value."""
    return (model, value), value


def converted(have: str, *, dtype: str) -> tuple[tuple[str, ...], str]:
    """The dtype asked for; a complex number has no real value without a choice of part."""
    if have in ty.COMPLEX and dtype not in ty.COMPLEX and dtype != "bool":
        raise FuseTypeError(f"{have} does not convert to {dtype}: write real(x), imag(x) or abs(x)")
    return (have,), dtype


def chained(binary: Callable[..., Expr]) -> Callable[..., Expr]:
    """A builder of ``binary`` that takes any number of operands and applies it from the left."""

    @functools.wraps(binary)
    def builder(first: Any, *others: Any) -> Expr:
        out = as_expr(first)
        for other in others:
            out = binary(out, other)
        return out

    return public(builder)


# ---------------------------------------------------------------- sums and products
@chained
@elementwise(dtype=same, numpy=np.add, symbol="+", precedence=10, sympy="x + y", domain=(-5.0, 5.0),
             grad=(lambda g, out, x, y: g, lambda g, out, x, y: g), host="({0} + {1})", builtin=True,
             traits="commutative finite-slopes keeps-sign light")
def add(x, y):
    """``x + y``; of bools the logical or. Takes more operands: ``add(a, b, c)`` is ``(a + b) + c``.

    >>> add([1.0, 2.0], 10).eval()
    array([11., 12.])
    """
    return x + y


@elementwise(dtype=numeric, numpy=np.subtract, symbol="-", precedence=10, sympy="x - y", domain=(-5.0, 5.0),
             grad=(lambda g, out, x, y: g, lambda g, out, x, y: -g), host="({0} - {1})", builtin=True,
             traits="finite-slopes light")
def sub(x, y):
    """``x - y``. Raises FuseTypeError for two bools.

    >>> sub([1.0, 2.0], 10).eval()
    array([-9., -8.])
    """
    return x - y


@chained
@elementwise(dtype=same, numpy=np.multiply, symbol="*", precedence=11, sympy="x*y", latex=r"#1 \cdot #2",
             domain=(-5.0, 5.0), grad=(lambda g, out, x, y: g * y, lambda g, out, x, y: g * x),
             host="({0} * {1})", builtin=True, traits="commutative finite-slopes keeps-sign light")
def mul(x, y):
    """``x * y``; of bools the logical and. Takes more operands: ``mul(a, b, c)`` is ``(a * b) * c``.

    >>> mul([1.0, 2.0], 10).eval()
    array([10., 20.])
    """
    return x * y


@elementwise(dtype=numeric, numpy=np.negative, symbol="-", precedence=12, sympy="-x", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: -g,), host="(-{0})", builtin=True, traits="finite-slopes light")
def neg(x):
    """``-x``, modulo 2**n for integers. Raises FuseTypeError for bool.

    >>> neg([1.0, 0.0]).eval()
    array([-1., -0.])
    """
    return -x


@elementwise(dtype=same, numpy=np.square, sympy="x**2", latex="#1^{2}", domain=(-5.0, 5.0),
             grad=(lambda g, out, x: g * 2 * x,), host="({0} * {0})", builtin=True,
             traits="finite-slopes light nonnegative")
def sqr(x):
    """``x * x``.

    >>> sqr([3.0, -2.0]).eval()
    array([9., 4.])
    """
    return x * x


# ---------------------------------------------------------------- quotients
def _over(g: Expr, y: Expr) -> Expr:
    """The part ``g / y`` of a derivative; a ``y`` with one value for many of ``g`` divides once and then multiplies."""
    missing = g.type.ndim - y.type.ndim
    repeated = any(n != 1 and (i < missing or y.type.shape[i - missing] == 1) for i, n in enumerate(g.type.shape))
    if not repeated or isinstance(y, Constant) or y.op.name == "cast" or g.dtype != y.dtype or g.dtype in ty.COMPLEX:
        return g / y
    return g * kept_reciprocal(y)


@elementwise(name="true_div", dtype=quotient, numpy=np.true_divide, symbol="/", precedence=11, sympy="x/y",
             latex=r"\frac{#1}{#2}", domain=(0.5, 5.0),
             grad=(lambda g, out, x, y: _over(g, y), lambda g, out, x, y: _over(-(g * out), y)), builtin=True,
             traits="finite-slopes keeps-sign light")
def _true_div(x, y):
    """``x / y``: ±inf or NaN where ``y`` is 0. Integers and bools divide as floatX.

    >>> true_div([1, 6], 4).eval()
    array([0.25, 1.5 ])
    """
    return mathlib.divide(x, y)


@public
@functools.wraps(_true_div)
def true_div(x: Any, y: Any) -> Expr:
    x, y = as_expr(x), as_expr(y)
    if config.floatX != "float64" and x.dtype in ty.DISCRETE and y.dtype in ty.DISCRETE:
        x, y = cast(x, config.floatX), cast(y, config.floatX)
    return _true_div(x, y)


@elementwise(numpy=lambda x: np.ones_like(x) / x, ufunc=np.reciprocal, sympy="1/x", latex=r"\frac{1}{#1}",
             domain=(0.5, 5.0), grad=(lambda g, out, x: -(g * out) * out,), builtin=True, traits="finite-slopes")
def reciprocal(x):
    """``1 / x`` in floating point.

    >>> reciprocal([4.0, -2.0]).eval()
    array([ 0.25, -0.5 ])
    """
    return mathlib.divide(1, x)


@elementwise(numpy=lambda x: np.ones_like(x) / x, sympy="1/x", latex=r"\frac{1}{#1}", domain=(0.5, 5.0),
             dtype=inexact, grad=(lambda g, out, x: -(g * out) * out,), builtin=True)
def kept_reciprocal(x):
    """``1 / x`` that stays a factor: ``y * kept_reciprocal(x)`` is no quotient, so that loops over ``y`` multiply.

    >>> kept_reciprocal([4.0, -2.0]).eval()
    array([ 0.25, -0.5 ])
    """
    return mathlib.divide(1, x)


@elementwise(dtype=integer_quotient, numpy=np.floor_divide, ufunc=np.floor_divide, symbol="//", precedence=11,
             sympy="floor(x/y)", latex=r"\left\lfloor \frac{#1}{#2} \right\rfloor", domain=(0.5, 5.0),
             grad=NO_GRADIENT, host="({0} // {1} if {1} else 0)", builtin=True,
             traits="keeps-sign")
def int_div(x, y):
    """The quotient rounded towards -inf. Integers: 0 where ``y`` is 0, and the most negative one over -1 is itself.

    >>> int_div([7, -7, 7], [2, 2, 0]).eval()
    array([ 3, -4,  0])
    """
    return mathlib.floor_divide(x, y)


@elementwise(dtype=integer_quotient, numpy=np.remainder, ufunc=np.remainder, symbol="%", precedence=11,
             sympy="Mod(x, y)", latex=r"#1 \bmod #2", domain=(0.5, 5.0),
             grad=(lambda g, out, x, y: g, lambda g, out, x, y: -(g * int_div(x, y))),
             host="({0} % {1} if {1} else 0)", builtin=True)
def mod(x, y):
    """``x - y * int_div(x, y)``: its sign is that of ``y``. Integers: 0 where ``y`` is 0.

    >>> mod([7, -7, 7], [3, 3, 0]).eval()
    array([1, 2, 0])
    """
    return mathlib.remainder(x, y)


def divmod(x: Any, y: Any) -> tuple[Expr, Expr]:
    """``(int_div(x, y), mod(x, y))``.

    >>> [part.eval() for part in divmod(7, 3)]
    [array(2, dtype=int8), array(1, dtype=int8)]
    """
    return int_div(x, y), mod(x, y)


@also(a="x", b="y")
def ceil_intdiv(x: Any, y: Any) -> Expr:
    """The quotient rounded towards inf.

    >>> ceil_intdiv([6, 7, 7], [3, 3, -3]).eval()
    array([ 2,  3, -2])
    """
    return add(int_div(x, y), cast(neq(mod(x, y), 0), int_div(x, y).dtype))


# ---------------------------------------------------------------- powers
def _power(x: Any, y: Any) -> Any:
    if np.result_type(x, y).kind != "i":
        # A single exponent of 0.5 NumPy takes as the root, which is another value at -inf: here it never is single.
        x, y = np.broadcast_arrays(x, y)
        return np.power(np.append(x, x.dtype.type(1)), np.append(y, y.dtype.type(1)))[:-1].reshape(x.shape)
    # NumPy refuses negative integer powers: 1 / x**-y is 0 but for x = ±1
    negative = np.where(np.abs(x) == 1, np.where(y % 2 == 0, np.abs(x), x), 0)
    return np.where(y < 0, negative, np.power(x, np.maximum(y, 0)))


def _power_rule_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    smallest = y.dtype in ty.INTEGER and np.iinfo(y.dtype).min
    if isinstance(y, Constant) and not np.any(y.data == 0) and not (smallest and np.any(y.data == smallest)):
        return g * y * x ** (y - 1)
    # 0**0 has slope 0, and so has what stands in its place: elsewhere y = 0 has a slope by y, 1 / x if that is finite
    inside = or_(neq(y, 0), gt(abs(x), np.finfo(ty.inexact(out.dtype)).tiny))
    power_below = x ** switch(inside, (cast(y, out.dtype) if y.dtype in ty.DISCRETE else y) - 1, 1)
    return switch(inside, g * y * power_below, 0)


def _power_rule_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    at_zero = eq(x, 0)
    return switch(at_zero, 0, g * out * log(switch(at_zero, 1, cast(x, out.dtype))))


@elementwise(name="pow", dtype=power, numpy=_power, ufunc=np.power, symbol="**", precedence=13, sympy="x**y",
             latex="#1^{#2}", domain=(0.2, 3.0), grad=(_power_rule_base, _power_rule_exponent),
             meta={"defined": finite_if_complex, "ulps": 200}, builtin=True)
def pow(x, y):
    """``x`` to the power ``y``; integers stay integers, modulo 2**n.

    A negative integer power of an integer is ``1 / x**-y`` rounded towards zero (so 0 but for ``x`` = ±1, and 0 for
    ``x`` = 0), where NumPy raises. Derivatives: ``x**0`` has 0 everywhere, and at ``x`` = 0 the one by ``y`` is 0.

    >>> pow([2.0, -2.0], 3).eval()
    array([ 8., -8.])
    """
    return mathlib.power(x, y)


# ---------------------------------------------------------------- magnitude, sign
def _abs_rule(g: Any, out: Any, x: Any) -> Any:
    if x.dtype not in ty.COMPLEX:
        return g * sgn(x)
    from fuse.frontend.complexes import conj

    return switch(out > 0, g * conj(x) / out, 0)


@elementwise(name="abs", dtype=magnitude, numpy=np.absolute, sympy="Abs(x)", latex=r"\left|#1\right|",
             domain=(-5.0, 5.0), grad=(_abs_rule,), meta={"holomorphic": False}, host="abs({0})", builtin=True,
             traits="finite-slopes light nonnegative")
def abs(x):
    """The absolute value; of complex numbers the modulus, a real number. Its derivative at 0 is 0.

    >>> abs([-1.5, 2.0]).eval()
    array([1.5, 2. ])
    """
    return mathlib.absolute(x)


def _sgn_rule(g: Any, out: Any, x: Any) -> Any:
    """Of x / r, r = abs(x): the change of x across its direction, over r."""
    if x.dtype not in ty.COMPLEX:
        return ZERO
    from fuse.frontend.complexes import conj, real

    radius = abs(x)
    return switch(radius > 0, (g - real(g * out) * conj(out)) / radius, 0)


@also(a="x")
@elementwise(dtype=numeric, numpy=np.sign, sympy="sign(x)", latex=r"\operatorname{sgn} #1", domain=(-5.0, 5.0),
             grad=(_sgn_rule,), meta={"holomorphic": False}, builtin=True, traits="finite-slopes light")
def sgn(x):
    """-1, 0 or 1 as ``x`` is negative, zero or positive; NaN for NaN; ``x / abs(x)`` for complex numbers.

    >>> sgn([-1.5, 0.0, 2.0]).eval()
    array([-1.,  0.,  1.])
    """
    return mathlib.sign(x)


# ---------------------------------------------------------------- extrema
@elementwise(dtype=same, numpy=np.maximum, sympy="Max(x, y)", latex=r"\max(#1, #2)", domain=(-5.0, 5.0),
             grad=(lambda g, out, x, y: switch(x >= y, g, 0), lambda g, out, x, y: switch(x < y, g, 0)),
             meta={"zero_sign": False}, host="max({0}, {1})", builtin=True,
             traits="chooses commutative finite-slopes light")
def maximum(x, y):
    """The larger of ``x`` and ``y``; NaN where either is. On a tie the gradient goes to ``x``.

    >>> maximum([1.0, -1.0], 0.0).eval()
    array([1., 0.])
    """
    return mathlib.maximum(x, y)


@elementwise(dtype=same, numpy=np.minimum, sympy="Min(x, y)", latex=r"\min(#1, #2)", domain=(-5.0, 5.0),
             grad=(lambda g, out, x, y: switch(x <= y, g, 0), lambda g, out, x, y: switch(x > y, g, 0)),
             meta={"zero_sign": False}, host="min({0}, {1})", builtin=True,
             traits="chooses commutative finite-slopes light")
def minimum(x, y):
    """The smaller of ``x`` and ``y``; NaN where either is. On a tie the gradient goes to ``x``.

    >>> minimum([1.0, -1.0], 0.0).eval()
    array([ 0., -1.])
    """
    return mathlib.minimum(x, y)


def ordered(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """As ``same``; complex numbers have no order."""
    if any(d in ty.COMPLEX for d in dtypes):
        raise FuseTypeError("complex numbers have no order: take x.real and x.imag, or abs(x)")
    return same(*dtypes)


@also(min="low", max="high", a_min="low", a_max="high")
@elementwise(
    dtype=ordered, numpy=lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)), ufunc=np.clip,
    sympy="Piecewise((y, x < y), (Min(x, z), True))", latex=r"\operatorname{clip}(#1, #2, #3)", domain=(-5.0, 5.0),
    grad=(lambda g, out, x, low, high: switch(x >= low, switch(x <= high, g, 0), 0),
          lambda g, out, x, low, high: switch(x < low, g, 0),
          lambda g, out, x, low, high: switch(x >= low, switch(x > high, g, 0), 0)),
    meta={"zero_sign": False}, host="({1} if {0} < {1} else min({0}, {2}))", builtin=True, traits="light",
)
def clip(x, low, high):
    """``x`` limited to [``low``, ``high``]: ``low`` where ``x < low``, else ``high`` where ``x > high``, as in Theano.

    (With ``low > high`` NumPy gives ``high`` everywhere; so does ``np.clip`` of an expression.) At a bound the gradient
    goes to ``x``.

    >>> clip([-2.0, 0.5, 2.0], -1, 1).eval()
    array([-1. ,  0.5,  1. ])
    """
    return low if x < low else high if x > high else x


# ---------------------------------------------------------------- conversions
def _fits(x: Any, dtype: str) -> Any:
    """Where C defines the conversion: floats within the range of an integer dtype."""
    if dtype not in ty.INTEGER or x.dtype.kind != "f":
        return np.ones(x.shape, bool)
    limits = np.iinfo(dtype)
    return (x > limits.min - 1.0) & (x < limits.max + 1.0)


@elementwise(
    name="cast", dtype=converted, numpy=lambda x, dtype: (x != 0) if dtype == "bool" else x.astype(dtype),
    grad=(lambda g, out, x, dtype: g if dtype not in ty.DISCRETE and x.dtype not in ty.DISCRETE else ZERO,),
    linear=True, builtin=True,
    meta={"params": ("dtype",), "examples": tuple({"dtype": d} for d in ty.DTYPES), "defined": _fits},
    traits="finite-slopes keeps-sign light",
)
def _cast(x, dtype):
    """``x`` converted to ``dtype`` (a name, a NumPy dtype or type): towards zero from float to integer.

    Raises FuseTypeError from complex to real: choose a part. No gradient flows to or from integers.

    >>> cast([1.7, -1.7], "int32").eval()
    array([ 1, -1], dtype=int32)
    """
    return x


@functools.wraps(_cast)
def cast(x: Any, dtype: Any) -> Expr:
    x, name = as_expr(x), ty.dtype_name(dtype)
    return x if x.dtype == name else _cast(x, dtype=name)


def _broadcast_value(model: Any, value: Any) -> Any:
    return np.broadcast_to(value, np.broadcast_shapes(np.shape(model), np.shape(value)))


@elementwise(dtype=filled, numpy=_broadcast_value, latex="#2",
             grad=(DISCONNECTED, lambda g, out, model, value: g), builtin=True, traits="chooses finite-slopes light")
def fill(model, value):
    """``value`` broadcast against ``model``, of which only the shape is used.

    >>> fill([1.0, 2.0], 7).eval()
    array([7, 7], dtype=int8)
    """
    return value


def _size_type(*dtypes: str) -> tuple[tuple[str, ...], str]:
    if any(d not in ty.INTEGER for d in dtypes):
        raise FuseTypeError(f"sizes are integers, not {' and '.join(dtypes)}")
    return ("int64",) * len(dtypes), "int64"


@chained
@elementwise(dtype=_size_type, numpy=lambda x, y: np.where(x == 1, y, x), grad=NO_GRADIENT, builtin=True,
             traits="count")
def broadcast_size(x, y):
    """The size of an axis where sizes ``x``, ``y``, ... meet: the first that is not 1.

    >>> broadcast_size(1, 5, 1).eval()
    array(5)
    """
    return y if x == 1 else x

