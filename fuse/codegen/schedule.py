"""Scheduling: a region becomes a Kernel, a tree of loops with everything at the outermost place it can be.

The axis sets of a region are nested; each set is a *level*. A value lives at its level, inside a *sweep* (a loop over
the axes that the next level adds) of each level further out, and after so many sweeps of its own level as the
reductions it depends on need. A value that a later sweep uses again is repeated if that is cheap, and otherwise
kept in scratch memory for the axes of that sweep (a row).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from fuse.codegen.assemble import Placement
from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Combine,
    Compute,
    Const,
    Get,
    Init,
    Kernel,
    Load,
    Local,
    Loop,
    Position,
    Put,
    Store,
    Update,
)
from fuse.codegen.lanes import accumulator_dtype
from fuse.codegen.lending import with_lending
from fuse.codegen.nest import Binding, Context
from fuse.codegen.region import GENERATORS, INDEXED, SCATTERS, Operand, Region, cost_of, index_rank, is_literal
from fuse.codegen.scatter import checked_index, entries_of, place_scatter
from fuse.codegen.sizes import Size, Sizes
from fuse.expr import INPUT, Expr
from fuse.op import Op

REPEAT_IN_ROW = 4  # operations repeated rather than kept, where keeping means a row in cache
REPEAT_IN_SWEEP = 24  # the same where keeping means a whole array in memory


class Scheduler(Placement):
    """Places every node of a region, operands first."""

    # ------------------------------------------------------------ contexts of primary values
    def primaries(self, node: Expr) -> list[Expr]:
        """The non-repeated values of the region that ``node`` needs, through repeated ones."""
        found: list[Expr] = []
        stack = [node]
        seen = {node}
        while stack:
            current = stack.pop()
            for i, operand in enumerate(self.operands[current]):
                base = operand.base
                if (
                    base not in self.region.amap
                    or base in self.region.across
                    or base in seen
                    or current.op.name in INDEXED
                    and i == 0
                ):
                    continue
                seen.add(base)
                if base in self.region.repeated:
                    stack.append(base)
                else:
                    found.append(base)
        return found

    def place(self, node: Expr) -> None:
        domain = self.region.domain.get(node, self.region.amap[node])
        level = self.level_for(frozenset(a for a in domain if a is not None))
        context: Context = (0,) * (level + 1)
        for operand in self.primaries(node):
            need = self.context[operand]
            context = max(context, need + (0,) * (level + 1 - len(need)))
        if node.op.name in SCATTERS:
            place_scatter(self, node, level, context)
            return
        if node in self.region.across:
            self.add_across(node, level, context)
            return
        if node in self.region.domain:
            out = self.level_for(self.region.span(node))
            self.accumulate(node, level, context, out)
            self.level[node] = out
            self.context[node] = (*context[:out], context[out] + 1) if level > out else context
        else:
            self.level[node] = level
            self.context[node] = context
            name, _ = self.compute(node, level, context[:level], context[level])
            self.names[node, level, context[:level]] = name
        if node in self.region.outputs:
            self.store(node)

    def accumulate(self, node: Expr, level: int, context: Context, out: int) -> None:
        dtype = _working(node.params["dtype"])
        acc = self.new_name("acc")
        operand = self.operands[node][0]
        value, time, have = self.value(operand, level, context[:level], self.region.domain[node])
        time = max(time, context[level])
        # Where every reduced axis has size 1, start and only step stand side by side.
        self.emit(out, context[:out], time if level == out else context[out], Init(acc, node.op, dtype))
        self.emit(level, context[:level], time, Combine(acc, node.op, dtype, value, have))
        self.names[node, out, context[:out]] = acc

    def add_across(self, node: Expr, level: int, context: Context) -> None:
        """A sum whose axes cross the nest: cleared first, added to in the innermost loop, in memory."""
        operand = self.operands[node][0]
        dtype = node.params["dtype"]
        value, time, have = self.value(operand, level, context[:level], self.region.domain[node])
        index = tuple([0 if a is None else self.axes[a] for a in self.region.amap[node]])
        target, wide = self.buffer(node), self.summed_in(node.op, dtype)
        at: tuple[Any, ...] = index
        if wide != dtype:
            at = axes = tuple([a for a in index if isinstance(a, Axis)])
            target = self.new_name("t")
            self.locals.append(Local(target, wide, axes))
        zero, total = self.new_name(), self.new_name()
        self.emit(0, (), 0, Const(zero, wide, 0))
        self.emit_over(index, 0, (Store(target, at, zero),))
        self.emit(level, context[:level], max(time, context[level]), Update(target, at, node.op, wide, value, have))
        if wide != dtype:
            done = (Load(total, wide, target, at), Store(self.buffer(node), index, total))
            self.emit_over(index, context[0] + 1 if level else context[0], done)

    def summed_in(self, op: Op, dtype: str) -> str:
        """The dtype in which a reduction over many rows is kept in memory."""
        return accumulator_dtype(op, dtype)

    def emit_over(self, index: tuple[Any, ...], time: int, body: tuple[Any, ...]) -> None:
        """Emit ``body`` at the outermost level, in loops over the axes of ``index``."""
        for a in reversed([a for a in index if isinstance(a, Axis)]):
            body = (Loop(a, body),)
        for statement in body:
            self.emit(0, (), time, statement)

    def store(self, node: Expr) -> None:
        level, context = self.level[node], self.context[node]
        name = self.names[node, level, context[:level]]
        index = tuple([0 if a is None else self.axes[a] for a in self.region.amap[node]])
        self.emit(level, context[:level], context[level], Store(self.buffer(node), index, name))

    # ------------------------------------------------------------ values at a place
    def value(
        self,
        operand: Operand,
        level: int,
        prefix: Context,
        axes: tuple[int | None, ...],
        offset: int | None = None,
    ) -> tuple[str, int, str]:
        """(name, earliest time, dtype) of an operand as used at ``level`` inside the sweeps ``prefix``."""
        base = operand.base
        dtype = _working(base.type.dtype)
        if base in self.region.amap and base.op.name not in GENERATORS:
            name, at, own = self.inner_value(base, prefix)
            return name, at if own == level else 0, dtype
        where: list[int | None] = [None] * base.type.ndim
        shift = len(axes) - len(operand.pattern) if offset is None else offset
        for k, d in enumerate(operand.pattern):
            if d is not None:
                where[d] = axes[k + shift]
        return self.outer_value(base, tuple(where), prefix), 0, dtype

    def inner_value(self, base: Expr, prefix: Context) -> tuple[str, int, int]:
        """(name, time at its own level, own level) of a value of the region as seen inside the sweeps ``prefix``."""
        if base in self.region.repeated:
            own = self.level_for(self.region.span(base))
            key = base, own, prefix[:own]
            if key not in self.names:
                self.names[key], self.times[key] = self.compute(base, own, prefix[:own], 0)
            return self.names[key], self.times[key], own
        own, context = self.level[base], self.context[base]
        if context[:own] == prefix[:own]:
            return self.names[base, own, context[:own]], context[own], own
        key = base, own, prefix[:own]
        if key not in self.names:
            differs = next(x for x in range(own) if context[x] != prefix[x])
            in_cache = self.long is not None or self.levels[differs] and self.lane_level is None and not self.far
            in_cache = in_cache or self.lane_level is not None and base in self.waiting
            limit = REPEAT_IN_ROW if in_cache else REPEAT_IN_SWEEP
            if self.repeat_cost(base, prefix) <= limit:
                self.names[key], self.times[key] = self.compute(base, own, prefix[:own], 0)
            else:
                local = self.keep(base, differs)
                name = self.new_name()
                self.emit(own, prefix[:own], 0, Get(name, local.dtype, local.name))
                self.names[key], self.times[key] = name, 0
        return self.names[key], self.times[key], own

    def repeat_cost(self, base: Expr, prefix: Context) -> int:
        """Operations to compute ``base`` again inside other sweeps, from what is at hand there."""
        total = 0
        stack = [base]
        seen = {base}
        while stack:
            node = stack.pop()
            total += cost_of(node)
            if total > REPEAT_IN_SWEEP or node in self.region.domain:
                return 1000
            for operand in self.operands[node]:
                inner = operand.base
                if inner in seen or inner not in self.region.amap:
                    continue
                seen.add(inner)
                own = self.level.get(inner)
                if (
                    own is not None
                    and self.context[inner][:own] == prefix[:own]
                    or (inner, own, prefix[: own or 0]) in self.names
                ):
                    continue
                stack.append(inner)
        return total

    def keep(self, base: Expr, differs: int) -> Local:
        """Scratch memory that holds ``base`` over the sweeps of level ``differs``."""
        own, context = self.level[base], self.context[base]
        kept = set(self.region.span(base) - self.levels[differs])
        if self.lane_level is not None and self.inner in self.region.span(base):
            kept.add(self.inner)
        before = self.kept.get(base)
        if before is not None and len(before.axes) >= len(kept):
            return before
        first = {a: -min(k for k, level in enumerate(self.levels) if a in level) for a in kept} if self.long else {}
        axes = tuple([self.axes[a] for a in sorted(kept, key=lambda a: (a == self.inner, first.get(a, 0), a))])
        if before is not None:  # a row, for a later sweep over it, and now all rows are needed, for another nest
            local = replace(before, axes=axes)
            self.locals[self.locals.index(before)] = local
        else:
            local = Local(self.new_name("t"), _working(base.type.dtype), axes, row=self.long is not None)
            self.locals.append(local)
            self.emit(own, context[:own], context[own], Put(local.name, self.names[base, own, context[:own]]))
        self.kept[base] = local
        return local

    def outer_value(self, base: Expr, where: tuple[int | None, ...], prefix: Context) -> str:
        """The name of a value from outside the region, which is there from the start, in the sweeps ``prefix``."""
        own = self.level_for(frozenset(a for a in where if a is not None))
        key = base, where, own, prefix[:own]
        if key in self.names:
            return self.names[key]
        dtype = _working(base.type.dtype)
        if is_literal(base):
            name = self.new_name()
            self.emit(0, (), 0, Const(name, dtype, base.data.reshape(())[()]))
            key = base, where, 0, ()
            self.names[base, where, own, prefix[:own]] = name
        elif base.op.name in GENERATORS:
            name = self.new_name()
            position = tuple([self.axes[a] for a in where if a is not None])
            self.emit(own, prefix[:own], 0, Position(name, dtype, position) if position else Const(name, dtype, 0))
        elif self.sizes.is_host(base) or base.op is INPUT and base.type.ndim == 0:
            name = self.scalar(base, dtype)
        else:
            name = self.new_name()
            index = tuple([0 if a is None else self.axes[a] for a in where])
            self.emit(own, prefix[:own], 0, Load(name, dtype, self.buffer(base), index))
        self.names[key] = name
        return name

    def compute(self, node: Expr, level: int, prefix: Context, time: int) -> tuple[str, int]:
        """Emit ``node`` at this place; its name and the time at which its operands are there."""
        axes = self.region.amap[node]
        name = self.new_name()
        dtype = _working(node.type.dtype)
        if node.op.name in GENERATORS:
            position = tuple([self.axes[a] for a in axes if a is not None])
            first = not position or node.op.name == "iota" and axes[0] is None
            self.emit(level, prefix, time, Const(name, "int64", 0) if first else Position(name, "int64", position))
            return name, time
        if node.op.name == "gather":
            return self.gather(node, level, prefix, time)
        arguments = []
        for operand in self.operands[node]:
            value, at, arg_dtype = self.value(operand, level, prefix, axes)
            arguments.append((value, arg_dtype))
            time = max(time, at)
        signature, _out = node.op.signature(*node.args, **node.params)
        self.emit(
            level,
            prefix,
            time,
            Compute(
                name,
                dtype,
                node.op,
                tuple(a for a, _ in arguments),
                tuple(d for _, d in arguments),
                tuple(_working(d) for d in signature),
                tuple(sorted(node.params.items())),
            ),
        )
        return name, time

    def gather(self, node: Expr, level: int, prefix: Context, time: int) -> tuple[str, int]:
        axes = self.region.amap[node]
        rank = index_rank(node)
        source = self.operands[node][0]
        if source.base.op.name == "iota":
            return self.bounded(node, level, prefix, time)
        entries, time = entries_of(self, node, self.operands[node][1:], level, prefix, time)
        entries += [0 if a is None else self.axes[a] for a in axes[rank:]]
        index: list[Any] = [0] * source.base.type.ndim
        for entry, d in zip(entries, source.pattern, strict=True):
            if d is not None:
                index[d] = entry
        name = self.new_name()
        self.emit(level, prefix, time, Load(name, _working(node.type.dtype), self.buffer(source.base), tuple(index)))
        return name, time

    def bounded(self, node: Expr, level: int, prefix: Context, time: int) -> tuple[str, int]:
        """An index into iota: the index itself, once it is known to be one; or a place along what is not indexed."""
        source, *operands = self.operands[node]
        axes, rank = self.region.amap[node], index_rank(node)
        at = source.pattern.index(0) if 0 in source.pattern else -1
        for k in range(len(operands)):
            if k != at:  # along an axis of size 1
                time = max(time, checked_index(self, node, k, level, prefix, time)[1])
        name = self.new_name()
        if at < 0:  # there is one position, 0
            self.emit(level, prefix, time, Const(name, "int64", 0))
            return name, time
        if at < len(operands):
            shift = rank - len(operands[at].pattern)
            value, found, _ = self.value(operands[at], level, prefix, axes, offset=shift)
            time = max(time, found)
            walked = enumerate(operands[at].pattern, shift)
            self.looks_at(frozenset([a for j, d in walked if d is not None and (a := axes[j]) is not None]), level)
            self.emit(level, prefix, time, Bounded(name, "int64", value, self.bound(self.sizes.of[source.base][0])))
            return name, time
        along = axes[rank + at - len(operands)]
        place = Const(name, "int64", 0) if along is None else Position(name, "int64", (self.axes[along],))
        self.emit(level, prefix, time, place)
        return name, time

    def bound(self, size: Size) -> Axis | str:
        """What an index is checked against: an axis of that size, or a number."""
        size = self.sizes.find(size)
        same = [k for k, n in enumerate(self.region.sizes) if self.sizes.find(n) is size or self.sizes.find(n) == size]
        if isinstance(size, int) and not same:
            name = self.new_name()
            self.emit(0, (), 0, Const(name, "int64", size))
            return name
        return self.axes[same[0]] if same else self.scalar(("size", size), "int64")

    def direct_index(
        self, node: Expr, operand: Operand, k: int, axes: tuple[int | None, ...], rank: int
    ) -> Axis | None:
        """The loop axis itself where the index is iota over exactly the indexed dimension: no check is needed."""
        base = operand.base
        if base.op.name != "iota" or operand.pattern.count(0) != 1:
            return None
        size = self.sizes.find(self.sizes.of[node.args[0]][k])
        own = self.sizes.find(self.sizes.of[base][0])
        if own is not size and own != size:
            return None
        position = operand.pattern.index(0) + rank - len(operand.pattern)
        a = axes[position]
        return None if a is None else self.axes[a]

    # ------------------------------------------------------------ the tree
    def placed(self) -> Scheduler:
        """This scheduler with every node placed."""
        for node in self.order:
            if node not in self.region.repeated:
                self.place(node)
        for node in self.region.outputs:
            if node in self.region.repeated:  # cheap, but also wanted as a whole: its span is a level of its own
                raise AssertionError("a repeated value cannot be an output")
        return self


def _working(dtype: str) -> str:
    """The dtype in which a value is held in a kernel: half floats are computed in single precision."""
    return "float32" if dtype == "float16" else dtype


def schedule(
    region: Region,
    sizes: Sizes,
    operands: Mapping[Expr, tuple[Operand, ...]],
    layout_of: Callable[[Expr], str],
    turned: bool = False,
    far: bool = False,
    lend: bool = False,
) -> tuple[Kernel, Binding]:
    """The kernel of ``region`` for the given layouts of its arrays, and what its parameters stand for.

    ``turned``: with lanes over rows, for short ones, where the kernel has `rows`. ``far``: rows do not stay in cache.
    ``lend``: values that later sweeps need again may wait in the memory of results.
    """

    def scheduled(waiting: Collection[Expr]) -> Scheduler:
        return Scheduler(region, sizes, operands, layout_of, far=far, waiting=waiting).placed()

    long = with_lending(scheduled, region.amap) if lend else scheduled(())
    found = long.assembled()
    if turned and found[0].rows is not None:
        other = Scheduler(region, sizes, operands, layout_of, long).placed().assembled()
        return other if other[0].rows is not None else (replace(found[0], rows=None), found[1])
    return found
