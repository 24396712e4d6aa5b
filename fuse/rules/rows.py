"""Procedures: formulas over an axis that are one stable op: logsumexp, softmax, log_softmax, norms, variance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fuse.expr import Constant, Expr, make
from fuse.frontend import elementwise as ew
from fuse.frontend.sizes import Size, size_product
from fuse.frontend.statistics import var
from fuse.op import OPS
from fuse.rewrite import Context, procedure
from fuse.rewrite.chains import Terms
from fuse.rewrite.match import cast, kind_of, shuffled
from fuse.rewrite.pattern import is_positive
from fuse.rules.products import opened, put_together
from fuse.rules.seen import Seen, constant_along, inside, kept, reduced, seen
from fuse.rules.sums import EXTRA, improved_sum, terms_of
from fuse.rules.values import nonnegative, number

STABLE = "rounding signed-zero overflow special"


def logsumexp(x: Expr, axes: tuple[int, ...]) -> Expr:
    return make(OPS["logsumexp"], (x,), {"axis": axes})


def softmax(x: Expr, axis: int) -> Expr:
    return _along("softmax", x, axis)


def log_softmax(x: Expr, axis: int) -> Expr:
    return _along("log_softmax", x, axis)


def _along(name: str, x: Expr, axis: int) -> Expr:
    import fuse.frontend.softmax  # noqa: F401 (has the ops; programs of NumPy's names alone do not load it)

    return make(OPS[name], (x,), {"axis": axis})


# ---------------------------------------------------------------- logarithms of sums of exponentials
def _exponent(term: Expr, dtype: str, context: Context) -> Expr | None:
    """log(term), in ``dtype``, in closed form for exp(a), sum(exp(a)), a positive constant, and products of these."""
    view = seen(term)
    node = view.node
    if node in context.frozen:
        return None
    if isinstance(term, Constant):
        return ew.log(cast(term, dtype)) if is_positive(term) else None
    if node.op.name == "exp":
        return view.again(cast(node.args[0], node.type.dtype))
    if node.op.name == "sum":
        inner = inside(node.args[0])
        if inner.op.name not in ("exp", "mul") or not node.type.dtype.startswith("float"):
            return None
        log = _exponent(inner, node.type.dtype, context)
        if log is None or isinstance(log, Constant) or not context.same_shape(log, inner):
            return None
        return view.again(logsumexp(cast(log, node.type.dtype), node.params["axis"]))
    if term.op.name == "mul" and kind_of(term) == "f":
        first, second = [_exponent(a, dtype, context) for a in term.args]
        if first is not None and second is not None:
            return ew.add(cast(first, dtype), cast(second, dtype))
    return None


@procedure("20: log of a sum of exponentials", "log log1p", STABLE, on="f", same_shape=True)
def log_of_exponentials(node: Expr, context: Context) -> Expr | None:
    """log(exp(a) + exp(b) + ...), also with positive factors and constants, and with sums over an axis among them."""
    arg = node.args[0]
    dtype = node.type.dtype
    if node.op.name == "log1p":
        log = _exponent(arg, dtype, context) if seen(arg).node.op.name in ("sum", "mul") else None
        return None if log is None else ew.softplus(log)
    view = seen(arg)
    if view.node.op.name == "sum":
        return _exponent(arg, dtype, context)
    if view.node.op.name != "add" or view.node in context.frozen:
        return None
    terms = terms_of(view.node, context)
    if len(terms) > 64 or any(sign < 0 for sign, _ in terms):
        return None
    logs = [_exponent(t, dtype, context) for _, t in terms]
    if any(log is None for log in logs) or all(isinstance(log, Constant) for log in logs):
        return None
    total = cast(logs[0], dtype)  # type: ignore[arg-type]
    for log in logs[1:]:
        total = make(OPS["logaddexp"], (total, cast(log, dtype)))  # type: ignore[arg-type]
    return view.again(cast(total, view.node.type.dtype)) if view.node is not arg else total


@procedure(
    "21: c + logsumexp(x - c)", "add sub", STABLE, on="f", below="add sub neg logsumexp dimshuffle"
)
def unshift_logsumexp(node: Expr, context: Context) -> Expr | None:
    """c + logsumexp(x - c) with c constant along the axis is logsumexp(x): a subtracted maximum disappears.

    By itself logsumexp(x - c) stays: logsumexp(x) - c would cancel where x and c are large.
    """
    return improved_sum(node, context, partial(_unshifted, context), EXTRA)


def _unshifted(context: Context, terms: Terms, dtype: str) -> Terms | None:
    for i, (sign, term) in enumerate(terms):
        view = seen(term)
        if view.node.op.name != "logsumexp" or view.node in context.frozen:
            continue
        (x,), axes = view.node.args, view.node.params["axis"]
        if x.op.name not in ("add", "sub") or x in context.frozen:
            continue
        for a, c in (x.args, x.args[::-1])[: 2 if x.op.name == "add" else 1]:
            place = _place_of(c, view, axes, x.type.ndim)
            if place is None or constant_along(a, axes, x.type.ndim) or not context.same_shape(a, x):
                continue
            wanted = sign if x.op.name == "sub" else -sign
            j = next((j for j, (s, t) in enumerate(terms) if s == wanted and _laid_out(t) == place), None)
            if j is not None:
                plain = view.again(logsumexp(cast(a, x.type.dtype), axes))
                return [(s, plain if k == i else t) for k, (s, t) in enumerate(terms) if k != j]
    return None


def _laid_out(expr: Expr) -> tuple[Expr, tuple[Any, ...]]:
    """What ``expr`` is a dimshuffle of, and the pattern of all of them."""
    pattern: tuple[Any, ...] = tuple(range(expr.type.ndim))
    while expr.op.name == "dimshuffle":
        inner = expr.params["pattern"]
        pattern = tuple(["x" if a == "x" else inner[a] for a in pattern])
        expr = expr.args[0]
    return expr, pattern


def _place_of(c: Expr, view: Seen, axes: tuple[int, ...], ndim: int) -> tuple[Expr, tuple[Any, ...]] | None:
    """How ``c``, beside an array of ``ndim`` dimensions constant along ``axes``, is laid out beside a reduction of that
    array over them, as it is seen; None where it is not constant, or has a part of the dimensions."""
    base, pattern = _laid_out(c)
    if not c.type.ndim:
        return base, pattern
    if c.type.ndim != ndim or not constant_along(c, axes, ndim):
        return None
    rest = [pattern[a] for a in range(ndim) if a not in axes]
    return base, tuple(["x" if a == "x" else rest[a] for a in view.pattern])


# ---------------------------------------------------------------- softmax
@procedure("22: exp(x) / sum(exp(x))", "true_div", STABLE, on="f", same_shape=True, local=True)
def softmax_of_exponentials(node: Expr, context: Context) -> Expr | None:
    """exp(x) / sum(exp(x), axis), with or without keepdims where the shapes say the same, is softmax(x)."""
    top, bottom = inside(node.args[0]), seen(node.args[1])
    total = bottom.node
    if top.op.name != "exp" or total.op.name != "sum" or top in context.frozen or total in context.frozen:
        return None
    if inside(total.args[0]) is not top or not total.type.dtype.startswith("float"):
        return None
    axes, x = total.params["axis"], cast(top.args[0], node.type.dtype)
    if not bottom.keeps(axes, x.type.ndim):
        return None
    if len(axes) == 1:
        return softmax(x, axes[0])
    return ew.exp(ew.sub(x, kept(logsumexp(x, axes), axes, x.type.ndim)))


@procedure("22: exp(x) / sum(exp(x)) in a product", "mul true_div", STABLE, on="f", same_shape=True)
def softmax_in_product(node: Expr, context: Context) -> Expr | None:
    """The same with other factors in between."""
    if node in context.inner:
        return None
    above, below, form = opened(node, context)
    if not below or not 3 <= len(above) + len(below) <= 12:
        return None
    for i, top in enumerate(above):
        if inside(top).op.name != "exp":
            continue
        for j, bottom in enumerate(below):
            if seen(bottom).node.op.name == "sum":
                met = softmax_of_exponentials.function(make(OPS["true_div"], (top, bottom)), context)
                if met is not None:
                    tops = [met if k == i else f for k, f in enumerate(above)]
                    bottoms = [None if k == j else f for k, f in enumerate(below)]
                    return put_together(form, ([*tops], [*bottoms], None), node.type.dtype, context)
    return None


@procedure("22: softmax of a shifted x", "softmax log_softmax", STABLE, on="f", same_shape=True, local=True)
def unshift_softmax(node: Expr, context: Context) -> Expr | None:
    """softmax(x - c) with c constant along the axis is softmax(x)."""
    (x,), axis = node.args, node.params["axis"]
    if x.op.name not in ("add", "sub") or x in context.frozen:
        return None
    for a, b in (x.args, x.args[::-1])[: 2 if x.op.name == "add" else 1]:
        if (
            constant_along(b, (axis,), x.type.ndim)
            and not constant_along(a, (axis,), x.type.ndim)
            and context.same_shape(a, x)
        ):
            return make(node.op, (cast(a, x.type.dtype),), node.params)
    return None


def _through_views(expr: Expr, name: str, context: Context) -> tuple[Expr, list[Expr]] | None:
    """The op ``name`` below views of ``expr`` (all of which commute with a function of each element), and the views."""
    path: list[Expr] = []
    while expr.op.name != name:
        is_view = expr.op.kind in ("index", "view") and "chooses" in expr.op.traits or inside(expr) is not expr
        if not is_view or expr in context.frozen or len(path) > 16:
            return None
        path.append(expr)
        expr = expr.args[0]
    return None if expr in context.frozen else (expr, path)


def _again(inner: Expr, path: list[Expr]) -> Expr:
    for view in reversed(path):
        inner = make(view.op, (inner, *view.args[1:]), view.params)
    return inner


def _below_views(node: Expr, name: str, other: Callable[..., Expr], context: Context) -> Expr | None:
    """``node`` with ``other`` in the place of the op ``name``, of which it is a view."""
    found = _through_views(node, name, context)
    if found is None:
        return None
    inner, path = found
    return _again(other(inner.args[0], inner.params["axis"]), path)


@procedure("23: log(softmax(x))", "log", STABLE, on="f", same_shape=True, local=True)
def log_of_softmax(node: Expr, context: Context) -> Expr | None:
    """log(softmax(x)), also with indexing, dimshuffles or reshapes in between: log_softmax below them."""
    return _below_views(node.args[0], "softmax", log_softmax, context)


@procedure("24: exp(log_softmax(x))", "exp", STABLE, on="f", same_shape=True, local=True)
def exp_of_log_softmax(node: Expr, context: Context) -> Expr | None:
    """exp(log_softmax(x)), also through views; exp(x - logsumexp(x)) comes here by the next rule."""
    return _below_views(node.args[0], "log_softmax", softmax, context)


@procedure("24: x - logsumexp(x)", "sub", STABLE, on="f", same_shape=True, local=True)
def log_softmax_of_difference(node: Expr, context: Context) -> Expr | None:
    """x - logsumexp(x, axis) is log_softmax(x) where the shapes say keepdims."""
    x, view = inside(node.args[0]), seen(node.args[1])
    lse = view.node
    if lse.op.name != "logsumexp" or lse in context.frozen or len(lse.params["axis"]) != 1:
        return None
    if inside(lse.args[0]) is not x or not view.keeps(lse.params["axis"], x.type.ndim):
        return None
    return log_softmax(cast(x, node.type.dtype), lse.params["axis"][0])


# ---------------------------------------------------------------- positions, products
@procedure(
    "28: argmax of a monotone function", "argmax argmin", "rounding special", on="f", same_shape=True, local=True
)
def argmax_of_monotone(node: Expr, context: Context) -> Expr | None:
    """argmax(softmax(x)), argmax(exp(x)), ...: argmax(x)."""
    (x,), axis = node.args, node.params.get("axis")
    rowwise = x.op.name in ("softmax", "log_softmax") and x.params["axis"] == axis
    if x in context.frozen or not rowwise and "increasing" not in x.op.traits:
        return None
    return make(node.op, x.args, node.params)


@procedure("31: product of exponentials", "prod", STABLE, on="f", same_shape=True, local=True)
def product_of_exponentials(node: Expr, context: Context) -> Expr | None:
    """prod(exp(x)) is exp(sum(x))."""
    x = inside(node.args[0])
    if x.op.name != "exp" or x in context.frozen:
        return None
    return ew.exp(reduced("sum", cast(x.args[0], node.type.dtype), node.params["axis"]))


@procedure("31: log of a product", "log", STABLE, on="f", same_shape=True, local=True)
def log_of_product(node: Expr, context: Context) -> Expr | None:
    """log(prod(x)) is sum(log(x)) for x >= 0."""
    view = seen(node.args[0])
    inner = view.node
    if inner.op.name != "prod" or inner in context.frozen or not nonnegative(inner.args[0]):
        return None
    x = cast(inner.args[0], inner.type.dtype)
    return view.again(reduced("sum", ew.log(x), inner.params["axis"]))


# ---------------------------------------------------------------- norm and variance
@procedure("40: sqrt(sum(x**2))", "sqrt", "", on="f", same_shape=True, local=True)
def norm_of_squares(node: Expr, context: Context) -> Expr | None:
    """The root of a sum of squares is a norm: its derivative at 0 is taken as 0."""
    total = seen(node.args[0])
    if total.node.op.name != "sum" or inside(total.node.args[0]).op.name != "sqr" or total.node in context.frozen:
        return None
    return make(OPS["root"], node.args)


def _mean(expr: Expr) -> tuple[Expr, Expr, tuple[Any, ...]] | None:
    """(sum node, count, layout) of a sum divided by a number."""
    if expr.op.name != "true_div":
        return None
    view = seen(expr.args[0])
    if view.node.op.name != "sum" or expr.args[1].type.ndim:
        return None
    return view.node, expr.args[1], view.pattern


@procedure("41: mean(x**2) - mean(x)**2", "sub", STABLE, on="f", local=True)
def two_pass_variance(node: Expr, context: Context) -> Expr | None:
    """The variance about the mean, where the difference of two means would cancel."""
    first, second = node.args
    if second.op.name != "sqr":
        return None
    squares, plain = _mean(first), _mean(second.args[0])
    if squares is None or plain is None or squares[2] != plain[2] or squares[0].params != plain[0].params:
        return None
    power = inside(squares[0].args[0])
    if power.op.name != "sqr" or inside(plain[0].args[0]) is not inside(power.args[0]):
        return None
    x, axes = cast(power.args[0], plain[0].type.dtype), plain[0].params["axis"]
    sizes = [context.shape_of(x)[a] for a in axes]
    if not _counts(squares[1], sizes) or not _counts(plain[1], sizes):
        return None
    return cast(shuffled(var(x, axes), plain[2]), node.type.dtype)


def _counts(count: Expr, sizes: list[Size]) -> bool:
    """Whether ``count`` is the product of ``sizes``."""
    while count.op.name == "cast":
        count = count.args[0]
    wanted = size_product(sizes)
    return count is wanted or isinstance(wanted, int) and number(count) == wanted


ROWS = (
    log_of_exponentials,
    unshift_logsumexp,
    softmax_of_exponentials,
    softmax_in_product,
    unshift_softmax,
    log_of_softmax,
    exp_of_log_softmax,
    log_softmax_of_difference,
    argmax_of_monotone,
    product_of_exponentials,
    log_of_product,
    norm_of_squares,
    two_pass_variance,
)
