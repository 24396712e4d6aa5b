"""The short way of a jitted call: Python text that checks arguments against one trace, unpacks and packs them.

It is written for the structure of the arguments and of the result. Only positions stand in it; keys, types and values
are objects of its scope. For what does not fit the answer is MISS.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse import tree
from fuse.frontend.held import Array

MISS: Any = object()


class _Text:
    """Lines and scope of one function."""

    def __init__(self, **scope: Any) -> None:
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {
            "ndarray": np.ndarray, "Array": Array, "asarray": np.asarray, "array": np.array, **scope,
        }

    def name(self, value: Any) -> str:
        word = f"k{len(self.scope)}"
        self.scope[word] = value
        return word

    def variable(self, expression: str) -> str:
        word = f"v{len(self.lines)}"
        self.lines.append(f"{word} = {expression}")
        return word

    def require(self, condition: str) -> None:
        self.lines.append(f"if not ({condition}): return miss")


def fast_call(
    key: Any, compiled: Any, structure: tree.Structure, constants: Sequence[tuple[int, Any]], statics: Sequence[int]
) -> Callable[..., Any]:
    """The function ``(args, kwargs)`` for calls that ``key`` describes; it answers MISS to all others."""
    text = _Text(miss=MISS, run=compiled)
    positional, named = key.structure.children
    total = len(positional.children) + len(statics)
    by_name = [k for k, _ in key.statics if isinstance(k, str)]
    text.require(f"len(args) == {total}")
    given = [f"a{i}" for i in range(total)]
    if total:
        text.lines.append(f"{', '.join(given)}, = args")
    if named.children or by_name:
        text.require(f"len(kwargs) == {len(named.children) + len(by_name)}")
    else:
        text.require("not kwargs")
    for place, static in key.statics:
        if isinstance(place, int):
            _check_static(text, given[place], static)
        else:
            word = text.name(place)
            text.require(f"{word} in kwargs")
            _check_static(text, text.variable(f"kwargs[{word}]"), static)
    leaves = iter(key.leaves)
    free = [g for i, g in enumerate(given) if i not in statics]
    values: list[str] = []
    for word, child in zip(free, positional.children, strict=True):
        values += _unpacked(text, word, child, leaves)
    for name, child in zip(named.data, named.children, strict=True):
        word = text.name(name)
        text.require(f"{word} in kwargs")
        values += _unpacked(text, text.variable(f"kwargs[{word}]"), child, leaves)
    results: list[str] = []
    if compiled is not None:
        word = text.variable(f"run({', '.join(values)})")
        count = structure.count - len(constants)
        results = [f"{word}[{i}]" for i in range(count)] if count > 1 else [word]
    for place, value in constants:
        results.insert(place, f"array({text.name(value)})")
    text.lines.append(f"return {_packed(text, structure, iter(results))}")
    source = "def call(args, kwargs):\n" + "".join(f"    {line}\n" for line in text.lines)
    exec(compile(source, "<fuse jit>", "exec"), text.scope)
    return text.scope["call"]


def _check_static(text: _Text, word: str, static: Any) -> None:
    value, kind = text.name(static.value), type(static.value)
    same = f"{word} == {value}"
    if kind not in (int, bool, str, bytes):
        same = f"{text.name(tree.fixed_as)}({word}) == {text.name(static.told)}"
    text.require(f"{word} is {value} or type({word}) is {text.name(kind)} and {same}")


def _unpacked(text: _Text, word: str, structure: tree.Structure, leaves: Any) -> list[str]:
    """The leaves below ``word`` as the compiled function takes them, after checks."""
    if structure.kind is None:
        return _checked(text, word, next(leaves))
    if structure.kind is type(None):
        text.require(f"{word} is None")
        return []
    text.require(f"type({word}) is {text.name(structure.kind)}")
    count = len(structure.children)
    if structure.kind is dict:
        text.require(f"len({word}) == {count}")
        keys = [text.name(k) for k in structure.data]  # type: ignore[attr-defined]
        for k in keys:
            text.require(f"{k} in {word}")
        entries = [f"{word}[{k}]" for k in keys]
    elif structure.kind in (list, tuple):
        text.require(f"len({word}) == {count}")
        entries = [f"{word}[{i}]" for i in range(count)]
    else:
        known = tree.container(structure.kind)
        pair = text.variable(f"{text.name(known.split)}({word})")  # type: ignore[union-attr]
        text.require(f"{pair}[1] == {text.name(structure.data)} and len({pair}[0]) == {count}")
        entries = [f"{pair}[0][{i}]" for i in range(count)]
    found: list[str] = []
    for entry, child in zip(entries, structure.children, strict=True):
        found += _unpacked(text, text.variable(entry), child, leaves)
    return found


def _checked(text: _Text, word: str, leaf: Any) -> list[str]:
    number = getattr(leaf, "number", None)
    if isinstance(leaf, tree.Fixed):
        _check_static(text, word, leaf)
        return []
    dtype = text.name(np.dtype(leaf.dtype))
    if number is not None:
        text.require(f"type({word}) is {number.__name__}")
        same = np.dtype(number).name == leaf.dtype and number in (float, bool)
        return [word if same else f"asarray({word}, {dtype})"]
    sizes = ""
    if leaf.shape is not None and None not in leaf.shape:
        sizes = f" and {word}.shape == {text.name(leaf.shape)}"
    elif leaf.shape is not None:
        sizes = "".join([f" and {word}.shape[{d}] == {n}" for d, n in enumerate(leaf.shape) if n is not None])
    fits = f"{word}.dtype is {dtype} and {word}.ndim == {leaf.ndim}{sizes}"
    kinds = f"type({word}) is ndarray"
    if leaf.ndim == 0:
        kinds = f"(type({word}) is {text.name(np.dtype(leaf.dtype).type)} or {kinds})"
    text.lines.append(f"if not ({kinds} and {fits}):")
    text.lines.append(f"    if not (type({word}) is Array and {fits}): return miss")
    text.lines.append(f"    {word} = asarray({word})")
    return [word]


def _packed(text: _Text, structure: tree.Structure, results: Any) -> str:
    if structure.kind is None:
        return str(next(results))
    parts = [_packed(text, c, results) for c in structure.children]
    if structure.kind is type(None):
        return "None"
    if structure.kind is tuple:
        return f"({''.join(f'{p}, ' for p in parts)})"
    if structure.kind is list:
        return f"[{', '.join(parts)}]"
    if structure.kind is dict:
        keys = [text.name(k) for k in structure.data]  # type: ignore[attr-defined]
        return "{" + ", ".join(f"{k}: {p}" for k, p in zip(keys, parts, strict=True)) + "}"
    known = tree.container(structure.kind)
    join = text.name(known.join)  # type: ignore[union-attr]
    return f"{join}({text.name(structure.data)}, [{', '.join(parts)}])"
