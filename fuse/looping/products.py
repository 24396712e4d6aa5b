"""Sums over all steps, which leave the loop: gradients of weights become one product over all steps."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.expr import Constant, Expr, toposort
from fuse.frontend import elementwise as ew
from fuse.frontend.creation import zeros_like
from fuse.frontend.join import join
from fuse.frontend.lengths import is_steady
from fuse.frontend.signs import element_givers
from fuse.frontend.sizes import shape_of
from fuse.looping.opened import Closed, Opened
from fuse.looping.pushing import batched, can_batch, varying
from fuse.op import OPS
from fuse.rewrite.sizes import same_size

Outer = Callable[[Closed], Expr]


def sums_outside(loop: Opened) -> bool:
    """States that only add something up: what is added for all steps at once, where that can be had.

    That is what depends on sequences alone, and products of two values, of which the sum over all steps is one product.
    """
    changed = False
    for x, (start, after) in list(loop.states.items()):
        terms = _terms(after, x)
        if terms is None or _is_read(loop, x):
            continue
        outer: list[Outer] = []
        inner: list[Expr] = []
        for term in terms:
            found = _of_part(loop, term, start) if _is_part(term) else _of_all_steps(loop, term)
            if found is None:
                inner.append(term)
            else:
                outer.append(found)
        if not outer:
            continue
        changed = True
        wanted = [i for i, f in loop.finals.items() if f is x]
        if inner:
            left = x
            for term in inner:
                left = _plus(left, term)
            loop.states[x][1] = left
        else:
            del loop.states[x]
        for i in wanted:
            if not inner:
                del loop.finals[i]
            loop.outside[i] = _total(x, start, outer, bool(inner))
    return changed


def steps_ahead(loop: Opened) -> bool:
    """A state that is an element, or what is computed of it, of the step before is a sequence, one step late.

    This is done where the loop needs no other state but sums, so that nothing of it stays.
    """
    if loop.until is not None:
        return False
    moving = varying(loop, loop.states)
    late = [
        x for x, (_, after) in loop.states.items()
        if after not in moving and x not in loop.finals.values() and can_batch([after], loop)
    ]
    for x, (_, after) in loop.states.items():
        if x not in late and (_terms(after, x) is None or _is_read(loop, x)):
            return False
    for x in late:
        start, after = loop.states.pop(x)
        first = OPS["dimshuffle"](start, pattern=("x", *range(start.type.ndim)))
        loop.sequences[x] = join(0, first, batched(loop, after))
    return bool(late)


def _total(x: Expr, start: Expr, outer: list[Outer], stays: bool) -> Outer:
    def make(closed: Closed) -> Expr:
        found = [each(closed) for each in outer]
        if stays or not (_is_zero(start) and any(_as_large(each, start) for each in found)):
            found.insert(0, closed.finals[x] if stays else start)
        total = found[0]
        for each in found[1:]:
            total = ew.add(total, each)
        return total

    return make


def _as_large(value: Expr, start: Expr) -> bool:
    """Whether ``value`` surely has the shape of ``start``, so that it need not be broadcast against it."""
    return all(same_size(m, n) for m, n in zip(shape_of(value), shape_of(start), strict=True))


def _is_zero(x: Expr) -> bool:
    while x.op.name in ("fill", "broadcast_to", "dimshuffle"):
        (x,) = element_givers(x)
    return isinstance(x, Constant) and not x.data.any()


def _terms(after: Expr, x: Expr) -> list[Expr] | None:
    """The terms that are added to the state ``x``; None where the next value is anything else."""
    terms: list[Expr] = []
    node = after
    kind = x.type.dtype, x.type.ndim
    while node.op.name in ("add", "sub", "inc_subtensor") and (node.type.dtype, node.type.ndim) == kind:
        if node.op.name == "inc_subtensor":
            if x in set(toposort(node.args[1:])):
                return None
            terms.append(OPS["set_subtensor"](zeros_like(x), *node.args[1:], **node.params))
            node = node.args[0]
            continue
        left, right = node.args
        holds = x in set(toposort([left]))
        if not holds and node.op.name == "sub":
            return None
        own, other = (left, right) if holds else (right, left)
        if other.type.dtype != x.type.dtype or other.type.ndim != x.type.ndim or x in set(toposort([other])):
            return None
        terms.append(other if node.op.name == "add" else ew.neg(other))
        node = own
    return terms[::-1] if node is x and terms else None


def _is_part(term: Expr) -> bool:
    """Whether a term is zero but for a part."""
    return term.op.name == "set_subtensor" and _is_zero(term.args[0])


def _of_part(loop: Opened, term: Expr, start: Expr) -> Outer | None:
    """The sum over all steps of what is zero but for a part that is the same in all of them."""
    found = _of_all_steps(loop, term.args[1]) if len(term.args) == 2 else None
    if found is None:
        return None
    return lambda closed: OPS["set_subtensor"](zeros_like(start), found(closed), **term.params)


def _plus(total: Expr, term: Expr) -> Expr:
    """``total`` plus a term, of which only a part is not zero where it was stored into zeros."""
    if _is_part(term):
        return OPS["inc_subtensor"](total, *term.args[1:], **term.params)
    return ew.add(total, term)


def _is_read(loop: Opened, x: Expr) -> bool:
    """Whether anything but its own next value reads the state."""
    others = [pair[1] for y, pair in loop.states.items() if y is not x]
    ends = [] if loop.until is None else [loop.until]
    return x in set(toposort([*others, *loop.kept.values(), *loop.extra.values(), *ends]))


def _of_all_steps(loop: Opened, term: Expr) -> Outer | None:
    """The sum of ``term`` over all steps; None where it is better added up in the loop."""
    if loop.states.keys().isdisjoint(toposort([term])) and loop.until is None and can_batch([term], loop):
        rows = batched(loop, term, in_order=False)
        return lambda closed: OPS["sum"](rows, axis=(0,), dtype=rows.type.dtype)
    pair = _outer_pair(term)
    if pair is None:
        return None
    left, right, make = pair
    moving = {*loop.sequences, *loop.states}
    if not (is_steady(left, moving) and is_steady(right, moving)):
        return None
    numbers = [_kept(loop, v) for v in (left, right)]
    return lambda closed: make(*[n(closed) for n in numbers], closed.length)


def _kept(loop: Opened, value: Expr) -> Outer:
    """The rows of a value: a sequence, something kept; or what never changes, once per step."""
    number = loop.keep(value)
    return lambda closed: closed.rows(number)


def _outer_pair(term: Expr) -> tuple[Expr, Expr, Any] | None:
    """(a, b, product over all steps) of a term that is an outer product of vectors or a product of matrices."""
    if term.type.ndim != 2 or term.type.dtype not in ("float32", "float64"):
        return None
    if term.op.name == "mul":
        a, b = term.args
        columns = [_vector(a, 0), _vector(b, 1)]
        if None in columns:
            a, b = b, a
            columns = [_vector(a, 0), _vector(b, 1)]
        if None in columns or any(v.type.dtype != term.type.dtype for v in columns if v is not None):
            return None
        return columns[0], columns[1], _product_of_rows  # type: ignore[return-value]
    if term.op.name == "outer" and all(a.type.ndim == 1 and a.type.dtype == term.type.dtype for a in term.args):
        return term.args[0], term.args[1], _product_of_rows
    if term.op.name == "dot" and all(a.type.ndim == 2 and a.type.dtype == term.type.dtype for a in term.args):
        left, right = term.args
        if left.op.name == "dimshuffle" and left.params["pattern"] == (1, 0):
            return left.args[0], right, _product_of_matrices
    return None


def _vector(x: Expr, axis: int) -> Expr | None:
    """The vector that ``x`` repeats along the other axis than ``axis``."""
    if x.op.name != "dimshuffle" or x.args[0].type.ndim != 1:
        return None
    return x.args[0] if x.params["pattern"] == ((0, "x") if axis == 0 else ("x", 0)) else None


def _product_of_rows(a: Expr, b: Expr, count: Expr) -> Expr:
    return OPS["dot"](OPS["dimshuffle"](a, pattern=(1, 0)), b)


def _product_of_matrices(a: Expr, b: Expr, count: Expr) -> Expr:
    left, right = [x.reshape((ew.mul(count, x.shape[1]), x.shape[2])) for x in (a, b)]
    return _product_of_rows(left, right, count)

