"""Procedures: casts, dimshuffles, reshapes, fills and sizes. Merged, dropped, or moved out of arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuse import types as ty
from fuse.expr import Constant, Expr, make
from fuse.frontend.signs import element_givers
from fuse.frontend.sizes import as_size_expr, static_int
from fuse.rewrite import Context, procedure
from fuse.rewrite.context import shape_model
from fuse.rewrite.match import cast, shuffled
from fuse.rewrite.sizes import broadcast_parts, same_size


# ---------------------------------------------------------------- casts
@procedure("64: cast of a cast", "cast", same_shape=True, local=True)
def merge_casts(node: Expr, context: Context) -> Expr | None:
    """Where the first cast keeps all values only the second remains; a cast to the own dtype goes."""
    (x,), dtype = node.args, node.params["dtype"]
    if x.type.dtype == dtype:
        return x
    if x.op.name != "cast" or x in context.frozen:
        return None
    source = x.args[0]
    if ty.promote(source.type.dtype, x.type.dtype) != x.type.dtype or not _keeps_values(
        source.type.dtype, x.type.dtype
    ):
        return None
    if _wraps(source.type.dtype, x.type.dtype, dtype):
        return None
    return cast(source, dtype)


def _keeps_values(source: str, wide: str) -> bool:
    """Whether every value of ``source`` is one of ``wide`` (int64 as float64 is not)."""
    kinds = ty.kind(source), ty.kind(wide)
    if kinds[0] in "iu" and kinds[1] in "fc":
        digits = {"float16": 11, "float32": 24, "complex64": 24}.get(wide, 53)
        return 8 * np.dtype(source).itemsize <= digits
    return True


def _wraps(source: str, middle: str, target: str) -> bool:
    """Whether a value outside ``target`` comes there differently from ``source`` than from ``middle``."""
    return ty.kind(middle) in "fc" and ty.kind(source) in "iu" and ty.kind(target) in "iu"


# ---------------------------------------------------------------- dimshuffle, reshape
@procedure("75: dimshuffle of a dimshuffle", "dimshuffle", same_shape=True, local=True)
def merge_dimshuffles(node: Expr, context: Context) -> Expr | None:
    """One dimshuffle instead of two; none where it changes nothing."""
    (x,), pattern = node.args, node.params["pattern"]
    if pattern == tuple(range(x.type.ndim)):
        return x
    if isinstance(x, Constant):
        return shuffled(x, pattern)
    if x.op.name != "dimshuffle" or x in context.frozen:
        return None
    inner = x.params["pattern"]
    return shuffled(x.args[0], ["x" if a == "x" else inner[a] for a in pattern])


@procedure("75: dimshuffle of an elementwise op", "dimshuffle", same_shape=True)
def lift_dimshuffle(node: Expr, context: Context) -> Expr | None:
    """f(x.T).T is f(x): through an elementwise op with no other reader, where it meets another dimshuffle below."""
    (x,), pattern = node.args, node.params["pattern"]
    if x.op.name == "broadcast_to" and x not in context.frozen:
        value, *sizes = x.args
        missing = len(sizes) - value.type.ndim
        inner = ["x" if a == "x" or a < missing else a - missing for a in pattern]
        if any(a != "x" and a not in inner for a in range(value.type.ndim) if value.type.shape[a] != 1):
            return None
        one = as_size_expr(1)
        return make(x.op, (shuffled(value, inner), *[one if a == "x" else sizes[a] for a in pattern]))
    if x.op.kind != "elementwise" or x in context.frozen or not x.args:
        return None
    if x.op.name != "fill" and context.uses.get(x, 1) > 1:
        return None
    meets = any(a.op.name == "dimshuffle" for a in x.args)
    if x.op.name != "fill" and (not meets or any(a.type.ndim and a.op.name not in _LIFTED for a in x.args)):
        return None
    args = []
    for arg in x.args:
        missing = x.type.ndim - arg.type.ndim
        args.append(
            shuffled(arg, ["x" if a == "x" or a < missing else a - missing for a in pattern]) if arg.type.ndim else arg
        )
    return make(x.op, tuple(args), x.params)


_LIFTED = frozenset({"dimshuffle", "constant"})


@procedure("75: reshape", "reshape", same_shape=True, local=True)
def simplify_reshape(node: Expr, context: Context) -> Expr | None:
    """A reshape of a reshape is one; one that only adds or drops axes of size 1 is a dimshuffle; an idle one goes."""
    x, *sizes = node.args
    if x.op.name == "reshape" and x not in context.frozen:
        return make(node.op, (x.args[0], *sizes))
    if context.same_shape(x, node):
        return x
    have = [(i, n) for i, n in enumerate(context.shape_of(x)) if not _is_one(n)]
    want = [n for n in context.shape_of(node) if not _is_one(n)]
    if len(have) != len(want) or not all(same_size(m, n) for (_, m), n in zip(have, want, strict=True)):
        return _of_single_size(node, context, have, want)
    rest = iter([i for i, _ in have])
    return shuffled(x, ["x" if _is_one(n) else next(rest) for n in context.shape_of(node)])


def _of_single_size(node: Expr, context: Context, have: list[Any], want: list[Any]) -> Expr | None:
    """The flattening of a vector: one size on both sides is the same size."""
    if len(have) != 1 or len(want) != 1 or static_int(node.args[1:][_place(node, context)]) != -1:
        return None
    rest = iter([have[0][0]])
    return shuffled(node.args[0], ["x" if _is_one(n) else next(rest) for n in context.shape_of(node)])


def _place(node: Expr, context: Context) -> int:
    return next(i for i, n in enumerate(context.shape_of(node)) if not _is_one(n))


def _is_one(n: Any) -> bool:
    return static_int(n) == 1


# ---------------------------------------------------------------- fill and broadcast_to
@procedure("76: useless fill", "fill broadcast_to", same_shape=True, local=True)
def drop_fill(node: Expr, context: Context) -> Expr | None:
    """A value that has the shape already; a fill of a fill; a model whose value need not be computed."""
    if node.op.name == "broadcast_to":
        value, *sizes = node.args
        if context.same_shape(value, node):
            return value
        if value.op.name == "broadcast_to" and value not in context.frozen:
            return make(node.op, (value.args[0], *sizes))
        return None
    model, value = node.args
    if context.same_shape(value, node):
        return value
    if value.op.name in ("fill", "broadcast_to") and value not in context.frozen:
        shorter = make(node.op, (model, *element_givers(value)))
        if context.same_shape(shorter, node):
            return shorter
    smaller = shape_model(model, context)
    return make(node.op, (smaller, value)) if smaller is not model else None


@procedure("76: fill inside arithmetic", "*", below="fill broadcast_to", local=True)
def sink_fill(node: Expr, context: Context) -> Expr | None:
    """f(fill(m, c), y) is f(c, y) where y has the whole shape; f(fill(m, c)) is fill(m, f(c))."""
    if node.op.kind != "elementwise":
        return None
    name = node.op.name
    if name == "fill":
        return None
    places = [
        i for i, a in enumerate(node.args)
        if a.op.name in ("fill", "broadcast_to") and a not in context.frozen and not _must_compare(a, node, context)
    ]
    if not places:
        return None
    bare = tuple([element_givers(a)[0] if i in places else a for i, a in enumerate(node.args)])
    return make(node.op, bare, node.params)  # the driver gives the shape back where it was lost


def _must_compare(arg: Expr, node: Expr, context: Context) -> bool:
    """Whether a size of ``arg`` is known at run time only while the result's is known now: nothing else says it then,
    and a call with another one has to be refused."""
    sizes, whole = context.shape_of(arg), context.shape_of(node)
    pairs = zip(sizes, whole[len(whole) - len(sizes) :], strict=True)
    return any(static_int(n) is None and static_int(w) is not None for n, w in pairs)


@procedure("76: constants of one element", "*", below="constant", same_shape=True, local=True)
def scalar_constants(node: Expr, context: Context) -> Expr | None:
    """A constant of shape (1, 1) beside an operand of the same rank is a scalar."""
    if node.op.kind != "elementwise":
        return None
    long = [i for i, a in enumerate(node.args) if isinstance(a, Constant) and a.data.size == 1 and a.type.ndim]
    rank = max((a.type.ndim for i, a in enumerate(node.args) if i not in long), default=0)
    if not long or rank < node.type.ndim:
        return None
    args = [shuffled(a, ()) if i in long else a for i, a in enumerate(node.args)]
    return make(node.op, tuple(args), node.params)


# ---------------------------------------------------------------- sizes
@procedure("74: size of an expression", "shape_i", same_shape=True, local=True)
def resolve_size(node: Expr, context: Context) -> Expr | None:
    """A size in terms of the inputs' sizes, without the values of what lies in between."""
    (x,) = node.args
    if x.is_leaf:
        return None
    if x.op.name == "part":
        return None
    size = as_size_expr(context.shape_of(x)[node.params["axis"]])
    return size if size is not node else None


@procedure("62: equal broadcast sizes", "broadcast_size", same_shape=True, local=True)
def equal_sizes(node: Expr, context: Context) -> Expr | None:
    """broadcast_size(n, n) is n, broadcast_size(1, n) and broadcast_size(n, 1) are n; a known other size wins."""
    a, b = node.args
    if a is b or static_int(b) == 1:
        return a
    if static_int(a) == 1:
        return b
    if static_int(a) is not None:
        return a
    first, second = broadcast_parts(a), broadcast_parts(b)
    if first.keys() <= second.keys():
        return b
    return a if second.keys() <= first.keys() else None


@procedure("74: element of a vector of scalars", "subtensor", same_shape=True, local=True)
def element_of_vector(node: Expr, context: Context) -> Expr | None:
    """make_vector(a, b, c)[1] is b."""
    x, spec = node.args[0], node.params["spec"]
    if x.op.name != "make_vector" or len(spec) != 1 or spec[0][0] != "int" or not isinstance(spec[0][1], int):
        return None
    return cast(x.args[spec[0][1]], node.type.dtype)


SHAPES = (
    merge_casts,
    merge_dimshuffles,
    lift_dimshuffle,
    simplify_reshape,
    drop_fill,
    sink_fill,
    scalar_constants,
    element_of_vector,
)
SIZES = (resolve_size, equal_sizes)
