"""The units of a loop's body, as text: kernels, products, slices and joins with the values they read and make."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from fuse.codegen import loop_changes
from fuse.codegen.choosing import plan
from fuse.codegen.collapse import collapse
from fuse.codegen.emit_cpu import CpuEmitter
from fuse.codegen.expand import expand, settle
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Kernel, Local, check
from fuse.codegen.load import ArgType
from fuse.codegen.loop_along import ALONG
from fuse.codegen.loop_calls import call_own
from fuse.codegen.loop_emit import Merge, NotCompiled, Place, copy_lines, dot_lines, plus, product, total
from fuse.codegen.loop_matrices import MATRICES
from fuse.codegen.loop_views import UNITS, store_into
from fuse.codegen.multiply_add import has_multiply_add, with_multiply_add
from fuse.codegen.products import is_product
from fuse.codegen.region import SCATTERS, Region, is_literal, see_through
from fuse.codegen.schedule import schedule
from fuse.codegen.sizes import Size
from fuse.codegen.staging import in_runs
from fuse.codegen.text import as_dtype
from fuse.expr import CONSTANT, Constant, Expr, make
from fuse.frontend.loops import Body
from fuse.looping.branches import of_one_size
from fuse.op import OPS

_UNITS = {**UNITS, **MATRICES, **ALONG}


class Units(ABC):
    """Writes the steps of one loop. Subclasses say where its states and kept values are, and what its sizes are called.

    ``values`` has for each value the name of a number, or the place of an array; ``where`` the same for results.
    """

    root: Any  # has ``exact``: whether sums are rounded as they are written
    step: str
    steps: str
    around_loop = False  # whether these are no steps, but what stands around a loop
    aligned: Collection[str] = ()  # of the root: memory of states that begins at a line of the caches

    def prepare(self, body: Body) -> None:
        """Plan the body."""
        self.body = body
        outputs = of_one_size([_materialised(o) for o in self.simplified(body)])
        self.results, self.sizes = settle(expand(outputs), [])
        self.changed = loop_changes.changes(body, self.results)
        others = [o for k, o in enumerate(self.results) if k not in self.changed]
        self.plan = plan([*others, *[a for c in self.changed.values() for a in loop_changes.read(c)]], self.sizes)
        self.lines: list[str] = []
        self.last_lines: list[str] = []
        self.values: dict[Expr, Place | str] = {}
        self.given: dict[Expr, Place] = {}  # places into which values are computed
        self.where: dict[Any, Any] = {}
        self.turned: dict[Expr, Place] = {}
        self.positions: dict[int, str] = {}  # of windows, by how many rows they move along
        self.number_states: dict[str, str] = {}  # dtypes of the states that are numbers

    def simplified(self, body: Body) -> Sequence[Expr]:
        """The outputs of the body, which was simplified with the formula around it."""
        return body.outputs

    @abstractmethod
    def size(self, size: Size) -> str:
        """The name of a size, or the number that it is."""

    @abstractmethod
    def equal(self, left: Size, right: Size) -> None:
        """Note that two sizes must be equal."""

    @abstractmethod
    def state_number(self, k: int, x: Expr) -> str:
        """The name of a 0-d state."""

    @abstractmethod
    def state_memory(self, k: int, x: Expr, in_rows: bool) -> str:
        """The name of the memory of a state: two halves, or a row for each step and one before."""

    @abstractmethod
    def first_position(self, at: str) -> None:
        """Write where windows are before the first step."""

    @abstractmethod
    def changed_memory(self, k: int, x: Expr, moves: bool) -> str:
        """The name of the memory of a state that is changed in place: of the array, or of a window that moves."""

    @abstractmethod
    def kept_memory(self, m: int, y: Expr, shape: tuple[str, ...]) -> Place:
        """Where the values of all steps are kept."""

    @abstractmethod
    def in_memory_of(self, m: int, state: int, how: str) -> None:
        """Note that kept values are in the rows of a state."""

    @abstractmethod
    def inner_loop(self, node: Expr) -> None:
        """Write a loop within a step."""

    def numbers_outside(self) -> dict[str, str]:
        """Dtypes of numbers that exist before the loop, by their names."""
        return {}

    # ------------------------------------------------------------ names
    def fresh(self, prefix: str) -> str:
        self.root.count += 1
        return f"{prefix}{self.root.count}"

    def argument(self, dtype: str, ndim: int, writable: bool, what: tuple[Any, ...]) -> str:
        """A new argument of the function."""
        name = self.fresh("x")
        self.root.names.append(name)
        self.root.argtypes.append(ArgType(dtype, ndim, writable))
        self.root.arguments.append(what)
        return name

    def shape(self, node: Expr) -> tuple[str, ...]:
        return tuple([self.size(n) for n in self.sizes.of[node]])

    def shape_of_leaf(self, x: Expr) -> tuple[str, ...]:
        if x not in self.sizes.of:
            self.sizes.of[x] = self.sizes.sizes_of(x)
        return self.shape(x)

    def element(self, x: Expr, place: Place) -> None:
        """The element of a sequence, which is at ``place``."""
        name = self.fresh("e")
        if x.type.ndim == 0:
            self.lines.append(f"{name} = load({place.buffer}, {place.offset})")
            self.values[x] = name
        else:
            self.lines.append(f"{name} = {place.offset}")
            self.values[x] = replace(place, offset=name)

    # ------------------------------------------------------------ the steps
    def write(self) -> None:
        """Write one step."""
        body = self.body
        for k, x in enumerate(body.states):  # a state keeps its shape
            self.shape_of_leaf(x)
            for m, n in zip(self.sizes.of[x], self.sizes.of.get(self.results[k], ()), strict=False):
                self.equal(m, n)
        for guard in self.sizes.guards:
            self.equal(guard.left, guard.right)
        numbers: dict[int, str] = {}
        targets = self.targets(numbers)
        for unit in self.plan.units:
            if isinstance(unit, Region):
                self.region(unit)
            else:
                self.single(unit)
        nexts: list[str] = []
        for k, state in numbers.items():
            name = self.fresh("next")
            self.lines.append(f"{name} = {self.number(self.results[k])}")
            nexts.append(f"{state} = {name}")
        for target, value in targets:
            if value.type.ndim == 0:
                self.lines.append(f"store({target.buffer}, {target.offset}, {self.number(value)})")
            else:
                found = self.place(value)
                self.lines += copy_lines(self.fresh("c"), found, target) if found != target else []
        ends = self.fresh("ends")
        if body.until is not None:
            self.lines.append(f"{ends} = {self.number(self.results[-1])}")
        loop_changes.finish(self)
        self.lines += nexts
        if body.until is not None:
            self.lines.append(f"{self.step} = {self.step} + 1")
            self.lines.append(f"{self.step}_more = ({self.step} < {self.steps}) & (not {ends})")

    def targets(self, numbers: dict[int, str]) -> list[tuple[Place, Expr]]:
        """Places of states and kept values, with what is to be in them after a step."""
        body, step = self.body, self.step
        later: list[tuple[Place, Expr]] = []
        alive = dict(enumerate(body.ys))
        for k, x in enumerate(body.states):
            if x.type.ndim == 0:
                self.values[x] = numbers[k] = self.state_number(k, x)
                continue
            if k in self.changed:
                loop_changes.begin(self, k, x, self.changed[k])
                continue
            shape = self.shape_of_leaf(x)
            before = [m for m, y in alive.items() if y is x]
            after = [m for m, y in alive.items() if y is body.nexts[k] and y is not x]
            for m in (*before, *after):
                del alive[m]
            name = self.state_memory(k, x, bool(before or after))
            self.root.before.append(f"{name}_row = {product(shape)}")
            old, new = f"{name}_old", f"{name}_new"
            start = f"{name}_line + " if name in self.root.aligned else ""
            half = "" if before or after else " % 2"
            self.lines += [f"{old} = {start}{step}{half} * {name}_row",
                           f"{new} = {start}({step} + 1){half} * {name}_row"]
            for m in before:
                self.in_memory_of(m, k, "before")
            for m in after:
                self.in_memory_of(m, k, "after")
            self.values[x] = Place(name, old, shape)
            later.append((Place(name, new, shape), self.results[k]))
        count = len(body.states)
        for m, y in alive.items():
            value = self.results[count + m]
            whole = self.kept_memory(m, y, self.shape(value))
            at = total([whole.offset, plus(step, whole.stride(0))])
            if y.type.ndim == 0:
                later.append((whole.row(at), value))
                continue
            name = self.fresh("k")
            self.lines.append(f"{name} = {at}")
            later.append((whole.row(name), value))
        for target, value in later:
            if value.type.ndim:
                self.given.setdefault(value, target)
        return later

    def around(self, start: str, stop: str) -> list[str]:
        """The loop around the steps."""
        step = self.step
        if self.body.until is None:
            lines = [f"for {step} in range({start}, {stop}):"]
        else:
            lines = [f"{step} = {start}", f"{step}_more = {start} < {stop}", f"while {step}_more:"]
        return [*lines, *(["    " + line for line in self.lines] or ["    pass"])]

    # ------------------------------------------------------------ values
    def number(self, value: Expr) -> str:
        """The text of a 0-d value."""
        if isinstance(value, Constant):
            return constant_text(value.data.item(), value.type.dtype)
        if self.sizes.is_host(value):
            return self.size(self.sizes.host(value))
        operand = see_through(value, self.sizes)
        found = self.values.get(value) or self.values.get(operand.base)
        if found is None:
            raise NotCompiled(f"a number from {value.op}")
        if isinstance(found, str):
            return found
        return f"load({found.buffer}, {found.offset})"

    def place(self, value: Expr) -> Place:
        """Where an array is, seen through views."""
        chain = []
        while value not in self.values and value.op.name in ("dimshuffle", "unbroadcast"):
            chain.append(value)
            value = value.args[0]
        if value not in self.values and value.op.name == "broadcast_to":
            self.values[value] = self.spread(value)
        if value not in self.values and isinstance(value, Constant) and value.data.size == 1 and value.type.ndim:
            held = self.values[value] = self.scratch(value.type.dtype, ("1",) * value.type.ndim)
            self.lines.append(f"store({held.buffer}, 0, {constant_text(value.data.item(), value.type.dtype)})")
        found = self.values.get(value)
        if isinstance(found, str) and chain:  # a number seen as an array
            held = self.scratch(value.type.dtype, ())
            self.lines.append(f"store({held.buffer}, 0, {as_dtype(found, value.type.dtype)})")
            found = held
        if not isinstance(found, Place):
            raise NotCompiled(f"the array of {value.op}")
        for view in reversed(chain):
            if view.op.name == "dimshuffle":
                pattern = view.params["pattern"]
                found = found.permuted(pattern)
        return found

    def spread(self, node: Expr) -> Place:
        """An array of a number, or of a smaller array, repeated."""
        source, shape = node.args[0], self.shape(node)
        if source.type.ndim == 0:
            out = self.new(node)
            self.filled(out, node)
            return out
        found = self.place(source)
        lead = len(shape) - len(found.shape)
        own = [found.stride(d) if self.size(n) == shape[lead + d] else "0" for d, n in enumerate(
            self.sizes.of[source])]
        return Place(found.buffer, found.offset, shape, ("0",) * lead + tuple(own))

    def filled(self, out: Place, node: Expr) -> None:
        """Write the number that ``node`` repeats to all of ``out``."""
        index = [self.fresh("f") for _ in out.shape]
        number = as_dtype(self.number(node.args[0]), node.type.dtype)
        loops = ["    " * d + f"for {i} in range({n}):" for d, (i, n) in enumerate(zip(index, out.shape, strict=True))]
        if index:
            loops.append("    " * len(index) + "independent()")
        self.lines += [*loops, "    " * len(index) + f"store({out.buffer}, {out.at(*index)}, {number})"]

    def scratch(self, dtype: str, shape: Sequence[str]) -> Place:
        name = self.argument(dtype, 1, True, ("scratch", dtype, tuple(shape)))
        return Place(name, "0", tuple(shape))

    def new(self, node: Expr) -> Place:
        """The place of an array that a step computes."""
        return self.given[node] if node in self.given else self.scratch(node.type.dtype, self.shape(node))

    def store_into(self, out: Place, node: Expr) -> None:
        """Write what a set_subtensor or an inc_subtensor stores into the memory of its array."""
        store_into(self, out, node)

    # ------------------------------------------------------------ units
    def region(self, region: Region) -> None:
        for node in region.outputs:
            if node.type.ndim:
                out = self.values[node] = self.new(node)
                if node.op.name in SCATTERS and not is_literal(self.plan.operands[node][0].base):
                    self.lines += copy_lines(self.fresh("c"), self.place(node.args[0]), out)  # the kernel changes it
            else:
                self.values[node] = self.fresh("v")

        def layout(base: Expr) -> str:
            found = self.values.get(base)
            return found.layout if isinstance(found, Place) else "C"

        kernel, binding = self.scheduled(region, layout)
        text = self.written(kernel)
        arrays: dict[str, Place | str] = {}
        results: dict[str, str] = {}
        for buffer, base in zip(kernel.buffers, binding.buffers, strict=True):
            if isinstance(base, Local):
                sizes = [region.sizes[int(p.name[1:])] for a in base.axes for p in a.parts or (a,)]
                arrays[buffer.name] = self.local(buffer.name, base.dtype, [self.size(n) for n in sizes])
                continue
            if base.op is CONSTANT:
                raise NotCompiled("an array of constants")
            found = self.values.get(base)
            if found is None:
                raise NotCompiled(f"the value of {base.op}")
            if isinstance(found, Place) and layout(base) == "C" and buffer.layout != "C":
                raise NotCompiled("layouts")
            arrays[buffer.name] = found
            if isinstance(found, str) and buffer.output:
                results[buffer.name] = base.type.dtype
        scalars = {}
        for scalar, what in zip(kernel.scalars, binding.scalars, strict=True):
            scalars[scalar.name] = self.size(what[1]) if isinstance(what, tuple) else self.number(what)
        self.lines += Merge(self.fresh("u") + "_", arrays, scalars, results).statements(text)

    def scheduled(self, region: Region, layout: Callable[[Expr], str]) -> tuple[Kernel, Any]:
        """The kernel of a region for arrays laid out as ``layout`` says, and what its parameters stand for."""
        kernel, binding = schedule(region, self.sizes, self.plan.operands, layout)
        return check(in_runs(replace(collapse(kernel), rows=None))), binding

    def written(self, kernel: Kernel) -> str:
        """The text of a kernel."""
        if not self.root.exact and has_multiply_add():
            kernel = check(with_multiply_add(kernel))
        source = CpuEmitter(kernel, tapes=False).emit()  # a loop has no tapes
        self.root.helpers.update(source.helpers)
        return source.text

    def local(self, buffer: str, dtype: str, shape: Sequence[str]) -> Place:
        """Scratch memory of the kernel written last."""
        return self.scratch(dtype, shape)

    def single(self, node: Expr) -> None:
        if is_product(node):
            self.dot(node)
        elif node.op.name == "part" and node in self.values:
            pass
        elif node.op.name == "loop":
            self.inner_loop(node)
        elif node.op.name in _UNITS:
            _UNITS[node.op.name](self, node)
        elif "numba" in node.op.meta:
            call_own(self, node)
        else:
            raise NotCompiled(node.op.name)

    def dot(self, node: Expr) -> None:
        left, right = [self.matrix(a, k) for k, a in enumerate(node.args)]
        name = self.fresh("d")
        if node.type.ndim == 0:
            self.values[node] = name
            self.lines += dot_lines(name, node.type.dtype, left, right, None)
            return
        # A matrix times a vector is the vector times the matrix' transpose.
        if len(right.shape) == 1:
            left, right = right, self.matrix(node.args[0], 1, turn=True)
        out = self.values[node] = self.new(node)
        assert isinstance(out, Place)
        self.lines += dot_lines(name, node.type.dtype, left, right, out)

    def matrix(self, arg: Expr, position: int, turn: bool = False) -> Place:
        """An operand of a product; on the right one whose rows are contiguous, if it can be had before the loop."""
        found = self.place(arg)
        if turn:
            found = found.permuted((1, 0))
        if position == 0 or len(found.shape) < 2 or found.stride(1) == "1":
            return found
        base = see_through(arg, self.sizes).base
        if base not in self.body.fixed or base.type.ndim != 2:
            return found
        if self is not self.root:
            return found
        if base not in self.turned:
            name = self.argument(base.type.dtype, 2, False, ("turned", self.body.fixed.index(base)))
            shape = self.shape_of_leaf(base)
            self.turned[base] = Place(name, "0", (shape[1], shape[0]))
        return self.turned[base]


def _materialised(value: Expr) -> Expr:
    """``value`` as something that a kernel computes, where it is a view."""
    if value.type.ndim and not value.is_leaf and value.op.name in ("dimshuffle", "broadcast_to", "unbroadcast", "fill"):
        return make(OPS["cast"], (value,), {"dtype": value.type.dtype})
    if isinstance(value, Constant) and value.type.ndim:
        if is_literal(value):
            return make(OPS["cast"], (value,), {"dtype": value.type.dtype})
        raise NotCompiled("an array of constants")
    return value
