"""Assumptions: sizes that are equal in the ordinary use of an idiom, taken as equal and guarded.

``x[arange(y.shape[0]), y]`` picks one place in each row of ``x``; only if ``y`` has as many entries as ``x`` has rows
is it a function of the row, and fuses. Programs mean that, so plans assume it; a call where it does not hold is
served by a plan that assumes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuse.expr import Expr, constant, make, rebuild, transform
from fuse.frontend.shape import shape_of
from fuse.op import OPS

_FIRST_INDEX = {"gather": 1, "inc_gather": 2, "set_gather": 2}


def assume_picks(outputs: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    """``outputs`` with each ``x[iota(k), y]`` as ``x[iota(rows), y]``, and the (k, rows) that must be equal."""
    equal: dict[tuple[Expr, Expr], None] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        at = _FIRST_INDEX.get(node.op.name)
        if at is not None and len(args) > at + 1 and args[at].op.name == "iota":
            count, rows = args[at].args[0], shape_of(args[0])[0]
            size = constant(rows, dtype="int64") if isinstance(rows, int) else rows
            if size is not count and count.op.name != "constant":
                equal[count, size] = None
                args = (*args[:at], make(OPS["iota"], (size,)), *args[at + 1 :])
        return node if node.is_leaf else rebuild(node, args)

    return transform(outputs, visit), list(equal)
