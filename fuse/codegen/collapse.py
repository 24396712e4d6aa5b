"""Collapse: two axes over memory that is contiguous for every operand become one, and two nested loops one loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fuse.codegen.kernel import Axis, Kernel, Load, Local, Loop, Position, Store, Update, walk


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


def _adjacent(body: tuple[Any, ...], outer: Axis, inner: Axis, layouts: Mapping[str, str]) -> bool:
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


def joined_axes(
    statements: Iterable[Any],
    levels: Sequence[frozenset[int]],
    axes: Sequence[Axis],
    locals_: Sequence[Local],
    layouts: Mapping[str, str],
) -> list[tuple[int, int]]:
    """Pairs (outer, inner) of axes that every level has together and every access walks as one, in order of joining.

    Where a level has three such axes, the pairs name the last of them twice: (1, 2), then (0, 2).
    """
    body = tuple(statements)
    looped = {s.axis for s in walk(body) if isinstance(s, Loop)}
    used = [a for a in sorted(frozenset().union(*levels)) if axes[a] not in looped]
    current = list(axes)
    pairs: list[tuple[int, int]] = []

    def fits(outer: int, inner: int) -> bool:
        return (
            all((outer in level) == (inner in level) for level in levels)
            and all(_pair(entries(x.axes, taken), current[outer], current[inner]) for x in locals_)
            and _adjacent(body, current[outer], current[inner], layouts)
        )

    taken: dict[Axis, tuple[Axis, Axis]] = {}
    found: tuple[int, int] | None = (0, 0)
    while found:
        found = next(((o, i) for i in reversed(used) for o in reversed(used) if o != i and fits(o, i)), None)
        if found:
            outer, inner = found
            both = joined(current[outer], current[inner])
            body = tuple([with_joined(s, current[outer], current[inner], both) for s in body])
            taken[both] = current[outer], current[inner]
            current[inner] = both
            used.remove(outer)
            pairs.append(found)
    return pairs


def entries(old: tuple[Any, ...], taken: Mapping[Axis, tuple[Axis, Axis]]) -> tuple[Any, ...]:
    """``old`` with every pair of ``taken`` (joined axis: outer and inner) made one."""
    for both, (outer, inner) in taken.items():
        old = _entries(old, outer, inner, both)
    return old


def _entries(old: tuple[Any, ...], outer: Axis, inner: Axis, both: Axis) -> tuple[Any, ...]:
    return tuple([both if e == inner else e for e in old if e != outer])


def joined(outer: Axis, inner: Axis) -> Axis:
    """The axis that walks ``outer`` and ``inner`` as one."""
    size = outer.size * inner.size if outer.size is not None and inner.size is not None else None
    return Axis(f"{outer.name}{inner.name}", size, _parts(outer) + _parts(inner))


def with_joined(s: Any, outer: Axis, inner: Axis, both: Axis) -> Any:
    """The statement ``s`` where ``both`` stands for ``outer`` and ``inner``."""
    match s:
        case Loop():
            return Loop(s.axis, tuple([with_joined(b, outer, inner, both) for b in s.body]), s.kind)
        case Load():
            return Load(s.name, s.dtype, s.buffer, _entries(s.index, outer, inner, both))
        case Store():
            return Store(s.buffer, _entries(s.index, outer, inner, both), s.value)
        case Update():
            return Update(s.buffer, _entries(s.index, outer, inner, both), s.op, s.dtype, s.value, s.value_dtype)
        case Position():
            return Position(s.name, s.dtype, _entries(s.axes, outer, inner, both))
    return s


def _merged(body: tuple[Any, ...], outer: Axis, inner: Axis) -> Loop:
    both = joined(outer, inner)
    return Loop(both, tuple([with_joined(s, outer, inner, both) for s in body]))
