"""Results over operands: which ones a kernel may write over what it reads, shared variables and values read last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fuse.codegen.calls import is_checked
from fuse.codegen.launch import Launcher
from fuse.codegen.region import INDEXED, SEEN_THROUGH, Region
from fuse.codegen.sizes import Size, Sizes
from fuse.codegen.tape import is_long
from fuse.expr import Constant, Expr, toposort

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer


def in_place_targets(writer: Writer, region: Region, position: int, launcher: Launcher) -> dict[Expr, Expr]:
    """Region outputs that are updates computed over the old value of their shared variable."""
    out: dict[Expr, Expr] = {}
    if writer.program.takes_outputs or fails_later(writer, position):  # the shapes of given arrays are checked last
        return out
    for value in region.outputs:
        target = writer.updated.get(value)
        if target is None or writer.last_use.get(target) != position:
            continue
        if region.loads.get(target) != region.amap[value] or target.type.dtype != value.type.dtype:
            continue
        if any(n.op.name in INDEXED for n in region.amap) or not _one_sweep(launcher, target, value):
            continue
        if not reads_once(writer, region, target):
            continue
        # Two parameters of a kernel may be the same array where both are used at the same index only.
        if writer.last_read.get(value, -1) > position:
            continue
        out[value] = target
    return out


def reused_memory(
    writer: Writer, region: Region, position: int, launcher: Launcher, in_place: dict[Expr, Expr]
) -> dict[Expr, Expr]:
    """Region outputs that are written over intermediate values which nothing reads later."""
    out: dict[Expr, Expr] = {}
    if any(n.op.name in INDEXED for n in region.amap):
        return out
    free = [
        base for base in region.loads
        if base in writer.owned and base.type.ndim and base not in writer.escaping
        and writer.last_use.get(base) == position and base not in region.outputs
        and (base.op.name == "add_product" or "inplace" not in base.op.meta)
    ]
    for node in region.outputs:
        if node in in_place or node in writer.given or not node.type.ndim:
            continue
        for base in free:
            if (
                base not in out.values()
                and base.type.dtype == node.type.dtype
                and region.loads[base] == region.amap[node]
                and _one_sweep(launcher, base, node)
                and reads_once(writer, region, base)
            ):
                out[node] = base
                break
    return out


def alike_operands(
    writer: Writer, region: Region, position: int, launcher: Launcher, node: Expr
) -> list[Expr]:
    """Inputs and shared variables that the array given for ``node`` may be, as both are used at the same index only."""
    if fails_later(writer, position):
        return []
    if any(n.op.name in INDEXED for n in region.amap) or node not in region.amap:
        return []
    return [
        base for base in region.loads
        if base.is_leaf and base in writer.env and base.type.ndim
        and base.type.dtype == node.type.dtype
        and writer.last_use.get(base) == position
        and region.loads[base] == region.amap[node]
        and _one_sweep(launcher, base, node)
        and reads_once(writer, region, base)
    ]


def fails_later(writer: Writer, position: int) -> bool:
    """Whether a call may fail after the unit at ``position``: it is made again then, from the same inputs."""
    if writer.last_risk is None:
        units, sizes = writer.plan.units, writer.sizes
        views = [r for r in writer.results if r.op.name in SEEN_THROUGH]  # copied when all is computed
        risks = [k for k, u in enumerate(units) if _may_fail(u) or not are_sized(touched(u), sizes)]
        writer.last_risk = max(risks, default=-1) if are_sized(views, sizes) else len(units)
    return bool(writer.guards) or writer.last_risk > position


def old_value(writer: Writer, target: Expr, made: str) -> str:
    """The text of the memory of an update: the old value's where that is the variable's own, and ``made``, new memory.

    No other array is in memory that is a variable's own: see `Container`.
    """
    old, cell = writer.env[target], writer.cells[target]
    return f"{old} if {cell}.borrowed is not {old} else {made}"


def reads_once(writer: Writer, region: Region, target: Expr) -> bool:
    """Whether the region reads ``target`` at one place only: that of the loops themselves."""
    want = region.loads[target]
    for node in region.amap:
        axes = region.domain.get(node, region.amap[node])
        for operand in writer.operands[node]:
            if operand.base is target:
                shift = len(axes) - len(operand.pattern)
                have: list[int | None] = [None] * target.type.ndim
                for k, d in enumerate(operand.pattern):
                    if d is not None:
                        have[d] = axes[k + shift]
                if tuple(have) != want:
                    return False
    return True


def _may_fail(unit: Any) -> bool:
    """Whether a unit can raise at run time, after which shared variables must still hold their old values."""
    if isinstance(unit, Expr):
        return unit.op.name not in ("dot", "add_product") and (unit.op.name != "subtensor" or is_checked(unit))
    return any(n.op.name in INDEXED or n.op.name in ("max", "min") for n in unit.amap)


def touched(unit: Any) -> Sequence[Expr]:
    """The values for which a unit asks for memory, or a view."""
    return unit.outputs if isinstance(unit, Region) else [unit, *unit.args]


def are_sized(values: Iterable[Expr], sizes: Sizes) -> bool:
    """Whether the sizes of all ``values`` are sure to be sizes, whatever the call is given."""
    return all(_is_size(sizes.find(n), sizes) for value in values for n in sizes.of.get(value, ()))


def _is_size(size: Size, sizes: Sizes) -> bool:
    """Whether a formula is sure to have a value, and none below zero."""
    if isinstance(size, int):
        return size >= 0
    terminals = sizes.terminals(size)
    sure = {t: t.op.name == "shape_i" for t in terminals}
    for node in toposort([size], known=sure):
        if node in sure:
            continue
        found, last = [sure.get(a, False) for a in node.args], node.args[-1] if node.args else None
        match node.op.name:
            case "constant":
                sure[node] = int(node.data) >= 0
            case "maximum":
                sure[node] = any(found)
            case "minimum" | "add" | "mul":
                sure[node] = all(found)
            case "int_div" | "mod":
                if not (isinstance(last, Constant) and int(last.data) > 0):
                    return False  # without a value, where it divides by 0
                sure[node] = found[0]
            case "cast":
                sure[node] = found[0]
    return sure.get(size, False)


def _one_sweep(launcher: Launcher, target: Expr, value: Expr) -> bool:
    """Whether, in every schedule of the kernel, ``value`` is written in the loop that reads ``target``, after that."""
    if not launcher.reduces_to_numbers:
        return False
    names = [b.name for b in launcher.default.buffers]
    read, written = names[launcher.bases.index(target)], names[launcher.bases.index(value)]
    found = launcher.accesses
    loads, stores = found.loads.get(read, ()), found.stores.get(written, ())
    bodies = {number for number, _ in (*loads, *stores)}
    if not loads or not stores or len(bodies) > 1:
        return False
    if is_long(found.bodies[loads[0][0]]):  # a tape reads an array where a value of it is used
        return False
    return min(stores) > max(loads)
