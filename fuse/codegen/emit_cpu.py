"""Emission for the CPU: a Kernel as the source of one Python function that Numba compiles.

The function returns a status: 0, or one of the codes below, so that no kernel ever raises. Offsets are counted in
elements; every array's sizes are checked against the loops before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fuse.codegen import mathlib, tape
from fuse.codegen.emit_parts import first_indices
from fuse.codegen.emit_rows import Rows
from fuse.codegen.emit_sums import CHUNK, REORDERED
from fuse.codegen.emit_turning import TurningEmitter
from fuse.codegen.inline import compute_dtype, constant_text, inline
from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Buffer,
    Combine,
    Compute,
    Const,
    Get,
    Init,
    Kernel,
    Load,
    Loop,
    Position,
    Put,
    Store,
    Update,
    index_width,
)
from fuse.codegen.lanes import (
    FEW_ROWS,
    LANES_TOGETHER,
    MANY_ROWS,
    NARROW_BLOCK,
    ROW_BLOCK,
    TILE,
    lane_block,
    longest_sweep,
)
from fuse.codegen.load import ArgType
from fuse.codegen.native import PART
from fuse.codegen.runner import EMPTY_REDUCTION, LONG_ROWS, OK, OUT_OF_BOUNDS, SHORT_ROWS
from fuse.codegen.text import as_dtype, cast, comparison, is_innermost, parameter_dtype, wrapping


@dataclass(frozen=True)
class Source:
    """Source text of a kernel, its entry, its argument types, and the helpers it calls."""

    text: str
    entry: str
    argtypes: tuple[ArgType, ...]
    helpers: Mapping[str, Any]
    tape: tape.Tape | None = None


class _Emitter(TurningEmitter):
    def __init__(self, kernel: Kernel, much: bool) -> None:
        super().__init__()
        self.much = much
        self.kernel = kernel
        self.lines: list[str] = []
        self.depth = 1
        self.helpers: dict[str, Any] = {}
        self.buffers: dict[str, Buffer] = {b.name: b for b in kernel.buffers}
        self.buffers |= {x.name: Buffer(x.name, x.dtype, index_width(x.axes), True) for x in kernel.locals if not x.row}
        self.rows = {x.name: x for x in kernel.locals}
        self.lane: str | None = None
        self.bounded: set[str] = set()  # values that are known to be indices
        self.lane_axes: list[Axis] = []
        self.row = 0  # of those that are side by side

    def resolve(self, name: str, dtype: str) -> tuple[str, Any]:
        """How a kernel calls ``mathlib.name`` at ``dtype``: the text to call, and the function to provide under it."""
        found = mathlib.resolve(name, dtype, "cpu")
        return (found, None) if isinstance(found, str) else (f"{name}_{dtype}", found)

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    # ------------------------------------------------------------ whole
    def emit(self) -> Source:
        kernel = self.kernel
        given = [b for b in kernel.buffers if not b.lent]
        names = [b.name for b in given] + [s.name for s in kernel.scalars]
        is_shared = self.much and any(isinstance(s, Loop) and s.split for s in kernel.body)
        self.find_tapes(kernel)
        self.prologue()
        if is_shared:
            names.append("part")
            self.parts()
        elif self.is_taped(kernel.body):
            self.taped(kernel.body, None)
        else:
            self.whole()
        self.line(f"return {OK}")
        names += ["code", "table"] if self.recorder else []
        text = f"def kernel({', '.join(names)}):\n" + "\n".join(self.lines) + "\n"
        argtypes = [ArgType(b.dtype, b.ndim, b.output) for b in given]
        argtypes += [ArgType(parameter_dtype(s.dtype), None) for s in kernel.scalars]
        argtypes += [ArgType(PART, self.slots)] * is_shared
        if self.recorder is None:
            return Source(text, "kernel", tuple(argtypes), self.helpers)
        return Source(text, "kernel", (*argtypes, *tape.ARGTYPES), self.helpers, self.recorder.finish())

    def prologue(self) -> None:
        kernel = self.kernel
        for k, (axis, source) in enumerate(zip(kernel.axes, kernel.sizes, strict=False)):
            name = f"n{k}"
            match source:
                case ("static", size):
                    self.size_text[axis] = str(size)
                case ("buffer", buffer, dimension):
                    self.line(f"{name} = size({buffer}, {dimension})")
                    self.size_text[axis] = name
                case ("scalar", scalar):
                    self.size_text[axis] = scalar
        for axis in kernel.axes:
            if axis.parts:
                name = "n" + axis.name.replace("i", "_")
                self.line(f"{name} = {' * '.join(self.size_text[p] for p in axis.parts)}")
                self.size_text[axis] = name
        for axis, source in zip(kernel.axes, kernel.sizes, strict=False):
            if source[0] == "tiles":
                self.tiles(axis, *source[1:])
        first = first_indices(kernel)
        self.check_buffers([(b, self.extents(b, first.get(b.name, ()))) for b in kernel.buffers if not b.lent])
        if kernel.nonempty:
            self.line(f"if {' or '.join(f'{self.size_text[a]} == 0' for a in kernel.nonempty)}:")
            self.line(f"    return {EMPTY_REDUCTION}")
        if kernel.rows is not None:
            across, along = [self.size_text[a] for a in kernel.rows]
            short = f"{along} <= {kernel.short} and {across} >= {MANY_ROWS}"
            self.line(f"if not ({short}):" if kernel.turned else f"if {short}:")
            self.line(f"    return {LONG_ROWS if kernel.turned else SHORT_ROWS}")
        for acc, dtype in self.row_sums() if self.recorder is None else []:
            self.line(f"{acc}_row = scratch('{dtype}', {CHUNK})")
        rows = [x for x in kernel.locals if x.row]
        for row in rows:
            self.line(f"{row.name} = scratch('{row.dtype}', {lane_block(rows) if len(row.axes) == 1 else TILE})")

    def extents(self, buffer: Buffer, index: tuple[Any, ...]) -> list[str]:
        """The text of the size that each dimension must have, "?" where any will do."""
        sizes: list[str] = []
        if any(isinstance(entry, Axis) and entry.parts for entry in index) and any(entry == 0 for entry in index):
            return ["?"] * buffer.ndim  # a size of 1 may stand between dimensions that are one axis here
        for entry in index:
            if isinstance(entry, Axis):
                sizes.extend(self.size_text[p] for p in (entry.parts or (entry,)))
            else:
                sizes.append("1" if entry == 0 and not isinstance(entry, str) else "?")
        return sizes if len(sizes) == buffer.ndim else ["?"] * buffer.ndim

    def check_buffers(self, wanted: list[tuple[Buffer, list[str]]]) -> None:
        """One test of the layouts and sizes of all arrays: statement by statement it took most of the compile time."""
        if not wanted:
            return
        sizes = dict.fromkeys(n for _, extents in wanted for n in extents if n.isidentifier())
        text = "; ".join(" ".join([b.layout, *extents]) for b, extents in wanted)
        self.line(f"status = refused({', '.join([repr(text), *(b.name for b, _ in wanted), *sizes])})")
        self.line("if status != 0:")
        self.line("    return status")

    # ------------------------------------------------------------ statements
    def body(self, statements: tuple[Any, ...]) -> None:
        for s in statements:
            self.statement(s)

    def statement(self, s: Any) -> None:
        match s:
            case Loop():
                self.loop(s)
            case Load():
                self.load(s)
            case Const():
                if self.is_only_taped(s):
                    return
                self.line(f"{s.name} = {constant_text(s.value, s.dtype)}")
            case Position():
                text = "0"
                for k, axis in enumerate(s.axes):
                    text = axis.name if k == 0 else f"({text}) * {self.size_text[axis]} + {axis.name}"
                self.line(f"{s.name} = {text}")
            case Bounded():
                size = self.size_text[s.size] if isinstance(s.size, Axis) else s.size
                self.index(s.name, s.value, size)
                self.bounded.add(s.name)
            case Compute():
                self.compute(s)
            case Store():
                self.line(self.stored(s, self.final(s.value)))
            case Update():
                at = self.offset(s.buffer, s.index)
                value = cast(self.final(s.value), s.value_dtype, s.dtype)
                self.line(f"store({s.buffer}, {at}, {REORDERED[s.op.name]}(load({s.buffer}, {at}), {value}))")
            case Init():
                self.init(s)
            case Combine():
                self.combine(s)
            case Get():
                self.line(f"{s.name} = {as_dtype(f'load({s.local}, {self.point(s.local)})', s.dtype)}")
            case Put():
                self.line(f"store({s.local}, {self.point(s.local)}, {self.final(s.value)})")

    def load(self, s: Load) -> None:
        index = list(s.index)
        dimension = 0
        for k, entry in enumerate(index):
            if isinstance(entry, str) and entry not in self.bounded:
                self.index(f"{s.name}_{k}", entry, f"size({s.buffer}, {dimension})")
                index[k] = f"{s.name}_{k}"
            dimension += entry.width if isinstance(entry, Axis) else 1
        text, kept = f"load({s.buffer}, {self.offset(s.buffer, tuple(index))})", self.buffers[s.buffer].dtype
        self.line(f"{s.name} = {text if kept in (s.dtype, 'float16') else as_dtype(text, s.dtype)}")

    def index(self, name: str, value: str, size: str) -> None:
        """``name`` = ``value`` as an index below ``size``, counted from the end where it is negative."""
        self.line(f"{name} = int64({value})")
        self.line(f"{name} = {name} + {size} if {name} < 0 else {name}")
        self.line(f"if {name} < 0 or {name} >= {size}:")
        self.leave(str(OUT_OF_BOUNDS))

    def offset(self, buffer: str, index: tuple[Any, ...]) -> str:
        b = self.buffers[buffer]
        terms: list[str] = []
        dimension = 0
        spans: list[tuple[str, int, int]] = []
        for entry in index:
            width = entry.width if isinstance(entry, Axis) else 1
            text = entry.name if isinstance(entry, Axis) else str(entry)
            spans.append((text, dimension, width))
            dimension += width
        for k, (text, d, _) in enumerate(spans):
            if text == "0":
                continue
            if b.layout == "C":
                later = []
                for (other, e, _), entry in zip(spans[k + 1 :], index[k + 1 :], strict=True):
                    if isinstance(entry, Axis):
                        later.append(self.size_text[entry])
                    elif other != "0":
                        later.append(f"size({buffer}, {e})")
                later = [n for n in later if n != "1"]
                terms.append(
                    f"{text} * ({' * '.join(later)})" if len(later) > 1 else f"{text} * {later[0]}" if later else text
                )
            elif int(b.layout[1:]) == d:
                terms.append(text)
            else:
                terms.append(f"{text} * {self.step(buffer, d)}")
        return " + ".join(terms) or "0"

    def compute(self, s: Compute) -> None:
        args = [
            cast(self.final(a), have, want) for a, have, want in zip(s.args, s.arg_dtypes, s.signature, strict=True)
        ]
        named = []
        for k, text in enumerate(args):
            if text.isidentifier():
                named.append(text)
            else:
                self.line(f"{s.name}_a{k} = {text}")
                named.append(f"{s.name}_a{k}")
        params = dict(s.params)
        if s.op.name == "cast":
            text = cast(named[0], s.signature[0], s.dtype)
            self.line(f"{s.name} = {f'half({text})' if params['dtype'] == 'float16' else text}")
            return
        mixed = comparison(s.op.name, s.signature, named) or wrapping(s.op.name, s.signature, named)
        if mixed is not None:
            self.line(f"{s.name} = {mixed}")
            return
        dtype = compute_dtype(s.signature)
        lines, result, helpers = inline(s.op, named, params, dtype, self.resolve, s.name)
        self.helpers.update(helpers)
        for text in lines:
            self.line(text)
        # Literals are typed, so arithmetic among float64 is float64 already; narrower results Numba would widen.
        plain = s.dtype == "float64" and all(d == "float64" for d in s.signature)
        self.line(f"{s.name} = {result if plain else as_dtype(result, s.dtype)}")

    # ------------------------------------------------------------ loops
    def loop(self, s: Loop) -> None:
        axis = s.axis
        if self.is_taped(s.body):
            self.taped(s.body, axis)
            return
        if s.kind == "block":
            self.blocked(s)
            return
        if self.is_turning(s):
            self.turning(s)
            return
        if s.kind == "lane":
            combined = [c for c in s.body if isinstance(c, Combine) and c.acc in self.compensated]
            with self.summed_lanes({c.acc: c.dtype for c in combined}):
                self.lanes(s)
            return
        if s.kind == "tile":
            self.tile(s)
            return
        sums = [c for c in s.body if isinstance(c, Combine) and c.acc in self.compensated] if is_innermost(s) else []
        if sums and not self.is_short(axis):
            self.chunked(s, sums)
            return
        if self.has_two_forms(s):
            self.in_two_forms(s)
            return

        def write() -> None:
            self.line(f"for {axis.name} in {self.indices(axis)}:")
            self.depth += 1
            if is_innermost(s):
                self.independent(s)
            self.body(s.body)
            self.depth -= 1

        self.with_steps(s, lambda: self.either(s, *self.range(axis), write)) if is_innermost(s) else write()

    def in_two_forms(self, s: Loop) -> None:
        """A loop over rows twice: for rows that are one chunk, and for longer ones."""
        (along,) = [c.axis for c in s.body if isinstance(c, Loop)]
        self.line(f"if {self.size_text[along]} <= {CHUNK}:")
        self.depth += 1
        self.single.add(along)
        self.loop(s)
        self.depth -= 1
        self.line("else:")
        self.depth += 1
        self.single = {s.axis}  # of the loop itself: it is not taken apart again
        self.loop(s)
        self.depth -= 1
        self.single = set()

    def lanes(self, s: Loop) -> None:
        axis, first = s.axis, ""
        if s.width:
            first = f"{axis.name}_whole, "
            self.side_by_side(s)
        self.with_steps(s, lambda: self.lane_loop(s, first)) if is_innermost(s) else self.lane_loop(s, first)

    def lane_loop(self, s: Loop, first: str) -> None:
        axis, lane = s.axis, f"{s.axis.name}_lane"
        self.line(f"for {lane} in range({first}{axis.name}_count):")
        self.depth += 1
        if is_innermost(s):
            self.independent(s)
        self.line(f"{axis.name} = {axis.name}_start + {lane}")
        outer, self.lane = self.lane, lane
        self.lane_axes.append(axis)
        self.body(s.body)
        self.lane_axes.pop()
        self.lane = outer
        self.depth -= 1

    def side_by_side(self, s: Loop) -> None:
        """The lanes up to a multiple of ``s.width``, so many rows at a time."""
        name, rows = s.axis.name, Rows(s, s.width)
        self.line(f"{name}_whole = {name}_count - {name}_count % {s.width}")
        self.line(f"for {name}_group in range({name}_count // {s.width}):")
        self.depth += 1
        for k, copy in enumerate(rows.copies):
            self.size_text[copy] = self.size_text[s.axis]
            self.line(f"{copy.name}_lane = {name}_group * {s.width} + {k}")
            self.line(f"{copy.name} = {name}_start + {copy.name}_lane")
        self.beside = rows
        self.lane_axes.extend(rows.copies)
        for statement in s.body:
            if isinstance(statement, Loop):
                self.statement(rows.together(statement))
                continue
            for k in range(s.width):
                self.row = k
                self.statement(rows.copy(statement, k))
        self.beside = None
        del self.lane_axes[-s.width :]
        self.depth -= 1

    def blocked(self, s: Loop) -> None:
        """The lanes of ``s.axis`` in blocks: of about equal width, or of as many as a tile holds."""
        name, widest = s.axis.name, lane_block([x for x in self.kernel.locals if x.row])
        low, high = self.range(s.axis)
        n = high if low == "0" else f"{name}_lanes"
        if n != high:
            self.line(f"{n} = {high} - {low}")
        block, width = f"b{name}", f"{name}_width"
        if s.along is not None:
            fewer = f"{ROW_BLOCK} // larger({self.size_text[s.along]}, 1)"
            self.line(f"{width} = larger(smaller({fewer}, {min(s.width, widest)}), 1)")
        elif s.width:
            self.line(f"{width} = {min(s.width, widest)}")
            self.widths[s.axis] = str(min(s.width, widest))
        elif self.kernel.turned and self.kernel.rows is not None:
            along = self.size_text[self.kernel.rows[1]]
            self.line(f"{width} = smaller({TILE} // larger({along}, 1) & -{LANES_TOGETHER}, {widest})")
        else:
            self.even_width(s, n, width, widest)
        self.line(f"for {block} in range(({n} + {width} - 1) // {width}):")
        self.depth += 1
        self.line(f"{name}_start = {'' if low == '0' else f'{low} + '}{block} * {width}")
        self.line(f"{name}_count = smaller({width}, {high} - {name}_start)")
        self.body(s.body)
        self.depth -= 1

    def even_width(self, s: Loop, n: str, width: str, widest: int) -> None:
        """Wide blocks read memory in long pieces; where there are few rows, all of a narrow block stays in cache."""
        name = s.axis.name
        rows = longest_sweep(s.body, self.size_text) if widest > NARROW_BLOCK else ""
        self.line(f"{width} = {f'{NARROW_BLOCK} if {rows} <= {FEW_ROWS} else {widest}' if rows else widest}")
        self.line(f"{name}_blocks = larger(({n} + {width} - 1) // {width}, 1)")
        self.line(f"{width} = larger(({n} + {name}_blocks - 1) // {name}_blocks + 15 & -16, 16)")

    def point(self, local: str) -> str:
        """Where in the scratch memory ``local`` the element of this iteration is."""
        axes = self.rows[local].axes
        if self.beside is not None:
            axes = tuple([self.beside.copies[self.row] if a == self.beside.axis else a for a in axes])
        *outer, lane = [f"{a.name}_lane" if a in self.lane_axes else a.name for a in axes]
        assert len(outer) <= 1
        return f"{outer[0]} * {self.widths.get(axes[-1], f'{axes[-1].name}_width')} + {lane}" if outer else lane

    def independent(self, s: Loop) -> None:
        for c in s.body:
            scattered = isinstance(c, Store) and any(isinstance(i, str) for i in c.index)
            if (scattered or isinstance(c, Update)) and s.axis not in c.index:
                return  # iterations meet in one element
        if any(isinstance(c, (Store, Update, Put)) or isinstance(c, Combine) and c.lane for c in s.body):
            self.line("independent()")


def emit(kernel: Kernel, much: bool = False) -> Source:
    """The source of ``kernel`` for the CPU: the short one, which refuses much work, or the one that threads share.

    Work that the short one does has one block in each reduction of the other, so that both give the same bits.
    """
    return _Emitter(kernel, much).emit()


def has_tape(kernel: Kernel) -> bool:
    """Whether a tape runs part of the kernel."""
    emitter = _Emitter(kernel, False)
    emitter.find_tapes(kernel)
    return emitter.recorder is not None
