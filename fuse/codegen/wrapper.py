"""The wrapper: the Python function written for one program, that checks inputs, computes sizes, allocates and launches.

Sizes and guards come first, then the units of the plan in order, then the stores into shared variables; so a call
that fails leaves shared variables as they were.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen import fusion
from fuse.codegen.calls import (
    FIRST_INTEGER,
    in_place_call,
    input_filter,
    opaque_call,
    product_call,
    scalar_filter,
    shuffle_text,
    slice_text,
    view_call,
)
from fuse.codegen.inplace import in_place_targets
from fuse.codegen.launch import Launcher
from fuse.codegen.region import SEEN_THROUGH, Operand, Region, see_through
from fuse.codegen.runner import SizeMismatch
from fuse.codegen.sizes import HOST, Size
from fuse.expr import CONSTANT, INPUT, SHARED, Expr, leaves, toposort
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.planning import Planned

Array = Any

_INTEGER_RANGE = {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max))
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


class Writer:
    """Writes the wrapper of one program."""

    def __init__(self, program: Planned) -> None:
        self.program = program
        self.results = program.results
        self.sizes = program.sizes
        self.plan = fusion.plan(self.results, self.sizes)
        self.operands: dict[Expr, tuple[Operand, ...]] = self.plan.operands
        self.launchers: list[Launcher] = []
        self.scope: dict[str, Any] = {
            "ndarray": np.ndarray,
            "empty": np.empty,
            "asarray": np.asarray,
            "array": np.array,
            "dot": np.dot,
            "SizeMismatch": SizeMismatch,
        }
        self.pool: list[list[Any]] = []
        self.lines: list[str] = []
        self.env: dict[Expr, str] = {}
        self.root: dict[Expr, Expr] = {}
        self.owned: set[Expr] = set()
        self.in_place: set[Expr] = set()
        self.cells: dict[Expr, str] = {}
        self.host_names: dict[Expr, str] = {}
        self.guards = list(self.sizes.guards)
        self.counter = itertools.count()
        self.last_use = self.find_last_uses()
        self.escaping = self.find_escaping()
        self.slots = 0
        self.free_slots: dict[Any, list[int]] = {}
        self.slot_of: dict[Expr, tuple[Any, int]] = {}
        self.text = self.write()

    def line(self, text: str) -> None:
        self.lines.append("    " + text)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self.counter)}"

    def give(self, prefix: str, value: Any) -> str:
        """A name in the wrapper's scope for ``value``."""
        name = self.fresh(prefix)
        self.scope[name] = value
        return name

    def dtype(self, name: str) -> str:
        self.scope[f"dtype_{name}"] = np.dtype(name)
        return f"dtype_{name}"

    # ------------------------------------------------------------ liveness
    def find_last_uses(self) -> dict[Expr, int]:
        """For each materialised value the position of the last unit that reads it (or a view of it)."""
        last: dict[Expr, int] = {}
        for position, unit in enumerate(self.plan.units):
            if isinstance(unit, Region):
                for base in unit.loads:
                    last[base] = max(position, last.get(base, 0))
            else:
                for k, arg in enumerate(unit.args):
                    base = see_through(arg, self.sizes).base if isinstance(arg.type, TensorType) else arg
                    viewed = k == 0 and unit.op.kind == "view"  # the view lives on: never written over
                    last[base] = len(self.plan.units) if viewed else max(position, last.get(base, 0))
        for result in self.results:
            base = see_through(result, self.sizes).base if isinstance(result.type, TensorType) else result
            last[base] = len(self.plan.units)
        return last

    def find_escaping(self) -> set[Expr]:
        """Values that leave the call: results, and what results are views of."""
        found: set[Expr] = set()
        for result in self.results:
            node = result
            found.add(node)
            while isinstance(node.type, TensorType) and (
                node.op.name in SEEN_THROUGH or node.op.kind == "view" or "inplace" in node.op.meta
            ):
                node = node.args[0]
                found.add(node)
        return found

    def shape_text(self, node: Expr) -> tuple[str, tuple[str, ...]]:
        sizes = tuple([self.size(n) for n in self.sizes.of[node]])
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})", sizes

    def empty_text(self, node: Expr, shape: str) -> str:
        return f"empty({shape}, {self.dtype(node.type.dtype)})"

    def allocate(self, node: Expr, position: int) -> str:
        """A name for a fresh array, or for one of the workspace where the value does not leave the call."""
        shape, sizes = self.shape_text(node)
        made = self.empty_text(node, shape)
        name = self.fresh("t")
        if node in self.escaping or not sizes:
            self.line(f"{name} = {made}")
            return name
        key = node.type.dtype, sizes
        free = self.free_slots.setdefault(key, [])
        if free:
            slot = free.pop()
        else:
            slot = self.slots
            self.slots += 1
        self.slot_of[node] = key, slot
        self.line(f"{name} = workspace[{slot}]")
        self.line(f"if {name} is None or {name}.shape != {shape}: {name} = workspace[{slot}] = {made}")
        return name

    def release(self, position: int) -> None:
        """Give back the slots of values that nothing after this unit reads."""
        for node in [n for n in self.slot_of if self.last_use.get(n, -1) <= position]:
            key, slot = self.slot_of.pop(node)
            self.free_slots[key].append(slot)

    # ------------------------------------------------------------ sizes
    def size(self, size: Size) -> str:
        size = self.sizes.find(size)
        if isinstance(size, int):
            return str(size)
        return self.host_name(size)

    def host_name(self, size: Expr) -> str:
        """The name of an int for the formula ``size``; what it reads exists already."""
        for terminal in self.sizes.terminals(size):
            if terminal not in self.host_names:
                self.host_names[terminal] = self.host_line(terminal)
        for node in toposort([size], known=self.host_names):
            self.host_names[node] = self.host_line(node)
        return self.host_names[size]

    def host_line(self, node: Expr) -> str:
        if node.op is CONSTANT:
            return str(int(node.data))
        if node.op.name == "shape_i" and node.args[0] in self.env:
            text = f"{self.env[node.args[0]]}.shape[{node.params['axis']}]"
        elif node.op.name in HOST and node.type.ndim == 0 and all(a in self.host_names for a in node.args):
            text = HOST[node.op.name].format(*[self.host_names[a] for a in node.args])
        elif node.op.name == "cast" and node.args[0] in self.host_names and node.type.dtype != "bool":
            text = f"int({self.host_names[node.args[0]]})"
        else:
            if node.type.ndim:
                return "None"
            base = see_through(node, self.sizes).base
            if base not in self.env:
                return "None"
            text = f"int({self.env[base]})"
        name = self.fresh("n")
        self.line(f"{name} = {text}")
        return name

    def is_ready(self, size: Size) -> bool:
        """Whether everything that ``size`` is computed from is there."""
        size = self.sizes.find(size)
        if isinstance(size, int):
            return True
        for node in toposort([size], known=self.env):
            if node.op.name == "shape_i":
                if node.args[0] not in self.env:
                    return False
            elif not node.args and node.op is not CONSTANT:
                return False
        return True

    def check_guards(self) -> None:
        """Emit each guard as soon as both its sides are known."""
        waiting = []
        for guard in self.guards:
            left, right = guard.left, guard.right
            if self.is_known(left) and self.is_known(right):
                self.line(f"if {self.raw_size(left)} != {self.raw_size(right)}: return serve(({self.arguments}))")
            else:
                waiting.append(guard)
        self.guards = waiting

    def is_known(self, size: Size) -> bool:
        values = [t.args[0] if t.op.name == "shape_i" else t for t in self.sizes.terminals(size)]
        return all(v in self.env or v in self.sizes.of and see_through(v, self.sizes).base in self.env for v in values)

    def raw_size(self, size: Size) -> str:
        if isinstance(size, int):
            return str(size)
        return self.host_name(size)

    # ------------------------------------------------------------ the text
    def write(self) -> str:
        program = self.program
        names = [f"x{k}" for k in range(len(program.inputs))]
        self.arguments = ", ".join(names) + ("," if names else "")
        self.lines = []
        for variable, name in zip(program.inputs, names, strict=True):
            self.gate(variable, name)
        for leaf in leaves(self.results):
            if leaf.op is SHARED:
                name = self.fresh("w")
                self.cells[leaf] = self.give("shared", leaf.container)
                self.line(f"{name} = {self.cells[leaf]}.value")
                self.env[leaf] = name
            elif leaf.op is CONSTANT:
                self.env[leaf] = self.give("c", leaf.data)
        self.check_guards()
        for position, unit in enumerate(self.plan.units):
            if isinstance(unit, Region):
                self.region(unit, position)
            else:
                self.single(unit, position)
            self.release(position)
            self.check_guards()
        for guard in self.guards:  # sizes that only shapes speak of
            self.line(f"if {self.size(guard.left)} != {self.size(guard.right)}: return serve(({self.arguments}))")
        self.finish()
        if self.slots:
            self.scope["pool"] = self.pool
            self.lines.insert(0, f"    workspace = pool.pop() if pool else [None] * {self.slots}")
            self.lines.insert(-1, "    pool.append(workspace)")
        return f"def program({', '.join(names)}):\n" + "\n".join(self.lines) + "\n"

    def gate(self, variable: Expr, name: str) -> None:
        type_ = variable.type
        convert = self.give("filter", input_filter(variable))
        if not isinstance(type_, TensorType):
            self.env[variable] = name
            return
        if type_.ndim == 0:
            if type_.dtype == "float64":
                test = f"type({name}) is not float"
            elif type_.dtype in _INTEGER_RANGE:
                low, high = _INTEGER_RANGE[type_.dtype]
                test = f"type({name}) is not int or not {low} <= {name} <= {high}"
            else:
                test = "True"
            scalar = self.give("scalar", scalar_filter(variable))
            self.line(f"if {test}: {name} = {scalar}({name})")
        else:
            static = "".join(f" or {name}.shape[{d}] != {n}" for d, n in enumerate(type_.shape) if n is not None)
            self.line(
                f"if type({name}) is not ndarray or {name}.dtype is not {self.dtype(type_.dtype)} or "
                f"{name}.ndim != {type_.ndim}{static}: {name} = {convert}({name})"
            )
        self.env[variable] = name

    def as_array(self, base: Expr) -> str:
        """The name of a materialised value, as an array."""
        name = self.env[base]
        if base.op is INPUT and isinstance(base.type, TensorType) and base.type.ndim == 0:
            array = self.fresh("t")
            self.line(f"{array} = asarray({name}, {self.dtype(base.type.dtype)})")
            return array
        return name

    def materialised(self, node: Expr) -> str:
        """A name for the value of ``node``; views on top of what exists are made here."""
        chain = []
        while node not in self.env and node.op.name in SEEN_THROUGH:
            if node.op.name != "unbroadcast":  # equal sizes are guarded, so nothing is left to sum
                chain.append(node)
            node = node.args[0]
        if node not in self.env and self.sizes.is_host(node):
            name = self.fresh("t")
            self.line(f"{name} = asarray({self.size(self.sizes.host(node))}, {self.dtype('int64')})")
            self.env[node] = name
        if node not in self.env:
            raise AssertionError(f"{node.op.name} was not computed")
        name = self.as_array(node)
        for view in reversed(chain):
            new = self.fresh("t")
            if view.op.name == "dimshuffle":
                self.line(f"{new} = {name}{shuffle_text(view)}")
            else:
                self.line(f"{new} = {self.give('view', view_call(view))}({', '.join([name, *self.rest(view)])})")
            name = new
        return name

    def rest(self, view: Expr) -> list[str]:
        """The remaining arguments of a view that is made in the wrapper."""
        if view.op.name == "broadcast_to":
            return [self.size(self.sizes.host(a)) for a in view.args[1:]]
        return []

    # ------------------------------------------------------------ steps
    def region(self, region: Region, position: int) -> None:
        number = len(self.launchers)
        launcher = Launcher(region, self.sizes, self.operands)
        self.launchers.append(launcher)
        in_place = in_place_targets(self, region, position, launcher)
        for node in region.outputs:
            if node in in_place:
                target = in_place[node]
                old, name = self.env[target], self.fresh("t")
                made = self.empty_text(node, self.shape_text(node)[0])
                self.line(f"{name} = {old} if {self.cells[target]}.borrowed is not {old} else {made}")
                self.env[node] = name
                self.in_place.add(node)
                continue
            self.env[node] = self.allocate(node, position)
            self.owned.add(node)
        arrays = [self.as_array(b) for b in launcher.bases]
        scalars = [self.scalar_text(s) for s in launcher.scalars]
        arguments = ", ".join([*arrays, *scalars])
        kernel, general = f"kernel{number}", f"launch{number}"
        self.line("try:")
        self.line(f"    if {kernel}({arguments}): {general}({arguments})")
        self.line(f"except SizeMismatch: return serve(({self.arguments}))")

    def scalar_text(self, source: Any) -> str:
        if isinstance(source, tuple):
            return self.size(source[1])
        if self.sizes.is_host(source):
            return self.size(self.sizes.host(source))
        return self.env[source]

    def single(self, node: Expr, position: int) -> None:
        name = self.fresh("t")
        arguments = [self.argument(node, k) for k in range(len(node.args))]
        in_place = node.op.meta.get("inplace")
        if in_place is not None:
            base = see_through(node.args[0], self.sizes).base
            direct = base is node.args[0] and base in self.owned and self.last_use.get(base) == position
            if direct and base in self.slot_of:
                if node in self.escaping:
                    direct = False
                else:
                    self.slot_of[node] = self.slot_of.pop(base)
            self.line(f"{name} = {arguments[0]}" if direct else f"{name} = array({arguments[0]})")
            call = self.give("call", in_place_call(node))
            self.line(f"{call}({', '.join([name, *arguments[1:]])})")
            self.owned.add(node)
        elif (
            node.op.name == "dot"
            and node.type.dtype in ("float32", "float64")
            and all(a.type.dtype == node.type.dtype for a in node.args)
        ):
            call = self.give("call", product_call(node))
            if node.type.ndim == 0:
                self.line(f"{name} = asarray({call}({', '.join(arguments)}))")
            elif node in self.escaping:
                self.line(f"{name} = {call}({', '.join(arguments)})")
            else:
                name = self.allocate(node, position)
                self.line(f"{call}({', '.join([*arguments, name])})")
            self.owned.add(node)
        elif node.op.name == "subtensor" and all(entry[0] == "slice" for entry in node.params["spec"]):
            self.line(f"{name} = {arguments[0]}[{slice_text(node, arguments)}]")
        else:
            call = self.give("call", opaque_call(node))
            self.line(f"{name} = {call}({', '.join(arguments)})")
        self.env[node] = name

    def argument(self, node: Expr, k: int) -> str:
        arg = node.args[k]
        if not isinstance(arg.type, TensorType):
            return self.env[arg]
        if arg.type.ndim == 0 and k >= FIRST_INTEGER.get(node.op.name, len(node.args)):
            size = self.sizes.host(arg)
            if isinstance(size, int):
                return str(size)
            if self.is_ready(size):
                return self.size(size)
        return self.materialised(arg)

    def finish(self) -> None:
        program = self.program
        count = len(program.outputs)
        taken: set[Expr] = set()
        returned: list[str] = []
        stored: list[tuple[Any, str]] = []
        # Updates first: their arrays are kept by the shared variables, so outputs of the same value are copies.
        for (target, _), value in zip(program.updates, self.results[count:], strict=True):
            stored.append((target, self.result(value, taken, target)))
        for value in self.results[:count]:
            returned.append(self.result(value, taken, None))
        for target, name in stored:
            self.line(f"{self.give('shared', target.container)}.value = {name}")
        self.line(f"return [{', '.join(returned)}]")

    def result(self, value: Expr, taken: set[Expr], target: Any) -> str:
        if not isinstance(value.type, TensorType):
            return self.env[value]
        if target is not None and value in self.in_place:
            return self.env[value]
        while value.op.name == "unbroadcast" and value not in self.env:
            value = value.args[0]
        fresh = value in self.owned and value in self.env and value not in taken
        taken.add(value)
        if fresh:
            return self.env[value]
        name = self.fresh("t")
        self.line(f"{name} = array({self.materialised(value)})")
        return name
