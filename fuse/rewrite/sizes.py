"""When two symbolic sizes are one: sizes that broadcast the same sizes, in whatever order and nesting."""

from __future__ import annotations

from typing import Any

from fuse.expr import Constant, Expr
from fuse.notes import noted, notes

_MANY_PARTS = 32


def broadcast_parts(size: Expr) -> dict[Expr, None]:
    """The sizes that ``size`` broadcasts, each once: their order and how often they stand there do not matter.

    Sizes of the same parts are the same number wherever they exist. Of very many, ``size`` itself stands for them.
    """
    if size.op.name != "broadcast_size":
        return {size: None}
    known = noted(size, "broadcast")
    if known is not None:
        return known
    parts: dict[Expr, None] = {}
    stack, met = [size], {size}
    while stack and len(parts) <= _MANY_PARTS:
        node = stack.pop()
        known = noted(node, "broadcast")
        if known is not None:
            parts.update(known)
        elif node.op.name == "broadcast_size":
            new = [a for a in node.args if a not in met]  # the last is looked into first: chains grow to the left
            met.update(new)
            stack += new
        else:
            parts[node] = None
    if len(parts) > _MANY_PARTS:
        return {size: None}
    notes(size)["broadcast"] = parts = dict.fromkeys(reversed(parts))
    return parts


def same_size(m: Any, n: Any) -> bool:
    """Whether two sizes (ints or 0-d expressions) are surely the same number."""
    if m is n:
        return True
    m = int(m.data) if isinstance(m, Constant) else m
    n = int(n.data) if isinstance(n, Constant) else n
    if isinstance(m, int) or isinstance(n, int):
        return isinstance(m, int) and isinstance(n, int) and m == n
    if m.op.name == n.op.name == "broadcast_size":
        return broadcast_parts(m).keys() == broadcast_parts(n).keys()
    return False
