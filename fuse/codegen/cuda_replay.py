"""Calls of small functions, replayed: what a call asked of the device is noted, and like calls ask just that.

A call of a small function takes the device a few microseconds, and Python several times that: arrays are made and given
back, sizes computed and compared. All of it follows from the shapes of the arguments, as addresses do but for where
memory is. So the second call with arrays of some shapes is noted down (`Recorder`), and the ones after it make the same
launches. What they need for themselves is one block of memory: arrays of the host are one copy there, and results for
the host one copy back. Results that stay on the device, and new values of shared variables, have memory of their own.

What a call reads on its way, which is whether indices were in bounds, is read at the end then; where it is not what the
call that was noted has read, this one is done again as ever, and so a call is replayed only if nothing that stays has
been written by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from fuse.codegen import device
from fuse.codegen.cuda_array import DeviceArray, Memory, all_to_host, is_on_device, to_device
from fuse.codegen.cuda_cells import DeviceContainer
from fuse.codegen.cuda_transfers import SMALL
from fuse.errors import DeviceError, FuseError
from fuse.expr import SHARED, leaves
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.cuda_program import DeviceProgram
    from fuse.codegen.cuda_wrapper import DeviceWriter

LARGEST = 1 << 18  # bytes of the memory that a call needs for itself
LONGEST = 256  # launches and copies of a call; where one launch does not serve a loop for its sizes, there may be more
KEPT = 64  # kinds of calls of a program
PLACES = 8  # of that memory, whose addresses are kept, and with them the memory, until it is asked back (`forget`)
# What a call asks of a device beside what is noted: of anything else nobody knows whether the next call asks the same.
PLAIN = {"block", "broad", "threads", "multiprocessors", "little", "counts", "compiling", "compile", "give"}


class Span(NamedTuple):
    """Elements of some memory of the call noted, as copies or (``launched``) launches take them."""

    memory: int
    dtype: Any
    start: int
    elements: int
    launched: bool

    def within(self, on: device.Device, memory: Memory, base: int = 0) -> Any:
        """The same in ``memory``, from byte ``base`` on."""
        if self.launched:
            return on.argument(memory, self.dtype, base + self.start, self.elements)
        return memory.typed(self.dtype, base + self.start, self.elements)


class Number(NamedTuple):
    """One of the numbers that a call is given, as a launch takes it."""

    which: int
    dtype: str


class Recorder:
    """A device that does as another one is told, and notes what that was.

    ``alike``: whether another call with arrays of the same shapes, and the same integers, is the same but for addresses
    and for the values of the arrays and numbers that it is given: of the arrays those of the host are ``hosted``, and
    others are lent to it.
    """

    def __init__(self, on: device.Device, hosted: Sequence[Any], numbers: Sequence[Any]) -> None:
        self.on, self.hosted, self.numbers, self.alike = on, hosted, numbers, True
        self.blocks: dict[int, int] = {}  # bytes, by address, which is the name of that memory
        self.lent: list[tuple[DeviceArray, DeviceArray]] = []  # arrays that are given, and what stands for each
        self.names: dict[int, int | None] = {}  # of their memory, by the id of the block; None: a constant's
        self.cells: list[DeviceArray] = []  # what stands for shared variables
        self.kept: list[tuple[DeviceContainer, Any]] = []  # their new values
        self.known: dict[int, tuple[Any, Any]] = {}  # by id: an argument, which is kept, and what it stands for
        self.sent: list[tuple[Any, Sequence[int]]] = []
        self.read: list[Any] = []
        self.steps: list[tuple[str, list[Any], list[Any]]] = []  # what is asked, how, and its arguments

    def __getattr__(self, name: str) -> Any:
        self.alike &= name in PLAIN
        return getattr(self.on, name)

    # ------------------------------------------------------------ arrays that are there
    def lend(self, array: DeviceArray, name: int | None) -> DeviceArray:
        """What stands for an array in this call: of a contiguous one the elements alone, wherever they begin."""
        base = first_byte(array)
        count = array.nbytes if array.told[0] == "C" else array.memory.size
        memory = array.memory.part(base, count, self)
        self.names[id(memory.block)] = name
        found = DeviceArray(memory, array.dtype, array.shape, array.steps, array.start - base // array.itemsize)
        self.lent.append((array, found))
        return found

    def name(self, memory: Memory) -> int | None:
        return self.names.get(id(memory.block), memory.pointer)

    def returned(self, value: Any) -> Any:
        """A result of the call, as others may have it."""
        for array, standing in self.lent:
            if value is standing:  # a shared variable's, which was written over
                return array
        if isinstance(value, DeviceArray) and value.memory.on is self:
            value.memory.on = self.on
        return value

    # ------------------------------------------------------------ what a call asks
    def note(self, found: Any, name: int | None, *what: Any) -> Any:
        self.alike &= name is None or name < 0 or name in self.blocks
        self.known.setdefault(id(found), (found, found if name is None else Span(name, *what)))
        return found

    def stands(self, argument: Any) -> Any:
        return self.known.get(id(argument), (None, argument))[1]

    def take(self, count: int, soon: bool = False) -> tuple[Any, int, int, int]:
        found = self.on.take(count, soon)
        self.blocks[found[1]] = found[2]
        return found

    def typed(self, block: Any, pointer: int, dtype: Any, start: int, count: int) -> Any:
        found = self.on.typed(block, pointer, dtype, start, count)
        return self.note(found, self.names.get(id(block), pointer), dtype, start, count, False)

    def argument(self, memory: Memory, dtype: Any, start: int, count: int) -> Any:
        found = self.on.argument(memory, dtype, start, count)
        return self.note(found, self.name(memory), dtype, start, count, True)

    def number(self, value: Any, dtype: str) -> Any:
        found = self.on.number(value, dtype)
        if isinstance(value, (int, np.integer, np.bool_)):  # sizes, and what may be one, are the same in the next call
            return found
        which = next((k for k, given in enumerate(self.numbers) if given is value), None)
        self.alike &= which is not None  # what other numbers follow from is not known here
        if which is not None:
            self.known[id(found)] = found, Number(which, dtype)
        return found

    def upload_all(self, target: Any, arrays: Sequence[Any], places: Sequence[int]) -> None:
        self.alike &= len(arrays) == len(self.hosted) and all(map(is_, arrays, self.hosted))
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


def first_byte(array: DeviceArray) -> int:
    """Where the elements of a contiguous array begin in its memory; of others the memory is told as a whole."""
    return array.start * array.dtype.itemsize if array.told[0] == "C" else 0


class Unlike(Exception):
    """A call that cannot be done as the one that was noted."""


class Replay:
    """What calls with arrays of some shapes do, in memory wherever that is.

    Raises Unlike for a call that has to be done as ever: ``noted`` is what one did, and ``results`` what it gave, which
    are wanted on the host, or stay on the device.
    """

    def __init__(self, noted: Recorder, results: Sequence[Any], stays: bool) -> None:
        self.on = noted.on
        given = [*(results if stays else ()), *[value for _, value in noted.kept]]
        if not noted.alike or len(noted.sent) > 1 or not all(type(a) is DeviceArray for a in (*results, *given)):
            raise Unlike
        if len(noted.steps) > LONGEST:
            raise Unlike
        own = dict.fromkeys([name for a in given if (name := noted.name(a.memory)) in noted.blocks])
        self.own = [noted.blocks[name] for name in own]  # sizes of memory that stays
        lent = [name for name in noted.names.values() if name is not None]
        self.source = {name: k for k, name in enumerate([*own, *lent])}
        self.kept = [(cell, self.made(noted, a)) for cell, a in noted.kept]
        if noted.read and any(what is None for _, (_, what) in self.kept):
            raise Unlike
        self.stays = [self.made(noted, a) for a in results] if stays else None
        self.place(noted, self.back(noted, () if stays else results))
        # What is asked for in each call: the numbers, and elements of memory that is each time another.
        self.asked: dict[Number | Span, int] = {}
        self.steps = [(name, how, [self.slotted(a) for a in arguments]) for name, how, arguments in noted.steps]
        self.known: dict[int, Any] = {}

    def made(self, noted: Recorder, array: DeviceArray) -> tuple[int, Any]:
        """Which memory an array has that stays, and what it is there; None: it is one that the call was given."""
        name = noted.name(array.memory)
        if name in noted.blocks:
            return self.source[name], (array.dtype, array.shape, array.steps, array.start, array.told)
        if name is None or not any(array is standing for _, standing in noted.lent):
            raise Unlike
        return self.source[name] - len(self.own), None

    def back(self, noted: Recorder, results: Sequence[DeviceArray]) -> list[tuple[int, int, Any, tuple[int, ...]]]:
        """What is read at the end: the block that it is in, its first byte, dtype and shape."""
        self.results = len(results)
        found = [(a.memory.pointer, a.start * a.itemsize, a.dtype, a.shape) for a in results]
        found += [(span.memory, span.start, span.dtype, ()) for span in noted.read if isinstance(span, Span)]
        if len(found) < self.results + len(noted.read) or any(a.told[0] != "C" for a in results):
            raise Unlike
        if any(name not in noted.blocks or name in self.source for name, *_ in found):
            raise Unlike
        return found

    def place(self, noted: Recorder, back: list[tuple[int, int, Any, tuple[int, ...]]]) -> None:
        """Put the blocks that do not stay into one, behind all others those that are read."""
        last = dict.fromkeys([name for name, *_ in back])
        order = [*[p for p in noted.blocks if p not in last and p not in self.source], *last]
        places = list(accumulate([noted.blocks[p] for p in order], initial=0))
        self.size = places[-1]
        self.blocks = {p: (place, noted.blocks[p]) for p, place in zip(order, places, strict=False)}
        self.first = self.blocks[next(iter(last))][0] if last else self.size
        self.parts = [(shape, dtype, self.blocks[p][0] + low - self.first) for p, low, dtype, shape in back]
        self.sent: Any = noted.sent[0][0] if noted.sent else None
        self.places = noted.sent[0][1] if noted.sent else ()
        if self.size > LARGEST or self.size - self.first > SMALL:
            raise Unlike
        if noted.sent and not (isinstance(self.sent, Span) and self.sent.memory in self.blocks):
            raise Unlike

    def slotted(self, argument: Any) -> Any:
        """An argument of a step; of what is asked for in each call the slot."""
        if isinstance(argument, Number) or isinstance(argument, Span) and argument.memory in self.source:
            return Slot(self.asked.setdefault(argument, len(self.asked)))
        return argument

    def __call__(self, hosted: Sequence[Any], there: Sequence[DeviceArray], numbers: Sequence[Any]) -> Any:
        """The results of a call; None where it must be done again as ever."""
        on = self.on
        memory = Memory(self.size, on) if self.size else None
        own = [Memory(size, on) for size in self.own]
        sources = [*[(m, 0) for m in own], *[(a.memory, first_byte(a)) for a in there]]
        slots = [
            on.number(numbers[a.which], a.dtype) if isinstance(a, Number)
            else a.within(on, *sources[self.source[a.memory]])
            for a in self.asked
        ]
        to, back, steps = self.known.get(memory.pointer if memory else 0) or self.placed(memory)
        if to is not None:
            on.upload_all(to, hosted, self.places)
        for run, how, arguments, told in steps:
            if told:
                arguments = arguments.copy()
                for place, slot in told:
                    arguments[place] = slots[slot]
            if how:
                run(*how, arguments)
            else:
                run(*arguments)
        found = on.download_parts(back, self.parts) if self.parts else []
        if any(a.any() for a in found[self.results :]):
            return None
        for cell, (source, what) in self.kept:
            cell.there = there[source] if what is None else _array(own[source], *what)
        if self.stays is None:
            return found[: self.results]
        return [_array(own[source], *what) for source, what in self.stays]

    def placed(self, memory: Memory | None) -> Any:
        """What is copied there and back, and the steps, in this block of memory."""
        on = self.on
        blocks = {p: memory.part(place, size, on) for p, (place, size) in self.blocks.items()} if memory else {}
        steps = []
        for name, how, arguments in self.steps:
            told = [(k, a.number) for k, a in enumerate(arguments) if isinstance(a, Slot)]
            there = [a.within(on, blocks[a.memory]) if isinstance(a, Span) else a for a in arguments]
            steps.append((getattr(on, name), how, there, told))
        to = self.sent.within(on, blocks[self.sent.memory]) if self.sent is not None else None
        back = memory.typed(np.uint8, self.first, self.size - self.first) if memory and self.parts else None
        if len(self.known) >= PLACES:
            self.known.clear()
        found = self.known[memory.pointer if memory else 0] = to, back, steps
        return found


class Slot(NamedTuple):
    """An argument that each call makes."""

    number: int


def _array(memory: Memory, dtype: Any, shape: Any, steps: Any, start: int, told: tuple[Any, ...]) -> DeviceArray:
    """An array in a block of the pool, of which the same is told as of the one noted: all are aligned alike."""
    found = DeviceArray(memory, dtype, shape, steps, start)
    found._told = told
    return found


class Replays:
    """The calls of one program that are replayed, by the shapes of their arrays and by integers, which may be sizes."""

    def __init__(self, program: DeviceProgram, writer: DeviceWriter) -> None:
        numbers = writer.numbers
        self.inputs = program.inputs
        self.numbers = [(k, program.scope[name]) for k, name in numbers.items()]
        kinds = [(k, x.type) for k, x in enumerate(program.inputs) if k not in numbers]
        self.arrays = [(k, t.numpy_dtype, t.ndim) for k, t in kinds if isinstance(t, TensorType)]
        self.whole = [k for k, (x, _) in enumerate(self.numbers) if program.inputs[x].type.dtype[0] not in "fc"]
        self.cells = [cast(DeviceContainer, cell) for _, cell in writer.cells]
        self.seen: dict[Any, Any] = {}  # True: calls that came once; None: those that are done as ever
        # What it does with what stands for arrays, and with numbers that are taken already, so that they are found
        # again where launches get them.
        scope = program.scope | {name: lambda value: value for name in numbers.values()}
        scope |= {name: lambda k=k: _noting().cells[k] for k, (name, _) in enumerate(writer.cells)}
        scope |= {name: lambda there=scope[name]: _noting().lend(there(), None) for name in writer.constants}
        scope |= {name: lambda value, cell=cell: _noting().kept.append((cell, value)) for name, cell in writer.kept}
        exec(compile(program.wrapper_source, "<fuse device wrapper>", "exec"), scope)
        self.run: Callable[..., list[Any]] = scope["program"]

    def forget(self) -> None:
        """Keep nothing of what was noted, and so no memory."""
        self.seen.clear()

    def __call__(self, values: list[Any]) -> list[Any] | None:
        """The results, on the host unless an array is given on the device; None for a call that is not replayed.

        Arrays of other libraries are put among ``values`` as they are taken.
        """
        on = device.current()
        hosted: list[Any] = []
        there: list[DeviceArray] = []
        kinds: list[Any] = []
        for k, dtype, ndim in self.arrays:
            value = values[k]
            is_host = type(value) is np.ndarray
            if not is_host and type(value) is not DeviceArray:
                if not is_on_device(value):
                    return None
                try:
                    value = values[k] = to_device(value)
                except FuseError:  # which the call that is done as ever tells
                    return None
            if value.dtype != dtype or len(value.shape) != ndim:
                return None
            (hosted if is_host else there).append(value)
            kinds.append(value.shape if is_host else told(value))
        stays = len(there)
        for cell in self.cells:
            array = cell.there
            there.append(array)
            kinds.append(told(array))
        if any(is_on_device(values[k]) for k, _ in self.numbers):  # they are to be fetched, and results stay there
            return None
        try:
            numbers = [take(values[k]) for k, take in self.numbers]
        except Exception:  # as above
            return None
        key = on.block, on.threads, on.multiprocessors, on.little, *kinds, *[numbers[k] for k in self.whole]
        found = self.seen.get(key, False)
        if not found:
            if found is not None:
                if len(self.seen) >= KEPT:
                    self.seen.clear()
                self.seen[key] = True
            return None
        if found is not True:
            return cast("list[Any] | None", found(hosted, there, numbers))
        self.seen[key] = None
        return self.noted(key, values, hosted, there, stays, numbers)

    def noted(
        self, key: Any, values: Sequence[Any], hosted: Sequence[Any], there: Sequence[DeviceArray], stays: int,
        numbers: Sequence[Any],
    ) -> list[Any] | None:
        """The results of a call that is noted down; of the arrays ``there`` so many are inputs."""
        on = device.current()
        recorder = Recorder(on, hosted, [np.array(n)[()] for n in numbers])  # each an object of its own
        standing = [recorder.lend(array, -1 - k) for k, array in enumerate(there)]
        given, recorder.cells = list(values), standing[stays:]
        inputs = iter(standing)
        for k, _, _ in self.arrays:
            if type(given[k]) is DeviceArray:
                given[k] = next(inputs)
        for (k, _), number in zip(self.numbers, recorder.numbers, strict=True):
            given[k] = number
        try:
            with device.working_on(cast(device.Device, recorder)):
                results = self.run(*given)
        except DeviceError:
            raise
        except Exception:  # as above
            return None
        with suppress(Unlike):
            self.seen[key] = Replay(recorder, results, bool(stays))
        for cell, value in recorder.kept:
            cell.there = recorder.returned(value)
        results = [recorder.returned(result) for result in results]
        return results if stays else all_to_host(results)


def _noting() -> Recorder:
    """What notes the call of this thread."""
    return cast(Recorder, device.current())


def told(array: DeviceArray) -> tuple[Any, ...]:
    """What launches depend on of an array on the device: where it is no contiguous one, the size of its memory too."""
    found = array.told
    return found if found[0] == "C" else (*found, array.memory.size)


def replays(program: DeviceProgram, writer: DeviceWriter) -> Replays | None:
    """What replays the calls of a program; None for one that does more than launch kernels on arrays."""
    shared = [x for x in leaves(program.results) if x.op is SHARED]
    values = [*program.inputs, *shared, *[x for x, _ in program.updates]]
    kinds = [kind.partition(" ")[0] for kind, _ in program.steps]
    launched = set(kinds) <= {"kernel", "loop"} and kinds.count("loop") == len(writer.loops)  # each is one launch
    if not kinds or not launched or not all(isinstance(x.type, TensorType) for x in values):
        return None
    if len(writer.numbers) == len(program.inputs) and not writer.cells:
        return None
    return Replays(program, writer)
