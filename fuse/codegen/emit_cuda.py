"""Emission for NVIDIA GPUs: each part of a Kernel as the source of one ``@cuda.jit`` function.

Arrays are flat: the text counts elements from the first one, with strides as arguments where an array is not
contiguous. Nothing is checked in a kernel but indices that are values; where one is out of bounds, nothing is read or
written there and ``status`` says so. Arithmetic is in the dtypes of the kernel: literals are typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fuse.codegen import cuda_online
from fuse.codegen.cuda_combine import Combining, added, collect, joined, kept_sum, leave, leave_of_row
from fuse.codegen.cuda_flight import groups_of, singles_of
from fuse.codegen.cuda_held import Held, begin, held, sweep
from fuse.codegen.cuda_online import in_one_sweep
from fuse.codegen.cuda_parts import Done, Part, in_chunks, parts_of, private_buffers
from fuse.codegen.cuda_wide import widened
from fuse.codegen.emit import Emitter
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import (
    Axis,
    Combine,
    Index,
    Init,
    Kernel,
    Load,
    Loop,
    Store,
    Update,
    walk,
)
from fuse.codegen.text import as_dtype, cast, is_innermost, parameter_dtype, scalar_type, typed

WARP = 32
LANES = "LANES"  # the number of a group's threads, which is written into the text for each: it saves registers
OUT_OF_BOUNDS = 1
_SUMMED = ("float32", "float64")
_ARRAYS = ("array", "partials", "copies", "status")


@dataclass(frozen=True)
class Argument:
    """What a function is called with: ``kind`` says which of the launch's values, ``of`` of what.

    Kinds: "array" and "stride" (buffer, dimension) of a buffer, "scalar", "size" of an axis, "partials" and "count" of
    an accumulator, "copies" and "cells" of a buffer that each group has for itself, "extent" (the size of a dimension)
    and "offset" (of the first element) of a buffer, "status" and "total",
    "wide" of (axis, elements at once, arrays): whether sizes and places in memory allow it.
    """

    kind: str
    of: Any = None
    dimension: int = -1


@dataclass(frozen=True, eq=False)
class PartSource:
    """The source of one launch: its functions, the last of which is the kernel, and what it is called with."""

    part: Part
    text: str
    entry: str
    arguments: tuple[Argument, ...]
    dtypes: tuple[str, ...]  # of each argument
    writes: tuple[bool, ...]  # of each argument: whether it is an array that the launch writes
    helpers: Mapping[str, Any]
    held: Held | None = None
    broad: bool = False  # for larger blocks: of long rows
    whole: bool = False  # all launches of a kernel in one, of one block

    def of_lanes(self, lanes: int) -> PartSource:
        """The source for groups of so many threads."""
        return replace(self, text=self.text.replace(f"lanes = {LANES}\n", f"lanes = {lanes}\n"))

    @property
    def arrays(self) -> tuple[bool, ...]:
        """Of each argument: whether it is an array."""
        return tuple([a.kind in _ARRAYS for a in self.arguments])


class _Lengths(dict[Axis, str]):
    """The sizes of axes as text: each is an argument of the function once it is asked for."""

    def __init__(self, emitter: CudaEmitter) -> None:
        super().__init__()
        self.emitter = emitter

    def __missing__(self, axis: Axis) -> str:
        self[axis] = self.emitter.argument(f"n_{axis.name}", Argument("size", axis), "int64")
        return self[axis]


class CudaEmitter(Emitter):
    """Writes one part."""

    target = "cuda"
    flies = True  # whether loops have several elements under way

    def __init__(
        self, kernel: Kernel, part: Part, number: int, private: set[str], hold: bool | None = None, much: bool = False
    ) -> None:
        super().__init__(kernel)
        self.part, self.number = part, number
        self.private = private
        self.arguments: dict[str, tuple[Argument, str, bool]] = {}
        self.scalars = {s.name: parameter_dtype(s.dtype) for s in kernel.scalars}
        self.size_text: dict[Axis, str] = _Lengths(self)
        self.combining = Combining(self)
        self.rooms: dict[str, None] = {}
        self.rising = dict(part.rising)
        self.lost: set[str] = set()  # sums whose rounding errors are kept beside them
        self.in_lanes = False
        self.wide = widened(part.body, self.buffers, private)
        self.held = None if hold is None else held(part, self.buffers, private, hold, much)
        self.seen: set[Any] = set()  # what is held by now

    # ------------------------------------------------------------ arguments
    def argument(self, name: str, argument: Argument, dtype: str, writes: bool = False) -> str:
        known = self.arguments.get(name)
        self.arguments[name] = (argument, dtype, writes or known is not None and known[2])
        return name

    def size(self, buffer: str, dimension: int) -> str:
        return self.argument(f"{buffer}_n{dimension}", Argument("extent", buffer, dimension), "int64")

    def step(self, buffer: str, dimension: int) -> str:
        return self.argument(f"{buffer}_s{dimension}", Argument("stride", buffer, dimension), "int64")

    def array(self, buffer: str, writes: bool = False) -> str:
        return self.argument(buffer, Argument("array", buffer), self.buffers[buffer].dtype, writes)

    def partials(self, acc: Init | Done, name: str, writes: bool = False) -> str:
        """What blocks leave of an accumulator."""
        return self.argument(f"{name}_parts", Argument("partials", name), acc.dtype, writes)

    def count(self, name: str) -> str:
        """How many blocks leave something of an accumulator, or of that of a row."""
        return self.argument(f"{name}_count", Argument("count", name), "int64")

    def room(self, dtype: str) -> str:
        self.rooms[dtype] = None
        return f"room_{dtype}"

    # ------------------------------------------------------------ whole
    def group_of_lanes(self, part: Part) -> None:
        """Which of a block's groups of ``lanes`` threads this one is in, as which lane, and how far lanes are apart."""
        self.line("here = cuda.blockDim.x // lanes")
        if part.spread:
            self.line("group, lane, apart = cuda.threadIdx.x % here, cuda.threadIdx.x // here, here")
        else:
            self.line("group, lane, apart = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes, 1")

    def beginning(self, part: Part) -> None:
        """What comes before the loops of a part."""
        for s in joined(part.before):
            self.statement(s)
        for acc in part.accs:
            self.init(acc)

    def group_indices(self, part: Part) -> None:
        """The indices along the outer axes of the group at ``place``."""
        for k, axis in enumerate(reversed(part.groups)):
            if k == len(part.groups) - 1:
                self.line(f"{axis.name} = place")
            else:
                self.line(f"{axis.name} = place % {self.size_text[axis]}")
                self.line(f"place = place // {self.size_text[axis]}")

    def emit(self) -> PartSource:
        part = self.part
        if part.alone and part.ordered:
            self.line("lane, lanes, apart, live = 0, 1, 1, True")
            self.line("first, step = 0, 1")
        elif part.is_flat:
            self.line("lane, lanes, apart, live = cuda.grid(1), cuda.blockDim.x, 1, True")
            self.line("first, step = lane, cuda.gridsize(1)")
        else:
            self.line(f"lanes = {LANES}")
            self.group_of_lanes(part)
            self.line("slot, live = cuda.blockIdx.x * here + group, True")
            chunk = part.chunked
            all_ = "first, step = lane + cuda.blockIdx.y * lanes, lanes * cuda.gridDim.y"
            self.line(all_ if chunk else "first, step = lane, lanes")
        self.beginning(part)
        if part.groups:
            total = self.argument("total", Argument("total"), "int64")
            self.line(f"for base in range(cuda.blockIdx.x * here, {total}, cuda.gridDim.x * here):")
            self.depth += 1
            self.line(f"live = base + group < {total}")
            self.line(f"place = row = base + group if live else {total} - 1")
            self.group_indices(part)
        for acc in part.rows:
            if acc not in self.rising.values():
                self.init(acc)
        if self.held is not None:
            begin(self, self.held)
        self.body(part.body)
        for acc in part.rows:
            if acc.acc in self.rising:
                cuda_online.leave_of_row(self, acc, self.rising[acc.acc])
            elif acc not in self.rising.values():
                leave_of_row(self, acc)
        if part.groups:
            self.depth -= 1
        for acc in part.accs:
            self.finish(acc)
        return self.source(part, f"part{self.number}", [])

    def source(self, part: Part, entry: str, functions: Sequence[str]) -> PartSource:
        """What is written as a kernel of this name, behind the functions that it calls."""
        names = list(self.arguments)
        rooms = [f"    room_{d} = cuda.shared.array(512, {scalar_type(d)})" for d in self.rooms]
        whole = f"def {entry}({', '.join(names)}):\n" + "\n".join([*rooms, *self.lines]) + "\n"
        text = "\n\n".join([*functions, *self.combining.texts, whole])
        values = self.arguments.values()
        return PartSource(
            part, text, entry, tuple(a for a, _, _ in values), tuple(d for _, d, _ in values),
            tuple(w for _, _, w in values), self.helpers, self.held,
        )

    # ------------------------------------------------------------ statements
    def body(self, statements: Iterable[Any]) -> None:
        begun: dict[str, Init] = {}
        for s in joined(statements):
            if isinstance(s, Init):
                begun[s.acc] = s
            self.statement(s)
            if isinstance(s, Loop):
                for c in walk(s.body):
                    if isinstance(c, Combine) and c.acc in begun and not self.part.alone:
                        self.complete(begun.pop(c.acc), s)

    def complete(self, acc: Init, loop: Loop) -> None:
        """What the lanes have of an accumulator, put together, where they ran over different elements."""
        inner = [s for s in walk((loop,)) if isinstance(s, Loop) and is_innermost(s)]
        if any(isinstance(c, Combine) and c.acc == acc.acc for s in inner for c in s.body):
            if acc.acc in self.rising:
                cuda_online.complete(self, acc, self.rising[acc.acc])
                return
            k = self.combining.of(acc.op, acc.dtype)
            self.line(f"{acc.acc} = together{k}({self.final(acc.acc)}, lanes, apart, {self.room(acc.dtype)})")
            self.lost.discard(acc.acc)

    def statement(self, s: Any) -> None:
        if isinstance(s, tuple):
            self.totals(s)
        else:
            super().statement(s)

    def final(self, name: str) -> str:
        """A value as it is used: a number that the kernel is given is an argument."""
        if name in self.scalars:
            return self.argument(name, Argument("scalar", name), self.scalars[name])
        return f"({name} + {name}_lost if {name}_lost == {name}_lost else {name})" if name in self.lost else name

    def loaded(self, buffer: str, at: str) -> str:
        text = f"{self.array(buffer)}[unsigned({at})]"
        return f"float32({text})" if self.buffers[buffer].dtype == "float16" else text

    def kept(self, buffer: str, at: str, value: str) -> str:
        value = f"float16({value})" if self.buffers[buffer].dtype == "float16" else value
        return f"{self.array(buffer, True)}[unsigned({at})] = {value}"

    def load_wide(self, names: Sequence[str], s: Load) -> None:
        """Neighbouring elements with one instruction, by these names."""
        half = self.buffers[s.buffer].dtype == "float16"
        found = [f"{name}_half" for name in names] if half else names
        self.line(f"{', '.join(found)} = load{len(names)}({self.array(s.buffer)}, {self.offset(s.buffer, s.index)})")
        for name in names if half else ():
            self.line(f"{name} = float32({name}_half)")

    def store_wide(self, s: Store, values: Sequence[str]) -> None:
        """Neighbouring elements stored with one instruction."""
        if self.buffers[s.buffer].dtype == "float16":
            values = [f"float16({value})" for value in values]
        guard, at = self.guard(s.buffer, s.index), self.offset(s.buffer, s.index)
        text = f"store{len(values)}({self.array(s.buffer, True)}, {at}, {', '.join(values)})"
        self.line(f"if {guard}: {text}" if guard else text)

    def load(self, s: Load) -> None:
        """A load; at an index that is out of bounds nothing is read."""
        before = len(self.lines)
        super().load(s)
        places = [f"{s.name}_{k}" if i not in self.bounded else i for k, i in enumerate(s.index) if isinstance(i, str)]
        if places:
            text = self.lines.pop().partition(" = ")[2]
            assert len(self.lines) >= before
            found = " and ".join([f"{place} >= 0" for place in places])
            self.line(f"{s.name} = {text} if {found} else {typed(constant_text(0, s.dtype), s.dtype)}")

    def index(self, name: str, value: str, size: str) -> None:
        """``name`` = ``value`` as an index below ``size``, counted from the end where it is negative; -1 for none."""
        super().index(name, self.final(value), self.final(size))
        self.line(f"    {name} = int64(-1)")

    def refuse(self) -> None:
        self.line(f"    {self.argument('status', Argument('status'), 'int64', True)}[0] = {OUT_OF_BOUNDS}")

    def point(self, local: str) -> str:
        raise AssertionError("rows of lanes are for processors with vectors")

    def tiles(self, tile: Axis, rows: Axis, lanes: Axis | None, size: int) -> None:
        raise AssertionError("tiles of rows are for processors with caches")

    def offset(self, buffer: str, index: Index) -> str:
        text = super().offset(buffer, index)
        if self.buffers[buffer].layout != "C":
            start = self.argument(f"{buffer}_at", Argument("offset", buffer), "int64")
            text = f"{start} + {text}"
        if buffer in self.private and self.part.groups:
            cells = self.argument(f"{buffer}_cells", Argument("cells", buffer), "int64")
            text = f"{'row' if self.part.chunked else 'slot'} * {cells} + {text}"
        return text

    def checked(self, index: tuple[Any, ...]) -> str:
        return "".join(f" and {i} >= 0" for i in index if isinstance(i, str))

    def guard(self, buffer: str, index: tuple[Any, ...]) -> str:
        """The condition under which a thread writes: scratch memory of a group all its lanes write alike."""
        text = self.checked(index)
        if buffer in self.buffers and self.buffers[buffer].scratch:
            return text.removeprefix(" and ")
        if self.part.groups:
            text += " and live"
        if not self.in_lanes and not (self.part.alone and self.part.ordered):
            text += f" and {self.once}"
        return text.removeprefix(" and ")

    @property
    def once(self) -> str:
        """The condition under which one thread of a group does what they all could."""
        return "lane == 0 and cuda.blockIdx.y == 0" if self.part.chunked else "lane == 0"

    def stored(self, s: Store, value: str) -> str:
        guard = self.guard(s.buffer, s.index)
        text = super().stored(s, value)
        return f"if {guard}: {text}" if guard else text

    def update(self, s: Update) -> None:
        value = cast(self.final(s.value), s.value_dtype, s.dtype)
        k = self.combining.of(s.op, s.dtype)
        guard = self.guard(s.buffer, s.index)
        at = self.offset(s.buffer, s.index)
        copied, summed = s.buffer in self.part.copied, s.buffer in self.part.summed
        if copied or summed:
            cells = self.argument(f"{s.buffer}_cells", Argument("cells", s.buffer), "int64")
            target = self.argument(f"{s.buffer}_copies", Argument("copies", s.buffer), s.dtype, True)
            at = f"slot * {cells}{' * 2' * summed} + {at}" if copied else at
        else:
            target = self.array(s.buffer, True)
        if guard:
            self.line(f"if {guard}:")
            self.depth += 1
        self.line(f"at = unsigned({at})")
        if summed:
            for text in added(target, cells, value, typed("0.0", s.dtype)):
                self.line(text)
        else:
            new = f"combine{k}({as_dtype(f'{target}[at]', s.dtype)}, {value})"
            half = self.buffers[s.buffer].dtype == "float16" and not copied
            self.line(f"{target}[at] = {f'float16({new})' if half else new}")
        if guard:
            self.depth -= 1

    def init(self, s: Init) -> None:
        assert s.op.identity is not None
        self.line(f"{s.acc} = {typed(constant_text(s.op.identity(s.dtype), s.dtype), s.dtype)}")
        self.lost.discard(s.acc)
        inside = [c for x in walk(self.part.body) if isinstance(x, Loop) for c in x.body]
        looped = any(isinstance(c, Combine) and c.acc == s.acc for c in inside)
        if s.acc in self.rising:
            cuda_online.begin(self, self.rising[s.acc])
        if s.op.name == "sum" and s.dtype in _SUMMED and looped:
            self.lost.add(s.acc)
            self.line(f"{s.acc}_lost = {typed('0.0', s.dtype)}")

    def combine(self, s: Combine) -> None:
        value = cast(self.final(s.value), s.value_dtype, s.dtype)
        outside = any(acc.acc == s.acc for acc in self.part.accs)
        if outside and self.part.groups:
            self.line("if live:")
            self.depth += 1
        if s.acc in self.rising:
            cuda_online.meet(self, s.acc, self.rising[s.acc], value)
        elif s.acc in self.lost:
            for text in kept_sum(s.acc, value):
                self.line(text)
        else:
            self.line(f"{s.acc} = combine{self.combining.of(s.op, s.dtype)}({s.acc}, {value})")
        if outside and self.part.groups:
            self.depth -= 1

    def finish(self, acc: Init) -> None:
        """Leave what this block has of an accumulator for the launches behind."""
        leave(self, acc)

    def totals(self, found: tuple[Done, ...]) -> None:
        """Accumulators of an earlier launch, from what its blocks left."""
        collect(self, [s for s in found if not s.top])
        for s in found:
            if s.top:
                cuda_online.collect(self, s)

    def loop(self, s: Loop) -> None:
        axis, shared = s.axis, is_innermost(s) and not self.part.alone
        self.in_lanes = shared
        if self.held is not None and shared:
            sweep(self, s, self.held, self.wide[s] if self.held.count > 1 else None, self.seen)
            self.in_lanes = False
            return
        start = "first"
        if shared and s in self.wide:
            start = groups_of(self, s, self.wide[s])
        if shared and self.flies:
            start = singles_of(self, s, start)
        n = self.size_text[axis]
        self.line(f"for {axis.name} in range({f'{start}, {n}, step' if shared else n}):")
        self.depth += 1
        self.body(s.body)
        self.depth -= 1
        self.in_lanes = False


def emit(
    kernel: Kernel, chunked: bool = False, hold: bool | None = None, much: bool = False
) -> tuple[PartSource, ...]:
    """The launches of ``kernel``, in order; with ``chunked`` those for few long rows.

    With ``hold`` rows are held in registers where they can be, by groups of elements (True) or one by one; ``much``:
    twice as much of them.
    Raises FuseTypeError for what has no text for GPUs.
    """
    parts = parts_of(kernel)
    if chunked:
        parts = [p for part in parts for p in in_chunks(in_one_sweep(part)) or [part]]
    private = private_buffers(kernel, parts)
    found = []
    for number, part in enumerate(parts):
        run = in_one_sweep(part) if hold is None else part
        found.append(replace(CudaEmitter(kernel, run, number, private, hold, much).emit(), part=part))
    return tuple(found)
