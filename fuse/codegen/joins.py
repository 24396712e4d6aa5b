"""Joins: the kernels that compute parts of an array write them where they stand in it; the rest is copied there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuse.codegen.launch import Launcher
from fuse.codegen.region import SCATTERS, Region, see_through
from fuse.expr import Expr
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer


def into_joins(writer: Writer, region: Region, launcher: Launcher) -> dict[Expr, tuple[Expr, int]]:
    """Outputs of a region that only a join reads: the join, and which of its arguments they are."""
    found: dict[Expr, tuple[Expr, int]] = {}
    if launcher.is_tape:  # it writes contiguous arrays
        return found
    units = writer.plan.units
    for value in region.outputs:
        last = writer.last_use.get(value, len(units))
        node = units[last] if last < len(units) else None
        if not isinstance(node, Expr) or node.op.name != "join" or value.type.dtype != node.type.dtype:
            continue
        if value.op.name in SCATTERS or value in writer.escaping or value in writer.given or node in writer.given:
            continue
        if any(value in u.loads or value in u.whole for u in units if isinstance(u, Region)) or any(
            see_through(a, writer.sizes).base is value
            for u in units if isinstance(u, Expr) and u is not node
            for a in u.args if isinstance(a.type, TensorType)
        ):
            continue
        places = [k for k, a in enumerate(node.args) if see_through(a, writer.sizes).base is value]
        if len(places) == 1 and _is_plain(writer, node, node.args[places[0]], value) and _is_ready(writer, node):
            found[value] = node, places[0]
    return found


def _is_plain(writer: Writer, node: Expr, arg: Expr, value: Expr) -> bool:
    """Whether ``arg`` is ``value``, by another word for its shape too, or that with the axis put in (a stack)."""
    if arg is value or writer.is_word(arg) and arg.args[0] is value:
        return True
    if arg.op.name != "dimshuffle" or arg.args[0] is not value:
        return False
    pattern = list(arg.params["pattern"])
    return pattern.pop(node.params["axis"]) == "x" and pattern == list(range(value.type.ndim))


def _is_ready(writer: Writer, node: Expr) -> bool:
    """Whether the sizes of a join and of its parts are known before any of them is computed, and fit each other."""
    axis = node.params["axis"]
    if not all(writer.is_ready(n) for a in (node, *node.args) for n in writer.sizes.of[a]):
        return False
    for arg in node.args:
        for d, (n, m) in enumerate(zip(writer.sizes.of[arg], writer.sizes.of[node], strict=True)):
            n, m = writer.sizes.find(n), writer.sizes.find(m)
            if d != axis and n is not m and n != m:
                return False
    return True


def prepare(writer: Writer, value: Expr, node: Expr, k: int) -> None:
    """Emit the array of a join, where it is not there yet, and the view of it that is the memory of ``value``."""
    if node not in writer.env:
        writer.env[node] = writer.allocate(node)
        writer.owned.add(node)
        writer.joined[node] = set()
    writer.joined[node].add(k)
    arg = node.args[k]
    writer.env[value] = _part(writer, node, k, arg is not value and not writer.is_word(arg))


def join(writer: Writer, node: Expr) -> None:
    """Emit what fills the parts of a join that no kernel has written."""
    for k in range(len(node.args)):
        if k not in writer.joined[node]:
            part = _part(writer, node, k, False)
            writer.line(f"copyto({part}, {writer.argument(node, k)})")
            writer.line(f"del {part}")


def _part(writer: Writer, node: Expr, k: int, dropped: bool) -> str:
    """A name for the view of argument ``k`` in a join; ``dropped``: without the axis of the join, of size 1 there."""
    axis = node.params["axis"]
    sizes = [writer.size(writer.sizes.of[a][axis]) for a in node.args[: k + 1]]
    start, stop = _total(writer, sizes[:k]), _total(writer, sizes)
    whole = ", ..." * (node.type.ndim == 1)  # a view, never a number
    entry = f"{start}{whole}" if dropped else f"{start}:{stop}"
    name = writer.fresh("t")
    writer.line(f"{name} = {writer.env[node]}[{':, ' * axis}{entry}]")
    return name


def _total(writer: Writer, sizes: list[str]) -> str:
    """The sum of sizes, some of which are numbers."""
    names, known = [n for n in sizes if not n.isdigit()], sum(int(n) for n in sizes if n.isdigit())
    terms = names + [str(known)] * (known > 0 or not names)
    if len(terms) == 1:
        return terms[0]
    name = writer.fresh("n")
    writer.line(f"{name} = {' + '.join(terms)}")
    return name
