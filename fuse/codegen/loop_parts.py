"""Parts of arrays in a loop's body: slices with known bounds and elements are places within those of arrays."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fuse.codegen.loop_emit import NotCompiled, Place, product, total
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer


def part(w: Writer, base: Place, node: Expr, dynamic: Sequence[Expr], sizes: Sequence[str]) -> Place:
    """Slices with known bounds and integers: a place within another."""
    offset, shape, strides = [base.offset], [], []
    kept = 0
    spec = [*node.params["spec"], *[("slice", None, None, None)] * (len(base.shape) - len(node.params["spec"]))]
    for d, entry in enumerate(spec):
        n, stride = base.shape[d], base.stride(d)
        if entry[0] == "int":
            at = _index(w, entry[1], dynamic, n)
            offset.append(f"{at} * ({stride})")
            continue
        _, start, _, step = entry
        if isinstance(step, tuple):
            raise NotCompiled("a slice with a step that is computed")
        step = 1 if step is None else step
        if start is not None:
            offset.append(f"{_start(w, start, step, dynamic, n)} * ({stride})")
        elif step < 0:
            offset.append(f"({n} - 1) * ({stride})")
        shape.append(sizes[kept])
        strides.append(stride if step == 1 else f"{step} * ({stride})")
        kept += 1
    place = Place(base.buffer, "0", tuple(shape), tuple(strides))
    same = all(s == product(shape[d + 1:]) for d, s in enumerate(strides))
    name = w.fresh("p")
    w.lines.append(f"{name} = {total(offset)}")
    return replace(place, offset=name, strides=None if same else tuple(strides))


def _start(w: Writer, value: Any, step: int, dynamic: Sequence[Expr], n: str) -> str:
    """The text of where a slice starts, as Python's slices have it."""
    name = w.fresh("i")
    text = f"int64({w.number(dynamic[value[1]])})" if isinstance(value, tuple) else str(value)
    last = n if step > 0 else f"{n} - 1"
    w.lines += [
        f"{name} = {text}", f"{name} = {name} + {n} if {name} < 0 else {name}",
        f"{name} = {'0' if step > 0 else '-1'} if {name} < 0 else {name}",
        f"{name} = {last} if {name} > {last} else {name}",
    ]
    return name


def _index(w: Writer, value: Any, dynamic: Sequence[Expr], n: str) -> str:
    """The text of an index, checked."""
    if isinstance(value, int) and n.isdigit() and 0 <= value < int(n):
        return str(value)
    name = w.fresh("i")
    if isinstance(value, tuple):
        number = w.number(dynamic[value[1]])
        w.lines.append(f"{name} = int64({number})")
        w.lines.append(f"{name} = {name} + {n} if {name} < 0 else {name}")
    else:
        w.lines.append(f"{name} = {value}" if value >= 0 else f"{name} = {n} - {-value}")
        if w.root.least.get(n, 0) > (value if value >= 0 else -1 - value):
            return name
    w.lines += [f"if {name} < 0 or {name} >= {n}:", "    return 3"]
    return name
