"""Text of compiled loops: kernels and products of a body's plan, written into one function.

A region's kernel is generated as ever, for arrays of known layouts, and then merged: its names get a prefix, sizes and
strides become those of the loop, and arrays become places in the loop's memory. Numbers never are in memory: what a
kernel stores in a 0-d result is a name, so that states of the loop stay in registers.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fuse.codegen.syntax import parse
from fuse.codegen.text import as_dtype

UNROLL = 8  # rows of a matrix that one pass over the result adds up
TOGETHER = 4  # rows of a result that one pass over the right operand adds to


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
        shape, strides = self.shape[1:], None if self.strides is None else self.strides[1:]
        if strides == tuple([product(shape[d + 1:]) for d in range(len(shape))]):
            strides = None
        return Place(self.buffer, offset, shape, strides)

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
        self, prefix: str, arrays: Mapping[str, Place | str], scalars: Mapping[str, str], results: Mapping[str, str],
        also: Mapping[str, Place],
    ) -> None:
        self.prefix, self.arrays, self.scalars, self.results, self.also = prefix, arrays, scalars, results, also
        self.own: set[str] = set()
        self.twice = 0  # how many stores go to two places

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
                found = self.visit(s)  # a store to two places is two statements
                each = found if isinstance(found, list) else [found]
                kept += [ast.unparse(ast.fix_missing_locations(x)) for x in each]
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
            if name in self.also:
                self.twice += 1
                value = ast.Name(f"{self.prefix}twice{self.twice}", ast.Load())
                kept = ast.Assign([ast.Name(value.id, ast.Store())], self.visit(call.args[2]), lineno=0)
                index = ast.unparse(self.visit(call.args[1]))
                return [kept, *[ast.Expr(_access(call.func, p, index, value)) for p in self.places(name)]]
        return self.generic_visit(node)

    def places(self, name: str) -> tuple[Place, Place]:
        """The two places of an array that is kept twice."""
        first = self.arrays[name]
        assert isinstance(first, Place)
        return first, self.also[name]

    def visit_Call(self, node: ast.Call) -> Any:
        called = getattr(node.func, "id", "")
        first = getattr(node.args[0], "id", "") if node.args else ""
        if called not in ("size", "stride", "load", "store", "copied", "every_second") or first not in self.arrays:
            return self.generic_visit(node)
        place = self.arrays[first]
        if isinstance(place, str):
            return _expression(place)
        if called in ("size", "stride"):
            d = ast.literal_eval(node.args[1])
            return _expression(place.shape[d] if called == "size" else place.stride(d))
        index = ast.unparse(self.visit(node.args[1]))
        return _access(node.func, place, index, *map(self.visit, node.args[2:]))


def _access(function: ast.expr, place: Place, index: str, *values: ast.expr) -> ast.Call:
    """A load from an array, a store into it, or a copy of a part of it."""
    where = _expression(total([place.offset, index]))
    return ast.Call(function, [ast.Name(place.buffer, ast.Load()), where, *values], [])


def _expression(text: str) -> Any:
    return parse(text, mode="eval").body


# ---------------------------------------------------------------- products
def dot_lines(name: str, dtype: str, a: Place, b: Place, out: Place | None) -> list[str]:
    """A product of vectors and matrices; ``name`` is the result of two vectors.

    Rows of the right operand are added to the result, several in one pass, and to several rows of it, where they are
    contiguous; otherwise each element is a sum along both operands.
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
    if columns and b.stride(1) == "1":
        if not rows:
            return _rows_added(name, zero, a, b, out, [None], UNROLL)
        n0 = a.shape[0]
        together = [f"({name}_b * {TOGETHER} + {r})" for r in range(TOGETHER)]
        return [
            f"for {name}_b in range({n0} // {TOGETHER}):",
            *_indented(_rows_added(name, zero, a, b, out, together, UNROLL // 2)),
            f"for {i} in range({n0} // {TOGETHER} * {TOGETHER}, {n0}):",
            *_indented(_rows_added(f"{name}_r", zero, a, b, out, [i], UNROLL // 2)),
        ]
    lines: list[str] = []
    indent = ""
    for index, n in ((i, a.shape[0] if rows else ""), (j, b.shape[1] if columns else "")):
        if n:
            lines.append(f"{indent}for {index} in range({n}):")
            indent += "    "
    left = f"load({a.buffer}, {a.at(i, k) if rows else a.at(k)})"
    right = f"load({b.buffer}, {b.at(k, j) if columns else b.at(k)})"
    return [
        *lines, f"{indent}{name}_sum = {zero}", f"{indent}for {k} in range({n1}):",
        f"{indent}    {name}_sum = radd({name}_sum, {left} * {right})",
        f"{indent}store({out.buffer}, {out.at(*[i] * rows, *[j] * columns)}, {name}_sum)",
    ]


def _rows_added(
    name: str, zero: str, a: Place, b: Place, out: Place, index: Sequence[str | None], unroll: int
) -> list[str]:
    """Some rows of a product (None: the one there is): ``unroll`` rows of the right operand are added in one pass."""
    n1, n2 = b.shape
    j, k, t = f"{name}_j", f"{name}_k", f"{name}_t"
    row = range(len(index))
    target = [f"{out.buffer}, {out.at(j) if i is None else out.at(i, j)}" for i in index]

    def left(r: int, at: str) -> str:
        i = index[r]
        return f"load({a.buffer}, {a.at(at) if i is None else a.at(i, at)})"

    def sweep(body: Sequence[str]) -> list[str]:
        return [f"for {j} in range({n2}):", "    independent()", *_indented(body)]

    def added(count: int, at: Callable[[int], str]) -> list[str]:
        weights = [f"{name}_{r}_{u} = {left(r, at(u))}" for r in row for u in range(count)]
        body = [f"{name}_b{u} = load({b.buffer}, {b.at(at(u), j)})" for u in range(count)]
        for r in row:
            body.append(f"{t}{r} = load({target[r]})")
            apart = 2 if count == 4 else 1  # sums side by side, neither of which waits for the other: for short rows
            if apart == 2:
                body.append(f"{t}{r}o = {name}_{r}_1 * {name}_b1")
                body += [f"{t}{r}o = fma({name}_{r}_{u}, {name}_b{u}, {t}{r}o)" for u in range(3, count, 2)]
            body += [f"{t}{r} = fma({name}_{r}_{u}, {name}_b{u}, {t}{r})" for u in range(0, count, apart)]
            body.append(f"store({target[r]}, {t}{r} + {t}{r}o)" if apart == 2 else f"store({target[r]}, {t}{r})")
        return [*weights, *sweep(_single(body))]

    def blocks(unroll: int, start: str, stop: str) -> list[str]:
        return [
            f"for {k}b in range({start}, {stop}):", f"    {k}s = {k}b * {unroll}",
            *_indented(added(unroll, lambda u: f"({k}s + {u})")),
        ]

    return [
        *sweep([f"store({each}, {zero})" for each in target]),
        *blocks(unroll, "0", f"{n1} // {unroll}"),
        *(blocks(4, f"{n1} // 8 * 2", f"{n1} // 4") if unroll == 8 else []),
        f"if {n1} % 4 > 1:", f"    {k}s = {n1} // 4 * 4", *_indented(added(2, lambda u: f"({k}s + {u})")),
        f"if {n1} % 2:", f"    {k} = {n1} - 1", *_indented(added(1, lambda u: k)),
    ]


def _single(lines: Sequence[str]) -> list[str]:
    """Lines in which each name is assigned once: a name that is assigned again gets a number."""
    versions: dict[str, int] = {}
    found = []
    for line in lines:
        target, _, value = line.partition(" = ")
        for known, version in versions.items():
            value = re.sub(rf"\b{known}\b", f"{known}_{version}", value)
            target = re.sub(rf"\b{known}\b", f"{known}_{version}", target) if not value else target
        if value:
            versions[target] = versions.get(target, 0) + 1
            found.append(f"{target}_{versions[target]} = {value}")
        else:
            found.append(target)
    return found


def _indented(lines: Sequence[str]) -> list[str]:
    return ["    " + line for line in lines]


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


def jump_lines(name: str, ndim: int) -> list[str]:
    """Lines that refuse a sequence whose elements are not in C order, as `loop_entry.walkable` has them."""
    sizes = [f"size({name}, {d})" for d in range(ndim)]
    jumps = [f"(({sizes[d]} > 1) & (stride({name}, {d}) != {product(sizes[d + 1:])}))" for d in range(1, ndim)]
    return [f"if {' | '.join(jumps)}:", "    return 1"] if jumps else []
