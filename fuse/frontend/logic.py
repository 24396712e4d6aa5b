"""Comparisons, choices, tests and bit operations, elementwise."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.argnames import also
from fuse.errors import FuseTypeError
from fuse.expr import Expr, constant
from fuse.op import ZERO, elementwise, predicate

if TYPE_CHECKING:
    from fuse.codegen import mathlib

NO_GRADIENT = (ZERO, ZERO)


def literal(value: float, model: Expr) -> Expr:
    """The constant ``value`` in the dtype of ``model``, for gradient rules that must not widen it."""
    return constant(value, dtype=model.dtype)


# ---------------------------------------------------------------- dtype rules
def compared(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """Compared in the promoted dtype, but int64 with uint64 as they are: float64 does not hold them."""
    common = ty.promote(*dtypes)
    if common == "float64" and all(d in ty.DISCRETE for d in dtypes):
        return tuple("uint64" if d == "uint64" else "int64" for d in dtypes), "bool"
    return (common,) * len(dtypes), "bool"


def bitwise(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """Integers and bools, promoted; there are no bits to combine in a float."""
    common = ty.promote(*dtypes)
    if common not in ty.DISCRETE:
        raise FuseTypeError(
            f"bit operations take bools and integers, not {' and '.join(dtypes)}: compare first (x > 0), or cast"
        )
    return (common,) * len(dtypes), common


def shifted(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    """As ``bitwise``, but bools by bools are int8."""
    kinds, common = bitwise(*dtypes)
    return (kinds, common) if common != "bool" else (("int8",) * len(dtypes), "int8")


def chosen(condition: str, first: str, second: str) -> tuple[tuple[str, ...], str]:
    """The promoted dtype of the two values."""
    common = ty.promote(first, second)
    return ("bool", common, common), common


# ---------------------------------------------------------------- comparisons
@elementwise(dtype=compared, numpy=np.equal, symbol="==", precedence=5, sympy="Eq(x, y)", latex="#1 = #2",
             grad=NO_GRADIENT, host="({0} == {1})", builtin=True, traits="commutative finite-slopes light test")
def eq(x, y):
    """Whether ``x`` equals ``y``: bool. (``==`` between expressions is identity, as in Theano.)

    >>> eq([1.0, float("nan")], [1.0, float("nan")]).eval()
    array([ True, False])
    """
    return x == y


@elementwise(dtype=compared, numpy=np.not_equal, symbol="!=", precedence=5, sympy="Ne(x, y)", latex=r"#1 \neq #2",
             grad=NO_GRADIENT, host="({0} != {1})", builtin=True, traits="commutative finite-slopes light test")
def neq(x, y):
    """Whether ``x`` differs from ``y``: bool; true where either is NaN.

    >>> neq([1, 2], 2).eval()
    array([ True, False])
    """
    return x != y


@elementwise(dtype=compared, numpy=np.less, symbol="<", precedence=5, sympy="x < y", latex="#1 < #2",
             grad=NO_GRADIENT, host="({0} < {1})", builtin=True, traits="finite-slopes light test")
def lt(x, y):
    """Whether ``x`` is less than ``y``: bool; complex numbers in lexicographic order, as in NumPy.

    >>> lt([1, 2, 3], 2).eval()
    array([ True, False, False])
    """
    return mathlib.less(x, y)


@elementwise(dtype=compared, numpy=np.less_equal, symbol="<=", precedence=5, sympy="x <= y", latex=r"#1 \leq #2",
             grad=NO_GRADIENT, host="({0} <= {1})", builtin=True, traits="finite-slopes light test")
def le(x, y):
    """Whether ``x`` is at most ``y``: bool.

    >>> le([1, 2, 3], 2).eval()
    array([ True,  True, False])
    """
    return mathlib.less_equal(x, y)


@elementwise(dtype=compared, numpy=np.greater, symbol=">", precedence=5, sympy="x > y", latex="#1 > #2",
             grad=NO_GRADIENT, host="({0} > {1})", builtin=True, traits="finite-slopes light test")
def gt(x, y):
    """Whether ``x`` is greater than ``y``: bool.

    >>> gt([1, 2, 3], 2).eval()
    array([False, False,  True])
    """
    return mathlib.less(y, x)


@elementwise(dtype=compared, numpy=np.greater_equal, symbol=">=", precedence=5, sympy="x >= y", latex=r"#1 \geq #2",
             grad=NO_GRADIENT, host="({0} >= {1})", builtin=True, traits="finite-slopes light test")
def ge(x, y):
    """Whether ``x`` is at least ``y``: bool.

    >>> ge([1, 2, 3], 2).eval()
    array([False,  True,  True])
    """
    return mathlib.less_equal(y, x)


# ---------------------------------------------------------------- choice
@also(cond="condition", ift="first", iff="second")
@elementwise(
    dtype=chosen, numpy=np.where, sympy="Piecewise((y, x), (z, True))",
    latex=r"\begin{cases} #2 & \text{if } #1 \\ #3 & \text{otherwise} \end{cases}",
    grad=(ZERO, lambda g, out, c, a, b: switch(c, g, 0), lambda g, out, c, a, b: switch(c, 0, g)),
    ufunc=np.where, host="({1} if {0} else {2})", builtin=True, traits="chooses finite-slopes light test",
)
def switch(condition, first, second):
    """``first`` where ``condition`` holds (is not zero), ``second`` elsewhere; both are computed.

    The gradient of the value that was not chosen is exactly 0, whatever that value is.

    >>> switch([True, False], [1.0, 2.0], -1.0).eval()
    array([ 1., -1.])
    """
    return first if condition else second


# ---------------------------------------------------------------- tests of one number
@also(a="x")
@elementwise(dtype=predicate, numpy=np.isnan, grad=(ZERO,), builtin=True)
def isnan(x):
    """Whether ``x`` is not a number: bool; never for integers.

    >>> isnan([1.0, float("nan")]).eval()
    array([False,  True])
    """
    return x != x


@also(a="x")
@elementwise(dtype=predicate, numpy=np.isinf, grad=(ZERO,), builtin=True)
def isinf(x):
    """Whether ``x``, or a part of a complex ``x``, is infinite: bool.

    >>> isinf([1.0, float("-inf")]).eval()
    array([False,  True])
    """
    return mathlib.isinf(x)


@also(a="x")
@elementwise(dtype=predicate, numpy=np.isfinite, grad=(ZERO,), builtin=True)
def isfinite(x):
    """Whether ``x`` is neither infinite nor NaN: bool.

    >>> isfinite([1.0, float("inf"), float("nan")]).eval()
    array([ True, False, False])
    """
    return mathlib.isfinite(x)


def real_predicate(dtype: str) -> tuple[tuple[str, ...], str]:
    """As ``predicate``; not for complex numbers."""
    if dtype in ty.COMPLEX:
        raise FuseTypeError("a complex number has no sign: take real(x) or imag(x)")
    return predicate(dtype)


@elementwise(dtype=real_predicate, numpy=np.signbit, grad=(ZERO,), builtin=True)
def signbit(x):
    """Whether the sign bit of a real ``x`` is set: bool; true for -0.0.

    >>> signbit([1.0, -0.0, -2.0]).eval()
    array([False,  True,  True])
    """
    return mathlib.signbit(x)


# ---------------------------------------------------------------- bits
@elementwise(dtype=bitwise, numpy=np.bitwise_and, symbol="&", precedence=8, latex=r"#1 \wedge #2",
             sympy="And(x, y)", grad=NO_GRADIENT, host="({0} & {1})", builtin=True,
             traits="commutative finite-slopes light test")
def and_(x, y):
    """Bitwise and; of bools the logical one.

    >>> and_([True, True], [True, False]).eval()
    array([ True, False])
    """
    return x & y


@elementwise(dtype=bitwise, numpy=np.bitwise_or, symbol="|", precedence=6, latex=r"#1 \vee #2",
             sympy="Or(x, y)", grad=NO_GRADIENT, host="({0} | {1})", builtin=True,
             traits="commutative finite-slopes light test")
def or_(x, y):
    """Bitwise or; of bools the logical one.

    >>> or_(5, 2).eval()
    array(7, dtype=int8)
    """
    return x | y


@elementwise(dtype=bitwise, numpy=np.bitwise_xor, symbol="^", precedence=7, latex=r"#1 \oplus #2",
             sympy="Xor(x, y)", grad=NO_GRADIENT, builtin=True, traits="commutative finite-slopes")
def xor(x, y):
    """Bitwise exclusive or; of bools the logical one.

    >>> xor([True, True], [True, False]).eval()
    array([False,  True])
    """
    return x ^ y


@elementwise(dtype=bitwise, numpy=np.invert, symbol="~", precedence=12, latex=r"\neg #1",
             sympy="Not(x)", grad=(ZERO,), builtin=True, traits="finite-slopes light")
def invert(x):
    """Every bit flipped; of a bool the logical not.

    >>> invert([True, False]).eval()
    array([False,  True])
    """
    return mathlib.invert(x)


@elementwise(dtype=shifted, numpy=np.left_shift, symbol="<<", precedence=9, grad=NO_GRADIENT, builtin=True)
def left_shift(x, y):
    """``x`` shifted left by ``y`` bits; 0 where ``y`` is negative or no less than the width of the dtype.

    >>> left_shift([1, 3], 4).eval()
    array([16, 48])
    """
    return mathlib.left_shift(x, y)


@elementwise(dtype=shifted, numpy=np.right_shift, symbol=">>", precedence=9, grad=NO_GRADIENT, builtin=True)
def right_shift(x, y):
    """``x`` shifted right by ``y`` bits, the sign kept; 0 or -1 where ``y`` is negative or no less than the width.

    >>> right_shift([16, -16], 2).eval()
    array([ 4, -4])
    """
    return mathlib.right_shift(x, y)
