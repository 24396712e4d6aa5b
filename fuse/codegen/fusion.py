"""Fusion: group the nodes of a graph into regions, each of which becomes one kernel.

Every value in a region is a function of the region's loop axes. Dimshuffles and broadcasts cost nothing: they are
seen through, as a map from the dimensions of what is used to the axes. The sets of axes that a region's values span
must be nested (nothing < rows < rows and columns), since they become nested loops; a reduction leads from an inner
set to an outer one and is then available to the following sweep over the inner axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fuse.codegen.finishing import Plan, finished
from fuse.codegen.merging import merge_others
from fuse.codegen.precedence import Precedence
from fuse.codegen.region import (
    ACROSS,
    CHEAP,
    GENERATORS,
    INDEXED,
    LIGHT,
    MAX_BUFFERS,
    MAX_RESULTS,
    SCATTERS,
    SEEN_THROUGH,
    AxisMap,
    Operand,
    Region,
    cost_of,
    domain_sizes,
    equal_sizes,
    index_axes,
    is_fusible,
    is_literal,
    is_row,
    keeps_order,
    meets_itself,
    operand_axes,
    operands_of,
    places,
    see_through,
    shift_of,
    widens,
)
from fuse.codegen.sizes import Size, Sizes
from fuse.expr import Expr, toposort

TWO_PLACES = "one value would be needed at two different places of the same loops"


class Cut(Exception):
    """Why a node cannot be part of a kernel, in words for people."""


class Planner:
    """Puts one node after the other, operands first, into a region that it can join, or into a new one."""

    def __init__(self, outputs: Sequence[Expr], sizes: Sizes, max_nodes: int, small_first: bool = False) -> None:
        self.sizes = sizes
        self.max_nodes = max_nodes
        self.small_first = small_first  # what is repeated along leading axes is computed before, in another kernel
        self.widened = False  # whether this would be another plan
        self.outputs = outputs
        self.results = {see_through(o, sizes).base for o in outputs if o in sizes.of}
        self.unit_of: dict[Expr, int] = {}
        self.units: list[Region | Expr] = []
        self.order = Precedence()
        self.readers: dict[Expr, list[int]] = {}
        self.operands: dict[Expr, tuple[Operand, ...]] = {}
        self.repeat_cost: dict[Expr, int] = {}
        self.cuts: list[tuple[Expr, str]] = []

    # ------------------------------------------------------------ building
    def plan(self) -> Plan:
        for node in toposort(self.outputs):
            if self.sizes.is_host(node):
                continue
            if is_fusible(node, self.sizes):
                self.place(node)
            elif not node.is_leaf and node.op.name not in SEEN_THROUGH:
                self.place_single(node)
        return finished(self)

    def new_unit(self, unit: Region | Expr) -> int:
        self.units.append(unit)
        return self.order.add()

    def behind(self, base: Expr) -> list[Expr]:
        """The values that must exist for ``base`` to be read: itself, or for a size what it is read from."""
        if not self.sizes.is_host(base):
            return [base] if base in self.unit_of else []
        return self.behind_sizes((self.sizes.host(base),))

    def behind_sizes(self, sizes: Sequence[Size]) -> list[Expr]:
        """The values computed here that formulas of sizes are read from."""
        values = [t.args[0] if t.op.name == "shape_i" else t for n in sizes for t in self.sizes.terminals(n)]
        bases = [see_through(v, self.sizes).base if v in self.sizes.of else v for v in values]
        return [b for b in bases if b in self.unit_of]

    def depend_on_value(self, unit: int, base: Expr) -> None:
        for value in self.behind(base):
            self.order.depend(unit, self.unit_of[value])

    def size_bases(self, node: Expr) -> list[Expr]:
        """The values computed here from which the sizes of ``node``, and of what it reduces or indexes, are read."""
        checked = node.op.kind == "reduction" or node.op.name in INDEXED
        nodes = [node, *node.args] if checked else [node]
        sources = [s for n in nodes for s in self.sizes.sources(n)]
        bases = [see_through(s, self.sizes).base if s in self.sizes.of else s for s in sources]
        return [b for b in dict.fromkeys(bases) if b in self.unit_of]

    def place_single(self, node: Expr) -> None:
        number = self.new_unit(node)
        self.unit_of[node] = number
        for arg in node.args:
            for base in self.size_bases(arg):
                self.depend_on_value(number, base)
            if hasattr(arg.type, "shape"):
                self.depend_on_value(number, see_through(arg, self.sizes).base)
            else:
                self.depend_on_value(number, arg)

    def place(self, node: Expr) -> None:
        operands = self.operands[node] = operands_of(node, self.sizes)
        self.repeat_cost[node] = self.cost_to_repeat(node, operands)
        candidates = self.candidates(node, operands)
        reason = ""
        for number in candidates:
            region = self.units[number]
            assert isinstance(region, Region)
            why = self.try_join(node, operands, number, region)
            if not why:
                merge_others(self, node, operands, number)
                return
            reason = reason or why
        number = self.new_unit(Region(len(self.units)))
        why = self.try_join(node, operands, number, self.units[number])  # type: ignore[arg-type]
        assert not why, why
        if reason:
            self.cuts.append((node, reason))

    def cost_to_repeat(self, node: Expr, operands: tuple[Operand, ...]) -> int:
        if node.op.name in GENERATORS:
            return 0
        if node.op.kind != "elementwise":
            return 1000
        return cost_of(node) + sum(self.repeat_cost.get(o.base, 0) for o in operands)

    def repeats(self, operand: Operand, node: Expr) -> bool:
        """Whether ``operand`` is so cheap, and so much smaller than what uses it, that it is computed in place."""
        base = operand.base
        if base not in self.operands:
            return False
        smaller = sum(n != 1 for n in self.sizes.of[base]) < sum(n != 1 for n in domain_sizes(node, self.sizes))
        return smaller and self.repeat_cost[base] <= CHEAP

    def is_light(self, base: Expr) -> bool:
        """Whether computing ``base`` again costs no more than reading it: little arithmetic on one array, or positions
        along axes and numbers alone, from which indices are made."""
        if base not in self.operands or self.repeat_cost[base] > CHEAP:
            return False
        read: set[Expr] = set()
        stack = [base]
        while stack:
            for operand in self.operands[stack.pop()]:
                inner = operand.base
                if inner.op.name in GENERATORS:
                    continue
                if inner in self.operands:
                    stack.append(inner)
                elif not is_literal(inner):
                    read.add(inner)
        counted = base.type.ndim > 0 and not any(x.type.ndim for x in read)
        return counted or len(read) <= 1 and self.repeat_cost[base] <= LIGHT

    def candidates(self, node: Expr, operands: tuple[Operand, ...]) -> list[int]:
        """Regions that ``node`` could join: those of its operands first, then those that read the same arrays."""
        hard: dict[int, None] = {}
        soft: dict[int, None] = {}
        for operand in operands:
            base = operand.base
            if base.op.name in GENERATORS:
                continue
            if base in self.operands and not self.repeats(operand, node):
                hard[self.unit_of[base]] = None
                if not self.is_full(self.unit_of[base]):
                    continue
            for number in self.readers.get(base, ())[-3:]:
                soft[number] = None
        # A node without operands of its own computation joins what reads the same data.
        # The largest first: what is smaller is then merged into it, so that a long sum is planned in linear time.
        first = sorted(hard, key=lambda n: (-len(self.units[n].amap), -n))
        return first + [n for n in sorted(soft, reverse=True) if n not in hard]

    def is_full(self, number: int) -> bool:
        """Whether the kernel of this number has as many results as one may have."""
        region = self.units[number]
        return isinstance(region, Region) and region.results >= MAX_RESULTS

    # ------------------------------------------------------------ joining
    def try_join(self, node: Expr, operands: tuple[Operand, ...], number: int, region: Region) -> str:
        """Put ``node`` into ``region``; "" if it went in, else why it cannot."""
        try:
            self.join(node, operands, number, region)
        except Cut as reason:
            return str(reason)
        return ""

    def join(self, node: Expr, operands: tuple[Operand, ...], number: int, region: Region) -> None:
        """Put ``node`` into ``region``; raises Cut, and leaves the region as it is, where it cannot be."""
        if self.is_full(number):
            raise Cut(f"the kernel would have more than {MAX_RESULTS} results")
        is_long = len(region.amap) >= self.max_nodes
        too_long = Cut(f"the kernel would have more than {self.max_nodes} operations")
        if is_long and not region.flat:
            raise too_long
        early = self.size_bases(node)
        measured = [self.unit_of[base] for base in early]
        if self.come_late(measured, number):
            raise Cut("its size is known only after the same kernel")
        inside, repeated, outside = self.sorted_operands(node, operands, number, region)
        self.check_clones([o.base for o in repeated], number, region)
        new_sizes = list(region.sizes)
        axes = self.assign(node, operands, inside, region, new_sizes)
        if axes is None:
            raise Cut(TWO_PLACES)
        if meets_itself(region, repeated, axes, node, self.operands, self.sizes):
            # one value has one place in a kernel: what is wanted at several is read
            if any(self.is_late(operand.base, number) for operand in repeated):
                raise Cut(TWO_PLACES)
            outside, repeated = outside + repeated, []
        flat = region.stays_flat(node, operands, axes, len(new_sizes))
        if is_long and not flat:
            raise too_long
        if not inside and is_row(region, axes):
            self.apart()
        result, sets, across = self.nested(node, axes, region, new_sizes)
        further = {o.base for o in outside if not is_literal(o.base)} - region.loads.keys()
        if further and len(region.loads) + len(further) > MAX_BUFFERS:
            raise Cut(f"the kernel would have more than {MAX_BUFFERS} operands")
        # From here on the node goes in.
        region.sizes[:] = new_sizes
        region.flat = flat
        region.spaces.update(dict.fromkeys(sets))
        if node.op.kind == "reduction" or node.op.name in SCATTERS:
            region.domain[node] = axes
        if node.op.name in INDEXED and operands[0].base.op.name != "iota":
            region.whole.add(operands[0].base)
        if across:
            region.across.add(node)
        region.amap[node] = result
        region.results += node in self.results
        self.unit_of.setdefault(node, number)
        region.early.update(early)
        for unit in measured:
            self.order.depend(number, unit)
        for operand in outside:
            self.add_load(region, number, operand, operand_axes(operand, axes, node, self.sizes))
        for operand in repeated:
            self.add_clone(region, number, operand.base, operand_axes(operand, axes, node, self.sizes))

    def apart(self) -> None:
        """Note that what is small may be computed before; raises Cut where it is."""
        self.widened = True
        if self.small_first:
            raise Cut("it is smaller than what it is repeated along")

    def come_late(self, units: Iterable[int], number: int) -> bool:
        """Whether one of some units is the kernel of this number, or stands behind it."""
        return any(unit == number or self.order.is_after(unit, number) for unit in units)

    def is_late(self, base: Expr, number: int) -> bool:
        """Whether ``base`` can be read only behind the kernel of this number."""
        return self.come_late([self.unit_of[value] for value in self.behind(base)], number)

    def sorted_operands(
        self, node: Expr, operands: tuple[Operand, ...], number: int, region: Region
    ) -> tuple[list[Operand], list[Operand], list[Operand]]:
        """Those that the kernel computes, that it computes again, and that it reads from memory; or raises Cut."""
        inside: list[Operand] = []
        repeated: list[Operand] = []
        outside: list[Operand] = []
        for i, operand in enumerate(operands):
            base, whole = operand.base, i == 0 and node.op.name in INDEXED
            if base.op.name in GENERATORS and not (whole and base.op.name != "iota"):
                continue  # an index is made where it is used
            if not whole and base in region.amap and base not in region.across:
                inside.append(operand)
            elif not whole and (self.repeats(operand, node) or self.is_light(base)):
                repeated.append(operand)
            elif self.is_late(base, number):
                raise Cut("an operand is needed as a whole before, and depends on the same kernel")
            else:
                outside.append(operand)
        return inside, repeated, outside

    def check_clones(self, bases: Iterable[Expr], number: int, region: Region) -> None:
        """Raises Cut where what is computed again for ``bases`` reads what stands behind the kernel."""
        clones = self.clones(bases, region)
        read = {o.base for base in clones for o in self.operands[base] if o.base.op.name not in GENERATORS}
        if any(self.is_late(b, number) for b in read if b not in clones and b not in region.amap):
            raise Cut("a repeated operand depends on the same kernel")

    def nested(
        self, node: Expr, axes: AxisMap, region: Region, new_sizes: list[Size]
    ) -> tuple[AxisMap, list[frozenset[int]], bool]:
        """The axes of a node's result, the loops that it needs, whether it is added up across them; or raises Cut."""
        scatter = node.op.name in SCATTERS
        if widens(region.spaces, axes):
            self.apart()
        sets = [frozenset(a for a in axes if a is not None)]
        result = axes
        if node.op.kind == "reduction":
            result = tuple([a for k, a in enumerate(axes) if k not in node.params["axis"]])
            sets.append(frozenset(a for a in result if a is not None))
        if scatter:  # the places stored to are no loops of the nest
            result = places(node, axes, self.sizes, new_sizes)
        crossing = [s for s in sets if s not in region.spaces and not all(s <= t or t <= s for t in region.spaces)]
        across = crossing == sets[1:] and node.op.name == "sum" and bool(sets[1]) and node.params["dtype"] in ACROSS
        across = across or scatter and not crossing
        if crossing and not across:
            raise Cut("its loops cross those of the kernel (rows against columns)")
        if not keeps_order(region, [*region.spaces, *sets], [index_axes(node, axes)] if scatter else ()):
            raise Cut("its loops would store values of equal indices in another order")
        return result, sets[:1] if across else sets, across

    def clones(self, bases: Iterable[Expr], region: Region) -> set[Expr]:
        found: set[Expr] = set()
        stack = list(bases)
        while stack:
            base = stack.pop()
            if base in found or base in region.amap or base not in self.operands or base.op.name in GENERATORS:
                continue
            found.add(base)
            stack.extend(o.base for o in self.operands[base])
        return found

    def add_load(self, region: Region, number: int, operand: Operand, axes: AxisMap) -> None:
        if is_literal(operand.base):
            return
        known = region.loads.get(operand.base)
        if known is not None and known != axes:
            region.turned.add(operand.base)
        if known is None or known.count(None) > axes.count(None):
            region.loads[operand.base] = axes
        readers = self.readers.setdefault(operand.base, [])
        if number not in readers:
            readers.append(number)
        if self.sizes.is_host(operand.base):
            region.early.update(self.behind(operand.base))
        self.depend_on_value(number, operand.base)

    def add_clone(self, region: Region, number: int, base: Expr, axes: AxisMap) -> None:
        stack = [(base, axes)]
        while stack:
            node, own = stack.pop()
            if node in region.amap:
                continue
            region.amap[node] = own
            region.repeated.add(node)
            for operand in self.operands[node]:
                if operand.base.op.name in GENERATORS:
                    continue
                inner = operand_axes(operand, own, node, self.sizes)
                if (
                    operand.base in self.operands
                    and self.repeat_cost[operand.base] <= CHEAP
                    and operand.base not in region.amap
                ):
                    stack.append((operand.base, inner))
                elif operand.base not in region.amap:
                    self.add_load(region, number, operand, inner)

    def assign(
        self, node: Expr, operands: tuple[Operand, ...], inside: list[Operand], region: Region, new_sizes: list[Size]
    ) -> AxisMap | None:
        """An axis of the region for each dimension of the node's domain, or None if its operands disagree."""
        sizes = [self.sizes.find(n) for n in domain_sizes(node, self.sizes)]
        found: list[int | None] = [None] * len(sizes)
        for hard, group in ((True, inside), (False, [o for o in operands if o not in inside])):
            for operand in group:
                known = region.amap.get(operand.base) if hard else region.loads.get(operand.base)
                if known is None or not hard and node.op.name in INDEXED and operand.base is operands[0].base:
                    continue
                if not _follows(found, operand, known, shift_of(node, operands, operand, len(sizes))) and hard:
                    return None
        return _completed(found, sizes, new_sizes)


def _follows(found: list[int | None], operand: Operand, known: AxisMap, offset: int) -> bool:
    """Note the axes along which an operand is known, where there is none yet; whether none was another one."""
    agrees = True
    for k, d in enumerate(operand.pattern):
        axis = None if d is None else known[d]
        if axis is None or found[k + offset] == axis:
            continue
        if found[k + offset] is None and axis not in found:
            found[k + offset] = axis
        else:
            agrees = False
    return agrees


def _completed(found: list[int | None], sizes: Sequence[Size], new_sizes: list[Size]) -> AxisMap | None:
    """``found`` with axes for the other dimensions, new ones where none of that size is left; sizes of 1 have none."""
    for k, size in enumerate(sizes):
        if isinstance(size, int) and size == 1:
            if found[k] is not None:
                return None
        elif found[k] is None:
            free = [a for a, n in enumerate(new_sizes) if a not in found and equal_sizes(n, size)]
            if not free:
                free = [len(new_sizes)]
                new_sizes.append(size)
            found[k] = free[0]
    return tuple(found)
