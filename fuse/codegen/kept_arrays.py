"""Small arrays that calls at C level keep for one another: intermediate results, and old values of shared variables.

To make an array and let go of it takes longer than most kernels that fill a small one. So where a wrapper lets go of an
array that kernels alone have seen, and nobody else holds, the next call takes it where it makes one of these sizes. A
new value of a shared variable is made in the array of the value before the last.
"""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Collection

from fuse.codegen.lent_views import harmless

LARGEST = 512  # elements of an array that is kept: what fills a larger one takes longer than making it
_ITEMS = 24  # bytes of a list object before the pointer to its items
_IS_KNOWN = object.__basicsize__ == 16 and list.__basicsize__ == 40  # whether lists are laid out so, behind one lock


class Kept:
    """An array of a call plan that is kept, by its number."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def places(count: int) -> tuple[list[None], list[int]]:
    """A list with room for so many arrays, and the addresses of its items; 0 where lists are not as they are known."""
    kept = [None] * count
    if not count or not _IS_KNOWN:
        return kept, [0] * count
    start = ctypes.c_int64.from_address(id(kept) + _ITEMS).value
    return kept, [start + 8 * k for k in range(count)]


def keepable(function: ast.FunctionDef, lendable: Collection[str] = ()) -> set[str]:
    """The names of arrays, made in a wrapper, that nothing but kernels, their launchers and shared variables are given.

    Views of them may be ``lendable``: these do not outlive them.

    >>> lines = ["t = empty((2,), d)", "u = t", "if kernel(t, u): launch(t, u)", "del t, u", "v = empty((2,), d)",
    ...          "if kernel(v): launch(v)", "w = empty((2,), d)", "shared.array = w", "return [v]"]
    >>> sorted(keepable(ast.parse("def program(x):" + "".join("\\n    " + line for line in lines)).body[0]))
    ['t', 'u', 'w']
    """
    made: set[str] = set()
    harmless_uses = list(harmless(function, lambda kernel: True))
    other_names: dict[str, str] = {}
    uses: dict[str, int] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=of)):
                other_names[name] = of
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(id=of))):
                harmless_uses += [of] if name in lendable else []
            case ast.Assign(targets=[ast.Attribute(attr="array")], value=ast.Name(id=name)):
                harmless_uses.append(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_new(value):
                made.add(name)
            case ast.Name(id=name, ctx=ast.Load()):
                uses[name] = uses.get(name, 0) + 1
    for name in harmless_uses:
        uses[name] -= 1
    for name, of in reversed(other_names.items()):  # a further name comes after the first one
        if not uses.get(name):
            uses[of] -= 1
    for name, of in other_names.items():
        made |= {name} if of in made else set()
    return {name for name in made if not uses.get(name)}


def _is_new(value: ast.expr) -> bool:
    match value:
        case ast.IfExp(test=ast.Compare(ops=[ast.Lt()]), body=body, orelse=other):
            return _is_new(body) and _is_new(other)
        case ast.Call(func=ast.Name(id="empty" | "recycled")):
            return True
    return False
