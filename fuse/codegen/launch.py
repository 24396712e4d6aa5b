"""Launching: one fused region with the compiled kernels for the array layouts it has met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fuse.codegen import emit_cpu
from fuse.codegen.collapse import collapse
from fuse.codegen.emit_cpu import Source
from fuse.codegen.kernel import Kernel, Local, check
from fuse.codegen.load import compile_kernel
from fuse.codegen.nest import Binding
from fuse.codegen.region import Operand, Region
from fuse.codegen.schedule import schedule
from fuse.codegen.sizes import Sizes
from fuse.errors import ShapeError
from fuse.expr import Expr

Array = Any
Layouts = tuple[str, ...]


class SizeMismatch(Exception):
    """A kernel met sizes that its plan did not expect."""


def layout_of(array: Array) -> str:
    """The layout class of an array as kernels check it: "C", or "S<k>" with unit stride along dimension k, or "S-1"."""
    itemsize = array.itemsize
    expected = itemsize
    contiguous = True
    for n, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if n > 1 and stride != expected:
            contiguous = False
        expected *= n
    if contiguous:
        return "C"
    for d in range(array.ndim - 1, -1, -1):
        if array.shape[d] > 1 and array.strides[d] == itemsize:
            return f"S{d}"
    return "S-1"


def _usable(array: Array) -> Array:
    """``array``, or a copy of it where its memory does not fall on whole elements."""
    if array.flags.aligned and all(
        s % array.itemsize == 0 for s, n in zip(array.strides, array.shape, strict=True) if n > 1
    ):
        return array
    return array.copy()


class Launcher:
    """The kernels of one region. Calling it runs the one for the layouts of the given arrays."""

    def __init__(self, region: Region, sizes: Sizes, operands: Mapping[Expr, tuple[Operand, ...]]) -> None:
        self.region, self.sizes, self.operands = region, sizes, operands
        kernel, binding = self.scheduled({})
        self.bases: tuple[Expr, ...] = tuple([b for b in binding.buffers if not isinstance(b, Local)])
        self.scalars = binding.scalars
        self.default = kernel
        self.variants: dict[Layouts, Callable[..., int]] = {}
        self.sources: dict[Layouts, Source] = {}
        self.install: Callable[[Callable[..., int]], None] = lambda fast: None

    def scheduled(self, layouts: Mapping[Expr, str]) -> tuple[Kernel, Binding]:
        kernel, binding = schedule(self.region, self.sizes, self.operands, lambda base: layouts.get(base, "C"))
        return check(collapse(kernel)), binding

    def source(self, layouts: Layouts | None = None) -> Source:
        """The generated source for the given layouts (contiguous ones where none are given)."""
        layouts = layouts or ("C",) * len(self.bases)
        if layouts not in self.sources:
            kernel, _ = self.scheduled(dict(zip(self.bases, layouts, strict=True)))
            self.sources[layouts] = emit_cpu.emit(kernel)
        return self.sources[layouts]

    def compiled(self, layouts: Layouts) -> Callable[..., int]:
        found = self.variants.get(layouts)
        if found is None:
            kernel, binding = self.scheduled(dict(zip(self.bases, layouts, strict=True)))
            source = self.sources[layouts] = emit_cpu.emit(kernel)
            found = compile_kernel(source.text, source.entry, source.argtypes, source.helpers)
            scratch = [b for b in binding.buffers if isinstance(b, Local)]
            if scratch:
                found = self.with_scratch(found, scratch)
            if all(x == "C" for x in layouts) and binding.scalars == self.scalars:
                self.install(found)
            self.variants[layouts] = found
        return found

    def with_scratch(self, kernel: Callable[..., int], scratch: list[Local]) -> Callable[..., int]:
        """``kernel`` called with fresh scratch arrays between its arrays and its numbers."""
        count = len(self.bases)
        sources = [[self.size_source(int(x.name[1:])) for x in s.axes] for s in scratch]
        dtypes = [np.dtype(s.dtype) for s in scratch]
        empty = np.empty

        def call(*args: Any) -> int:
            extra = [
                empty([k if d is None else args[k] if d < 0 else args[k].shape[d] for k, d in source], dtype)
                for source, dtype in zip(sources, dtypes, strict=True)
            ]
            return kernel(*args[:count], *extra, *args[count:])

        return call

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

    def __call__(self, *args: Any) -> int:
        count = len(self.bases)
        arrays = [_usable(a) for a in args[:count]]
        status = self.compiled(tuple(map(layout_of, arrays)))(*arrays, *args[count:])
        if status:
            self.fail(status, arrays)
        return 0

    def fail(self, status: int, arrays: list[Array]) -> None:
        if status in (emit_cpu.OUT_OF_BOUNDS, emit_cpu.WRONG_SIZE, emit_cpu.EMPTY_REDUCTION):
            # The interpreter knows which index of which line it was; and a maximum of nothing may be part of something
            # that has a value (logsumexp).
            raise SizeMismatch
        raise ShapeError(f"a kernel refused its arguments (status {status}, shapes {[a.shape for a in arrays]})")
