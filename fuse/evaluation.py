"""``eval`` of an expression, and ``clone``: functions made in passing, and graphs with variables replaced."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fuse.argnames import also
from fuse.compiled import function
from fuse.config import config
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, leaves, substitute, variable
from fuse.frontend.shared import SharedVariable
from fuse.mode import get_mode
from fuse.notes import tagged
from fuse.signature import replacements
from fuse.testvalues import without

Array = np.ndarray[Any, Any]


def evaluate(
    self: Expr, values: Mapping[Any, Any] | None = None, /, *, mode: Any = None, on_unused_input: str | None = None,
    **by_name: Any,
) -> Array:
    """The value of the expression for values of its variables, by variable or by name.

    The function behind it is compiled once per expression and set of variables. Values of variables on which the
    expression does not depend (it may only have their shape, which is known) are no error here, unless
    ``on_unused_input`` says so.

    >>> import fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> float((x * y).eval({x: 2.0, "y": 3.0})), float((x * y).eval(x=4.0, y=5.0))
    (6.0, 20.0)
    """
    if values is not None and not isinstance(values, Mapping):
        raise FuseTypeError(f"eval takes a dict from variables to values, not {type(values).__name__}")
    given: dict[Expr, Any] = {}
    for key, value in [*(values or {}).items(), *by_name.items()]:
        found = key if isinstance(key, Expr) else _leaf_called(self, key)
        if found in given:
            raise FuseTypeError(f"eval got two values for {found.name or found}")
        given[found] = value
    chosen = get_mode(mode)
    quiet = "ignore" if config.on_unused_input == "raise" else config.on_unused_input
    unused = quiet if on_unused_input is None else on_unused_input
    if self._cache is None:
        self._cache = {}
    functions = self._cache.setdefault("eval", {})
    key = tuple(given), chosen, unused
    if key not in functions:
        functions[key] = function(list(given), self, mode=chosen, on_unused_input=unused)
    return functions[key](*given.values())


def _leaf_called(expr: Expr, name: Any) -> Expr:
    named = [n for n in leaves([expr]) if n.op.name == "input" and n.name == name]
    if len(named) == 1:
        return named[0]
    if not isinstance(name, str):
        raise FuseTypeError(f"eval takes values by variable or by name, not by {type(name).__name__} {name!r:.40}")
    known = ", ".join(sorted(str(n.name) for n in leaves([expr]) if n.op.name == "input")) or "none"
    several = "several variables" if named else "no variable"
    raise FuseValueError(f"the expression has {several} called {name!r} (it has: {known})")


@also(rebuild_strict="strict", copy_inputs_over="share_inputs")
def clone(
    output: Any, replace: Any = None, strict: bool = True, share_inputs: bool = True, copy_inputs: Any = None
) -> Any:
    """``output`` (an expression, or a list, tuple or dict of them) with variables replaced, all at once.

    A replacement keeps what it says, also where it is of a variable that is replaced elsewhere.
    ``replace`` is a dict or list of pairs; with ``strict`` a replacement has the type of what it replaces. With
    ``share_inputs=False`` the result stands on new input variables, and new shared ones with the same containers.

    >>> import fuse, fuse.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> fuse.pp(fuse.clone(x * y, replace={x: y + 1.0}))
    '((y + TensorConstant{1.0}) * y)'
    >>> fuse.pp(fuse.clone(x - y, replace={x: y, y: x}))
    '(y - x)'
    """
    found = replacements(replace, "replace", strict, apart=False)
    several = output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else [output]
    roots = list(several)
    for root in roots:
        if not isinstance(root, Expr):
            raise FuseTypeError(f"clone takes expressions, not {type(root).__name__} {root!r:.60}")
    with without("ignore"):
        new = substitute(roots, found)
    for old, made in zip(roots, new, strict=True):  # a replacement without a test value: those of what it is a copy of
        value = tagged(old, "test_value")
        if value is not None and not made.is_leaf and tagged(made, "test_value") is None:
            made.tag.test_value = value
    if not (share_inputs if copy_inputs is None else copy_inputs):
        fresh: dict[Expr, Expr] = {n: variable(n.type, n.name) for n in leaves(new) if n.op.name == "input"}
        fresh.update({n: n.clone() for n in leaves(new) if isinstance(n, SharedVariable)})
        new = substitute(new, fresh)
    if isinstance(output, dict):
        return dict(zip(output, new, strict=True))
    return type(output)(new) if isinstance(output, (list, tuple)) else new[0]


Expr.eval = evaluate  # type: ignore[attr-defined]
