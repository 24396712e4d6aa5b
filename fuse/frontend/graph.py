"""Theano's view of whole graphs: FunctionGraph, and the walks of ``gof.graph``."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fuse.argnames import also
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, substitute, variable
from fuse.expr import toposort as expr_toposort
from fuse.frontend.apply import Apply, clone_variable


class FunctionGraph:
    """Inputs, outputs and the applications between them. Formulas never change: ``replace`` gives it other outputs.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> FunctionGraph([x], [T.exp(x) + 1]).toposort()
    [exp(x), add(float64 vector, int8 scalar)]
    """

    def __init__(self, inputs: Sequence[Expr], outputs: Sequence[Expr], clone: bool = False) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self._replaced: list[dict[Expr, Expr]] = []

    def attach_feature(self, feature: Any) -> None:
        """Theano's graphs take notes while they change; here there is nothing to note."""

    def replace(self, r: Expr, new_r: Expr, reason: Any = None, **_: Any) -> None:
        """Put ``new_r`` in the place of ``r``. Raises FuseTypeError where dtype or rank differ.

        Both may come from ``toposort`` of before earlier replacements.

        >>> import fuse.tensor as T
        >>> x = T.dvector("x")
        >>> graph = FunctionGraph([x], [T.exp(x) + 1])
        >>> graph.replace(T.exp(x), T.sin(x))
        >>> graph.outputs
        [sin(x) + 1]
        """
        for earlier in self._replaced:
            r, new_r = substitute([r, new_r], earlier)
        if (r.type.dtype, r.type.ndim) != (new_r.type.dtype, new_r.type.ndim):
            raise FuseTypeError(f"a {r.type.describe()} cannot be replaced by a {new_r.type.describe()}")
        self._replaced.append({r: new_r})
        self.outputs = substitute(self.outputs, {r: new_r})

    replace_validate = replace

    def replace_all(self, pairs: Iterable[tuple[Expr, Expr]], reason: Any = None, **_: Any) -> None:
        """Several replacements, one after the other."""
        for r, new_r in pairs:
            self.replace(r, new_r)

    replace_all_validate = replace_all

    def clone(self, *_: Any, **__: Any) -> FunctionGraph:
        """Another graph of the same inputs and outputs."""
        return FunctionGraph(self.inputs, self.outputs)

    def toposort(self) -> list[Apply]:
        """The applications, each after those it reads."""
        return applications(self.outputs, self.inputs)

    @property
    def apply_nodes(self) -> set[Apply]:
        return set(self.toposort())

    @property
    def variables(self) -> set[Expr]:
        return {*self.inputs, *expr_toposort(self.outputs, known=self.inputs)}

    def __repr__(self) -> str:
        return f"FunctionGraph({self.toposort()})"


def applications(outputs: Iterable[Expr], known: Iterable[Expr] = ()) -> list[Apply]:
    """The applications that ``outputs`` need, in an order of computation; nothing below ``known``."""
    order = expr_toposort(outputs, known=known)
    return [Apply._view(n) for n in order if not n.is_leaf and n.op.name != "part"]


@also(graphs="variable_list")
def inputs(variable_list: Iterable[Expr], blockers: Iterable[Expr] | None = None) -> list[Expr]:
    """The leaves that the variables depend on: inputs, shared variables and constants.

    >>> import fuse.tensor as T
    >>> x, y = T.vectors("x", "y")
    >>> [v.name for v in inputs([x * y + x])]
    ['x', 'y']
    """
    blocked = list(blockers or ())
    order = expr_toposort(variable_list, known=blocked)
    return [n for n in order if n.is_leaf] + [b for b in blocked if not b.is_leaf]


@also(graphs="variable_list")
def ancestors(variable_list: Iterable[Expr], blockers: Iterable[Expr] | None = None) -> list[Expr]:
    """Every variable that these depend on, themselves included."""
    return expr_toposort(variable_list, known=blockers or ())


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
