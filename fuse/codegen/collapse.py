"""Collapse: two nested loops over memory that is contiguous for every operand become one loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fuse.codegen.kernel import Axis, Kernel, Load, Loop, Position, Store, Update, walk


def collapse(kernel: Kernel) -> Kernel:
    """``kernel`` with every collapsible pair of directly nested serial loops made one, innermost pairs first."""
    layouts = {b.name: b.layout for b in kernel.buffers}
    body = tuple([_statement(s, layouts) for s in kernel.body])
    axes = list(kernel.axes)
    for s in walk(body):
        if isinstance(s, Loop) and s.axis not in axes:
            axes.append(s.axis)
    return replace(kernel, axes=tuple(axes), body=body)


def _statement(s: Any, layouts: dict[str, str]) -> Any:
    if not isinstance(s, Loop):
        return s
    body = tuple([_statement(b, layouts) for b in s.body])
    s = Loop(s.axis, body, s.kind)
    if s.kind == "serial" and len(body) == 1 and isinstance(body[0], Loop) and body[0].kind == "serial":
        outer, inner = s.axis, body[0].axis
        if _adjacent(body[0].body, outer, inner, layouts):
            return _merged(body[0].body, outer, inner)
    return s


def _parts(axis: Axis) -> tuple[Axis, ...]:
    return axis.parts or (axis,)


def _adjacent(body: tuple[Any, ...], outer: Axis, inner: Axis, layouts: dict[str, str]) -> bool:
    for s in walk(body):
        match s:
            case Load() | Store() | Update():
                if not _pair(s.index, outer, inner):
                    return False
                if (outer in s.index or inner in s.index) and layouts[s.buffer] != "C":
                    return False
            case Position():
                if not _pair(s.axes, outer, inner):
                    return False
    return True


def _pair(entries: tuple[Any, ...], outer: Axis, inner: Axis) -> bool:
    has_outer, has_inner = outer in entries, inner in entries
    if not has_outer and not has_inner:
        return True
    if not (has_outer and has_inner) or entries.count(outer) > 1 or entries.count(inner) > 1:
        return False
    between = entries[entries.index(outer) + 1 : entries.index(inner)]
    return entries.index(outer) < entries.index(inner) and all(e == 0 and not isinstance(e, Axis) for e in between)


def _merged(body: tuple[Any, ...], outer: Axis, inner: Axis) -> Loop:
    size = outer.size * inner.size if outer.size is not None and inner.size is not None else None
    both = Axis(f"{outer.name}{inner.name}", size, _parts(outer) + _parts(inner))

    def entries(old: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([both if e is inner or e == inner else e for e in old if e != outer])

    def statement(s: Any) -> Any:
        match s:
            case Loop():
                return Loop(s.axis, tuple(map(statement, s.body)), s.kind)
            case Load():
                return Load(s.name, s.dtype, s.buffer, entries(s.index))
            case Store():
                return Store(s.buffer, entries(s.index), s.value)
            case Update():
                return Update(s.buffer, entries(s.index), s.op, s.dtype, s.value, s.value_dtype)
            case Position():
                return Position(s.name, s.dtype, entries(s.axes))
        return s

    return Loop(both, tuple(map(statement, body)))
