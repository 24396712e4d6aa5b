"""Procedures: reductions. Chains merge, axes of size 1 go, constant factors and signs come out, joins split."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from fuse.expr import Constant, Expr, constant, make
from fuse.frontend import elementwise as ew
from fuse.frontend.signs import element_givers
from fuse.frontend.sizes import as_size_expr, size_product
from fuse.op import OPS
from fuse.rewrite import Context, procedure
from fuse.rewrite.match import cast, kind_of, shuffled
from fuse.rewrite.sizes import same_size
from fuse.rules.products import Factors, Form, opened, product_of, put_together
from fuse.rules.seen import constant_along, joins_surely, reduced
from fuse.types import CONTINUOUS

REDUCTIONS_OF_ALL = "sum prod max min all any"
_COMBINE = {"sum": "add", "prod": "mul", "all": "and_", "any": "or_"}


def _without(expr: Expr, axes: tuple[int, ...], ndim: int) -> Expr:
    """``expr``, which is constant along ``axes`` of an array of rank ``ndim``, without these axes."""
    missing = ndim - expr.type.ndim
    return shuffled(expr, [a - missing for a in range(missing, ndim) if a not in axes])


@procedure("71: reduction over axes of size 1", REDUCTIONS_OF_ALL, "signed-zero", same_shape=True)
def drop_single_axes(node: Expr, context: Context) -> Expr | None:
    """The sum over an axis of size 1 is the array without it (but for -0.0, to which a sum adds 0)."""
    (x,), axes, dtype = node.args, node.params["axis"], node.params["dtype"]
    single = tuple([a for a in axes if x.type.shape[a] == 1])
    if not single:
        return None
    rest = [a for a in range(x.type.ndim) if a not in single]
    return reduced(
        node.op.name, cast(shuffled(x, rest), dtype), [rest.index(a) for a in axes if a not in single], dtype
    )


@procedure("70: chain of reductions", REDUCTIONS_OF_ALL, "rounding overflow", on="biufc", same_shape=True)
def merge_reductions(node: Expr, context: Context) -> Expr | None:
    """sum(sum(x, 0), 0) is one sum over both axes; so are prod, max, min, all and any."""
    (x,), axes, dtype = node.args, node.params["axis"], node.params["dtype"]
    if x.op is not node.op or x.type.dtype != dtype or x in context.frozen or context.uses.get(x, 1) > 1:
        return None
    inner = x.params["axis"]
    rest = [a for a in range(x.args[0].type.ndim) if a not in inner]
    return make(node.op, x.args, {"axis": tuple(sorted([*inner, *[rest[a] for a in axes]])), "dtype": dtype})


@procedure("75: reduction of a dimshuffle", REDUCTIONS_OF_ALL, same_shape=True)
def reduce_below_dimshuffle(node: Expr, context: Context) -> Expr | None:
    """The axes are those of the array below: sum(x.T, 0) is sum(x, 1)."""
    (x,), axes, dtype = node.args, node.params["axis"], node.params["dtype"]
    if x.op.name != "dimshuffle" or x in context.frozen:
        return None
    pattern, inner = x.params["pattern"], x.args[0]
    if any(pattern[a] == "x" for a in axes):
        return None  # of size 1: the rule above
    over = tuple(sorted([pattern[a] for a in axes]))
    left = [a for a in range(inner.type.ndim) if a not in over]
    seen_axes = ["x" if p == "x" else left.index(p) for i, p in enumerate(pattern) if i not in axes]
    return shuffled(reduced(node.op.name, inner, over, dtype), seen_axes)


@procedure("71: sum of a repeated value", "sum prod", "rounding overflow", on="iufc")
def sum_of_filled(node: Expr, context: Context) -> Expr | None:
    """The sum of one value along axes is the value times their size; a product of ones is 1."""
    (x,), axes, dtype = node.args, node.params["axis"], node.params["dtype"]
    if x.op.name not in ("fill", "broadcast_to") or x in context.frozen:
        return None
    (value,) = element_givers(x)
    if not constant_along(value, axes, x.type.ndim):
        return None
    if node.op.name == "prod":
        if not (isinstance(value, Constant) and value.data.size == 1 and value.data.item() == 1):
            return None
        total = cast(_without(value, axes, x.type.ndim), dtype)
    else:
        count = as_size_expr(size_product([context.shape_of(x)[a] for a in axes]))
        total = ew.mul(cast(_without(value, axes, x.type.ndim), dtype), cast(count, dtype))
        if dtype in CONTINUOUS and not isinstance(count, Constant) and not _of_sizes(value):
            total = ew.switch(ew.gt(count, 0), total, constant(0, dtype=dtype))  # nan is in no sum of nothing
    return total


def _of_sizes(value: Expr) -> bool:
    """Whether ``value`` is made of finite constants and sizes only, with few operations."""
    stack = [value]
    for _ in range(12):
        if not stack:
            return True
        node = stack.pop()
        if node.is_leaf and not (isinstance(node, Constant) and np.isfinite(node.data).all()):
            return False
        if node.op.name != "shape_i":
            stack.extend(node.args)
    return False


@procedure("55: sum of negatives", "sum", "signed-zero", on="ifc", same_shape=True)
def sum_of_negative(node: Expr, context: Context) -> Expr | None:
    """sum(-x) is -sum(x)."""
    (x,) = node.args
    if x.op.name != "neg" or x.type.dtype != node.type.dtype or x in context.frozen:
        return None
    return ew.neg(make(node.op, x.args, node.params))


@procedure("67: max of negatives", "max min", on="if", same_shape=True)
def extreme_of_negative(node: Expr, context: Context) -> Expr | None:
    """max(-x) is -min(x) (floats; the smallest integer has no negative)."""
    (x,) = node.args
    if x.op.name != "neg" or kind_of(x) != "f" or x in context.frozen:
        return None
    return ew.neg(make(OPS["min" if node.op.name == "max" else "max"], x.args, node.params))


@procedure("72: reduction of joined parts", "sum prod all any", "rounding", on="biufc", same_shape=True)
def reduce_parts(node: Expr, context: Context) -> Expr | None:
    """sum(join(a, b)) is sum(a) + sum(b); of a vector of scalars their sum."""
    (x,), axes, dtype = node.args, node.params["axis"], node.params["dtype"]
    if x.op.name == "make_vector" and x.args:
        parts = [cast(a, dtype) for a in x.args]
    elif x.op.name == "join" and x.params["axis"] in axes and x not in context.frozen:
        if node.op.name == "prod" and dtype in CONTINUOUS:
            return None  # one part may overflow where another is 0
        if not joins_surely(x, context):
            return None
        parts = [reduced(node.op.name, a, axes, dtype) for a in x.args]
    else:
        return None
    if len(parts) > 16 or any(part.type.shape != node.type.shape for part in parts):
        return None  # what one part tells of the sizes of all would be lost
    total: Any = parts[0]
    for part in parts[1:]:
        total = make(OPS[_COMBINE[node.op.name]], (total, part))
    return total


@procedure("70: unbroadcast", "unbroadcast", same_shape=True, local=True)
def useless_unbroadcast(node: Expr, context: Context) -> Expr | None:
    """A gradient that already has the shape of its argument needs no sum; one with known axes has a plain sum."""
    g, like = node.args
    if context.same_shape(g, like):
        return g
    have, want = context.shape_of(g), context.shape_of(like)
    axes = tuple([a for a, n in enumerate(want) if isinstance(n, int) and n == 1 and have[a] != 1])
    pairs = enumerate(zip(have, want, strict=True))
    if not axes or not all(same_size(m, n) for a, (m, n) in pairs if a not in axes):
        return None
    rest = iter(range(g.type.ndim))
    total = reduced("sum", g, axes)
    return shuffled(total, ["x" if a in axes else next(rest) for a in range(g.type.ndim)])


# ---------------------------------------------------------------- factors
@procedure("69: factors of a sum", "sum", "rounding overflow signed-zero special", on="fc")
def factor_of_sum(node: Expr, context: Context) -> Expr | None:
    """sum(a*x) with a constant along the axes is a*sum(x); sum(x/a*y) is sum(x*y)/a. No work is saved where a*x stays.

    A divisor that is constant along some of the axes divides the sums over these. In short floats a factor that others
    were scaled by before they met, as in sum(m/total*x), stays where it is: m*x may overflow.
    """
    (x,), axes, dtype = node.args, node.params["axis"], node.params["dtype"]
    if x.op.name not in ("mul", "true_div") or x.type.dtype != dtype or x in context.frozen:
        return None
    if context.uses.get(x, 1) > 1:
        return None
    ndim = x.type.ndim
    a, b = x.args
    for inner, factor in ((a, b), (b, a))[: 2 if x.op.name == "mul" else 1]:
        if constant_along(factor, axes, ndim) and context.same_shape(inner, x):
            total = make(node.op, (cast(inner, dtype),), node.params)
            outside = _without(factor, axes, ndim)
            return make(x.op, (total, outside) if inner is a else (outside, total))
    above, below, form = opened(x, context)
    stays = _scales(above, below, form) if dtype in _SHORT else frozenset()
    if not any(constant_along(f, axes, ndim) and f not in stays for f in (*above, *below)):
        inner_axes = tuple([a for a in axes if any(constant_along(f, (a,), ndim) for f in below if f not in stays)])
        if not inner_axes:
            return None
        axes = inner_axes  # divisors of rows: their sums are divided, and then summed
    above_left, below_left = [
        [f if f in stays or not constant_along(f, axes, ndim) else None for f in factors] for factors in (above, below)
    ]
    if all(f is None for f in above_left):
        return None
    inner = put_together(form, (above_left, below_left, None), dtype, context)
    if not context.same_shape(inner, x):
        return None
    total = make(node.op, (cast(inner, dtype),), {**node.params, "axis": axes})
    out = [
        [_without(f, axes, ndim) for f in factors if f not in stays and constant_along(f, axes, ndim)]
        for factors in (above, below)
    ]
    result = product_of([total, *out[0]], out[1], dtype, context)
    left = [a for a in range(ndim) if a not in axes]
    return reduced("sum", result, [left.index(a) for a in node.params["axis"] if a not in axes], dtype)


_SHORT = ("float16", "float32")  # which numbers as people write them may leave
_MODERATE = 1e6


def _scales(above: Factors, below: Factors, form: Form) -> frozenset[Expr]:
    """Divisors and small or large numbers that parts of a product were scaled by before they were multiplied."""
    found: set[Expr] = set()
    depths = [0]
    for token in form:
        depth = depths.pop()
        if isinstance(token, str):
            depths += [depth + 1, depth + 1]
            continue
        factor = (above if token[0] else below)[token[1]]
        if depth > 1 and (not token[0] or isinstance(factor, Constant)) and not _is_moderate(factor):
            found.add(factor)
    return frozenset(found)


def _is_moderate(factor: Expr) -> bool:
    """Whether ``factor`` is made of sizes, or a number that is neither large nor small."""
    if isinstance(factor, Constant):
        sizes = np.abs(factor.data)
        return bool(((sizes >= 1 / _MODERATE) & (sizes <= _MODERATE)).all())
    return _of_sizes(factor)


def _as_matrix(x: Expr) -> Expr:
    return shuffled(x, [*["x"] * (2 - x.type.ndim), *range(x.type.ndim)])


@procedure(
    "product with an outer product", "dot", "rounding overflow special", on="fc", same_shape=True, below="mul neg"
)
def product_with_outer(node: Expr, context: Context) -> Expr | None:
    """``A @ (u * v')`` is ``(A @ u) * v'``, as in the gradient of ``y @ inv(A) @ y``: no matrices are multiplied."""
    for place, operand in enumerate(node.args):
        outer = operand.args[0] if operand.op.name == "neg" else operand
        along, across = (1, 0) if place == 0 else (0, 1)  # the axis that the product sums over, and the other one
        if outer.op.name != "mul" or outer.type.ndim != 2 or outer in context.frozen:
            continue
        if outer.type.dtype != node.type.dtype:  # u * v' may wrap around in its own
            continue
        sizes = {a: (1,) * (2 - a.type.ndim) + a.type.shape for a in outer.args}
        kept = [a for a in outer.args if sizes[a][along] == 1]
        summed = [a for a in outer.args if sizes[a][along] != 1]
        if not summed or all(sizes[a][across] == 1 for a in kept) or any(sizes[a][across] != 1 for a in summed):
            continue
        u, v = [
            shuffled(reduce(ew.mul, [_as_matrix(cast(a, outer.type.dtype)) for a in factors]), [axis])
            for factors, axis in ((summed, along), (kept, across))
        ]
        v = v if outer is operand else ew.neg(v)
        other = node.args[1 - place]
        product = OPS["dot"](*((u, other) if place == 0 else (other, u)))
        if not product.type.ndim:
            return ew.mul(v, product)
        columns = shuffled(product, ["x", 0] if place == 0 else [0, "x"])
        return ew.mul(shuffled(v, [0, "x"] if place == 0 else ["x", 0]), columns)
    return None


REDUCTIONS = (
    drop_single_axes,
    merge_reductions,
    reduce_below_dimshuffle,
    sum_of_filled,
    sum_of_negative,
    extreme_of_negative,
    reduce_parts,
    useless_unbroadcast,
)
LAST = (factor_of_sum, product_with_outer)
