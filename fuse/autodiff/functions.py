"""Names that stand for a derivative of expressions and for that of a Python function: the first argument tells."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fuse.expr import Expr

P = ParamSpec("P")
R = TypeVar("R")


def also_of_functions(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the derivative of expressions where it is called with one, ``name`` of fuse.transforms.derivatives
    where it is called with a function."""

    def decorate(of_expressions: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(of_expressions)
        def either(*args: P.args, **kwargs: P.kwargs) -> R:
            if args and callable(args[0]) and not isinstance(args[0], Expr):
                from fuse.transforms import derivatives

                return getattr(derivatives, name)(*args, **kwargs)
            return of_expressions(*args, **kwargs)

        return either

    return decorate
