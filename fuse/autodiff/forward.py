"""Forward mode: ``Rop`` pushes tangents from inputs to outputs (Jacobian times column vector)."""
from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from fuse import testvalues
from fuse import types as ty
from fuse.argnames import also
from fuse.autodiff.absent import DisconnectedType, grad_not_implemented, is_disconnected, is_null
from fuse.autodiff.reverse import check_choices, derived, stabilized, targets_of
from fuse.autodiff.sweep import (
    Cotangent,
    cast_like,
    cotangents,
    filled,
    is_discrete,
    is_tensor,
    may_broadcast,
    op,
    pull_back,
)
from fuse.errors import DisconnectedInputError, FuseValueError, NullTypeGradError, ShapeError
from fuse.expr import Expr, as_expr, leaves, substitute, toposort
from fuse.notes import noted
from fuse.op import DISCONNECTED, ZERO, Marker

# A tangent is an expression in the shape and dtype of its node, ZERO where it is zero everywhere, None where the node
# does not depend on the inputs; for a node with several results, a tuple of these.
Tangent = Any


@also(tangents="eval_points", use_op_pushforward="use_op_rop_implementation")
@testvalues.after
def Rop(
    f: Any,
    wrt: Any,
    eval_points: Any,
    disconnected_outputs: str = "raise",
    return_disconnected: str = "zero",
    use_op_rop_implementation: bool = True,
) -> Any:
    """The Jacobian of ``f`` with respect to ``wrt`` times the column vector ``eval_points``.

    ``eval_points`` has the structure and shapes of ``wrt`` (an entry may be None: no change there), the result those of
    ``f``. One forward sweep: ops with a rule of their own use it, elementwise ops scale the tangent, linear ops map it,
    and for others the product comes from two reverse steps on that op alone.

    Raises DisconnectedInputError where an output does not depend on ``wrt`` (``disconnected_outputs``).

    >>> import fuse, fuse.tensor as T
    >>> x, v = T.dvectors("x", "v")
    >>> fuse.Rop(x ** 2, x, v).eval({x: [1.0, 2.0], v: [1.0, 10.0]})
    array([ 2., 40.])
    """
    check_choices(disconnected_inputs=disconnected_outputs, return_disconnected=return_disconnected)
    heads = list(f) if isinstance(f, (list, tuple)) else [f]
    targets = targets_of(wrt, "Rop")
    points = list(eval_points) if isinstance(eval_points, (list, tuple)) else [eval_points]
    if len(points) != len(targets):
        raise FuseValueError(f"Rop got {len(targets)} inputs and {len(points)} eval_points: one per input is needed")
    start: dict[Expr, Tangent] = {}
    for target, point in zip(targets, points, strict=True):
        if point is not None:
            start[target] = _checked_tangent(target, point)
    stable = stabilized(heads, targets)
    found = tangents(stable, start)
    if None in found and any(a is not b for a, b in zip(heads, stable, strict=True)):
        written = tangents(heads, start)  # what the stable form does without is one that heads depend on: by zero
        found = [ZERO if t is None and w is not None else t for t, w in zip(found, written, strict=True)]
    found = [ZERO if t is None and _derived_from(h, targets) else t for h, t in zip(heads, found, strict=True)]
    results = [_result(t, h, disconnected_outputs, return_disconnected) for t, h in zip(found, heads, strict=True)]
    derived(results, [*heads, *start, *start.values()])
    return tuple(results) if isinstance(f, tuple) else results if isinstance(f, list) else results[0]


def tangents(outputs: Sequence[Expr], start: dict[Expr, Tangent]) -> list[Tangent]:
    """The tangents of ``outputs`` for the given tangents of some nodes; None where they do not depend on these."""
    known = dict(start)
    for node in toposort(outputs):
        if node in known or node.is_leaf:
            continue
        inner = [known.get(a) for a in node.args]
        if any(t is not None for t in inner):
            known[node] = push_forward(node, inner)
    return [known.get(o) for o in outputs]


def push_forward(node: Expr, inner: Sequence[Tangent]) -> Tangent:
    """The tangent of ``node`` from those of its arguments, not all of which are None."""
    null = next((t for t in inner if is_null(t)), None)
    if null is not None:
        return null
    if node.op.name == "part":
        return inner[0][node.params["i"]] if isinstance(inner[0], tuple) else inner[0]
    if node.op.kind == "shape":
        return None
    inner = [t if isinstance(t, Expr) else None for t in inner]
    if node.op.meta.get("position"):  # where a value stands is no function of it that could be differentiated
        return None
    if "floats" in node.op.meta:  # integers that are the bits of floats
        found = node.op.grad[0](ZERO if inner[0] is None else inner[0], node, *node.args)
        return grad_not_implemented(node.op.name, 0, node, found) if isinstance(found, str) else found
    if is_discrete(node) or all(t is None for t in inner):
        return ZERO
    if node.op.jvp is not None:
        return _typed(node, node.op.jvp(tuple(inner), node, *node.args, **node.params))
    if node.op.kind == "elementwise" and node.op.grad is not None and _scales(node):
        return _scaled(node, inner)
    if node.op.linear and all(t is None for t in inner[1:]):
        return cast_like(op_again(node, (inner[0], *node.args[1:])), node)
    return _double_reverse(node, inner)


def op_again(node: Expr, args: Sequence[Expr]) -> Expr:
    """The op of ``node`` on other arguments."""
    return node.op(*args, **node.params)


def _scales(node: Expr) -> bool:
    """Whether the derivative of an elementwise op is a factor: not so for a complex function such as conj or abs."""
    if node.op.meta.get("holomorphic", True):
        return True
    return node.type.dtype not in ty.COMPLEX and all(a.type.dtype not in ty.COMPLEX for a in node.args)


def _scaled(node: Expr, inner: Sequence[Tangent]) -> Tangent:
    """An elementwise op's Jacobian is diagonal, so its reverse rules scale tangents just as well."""
    total: Tangent = None
    for i, (arg, rule, t) in enumerate(zip(node.args, node.op.grad, inner, strict=True)):
        if t is None or isinstance(rule, Marker):
            total = ZERO if t is not None and rule is ZERO and total is None else total
            continue
        if isinstance(rule, str):
            return grad_not_implemented(node.op.name, i, node, rule)
        if node.type.dtype in ty.CONTINUOUS and t.type.dtype != node.type.dtype:
            t = cast_like(t, node)
        if t.type.ndim != node.type.ndim or t.type.shape != node.type.shape and _widened(arg, node):
            t = op("fill", node, t)
        part = rule(t, node, *node.args, **node.params)
        if is_null(part):
            return part
        if isinstance(part, Marker):
            total = part if part is ZERO and total is None else total
        else:
            total = op("add", total, part) if isinstance(total, Expr) else part
    return cast_like(total, node) if isinstance(total, Expr) else total


def _widened(arg: Expr, node: Expr) -> bool:
    """Whether ``arg`` (of the rank of ``node``) is, or may at run time be, broadcast to make ``node``."""
    static = any(n == 1 and m != 1 for n, m in zip(arg.type.shape, node.type.shape, strict=True))
    return static or may_broadcast(arg, node)


def _typed(node: Expr, t: Tangent) -> Tangent:
    if isinstance(t, (tuple, list)):
        return tuple([None if p is None or is_disconnected(p) else p for p in t])
    if t is None or t is ZERO:
        return t
    if t is DISCONNECTED or is_disconnected(t):
        return None
    return t if is_null(t) else cast_like(as_expr(t), node)


def _double_reverse(node: Expr, inner: Sequence[Tangent]) -> Tangent:
    """J t from reverse rules alone: <v, J t> = <J^T v, t>, whose gradient in the dummy ``v`` is J t."""
    wanted = [t is not None for t in inner]
    dummies, g = _dummies(node)
    pulled = pull_back(node, g, wanted)
    null = next((h for h in pulled if is_null(h)), None)
    if null is not None:
        return null
    heads: list[tuple[Expr, Cotangent]] = [
        (h, cast_like(t, h)) for h, t in zip(pulled, inner, strict=True) if isinstance(h, Expr) and t is not None
    ]
    found = cotangents(heads, [v for v, _ in dummies])
    results = [found[v] for v, _ in dummies]
    # J t does not depend on v, but its formula may ask for the shape of v.
    live = [r for r in results if isinstance(r, Expr)]
    zeros = {v: filled(result, 0.0) for v, result in dummies}
    replaced: dict[Any, Any] = dict(zip(live, substitute(live, zeros), strict=True))
    final: list[Tangent] = [replaced.get(r, ZERO) for r in results]
    return final[0] if is_tensor(node) else tuple(final)


def _dummies(node: Expr) -> tuple[list[tuple[Expr, Expr]], Any]:
    """A fresh cotangent variable for each result of ``node``, with that result; and the cotangent that they make.

    The variables of integer results reach no rule, so their derivatives come out as zero.
    """
    if is_tensor(node):
        v = node.type()
        return [(v, node)], v
    results = [op("part", node, i=i) for i in range(len(node.type.elements))]  # type: ignore[attr-defined]
    pairs = [(r.type(), r) for r in results]
    return pairs, tuple([DISCONNECTED if is_discrete(r) else v for v, r in pairs])


def _derived_from(head: Expr, targets: Sequence[Expr]) -> bool:
    """Whether ``head``, which does not depend on ``targets``, is made of derivatives of something that does."""
    wanted = frozenset(leaves(targets))
    return any(not wanted.isdisjoint(noted(n, "derived_from", ())) for n in toposort([head]))


def _checked_tangent(target: Expr, point: Any) -> Tangent:
    point = as_expr(point)
    if point.type.ndim != target.type.ndim:
        raise ShapeError(
            f"an eval point has the rank of its input: {target.name or 'the input'} is a {target.type.describe()}, "
            f"the eval point a {point.type.describe()}"
        )
    return ZERO if is_discrete(target) else cast_like(point, target)


def _result(t: Tangent, head: Expr, disconnected_outputs: str, absent: str) -> Any:
    if is_null(t):
        raise NullTypeGradError(f"the derivative passes through an op without one: {t.type.why_null}")
    if isinstance(t, Expr):
        return t
    if t is ZERO:
        return filled(head, 0.0)
    text = "an output of Rop does not depend on the inputs: disconnected_outputs='ignore' gives zeros"
    if disconnected_outputs == "raise":
        raise DisconnectedInputError(text)
    if disconnected_outputs == "warn":
        warnings.warn(text, stacklevel=3)
    if absent == "zero":
        return filled(head, 0.0)
    return None if absent.lower() == "none" else DisconnectedType()()
