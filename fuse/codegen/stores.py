"""Stores into slices: a copy of the array, and a view of it that NumPy or the kernel of the value writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuse.codegen.calls import is_checked, is_constant_view, slice_text
from fuse.codegen.frames import around, margins
from fuse.codegen.launch import Launcher
from fuse.codegen.overwrite import changed_input
from fuse.codegen.region import SCATTERS, Region, is_literal, see_through
from fuse.codegen.sizes import Sizes
from fuse.expr import Expr, make
from fuse.op import OPS

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer

STORES = {"set_subtensor": "copyto", "inc_subtensor": "increase"}  # what the wrapper calls with the view and the value


def is_slice_store(writer: Writer, node: Expr) -> bool:
    """Whether the wrapper can store into ``node`` through a view that it writes as text."""
    if node.op.name not in STORES:
        return False
    return is_constant_view(node) or all(writer.is_ready(writer.sizes.host(a)) for a in node.args[2:])


def part_of(writer: Writer, node: Expr, array: str, bounds: list[str]) -> str:
    """A name for the part of ``array`` that ``node`` (a subtensor, or a store into one) is about."""
    name = writer.fresh("t")
    text = f"{name} = {array}[{slice_text(node, bounds)}]"
    writer.line(f"try: {text}" if is_checked(node) else text)
    if is_checked(node):
        writer.line(f"except IndexError: return serve(({writer.arguments}))")
    return name


def changed_copy(writer: Writer, node: Expr, position: int, launcher: Launcher | None = None) -> str:
    """A name for the array that ``node`` changes: a copy of its first argument, or that itself where it is free."""
    source = see_through(node.args[0], writer.sizes).base
    edges = margins(node) if is_slice_store(writer, node) else None
    if is_literal(source) and not any(source.data.tobytes()):
        name = writer.allocate(node)
        if edges is None:
            writer.line(f"{name}.fill(0)")
        else:
            around(writer, node, [name], edges)
        return name
    array, name, base = writer.materialised(node.args[0]), writer.fresh("t"), node.args[0]
    is_free = base in writer.owned and writer.last_use.get(base) == position and base not in writer.changed
    over = changed_input(writer, source, position, launcher) if base is source else None
    if over is not None:
        writer.line(f"{name} = {over}")
    elif is_free and (launcher is None or base not in launcher.bases):
        writer.changed.add(base)
        writer.line(f"{name} = {array}")
    elif edges is not None and all(writer.is_ready(n) for n in writer.sizes.of[node]):
        writer.line(f"{name} = {writer.empty_text(node)}")
        around(writer, node, [name, array], edges)
    else:
        writer.line(f"{name} = copied({array})")
    return name


def store(writer: Writer, node: Expr, position: int) -> None:
    """Emit a set_subtensor or inc_subtensor of a view."""
    if node in writer.env:
        return  # a kernel has written there
    value, *bounds = [writer.argument(node, k) for k in range(1, len(node.args))]
    array = changed_copy(writer, node, position)
    part = part_of(writer, node, array, bounds)
    again = f", {part}" * (node.op.name == "inc_subtensor")
    writer.line(f"try: {STORES[node.op.name]}({part}, {value}{again})")
    writer.line(f"except ValueError: return serve(({writer.arguments}))")  # which tells of shapes that do not fit
    writer.line(f"del {part}")
    writer.env[node] = array
    writer.owned.add(node)


def into_views(writer: Writer, region: Region, launcher: Launcher) -> dict[Expr, Expr]:
    """Outputs of a region that are only stored into slices, and where: the kernel writes into a view of the copy."""
    out: dict[Expr, Expr] = {}
    if launcher.is_tape:  # it writes contiguous arrays
        return out
    for value in region.outputs:
        last = writer.last_use.get(value, len(writer.plan.units))
        node = writer.plan.units[last] if last < len(writer.plan.units) else None
        if (
            isinstance(node, Expr)
            and node.op.name == "set_subtensor"
            and is_slice_store(writer, node)
            and stored_value(node) is value
            and value.op.name not in SCATTERS
            and value not in writer.escaping
            and value not in writer.given
            and not any(reads(writer.sizes, u, value) for u in writer.plan.units if u is not node)
            and see_through(node.args[0], writer.sizes).base in writer.env
            and value.type.dtype == node.type.dtype
            and len(node.args) == 2
            and all(writer.is_ready(n) for n in writer.sizes.of[node])
        ):
            part = make(OPS["subtensor"], (node.args[0],), node.params)
            wanted = writer.sizes.sizes_of(part)
            have = writer.sizes.of[value]
            if len(wanted) == len(have) and all(
                writer.sizes.find(n) is writer.sizes.find(m) or writer.sizes.find(n) == writer.sizes.find(m)
                for n, m in zip(wanted, have, strict=True)
            ):
                out[value] = node
    return out


def stored_value(node: Expr) -> Expr:
    """What ``node`` stores; equal sizes are guarded, so an unbroadcast sums nothing."""
    value = node.args[1]
    while value.op.name == "unbroadcast":
        value = value.args[0]
    return value


def prepare(writer: Writer, value: Expr, node: Expr, position: int, launcher: Launcher) -> None:
    """Emit the copy that ``node`` is, and its view as the memory of ``value``."""
    base, last = node.args[0], writer.last_use[value]
    between = writer.plan.units[position:last]
    free_at = -1 if any(reads(writer.sizes, unit, base) for unit in between) else last
    writer.env[node] = array = changed_copy(writer, node, free_at, launcher)
    writer.owned.add(node)
    writer.env[value] = part_of(writer, node, array, [])


def reads(sizes: Sizes, unit: Region | Expr, value: Expr) -> bool:
    """Whether a unit of the plan reads ``value``, or a view of it."""
    if isinstance(unit, Region):
        return value in unit.loads or value in unit.whole
    return any(hasattr(a.type, "shape") and see_through(a, sizes).base is value for a in unit.args)
