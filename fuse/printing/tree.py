"""Writing a graph out as a formula: one loop with a stack, and a limit on how much is written."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.expr import Constant, Expr

# What a node becomes: text, and (node, context) pairs that are written out in their place.
Piece = str | tuple[Expr, Any]
Expand = Callable[[Expr, Any], Sequence[Piece]]

ELLIPSIS = "..."


def write_out(root: Expr, context: Any, expand: Expand, limit: int) -> str:
    """The text of ``root``; nodes beyond ``limit`` are written as ``...``.

    A shared subexpression is written at every place where it is used, so a small graph may be a huge formula.
    """
    out: list[str] = []
    stack: list[Piece] = [(root, context)]
    count = 0
    while stack:
        piece = stack.pop()
        if isinstance(piece, str):
            out.append(piece)
            continue
        count += 1
        if count > limit:
            out.append(ELLIPSIS)
            continue
        stack += reversed(expand(*piece))
    return "".join(out)


def joined(pieces: Sequence[Piece], separator: str = ", ") -> list[Piece]:
    """``pieces`` with ``separator`` between them."""
    out: list[Piece] = []
    for piece in pieces:
        if out:
            out.append(separator)
        out.append(piece)
    return out


def leaf_text(node: Expr) -> str:
    """An input or shared variable: its name, else its type in angle brackets."""
    return node.name or f"<{node.type}>"


def number_text(node: Constant, short: bool = False) -> str:
    """The value of a constant: ``2``, ``1.5``, ``[1. 2.]``, ``(3, 1) of 0.0``; long ones shortened."""
    import numpy as np

    data = node.data
    if not isinstance(data, np.ndarray):  # of a user's own type
        return repr(data)
    if data.ndim == 0:
        return str(data[()])
    first = data.flat[0] if data.size else None
    if first is not None and bool((data == first).all()):
        return f"{data.shape} of {first}"
    with np.printoptions(threshold=10, edgeitems=2, linewidth=10_000):
        text = " ".join(np.array2string(data).split())
    return text if len(text) <= 60 else f"{text[:25]} {ELLIPSIS} {text[-25:]}"


def constant_text(node: Constant) -> str:
    """A constant as Theano writes it: ``TensorConstant{2}``."""
    return node.name or f"TensorConstant{{{number_text(node)}}}"


def param_text(value: Any) -> str:
    return str(value) if isinstance(value, Expr) else repr(value)


def slice_pieces(spec: Sequence[Any], args: Sequence[Expr], context: Any) -> list[Piece]:
    """The inside of the brackets of a subtensor, from its ``spec`` and its run-time arguments."""
    entries: list[list[Piece]] = []
    for entry in spec:
        if entry[0] == "int":
            entries.append([_bound(entry[1], args, context)])
            continue
        start, stop, step = [_bound(b, args, context) for b in entry[1:]]
        entries.append([start, ":", stop, *([":", step] if step != "" else [])])
    out: list[Piece] = []
    for entry in entries:
        out += [", "] * bool(out) + entry
    return out or ["..."]


def _bound(value: Any, args: Sequence[Expr], context: Any) -> Piece:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return args[value[1]], context
    return str(value)
