"""Runners: what a wrapper calls for a kernel, whatever the layouts of the arrays; nothing in here plans or compiles."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fuse.codegen.native import NO_MEMORY, ArgType
from fuse.codegen.order import Order, followed, reordered, shared_order
from fuse.codegen.pool import MUCH, MUCH_WORK, OTHER
from fuse.codegen.taped import TapeRecipe
from fuse.errors import ShapeError
from fuse.frozen import dataclass

Array = Any
Layouts = tuple[str, ...]
Callback = Callable[..., int]

OK, WRONG_LAYOUT, WRONG_SIZE, OUT_OF_BOUNDS, EMPTY_REDUCTION = range(5)  # what a kernel returns; and NO_MEMORY
BY_ROWS = "rows"  # after the layouts: that for much work on tall arrays, or on long rows
THREADED = "threads"  # after the layouts: the kernel for much work, which threads share
TURNED = "turned"  # after the layouts: that for short rows, with lanes over rows
NARROW = "narrow"  # after these: that for few columns
FLAGS = (BY_ROWS, THREADED, TURNED, NARROW)
SHORT_ROWS, LONG_ROWS = 16, 17  # nothing was done: the other one of two kernels serves these sizes
NARROW_ROWS, MANY_COLUMNS = 18, 19  # so too
LITTLE_WORK = 20  # so too: the kernel that does not share its work
WAYS = 64  # shapes and strides of arrays that a runner remembers


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
    tape: TapeRecipe | None = None


def layout_of(array: Array) -> str:
    """The layout class of an array as kernels check it: "C", or "S<k>" with unit stride along dimension k, or "S-1"."""
    if array.flags.c_contiguous:
        return "C"
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
    """``array``, or a copy of it where its memory does not fall on whole elements (NumPy does not say so of none)."""
    if not array.size:
        return np.empty(array.shape, array.dtype)
    if array.flags.aligned and all(
        s % array.itemsize == 0 for s, n in zip(array.strides, array.shape, strict=True) if n > 1
    ):
        return array
    return array.copy()


class Way(NamedTuple):
    """How arrays of certain shapes and strides are given to a kernel."""

    moved: tuple[tuple[int, tuple[int, ...]], ...]  # results, and the order of dimensions that they take on
    usable: bool  # no array needs a copy
    order: tuple[int, ...] | None  # of dimensions, in which all arrays are contiguous
    layouts: Layouts


def unmade(*args: Any) -> int:
    """Stands for a kernel that was not made yet: the runner makes it."""
    return WRONG_LAYOUT


class Runner(ABC):
    """The kernels of one region by the layouts of its ``count`` arrays. Calling it runs the one that fits.

    A call returns the arrays of the results that have `orders`, which may be views of those it was given.
    """

    def __init__(self, count: int, orders: Sequence[Order] = (), alike: bool = False) -> None:
        self.count = count
        self.orders = orders
        self.alike = alike  # a kernel for C order walks arrays of any one order
        self.variants: dict[Layouts, Callback] = {}
        self.ways: dict[Any, Way] = {}
        self.recipes: dict[Layouts, Recipe] = {}
        self.install: Callable[[Callback], None] = lambda fast: None
        self.taken: Any = None  # where calls at C level find the kernel that was installed
        self.changed: Callable[[], None] = lambda: None  # told when a kernel was made

    @abstractmethod
    def make(self, layouts: Layouts) -> tuple[Callback, Recipe | None]:
        """The kernel for these layouts, and how it is made again."""

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
            self.install(kernel)
        self.variants[layouts] = kernel
        return kernel

    def __call__(self, *args: Any) -> tuple[Array, ...]:
        count = self.count
        key = tuple([(a.shape, a.strides, a.flags.aligned) for a in args[:count]])
        moved, usable, order, layouts = self.ways.get(key) or self.way(key, args)
        arrays, rest = list(args[:count]), args[count:]
        for place, perm in moved:
            arrays[place] = reordered(arrays[place], perm)
        results = tuple([arrays[place] for place, _ in self.orders])
        if not usable:
            arrays = [_usable(a) for a in arrays]
        if order is not None:
            arrays = [a.transpose(order) for a in arrays]
        flags = [TURNED] if self.prefers_turned(layouts, args) else []
        plain, big = (*layouts, *flags) in self.variants, sum(a.nbytes for a in arrays) >= MUCH_WORK
        if (*layouts, THREADED, *flags) in self.variants and (big or not plain):
            flags.insert(0, THREADED)
        elif big or not plain:
            flags = self.expected(flags, layouts, arrays, args)
        tried: set[Layouts] = set()
        while (form := (*layouts, *flags)) not in tried:
            tried.add(form)
            status = self.compiled(form)(*arrays, *rest)
            if status == MUCH and not {THREADED, BY_ROWS}.intersection(flags):
                flags.insert(0, THREADED)
            elif status == LITTLE_WORK and {THREADED, BY_ROWS}.intersection(flags):
                flags = [x for x in flags if x not in (THREADED, BY_ROWS)]
            elif status == OTHER and BY_ROWS not in flags:
                flags = [BY_ROWS]
            elif status == NARROW_ROWS and NARROW not in flags:
                flags.append(NARROW)
            elif status == MANY_COLUMNS and NARROW in flags:
                flags.remove(NARROW)
            elif status == SHORT_ROWS and TURNED not in flags:
                flags.append(TURNED)
            elif status == LONG_ROWS and TURNED in flags:
                flags.remove(TURNED)
            else:
                break
        if status:
            self.fail(status, arrays)
        if form in self.recipes:
            self.install(self.variants[form])  # calls of one function are mostly alike
        return results

    def way(self, key: Any, args: Sequence[Any]) -> Way:
        """How arrays like these are given to a kernel."""
        found = [(order[0], followed(args, order)) for order in self.orders]
        moved = tuple([(place, perm) for place, perm in found if perm is not None])
        arrays = list(args[: self.count])
        for place, perm in moved:
            arrays[place] = reordered(arrays[place], perm)
        taken = [_usable(a) for a in arrays]
        usable, layouts = all(map(operator.is_, taken, arrays)), tuple(map(layout_of, taken))
        turns = self.alike and usable and "C" not in layouts
        common = shared_order(taken) if turns else None
        if len(self.ways) >= WAYS:
            self.ways.clear()
        way = self.ways[key] = Way(moved, usable, common, layouts if common is None else ("C",) * self.count)
        return way

    def prefers_turned(self, layouts: Layouts, args: Sequence[Any]) -> bool:
        """Whether the kernel for short rows is the one to try first."""
        known = list(self.variants)  # at once: other threads may be making some
        forms = [form[self.count :] for form in known if form[: self.count] == layouts]
        return bool(forms) and all(TURNED in flags for flags in forms)

    def expected(self, flags: list[str], layouts: Layouts, arrays: Sequence[Array], args: Sequence[Any]) -> list[str]:
        """The flags of the kernel that is to be made for a call, so that none is made that would refuse it."""
        return [THREADED, *flags] if sum(a.nbytes for a in arrays) >= MUCH_WORK else flags

    def fail(self, status: int, arrays: list[Array]) -> None:
        if status in (WRONG_LAYOUT, OUT_OF_BOUNDS, WRONG_SIZE, EMPTY_REDUCTION, MUCH, OTHER, LITTLE_WORK):
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
