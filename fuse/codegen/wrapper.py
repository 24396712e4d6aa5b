"""The wrapper: the Python function written for one program, that checks inputs, computes sizes, allocates and launches.

Sizes and guards come first, then the units of the plan in order, then the stores into shared variables; so a call
that fails leaves shared variables as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen import given, memory
from fuse.codegen.accumulate import write_sum
from fuse.codegen.along import has_kernel, write_along
from fuse.codegen.calls import (
    in_place_call,
    increase,
    input_filter,
    is_integer,
    is_view,
    opaque_call,
    scalar_filter,
    shuffle_text,
    view_call,
)
from fuse.codegen.choosing import plan
from fuse.codegen.host import SizeNames
from fuse.codegen.inplace import alike_operands, in_place_targets, old_value, reused_memory
from fuse.codegen.joins import into_joins, join
from fuse.codegen.joins import prepare as prepare_join
from fuse.codegen.launch import Launcher
from fuse.codegen.liveness import escaping, last_reads, last_uses, updated
from fuse.codegen.loop_group import groups, write_member
from fuse.codegen.loop_run import write_loop
from fuse.codegen.order import orders
from fuse.codegen.overwrite import kept_text, outside, over_input
from fuse.codegen.products import is_product, write_product
from fuse.codegen.region import SCATTERS, Operand, Region, is_literal
from fuse.codegen.runner import SizeMismatch
from fuse.codegen.stacks import has_stacks, stacks_call
from fuse.codegen.stores import changed_copy, into_views, is_slice_store, part_of, prepare, store
from fuse.codegen.swept import Matrix
from fuse.expr import CONSTANT, INPUT, SHARED, Expr, leaves
from fuse.op import OPS
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.planning import Planned

Array = Any

_INTEGER_RANGE = {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max))
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


class Writer(SizeNames):
    """Writes the wrapper of one program."""

    def __init__(self, program: Planned) -> None:
        super().__init__(program.sizes)
        self.program = program
        self.results = program.results
        self.plan = plan(self.results, self.sizes)
        self.operands: dict[Expr, tuple[Operand, ...]] = self.plan.operands
        self.launchers: list[Launcher] = []
        self.scope |= {
            "ndarray": np.ndarray,
            "empty": np.empty,
            "recycled": memory.recycled,
            "asarray": np.asarray,
            "array": np.array,
            "copied": memory.copied,
            "copyto": np.copyto,
            "increase": increase,
            "SizeMismatch": SizeMismatch,
        }
        self.given: dict[Expr, str] = {}  # names of arrays that the call gives for results
        if program.takes_outputs:
            self.scope |= {"fits": given.fits, "fits_product": given.fits_product, "agree": given.agree}
            values = [self.computed(r) for r in self.results]
            outputs = enumerate(values[: len(program.outputs)])
            self.given = {value: f"out{k}" for k, value in outputs if values.count(value) == 1}
        self.mutable = {program.inputs[k] for k in program.overwrites}
        if self.mutable:
            self.scope |= {"fits": given.fits, "outside": outside}
        self.root: dict[Expr, Expr] = {}
        self.owned: set[Expr] = set()  # values in arrays that nothing else holds
        self.in_place: set[Expr] = set()
        self.last_risk: int | None = None  # of the plan's units, after which no call fails (see `inplace`)
        self.changed: set[Expr] = set()  # values whose memory another value has
        self.joined: dict[Expr, set[int]] = {}  # of joins: the arguments that kernels write where they stand
        self.cells: dict[Expr, str] = {}
        self.views: dict[Expr, list[str]] = {}  # names of views, by what they are views of
        self.last_use = last_uses(self.plan, self.results, self.sizes)
        self.last_read = last_reads(self.plan)
        self.updated = updated(self.results, program.updates)
        self.ending: dict[int, list[Expr]] = {}
        for node, position in self.last_use.items():
            self.ending.setdefault(position, []).append(node)
        self.escaping = escaping(self.results)
        self.text = self.write()

    def dtype(self, name: str) -> str:
        self.scope[f"dtype_{name}"] = np.dtype(name)
        return f"dtype_{name}"

    # ------------------------------------------------------------ memory
    def shape_text(self, node: Expr) -> str:
        sizes = [self.size(n) for n in self.sizes.of[node]]
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"

    def is_small(self, node: Expr) -> str:
        """A condition under which an array is too small for its memory to be worth recycling; "" for always."""
        sizes = [self.size(n) for n in self.sizes.of[node]]
        known = math.prod([int(n) for n in sizes if n.isdigit()]) * node.type.numpy_dtype.itemsize
        unknown = [n for n in sizes if not n.isdigit()]
        if not unknown:
            return "" if known < memory.LARGE else "False"
        return f"{' * '.join(unknown)} < {-(-memory.LARGE // known) if known else 1}"

    def empty_text(self, node: Expr) -> str:
        """An expression for a new array."""
        shape, dtype, small = self.shape_text(node), self.dtype(node.type.dtype), self.is_small(node)
        plain, large = f"empty({shape}, {dtype})", f"recycled({shape}, {dtype})"
        return plain if not small else large if small == "False" else f"{plain} if {small} else {large}"

    def allocate(self, node: Expr) -> str:
        """A name for a new array."""
        made = self.empty_text(node)
        name = self.fresh("t")
        self.line(f"{name} = {made}")
        return name

    def apart(self, alike: Sequence[Expr] = ()) -> str:
        """The arrays that the call reads, but for ``alike``, as a tuple."""
        read = [v for v in self.env if v.op in (INPUT, SHARED) and isinstance(v.type, TensorType) and v.type.ndim]
        names = [self.env[v] for v in read if v not in alike]
        return f"({', '.join(names)}{',' if len(names) == 1 else ''})"

    def allocate_given(self, node: Expr, alike: Sequence[Expr]) -> str:
        """A name for the array that the call gives for a result, or for a new one where a kernel cannot write there."""
        out, made, shape = self.given[node], self.empty_text(node), self.shape_text(node)
        same = "".join(f"{self.env[v]}, " for v in alike)
        name = self.fresh("t")
        self.line(f"{name} = {out} if fits({out}, {shape}, {self.apart(alike)}, ({same})) else {made}")
        return name

    def computed(self, value: Expr) -> Expr:
        """The value itself, where ``value`` is another shape's word for it."""
        while self.is_word(value):
            value = value.args[0]
        return value

    def release(self, position: int) -> None:
        """Let go of arrays that nothing after this unit reads: the next ones may have their memory."""
        for node in self.ending.get(position, ()):
            if node.is_leaf or node in self.escaping or node not in self.env or not isinstance(node.type, TensorType):
                continue
            if node.type.ndim == 0:
                continue
            of_branch = node.op.name == "part" and node.args[0].params.get("branch")  # may have no value
            for size in () if of_branch else self.sizes.of.get(node, ()):
                size = self.sizes.find(size)
                if isinstance(size, Expr) and self.is_ready(size):
                    self.host_name(size)
            names = [self.env[node], *self.views.pop(node, [])]
            self.measure(names)
            self.line(f"del {', '.join(names)}")

    # ------------------------------------------------------------ the text
    def write(self) -> str:
        program = self.program
        names = [f"x{k}" for k in range(len(program.inputs))]
        self.arguments = ", ".join(names) + ("," if names else "")
        if program.takes_outputs:
            names = [*names, *[f"out{k}" for k in range(len(program.outputs))]]
        self.lines = []
        for variable, name in zip(program.inputs, names, strict=False):
            self.gate(variable, name)
        for leaf in leaves(self.results):
            if leaf.op is SHARED:
                name = self.fresh("w")
                self.cells[leaf] = self.give("shared", leaf.container)
                self.line(f"{name} = {self.cells[leaf]}.array")
                self.env[leaf] = name
            elif leaf.op is CONSTANT:
                self.env[leaf] = self.give("c", leaf.data)
        self.check_guards()
        self.look_for_large(program.matrices)
        together = groups(self) if program.together else {}
        members = {k for group in together.values() for k in group.members}
        early = {k for position, group in together.items() for k in group.members if k < position}
        waiting: list[int] = []  # of what stands before the loop of a group, which reads it only then
        for position, unit in enumerate(self.plan.units):
            if position in members:
                write_member(self, unit)
                if position in together:
                    together[position].write_call()
            elif isinstance(unit, Region):
                self.region(unit, position)
            else:
                self.single(unit, position)
            waiting.append(position)
            while position not in early and waiting:
                self.release(waiting.pop(0))
            self.check_guards()
        self.check_remaining()
        self.finish()
        return f"def program({', '.join(names)}):\n" + "\n".join(self.lines) + "\n"

    def compare(self, left: str, right: str) -> None:
        self.line(f"if {left} != {right}: return serve(({self.arguments}))")

    def look_for_large(self, matrices: Sequence[Matrix]) -> None:
        """Leave a call with a large matrix to the plan in which products with it are part of kernels."""
        names = ", ".join([self.env[m.leaf] for m in matrices])
        for matrix in matrices:
            tests = []
            for sizes, comparison, limit in matrix.conditions:
                if len(sizes) > 1 or not isinstance(sizes[0], int):
                    tests.append(f"{' * '.join(map(self.size, sizes))} {comparison} {limit}")
            self.line(f"if {' and '.join(tests)}: return serve_large(({self.arguments}), ({names},))")

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
        """The name of a materialised value, as an array; formulas over sizes become arrays where one is read."""
        if base not in self.env:
            if not self.sizes.is_host(base):
                raise AssertionError(f"{base.op} was not computed")
            name = self.env[base] = self.fresh("t")
            self.line(f"{name} = asarray({self.size(self.sizes.host(base))}, {self.dtype('int64')})")
        name = self.env[base]
        if base.op is INPUT and isinstance(base.type, TensorType) and base.type.ndim == 0:
            array = self.fresh("t")
            self.line(f"{array} = asarray({name}, {self.dtype(base.type.dtype)})")
            return array
        return name

    def materialised(self, node: Expr) -> str:
        """A name for the value of ``node``; views on top of what exists are made here."""
        base, chain = self.without_views(node)
        name = self.as_array(base)
        for view in chain:
            new = self.fresh("t")
            if view.op.name == "dimshuffle":
                self.line(f"{new} = {name}{shuffle_text(view)}")
            else:
                self.line(f"{new} = {self.give('view', view_call(view))}({', '.join([name, *self.rest(view)])})")
            self.views.setdefault(base, []).append(new)
            name = new
        return name

    def rest(self, view: Expr) -> list[str]:
        """The remaining arguments of a view that is made in the wrapper."""
        if view.op.name == "broadcast_to":
            return [self.size(self.sizes.host(a)) for a in view.args[1:]]
        return []

    def rename(self, old: str) -> str:
        name = self.fresh("t")
        self.line(f"{name} = {old}")
        return name

    # ------------------------------------------------------------ steps
    def region(self, region: Region, position: int) -> None:
        number = len(self.launchers)
        launcher = Launcher(region, self.sizes, self.operands, self.program.exact)
        self.launchers.append(launcher)
        in_place = in_place_targets(self, region, position, launcher)
        views = into_views(self, region, launcher)
        joins = into_joins(self, region, launcher)
        reused = reused_memory(self, region, position, launcher, in_place)
        made: list[Expr] = []
        for node in region.outputs:
            if node in in_place:
                memory_of = old_value(self, in_place[node], self.empty_text(node))
                name = self.fresh("t")
                self.line(f"{name} = {memory_of}")
                self.env[node] = name
                self.in_place.add(node)
                continue
            if node in views:
                prepare(self, node, views[node], position, launcher)
                continue
            if node in joins:
                prepare_join(self, node, *joins[node])
                continue
            if node.op.name in SCATTERS and not is_literal(self.operands[node][0].base):
                self.env[node] = changed_copy(self, node, position, launcher)
            elif node in self.given:
                self.env[node] = self.allocate_given(node, alike_operands(self, region, position, launcher, node))
            elif node in reused:
                self.env[node] = self.rename(self.env[reused[node]])
            elif (text := over_input(self, region, position, launcher, node)) is not None:
                self.env[node] = self.rename(text)
            else:
                self.env[node] = self.allocate(node)
                made.extend([node] if node.op.name not in SCATTERS else [])
            self.owned.add(node)
        launcher.orders = orders(region, launcher.bases, made)
        arrays = [self.as_array(b) for b in launcher.bases]
        arguments = ", ".join([*arrays, *[self.scalar(s) for s in launcher.scalars]])
        kernel, general = f"kernel{number}", f"launch{number}"
        call = f"{general}({arguments})"
        if launcher.orders:  # arrays in another order of memory than the one of the inputs are replaced
            targets = [arrays[order[0]] for order in launcher.orders]
            call = f"{', '.join(targets)}, = {call}"
        self.line("try:")
        self.line(f"    if {kernel}({arguments}): {call}")
        self.line(f"except SizeMismatch: return serve(({self.arguments}))")

    def single(self, node: Expr, position: int) -> None:
        if is_slice_store(self, node):
            store(self, node, position)
            return
        if node in self.joined:
            join(self, node)
            return
        if node.op.name == "add_product":
            write_sum(self, node, position)
            return
        name = self.fresh("t")
        if is_product(node):
            write_product(self, node, name)
            return
        arguments = [self.argument(node, k) for k in range(len(node.args))]
        in_place = node.op.meta.get("inplace")
        if in_place is not None:
            name = changed_copy(self, node, position)
            call = self.give("call", in_place_call(node))
            self.line(f"{call}({', '.join([name, *arguments[1:]])})")
            self.owned.add(node)
        elif has_kernel(node):
            write_along(self, node, name, arguments)
        elif node.op.name in ("loop", "part"):
            write_loop(self, node, name, arguments)
        elif node.op.name == "subtensor" and is_view(node, arguments[1:]):
            name = part_of(self, node, arguments[0], arguments[1:])
        else:
            call = self.give("call", stacks_call(node) if has_stacks(node) else opaque_call(node))
            self.line(f"{name} = {call}({', '.join(arguments)})")
        self.env[node] = name
        self.check_claims(node)

    def check_claims(self, node: Expr) -> None:
        """Compare the sizes of what a user's own op made with those that it said it would have."""
        op = node.args[0].op if node.op.name == "part" else node.op
        if op.shape is None or OPS.get(op.name) is op or not isinstance(node.type, TensorType):
            return
        for axis, (known, size) in enumerate(zip(node.type.shape, self.sizes.of[node], strict=True)):
            size = self.sizes.find(size)
            own = isinstance(size, Expr) and size.op.name == "shape_i" and size.args[0] is node
            if known is None and not own and self.is_ready(size):
                name = self.fresh("n")
                self.line(f"{name} = {self.env[node]}.shape[{axis}]")
                self.compare(name, self.size(size))

    def argument(self, node: Expr, k: int) -> str:
        arg = node.args[k]
        if not isinstance(arg.type, TensorType):
            return self.env[arg]
        if is_integer(node, k):
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
        if program.takes_outputs:
            for k, name in enumerate(returned):
                self.line(f"agree(out{k}, {name})")
        for target, name in stored:
            self.line(f"{self.give('shared', target.container)}.array = {name}")
        self.line(f"return [{', '.join(returned)}]")

    def result(self, value: Expr, taken: set[Expr], target: Any) -> str:
        if not isinstance(value.type, TensorType):
            return self.env[value]
        if target is not None and value in self.in_place:
            return self.env[value]
        while value not in self.env and self.is_word(value):
            value = value.args[0]
        fresh = value in self.owned and value in self.env and value not in taken
        taken.add(value)
        if fresh:
            return self.env[value] if target is None else kept_text(self, self.env[value])
        name = self.fresh("t")
        self.line(f"{name} = copied({self.materialised(value)})")
        return name
