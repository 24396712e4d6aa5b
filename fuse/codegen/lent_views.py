"""Views that a call at C level lends to kernels, of which nothing else in a wrapper makes use."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator


def lendable(function: ast.FunctionDef, compiled: Callable[[str], bool]) -> set[str]:
    """The names of views that nothing but kernels is given, which keep no array: no objects are made of them.

    ``compiled`` says of a name in the wrapper's scope whether it is a kernel. One that refuses a call leaves it to its
    launcher, which gets arrays.

    >>> lines = ["t = x[1:]", "u = x[:2]", "v = t[0:]", "if kernel(t, u): launch(t, u)", "del t, u", "return [v]"]
    >>> wrapper = ast.parse("def program(x):" + "".join("\\n    " + line for line in lines)).body[0]
    >>> lendable(wrapper, {"kernel"}.__contains__), lendable(wrapper, set().__contains__)
    ({'u'}, set())
    """
    found: set[str] = set()
    uses: dict[str, int] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name())):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Load()):
                uses[name] = uses.get(name, 0) + 1
    for name in harmless(function, compiled):
        uses[name] -= 1
    return {name for name in found if not uses.get(name)}


def harmless(function: ast.FunctionDef, compiled: Callable[[str], bool]) -> Iterator[str]:
    """The names that kernels and their launchers are given, and those whose sizes are read, each time."""
    for node in ast.walk(function):
        match node:
            case ast.If(
                test=ast.Call(func=ast.Name(id=kernel)) as call,
                body=[ast.Expr(value=ast.Call() as general) | ast.Assign(value=ast.Call() as general)],
            ) if compiled(kernel):
                for each in (call, general):
                    yield from [a.id for a in each.args if isinstance(a, ast.Name)]
            case ast.Attribute(value=ast.Name(id=name), attr="shape"):
                yield name
