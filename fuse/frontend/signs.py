"""Signs of values, as far as ops tell: whether something is surely not below zero."""
from __future__ import annotations

from fuse.expr import Expr
from fuse.frontend.sizes import static_int


def element_givers(node: Expr) -> tuple[Expr, ...]:
    """The operands that the traits ``chooses`` and ``keeps-sign`` speak of: no index, size, condition or model.

    >>> import fuse.tensor as T
    >>> x, c = T.dvectors("xc")
    >>> element_givers(T.switch(c > 0, x, 1.0)), element_givers(x[2:])
    ((x, 1.0), (x,))
    """
    if node.op.kind != "elementwise":
        return node.args[:1]
    return node.args[1:] if node.op.name in ("switch", "fill") else node.args


def never_negative(expr: Expr) -> bool:
    """Whether ``expr`` is a size for certain: made of sizes by operations that keep them at 0 or above."""
    stack = [expr]
    for _ in range(64):
        if not stack:
            return True
        node = stack.pop()
        known = static_int(node)
        if "count" in node.op.traits or known is not None and known >= 0:
            continue
        if node.op.name == "maximum" and any((n := static_int(a)) is not None and n >= 0 for a in node.args):
            continue
        if node.op.traits.isdisjoint(("chooses", "keeps-sign")):
            return False
        stack += element_givers(node)
    return False
