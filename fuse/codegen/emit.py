"""Emission without a target: the statements of a Kernel as lines of Python, and the places that they read and write.

What each statement means as text is the same everywhere: constants, arithmetic, positions, checked indices, offsets in
elements. How loops run, how reductions are kept and how elements are reached is the target's (`emit_cpu.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from fuse.codegen import mathlib
from fuse.codegen.inline import compute_dtype, constant_text, inline
from fuse.codegen.kernel import (
    Axis,
    Bounded,
    Buffer,
    Combine,
    Compute,
    Const,
    Get,
    Index,
    Init,
    Kernel,
    Load,
    Loop,
    Position,
    Put,
    Store,
    Update,
    index_width,
    walk,
)
from fuse.codegen.text import as_dtype, cast, comparison, wrapping


class Emitter(ABC):
    """Writes a kernel's statements. A target gives what is abstract, and what it does otherwise."""

    target: str  # whose functions `mathlib` gives

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.depth = 1
        self.helpers: dict[str, Any] = {}
        self.buffers: dict[str, Buffer] = {b.name: b for b in kernel.buffers}
        self.buffers |= {x.name: Buffer(x.name, x.dtype, index_width(x.axes), True) for x in kernel.locals if not x.row}
        self.size_text: dict[Axis, str] = {}
        self.bounds: dict[Axis, tuple[str, str]] = {}
        self.bounded: set[str] = set()  # values that are known to be indices

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    # ------------------------------------------------------------ what the target gives
    @abstractmethod
    def loop(self, s: Loop) -> None:
        """The loop with its body."""

    @abstractmethod
    def init(self, s: Init) -> None:
        """The start of a reduction."""

    @abstractmethod
    def combine(self, s: Combine) -> None:
        """One step of a reduction."""

    @abstractmethod
    def update(self, s: Update) -> None:
        """One step of a reduction that is kept in memory, or of a scatter."""

    @abstractmethod
    def refuse(self) -> None:
        """Leave the kernel, an index lying outside of its array; as the body of an `if`."""

    @abstractmethod
    def point(self, local: str) -> str:
        """Where in the scratch memory ``local`` the element of this iteration is."""

    @abstractmethod
    def tiles(self, tile: Axis, rows: Axis, lanes: Axis | None, size: int) -> None:
        """The size of an axis that counts tiles of rows, of ``size`` bytes for each lane, or else pieces of one row."""

    def resolve(self, name: str, dtype: str) -> tuple[str, Any]:
        """How a kernel calls ``mathlib.name`` at ``dtype``: the text to call, and the function to provide under it."""
        found = mathlib.resolve(name, dtype, self.target)
        return (found, None) if isinstance(found, str) else (f"{name}_{dtype}", found)

    def final(self, name: str) -> str:
        """A value as it is used."""
        return name

    def size(self, buffer: str, dimension: int) -> str:
        """The number of elements of a dimension."""
        return f"size({buffer}, {dimension})"

    def step(self, buffer: str, dimension: int) -> str:
        """The stride of a dimension, in elements."""
        return f"stride({buffer}, {dimension})"

    def loaded(self, buffer: str, at: str) -> str:
        """The element at an offset."""
        return f"load({buffer}, {at})"

    def kept(self, buffer: str, at: str, value: str) -> str:
        """The statement that writes an element."""
        return f"store({buffer}, {at}, {value})"

    # ------------------------------------------------------------ sizes
    def name_sizes(self) -> None:
        """Bind the size of every axis: known ones are text, others names with what they are read from."""
        kernel = self.kernel
        for k, (axis, source) in enumerate(zip(kernel.axes, kernel.sizes, strict=False)):
            match source:
                case ("static", size):
                    self.size_text[axis] = str(size)
                case ("buffer", buffer, dimension):
                    self.line(f"n{k} = {self.size(buffer, dimension)}")
                    self.size_text[axis] = f"n{k}"
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

    def range(self, axis: Axis) -> tuple[str, str]:
        """The text of the first index of an axis, and of the one after its last, as walked here."""
        return self.bounds.get(axis, ("0", self.size_text[axis]))

    def indices(self, axis: Axis) -> str:
        """The text of the indices of an axis as walked here."""
        low, high = self.range(axis)
        return f"range({high})" if low == "0" else f"range({low}, {high})"

    def extents(self, buffer: Buffer, index: Index) -> list[str]:
        """The text of the size that each dimension must have, "?" where any will do."""
        named = {None: "?", 1: "1"}
        return [self.size_text[n] if isinstance(n, Axis) else named[n] for n in extents(buffer, index)]

    # ------------------------------------------------------------ statements
    def body(self, statements: Iterable[Any]) -> None:
        for s in statements:
            self.statement(s)

    def statement(self, s: Any) -> None:
        match s:
            case Loop():
                self.loop(s)
            case Load():
                self.load(s)
            case Const():
                self.const(s)
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
                self.update(s)
            case Init():
                self.init(s)
            case Combine():
                self.combine(s)
            case Get():
                self.line(f"{s.name} = {as_dtype(self.loaded(s.local, self.point(s.local)), s.dtype)}")
            case Put():
                self.line(self.kept(s.local, self.point(s.local), self.final(s.value)))

    def const(self, s: Const) -> None:
        self.line(f"{s.name} = {constant_text(s.value, s.dtype)}")

    def stored(self, s: Store, value: str) -> str:
        """The statement of a store, given the text of its value."""
        return self.kept(s.buffer, self.offset(s.buffer, s.index), value)

    def load(self, s: Load) -> None:
        index = list(s.index)
        dimension = 0
        for k, entry in enumerate(index):
            if isinstance(entry, str) and entry not in self.bounded:
                self.index(f"{s.name}_{k}", entry, self.size(s.buffer, dimension))
                index[k] = f"{s.name}_{k}"
            dimension += entry.width if isinstance(entry, Axis) else 1
        text, kept = self.loaded(s.buffer, self.offset(s.buffer, tuple(index))), self.buffers[s.buffer].dtype
        self.line(f"{s.name} = {text if kept in (s.dtype, 'float16') else as_dtype(text, s.dtype)}")

    def index(self, name: str, value: str, size: str) -> None:
        """``name`` = ``value`` as an index below ``size``, counted from the end where it is negative."""
        self.line(f"{name} = int64({value})")
        self.line(f"{name} = {name} + {size} if {name} < 0 else {name}")
        self.line(f"if {name} < 0 or {name} >= {size}:")
        self.refuse()

    def offset(self, buffer: str, index: Index) -> str:
        """The text of where an element is, in elements from the first."""
        b = self.buffers[buffer]
        terms: list[str] = []
        dimension = 0
        spans: list[tuple[str, int]] = []
        for entry in index:
            spans.append((entry.name if isinstance(entry, Axis) else str(entry), dimension))
            dimension += entry.width if isinstance(entry, Axis) else 1
        for k, (text, d) in enumerate(spans):
            if text == "0":
                continue
            if b.layout == "C":
                later = []
                for (other, e), entry in zip(spans[k + 1 :], index[k + 1 :], strict=True):
                    if isinstance(entry, Axis):
                        later.append(self.size_text[entry])
                    elif other != "0":
                        later.append(self.size(buffer, e))
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


def first_indices(kernel: Kernel) -> dict[str, Index]:
    """How each buffer is first loaded or stored."""
    found: dict[str, Index] = {}
    for s in walk(kernel.body):
        if isinstance(s, (Load, Store, Update)):
            found.setdefault(s.buffer, s.index)
    return found


def extents(buffer: Buffer, index: Index) -> list[Axis | int | None]:
    """The size that each dimension of a buffer, indexed so, must have: an axis's, 1, or None where any will do."""
    if any(isinstance(entry, Axis) and entry.parts for entry in index) and any(entry == 0 for entry in index):
        return [None] * buffer.ndim  # a size of 1 may stand between dimensions that are one axis here
    sizes: list[Axis | int | None] = []
    for entry in index:
        if isinstance(entry, Axis):
            sizes.extend(entry.parts or (entry,))
        else:
            sizes.append(1 if entry == 0 and not isinstance(entry, str) else None)
    return sizes if len(sizes) == buffer.ndim else [None] * buffer.ndim
