"""Theano's ``compile.pfunc``: ``function`` under its older name."""
from __future__ import annotations

from typing import Any

from fuse.compiled import Function
from fuse.compiled import function as function
from fuse.expr import Expr, as_expr, leaves, substitute
from fuse.signature import In as In


class Param(In):
    """An input with a ``default``, under its older name: ``In`` in another order.

    >>> import fuse.tensor as T
    >>> x, rate = T.dscalars("x", "rate")
    >>> f = pfunc([x, Param(rate, default=0.5)], x * rate)
    >>> float(f(2.0)), float(f(2.0, rate=3.0))
    (1.0, 6.0)
    """

    def __init__(self, variable: Expr, default: Any = None, name: str | None = None, **options: Any) -> None:
        super().__init__(variable, name, default, **options)


def pfunc(params: Any, outputs: Any = None, **options: Any) -> Function:
    """The function of ``params``: what ``fuse.function`` makes, with the same options.

    >>> import fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> float(pfunc([x], x + 1)(1.0))
    2.0
    """
    return function(params, outputs, **options)


__all__ = ["In", "Param", "function", "pfunc", "rebuild_collect_shared"]


def rebuild_collect_shared(
    outputs: Any, inputs: Any = None, replace: Any = None, updates: Any = None, rebuild_strict: bool = True,
    copy_inputs_over: bool = True, no_default_updates: Any = False,
) -> tuple[Any, Any, list[Any]]:
    """``outputs`` with ``replace`` done: (inputs, outputs, [copies, updates, as pairs, shared variables]).

    >>> import fuse, fuse.tensor as T
    >>> x, s = T.dscalar("x"), fuse.shared(1.0)
    >>> ins, out, more = rebuild_collect_shared(x + s, [x])
    >>> ins == [x], out is x + s, more[3] == [s]
    (True, True, True)
    """
    single = isinstance(outputs, Expr)
    found = [outputs] if single else list(outputs or [])
    pairs = dict(replace or {})
    made = substitute([as_expr(o) for o in found], {k: as_expr(v) for k, v in pairs.items()})
    changes = dict(updates or {})
    shared = [n for n in leaves(made) if n.op.name == "shared"]
    if no_default_updates is not True:
        kept = set(no_default_updates or ())
        for s in shared:
            default = getattr(s, "default_update", None)
            if default is not None and s not in kept and s not in changes:
                changes[s] = default
    copies = dict(zip(found, made, strict=True))
    rest = [copies, changes, list(changes.items()), list(dict.fromkeys([*shared, *changes]))]
    return list(inputs or []), made[0] if single else made, rest
