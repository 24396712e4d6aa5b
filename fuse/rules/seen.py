"""Looking through casts and dimshuffles at a reduction, for procedures over an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.expr import Expr, make
from fuse.frozen import dataclass
from fuse.op import OPS
from fuse.rewrite import Context
from fuse.rewrite.match import cast, exact_float_cast, shuffled
from fuse.rewrite.sizes import same_size

Axes = tuple[int, ...]


def inside(expr: Expr) -> Expr:
    """``expr`` without casts to wider floats around it."""
    while expr.op.name == "cast" and exact_float_cast(expr):
        expr = expr.args[0]
    return expr


@dataclass(frozen=True)
class Seen:
    """``node`` as it is seen through dimshuffles: result axis i is its axis ``pattern[i]``, or "x"."""

    node: Expr
    pattern: tuple[Any, ...]
    dtype: str

    def again(self, node: Expr) -> Expr:
        """Another expression of the shape of ``node``, seen in the same way."""
        return cast(shuffled(node, self.pattern), self.dtype)

    def keeps(self, axes: Axes, ndim: int) -> bool:
        """Whether this is a reduction of rank ``ndim`` over ``axes``, laid out to broadcast against what it reduced."""
        full = ("x",) * (ndim - len(self.pattern)) + self.pattern
        rest = iter(range(ndim))
        return full == tuple(["x" if a in axes else next(rest) for a in range(ndim)])


def seen(expr: Expr) -> Seen:
    """``expr`` without the casts to wider floats and dimshuffles around it."""
    pattern: tuple[Any, ...] = tuple(range(expr.type.ndim))
    dtype = expr.type.dtype
    while True:
        if expr.op.name == "dimshuffle":
            inner = expr.params["pattern"]
            pattern = tuple(["x" if a == "x" else inner[a] for a in pattern])
        elif not (expr.op.name == "cast" and exact_float_cast(expr)):
            return Seen(expr, pattern, dtype)
        expr = expr.args[0]


def kept(reduced: Expr, axes: Axes, ndim: int) -> Expr:
    """A reduction over ``axes`` with these axes back as size 1."""
    rest = iter(range(ndim))
    return shuffled(reduced, ["x" if a in axes else next(rest) for a in range(ndim)])


def reduced(name: str, x: Expr, axes: Sequence[int], dtype: str | None = None) -> Expr:
    """A reduction over ``axes``; ``x`` itself where there are none."""
    dtype = dtype or x.type.dtype
    return make(OPS[name], (x,), {"axis": tuple(axes), "dtype": dtype}) if axes else cast(x, dtype)


def constant_along(expr: Expr, axes: Axes, ndim: int) -> bool:
    """Whether ``expr``, broadcast to rank ``ndim``, surely has one value along each of ``axes``."""
    missing = ndim - expr.type.ndim
    return all(a < missing or expr.type.shape[a - missing] == 1 for a in axes)


def joins_surely(join: Expr, context: Context) -> bool:
    """Whether the parts of ``join`` surely have the same sizes along the other axes; that they differ is an error."""
    axis = join.params["axis"]
    first, *others = [context.shape_of(part) for part in join.args]
    pairs = [(a, m, n) for sizes in others for a, (m, n) in enumerate(zip(first, sizes, strict=True))]
    return all(a == axis or same_size(m, n) for a, m, n in pairs)
