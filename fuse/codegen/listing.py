"""Kernels as text: one line a statement, indented by loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Combine,
    Compute,
    Const,
    Get,
    Index,
    Init,
    Kernel,
    Load,
    Loop,
    Position,
    Put,
    Store,
    Update,
)


def _index_text(index: Index) -> str:
    return ", ".join(i.name if isinstance(i, Axis) else str(i) for i in index)


def text_of(s: Any) -> str:
    """A statement on one line; a loop without its body."""
    match s:
        case Load():
            return f"{s.name}: {s.dtype} = {s.buffer}[{_index_text(s.index)}]"
        case Const():
            return f"{s.name}: {s.dtype} = {s.value}"
        case Position():
            return f"{s.name}: {s.dtype} = position({', '.join(a.name for a in s.axes)})"
        case Bounded():
            return f"{s.name}: {s.dtype} = {s.value} as an index below {getattr(s.size, 'name', s.size)}"
        case Compute():
            extra = "".join(f", {k}={v}" for k, v in s.params)
            return f"{s.name}: {s.dtype} = {s.op}({', '.join(s.args)}{extra})"
        case Store():
            return f"{s.buffer}[{_index_text(s.index)}] = {s.value}"
        case Update():
            return f"{s.buffer}[{_index_text(s.index)}] = {s.op}({s.buffer}[...], {s.value})"
        case Init():
            return f"{s.acc}{f'[{s.lane.name}]' if s.lane else ''}: {s.dtype} = identity of {s.op}"
        case Combine():
            return f"{s.acc}{f'[{s.lane.name}]' if s.lane else ''} = {s.op}({s.acc}, {s.value})"
        case Get():
            return f"{s.name}: {s.dtype} = {s.local}[]"
        case Put():
            return f"{s.local}[] = {s.value}"
        case Loop():
            size = "?" if s.axis.size is None else s.axis.size
            notes = [] if s.kind == "serial" else [s.kind]
            if s.split is not None:
                blocks = [(i.acc, i.op) for i in s.split.accs] + [(u.buffer, u.op) for u in s.split.sums]
                notes.append(", ".join(["shared", *[f"blocks of {name}: {op}" for name, op in blocks]]))
            return f"for {s.axis.name} in {size}:" + (f"  # {'; '.join(notes)}" if notes else "")
    raise TypeError(s)


def listing(kernel: Kernel) -> Iterator[str]:
    """The lines of a whole kernel."""
    buffers = ", ".join(
        f"{'out ' if b.output else ''}{b.name}: {b.dtype}[{b.ndim}d {b.layout}]" for b in kernel.buffers
    )
    scalars = ", ".join(f"{s.name}: {s.dtype}" for s in kernel.scalars)
    yield f"kernel({', '.join(filter(None, (buffers, scalars)))})"
    for local in kernel.locals:
        yield f"  local {local.name}: {local.dtype}[{', '.join(a.name for a in local.axes)}]"
    stack: list[tuple[Any, int]] = [(s, 1) for s in reversed(kernel.body)]
    while stack:
        statement, depth = stack.pop()
        yield "  " * depth + text_of(statement)
        if isinstance(statement, Loop):
            stack.extend((s, depth + 1) for s in reversed(statement.body))
