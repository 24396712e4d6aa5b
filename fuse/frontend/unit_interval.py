"""Random bits as numbers between 0 and 1."""
from __future__ import annotations

from fuse.expr import Expr, constant
from fuse.frontend import elementwise as ew

# How many leading bits of 64 fit the mantissa exactly; a uniform number is such an integer times 2**-bits.
MANTISSA = {"float64": 53, "float32": 24, "float16": 11}


def unit_interval(bits: Expr, dtype: str, kept: int) -> Expr:
    """The ``kept`` leading bits of 64 as a number in [0, 1)."""
    leading = ew.right_shift(bits, constant(64 - kept, dtype="uint64"))
    return ew.mul(ew.cast(leading, dtype), constant(2.0**-kept, dtype=dtype))


def open_interval(bits: Expr, dtype: str) -> Expr:
    """As many leading bits as ``dtype`` holds as a number in (0, 1), neither end of which is ever drawn.

    Programs take logarithms of such numbers, and in float32 one of 2**24 would be 0.
    """
    kept = MANTISSA[dtype] - 1  # (k + 1/2) / 2**kept is exact
    return ew.add(unit_interval(bits, dtype, kept), constant(2.0 ** -(kept + 1), dtype=dtype))
