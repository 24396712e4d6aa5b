"""Procedure: a node whose arguments are all constants becomes a constant."""

from __future__ import annotations

import numpy as np

from fuse.errors import FuseError
from fuse.expr import Constant, Expr, constant
from fuse.reference import apply
from fuse.rewrite import Context, procedure

_KINDS = frozenset({"elementwise", "reduction", "index", "view", "shape"})
_NAMES = frozenset({"make_vector", "join"})
_SMALL = 1024
_POSITIONS = 64  # longer rows of positions are cheaper to compute than to read


@procedure("64: constant folding", "*", below="constant", local=True)
def fold_constants(node: Expr, context: Context) -> Expr | None:
    """The value of ``node``, as the reference computes it, unless it would be much larger than its arguments."""
    args = node.args
    for arg in args:
        if not isinstance(arg, Constant):
            return None
    op = node.op
    if op.kind not in _KINDS and op.name not in _NAMES or not args or op.stateful or not hasattr(node.type, "shape"):
        return None
    if op.kind in ("index", "view"):
        sizes = node.type.shape
        total = 1
        for n in sizes:
            total *= n if n is not None else _SMALL + 1
        most = _POSITIONS if op.name == "iota" else _SMALL
        if total > max(most, *[a.data.size for a in args]):
            return None
    try:
        with np.errstate(all="ignore"):
            value = apply(node, [a.data for a in args])
    except (FuseError, ArithmeticError, ValueError, IndexError, TypeError):
        return None  # the error belongs to run time
    if value.size > max(_SMALL, *[a.data.size for a in args]):
        return None
    return constant(value)
