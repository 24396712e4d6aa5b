"""ifelse: a choice between whole values of which only the chosen one is computed.

``ifelse`` is a node like any other while a graph is built, differentiated and simplified. What only one of its branches
needs is not computed unless that branch is taken: `guards` says which nodes those are, the interpreter asks for values
on demand, and a plan puts them into loops of one step or none (fuse.looping.branches).
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import Expr, as_expr, constant
from fuse.frontend.weak import numpys
from fuse.notes import given_with
from fuse.op import ZERO, Op, register
from fuse.trace import TRACE
from fuse.types import COMPLEX, TensorType

Literal = tuple[Expr, bool]  # a condition, and whether it holds


def _infer(condition: Expr, then: Expr, other: Expr) -> Any:
    if condition.type.ndim:
        raise FuseTypeError(f"The condition argument of ifelse is a scalar, not a {condition.type.describe()}")
    if not isinstance(then.type, TensorType):  # whatever such a value is; `ifelse` compared the types
        return then.type
    if then.type.dtype != other.type.dtype or then.type.ndim != other.type.ndim:
        raise FuseTypeError(
            f"the two branches of ifelse have the same dtype and number of dimensions, not {then.type.describe()} and "
            f"{other.type.describe()}"
        )
    sizes = zip(then.type.shape, other.type.shape, strict=True)
    return TensorType(then.type.dtype, tuple([m if m == n else None for m, n in sizes]))


def either_shape(then: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    """Sizes that both branches have; None where only running can tell."""
    return tuple([m if m is n or isinstance(m, int) and m == n else None for m, n in zip(then, other, strict=True)])


def _reverse(g: Any, out: Expr, condition: Expr, then: Expr, other: Expr) -> tuple[Any, ...]:
    from fuse.frontend.creation import zeros_like

    nothing = [zeros_like(x, dtype=g.type.dtype) for x in (then, other)]
    return ZERO, IFELSE(condition, g, nothing[0]), IFELSE(condition, nothing[1], g)


def _forward(tangents: Sequence[Any], out: Expr, condition: Expr, then: Expr, other: Expr) -> Any:
    from fuse.frontend.creation import zeros_like

    _, a, b = tangents
    if not isinstance(a, Expr) and not isinstance(b, Expr):
        return ZERO
    a = a if isinstance(a, Expr) else zeros_like(then, dtype=b.type.dtype)
    b = b if isinstance(b, Expr) else zeros_like(other, dtype=a.type.dtype)
    return IFELSE(condition, a, b)


def _chosen(condition: Any, then: Any, other: Any) -> Any:
    value = then if condition else other
    return np.array(value) if isinstance(value, (np.ndarray, np.generic, int, float, complex)) else value


IFELSE = register(Op(
    name="ifelse", kind="opaque", numpy=_chosen,
    infer=_infer, shape=lambda node, _, then, other: either_shape(then, other), nargs=3, grad=_reverse, jvp=_forward,
    doc="One of two values, of which only the chosen one is computed.",
))


def ifelse(condition: Any, then_branch: Any, else_branch: Any, name: str | None = None) -> Any:
    """``then_branch`` where the scalar ``condition`` is not 0, else ``else_branch``; only the chosen one is computed.

    A branch is an expression, or a list or tuple of them; the result has the form of ``then_branch``. Branches agree in
    dtype and rank, not in sizes; a Python number takes the other branch's dtype. Gradients are lazy
    as well: nothing of the branch that is not taken is computed for them, and nothing flows through it. What branches
    of different conditions share is always computed. `switch` chooses per element, and computes both.

    Raises FuseTypeError where types differ or the condition is no scalar, FuseValueError for lists of two lengths.

    >>> import fuse, fuse.tensor as T
    >>> from fuse.ifelse import ifelse
    >>> x = T.dvector("x")
    >>> f = fuse.function([x], ifelse(x.sum() > 0, T.log(x), x[::-1]))
    >>> f([1.0, 1.0]), f([-1.0, -2.0])
    (array([0., 0.]), array([-2., -1.]))
    """
    listed = [list(b) if isinstance(b, (list, tuple)) else [b] for b in (then_branch, else_branch)]
    condition = as_expr(condition)
    found = []
    for then, other in zip(*listed, strict=False):
        then, other = numpys(then, other) if TRACE.active else (then, other)
        then, other = _number(then, other), _number(other, then)
        kinds = [(x.type.dtype, x.type.ndim) if isinstance(x.type, TensorType) else x.type
                 for x in (then, other)]
        if kinds[0] != kinds[1]:
            raise FuseTypeError(
                f"the two branches of ifelse have one dtype and rank, not {then.type.describe()} and "
                f"{other.type.describe()}; cast or reshape one of them, or give both branches as lists or neither"
            )
        if not isinstance(condition.type, TensorType) or condition.type.ndim:
            raise FuseTypeError(f"The condition argument of ifelse is a scalar, not a {condition.type.describe()}")
        found.append(IFELSE(condition, then, other))
        if name is not None and found[-1].name is None:
            found[-1].name = name if len(listed[0]) == 1 else f"{name}_{len(found) - 1}"
    if len(listed[0]) != len(listed[1]):
        raise FuseValueError(
            f"the branches of ifelse have as many values: there are {len(listed[0])} if the condition holds, and "
            f"{len(listed[1])} if not"
        )
    if len(found) > 1:
        given_with(found, [*listed[0], *listed[1]])
    return found if isinstance(then_branch, list) else tuple(found) if isinstance(then_branch, tuple) else found[0]


def by_axis(axis: Expr, ndim: int, build: Callable[[int], Expr], what: str) -> Expr:
    """``build(axis)`` for a 0-d axis that is known when it runs: a choice among all axes that ``build`` takes.

    Raises AxisError at run time where there is no such axis, FuseTypeError for what is no number.
    """
    from fuse.frontend import elementwise as ew
    from fuse.frontend.asserting import required

    if axis.type.ndim or axis.type.dtype in COMPLEX:
        raise FuseTypeError(f"the axis of {what} is an integer, not a {axis.type.describe()}")
    number = ew.cast(axis, "int64")
    place = ew.switch(ew.lt(number, 0), ew.add(number, ndim), number)
    found: list[tuple[int, Expr]] = []
    fault: FuseError | None = None
    for k in range(ndim):
        try:
            found.append((k, build(k)))
        except ShapeError as error:  # of sizes that are known: this axis cannot be meant
            fault = error
    if not found:
        raise fault or FuseTypeError(f"{what} needs an axis")
    (last, out), *rest = found[::-1]
    exists = ew.eq(place, last)
    for k, value in rest:
        out = IFELSE(ew.eq(place, k), value, out)
        exists = ew.or_(exists, ew.eq(place, k))
    return required(out, [exists], f"the axis of {what} is out of bounds for {ndim} dimensions", "AxisError")


def _number(value: Any, beside: Any) -> Expr:
    """``value`` as an expression; Python's numbers in the dtype of the other branch, where that has them."""
    if type(value) in (bool, int, float, complex) and isinstance(beside, Expr) and isinstance(beside.type, TensorType):
        with np.errstate(all="ignore"):
            cast = np.array(value).astype(beside.type.dtype)
        if cast == value or type(value) is float and cast.dtype.kind in "fc":
            return constant(cast, dtype=beside.type.dtype)
    return as_expr(value)


# ---------------------------------------------------------------- what need not be computed
def has_choices(order: Iterable[Expr]) -> bool:
    """Whether there is an ``ifelse`` among these nodes."""
    return any(n.op is IFELSE for n in order)


def guards(order: Sequence[Expr], roots: Iterable[Expr]) -> dict[Expr, frozenset[Literal]]:
    """What must hold for a node to be needed for ``roots``: conditions, with their sides.

    ``order`` has the nodes, arguments first. Only what all ways to a node have in common counts. A node that is not
    needed at all is not in the result.
    """
    found: dict[Expr, frozenset[Literal]] = dict.fromkeys(roots, frozenset())
    for node in reversed(order):
        if node not in found:
            continue
        for k, arg in enumerate(node.args):
            edge = edge_guard(node, k, found[node])
            found[arg] = found[arg] & edge if arg in found else edge
    return found


def edge_guard(node: Expr, position: int, own: frozenset[Literal]) -> frozenset[Literal]:
    """What holds where ``node``, which is needed if ``own`` holds, reads its argument at ``position``."""
    return own | {(node.args[0], position == 1)} if node.op is IFELSE and position else own


def under(conditions: Iterable[Literal], guarded: Mapping[Expr, frozenset[Literal]], value: Expr, zero: Expr) -> Expr:
    """``value`` where all of ``conditions`` hold, else ``zero``; conditions that need others are asked after them."""
    for condition, side in sorted(conditions, key=lambda c: -len(guarded.get(c[0], ()))):
        value = IFELSE(condition, value, zero) if side else IFELSE(condition, zero, value)
    return value
