"""Arguments by the names that Theano, PyTensor and NumPy have for them, where fuse's name is another one."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def also(**others: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let the decorated function take arguments by further names: ``also(input="x")`` is ``input`` for ``x``.

    A call without named arguments is as before.

    >>> @also(a="x", end="stop")
    ... def scaled(x, stop=1):
    ...     return x * stop
    >>> scaled(a=2, end=3), scaled(2, stop=5)
    (6, 10)
    >>> scaled(2, a=3)
    Traceback (most recent call last):
    ...
    TypeError: scaled() got multiple values for argument 'x'
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if hasattr(function, "also"):  # a public function of an elementwise op asks by itself
            function.also = others
            return function

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs:
                args, kwargs = placed(function, others, args, kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


def placed(
    function: Callable[..., Any], others: Mapping[str, str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments by the function's own names, those at the front by their places.

    What a function takes as ``*name`` may be given as one argument of that name.
    """
    given: dict[str, Any] = {}
    for name, value in kwargs.items():
        own = others.get(name, name)
        if own in given:
            raise TypeError(f"{function.__name__}() got multiple values for argument {own!r}")
        given[own] = value
    placed = list(args)
    for k, (name, several) in enumerate(_places(function)):
        if name not in given:
            if k >= len(args):
                break
        elif k < len(args):
            raise TypeError(f"{function.__name__}() got multiple values for argument {name!r}")
        else:
            placed.append(given.pop(name))
        if several:
            break
    return tuple(placed), given


@functools.cache
def _places(function: Callable[..., Any]) -> list[tuple[str, bool]]:
    """The names of what may be given by place, and whether it is all the rest."""
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL):
            found.append((name, parameter.kind is parameter.VAR_POSITIONAL))
    return found
