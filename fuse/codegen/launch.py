"""Launching: one fused region with the compiled kernels for the array layouts it has met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fuse.codegen import emit_cpu
from fuse.codegen.collapse import collapse
from fuse.codegen.emit_cpu import Source
from fuse.codegen.kernel import Combine, Kernel, Local, check
from fuse.codegen.load import Kernel as BlockOperation
from fuse.codegen.load import compile_kernel, key_of
from fuse.codegen.nest import Binding
from fuse.codegen.parallel import split
from fuse.codegen.region import Operand, Region
from fuse.codegen.runner import THREADED, Callback, Layouts, Recipe, Runner, rearranged
from fuse.codegen.schedule import schedule
from fuse.codegen.sizes import Sizes
from fuse.codegen.tape import Step, bodies, is_long, with_tape
from fuse.expr import Expr

Array = Any


class Launcher(Runner):
    """The kernels of one region, scheduled and compiled when arrays of their layouts come."""

    def __init__(self, region: Region, sizes: Sizes, operands: Mapping[Expr, tuple[Operand, ...]]) -> None:
        self.region, self.sizes, self.operands = region, sizes, operands
        kernel, binding = self.scheduled({})
        self.bases: tuple[Expr, ...] = tuple([b for b in binding.buffers if not isinstance(b, Local)])
        self.scalars = binding.scalars
        self.default = kernel
        self.is_tape = emit_cpu.has_tape(kernel)
        self.sources: dict[Layouts, Source] = {}
        super().__init__(len(self.bases))

    def scheduled(self, layouts: Mapping[Expr, str]) -> tuple[Kernel, Binding]:
        kernel, binding = schedule(self.region, self.sizes, self.operands, lambda base: layouts.get(base, "C"))
        kernel = check(collapse(kernel))
        if any(map(is_long, bodies(kernel))):
            return kernel, binding  # a tape has one table
        return check(split(kernel)), binding

    def source(self, layouts: Layouts | None = None) -> Source:
        """The generated source for the given layouts (contiguous ones where none are given)."""
        layouts = layouts or ("C",) * len(self.bases)
        if layouts not in self.sources:
            kernel, _ = self.scheduled(dict(zip(self.bases, layouts, strict=False)))
            self.sources[layouts] = emit_cpu.emit(kernel, THREADED in layouts)
        return self.sources[layouts]

    def make(self, layouts: Layouts) -> tuple[Callback, Recipe | None]:
        plain = ("C",) * len(self.bases)
        if self.is_tape and layouts != plain:
            return rearranged(self.compiled(plain), plain, self.source().argtypes), None
        kernel, binding = self.scheduled(dict(zip(self.bases, layouts, strict=False)))
        source = self.sources[layouts] = emit_cpu.emit(kernel, THREADED in layouts)
        passed = {b.name for b in kernel.buffers}  # a thread allocates what it has for itself
        found = compile_kernel(source.text, source.entry, source.argtypes, source.helpers)
        key = key_of(found)
        if source.tape is not None:
            key, found = "", with_tape(found, source.tape, [self.block(step) for step in source.tape.steps])
        scratch = tuple([
            (b.dtype, tuple([self.size_source(int(x.name[1:])) for x in b.axes]))
            for b in binding.buffers
            if isinstance(b, Local) and b.name in passed
        ])
        direct = all(x in ("C", THREADED) for x in layouts) and binding.scalars == self.scalars
        return found, Recipe(key, source.text, source.entry, source.argtypes, scratch, direct)

    def block(self, step: Step) -> BlockOperation:
        """The compiled block operation."""
        if isinstance(step.compute, Combine):
            return compile_kernel(step.sum_text(), "kernel", step.sum_types(), block=True)  # type: ignore
        source = emit_cpu.emit(step.kernel())
        return compile_kernel(source.text, source.entry, source.argtypes, source.helpers, block=True)  # type: ignore

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
