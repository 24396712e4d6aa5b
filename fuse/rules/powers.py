"""Procedure: small integer powers by repeated squaring."""

from __future__ import annotations

from fuse.expr import Expr, make
from fuse.op import OPS
from fuse.rewrite import Context, procedure
from fuse.rewrite.match import cast
from fuse.rules.values import number

_LARGEST = 32  # the error of n - 1 roundings stays below 16 units in the last place


@procedure("58: x**n", "pow", "rounding", on="fiu")
def repeated_squaring(node: Expr, context: Context) -> Expr | None:
    """``x**5`` as ``sqr(sqr(x)) * x``, for exponents from 3 to 32."""
    base, exponent = node.args
    n = number(exponent)
    if not 3 <= n <= _LARGEST or n != int(n):
        return None
    base = cast(base, node.type.dtype)
    result: Expr | None = None
    bits = int(n)
    while bits:
        if bits & 1:
            result = base if result is None else make(OPS["mul"], (base, result))
        bits >>= 1
        if bits:
            base = make(OPS["sqr"], (base,))
    return result


POWERS = (repeated_squaring,)
