"""Launching: one fused region with the compiled kernels for the array layouts it has met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from fuse.codegen import emit_cpu, emit_parts
from fuse.codegen.byrows import by_rows, tall_axes
from fuse.codegen.collapse import collapse
from fuse.codegen.emit_cpu import Source
from fuse.codegen.flatrows import is_narrow, narrow_axes
from fuse.codegen.kernel import Accesses, Axis, Combine, Kernel, Local, Loop, accesses
from fuse.codegen.lanes import MANY_ROWS
from fuse.codegen.load import Kernel as BlockOperation
from fuse.codegen.load import compile_kernel, key_of
from fuse.codegen.longrows import in_pieces, may_be_long
from fuse.codegen.multiply_add import has_multiply_add
from fuse.codegen.nest import Binding
from fuse.codegen.onesweep import one_sweep
from fuse.codegen.order import walks_alike
from fuse.codegen.parallel import is_much, split
from fuse.codegen.region import Operand, Region
from fuse.codegen.rowblocks import in_row_blocks
from fuse.codegen.rowgroups import in_row_groups
from fuse.codegen.runner import BY_ROWS, NARROW, THREADED, TURNED, Callback, Layouts, Recipe, Runner, rearranged
from fuse.codegen.schedule import schedule
from fuse.codegen.sizes import Sizes
from fuse.codegen.staging import staged
from fuse.codegen.tape import Step, bodies, is_long
from fuse.codegen.taped import recipe_of, with_tape
from fuse.codegen.wellformed import check
from fuse.expr import Expr
from fuse.forks import cached_property

Array = Any


def alike(one: Binding, other: Binding) -> bool:
    """Whether two kernels are called with the same arrays and numbers, but for scratch memory."""
    arrays = [[x for x in binding.buffers if not isinstance(x, Local)] for binding in (one, other)]
    return arrays[0] == arrays[1] and one.scalars == other.scalars


class Launcher(Runner):
    """The kernels of one region, scheduled and compiled when arrays of their layouts come."""

    def __init__(
        self, region: Region, sizes: Sizes, operands: Mapping[Expr, tuple[Operand, ...]], exact: bool = False
    ) -> None:
        self.region, self.sizes, self.operands = region, sizes, operands
        self.exact = exact  # sums are of what the formula says, rounded as it says
        self.bases: tuple[Expr, ...] = ()
        kernel, binding = self.scheduled(())
        self.bases = tuple([b for b in binding.buffers if not isinstance(b, Local)])
        self.scalars = binding.scalars
        self.default = kernel
        self.longs: dict[Layouts, tuple[Axis, int, bool] | None] = {}
        self.is_tape = emit_cpu.has_tape(kernel)
        self.sources: dict[Layouts, Source] = {}
        super().__init__(len(self.bases), alike=walks_alike(kernel))

    @cached_property
    def accesses(self) -> Accesses:
        """Where the kernel for contiguous arrays loads and stores."""
        return accesses(self.default)

    @cached_property
    def reduces_to_numbers(self) -> bool:
        """Whether the region reduces nothing but to single numbers."""
        reduced = [self.region.amap.get(node) for node in self.region.domain]
        return not self.region.across and all(axes is not None and axes == (None,) * len(axes) for axes in reduced)

    def scheduled(self, layouts: Layouts) -> tuple[Kernel, Binding]:
        """The kernel for the given layouts and flags, and what its parameters stand for."""
        known: Mapping[Expr, str] = dict(zip(self.bases, layouts, strict=False))
        turned, tall = TURNED in layouts, BY_ROWS in layouts

        def layout_of(base: Expr) -> str:
            return known.get(base, "C")

        kernel, binding = schedule(self.region, self.sizes, self.operands, layout_of, turned, lend=not tall)
        kernel = check(collapse(kernel))
        if any(map(is_long, bodies(kernel))):
            kernel, binding = schedule(self.region, self.sizes, self.operands, layout_of, turned)
            return split(replace(check(collapse(kernel)), rows=None)), binding
        kernel = staged(replace(kernel, tall=None if kernel.turned else tall_axes(kernel)))
        if tall and kernel.tall is not None:
            apart = by_rows(kernel)
            merged = apart if self.exact else one_sweep(apart)
            kernel = apart if any(map(is_long, bodies(merged))) else merged
            kernel = replace(kernel, plain=self.scheduled(layouts[: len(self.bases)])[0])
        elif (tall or THREADED in layouts) and not (turned or self.exact) and may_be_long(kernel):
            far, other = self.for_long_rows(layout_of)
            if far.long is not None and alike(other, binding):
                if tall:
                    return replace(far, plain=self.scheduled(layouts[: len(self.bases)])[0]), other
                kernel = replace(kernel, long=(*far.long[:2], False))
        kernel = split(kernel)
        narrow = narrow_axes(kernel)
        if narrow is not None:
            kernel = replace(kernel, narrow=(*narrow, NARROW in layouts))
            if NARROW in layouts:
                return check(kernel), binding
        return check(in_row_groups(in_row_blocks(kernel))), binding

    def for_long_rows(self, layout_of: Callable[[Expr], str]) -> tuple[Kernel, Binding]:
        """The kernel for rows that do not stay in cache, which has `long` where that is another one."""
        kernel, binding = schedule(self.region, self.sizes, self.operands, layout_of, far=True)
        found = split(in_pieces(check(staged(collapse(kernel)))))
        shared = any(isinstance(s, Loop) and s.split is not None for s in found.body)
        if not shared or any(map(is_long, bodies(found))):
            found = replace(found, long=None)
        return check(found), binding

    def emitted(self, kernel: Kernel, layouts: Layouts) -> Source:
        fused = not self.exact and has_multiply_add()
        return emit_cpu.emit(kernel, THREADED in layouts or BY_ROWS in layouts, fused)

    def source(self, layouts: Layouts | None = None) -> Source:
        """The generated source for the given layouts (contiguous ones where none are given)."""
        layouts = layouts or ("C",) * len(self.bases)
        if layouts not in self.sources:
            kernel, _ = self.scheduled(layouts)
            self.sources[layouts] = self.emitted(kernel, layouts)
        return self.sources[layouts]

    def make(self, layouts: Layouts) -> tuple[Callback, Recipe | None]:
        plain = ("C",) * len(self.bases)
        if self.is_tape and layouts not in (plain, (*plain, THREADED)):
            form = (*plain, THREADED) if THREADED in layouts else plain
            return rearranged(self.compiled(form), plain, self.source(form).argtypes), None
        kernel, binding = self.scheduled(layouts)
        arrays = tuple([b for b in binding.buffers if not isinstance(b, Local)])
        if (arrays, binding.scalars) != (self.bases, self.scalars):  # an index may be checked elsewhere
            return rearranged(self.compiled(plain), plain, self.source().argtypes), None
        source = self.sources[layouts] = self.emitted(kernel, layouts)
        found = compile_kernel(source.text, source.entry, source.argtypes, source.helpers)
        key = key_of(found)
        tape = None
        if source.tape is not None:
            operations = [self.block(step) for step in source.tape.steps]
            tape = recipe_of(source.tape, operations)
            key = key if all(step[0] for step in tape.steps) else ""
            found = with_tape(found, source.tape, operations)
        made = {x.name: [p for a in x.axes for p in a.parts or (a,)] for x in binding.buffers if isinstance(x, Local)}
        scratch = tuple([
            (b.dtype, tuple([self.size_source(int(p.name[1:])) for p in made[b.name]]))
            for b in kernel.buffers
            if b.scratch and not b.lent  # what a thread has for itself it allocates
        ])
        return found, Recipe(key, source.text, source.entry, source.argtypes, scratch, tape)

    def block(self, step: Step) -> BlockOperation:
        """The compiled block operation."""
        if isinstance(step.compute, Combine):
            return compile_kernel(step.sum_text(), "kernel", step.sum_types(), block=True)  # type: ignore
        source = emit_cpu.emit(step.kernel())
        return compile_kernel(source.text, source.entry, source.argtypes, source.helpers, block=True)  # type: ignore

    def prefers_turned(self, layouts: Layouts, args: Sequence[Any]) -> bool:
        if self.default.rows is None:
            return False
        across, along = [prod(self.size(int(p.name[1:]), args) for p in a.parts or (a,)) for a in self.default.rows]
        return along <= self.default.short and across >= MANY_ROWS

    def expected(self, flags: list[str], layouts: Layouts, arrays: Sequence[Array], args: Sequence[Any]) -> list[str]:
        def size(axis: Axis) -> int:
            return prod(self.size(int(p.name[1:]), args) for p in axis.parts or (axis,))

        found = [THREADED, *flags]
        kernel = self.default
        if not is_much(self.default, size):
            found = super().expected(flags, layouts, arrays, args)
        elif not flags:
            tall, long = self.default.tall, self.long_rows(layouts)
            if long is not None and size(long[0]) * long[1] >= emit_parts.LONG_ROW:
                return [BY_ROWS]
            if tall is not None and set(layouts) == {"C"} and emit_parts.is_tall(*tall, size):
                found = [BY_ROWS]
                kernel = self.scheduled((*layouts, BY_ROWS))[0]
        narrow = kernel.narrow
        if narrow is not None and set(layouts) == {"C"} and is_narrow(kernel, size(narrow[0]), size(narrow[1])):
            found.append(NARROW)
        return found

    def long_rows(self, layouts: Layouts) -> tuple[Axis, int, bool] | None:
        """What tells rows for which there is another kernel, with arrays of these layouts."""
        if layouts not in self.longs:
            long = may_be_long(self.default) and not self.exact and not self.is_tape
            self.longs[layouts] = self.scheduled((*layouts, THREADED))[0].long if long else None
        return self.longs[layouts]

    def size(self, axis: int, args: Sequence[Any]) -> int:
        """The size of an axis in a call."""
        k, d = self.size_source(axis)
        return k if d is None else int(args[k]) if d < 0 else int(args[k].shape[d])

    def size_source(self, axis: int) -> tuple[int, int | None]:
        """Where the size of an axis is found: (size, None), (argument, dimension), or (argument, -1) for a number."""
        size = self.region.sizes[axis]
        if isinstance(size, int):
            return size, None
        for k, base in enumerate(self.bases):
            where = self.region.amap.get(base) or self.region.loads.get(base, ())
            for d, a in enumerate(where):
                if a == axis and self.sizes.find(self.sizes.of[base][d]) is self.sizes.find(size):
                    return k, d
        return len(self.bases) + self.scalars.index(("size", size)), -1
