"""Calls on small arrays of the host, replayed: what a call asked of the device is noted, and like calls ask just that.

A call of a small function takes the device a few microseconds, and Python several times that: arrays are made and given
back, sizes computed and compared. All of it follows from the shapes of the arguments, as addresses do but for where
memory is. So the second call with arrays of some shapes is noted down (`Recorder`), and the ones after it take one
block of memory, one copy there, the same launches, and one copy back.

What a call reads on its way, which is whether indices were in bounds, is read at the end then; where it is not what the
call that was noted has read, this one is done again as ever, and so only programs are replayed of whose calls nothing
is left but results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from fuse.codegen import device
from fuse.codegen.cuda_array import DeviceArray, Memory, all_to_host
from fuse.codegen.cuda_transfers import SMALL
from fuse.expr import SHARED, leaves
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.cuda_program import DeviceProgram

LARGEST = 1 << 18  # bytes of a call's whole memory
KEPT = 64  # kinds of calls of a program
PLACES = 4  # of its memory, whose addresses are kept, and with them the memory, until it is asked back (`forget`)
# What a call asks of a device beside what is noted: of anything else nobody knows whether the next call asks the same.
PLAIN = {"block", "broad", "threads", "multiprocessors", "little", "counts", "compiling", "compile", "give"}


class Span(NamedTuple):
    """Elements in a block of memory, as copies are given them; the block's address is that of the call noted."""

    pointer: int
    dtype: Any
    start: int
    elements: int

    def within(self, blocks: dict[int, Memory], on: device.Device) -> Any:
        return blocks[self.pointer].typed(self.dtype, self.start, self.elements)


class Placed(NamedTuple):
    """An array in a block of memory, as launches are given it."""

    pointer: int
    dtype: Any
    shape: tuple[int, ...]
    steps: tuple[int, ...]
    start: int

    def within(self, blocks: dict[int, Memory], on: device.Device) -> Any:
        return on.argument(DeviceArray(blocks[self.pointer], *self[1:]))


class Number(NamedTuple):
    """One of the numbers that a call is given, as a launch takes it."""

    which: int
    dtype: str


class Recorder:
    """A device that does as another one is told, and notes what that was.

    ``alike``: whether another call with arrays of the same shapes, and the same integers, is the same but for addresses
    and for the values of the ``arrays`` and numbers ``given``.
    """

    def __init__(self, on: device.Device, arrays: Sequence[Any], given: Sequence[Any]) -> None:
        self.on, self.arrays, self.given, self.alike = on, arrays, given, True
        self.blocks: dict[int, int] = {}  # bytes, by address
        self.known: dict[int, tuple[Any, Any]] = {}  # by id: an argument, which is kept, and what it stands for
        self.sent: list[tuple[Any, Sequence[int]]] = []
        self.read: list[Any] = []
        self.steps: list[tuple[str, list[Any], list[Any]]] = []  # what is asked, how, and its arguments

    def __getattr__(self, name: str) -> Any:
        self.alike &= name in PLAIN
        return getattr(self.on, name)

    def stands(self, argument: Any) -> Any:
        return self.known.get(id(argument), (None, argument))[1]

    def take(self, count: int, soon: bool = False) -> tuple[Any, int, int, int]:
        found = self.on.take(count, soon)
        self.blocks[found[1]] = found[2]
        return found

    def typed(self, block: Any, pointer: int, dtype: Any, start: int, count: int) -> Any:
        found = self.on.typed(block, pointer, dtype, start, count)
        self.known[id(found)] = found, Span(pointer, dtype, start, count)
        return found

    def argument(self, array: DeviceArray) -> Any:
        found = self.on.argument(array)
        if array.memory.pointer in self.blocks:
            stands = Placed(array.memory.pointer, array.dtype, array.shape, array.steps, array.start)
            self.known.setdefault(id(found), (found, stands))  # it may be a span, which stands for itself
        return found

    def number(self, value: Any, dtype: str) -> Any:
        found = self.on.number(value, dtype)
        if isinstance(value, (int, np.integer, np.bool_)):  # sizes, and what may be one, are the same in the next call
            return found
        which = next((k for k, given in enumerate(self.given) if given is value), None)
        self.alike &= which is not None  # what other numbers follow from is not known here
        if which is not None:
            self.known[id(found)] = found, Number(which, dtype)
        return found

    def upload_all(self, target: Any, arrays: Sequence[Any], places: Sequence[int]) -> None:
        self.alike &= len(arrays) == len(self.arrays) and all(map(is_, arrays, self.arrays))
        self.sent.append((self.stands(target), places))
        self.on.upload_all(target, arrays, places)

    def download(self, source: Any, target: Any = None) -> Any:
        found = self.on.download(source, target)
        self.alike &= found.size == 1 and found.dtype == np.int64 and not found.any()
        self.read.append(self.stands(source))
        return found

    def copy(self, target: Any, source: Any) -> None:
        self.steps.append(("copy", [], [self.stands(target), self.stands(source)]))
        self.on.copy(target, source)

    def clear(self, target: Any) -> None:
        self.steps.append(("clear", [], [self.stands(target)]))
        self.on.clear(target)

    def launch(self, kernel: Any, blocks: tuple[int, int], threads: int, arguments: Sequence[Any]) -> None:
        self.steps.append(("launch", [kernel, blocks, threads], [self.stands(a) for a in arguments]))
        self.on.launch(kernel, blocks, threads, arguments)


class Unlike(Exception):
    """A call that cannot be done as the one that was noted."""


class Replay:
    """What calls with arrays of some shapes do, in a block of memory wherever that is.

    Raises Unlike for a call that has to be done as ever: ``noted`` is what one did, and ``results`` what it gave.
    """

    def __init__(self, noted: Recorder, results: Sequence[Any]) -> None:
        self.on, self.steps, self.results = noted.on, noted.steps, len(results)
        if not noted.alike or len(noted.sent) != 1:
            raise Unlike
        self.sent, self.places = noted.sent[0]
        back: list[tuple[int, int, Any, tuple[int, ...]]] = []  # what is read: block, first byte, dtype and shape
        for array in results:
            if type(array) is not DeviceArray or array.told[0] != "C" or array.memory.pointer not in noted.blocks:
                raise Unlike
            back.append((array.memory.pointer, array.start * array.itemsize, array.dtype, array.shape))
        for span in noted.read:
            if not isinstance(span, Span):
                raise Unlike
            back.append((span.pointer, span.start, span.dtype, ()))
        last = dict.fromkeys([pointer for pointer, *_ in back])  # side by side, behind all others
        order = [*[p for p in noted.blocks if p not in last], *last]
        *places, self.size = accumulate([noted.blocks[p] for p in order], initial=0)
        self.blocks = {p: (place, noted.blocks[p]) for p, place in zip(order, places, strict=True)}
        self.first = self.blocks[next(iter(last))][0]
        self.parts = [(shape, dtype, self.blocks[p][0] + low - self.first) for p, low, dtype, shape in back]
        if self.size > LARGEST or self.size - self.first > SMALL:
            raise Unlike
        self.known: dict[int, Any] = {}

    def __call__(self, arrays: Sequence[Any], numbers: Sequence[Any]) -> list[Any] | None:
        """The results of a call; None where it must be done again as ever."""
        on, memory = self.on, Memory(self.size, self.on)
        there, back, steps = self.known.get(memory.pointer) or self.placed(memory)
        on.upload_all(there, arrays, self.places)
        for run, how, arguments, told in steps:
            if told:
                arguments = arguments.copy()
                for place, which, dtype in told:
                    arguments[place] = on.number(numbers[which], dtype)
                run(*how, arguments)
            elif how:
                run(*how, arguments)
            else:
                run(*arguments)
        found = on.download_parts(back, self.parts)
        if any(a.any() for a in found[self.results :]):
            return None
        return found[: self.results]

    def placed(self, memory: Memory) -> Any:
        """What is copied there and back, and the steps, in this block of memory."""
        on = self.on
        blocks = {}
        for pointer, (place, size) in self.blocks.items():
            part = blocks[pointer] = Memory(size, on, memory.pointer + place, owner=self)
            part.block = memory.block[place : place + size]
        steps = []
        for name, how, arguments in self.steps:
            told = [(k, *a) for k, a in enumerate(arguments) if isinstance(a, Number)]
            there = [a.within(blocks, on) if isinstance(a, (Span, Placed)) else a for a in arguments]
            steps.append((getattr(on, name), how, there, told))
        back = memory.typed(np.uint8, self.first, self.size - self.first)
        if len(self.known) >= PLACES:
            self.known.clear()
        found = self.known[memory.pointer] = self.sent.within(blocks, on), back, steps
        return found


class Replays:
    """The calls of one program that are replayed, by the shapes of their arrays and by integers, which may be sizes.

    ``numbers`` are the names in the program's text of what takes the inputs that are numbers, by their places.
    """

    def __init__(self, program: DeviceProgram, numbers: dict[int, str]) -> None:
        self.numbers = [(k, program.scope[name]) for k, name in numbers.items()]
        kinds = [(k, x.type) for k, x in enumerate(program.inputs) if k not in numbers]
        self.arrays = [(k, t.numpy_dtype, t.ndim) for k, t in kinds if isinstance(t, TensorType)]
        self.whole = [k for k, (x, _) in enumerate(self.numbers) if program.inputs[x].type.dtype[0] not in "fc"]
        self.seen: dict[Any, Any] = {}  # True: calls that came once; None: those that are done as ever
        # What it does with numbers that are taken already, so that they are found again where launches get them.
        scope = program.scope | {name: lambda value: value for name in numbers.values()}
        exec(compile(program.wrapper_source, "<fuse device wrapper>", "exec"), scope)
        self.run: Callable[..., list[Any]] = scope["program"]

    def forget(self) -> None:
        """Keep nothing of what was noted, and so no memory."""
        self.seen.clear()

    def __call__(self, values: Sequence[Any]) -> list[Any] | None:
        """The results, on the host; None for a call that is not replayed."""
        on, arrays, shapes = device.current(), [], []
        for k, dtype, ndim in self.arrays:
            value = values[k]
            if type(value) is not np.ndarray or value.dtype != dtype or value.ndim != ndim:
                return None
            arrays.append(value)
            shapes.append(value.shape)
        try:
            numbers = [take(values[k]) for k, take in self.numbers]
        except Exception:  # which the call that is done as ever tells
            return None
        key = on.block, on.threads, on.multiprocessors, on.little, *shapes, *[numbers[k] for k in self.whole]
        found = self.seen.get(key, False)
        if not found:
            if found is not None:
                if len(self.seen) >= KEPT:
                    self.seen.clear()
                self.seen[key] = True
            return None
        if found is not True:
            return cast("list[Any] | None", found(arrays, numbers))
        given, recorder = list(values), Recorder(on, arrays, numbers)
        for (k, _), number in zip(self.numbers, numbers, strict=True):
            given[k] = number
        self.seen[key] = None
        try:
            with device.working_on(cast(device.Device, recorder)):
                results = self.run(*given)
            self.seen[key] = Replay(recorder, results)
        except Exception:  # which the call that is done as ever tells
            return None
        return all_to_host(results)


def replays(program: DeviceProgram, numbers: dict[int, str]) -> Replays | None:
    """What replays the calls of a program; None for one that does more than launch kernels, or that keeps anything."""
    plain = all(isinstance(x.type, TensorType) for x in program.inputs)
    kept = program.updates or any(leaf.op is SHARED for leaf in leaves(program.results))
    launched = program.steps and all(kind.startswith("kernel") for kind, _ in program.steps)
    if not plain or kept or not launched or len(numbers) == len(program.inputs):
        return None
    return Replays(program, numbers)
