"""Text of compiled loops: kernels and products of a body's plan, written into one function.

A region's kernel is generated as ever, for arrays of known layouts, and then merged: its names get a prefix, sizes and
strides become those of the loop, and arrays become places in the loop's memory. Numbers never are in memory: what a
kernel stores in a 0-d result is a name, so that states of the loop stay in registers.
"""
from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fuse.codegen.syntax import parse
from fuse.codegen.text import as_dtype

UNROLL = 8  # rows of a matrix that one pass over the result adds up


class NotCompiled(Exception):
    """A body that has something without a compiled form; the loop then runs step by step."""


@dataclass(frozen=True)
class Place:
    """Where an array is while a step runs: an argument of the loop, an offset, sizes and strides, in elements.

    ``strides`` None: in C order.
    """

    buffer: str
    offset: str
    shape: tuple[str, ...]
    strides: tuple[str, ...] | None = None

    def stride(self, d: int) -> str:
        if self.strides is not None:
            return self.strides[d]
        return product(self.shape[d + 1:])

    @property
    def layout(self) -> str:
        """The layout class as kernels name it."""
        if self.strides is None or not self.shape:
            return "C"
        unit = [d for d, s in enumerate(self.strides) if s == "1"]
        return f"S{unit[-1]}" if unit else "S-1"

    def at(self, *index: str) -> str:
        """The text of the position of an element."""
        terms = [plus(i, self.stride(d)) for d, i in enumerate(index)]
        return total([self.offset, *terms])

    def row(self, offset: str) -> Place:
        """One element along the first axis, which is at ``offset``."""
        strides = None if self.strides is None else self.strides[1:]
        return Place(self.buffer, offset, self.shape[1:], strides)

    def permuted(self, pattern: Sequence[Any]) -> Place:
        """The place seen through a dimshuffle (pattern of dimensions and "x")."""
        strides = tuple(["0" if d == "x" else self.stride(d) for d in pattern])
        shape = tuple(["1" if d == "x" else self.shape[d] for d in pattern])
        kept = [d for d in pattern if d != "x"]
        if self.strides is None and kept == sorted(kept):
            return replace(self, shape=shape, strides=None)
        return replace(self, shape=shape, strides=strides)


def product(factors: Sequence[str]) -> str:
    kept = [f for f in factors if f != "1"]
    return " * ".join(kept) or "1"


def plus(index: str, stride: str) -> str:
    return "0" if "0" in (index, stride) else index if stride == "1" else f"{index} * {stride}" if _is_plain(
        stride) else f"{index} * ({stride})"


def _is_plain(text: str) -> bool:
    return text.isidentifier() or text.isdigit()


def total(terms: Sequence[str]) -> str:
    return " + ".join(t for t in terms if t != "0") or "0"


# ---------------------------------------------------------------- kernels
class Merge(ast.NodeTransformer):
    """The statements of a kernel as part of a loop."""

    def __init__(
        self, prefix: str, arrays: Mapping[str, Place | str], scalars: Mapping[str, str], results: Mapping[str, str]
    ) -> None:
        self.prefix, self.arrays, self.scalars, self.results = prefix, arrays, scalars, results
        self.own: set[str] = set()

    def statements(self, text: str) -> list[str]:
        """The lines of the kernel's body, without its checks and its last return."""
        definition: Any = parse(text).body[0]
        for node in ast.walk(definition):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.own.add(node.id)
        kept = []
        body = definition.body[:-1]
        for k, s in enumerate(body):
            is_check = isinstance(s, ast.Assign) and getattr(s.targets[0], "id", "") == "status"
            after_check = k > 0 and isinstance(s, ast.If) and ast.unparse(s.test) == "status != 0"
            if not is_check and not after_check:
                kept.append(ast.unparse(ast.fix_missing_locations(self.visit(s))))
        return [line for text in kept for line in text.splitlines()]

    def visit_Name(self, node: ast.Name) -> Any:
        if node.id in self.own:
            return ast.Name(self.prefix + node.id, node.ctx)
        if node.id in self.scalars:
            return _expression(self.scalars[node.id])
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        call = node.value
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "store":
            name = getattr(call.args[0], "id", "")
            if name in self.results:
                return ast.Assign([ast.Name(str(self.arrays[name]), ast.Store())],
                                  _expression(as_dtype(ast.unparse(self.visit(call.args[2])), self.results[name])),
                                  lineno=0)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        called = getattr(node.func, "id", "")
        first = getattr(node.args[0], "id", "") if node.args else ""
        if called not in ("size", "stride", "load", "store") or first not in self.arrays:
            return self.generic_visit(node)
        place = self.arrays[first]
        if isinstance(place, str):
            return _expression(place)
        if called in ("size", "stride"):
            d = ast.literal_eval(node.args[1])
            return _expression(place.shape[d] if called == "size" else place.stride(d))
        offset = ast.unparse(self.visit(node.args[1]))
        where = _expression(total([place.offset, offset]) if offset != "0" else place.offset)
        return ast.Call(node.func, [ast.Name(place.buffer, ast.Load()), where, *map(self.visit, node.args[2:])], [])


def _expression(text: str) -> Any:
    return parse(text, mode="eval").body


# ---------------------------------------------------------------- products
def dot_lines(name: str, dtype: str, a: Place, b: Place, out: Place | None) -> list[str]:
    """A product of vectors and matrices; ``name`` is the result of two vectors.

    Rows of the right operand are added to the result, several in one pass, where they are contiguous; otherwise each
    element is a sum along both operands.
    """
    zero = "float32(0.0)" if dtype == "float32" else "0.0"
    rows, columns = len(a.shape) == 2, len(b.shape) == 2
    n1 = a.shape[-1]
    i, j, k = f"{name}_i", f"{name}_j", f"{name}_k"
    if out is None:
        return [
            f"{name} = {zero}", f"for {k} in range({n1}):",
            f"    {name} = radd({name}, load({a.buffer}, {a.at(k)}) * load({b.buffer}, {b.at(k)}))",
        ]
    lines: list[str] = []
    indent = ""
    if rows:
        lines.append(f"for {i} in range({a.shape[0]}):")
        indent = "    "

    def left(at: str) -> str:
        return f"load({a.buffer}, {a.at(i, at) if rows else a.at(at)})"

    if columns and b.stride(1) == "1":
        n2 = b.shape[1]
        target = f"{out.buffer}, {out.at(i, j) if rows else out.at(j)}"
        body = [f"for {j} in range({n2}):", "    independent()", f"    store({target}, {zero})"]
        body += [f"for {k}b in range({n1} // {UNROLL}):", f"    {k}s = {k}b * {UNROLL}"]
        body += [f"    {name}_{u} = {left(f'({k}s + {u})')}" for u in range(UNROLL)]
        body += [f"    for {j} in range({n2}):", "        independent()", f"        {name}_t = load({target})"]
        for u in range(UNROLL):
            place = b.at(f"({k}s + {u})", j)
            body.append(f"        {name}_t{u} = fma({name}_{u}, load({b.buffer}, {place}), "
                        f"{name}_t{u - 1 if u else ''})")
        body += [f"        store({target}, {name}_t{UNROLL - 1})"]
        body += [f"for {k} in range({n1} // {UNROLL} * {UNROLL}, {n1}):", f"    {name}_v = {left(k)}"]
        body += [f"    for {j} in range({n2}):", "        independent()",
                 f"        store({target}, fma({name}_v, load({b.buffer}, {b.at(k, j)}), load({target})))"]
        return [*lines, *[indent + line for line in body]]
    if columns:
        lines.append(f"{indent}for {j} in range({b.shape[1]}):")
        indent += "    "
    index = [i] * rows + [j] * columns
    right = f"load({b.buffer}, {b.at(k, j) if columns else b.at(k)})"
    return [
        *lines, f"{indent}{name}_sum = {zero}", f"{indent}for {k} in range({n1}):",
        f"{indent}    {name}_sum = radd({name}_sum, {left(k)} * {right})",
        f"{indent}store({out.buffer}, {out.at(*index)}, {name}_sum)",
    ]


def copy_lines(name: str, source: Place, target: Place) -> list[str]:
    """An array copied from one place to another."""
    lines, index = [], []
    for d, n in enumerate(source.shape):
        index.append(f"{name}_{d}")
        lines.append("    " * d + f"for {index[-1]} in range({n}):")
    pad = "    " * len(index)
    if index:
        lines.append(f"{pad}independent()")
    lines.append(f"{pad}store({target.buffer}, {target.at(*index)}, load({source.buffer}, {source.at(*index)}))")
    return lines
