"""Plans of compiled loops: the body's plan as the text of one function, and what each of its arguments is.

``LoopWriter`` plans the body as any formula is planned, gives every value a place (a register, a row of a result, one
of two halves of a state's memory) and writes the steps. What it makes is plain data, a `LoopRecipe`, so that plans
with loops in them are kept on disk like any other.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse import rules
from fuse.codegen import loop_changes
from fuse.codegen.load import ArgType, compile_kernel, key_of
from fuse.codegen.loop_blocks import in_blocks
from fuse.codegen.loop_emit import NotCompiled, Place, copy_lines, jump_lines, plus, product, total
from fuse.codegen.loop_entry import ROOM, Argument, LoopRecipe
from fuse.codegen.loop_steps import Steps
from fuse.codegen.loop_units import Units
from fuse.codegen.region import see_through
from fuse.codegen.sizes import Size, in_ints
from fuse.codegen.text import as_dtype
from fuse.expr import CONSTANT, INPUT, Expr, constant, substitute, toposort
from fuse.frontend.loops import Body, arguments
from fuse.looping.branches import is_deep
from fuse.looping.tidy import tidied
from fuse.op import OPS

_WITH_SIZES = ("kept", "scratch", "slots")  # arguments that end in the sizes of what is made for them


class LoopWriter(Steps):
    """Writes the function of one body."""

    steps_done = "step if step_on else -step"  # negative where the condition ended them

    def __init__(self, body: Body, exact: bool = False, for_file: bool = False) -> None:
        self.root, self.exact, self.for_file = self, exact, for_file
        self.names: list[str] = []
        self.argtypes: list[ArgType] = []
        self.arguments: list[Argument] = []
        self.helpers: dict[str, Any] = {}
        self.before: list[str] = []
        self.after: list[str] = []
        self.least: dict[str, int] = {}  # sizes that are at least so large
        self.measures: dict[Any, str] = {}  # sizes, by the names of the parameters that they are
        self.also_equal: list[tuple[Size, Size]] = []  # sizes of inner loops that must be the same
        self.blocks: list[str] | None = None  # the steps in blocks, where that serves
        self.count = 0
        self.step = "step"
        self.steps = "stop"
        self.prepare(body)
        self.cells: dict[int, str] = {}
        for k, x in enumerate(body.sequences):
            name = self.argument(x.type.dtype, x.type.ndim + 1, False, ("sequence", k))
            self.before.append(f"{name}_step = stride({name}, 0)")
            self.element(x, Place(name, f"step * {name}_step", self.shape_of_leaf(x)))
        for k, x in enumerate(body.fixed):
            name = self.argument(x.type.dtype, x.type.ndim, False, ("fixed", k))
            if x.type.ndim == 0:
                self.before.append(f"{name}_now = load({name}, 0)")
                self.values[x] = f"{name}_now"
            else:
                self.values[x] = Place(name, "0", self.shape_of_leaf(x))
        self.write()
        if body.until is not None:
            name = self.argument("int64", 0, True, ("done",))
            self.where["done"] = (len(self.arguments) - 1, "number")
            self.after.append(f"store({name}, 0, {self.steps_done})")
        self.after = [f"store({name}, 0, state{k})" for k, name in self.cells.items()] + self.after

    def size(self, size: Size) -> str:
        size = self.sizes.find(size)
        if isinstance(size, int):
            return str(size)
        if size not in self.measures:
            self.measures[size] = f"n{len(self.measures)}"
        return self.measures[size]

    def equal(self, left: Size, right: Size) -> None:
        self.also_equal.append((left, right))

    def state_number(self, k: int, x: Expr) -> str:
        name = self.cells[k] = self.argument(x.type.dtype, 0, True, ("state", k))
        self.where["state", k] = (len(self.arguments) - 1, "number")
        self.before.append(f"state{k} = load({name}, 0)")
        self.number_states[f"state{k}"] = x.type.dtype
        return f"state{k}"

    def state_memory(self, k: int, x: Expr, in_rows: bool) -> str:
        name = self.argument(x.type.dtype, 1 + x.type.ndim, True, ("rows" if in_rows else "halves", k))
        self.where["state", k] = (len(self.arguments) - 1, "last" if in_rows else "half")
        return name

    def changed_memory(self, k: int, x: Expr, moves: bool) -> str:
        group = tuple(loop_changes.together(self.changed, k))
        name = self.argument(x.type.dtype, x.type.ndim, True, ("window", k, group) if moves else ("array", k))
        self.where["state", k] = (len(self.arguments) - 1, "window" if moves else "number")
        if moves:  # its values are at the beginning of its memory before the first step, and after the last
            self.after += loop_changes.return_home(self, name, x, self.changed[k])
        return name

    def first_position(self, at: str) -> None:
        self.before.append(f"{at} = 0")

    def kept_memory(self, m: int, y: Expr, shape: tuple[str, ...]) -> Place:
        name = self.argument(y.type.dtype, 1 + y.type.ndim, True, ("kept", m, shape))
        self.where["kept", m] = (len(self.arguments) - 1, "rows")
        return Place(name, "0", ("?", *shape))

    def in_memory_of(self, m: int, state: int, how: str) -> None:
        self.where["kept", m] = (self.where["state", state][0], how)

    def inner_loop(self, node: Expr) -> None:
        self.lines += InnerWriter(self, node).emitted()

    @property
    def text(self) -> str:
        """The source of the function."""
        numbers = ", ".join(self.measures.values())
        head = f"def kernel(start, stop, {numbers + ', ' if numbers else ''}{', '.join(self.names)}):"
        steps = self.blocks or self.around("start", "stop")
        lines = [*self.before, *steps, *self.after, "return 0"]
        return head + "\n" + "\n".join("    " + line for line in lines) + "\n"

    def recipe(self) -> LoopRecipe:
        """The compiled loop as data."""
        body = self.body
        self.blocks = in_blocks(self, "start", "stop")
        measure = measure_text(self)
        numbers = [ArgType("int64", None)] * (2 + len(self.measures))
        types = (*numbers, *self.argtypes)
        text = self.checked()
        found = compile_kernel(text, "kernel", types, self.helpers)
        return LoopRecipe(
            key_of(found), text, tuple([(t.dtype, t.ndim, t.writable) for t in types]), measure,
            self.listed_arguments(), self.listed_results(), len(body.sequences), len(body.states),
            body.until is not None,
        )

    def checked(self) -> str:
        """The source, which refuses arrays that are not laid out as it wants them, and too short ones."""
        head, _, rest = self.text.partition("\n")
        wanted, names, lines = [], [], []
        for name, type_, (kind, *_) in zip(self.names, self.argtypes, self.arguments, strict=True):
            if kind not in ("sequence", "fixed"):
                continue
            ndim = type_.ndim or 0
            wanted.append(" ".join(["S-1" if kind == "sequence" else "C", *"?" * ndim]))
            names.append(name)
            if kind == "sequence":
                lines += jump_lines(name, ndim)
                lines += [f"if size({name}, 0) < stop:", "    return 3"] if self.body.until is None else []
        if names:
            status = f"status = refused('{'; '.join(wanted)}', {', '.join(names)})"
            lines = [status, "if status != 0:", "    return status", *lines]
        return "\n".join([head, *["    " + line for line in lines], rest])

    def as_data(self, sizes: Sequence[str]) -> tuple[Any, ...]:
        """Sizes as numbers, or as ("n", place) among those that are measured."""
        places = {name: k for k, name in enumerate(self.measures.values())}
        return tuple([int(n) if n.isdigit() else ("n", places[n]) for n in sizes])

    def listed_arguments(self) -> tuple[tuple[Any, ...], ...]:
        """What each array is, as data."""
        return tuple([(*a[:-1], self.as_data(a[-1])) if a[0] in _WITH_SIZES else a for a in self.arguments])

    def listed_results(self) -> tuple[Any, ...]:
        """Where the results are: final states, kept values, and the number of steps done where a condition ends it."""
        body = self.body
        order = [("state", k) for k in range(len(body.states))] + [("kept", m) for m in range(len(body.ys))]
        return tuple([self.where[each] for each in [*order, *(["done"] if body.until is not None else [])]])


class InnerWriter(Steps):
    """Writes a loop within a step of another one: its arrays are values of that one, its memory is lent by the root."""

    def __init__(self, outer: Units, node: Expr) -> None:
        self.outer, self.root, self.node = outer, outer.root, node
        body: Body = node.params["body"]
        sequences, self.inits, fixed = arguments(node)
        self.step = self.root.fresh("step")
        self.steps = outer.number(node.args[0])
        self.bound = dict(zip(body.inputs, [*sequences, *self.inits, *fixed], strict=True))
        self.first_lines: list[str] = []
        self.in_rows: dict[Place, Place] = {}  # copies of fixed matrices
        least = "1" if node.params.get("nonempty") else "0"
        self.first_lines += [f"if {self.steps} < {least}:", "    return 3"]
        self.prepare(body)
        self.check_sizes()
        for x, sequence in zip(body.sequences, sequences, strict=True):
            place = outer.place(sequence)
            self.first_lines += [f"if {place.shape[0]} < {self.steps}:", "    return 3"]
            offset = total([place.offset, plus(self.step, place.stride(0))])
            self.element(x, place.row(offset))
        for x, value in zip(body.fixed, fixed, strict=True):
            self.values[x] = outer.number(value) if x.type.ndim == 0 else outer.place(value)
        self.write()

    def check_sizes(self) -> None:
        """The sizes that the body knows of what it reads are those of what is given to it."""
        sizes = self.outer.sizes
        for x, value in self.bound.items():
            given = sizes.sizes_of(value)[x in self.body.sequences:]
            for own, size in zip(x.type.shape, given, strict=True):
                if own is not None and (size := sizes.find(size)) != own:
                    self.outer.equal(size, own)

    def simplified(self, body: Body) -> Sequence[Expr]:
        if not self.node.params.get("branch"):
            return body.outputs
        if is_deep(body.outputs):
            raise NotCompiled("choices within many choices")
        mode = self.node.params["mode"]
        return tidied(rules.optimize(body.outputs, mode=mode), mode)

    def size(self, size: Size) -> str:
        return self.outer.size(self.outwards(size))

    def outwards(self, size: Size) -> Size:
        """A size of this body in terms of the outer one."""
        return self.seen_from_outside(self.sizes.find(size))

    def seen_from_outside(self, size: Size) -> Size:
        if isinstance(size, int):
            return size
        known: dict[Expr, Expr] = {}
        for node in toposort([size]):
            if node.op.name == "shape_i" and node.args[0] in self.bound:
                x = node.args[0]
                value = self.bound[x]
                sizes = self.outer.sizes.sizes_of(value)
                found = sizes[node.params["axis"] + (x in self.body.sequences)]
                known[node] = constant(found, dtype="int64") if isinstance(found, int) else found
            elif node in self.body.fixed and node.type.ndim == 0:
                known[node] = self.bound[node]
        return self.outer.sizes.host(known[size] if size in known else substitute([size], known)[0])

    def equal(self, left: Size, right: Size) -> None:
        # As they are: a size that is taken to be another one here is what is to be compared.
        self.outer.equal(self.seen_from_outside(left), self.seen_from_outside(right))

    def state_number(self, k: int, x: Expr) -> str:
        name = self.root.fresh("state")
        self.first_lines.append(f"{name} = {as_dtype(self.outer.number(self.inits[k]), x.type.dtype)}")
        self.where["state", k] = name
        self.number_states[name] = x.type.dtype
        return name

    def numbers_outside(self) -> dict[str, str]:
        known = [*self.outer.values.items(), *self.values.items()]
        return {name: value.type.dtype for value, name in known if isinstance(name, str)}

    def state_memory(self, k: int, x: Expr, in_rows: bool) -> str:
        shape = self.shape_of_leaf(x)
        if in_rows and self.body.until is not None:
            raise NotCompiled("kept values of an inner loop that may end early")
        rows = self.more_rows() if in_rows else "2"
        if self.outer.around_loop and in_rows:
            name = self.root.rows_memory(x.type.dtype, (rows, *shape))
        elif self.outer.around_loop:
            name = self.root.line_memory(x.type.dtype, (rows, *shape))
        else:
            name = self.root.argument(x.type.dtype, 1, True, ("scratch", x.type.dtype, (rows, *shape)))
        line = f"{name}_line" if name in self.root.aligned else "0"
        start = Place(name, line, shape)
        self.first_lines += copy_lines(self.root.fresh("c"), self.outer.place(self.inits[k]), start)
        ended = self.root.fresh("at")
        index = self.steps if in_rows else f"{self.step if self.body.until is not None else self.steps} % 2"
        self.last_lines.append(f"{ended} = {total([line, f'({index}) * {name}_row'])}")
        self.where["state", k] = Place(name, ended, shape)
        return name

    def changed_memory(self, k: int, x: Expr, moves: bool) -> str:
        shape = self.shape_of_leaf(x)
        rows = self.room(k, x) if moves else shape[0]
        name = self.root.argument(x.type.dtype, 1, True, ("scratch", x.type.dtype, (rows, *shape[1:])))
        start = Place(name, "0", shape)
        self.first_lines += copy_lines(self.root.fresh("c"), self.outer.place(self.inits[k]), start)
        change = self.changed[k]
        offset = plus(loop_changes.position(self, change), product(shape[1:])) if moves else "0"
        self.where["state", k] = Place(name, offset, shape)
        return name

    def first_position(self, at: str) -> None:
        self.first_lines.append(f"{at} = 0")

    def room(self, k: int, x: Expr) -> str:
        """The size of the memory of a window, in rows."""
        states = [self.body.states[j] for j in (k, *loop_changes.together(self.changed, k))]
        lengths = [self.outwards(self.shaped(x)) for x in states]
        own, first, *more = [constant(n, dtype="int64") if isinstance(n, int) else n for n in lengths]
        for n in more:
            first = OPS["maximum"](first, n)
        whole = OPS["add"](OPS["add"](own, first), constant(ROOM, dtype="int64"))
        return self.outer.size(self.outer.sizes.host(whole))

    def shaped(self, x: Expr) -> Size:
        """The first size of a leaf."""
        self.shape_of_leaf(x)
        return self.sizes.of[x][0]

    def inner_loop(self, node: Expr) -> None:
        self.lines += InnerWriter(self, node).emitted()

    def matrix(self, arg: Expr, position: int, turn: bool = False) -> Place:
        found = super().matrix(arg, position, turn)
        if not self.outer.around_loop or position == 0 or len(found.shape) < 2 or found.stride(1) == "1":
            return found
        base = see_through(arg, self.sizes).base
        if base not in self.body.fixed or base.type.ndim != 2:
            return found
        if found not in self.in_rows:  # a copy whose rows are as they are read, made once
            held = self.in_rows[found] = self.scratch(base.type.dtype, found.shape)
            self.first_lines += copy_lines(self.root.fresh("c"), found, held)
        return self.in_rows[found]

    def more_rows(self) -> str:
        """The size of one more than there are steps."""
        steps = self.outer.sizes.host(self.node.args[0])
        one = constant(1, dtype="int64")
        whole = OPS["add"](constant(steps, dtype="int64") if isinstance(steps, int) else steps, one)
        return self.outer.size(self.outer.sizes.host(whole))

    def kept_memory(self, m: int, y: Expr, shape: tuple[str, ...]) -> Place:
        if self.body.until is not None:
            raise NotCompiled("kept values of an inner loop that may end early")
        if self.node.params.get("branch"):  # a row, which nobody reads where there is no step
            name = self.root.argument(y.type.dtype, 1, True, ("scratch", y.type.dtype, ("1", *shape)))
            self.where["kept", m] = row = Place(name, "0", ("1", *shape))
            return row
        part = OPS["part"](self.node, i=len(self.body.states) + m)
        place = self.outer.given.get(part)
        if place is None:
            whole = (self.outer.size(self.outer.sizes.host(self.node.args[0])), *shape)
            name = self.root.argument(y.type.dtype, 1, True, ("scratch", y.type.dtype, whole))
            place = Place(name, "0", whole)
        self.where["kept", m] = place
        return place

    def is_result(self, m: int) -> bool:
        return OPS["part"](self.node, i=len(self.body.states) + m) in self.outer.given

    def in_memory_of(self, m: int, state: int, how: str) -> None:
        place = self.where["state", state]
        rows = self.outer.size(self.outer.sizes.host(self.node.args[0]))
        offset = "0" if how == "before" else f"{place.buffer}_row"
        self.where["kept", m] = Place(place.buffer, offset, (rows, *place.shape))

    def around(self, start: str, stop: str) -> list[str]:
        if not self.node.params.get("branch"):
            return super().around(start, stop)
        return [f"if {stop}:", f"    {self.step} = 0", *["    " + line for line in self.lines]]

    def emitted(self) -> list[str]:
        """The lines of the loop; its results are values of the outer body then."""
        blocks = in_blocks(self, "0", self.steps) if self.outer.around_loop else None
        lines = [*self.first_lines, *(blocks or self.around("0", self.steps)), *self.last_lines]
        count = len(self.body.states)
        for i in range(count + len(self.body.ys)):
            part = OPS["part"](self.node, i=i)
            self.outer.values[part] = self.where["state", i] if i < count else self.where["kept", i - count]
        if self.body.until is not None:
            self.outer.values[OPS["part"](self.node, i=count + len(self.body.ys))] = self.step
        return lines


def compile_loop(body: Body, exact: bool) -> LoopRecipe:
    """The compiled loop of ``body``; raises NotCompiled where something in it has no compiled form."""
    return LoopWriter(body, exact).recipe()


def measure_text(self: LoopWriter) -> str:
    """Python text of a function of the loop's arrays: its sizes, or None where they are not as planned."""
    position = {x: k for k, x in enumerate(self.body.inputs)}
    names: dict[Expr, str] = {}
    lines: list[str] = []

    def text(size: Size) -> str:
        if isinstance(size, int):
            return str(size)
        for node in toposort([size], known=names):
            if node in names:
                continue
            if node.op is CONSTANT:
                names[node] = str(int(node.data))
                continue
            if node.op.name == "shape_i" and node.args[0] in position:
                k = position[node.args[0]]
                d = node.params["axis"] + (k < len(self.body.sequences))
                value = f"x[{k}].shape[{d}]"
            elif node in position and node in self.body.fixed and node.type.ndim == 0:
                value = f"int(x[{position[node]}])"
            elif node.op is INPUT:
                names[node] = "None"
                continue
            elif in_ints(node) and "None" not in [names[a] for a in node.args]:
                value = (node.op.host or "int({0})").format(*[names[a] for a in node.args])
            else:
                raise NotCompiled("sizes that change from step to step")
            names[node] = f"m{len(lines)}"
            lines.append(f"    {names[node]} = {value}")
        if names[size] == "None":
            raise NotCompiled("sizes that change from step to step")
        return names[size]

    for one, other in self.also_equal:
        left, right = text(one), text(other)
        if left != right:
            lines.append(f"    if {left} != {right}: return None")
    for k, x in enumerate(self.body.inputs):
        for d, n in enumerate(x.type.shape):
            if n is not None:
                lines.append(f"    if x[{k}].shape[{d + (k < len(self.body.sequences))}] != {n}: return None")
    found = ", ".join([text(size) for size in self.measures])
    lines.append(f"    return ({found}{',' if found else ''})")
    return "def measure(x):\n" + "\n".join(lines) + "\n"
