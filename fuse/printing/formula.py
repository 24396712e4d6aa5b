"""Expressions on one line: ``pp`` in Theano's spelling, and the short text that ``str`` gives."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuse.expr import Constant, Expr
from fuse.printing.tree import (
    Piece,
    constant_text,
    joined,
    leaf_text,
    number_text,
    param_text,
    slice_pieces,
    write_out,
)

PP_LIMIT = 20_000  # nodes written, shared ones each time
STR_LIMIT = 40


def pp(expr: Any, limit: int = PP_LIMIT) -> str:
    """``expr`` on one line in Theano's spelling: operators with all their parentheses, ``TensorConstant{2}``.

    A list, a tuple or a compiled function prints each of its outputs. Beyond ``limit`` nodes follows ``...``.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> fuse.pp(2 * T.exp(x) + 1)
    '((TensorConstant{2} * exp(x)) + TensorConstant{1})'
    """
    if isinstance(expr, Expr):
        return write_out(expr, None, _pp_pieces, limit)
    outputs = expr.maker.fgraph.outputs if hasattr(expr, "maker") else expr
    return "[" + ", ".join([pp(e, limit) for e in outputs]) + "]"


def pprint(expr: Any) -> str:
    """The same as ``pp``.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> fuse.pprint(-T.exp(x))
    '(-exp(x))'
    """
    return pp(expr)


def short_text(expr: Expr, limit: int = STR_LIMIT) -> str:
    """The name of ``expr``, or a short formula with as few parentheses as needed.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> (x + 1) * T.exp(-x).sum(axis=0)
    (x + 1) * sum(exp(-x))
    """
    if expr.name:
        return expr.name
    return write_out(expr, 0, _short_pieces, limit)


# ---------------------------------------------------------------- Theano's spelling
def _pp_pieces(node: Expr, _: Any) -> list[Piece]:
    if isinstance(node, Constant):
        return [constant_text(node)]
    if node.is_leaf:
        return [leaf_text(node)]
    args: list[Piece] = [(a, None) for a in node.args]
    symbol = node.op.symbol
    if symbol and len(args) == 1:
        return ["(", symbol, args[0], ")"]
    if symbol and len(args) == 2:
        return ["(", args[0], f" {symbol} ", args[1], ")"]
    return _call_pieces(node, args, None)


def _call_pieces(node: Expr, args: list[Piece], context: Any) -> list[Piece]:
    special = _SPECIAL.get(node.op.name)
    if special is not None:
        return special(node, args, context)
    whole = {"axis": tuple(range(getattr(node.args[0].type, "ndim", 0)))} if node.op.kind == "reduction" else {}
    params: list[Piece] = [
        f"{k}={param_text(v)}" for k, v in node.params.items() if k != "dtype" and (k not in whole or whole[k] != v)
    ]
    return [str(node.op), "(", *joined(args + params), ")"]


def _dimshuffle(node: Expr, args: list[Piece], _: Any) -> list[Piece]:
    pattern = node.params["pattern"]
    ndim = node.args[0].type.ndim
    if ndim > 1 and pattern == tuple(range(ndim))[::-1]:
        return [args[0], ".T"]
    return [f"DimShuffle{{{','.join(map(str, pattern))}}}(", args[0], ")"]


def _subtensor(node: Expr, args: list[Piece], context: Any) -> list[Piece]:
    return [args[0], "[", *slice_pieces(node.params["spec"], node.args[1:], context), "]"]


def _write(symbol: str) -> Callable[..., list[Piece]]:
    def pieces(node: Expr, args: list[Piece], context: Any) -> list[Piece]:
        inner = slice_pieces(node.params["spec"], node.args[2:], context)
        return [node.op.name, "(", args[0], "[", *inner, "], ", args[1], ")"]

    return pieces


_SPECIAL: dict[str, Callable[..., list[Piece]]] = {
    "cast": lambda node, args, _: [f"Cast{{{node.params['dtype']}}}(", args[0], ")"],
    "dimshuffle": _dimshuffle,
    "subtensor": _subtensor,
    "set_subtensor": _write("set"),
    "inc_subtensor": _write("inc"),
    "gather": lambda node, args, _: [args[0], "[", *joined(args[1:]), "]"],
    "shape_i": lambda node, args, _: [args[0], f".shape[{node.params['axis']}]"],
    "make_vector": lambda node, args, _: ["[", *joined(args), "]"],
    "part": lambda node, args, _: [args[0], f".{node.params['i']}"],
}


# ---------------------------------------------------------------- the short form
_ATOM = 100  # a precedence above that of every operator


def _short_pieces(node: Expr, outer: int) -> list[Piece]:
    if isinstance(node, Constant):
        text = node.name or number_text(node)
        return [f"({text})" if text.startswith("-") and outer > 12 else text]
    if node.is_leaf:
        return [leaf_text(node)]
    own = node.op.precedence
    symbol = node.op.symbol
    if symbol and len(node.args) == 1:
        return _in_parentheses(own < outer, [symbol, (node.args[0], own)])
    if symbol and len(node.args) == 2:
        right_to_left = symbol == "**"
        left, right = node.args
        inner: list[Piece] = [(left, own + right_to_left), f" {symbol} ", (right, own + (not right_to_left))]
        return _in_parentheses(own < outer, inner)
    is_postfix = node.op.name in ("subtensor", "gather", "shape_i", "part") or node.op.name == "dimshuffle"
    args: list[Piece] = [(a, _ATOM if is_postfix and i == 0 else 0) for i, a in enumerate(node.args)]
    return _call_pieces(node, args, 0)


def _in_parentheses(needed: bool, pieces: list[Piece]) -> list[Piece]:
    return ["(", *pieces, ")"] if needed else pieces
