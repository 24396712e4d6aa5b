"""Questions about values that rules ask: signs of constants, expressions that are never negative."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuse.expr import Constant, Expr, constant, make
from fuse.frontend.signs import element_givers
from fuse.op import OPS
from fuse.rewrite import uniform
from fuse.rewrite.pattern import of_constants


# ---------------------------------------------------------------- constants
def negative(value: Expr, op: str, other: Expr, last: bool = False) -> Expr | None:
    """``op`` on the constant ``-value`` and ``other`` (in this order for products, behind for sums and ``last``)."""
    if not isinstance(value, Constant):
        return None
    with np.errstate(all="ignore"):
        opposite = constant(-value.data)
    return make(OPS[op], (other, opposite) if last or op in ("add", "sub") else (opposite, other))


def opposite_term(op: str, first: Expr, factor: Expr, rest: Expr, inner: str = "mul") -> Expr | None:
    """``op`` on ``first`` and the product (or quotient) of the constant ``-factor`` and ``rest``."""
    term = negative(factor, inner, rest)
    return None if term is None else make(OPS[op], (first, term))


def negated_sum(factor: Expr, rest: Expr, other: Expr) -> Expr | None:
    """-((-factor) * rest + other)."""
    term = negative(factor, "mul", rest)
    return None if term is None else make(OPS["neg"], (make(OPS["add"], (term, other)),))


def safely_negated(n: Expr, **_: Expr) -> bool:
    """A constant array of a float, or of a signed integer other than the smallest."""
    if not isinstance(n, Constant):
        return False
    return n.data.dtype.kind == "f" or n.data.dtype.kind == "i" and bool((n.data != np.iinfo(n.data.dtype).min).all())


def number(expr: Expr) -> Any:
    """The value of a uniform real constant, else nan."""
    value = uniform(expr)
    return float("nan") if value is None or isinstance(value, complex) else value


# ---------------------------------------------------------------- never negative
def nonnegative(expr: Expr, depth: int = 4) -> bool:
    """Whether ``expr`` is surely >= 0 or nan (integers: without overflow, as sizes and positions are)."""
    if isinstance(expr, Constant):
        return expr.data.dtype.kind != "c" and bool((expr.data >= 0).all())
    if expr.type.dtype == "bool" or expr.type.dtype.startswith("uint"):
        return True
    if expr.type.dtype.startswith("complex"):
        return False
    if "count" in expr.op.traits:
        return True
    if "nonnegative" in expr.op.traits:
        return expr.type.dtype.startswith("float")  # an integer square or magnitude may wrap
    if depth <= 0:
        return False
    if expr.op.name == "maximum":
        return any(nonnegative(a, depth - 1) for a in expr.args)
    if "chooses" in expr.op.traits or "keeps-sign" in expr.op.traits and expr.type.dtype.startswith("float"):
        return all(nonnegative(a, depth - 1) for a in element_givers(expr))
    return False


def is_nonnegative(expr: Expr) -> bool:
    """``nonnegative`` as a constraint of wildcards."""
    return nonnegative(expr)


@of_constants
def is_even(expr: Expr) -> bool:
    """A constant with an even integer value."""
    value = number(expr)
    return np.isfinite(value) and value == int(value) and int(value) % 2 == 0


@of_constants
def is_odd_or_fractional(expr: Expr) -> bool:
    """A finite constant that is no even integer."""
    return bool(np.isfinite(number(expr))) and not is_even(expr)


# ---------------------------------------------------------------- shapes and kinds of expressions
def has_simple_logarithm(expr: Expr) -> bool:
    """A positive expression whose logarithm is simpler than itself, also behind casts and dimshuffles."""
    while expr.op.name in ("cast", "dimshuffle"):
        expr = expr.args[0]
    if expr.op.name == "sum":
        return expr.args[0].op.name == "exp" and expr.type.dtype.startswith("float")
    return "simple-logarithm" in expr.op.traits


def are_real(x: Expr, y: Expr) -> bool:
    """Whether neither of ``x`` and ``y``, of which only the sizes are used, is complex."""
    return not (x.type.dtype.startswith("complex") or y.type.dtype.startswith("complex"))


def alike(a: Expr, b: Expr) -> bool:
    """Whether neither of ``a`` and ``b`` is surely broadcast along an axis of the other."""
    return a.type.broadcastable == b.type.broadcastable
