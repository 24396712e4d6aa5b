"""Test values: with ``config.compute_test_value`` each expression is computed by the line that writes it."""
from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, TypeVar

from fuse import expr
from fuse.config import config
from fuse.errors import FuseError, FuseValueError, TestValueError, operand_text, origin_text, user_line
from fuse.expr import CONSTANT, INPUT, SHARED, Expr
from fuse.notes import tagged
from fuse.reference import evaluate
from fuse.types import TensorType, TupleType

P = ParamSpec("P")
R = TypeVar("R")
_NONE = object()


def get_test_value(node: Any) -> Any:
    """The value that stands for ``node`` while a graph is built: its ``tag.test_value``, or what it holds itself.

    >>> import numpy as np, fuse.tensor as T
    >>> x = T.vector("x")
    >>> x.tag.test_value = np.ones(3)
    >>> with config.change_flags(compute_test_value="raise"):
    ...     get_test_value(x * 2)
    array([2., 2., 2.])
    """
    node = expr.as_expr(node)
    value = _known(node)
    if value is _NONE:
        raise TestValueError(f"{node.name or node} ({node.type.describe()}) has no tag.test_value: set it to an array")
    return value


Expr.get_test_value = get_test_value  # type: ignore[attr-defined]


def get_debug_values(*args: Any) -> list[Any]:
    """[The test values of ``args``], to be looped over; [] where there are none or ``compute_test_value`` is "off".

    What is missing is told as the flag says: with "raise" it is a TestValueError. One argument gives its value, more a
    tuple.

    >>> import numpy as np, fuse.tensor as T
    >>> x = T.vector("x")
    >>> x.tag.test_value = np.ones(3)
    >>> with config.change_flags(compute_test_value="raise"):
    ...     for value, double in get_debug_values(x, x * 2):
    ...         print(value.sum(), double.sum())
    3.0 6.0
    """
    how = config.compute_test_value
    if how == "off":
        return []
    try:
        values = [get_test_value(arg) for arg in args]
    except TestValueError as error:
        if how == "raise":
            raise
        if how == "warn":
            warnings.warn(str(error), stacklevel=2)
        return []
    return values if len(values) == 1 else [tuple(values)]


def debug_error_message(text: str) -> None:
    """What went wrong with test values: FuseValueError, a warning or nothing, as ``compute_test_value`` says."""
    how = config.compute_test_value
    if how in ("raise", "ignore"):
        raise FuseValueError(text)
    if how == "warn":
        warnings.warn(text, stacklevel=2)


def lend(symbol: Expr, source: Expr, first: bool = False) -> None:
    """Give ``symbol`` of a loop's step the test value of ``source``, or the first element of it, where there is one."""
    value = _known(source)
    if value is not _NONE and (not first or len(value)):
        symbol.tag.test_value = value[0] if first else value


def _known(node: Expr) -> Any:
    if node.op is CONSTANT:
        return node.data
    if node.op is SHARED:
        return node.container.value  # or views of it, which are passed on: no update is made in place of it
    value = tagged(node, "test_value", _NONE)
    if value is _NONE or node.op is not INPUT:
        return value
    try:
        return node.type.filter(value)
    except FuseError as error:
        name = node.name or "a variable without a name"
        raise type(error)(f"the test_value of {name} (made at {origin_text(node.origin)}): {error}") from None


def _values_below(node: Expr) -> tuple[dict[Expr, Any], Expr | None]:
    """The known values that ``node`` can be computed from, or the input that lacks one."""
    values: dict[Expr, Any] = {}
    stack, seen = list(node.args), set(node.args)
    while stack:
        arg = stack.pop()
        value = _known(arg)
        if value is not _NONE:
            values[arg] = value
        elif arg.op is INPUT:
            return values, arg
        else:
            new = [a for a in arg.args if a not in seen]
            seen.update(new)
            stack.extend(new)
    return values, None


def attach(node: Expr) -> None:
    """Compute ``node.tag.test_value``; complain, as the flag says, where an input has none."""
    how = config.compute_test_value
    if not isinstance(node.type, (TensorType, TupleType)):
        return
    with config.change_flags(compute_test_value="off"):
        values, lacking = _values_below(node)
        if lacking is None:
            node.tag.test_value = evaluate([node], values)[0]
            return
    if how == "ignore":
        return
    name = lacking.name or "a variable without a name"
    text = (
        f"{name} ({lacking.type.describe()}, made at {origin_text(lacking.origin)}) has no test_value: set "
        f"{lacking.name or 'variable'}.tag.test_value = an array, or config.compute_test_value = 'off'\n"
        f"  in {node.op}({operand_text(node.args)})\n  at {origin_text(user_line(2))}"
    )
    if how == "warn":
        warnings.warn(text, stacklevel=4)
    else:
        raise TestValueError(text)


def without(how: str = "off") -> AbstractContextManager[Any]:
    """A context in which none are computed: for graphs on leaves that the user never sees. "ignore": none is missed."""
    return nullcontext() if config.compute_test_value == "off" else config.change_flags(compute_test_value=how)


def after(build: Callable[P, R]) -> Callable[P, R]:
    """``build`` without test values of what it makes on the way; what it returns has them."""

    @functools.wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> R:
        if config.compute_test_value == "off":
            return build(*args, **kwargs)
        with config.change_flags(compute_test_value="off"):
            result = build(*args, **kwargs)
        made = list(result.values()) if isinstance(result, dict) else result
        for node in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(node, Expr) and not node.is_leaf:
                attach(node)
        return result

    return built


def _switch(how: str) -> None:
    expr.attach_test_value = None if how == "off" else attach


_switch(config.compute_test_value)
config.watch("compute_test_value", _switch)
