"""Theano's view of whole graphs: the walks of ``gof.graph``."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fuse.argnames import also
from fuse.errors import FuseValueError
from fuse.expr import Expr, substitute, variable
from fuse.expr import toposort as expr_toposort
from fuse.frontend.apply import Apply, clone_variable
from fuse.types import TensorType


def applications(outputs: Iterable[Expr], known: Iterable[Expr] = ()) -> list[Apply]:
    """The applications that ``outputs`` need, in an order of computation; nothing below ``known``."""
    order = expr_toposort(outputs, known=known)
    return [Apply._view(n) for n in order if not n.is_leaf and n.op.name != "part"]


@also(graphs="variable_list")
def inputs(variable_list: Iterable[Expr], blockers: Iterable[Expr] | None = None) -> list[Expr]:
    """The leaves that the variables depend on: inputs, shared variables and constants; nothing below ``blockers``.

    >>> import fuse.tensor as T
    >>> x, y = T.vectors("x", "y")
    >>> [v.name for v in inputs([x * y + x])]
    ['x', 'y']
    """
    return [n for n in ancestors(variable_list, blockers) if n.is_leaf]


@also(graphs="variable_list")
def ancestors(variable_list: Iterable[Expr], blockers: Iterable[Expr] | None = None) -> list[Expr]:
    """Every variable that these depend on, themselves included; ``blockers``, but nothing below them.

    >>> import fuse.tensor as T
    >>> x, y = T.vectors("x", "y")
    >>> [str(v) for v in ancestors([T.exp(x) * y], blockers=[T.exp(x), y])]
    ['exp(x)', 'y', 'exp(x) * y']
    """
    found, blocked = list(variable_list), set(blockers or ())
    order = expr_toposort(found, known=blocked)
    reached = dict.fromkeys(x for x in [*found, *[a for n in order for a in n.args]] if x in blocked)
    return [*reached, *order]


@also(inputs="ins", outputs="outs")
def variables(ins: Iterable[Expr], outs: Iterable[Expr]) -> set[Expr]:
    """Every variable between ``ins`` and ``outs``, both included."""
    ins = list(ins)
    return {*ins, *expr_toposort(outs, known=ins)}


@also(inputs="ins", outputs="outs")
def io_toposort(ins: Iterable[Expr], outs: Iterable[Expr]) -> list[Apply]:
    """The applications between ``ins`` and ``outs``, in an order of computation."""
    return applications(outs, ins)


@also(inputs="ins", outputs="outs")
def ops(ins: Iterable[Expr], outs: Iterable[Expr]) -> set[Apply]:
    """The applications between ``ins`` and ``outs``.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> ops([x], [T.exp(x)])
    {exp(x)}
    """
    return set(applications(outs, ins))


def orphans(ins: Iterable[Expr], outs: Iterable[Expr]) -> list[Expr]:
    """The leaves that ``outs`` depend on beside ``ins``: constants, shared variables, and inputs that are missing.

    >>> import fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> orphans([x], [x + y])
    [y]
    """
    return [n for n in expr_toposort(outs, known=list(ins)) if n.is_leaf]


@also(inputs="ins", outputs="outs")
def clone(
    ins: Sequence[Expr], outs: Sequence[Expr], copy_inputs: bool = True, copy_orphans: bool | None = None,
    clone_inner_graphs: bool = False,
) -> tuple[list[Expr], list[Expr]]:
    """The same graph on new inputs: (inputs, outputs). Constants stay, as all does without ``copy_inputs``."""
    if not copy_inputs:
        return list(ins), list(outs)
    fresh = [
        clone_variable(i) if i.op.name == "input" else i if i.op.name == "constant" else variable(i.type, i.name)
        for i in ins
    ]
    return fresh, substitute(outs, dict(zip(ins, fresh, strict=True)))


def is_same_graph(
    var1: Expr, var2: Expr, givens: Mapping[Expr, Expr] | Iterable[tuple[Expr, Expr]] | None = None,
    debug: bool = False,
) -> bool:
    """Whether two expressions are the same formula of the same variables, after ``givens``: nodes are interned.

    >>> import fuse.tensor as T
    >>> x, y = T.vectors("x", "y")
    >>> is_same_graph(x + 1, y + 1), is_same_graph(x + 1, y + 1, givens={x: y})
    (False, True)
    """
    pairs: dict[Any, Any] = dict(givens or {})
    first, second = substitute([var1, var2], pairs)
    return first is second


def equal_computations(
    xs: Sequence[Expr], ys: Sequence[Expr], in_xs: Sequence[Expr] = (), in_ys: Sequence[Expr] = ()
) -> bool:
    """Whether ``ys`` are ``xs`` with ``in_xs`` in place of ``in_ys``.

    Raises FuseValueError where there are not as many of one as of the other.
    """
    if len(xs) != len(ys) or len(in_xs) != len(in_ys):
        raise FuseValueError("equal_computations compares as many expressions, and replaces as many variables")
    return list(xs) == substitute(ys, dict(zip(in_ys, in_xs, strict=True)))


def call_text(node: Apply, texts: Sequence[str]) -> str:
    """An application as the call of its op, of these arguments."""
    return f"{node.op}({', '.join(texts)})"


def as_string(
    i: Iterable[Expr], o: Iterable[Expr], leaf_formatter: Callable[[Expr], str] = str,
    node_formatter: Callable[[Apply, list[str]], str] = call_text,
) -> list[str]:
    """The formulas of ``o`` in terms of ``i`` as text; what is used several times is written once and numbered.

    >>> import fuse.tensor as T
    >>> x = T.dvector("x")
    >>> as_string([x], [T.exp(x) * T.exp(x)])
    ['mul(*1 -> exp(x), *1)']
    """
    stop, outs = set(i), list(o)
    inner = ops(stop, outs)
    readers = Counter([a.owner for a in outs] + [a.owner for n in inner for a in n.inputs if a not in stop])
    numbers: dict[Apply, int] = {}

    def at(x: Expr, node: Apply) -> str:
        return f"::{node.outputs.index(x)}" if len(node.outputs) > 1 else ""

    written: list[str] = []
    for out in outs:
        waiting: list[tuple[Expr, bool]] = [(out, False)]
        parts: list[str] = []
        while waiting:  # each variable is met twice: before its operands are written, and after
            x, ready = waiting.pop()
            node = x.owner
            if x in stop or node is None:
                parts.append(leaf_formatter(x))
            elif ready:
                count = len(node.inputs)
                args = parts[len(parts) - count :]
                del parts[len(parts) - count :]
                text = node_formatter(node, args)
                parts.append(f"*{numbers[node]} -> {text}" if readers[node] > 1 else text)
            elif node in numbers:
                parts.append(f"*{numbers[node]}{at(x, node)}")
            else:
                if readers[node] > 1:
                    numbers[node] = len(numbers) + 1
                waiting.append((x, True))
                waiting += [(a, False) for a in reversed(node.inputs)]
        written += parts
    return written


def fits(old: Expr, new: Expr) -> bool:
    """Whether ``new`` is of the dtype and rank, or of the user's own type, of ``old``."""
    if isinstance(old.type, TensorType) and isinstance(new.type, TensorType):
        return (old.type.dtype, old.type.ndim) == (new.type.dtype, new.type.ndim)
    return bool(old.type == new.type)
