"""Running a loop as one kernel on a GPU: its memory, the threads for the sizes of a call, and where its results are."""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.codegen import device
from fuse.codegen.cuda_array import DeviceArray, empty, to_device
from fuse.codegen.cuda_launch import copy_into
from fuse.codegen.cuda_loop_text import LoopText, loop_text
from fuse.codegen.expand import expand
from fuse.codegen.loop_emit import NotCompiled
from fuse.frontend.loops import Body
from fuse.looping.peeling import Peeled, peeled

MOST_WORK = 1 << 18  # multiplications of a step that a block does: more of them are worth launches of all blocks
MOST_BYTES = 64 << 20  # of what is kept of the steps of a loop that may end before they are done
MOST_ARGUMENTS = 4096  # bytes that a launch takes, an array being 56 more of them than a number
Along = tuple[int | None, ...]


class Unsuited(Exception):
    """A call whose sizes this kernel does not serve: the loop then runs step by step."""


class DeviceLoop:
    """The loop of a body as one launch: called with the number of steps and device arrays, and gives its results.

    Raises NotCompiled where the body has no such form.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        found = peeled(body, expand(list(body.outputs)))
        if found is None:
            inputs = tuple([(None,) * x.type.ndim for x in body.inputs])
            results = tuple([(None,) * x.type.ndim for x in body.outputs[: len(body.states) + len(body.ys)]])
            found = Peeled(body, 0, inputs, results)
        self.peeled: Peeled = found
        self.text: LoopText = loop_text(found.body, found.axes)
        if 56 * sum(self.arrays) + 8 * len(self.arrays) > MOST_ARGUMENTS:
            raise NotCompiled("too many arrays for one launch")
        scope: dict[str, Any] = {}
        exec(compile(self.text.measure, "<fuse loop>", "exec"), {}, scope)
        self.measure: Callable[[Any], tuple[int, ...] | None] = scope["measure"]
        self.kernel: Any = None

    @property
    def described(self) -> str:
        """How threads share it, in words."""
        each = "for each element" if self.peeled.axes else "for all of it"
        return f"one launch for all steps, {'a thread' if self.text.alone else 'a block'} {each}"

    # ------------------------------------------------------------ what is compiled
    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of all arguments."""
        found = ["int64"] * (3 + self.peeled.axes + self.text.sizes)
        for what, dtype in zip(self.text.arguments, self.text.dtypes, strict=True):
            found += ([dtype] + ["int64"] * (2 + self.peeled.axes)) * (1 + (what[0] == "state"))
        return tuple(found)

    @property
    def arrays(self) -> tuple[bool, ...]:
        """Of all arguments: whether each is an array."""
        found = [True] + [False] * (2 + self.peeled.axes + self.text.sizes)
        for what in self.text.arguments:
            found += ([True] + [False] * (2 + self.peeled.axes)) * (1 + (what[0] == "state"))
        return tuple(found)

    def compiled(self, on: device.Device) -> Any:
        return on.compile(self.text.text, "loop", self.text.helpers, self.dtypes, self.arrays)

    # ------------------------------------------------------------ a call
    def sizes(self, given: Sequence[DeviceArray]) -> list[int]:
        """The sizes of the elements' axes, which are the same wherever they are."""
        found: dict[int, int] = {}
        for k, (array, along) in enumerate(zip(given, self.peeled.inputs, strict=True)):
            shape = array.shape[1:] if k < len(self.body.sequences) else array.shape
            for n, axis in zip(shape, along, strict=True):
                if axis is not None and found.setdefault(axis, n) != n:
                    raise Unsuited
        return [found[d] for d in range(self.peeled.axes)]

    def threads(self, on: device.Device, total: int, sizes: Sequence[int]) -> tuple[int, int]:
        """(blocks, threads of a block)."""
        def number(n: Any) -> int:
            return sizes[n[1]] if isinstance(n, tuple) else n

        work = [math.prod(map(number, each)) for each in self.text.work]
        if self.text.alone:
            threads = min(_power(-(-total // on.multiprocessors), 32), on.block)
            return -(-total // threads), threads
        if max(work, default=0) > MOST_WORK or sum(work) * total > MOST_WORK * on.multiprocessors:
            raise Unsuited
        widest = max([math.prod([number(n) for n in a[2]]) for a in self.text.arguments if a[0] in ("scratch", "kept")],
                     default=1)
        return total, min(_power(max(widest, *[number(n) for each in self.text.work for n in each], 1), 32), on.block)

    def __call__(
        self, count: int, given: Sequence[DeviceArray], status: DeviceArray | None
    ) -> tuple[DeviceArray, ...]:
        """The results; ``status`` is for the caller to read, where the kernel ``checks``.

        Raises Unsuited before anything is computed.
        """
        on, text = device.current(), self.text
        along = self.sizes(given)
        total = math.prod(along)
        if not total:  # no element to ask for its sizes
            raise Unsuited
        own = [_element(x, [*[None] * (k < len(self.body.sequences)), *axes]) for k, (x, axes) in enumerate(
            zip(given, self.peeled.inputs, strict=True))]
        sizes = self.measure(own)
        if sizes is None:
            raise Unsuited
        blocks, threads = self.threads(on, total, sizes)
        if self.kernel is None:  # how arguments are handed on is known once something was compiled
            start = time.perf_counter()
            self.kernel = self.compiled(on)
            on.compiling += time.perf_counter() - start
        call = _Call(self, count, given, along, sizes, threads)
        for what, dtype in zip(text.arguments, text.dtypes, strict=True):
            call.argument(what, dtype)
        status = empty((), "int64") if status is None else status  # which nobody reads
        numbers = [on.number(n, "int64") for n in (count, total, *along, *sizes)]
        on.launch(self.kernel, (blocks, 1), threads, [on.argument(*status.place), *numbers, *call.values])
        done = int(call.made[text.results[-1][0]]) if text.ends else count
        there = [*self.peeled.results, *[()] * text.ends]
        return tuple([call.result(at, how, axes, done) for (at, how), axes in zip(text.results, there, strict=True)])


class _Call:
    """The arguments of one launch (``values``), and the arrays that they belong to (``made``)."""

    def __init__(
        self, loop: DeviceLoop, count: int, given: Sequence[DeviceArray], along: Sequence[int], sizes: Sequence[int],
        threads: int,
    ) -> None:
        self.peeled, self.ends = loop.peeled, loop.text.ends
        self.count, self.given, self.along, self.sizes, self.slots = count, given, along, sizes, threads
        self.first_state = len(loop.body.sequences)
        self.first_fixed = self.first_state + len(loop.body.states)
        self.states = loop.peeled.inputs[self.first_state : self.first_fixed]
        self.whole = tuple(range(self.peeled.axes))
        self.values: list[Any] = []
        self.made: list[DeviceArray] = []

    def argument(self, what: tuple[Any, ...], dtype: str) -> None:
        """Find or make the array that an argument stands for, by what `LoopText` says of it."""
        match what[0]:
            case "sequence":
                self.input(what[1], lead=True, turn=False)
            case "fixed" | "turned":
                self.input(self.first_fixed + what[1], lead=False, turn=what[0] == "turned")
            case "state":  # a number of each element: read from one array, left in another one
                start, there = self.given[self.first_state + what[1]], self.states[what[1]]
                present = _present(there)
                self.take(start, False, there)
                self.take(empty([self.along[d] for d in present], dtype), False, present, keep=True)
            case "halves" | "rows" | "array":
                start, there = self.given[self.first_state + what[1]], self.states[what[1]]
                inner = [n for n, d in zip(start.shape, there, strict=True) if d is None]
                rows = {"halves": (2,), "rows": (self.count + 1,), "array": ()}[what[0]]
                self.check_room(self.count + 1, self.along, inner, dtype)
                array = empty((*rows, *self.along, *inner), dtype)
                copy_into(array[0] if rows else array, _spread(start, there, self.along))
                self.take(array, bool(rows), self.whole, keep=True)
            case "kept":
                present = _present(self.peeled.results[self.first_fixed - self.first_state + what[1]])
                outer, inner = [self.along[d] for d in present], self.shape(what[-1])
                self.check_room(self.count, outer, inner, dtype)
                self.take(empty((self.count, *outer, *inner), dtype), True, present, keep=True)
            case "done":
                self.take(to_device(np.zeros((), np.int64)), False, (), keep=True)
            case "scratch" | "slots":
                inner = [*[self.slots] * (what[0] == "slots"), *self.shape(what[2])]
                self.take(empty((*self.along, math.prod(inner)), dtype), False, self.whole, keep=True)
            case _:
                raise AssertionError(f"no memory for {what}")

    def input(self, number: int, lead: bool, turn: bool) -> None:
        array, there = _inner_last(self.given[number], lead, self.peeled.inputs[number], turn)
        self.take(array, lead, there, keep=True)

    def take(self, array: DeviceArray, lead: bool, there: Sequence[int | None], keep: bool = False) -> None:
        """The arguments for an array whose dimensions behind that of the steps are along these axes."""
        at = {axis: d + lead for d, axis in enumerate(there) if axis is not None}
        strides = [array.steps[at[d]] if d in at else 0 for d in self.whole]
        start = 0 if array.is_contiguous else array.start
        on = array.memory.on
        numbers = start, *strides, array.steps[0] if lead else 0
        self.values += [on.argument(*array.place), *[on.number(n, "int64") for n in numbers]]
        if keep:
            self.made.append(array)

    def shape(self, parts: Sequence[Any]) -> list[int]:
        return [self.sizes[n[1]] if isinstance(n, tuple) else n for n in parts]

    def check_room(self, rows: int, along: Sequence[int], inner: Sequence[int], dtype: str) -> None:
        """Refuse a loop that may end early where memory for all of its steps would be large."""
        if self.ends and rows * math.prod(along) * math.prod(inner) * np.dtype(dtype).itemsize > MOST_BYTES:
            raise Unsuited

    def result(self, at: int, how: str, there: Along, done: int) -> DeviceArray:
        """A result of the body, whose dimensions are along these axes, after so many steps."""
        array = self.made[at]
        match how:
            case "number":
                return _ordered(array, False, _present(there), there)
            case "whole":
                return _ordered(array, False, self.whole, there)
            case "rows":
                return _ordered(array[:done], True, _present(there), there)
            case "before" | "after":
                rows = array[:done] if how == "before" else array[1 : done + 1]
                return _ordered(rows, True, self.whole, there)
            case _:
                return _ordered(array[done if how == "last" else done % 2], False, self.whole, there)


def _present(there: Along) -> list[int]:
    """The axes that an array has, in order."""
    return sorted({d for d in there if d is not None})


def device_loop_of(body: Body) -> tuple[DeviceLoop | None, str]:
    """The loop of ``body`` as one launch; None, and why, where it has no such form."""
    try:
        return DeviceLoop(body), ""
    except NotCompiled as error:
        return None, str(error)


def _power(n: int, least: int) -> int:
    """The smallest power of two that is neither below ``n`` nor ``least``."""
    return max(1 << max(n - 1, 0).bit_length(), least)


def _element(array: DeviceArray, along: Sequence[int | None]) -> DeviceArray:
    """One element: the array without the dimensions that are along the elements' axes."""
    return array[tuple([slice(None) if axis is None else 0 for axis in along])] if any(
        axis is not None for axis in along) else array


def _inner_last(array: DeviceArray, lead: bool, along: Along, turn: bool) -> tuple[DeviceArray, list[int | None]]:
    """The array with its elements' dimensions in front, and each element in C order; what its dimensions are along."""
    outer = [d for d, axis in enumerate(along) if axis is not None]
    inner = [d for d, axis in enumerate(along) if axis is None]
    inner = inner[::-1] if turn else inner
    order = [*[0] * lead, *[d + lead for d in (*outer, *inner)]]
    turned = array.transpose(order) if order != list(range(array.ndim)) else array
    expected = 1
    for n, step in zip(reversed(turned.shape), reversed(turned.steps), strict=True):
        if len(inner) == 0:
            break
        inner = inner[:-1]
        if n != 1 and step != expected:
            turned = turned.copy()
            break
        expected *= n
    return turned, [*[along[d] for d in outer], *[None] * (turned.ndim - lead - len(outer))]


def _spread(array: DeviceArray, there: Sequence[int | None], along: Sequence[int]) -> DeviceArray:
    """An array with all axes of the elements in front, repeated along those that it lacks."""
    shape, steps = list(along), [0] * len(along)
    for n, step, axis in zip(array.shape, array.steps, there, strict=True):
        if axis is None:
            shape.append(n)
            steps.append(step)
        else:
            steps[axis] = step
    return array._view(shape, steps, array.start)


def _ordered(
    array: DeviceArray, lead: bool, present: Sequence[int], there: Sequence[int | None]
) -> DeviceArray:
    """A result with its dimensions as the body has them; of axes that it lacks, the first element's."""
    keep = [d in there for d in present]
    array = array[(*[slice(None)] * lead, *[slice(None) if k else 0 for k in keep])]
    axes = [d for d in present if d in there]
    inner = iter(range(lead + len(axes), array.ndim))
    order = [*range(lead), *[next(inner) if d is None else lead + axes.index(d) for d in there]]
    return array.transpose(order) if order != list(range(array.ndim)) else array
