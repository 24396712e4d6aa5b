"""Short axes beside loops: the sizes of a call that a trace takes to be known, because its loops are much faster then.

A step on a few states (hidden ones, those of a filter) takes longer to find out how many there are than to compute, and
loops over axes of known short sizes are written out by LLVM. So where what was traced has loops, the short axes of the
first call are part of its types, but for those that say how many steps there are. Calls of other sizes have a function
without them.
"""
from __future__ import annotations

from collections.abc import Sequence

from fuse.expr import INPUT, Expr, toposort

SHORT = 8  # the longest axis that is told apart

Shape = tuple[int | None, ...]


def short_axes(inputs: Sequence[Expr], outputs: Sequence[Expr], shapes: Sequence[Shape]) -> list[Shape]:
    """For each input the sizes that are to be known, None for others: of some only where there are loops."""
    loops = [n for n in toposort(outputs) if n.op.name == "loop"]
    counted = _measured([n.args[0] for n in loops])
    return [
        tuple([n if loops and n is not None and n <= SHORT and (x, d) not in counted else None
               for d, n in enumerate(shape)])
        for x, shape in zip(inputs, shapes, strict=True)
    ]


def _measured(counts: Sequence[Expr]) -> set[tuple[Expr, int]]:
    """The axes of inputs from which numbers of steps are read."""
    found: set[tuple[Expr, int]] = set()
    for node in toposort(counts):
        if node.op.name != "shape_i":
            continue
        value, axis = node.args[0], node.params["axis"]
        while value.op.name in ("dimshuffle", "subtensor"):
            if value.op.name == "dimshuffle":
                axis = value.params["pattern"][axis]
            if axis == "x":
                break
            value = value.args[0]
        if value.op is INPUT and axis != "x":
            found.add((value, axis))
    return found


def fits(known: Sequence[Shape], shapes: Sequence[Shape]) -> bool:
    """Whether arrays have the sizes that are known."""
    return all(n is None or n == m for a, b in zip(known, shapes, strict=True) for n, m in zip(a, b, strict=True))
