"""The steps of a loop as text: states, sequences, what is kept of each step, and the loop around them."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fuse.codegen import loop_changes, loop_stores
from fuse.codegen.assume import assume_shapes
from fuse.codegen.choosing import plan
from fuse.codegen.expand import expand, settle
from fuse.codegen.halo import with_halos
from fuse.codegen.loop_along import ALONG
from fuse.codegen.loop_calls import call_own
from fuse.codegen.loop_emit import NotCompiled, Place, copy_lines, dot_lines, plus, product, total
from fuse.codegen.loop_matrices import MATRICES
from fuse.codegen.loop_units import Units
from fuse.codegen.loop_views import UNITS, store_into
from fuse.codegen.products import is_product
from fuse.codegen.region import Region, is_literal, see_through
from fuse.codegen.written import without_detours
from fuse.expr import Constant, Expr, make
from fuse.frontend.loops import Body
from fuse.looping.branches import of_one_size
from fuse.op import OPS

_UNITS = {**UNITS, **MATRICES, **ALONG}


class Steps(Units):
    """Writes the steps of one loop. Subclasses say where its states and kept values are.

    ``where`` has the places of results, as ``values`` has those of values.
    """

    step: str
    steps: str

    def prepare(self, body: Body) -> None:
        """Plan the body."""
        self.body = body
        outputs, equal = assume_shapes(of_one_size([_materialised(o) for o in self.simplified(body)]))
        expanded = without_detours(expand(outputs))
        self.results, self.sizes = settle(expanded if self.root.exact else with_halos(expanded), equal)
        self.changed = loop_changes.changes(body, self.results)
        others = [o for k, o in enumerate(self.results) if k not in self.changed]
        self.plan_roots = [*others, *[a for c in self.changed.values() for a in loop_changes.read(c)]]
        self.plan = plan(self.plan_roots, self.sizes)
        self.lines: list[str] = []
        self.last_lines: list[str] = []
        self.values: dict[Expr, Place | str] = {}
        self.given: dict[Expr, Place] = {}  # places into which values are computed
        self.also: dict[Expr, Place] = {}  # second places of values that are kept twice
        self.over: set[Expr] = set()  # stores that change the array which they are given
        self.begun: dict[Expr, Place] = {}  # arrays of which kernels have written the part that is stored
        self.stored: set[Place] = set()  # those that kernels have written
        self.where: dict[Any, Any] = {}
        self.turned: dict[Expr, Place] = {}
        self.positions: dict[int, str] = {}  # of windows, by how many rows they move along
        self.number_states: dict[str, str] = {}  # dtypes of the states that are numbers

    def simplified(self, body: Body) -> Sequence[Expr]:
        """The outputs of the body, which was simplified with the formula around it."""
        return body.outputs

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

    # ------------------------------------------------------------ the steps
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
        self.over = loop_stores.stores_over(self)
        direct = loop_stores.direct_stores(self)
        for unit in self.plan.units:
            if isinstance(unit, Region):
                for value in unit.outputs:
                    if value in direct:
                        loop_stores.begin(self, value, direct[value])
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
            elif target not in self.stored:
                found = self.place(value)
                self.lines += copy_lines(self.fresh("c"), found, target) if found != target else []
        ends = self.fresh("ends")
        if body.until is not None:
            self.lines.append(f"{ends} = {self.number(self.results[-1])}")
        loop_changes.finish(self)
        self.lines += nexts
        if body.until is not None:
            self.lines.append(f"{self.step} = {self.step} + 1")
            self.lines.append(f"{self.step}_on = not {ends}")
            self.lines.append(f"{self.step}_more = ({self.step} < {self.steps}) & {self.step}_on")

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
            if not before and any(self.is_result(m) for m in after):
                after = []  # a copy of it all would take longer than a second store in each step
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
            if value.type.ndim and self.given.setdefault(value, target) is not target:
                self.also.setdefault(value, target)
        return later

    def is_result(self, m: int) -> bool:
        """Whether others have memory for kept values, where these are to be."""
        return False

    def around(self, start: str, stop: str) -> list[str]:
        """The loop around the steps."""
        step = self.step
        if self.body.until is None:
            lines = [f"for {step} in range({start}, {stop}):"]
        else:
            lines = [f"{step} = {start}", f"{step}_on = {start} <= {stop}", f"{step}_more = {start} < {stop}",
                     f"while {step}_more:"]
        return [*lines, *(["    " + line for line in self.lines] or ["    pass"])]

    # ------------------------------------------------------------ units
    def store_into(self, out: Place, node: Expr) -> None:
        """Write what a set_subtensor or an inc_subtensor stores into the memory of its array."""
        store_into(self, out, node)

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
        write = dot_lines if self.root.products is None else self.root.products.lines
        self.lines += write(name, node.type.dtype, left, right, out)

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
