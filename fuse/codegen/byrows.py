"""By rows: column reductions of tall arrays as loops over rows, which threads can share and which read memory in order.

A column reduction walks strips of columns, and within each all rows: what a strip keeps stays in cache. Where there are
many rows and few columns, threads find too few strips, and strips that do not reach over whole rows read memory by
pieces. There the strips are taken apart: what they kept per lane becomes rows in memory, and each sweep over the rows
a loop of its own, with its sums in blocks of rows. So it is with numbers that everything is added up in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fuse.codegen.kernel import (
    IN_PARTS,
    Axis,
    Buffer,
    Combine,
    Const,
    Get,
    Init,
    Kernel,
    Load,
    Local,
    Loop,
    Put,
    Store,
    Update,
    walk,
)


def tall_axes(kernel: Kernel) -> tuple[Axis, tuple[Axis, ...]] | None:
    """The lanes of a column reduction that can be done by rows, and the axes of its rows; None for other kernels."""
    strips = [s for s in kernel.body if isinstance(s, Loop) and s.kind == "block"]
    if len(strips) != 1 or any(isinstance(s, Loop) and s.kind != "block" for s in kernel.body):
        return None
    lanes, rows = strips[0].axis, []
    for s in strips[0].body:
        while isinstance(s, Loop) and s.kind == "serial":
            rows.append(s.axis)
            s = next((inner for inner in s.body if isinstance(inner, Loop)), None)
        if rows:
            break
    for s in walk(strips[0].body):
        complex_ = isinstance(s, Combine) and s.dtype.startswith("complex") and s.op.name in ("max", "min")
        if isinstance(s, Combine) and s.lane and (s.op.name not in IN_PARTS or s.dtype == "bool" or complex_):
            return None
        if isinstance(s, Update) or isinstance(s, Loop) and s.kind == "block":
            return None
    return (lanes, tuple(rows)) if rows else None


def by_rows(kernel: Kernel) -> Kernel:
    """``kernel``, of which there are ``tall_axes``, as loops over rows."""
    kept = {x.name: x for x in kernel.locals if x.row}
    body: list[Any] = []
    for s in kernel.body:
        body.extend(_apart(s.body, kept) if isinstance(s, Loop) and s.kind == "block" else [s])
    rows = tuple([Buffer(x.name, x.dtype, x.axes[0].width, True, scratch=True, lent=True) for x in kept.values()])
    others = tuple([x for x in kernel.locals if not x.row])
    return replace(kernel, buffers=kernel.buffers + rows, locals=others, body=tuple(body))


def _apart(body: tuple[Any, ...], kept: Mapping[str, Local]) -> tuple[Any, ...]:
    out: list[Any] = []
    for s in body:
        match s:
            case Loop():
                out.append(Loop(s.axis, _apart(s.body, kept)))
            case Get() if s.local in kept:
                out.append(Load(s.name, s.dtype, s.local, kept[s.local].axes))
            case Put() if s.local in kept:
                out.append(Store(s.local, kept[s.local].axes, s.value))
            case Init():
                assert s.op.identity is not None
                out.append(Const(f"{s.acc}_identity", s.dtype, s.op.identity(s.dtype)))
                out.append(Store(s.acc, kept[s.acc].axes, f"{s.acc}_identity"))
            case Combine() if s.lane is not None:
                out.append(Update(s.acc, kept[s.acc].axes, s.op, s.dtype, s.value, s.value_dtype))
            case _:
                out.append(s)
    return tuple(out)
