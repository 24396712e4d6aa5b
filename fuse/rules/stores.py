"""Procedures: sums of arrays that are zero but for a slice become increments of one array."""

from __future__ import annotations

from fuse.expr import Expr, make
from fuse.op import OPS
from fuse.rewrite import Context, procedure, uniform


@procedure("79: sum of stores into zeros", "add", "rounding signed-zero", same_shape=True)
def add_stores(node: Expr, context: Context) -> Expr | None:
    """set_subtensor(zeros[i], y) + set_subtensor(zeros[j], z) is inc_subtensor(set_subtensor(zeros[i], y)[j], z).

    One array instead of one for each term: the gradient of what reads several slices of an array.
    """
    whole, term = node.args
    stores = [_stores(x, context) for x in (whole, term)]
    if not all(stores) or not whole.type == term.type == node.type or not context.same_shape(whole, term):
        return None
    for store in stores[1]:
        whole = make(OPS["inc_subtensor"], (whole, *store.args[1:]), store.params)
    return whole


def _stores(x: Expr, context: Context) -> list[Expr]:
    """The stores that made ``x`` from zeros, the first one first; none where others read what is in between."""
    found: list[Expr] = []
    while x.op.name in ("inc_subtensor", "set_subtensor") and x not in context.frozen and context.uses.get(x, 1) <= 1:
        found.append(x)
        if x.op.name == "set_subtensor":
            return found[::-1] if uniform(x.args[0]) == 0 else []
        x = x.args[0]
    return []
