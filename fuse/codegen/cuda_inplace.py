"""Updates in place on a GPU: new values of shared variables that are written over the old ones.

The value of a shared variable on a device has memory of its own, which nobody else holds: results and updates that are
some other value, or a view of one, are copies. So an update may take the memory of the old value where each element is
read and written by one thread, at one place, and where nothing reads the old value later or can fail.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fuse.codegen.inplace import are_sized, reads_once, touched
from fuse.codegen.kernel import Compute, Const, Kernel, Load, Loop, Store, walk
from fuse.codegen.region import INDEXED, Region, see_through
from fuse.expr import SHARED, Expr, leaves, toposort
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.cuda_launch import DeviceRegion
    from fuse.codegen.cuda_wrapper import DeviceWriter

_READING = ("dot", "matmul", "batched_dot")  # library calls, whose results have memory of their own


def in_place(writer: DeviceWriter, region: Region, found: DeviceRegion) -> dict[Expr, Expr]:
    """Outputs of ``region`` that are updates, each with the shared variable over whose value it is written."""
    units, program = writer.plan.units, writer.program
    position = next(k for k, unit in enumerate(units) if unit is region)
    later = units[position + 1 :]
    if writer.guards or not all(isinstance(u, Region) and _is_plain(u) for u in (region, *later)):
        return {}
    if any(n.op.name in INDEXED for u in units if isinstance(u, Region) for n in u.amap):
        return {}  # indices are looked at when all has run
    if not are_sized([v for u in later for v in touched(u)] + list(writer.results), writer.sizes):
        return {}
    cells = Counter([id(leaf.container) for leaf in leaves(writer.results) if leaf.op is SHARED])
    out: dict[Expr, Expr] = {}
    for (target, _), value in zip(program.updates, writer.results[len(program.outputs) :], strict=True):
        if (
            value in region.outputs
            and value not in out
            and target not in out.values()
            and cells[id(target.container)] == 1  # clones have the same value
            and isinstance(target.type, TensorType)
            and target.type.dtype == value.type.dtype
            and sum(r is value for r in writer.results) == 1
            and region.loads.get(target) == region.amap[value]
            and not any(value in u.loads or target in u.loads for u in later if isinstance(u, Region))
            and not any(_base(writer, r) is target for r in writer.results)
            and all(_leaves_alone(u, target) for u in units)
            and reads_once(writer, region, target)  # type: ignore[arg-type]
            and _by_one_thread(found, target, value)
        ):
            out[value] = target
    return out


def _is_plain(region: Region) -> bool:
    """Whether a region is elementwise: nothing in it can fail at run time."""
    return all(n.op.kind == "elementwise" for n in region.amap)


def _base(writer: DeviceWriter, value: Expr) -> Expr:
    return see_through(value, writer.sizes).base if isinstance(value.type, TensorType) else value


def _leaves_alone(unit: Region | Expr, target: Expr) -> bool:
    """Whether no value that a unit makes can share the memory of ``target``."""
    if isinstance(unit, Region) or unit.op.name in _READING:
        return True
    return target not in toposort([unit], known=set())


def _by_one_thread(found: DeviceRegion, target: Expr, value: Expr) -> bool:
    """Whether one nest of loops does everything, and reads the old value and writes the new one at the same index."""
    kernel: Kernel = found.default
    statements = list(walk(kernel.body))
    if not all(isinstance(s, (Loop, Load, Compute, Const, Store)) for s in statements):
        return False
    body, axes = kernel.body, []
    while any(isinstance(s, Loop) for s in body):
        loops = [s for s in body if isinstance(s, Loop)]
        if len(loops) > 1 or any(isinstance(s, Store) for s in body):
            return False
        axes.append(loops[0].axis)
        body = loops[0].body
    names = [b.name for b in kernel.buffers if not b.scratch]
    read, written = names[found.bases.index(target)], names[found.bases.index(value)]
    at = {s.index for s in statements if isinstance(s, Load) and s.buffer == read}
    to = {s.index for s in statements if isinstance(s, Store) and s.buffer == written}
    return len(to) == 1 and at == to and bool(axes) and set(*to) == set(axes)


__all__ = ["in_place"]
