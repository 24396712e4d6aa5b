"""Loops in blocks of steps: dear functions whose values are only added up leave the chain of steps and become vectors.

A likelihood adds ``log(h)`` in each step, and no step waits for it. So some steps are done without it, their ``h``
kept; then the logarithms of all of them are computed at once, and added in the order of the steps. Every operation is
the same as before, on the same numbers: the bits are too.
"""
from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuse.codegen import mathlib
from fuse.codegen.syntax import parse

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps

STEPS = 32  # of a block
MOST = 8  # values that are kept for a block


@dataclass
class _Statement:
    node: ast.stmt
    target: str  # the one name that it assigns; "" for anything else
    reads: frozenset[str]
    assigns: frozenset[str]


def in_blocks(writer: Steps, start: str, stop: str) -> list[str] | None:
    """The lines of the loop from step ``start`` on in blocks; None where that does not serve.

    Memory for a block is scratch of the loop.
    """
    if writer.body.until is not None or not any(map(_dear_dtype, writer.root.helpers)):
        return None
    statements = [_statement(s) for s in parse("\n".join(writer.lines)).body]
    sums: set[int] = set()
    for state in writer.number_states:
        own = _chain(statements, state)
        if own and any(_is_dear(statements[i]) for i in _feeding(statements, own)):
            sums |= own
    if not sums:
        return None
    parts = _parts(writer, statements, sorted(_feeding(statements, sums)), sorted(sums))
    return None if parts is None else _text(writer, statements, parts, start, stop)


def _statement(node: ast.stmt) -> _Statement:
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    reads = frozenset(n.id for n in names if isinstance(n.ctx, ast.Load))
    assigns = frozenset(n.id for n in names if isinstance(n.ctx, ast.Store))
    simple = isinstance(node, ast.Assign) and len(assigns) == 1
    return _Statement(node, next(iter(assigns)) if simple else "", reads, assigns)


def _chain(statements: Sequence[_Statement], state: str) -> set[int] | None:
    """The statements that depend on a state; None where they do more than find its next value."""
    found: set[int] = set()
    names = {state}
    for i, s in enumerate(statements):
        if s.reads.isdisjoint(names):
            continue
        if not s.target or s.target.startswith("state") and s.target != state or not _is_pure(s):
            return None
        found.add(i)
        names.add(s.target)
    last = [i for i, s in enumerate(statements) if state in s.assigns]
    return found if len(last) == 1 and last[0] in found else None


def _feeding(statements: Sequence[_Statement], sums: Collection[int]) -> set[int]:
    """The statements whose values nothing but ``sums`` reads, or others like them."""
    inside = set(sums)
    count = Counter(name for s in statements for name in s.assigns)
    readers: dict[str, list[int]] = {}
    for i, s in enumerate(statements):
        for name in s.reads:
            readers.setdefault(name, []).append(i)
    for i in reversed(range(len(statements))):
        s = statements[i]
        if i in inside or not s.target or count[s.target] > 1 or not _is_pure(s) or _is_literal(s):
            continue
        if s.target.startswith("state"):
            continue  # its readers stand before it: they mean the value of the step before
        if s.target in readers and inside.issuperset(readers[s.target]):
            inside.add(i)
    return inside - set(sums)


def _calls(s: _Statement) -> list[str]:
    return [getattr(n.func, "id", "?") for n in ast.walk(s.node) if isinstance(n, ast.Call)]


def _is_pure(s: _Statement) -> bool:
    """Whether a statement computes with numbers alone: what memory holds may change before a block is done."""
    of_memory = {"load", "store", "size", "stride", "?"}
    return not any(name.startswith("step") for name in s.reads) and of_memory.isdisjoint(_calls(s))


def _is_dear(s: _Statement) -> bool:
    return any(map(_dear_dtype, _calls(s)))


def _dear_dtype(function: str) -> str | None:
    """The dtype of a function of ``mathlib`` by its name in the text; None where it is cheap, or something else."""
    name, _, dtype = function.rpartition("_")
    dear = name and mathlib.COSTS.get(name, mathlib.CALL) >= mathlib.CALL
    return dtype if dear and dtype in ("float32", "float64") else None


def _is_literal(s: _Statement) -> bool:
    """Whether a statement names a constant, which costs nothing to name again."""
    return bool(s.target) and s.reads <= {"float32", "float64"} and _calls(s) in ([], ["float32"], ["float64"])


@dataclass(frozen=True)
class _Parts:
    """What becomes of the statements of a step, by their numbers, and of the values that they have in common."""

    steps: list[int]  # stay in the loop over the steps
    begin: int  # the first of these in which a state takes its new value
    feeding: Sequence[int]  # are done for a block at once
    sums: Sequence[int]  # are done for one step after another of a block
    literals: dict[str, _Statement]  # constants, named again wherever they are read
    early: set[str]  # the names that those of a block read
    late: set[str]  # the names that the sums read
    kept: list[str]  # values of the steps that the others need
    handed: list[str]  # values of blocks that the sums read
    made: set[str]  # by those of a block
    dtypes: dict[str, str]


def _parts(
    writer: Steps, statements: Sequence[_Statement], feeding: Sequence[int], sums: Sequence[int]
) -> _Parts | None:
    """The loop in three; None where a value cannot be kept, or too many had to be."""
    moved = {*feeding, *sums}
    made = {statements[i].target for i in feeding}
    literals = {s.target: s for s in statements if _is_literal(s)}
    at: dict[str, list[int]] = {}
    for i, s in enumerate(statements):
        for name in s.assigns:
            at.setdefault(name, []).append(i)
    last = set(writer.number_states)
    early = set().union(*[statements[i].reads for i in feeding])
    late = set().union(*[statements[i].reads for i in sums])
    own = {statements[i].target for i in sums}
    kept: list[str] = []
    for name in sorted((early | late) & at.keys() - made - own - literals.keys()):
        first = min(i for i in moved if name in statements[i].reads)
        if name not in last and (max(at[name]) > first or not statements[max(at[name])].target):
            return None
        kept.append(name)
    if any(len(at[name]) > 1 for name in literals.keys() & (early | late)):
        return None
    handed = sorted(made & late)
    dtypes = _dtypes(writer, statements)
    if len(kept) + len(handed) > MOST or not dtypes.keys() >= {*kept, *handed}:
        return None
    steps = [i for i in range(len(statements)) if i not in moved]
    begin = next((i for i in steps if statements[i].target in last), len(statements))
    return _Parts(steps, begin, feeding, sums, literals, early, late, kept, handed, made, dtypes)


def _text(writer: Steps, statements: Sequence[_Statement], parts: _Parts, start: str, stop: str) -> list[str]:
    """The three loops of a block, in a loop over blocks."""
    block, step = writer.fresh("b"), writer.step
    q, r = f"{block}_q", f"{block}_r"
    kept, handed, early, late = parts.kept, parts.handed, parts.early, parts.late
    memory = {name: writer.scratch(parts.dtypes[name], (str(STEPS),)).buffer for name in [*kept, *handed]}
    local = {*kept, *parts.made}

    def lines(which: Iterable[int]) -> list[str]:
        return [line for i in which for line in ast.unparse(statements[i].node).splitlines()]

    def loaded(names: Collection[str], position: str) -> list[str]:
        return [f"{name} = load({memory[name]}, {position})" for name in names]

    def renamed(lines: Sequence[str]) -> list[str]:
        """Lines of a block, in which values of one step are no longer those that the steps change."""
        return [re.sub(r"[A-Za-z_]\w*", lambda m: f"{block}_{m[0]}" if m[0] in local else m[0], x) for x in lines]

    def constants(names: Collection[str]) -> list[str]:
        return [ast.unparse(parts.literals[name].node) for name in sorted(names & parts.literals.keys())]

    steps = [
        *lines(i for i in parts.steps if i < parts.begin),
        *[f"store({memory[name]}, {step} - {block}_low, {name})" for name in kept],
        *lines(i for i in parts.steps if i >= parts.begin),
    ]
    at_once = renamed([
        "independent()", *constants(early), *loaded([n for n in kept if n in early], q), *lines(parts.feeding),
        *[f"store({memory[name]}, {q}, {name})" for name in handed],
    ])
    added = renamed([*constants(late), *loaded([n for n in [*kept, *handed] if n in late], r), *lines(parts.sums)])
    return [
        f"for {block} in range(({stop} - {start} + {STEPS - 1}) // {STEPS}):",
        f"    {block}_low = {start} + {block} * {STEPS}",
        f"    {block}_high = smaller({block}_low + {STEPS}, {stop})",
        f"    for {step} in range({block}_low, {block}_high):", *["        " + line for line in steps or ["pass"]],
        f"    for {q} in range({block}_high - {block}_low):", *["        " + line for line in at_once],
        f"    for {r} in range({block}_high - {block}_low):", *["        " + line for line in added],
    ]


def _dtypes(writer: Steps, statements: Sequence[_Statement]) -> dict[str, str]:
    """The float dtypes of names, where they are plain to see."""
    root = writer.root
    arrays = {name: t.dtype for name, t in zip(root.names, root.argtypes, strict=True)}
    found: dict[str, str | None] = {**writer.numbers_outside(), **writer.number_states}
    for line in root.before:
        if match := re.fullmatch(r"(\w+_now) = load\((\w+), 0\)", line):
            found[match[1]] = arrays[match[2]]

    def of(node: ast.expr) -> str | None:
        match node:
            case ast.Name(id=name):
                return found.get(name)
            case ast.Constant(value=float()):
                return "float64"
            case ast.UnaryOp(op=ast.USub(), operand=x):
                return of(x)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), left=left, right=right):
                return of(left) if of(left) == of(right) else None
            case ast.IfExp(body=left, orelse=right):
                return of(left) if of(left) == of(right) else None
            case ast.Call(func=ast.Name(id="fma"), args=[x, y, z]):
                return of(x) if of(x) == of(y) == of(z) else None
            case ast.Call(func=ast.Name(id="load"), args=[ast.Name(id=array), *_]):
                return arrays.get(array)
            case ast.Call(func=ast.Name(id="float32" | "float64" as name)):
                return name
            case ast.Call(func=ast.Name(id=name)) if name in root.helpers:
                return _dear_dtype(name)
        return None

    for s in statements:
        if s.target and isinstance(s.node, ast.Assign):
            found[s.target] = of(s.node.value)
        else:
            found.update(dict.fromkeys(s.assigns))
    return {name: dtype for name, dtype in found.items() if dtype in ("float32", "float64")}
