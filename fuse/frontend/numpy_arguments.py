"""How arguments of NumPy's functions, by NumPy's names and places, become those of the functions here."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# Arguments about memory, which expressions do not have, and what they may be.
_IDLE = {"subok": (True, False), "device": (None, "cpu"), "overwrite_input": (True, False)}


def later(module: str, name: str) -> Callable[..., Any]:
    """The function ``name`` of a module of the frontend that is imported when it is first called."""

    def call(*args: Any, **options: Any) -> Any:
        return loaded(call)(*args, **options)

    call.target = module, name  # type: ignore[attr-defined]
    return call


def loaded(build: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, of one that is imported ``later``."""
    if not hasattr(build, "target"):
        return build
    module, name = build.target
    return getattr(import_module(f"fuse.frontend.{module}"), name)


def bound(
    function: Any, build: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], list[str]]:
    """The arguments for ``build``, and the names of those that it does not have.

    What NumPy requires may have other names here; what it does not is told by its name, and left out where it is
    NumPy's default.
    """
    places = _places(function, build)
    if places is None:
        return list(args), options, []
    names, ours, defaults = places
    given: list[Any] = []
    named: dict[str, Any] = {}
    unknown: list[str] = []
    for i, value in enumerate(args):
        if i < len(names) and len(given) == i and ours.get(names[i]) == i:
            given.append(value)
        else:
            options = {**options, (names[i] if i < len(names) else f"argument {i}"): value}
    for name, value in options.items():
        place = ours.get(name)
        if place is not None:
            named[place if isinstance(place, str) else _name_at(build, place)] = value
            continue
        neutral = (np._NoValue, defaults.get(name, np._NoValue), *_IDLE.get(name, ()))
        if not any(_is_default(value, idle) for idle in neutral):
            unknown.append(name)
    return given, named, unknown


def _is_default(value: Any, default: Any) -> bool:
    return value is default or isinstance(value, (str, bool, int, float)) and value == default


def _own(build: Callable[..., Any]) -> list[inspect.Parameter]:
    found = list(inspect.signature(build).parameters.values())
    return found[1:] if found and found[0].name == "op" else found  # a builder gets its record first


def _name_at(build: Callable[..., Any], place: int) -> str:
    return _own(build)[place].name


@functools.cache
def _places(function: Any, build: Callable[..., Any]) -> tuple[list[str], dict[str, Any], dict[str, Any]] | None:
    """NumPy's names in order, each name's place (or name) in ``build``, and NumPy's defaults; None where unknown."""
    try:
        theirs, own = list(inspect.signature(function).parameters.values()), _own(build)
    except (TypeError, ValueError):
        return None
    if any(p.kind not in _NAMED for p in [*theirs, *own]):
        return None
    mine = {p.name: i for i, p in enumerate(own)}
    found: dict[str, Any] = {}
    for i, p in enumerate(theirs):
        if p.name in mine:
            same = mine[p.name] == i and own[i].kind is not inspect.Parameter.KEYWORD_ONLY
            found[p.name] = i if same else p.name
        elif p.default is p.empty and i < len(own) and own[i].name not in {t.name for t in theirs}:
            found[p.name] = i
    for p in own:  # names of our own, such as those of older versions of NumPy
        found.setdefault(p.name, p.name)
    names = [p.name for p in theirs if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    return names, found, {p.name: p.default for p in theirs}


__all__ = ["bound", "later", "loaded"]
