"""A loop with the small formulas of numbers around it as one compiled function.

A likelihood's loop takes a few microseconds, and so would making its initial values, calling it, and the kernel that
halves its sum. Here the loop is written as one within a step (`loop_plan.InnerWriter`), between the kernels of numbers
that stand before and after it in the plan; what the rest of the program reads are arguments that it writes to.
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.grouped import LINE, LONGEST, aligned, grouped, resumed
from fuse.codegen.launch import Launcher
from fuse.codegen.load import ArgType, compile_kernel, key_of
from fuse.codegen.loop_emit import NotCompiled, Place, copy_lines, jump_lines, product
from fuse.codegen.loop_plan import InnerWriter
from fuse.codegen.loop_products import SharedProducts
from fuse.codegen.loop_units import Units
from fuse.codegen.region import Region, see_through
from fuse.codegen.sizes import Size
from fuse.codegen.text import as_dtype
from fuse.expr import INPUT, Constant, Expr
from fuse.frontend.loops import Body, arguments
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer

Unit = Region | Expr


def groups(writer: Writer) -> dict[int, GroupWriter]:
    """The groups of a plan, by the positions of their loops."""
    found: dict[int, GroupWriter] = {}
    taken: set[int] = set()
    for position, unit in enumerate(writer.plan.units):
        if isinstance(unit, Region) or not _can_lead(unit):
            continue
        members = _members(writer, position, taken)
        try:
            found[position] = GroupWriter(writer, position, members)
        except NotCompiled:
            continue
        taken.update(members)
    return found


def _can_lead(unit: Expr) -> bool:
    return unit.op.name == "loop" and not unit.params.get("branch")


def _members(writer: Writer, position: int, taken: set[int]) -> list[int]:
    """Positions of the units of the group: kernels of numbers right before the loop, and what can follow it at once."""
    units = writer.plan.units
    first = position
    while first and first - 1 not in taken and _is_of_numbers(units[first - 1]):
        first -= 1
    members = [*range(first, position + 1)]
    later = {v for k in range(position + 1, len(units)) for v in made_by(units[k])}
    for k in range(position + 1, len(units)):
        unit = units[k]
        if k in taken:  # by a group before this one
            later.difference_update(made_by(unit))
            continue
        if not (_is_of_numbers(unit) or isinstance(unit, Expr) and unit.op.name == "part"):
            continue
        if later.isdisjoint(read_by(writer, unit)):
            members.append(k)
            later.difference_update(made_by(unit))
    return members


def _is_of_numbers(unit: Unit) -> bool:
    return isinstance(unit, Region) and not unit.sizes and not any(v.type.ndim for v in (*unit.outputs, *unit.amap))


def made_by(unit: Unit) -> Sequence[Expr]:
    """The values that a unit computes."""
    return unit.outputs if isinstance(unit, Region) else [unit]


def read_by(writer: Writer, unit: Unit) -> list[Expr]:
    """The values in memory that a unit reads, and those that their sizes are found from."""
    sizes = writer.sizes
    hosts = [node for node in _arguments(unit) if isinstance(node.type, TensorType) and sizes.is_host(node)]
    sources = [value for node in hosts for value in _sources(writer, sizes.host(node))]
    return list(dict.fromkeys([*operands_of(writer, unit), *sources]))


def operands_of(writer: Writer, unit: Unit) -> list[Expr]:
    """The values in memory that a unit reads."""
    found: dict[Expr, None] = {}
    for node in _arguments(unit):
        if not isinstance(node.type, TensorType):
            found[node] = None
        elif not writer.sizes.is_host(node):
            found[see_through(node, writer.sizes).base] = None
    return list(found)


def _arguments(unit: Unit) -> Sequence[Expr]:
    return [a for n in unit.amap for a in n.args if a not in unit.amap] if isinstance(unit, Region) else unit.args


def _sources(writer: Writer, size: Size) -> list[Expr]:
    """The values that a size is computed from."""
    if isinstance(size, int):
        return []
    values = [t.args[0] if t.op.name == "shape_i" else t for t in writer.sizes.terminals(size)]
    return [v if v not in writer.sizes.of else see_through(v, writer.sizes).base for v in values]


class GroupWriter(Units):
    """Writes the function of one group, and the lines of the wrapper that call it."""

    around_loop = True

    def __init__(self, writer: Writer, position: int, members: Sequence[int]) -> None:
        self.root = self
        self.writer, self.position, self.members = writer, position, members
        self.sizes, self.plan, self.exact = writer.sizes, writer.plan, writer.program.exact
        self.names: list[str] = []
        self.argtypes: list[ArgType] = []
        self.arguments: list[tuple[Any, ...]] = []
        self.helpers: dict[str, Any] = {}
        self.products = SharedProducts()
        self.before: list[str] = []
        self.least: dict[str, int] = {}
        self.measures: dict[Any, str] = {}
        self.count = 0
        self.lines: list[str] = []
        self.values: dict[Expr, Place | str] = {}
        self.given: dict[Expr, Place] = {}
        self.also: dict[Expr, Place] = {}
        self.stored: set[Place] = set()
        self.rows: dict[Expr, Place] = {}  # what others read in the memory of a state
        self.layouts: dict[str, str] = {}  # of the arrays that are read
        self.aligned: set[str] = set()
        units = [writer.plan.units[k] for k in members]
        after = [unit for k, unit in enumerate(writer.plan.units) if k > position or k in members]
        self.later = {v for unit in after for v in made_by(unit)}
        self.made = {v for unit in units for v in made_by(unit)}
        loop = writer.plan.units[position]
        assert isinstance(loop, Expr)
        self.loop = loop
        if not isinstance(loop.args[0], Constant) and not self.sizes.is_host(loop.args[0]):
            raise NotCompiled("a number of steps that a kernel finds")
        self.steps_of_loop = self.sizes.host(loop.args[0])
        if isinstance(self.steps_of_loop, int) and self.steps_of_loop > LONGEST:
            raise NotCompiled("a loop of so many steps")
        sequences, _, _ = arguments(loop)
        self.sequences = {see_through(x, self.sizes).base for x in sequences}
        self.write(units)

    def write(self, units: Sequence[Unit]) -> None:
        """The text: arguments for what is read and for arrays that others read, the units, what is left to others."""
        wanted = self.wanted(self.members)
        for unit in units:
            for value in operands_of(self.writer, unit):
                if value not in self.made:
                    self.read(value)
        for value in wanted:
            if value.type.ndim and not self.is_of_state(value):
                name = self.argument(value.type.dtype, value.type.ndim, True, ("out", value))
                self.given[value] = Place(name, "0", self.shape(value))
        for unit in units:
            if isinstance(unit, Region):
                self.region(unit)
            elif unit is self.loop:
                self.inner_loop(unit)
        for value in wanted:
            self.leave(value)

    def is_of_state(self, value: Expr) -> bool:
        """Whether kept values are those of a state with the one before the first step among them."""
        body: Body = self.loop.params["body"]
        m = value.params["i"] - len(body.states) if self.loop in value.args else -1
        if not 0 <= m < len(body.ys):
            return False
        pairs = zip(body.states, body.nexts, strict=True)
        return any(x in body.ys and body.ys[m] in (x, new) for x, new in pairs if x.type.ndim)

    def leave(self, value: Expr) -> None:
        """Store a value where others read it."""
        place = self.values[value]
        if not value.type.ndim:
            name = self.argument(value.type.dtype, 0, True, ("out", value))
            self.lines.append(f"store({name}, 0, {as_dtype(self.number(value), value.type.dtype)})")
        elif value not in self.given:
            assert isinstance(place, Place)
            self.rows[value] = place
        elif place != self.given[value]:
            assert isinstance(place, Place)
            self.lines += copy_lines(self.fresh("c"), place, self.given[value])

    def wanted(self, members: Sequence[int]) -> list[Expr]:
        """The values of the group that others read, results and ints among them: those sizes may be found from."""
        outside: set[Expr] = set()
        for k, unit in enumerate(self.plan.units):
            if k not in members:
                outside.update(read_by(self.writer, unit))
        for result in self.writer.results:
            outside.add(see_through(result, self.sizes).base if isinstance(result.type, TensorType) else result)
        made = [v for k in members for v in made_by(self.plan.units[k]) if v is not self.loop]
        return [v for v in made if v in outside or not v.type.ndim and v.type.dtype.startswith(("int", "uint"))]

    def read(self, value: Expr) -> None:
        """Make an argument of a value that exists before."""
        if value in self.values or isinstance(value, Constant) and not value.type.ndim:
            return
        if not isinstance(value.type, TensorType) or value.type.dtype == "float16":
            raise NotCompiled("a value of another type")
        dtype, ndim = value.type.dtype, value.type.ndim
        if ndim == 0 and value.op is INPUT:
            self.values[value] = self.argument(dtype, None, False, ("given", value))
            return
        name = self.argument(dtype, ndim, False, ("given", value))
        self.layouts[name] = "C"
        if ndim == 0:
            self.before.append(f"{name}_now = load({name}, 0)")
            self.values[value] = f"{name}_now"
        elif value in self.sequences:
            shape = self.shape(value)
            self.layouts[name] = "S-1"
            self.before.append(f"{name}_step = stride({name}, 0)")
            rows = [product(shape[d + 1:]) for d in range(1, ndim)]
            self.values[value] = Place(name, "0", shape, (f"{name}_step", *rows))
        else:
            self.values[value] = Place(name, "0", self.shape(value))

    # ------------------------------------------------------------ what the units ask for
    def size(self, size: Size) -> str:
        size = self.sizes.find(size)
        if isinstance(size, int):
            return str(size)
        if size not in self.measures:
            for value in _sources(self.writer, size):
                known = value in self.sizes.of or value.type.ndim and value in self.writer.program.inputs
                if value in self.later or not known:  # of a step, for one
                    raise NotCompiled("sizes that the loop finds")
            self.measures[size] = f"n{len(self.measures)}"
        return self.measures[size]

    def line_memory(self, dtype: str, shape: Sequence[str]) -> str:
        """Memory that begins, ``<name>_line`` elements on, at a line of the caches."""
        itemsize = np.dtype(dtype).itemsize
        name = self.argument(dtype, 1, True, ("scratch", dtype, tuple(shape), LINE // itemsize))
        self.before.append(f"{name}_line = ({LINE} - address({name}, 0) % {LINE}) % {LINE} // {itemsize}")
        self.aligned.add(name)
        return name

    def rows_memory(self, dtype: str, shape: Sequence[str]) -> str:
        """Memory for the values of a state in all steps, which others may read then."""
        return self.argument(dtype, len(shape), True, ("rows", dtype, tuple(shape)))

    def equal(self, left: Size, right: Size) -> None:
        if self.sizes.find(left) != self.sizes.find(right):
            self.lines += [f"if {self.size(left)} != {self.size(right)}:", "    return 3"]

    def inner_loop(self, node: Expr) -> None:
        self.lines += InnerWriter(self, node).emitted()

    # ------------------------------------------------------------ the function and its call
    @property
    def text(self) -> str:
        numbers = list(self.measures.values())
        lines = []
        if self.layouts:
            wanted = "; ".join([" ".join([layout, *["?"] * (self.ndim(x) or 0)]) for x, layout in self.layouts.items()])
            lines = [f"status = refused('{wanted}', {', '.join(self.layouts)})", "if status != 0:", "    return status"]
        for name, layout in self.layouts.items():
            if layout == "S-1":
                lines += jump_lines(name, self.ndim(name) or 0)
        lines += [*self.before, *self.lines, "return 0"]
        start = f"{self.products.text}def kernel({', '.join([*numbers, *self.names])}):\n"
        return start + "\n".join("    " + x for x in lines) + "\n"

    def ndim(self, name: str) -> int | None:
        return self.argtypes[self.names.index(name)].ndim

    def write_call(self) -> None:
        """The lines of the wrapper that call the function, and the names of what it computes."""
        writer = self.writer
        count = writer.size(self.steps_of_loop)
        if not count.isdigit():
            writer.line(f"if {count} > {LONGEST}: return serve_long(({writer.arguments}))")
        sizes = {name: writer.size(size) for size, name in self.measures.items()}
        given = []
        for kind, *what in self.arguments:
            if kind == "given":
                value = what[0]
                is_number = value.op is INPUT and not value.type.ndim
                given.append(writer.env[value] if is_number else writer.as_array(value))
            elif kind == "out":
                given.append(writer.allocate(what[0]))
                writer.env[what[0]] = given[-1]
                writer.owned.add(what[0])
            elif kind == "rows":
                dtype, shape = what
                given.append(writer.fresh("t"))
                count = "".join([f"{sizes.get(n, n)}, " for n in shape])
                writer.scope["aligned"] = aligned
                writer.line(f"{given[-1]} = aligned(({count}), {writer.dtype(dtype)})")
            else:  # scratch
                dtype, shape, *more = what
                count = " + ".join([product([sizes.get(n, n) for n in shape]), *map(str, more)])
                given.append(writer.fresh("t"))
                writer.line(f"{given[-1]} = empty(({count},), {writer.dtype(dtype)})")
        start = time.perf_counter()
        types = (*[ArgType("int64", None)] * len(sizes), *self.argtypes)
        kernel = compile_kernel(self.text, "kernel", types, self.helpers)
        data = key_of(kernel), self.text, tuple([(t.dtype, t.ndim, t.writable) for t in types])
        read = enumerate(self.names, len(sizes))
        walked = tuple([(k, self.layouts[x] == "S-1") for k, x in read if x in self.layouts])
        passed = ", ".join([*sizes.values(), *given])
        whole = grouped(*data)
        whole.made_in = time.perf_counter() - start  # for profiles
        function, general = writer.give("loop", whole), writer.give("rest", resumed(*data, walked))
        writer.line("try:")
        writer.line(f"    if {function}({passed}): {general}({passed})")
        writer.line(f"except SizeMismatch: return serve(({writer.arguments}))")
        memory = dict(zip(self.names, given, strict=True))
        for value, place in self.rows.items():
            writer.env[value] = writer.fresh("t")
            part = ":-1" if place.offset == "0" else "1:"
            writer.line(f"{writer.env[value]} = {memory[place.buffer]}[{part}]")
        held = dict.fromkeys([memory[place.buffer] for place in self.rows.values()])
        if held:  # by those views, for as long as somebody reads them
            writer.line(f"del {', '.join(held)}")


def write_member(writer: Writer, unit: Unit) -> None:
    """What a unit leaves behind that a group computes: kernels keep their numbers."""
    if isinstance(unit, Region):
        writer.launchers.append(Launcher(unit, writer.sizes, writer.operands, writer.program.exact))

