"""Sums and products of any length: the signed terms (or factors) of a chain of additions (or multiplications)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fuse.expr import Constant, Expr

if TYPE_CHECKING:
    from fuse.rewrite.context import Context

Terms = list[tuple[int, Expr]]  # 1: added, or above the line of a quotient; -1: taken away, or below it
Changed = TypeVar("Changed")
MANY = 24  # operations that are looked into although others read them too

# The ops of a chain, and the signs that their operands have in it; those of one operand cost nothing.
SIGNS: dict[str, dict[str, tuple[int, ...]]] = {
    "sum": {"add": (1, 1), "sub": (1, -1), "neg": (-1,)},
    "product": {"mul": (1, 1), "true_div": (1, -1)},
}
FAMILY = {name: family for family, ops in SIGNS.items() for name, signs in ops.items() if len(signs) == 2}


class Chain(NamedTuple):
    """The terms of a chain in their order, and how many of its operations are only read by it.

    ``form`` says how they are joined, in Polish notation: ops of two operands, and the numbers of terms.
    """

    terms: Terms
    own: int
    form: list[str | int]


def opened(family: str, node: Expr, context: Context) -> tuple[Chain, Chain]:
    """The chain that ends in ``node``: of what nothing else reads, then with up to MANY operations opened that others
    read too, or that stand below such a one; the same object where there are none.

    Several procedures ask for the same chain in turn, so the last answer of each family is kept.
    """
    known = context.opened.get(family)
    if known is not None and known[0] is node:
        return known[1]
    shut, several = _read(SIGNS[family], node, context, 0)
    found = shut, _read(SIGNS[family], node, context, MANY)[0] if several else shut
    context.opened[family] = node, found
    return found


def _read(ops: dict[str, tuple[int, ...]], node: Expr, context: Context, left: int) -> tuple[Chain, bool]:
    """One of the two, and whether something stayed shut only because others read it."""
    dtype, inner, frozen = node.type.dtype, context.inner, context.frozen
    found: Terms = []
    form: list[str | int] = []
    own = 0
    several = False
    stack = [(1, node, False)]
    while stack:
        sign, term, below_shared = stack.pop()
        signs = ops.get(term.op.name)
        if signs is None or term.type.dtype != dtype or term in frozen:
            form.append(len(found))
            found.append((sign, term))
            continue
        if len(signs) == 1:
            stack.append((sign * signs[0], term.args[0], below_shared))
            continue
        shared = below_shared or term is not node and term not in inner
        if shared and left <= 0:
            several = True
            form.append(len(found))
            found.append((sign, term))
            continue
        left -= shared
        own += not shared
        form.append(term.op.name)
        stack.append((sign * signs[1], term.args[1], shared))
        stack.append((sign * signs[0], term.args[0], shared))
    return Chain(found, own, form), several


def improved(
    family: str,
    node: Expr,
    context: Context,
    change: Callable[[Chain], Changed | None],
    operations: Callable[[Terms, Changed], int],
    extra: int,
    only: bool,
) -> Changed | None:
    """What ``change`` makes of the chain that ends in ``node``: of the terms that it alone joins, else of those that
    others join too; None where nothing changes, or a longer chain goes on from ``node``, which is changed as a whole.

    What others read stays, so opening it must not lead to more ``operations`` (of the terms before and after) than
    become superfluous (plus ``extra``): every element of a chain would be written out else, and a graph of n nodes
    become one of n squared. ``only``: ``change`` concerns constants only, so that it need not be tried where the rest
    is too much already.
    """
    if node in context.inner:
        return None
    shut, wide = opened(family, node, context)
    changed = change(shut)
    if changed is not None or wide is shut:
        return changed
    if only and sum(not isinstance(t, Constant) for _, t in wide.terms) - 1 > wide.own + extra:
        return None
    changed = change(wide)
    if changed is not None and operations(wide.terms, changed) > wide.own + extra:
        return None
    return changed
