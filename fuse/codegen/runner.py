"""Runners: what a wrapper calls for a kernel, whatever the layouts of the arrays; nothing in here plans or compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuse.codegen.native import NO_MEMORY, ArgType
from fuse.codegen.pool import MUCH, MUCH_WORK, OTHER
from fuse.codegen.taped import TapeRecipe
from fuse.errors import ShapeError

Array = Any
Layouts = tuple[str, ...]
Callback = Callable[..., int]

OK, WRONG_LAYOUT, WRONG_SIZE, OUT_OF_BOUNDS, EMPTY_REDUCTION = range(5)  # what a kernel returns; and NO_MEMORY
BY_ROWS = "rows"  # after the layouts: that for much work on tall arrays
THREADED = "threads"  # after the layouts: the kernel for much work, which threads share
TURNED = "turned"  # after the layouts: that for short rows, with lanes over rows
FLAGS = (BY_ROWS, THREADED, TURNED)
SHORT_ROWS, LONG_ROWS = 16, 17  # nothing was done: the other one of two kernels serves these sizes


class SizeMismatch(Exception):
    """A kernel met sizes that its plan did not expect."""


@dataclass(frozen=True)
class Recipe:
    """What makes one compiled kernel callable again in another process: plain data."""

    key: str  # of the kernel in the loader
    text: str
    entry: str
    argtypes: tuple[ArgType, ...]
    # dtype and sizes of each scratch array: (size, None), (argument, dimension), or (argument, -1) for a number
    scratch: tuple[tuple[str, tuple[tuple[int, int | None], ...]], ...]
    direct: bool  # may stand in the wrapper itself: takes the wrapper's arguments as they are
    tape: TapeRecipe | None = None


def layout_of(array: Array) -> str:
    """The layout class of an array as kernels check it: "C", or "S<k>" with unit stride along dimension k, or "S-1"."""
    itemsize = array.itemsize
    expected = itemsize
    contiguous = True
    for n, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if n > 1 and stride != expected:
            contiguous = False
        expected *= n
    if contiguous or not expected:
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


class Runner:
    """The kernels of one region by the layouts of its ``count`` arrays. Calling it runs the one that fits."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.variants: dict[Layouts, Callback] = {}
        self.recipes: dict[Layouts, Recipe] = {}
        self.install: Callable[[Callback], None] = lambda fast: None
        self.changed: Callable[[], None] = lambda: None  # told when a kernel was made

    def make(self, layouts: Layouts) -> tuple[Callback, Recipe | None]:
        """The kernel for these layouts, and how it is made again."""
        raise NotImplementedError

    def compiled(self, layouts: Layouts) -> Callback:
        found = self.variants.get(layouts)
        if found is None:
            kernel, recipe = self.make(layouts)
            found = self.ready(layouts, kernel, recipe)
            self.changed()
        return found

    def ready(self, layouts: Layouts, kernel: Callback, recipe: Recipe | None) -> Callback:
        """Take in a compiled kernel: the callable for arrays of these layouts."""
        if recipe is not None:
            kernel = with_scratch(kernel, self.count, recipe) if recipe.scratch else kernel
            self.recipes[layouts] = recipe
            if recipe.direct:
                self.install(kernel)
        self.variants[layouts] = kernel
        return kernel

    def __call__(self, *args: Any) -> int:
        count = self.count
        arrays = [_usable(a) for a in args[:count]]
        layouts, rest = tuple(map(layout_of, arrays)), args[count:]
        flags = [TURNED] if self.prefers_turned(layouts, args) else []
        if (*layouts, THREADED, *flags) in self.variants or sum(a.nbytes for a in arrays) >= MUCH_WORK:
            flags.insert(0, THREADED)
        while True:
            status = self.compiled((*layouts, *flags))(*arrays, *rest)
            if status == MUCH and not {THREADED, BY_ROWS}.intersection(flags):
                flags.insert(0, THREADED)
            elif status == OTHER and BY_ROWS not in flags:
                flags = [BY_ROWS]
            elif status == SHORT_ROWS and TURNED not in flags:
                flags.append(TURNED)
            elif status == LONG_ROWS and TURNED in flags:
                flags.remove(TURNED)
            else:
                break
        if status:
            self.fail(status, arrays)
        form = (*layouts, *flags)
        if form in self.recipes and self.recipes[form].direct:
            self.install(self.variants[form])  # calls of one function are mostly alike
        return 0

    def prefers_turned(self, layouts: Layouts, args: Sequence[Any]) -> bool:
        """Whether the kernel for short rows is the one to try first."""
        forms = [form[self.count :] for form in self.variants if form[: self.count] == layouts]
        return bool(forms) and all(TURNED in flags for flags in forms)

    def fail(self, status: int, arrays: list[Array]) -> None:
        if status in (OUT_OF_BOUNDS, WRONG_SIZE, EMPTY_REDUCTION, MUCH, OTHER):
            # The interpreter knows which index of which line it was; and a maximum of nothing may be part of something
            # that has a value (logsumexp).
            raise SizeMismatch
        if status == NO_MEMORY:
            raise MemoryError("no memory for the scratch arrays of a kernel")
        raise ShapeError(f"a kernel refused its arguments (status {status}, shapes {[a.shape for a in arrays]})")


def with_scratch(kernel: Callback, count: int, recipe: Recipe) -> Callback:
    """``kernel`` called with fresh scratch arrays between its arrays and its numbers."""
    sources = [source for _, source in recipe.scratch]
    dtypes = [np.dtype(dtype) for dtype, _ in recipe.scratch]
    empty = np.empty

    def call(*args: Any) -> int:
        extra = [
            empty([k if d is None else args[k] if d < 0 else args[k].shape[d] for k, d in source], dtype)
            for source, dtype in zip(sources, dtypes, strict=True)
        ]
        return kernel(*args[:count], *extra, *args[count:])

    return call


def rearranged(kernel: Callback, layouts: Layouts, argtypes: Sequence[ArgType]) -> Callback:
    """``kernel`` of these layouts for arrays of any."""

    def call(*args: Any) -> int:
        count = len([x for x in layouts if x not in FLAGS])
        taken = [_as_layout(array, layout) for array, layout in zip(args, layouts[:count], strict=False)]
        status = kernel(*taken, *args[count:])
        for array, new, argtype in zip(args, taken, argtypes, strict=False):
            if argtype.writable and new is not array:
                array[...] = new
        return status

    return call


def _as_layout(array: Array, layout: str) -> Array:
    if layout in ("S-1", layout_of(array)):
        return array
    unit = array.ndim - 1 if layout == "C" else int(layout[1:])
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, unit, -1)), -1, unit)
