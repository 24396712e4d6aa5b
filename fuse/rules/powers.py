"""Procedures: small integer powers by repeated squaring, and half-integer ones with a square root."""

from __future__ import annotations

from fuse.expr import Expr, constant, make
from fuse.op import OPS
from fuse.rewrite import Context, procedure
from fuse.rewrite.match import cast
from fuse.rules.values import number

_LARGEST = 32  # the error of n - 1 roundings stays below 16 units in the last place


def _squared(base: Expr, n: int, result: Expr | None = None) -> Expr:
    """``base**n``, times ``result``, for n >= 1: ``sqr(sqr(x)) * x`` for 5."""
    while n:
        if n & 1:
            result = base if result is None else make(OPS["mul"], (base, result))
        n >>= 1
        if n:
            base = make(OPS["sqr"], (base,))
    assert result is not None
    return result


@procedure("58: x**n", "pow", "rounding", on="fiu")
def repeated_squaring(node: Expr, context: Context) -> Expr | None:
    """``x**5`` as ``sqr(sqr(x)) * x``, for exponents from 3 to 32."""
    base, exponent = node.args
    n = number(exponent)
    if not 3 <= n <= _LARGEST or n != int(n):
        return None
    return _squared(cast(base, node.type.dtype), int(n))


@procedure("58: x**-n", "pow", "rounding", on="f")
def reciprocal_of_squaring(node: Expr, context: Context) -> Expr | None:
    """``x**-3`` as ``1 / (sqr(x) * x)``, for exponents from -3 to -32."""
    base, exponent = node.args
    n = -number(exponent)
    if not 3 <= n <= _LARGEST or n != int(n):
        return None
    dtype = node.type.dtype
    return make(OPS["true_div"], (constant(1, dtype=dtype), _squared(cast(base, dtype), int(n))))


@procedure("58: x**(n + 1/2)", "pow", "rounding special", on="f")
def squaring_and_root(node: Expr, context: Context) -> Expr | None:
    """``x**2.5`` as ``sqr(x) * sqrt(x)``, for exponents from 1.5 to 8.5; of minus infinity NaN."""
    base, exponent = node.args
    n = number(exponent)
    if not 1 < n < 9 or n - int(n) != 0.5:
        return None
    base = cast(base, node.type.dtype)
    return _squared(base, int(n), make(OPS["sqrt"], (base,)))


POWERS = (repeated_squaring, reciprocal_of_squaring, squaring_and_root)
