"""Matching of patterns in every spelling, and the building of what a rule puts in place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from fuse import types as ty
from fuse.expr import Constant, Expr, constant, make
from fuse.notes import notes
from fuse.op import OPS
from fuse.rewrite.pattern import Call, Literal, Param, Pattern, Wild, uniform

Bindings = dict[str, Any]
Axes = tuple[Any, ...] | None  # a dimshuffle pattern that was looked through

_KIND = {name: ty.kind(name) for name in ty.DTYPES}


def kind_of(node: Expr) -> str:
    """The dtype kind in which ``node`` computes: its own, or that of what it compares."""
    kind = _KIND[node.type.dtype]
    if node.op.name in ("argmax", "argmin"):
        return _KIND[node.args[0].type.dtype]
    if kind == "b" and node.op.kind == "elementwise":
        return _KIND[node.op.signature(*node.args, **node.params)[0][-1]]
    return kind


# ---------------------------------------------------------------- views: casts and dimshuffles that are looked through
def shuffled(expr: Expr, axes: Sequence[Any]) -> Expr:
    """``expr`` with its dimensions rearranged; ``axes`` may be one of its axes or "x" each."""
    if isinstance(expr, Constant):
        kept = [a for a in axes if a != "x"]
        dropped = [a for a in range(expr.ndim) if a not in kept]
        data = expr.data.transpose([*kept, *dropped]).reshape([1 if a == "x" else expr.data.shape[a] for a in axes])
        return constant(data)
    if tuple(axes) == tuple(range(expr.type.ndim)):
        return expr
    return make(OPS["dimshuffle"], (expr,), {"pattern": tuple(axes)})


def cast(expr: Expr, dtype: str) -> Expr:
    """``expr`` in ``dtype``; constants are converted at once."""
    if expr.type.dtype == dtype:
        return expr
    if isinstance(expr, Constant):
        known = notes(expr)
        if dtype not in known:
            with np.errstate(all="ignore"):
                known[dtype] = constant(expr.data.astype(dtype))
        return known[dtype]
    return make(OPS["cast"], (expr,), {"dtype": dtype})


def computed(op: str, a: Expr, b: Expr, dtype: str) -> Expr:
    """``a`` and ``b`` combined in ``dtype``, also where both are of narrower ones: a sum or product that is put
    together again in another order must not be rounded, or wrap, on its way as it never did before."""
    node = make(OPS[op], (a, b))
    return node if node.type.dtype == dtype else make(OPS[op], (cast(a, dtype), b))


def exact_float_cast(node: Expr) -> bool:
    """Whether the cast ``node`` goes from a float dtype to one that holds all its values."""
    have, want = node.args[0].type.dtype, node.type.dtype
    return _KIND[have] == _KIND[want] == "f" and ty.promote(have, want) == want


def _compose(outer: Axes, inner: Sequence[Any]) -> Axes:
    return tuple(inner) if outer is None else tuple(["x" if a == "x" else inner[a] for a in outer])


def _aligned(axes: Axes, ndim: int, arg: Expr) -> Axes:
    """The axes of an elementwise result of rank ``ndim`` as axes of ``arg``, which may have fewer."""
    missing = ndim - arg.type.ndim
    if axes is None or not arg.type.ndim:
        return None
    return tuple(["x" if a == "x" or a < missing else a - missing for a in axes])


def viewed(expr: Expr, dtype: str, axes: Axes) -> Expr:
    """``expr`` as it is seen through the casts and dimshuffles above it."""
    if axes is not None:
        expr = shuffled(expr, axes)
    return cast(expr, dtype)


# ---------------------------------------------------------------- matching
# Ops that give the same number in every float dtype that holds their arguments.
_UNROUNDED = frozenset({"neg", "abs", "sgn", "switch", "maximum", "minimum", "clip", "floor", "ceil", "trunc"})


class Matcher:
    """Matches patterns below one root; ``frozen`` nodes are not looked into.

    ``exact``: nothing below the root that rounds is found in a narrower float than the root's, in which it would be
    computed afterwards.
    """

    __slots__ = ("exact", "frozen", "on")

    def __init__(self, on: Collection[str], frozen: Collection[Expr] = (), exact: bool = False) -> None:
        self.on, self.frozen, self.exact = on, frozen, exact

    def solutions(self, pattern: Call, node: Expr) -> Iterator[Bindings]:
        """Every way in which ``pattern``, whose op is that of ``node``, fits."""
        if kind_of(node) in self.on:
            yield from self._children(pattern, node, node.type.dtype, None, {})

    def _children(self, pattern: Call, node: Expr, dtype: str, axes: Axes, found: Bindings) -> Iterator[Bindings]:
        for name, want in pattern.params.items() if pattern.params else ():
            have = node.params.get(name)
            if isinstance(want, Param):
                if found.get(want.name, have) != have:
                    return
                found = {**found, want.name: have}
            elif have != want:
                return
        args = node.args
        if len(args) != len(pattern.args):
            return
        if node.op.kind == "elementwise":
            own, signature = node.type.dtype, node.op.signature(*args, **node.params)[0]
            dtypes = [dtype if d == own else d for d in signature]
            views = [None] * len(args) if axes is None else [_aligned(axes, node.type.ndim, a) for a in args]
        else:
            dtypes, views = [a.type.dtype for a in args], [None] * len(args)
        if len(args) == 1:
            yield from self._match(pattern.args[0], args[0], dtypes[0], views[0], found)
            return
        parts = [(pattern.args[i], args[i], dtypes[i], views[i]) for i in pattern.order]
        yield from self._all(parts, 0, found)
        if not pattern.in_order and "commutative" in node.op.traits:
            parts = [(pattern.args[i], args[1 - i], dtypes[1 - i], views[1 - i]) for i in pattern.order]
            yield from self._all(parts, 0, found)

    def _all(self, parts: Sequence[tuple[Pattern, Expr, str, Axes]], i: int, found: Bindings) -> Iterator[Bindings]:
        if i == len(parts):
            yield found
            return
        for partial in self._match(*parts[i], found):
            yield from self._all(parts, i + 1, partial)

    def _match(self, pattern: Pattern, expr: Expr, dtype: str, axes: Axes, found: Bindings) -> Iterator[Bindings]:
        if isinstance(pattern, Wild):
            if pattern.test is None or pattern.test(expr):
                seen = viewed(expr, dtype, axes)
                have = found.get(pattern.name)
                if have is None:
                    yield {**found, pattern.name: seen}
                elif have is seen:
                    yield found
            return
        if isinstance(pattern, Literal):
            value = uniform(expr)
            if value is not None and pattern.accepts(value):
                yield found
            return
        assert isinstance(pattern, Call)
        while (name := expr.op.name) != pattern.op:
            if expr in self.frozen:
                return
            if name == "cast" and exact_float_cast(expr):
                expr = expr.args[0]
            elif name == "dimshuffle" and OPS[pattern.op].kind == "elementwise":
                axes = _compose(axes, expr.params["pattern"])
                expr = expr.args[0]
            elif not pattern.spelled and (opposite := negated(expr)) is not None:
                yield from self._match(pattern.args[0], opposite, dtype, axes, found)
                return
            else:
                return
        own = expr.type.dtype
        if own != dtype and (not _KIND[own] == _KIND[dtype] == "f" or self.exact and name not in _UNROUNDED):
            return  # computed in another kind or width: integers wrap there
        if expr not in self.frozen and kind_of(expr) in self.on:
            yield from self._children(pattern, expr, dtype, axes, found)


def negated(expr: Expr) -> Expr | None:
    """``-expr`` where it is written without a negation: of a constant, a difference, or a product with one."""
    name = expr.op.name
    if isinstance(expr, Constant):
        return constant(-expr.data) if _KIND[expr.type.dtype] == "f" else None
    if _KIND[expr.type.dtype] != "f":
        return None
    if name == "sub":
        return make(expr.op, expr.args[::-1])
    if name in ("mul", "true_div"):
        a, b = expr.args
        if _is_negative_number(a):
            opposite = _opposite(a, expr.type.dtype)
            return b if a.data.item() == -1 and name == "mul" and b.type == expr.type else make(expr.op, (opposite, b))
        if _is_negative_number(b) and name == "mul":
            opposite = _opposite(b, expr.type.dtype)
            return a if b.data.item() == -1 and a.type == expr.type else make(expr.op, (a, opposite))
    return None


def _is_negative_number(expr: Expr) -> TypeGuard[Constant]:
    if not isinstance(expr, Constant) or _KIND[expr.type.dtype] not in "if":
        return False
    return expr.data.size == 1 and bool(expr.data.item() < 0)


def _opposite(number: Constant, dtype: str) -> Expr:
    """``-number``, a factor of a product in the float ``dtype``; the smallest integer has no negative of its dtype."""
    data = number.data
    if data.dtype.kind == "i" and data.item() == np.iinfo(data.dtype).min:
        data = data.astype(f"int{2 * data.dtype.itemsize * 8}" if data.dtype.itemsize < 8 else dtype)
    return constant(-data)


# ---------------------------------------------------------------- building
def build(template: Pattern, found: Mapping[str, Any], dtype: str) -> Expr:
    """The expression that ``template`` stands for; a literal takes the dtype of its neighbours, else ``dtype``."""
    if isinstance(template, Wild):
        return found[template.name]
    if isinstance(template, Literal):
        known = template.constants.get(dtype)
        if known is None:
            known = constant(template.value, dtype="bool" if isinstance(template.value, bool) else dtype)
            template.constants[dtype] = known
        return known
    assert isinstance(template, Call)
    args: list[Expr | None] = [None if isinstance(a, Literal) else build(a, found, dtype) for a in template.args]
    beside = next((a.type.dtype for a in args if a is not None and a.type.dtype != "bool"), dtype)
    whole = [build(p, found, beside) if a is None else a for p, a in zip(template.args, args, strict=True)]
    params = {k: found[v.name] if isinstance(v, Param) else v for k, v in template.params.items()}
    return make(OPS[template.op], tuple(whole), params)
