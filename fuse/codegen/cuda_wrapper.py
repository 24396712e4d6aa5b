"""The wrapper of a GPU program: Python text over device arrays, and what it calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen import device
from fuse.codegen.calls import about_input, shuffle_text, slice_text
from fuse.codegen.choosing import plan
from fuse.codegen.cuda_array import DeviceArray, all_to_device, empty, is_on_device, to_device
from fuse.codegen.cuda_calls import call_of
from fuse.codegen.cuda_cells import keeping, resident
from fuse.codegen.cuda_inplace import in_place
from fuse.codegen.cuda_launch import DeviceRegion, add_into, copy_into
from fuse.codegen.cuda_loop_run import DeviceLoop
from fuse.codegen.cuda_loops import device_loop
from fuse.codegen.host import SizeNames
from fuse.codegen.program import Program
from fuse.codegen.region import GENERATORS, SCATTERS, SEEN_THROUGH, Region, is_literal
from fuse.config import config
from fuse.errors import FuseError, FuseTypeError, origin_text
from fuse.expr import CONSTANT, INPUT, SHARED, Expr, leaves, substitute
from fuse.frontend.shared import Container
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.cuda_program import DeviceProgram


EXACT = {"float32": 1 << 24, "float64": 1 << 53, "int32": (1 << 31) - 1, "int64": (1 << 63) - 1}  # integers up to here
SAME_MEMORY = ("subtensor", "reshape", "rebroadcast", "specify_shape", "chosen", "ifelse")  # that an operand has


class Refused(Exception):
    """A call that the plan did not expect: sizes of 1 that broadcast, or an error to be told well."""


class DeviceWriter(SizeNames):
    """Writes the wrapper of one program."""

    def __init__(self, program: DeviceProgram) -> None:
        super().__init__(program.sizes)
        self.program = program
        self.results = program.results
        self.plan = plan(self.results, self.sizes)
        self.operands = self.plan.operands
        self.regions: list[DeviceRegion] = []
        self.loops: list[DeviceLoop] = []  # those that are one launch
        self.steps: list[tuple[str, str]] = []  # what runs where, for people
        self.numbers: dict[int, str] = {}  # what takes the inputs that are numbers, by their places
        self.constants: list[str] = []  # what gives the constants, the shared variables' values, and what keeps updates
        self.cells: list[tuple[str, Container]] = []
        self.kept: list[tuple[str, Container]] = []
        self.scope |= {"empty": empty, "to_device": to_device, "Refused": Refused, "number": number}
        self.checked = False
        self.text = self.write()

    def compare(self, left: str, right: str) -> None:
        self.line(f"if {left} != {right}: raise Refused")

    # ------------------------------------------------------------ the text
    def write(self) -> str:
        names = [f"x{k}" for k in range(len(self.program.inputs))]
        taken = []
        for place, (variable, name) in enumerate(zip(self.program.inputs, names, strict=True)):
            self.env[variable] = name
            if not isinstance(variable.type, TensorType):
                continue
            if variable.type.ndim:
                taken.append(variable)
            else:
                take = self.numbers[place] = self.give("take", taking_number(variable))
                self.line(f"{name} = {take}({name})")
        if taken:
            given = ", ".join([self.env[v] for v in taken])
            self.line(f"{given}, = {self.give('take', taking(taken))}({given})")
        for leaf in leaves(self.results):
            if leaf.op is SHARED:
                name = self.env[leaf] = self.fresh("w")
                if isinstance(leaf.type, TensorType):
                    give = self.give("resident", resident(leaf.container))
                    self.cells.append((give, leaf.container))
                    self.line(f"{name} = {give}()")
                else:
                    self.line(f"{name} = {self.give('cell', leaf.container)}.array")
            elif leaf.op is CONSTANT and not isinstance(leaf.type, TensorType):
                self.env[leaf] = self.give("c", leaf.data)
        head = len(self.lines)
        self.check_guards()
        for unit in self.plan.units:
            if isinstance(unit, Region):
                self.region(unit)
            else:
                self.single(unit)
            self.check_guards()
        self.check_remaining()
        values = [self.result(r) for r in self.results]
        if self.checked:
            self.lines.insert(head, "    status = clear()")
            self.scope["clear"] = cleared
            self.line("if int(status): raise Refused")
        count = len(self.program.outputs)
        for (target, _), value in zip(self.program.updates, values[count:], strict=True):
            keep = self.give("keep", keeping(target))
            self.kept.append((keep, target.container))
            self.line(f"{keep}({value})")
        self.line(f"return [{', '.join(values[:count])}]")
        return f"def program({', '.join(names)}):\n" + "\n".join(self.lines) + "\n"

    def constant(self, leaf: Expr) -> str:
        made: list[Any] = []

        def there() -> Any:
            if not made:
                made.append(to_device(leaf.data))
            return made[0]

        name = self.env[leaf] = self.fresh("c")
        self.constants.append(self.give("constant", there))
        self.line(f"{name} = {self.constants[-1]}()")
        return name

    def array(self, node: Expr) -> str:
        """A name of the value as a device array; views on top of what exists are made here."""
        node, chain = self.without_views(node)
        if node.op is CONSTANT and node not in self.env:
            self.constant(node)
        elif node not in self.env and self.sizes.is_host(node):
            name = self.env[node] = self.fresh("t")
            self.line(f"{name} = number({self.size(self.sizes.host(node))}, 'int64')")
        if node not in self.env:
            raise AssertionError(f"{node.op} was not computed")
        name = self.env[node]
        if node.op is INPUT and isinstance(node.type, TensorType) and not node.type.ndim:
            new = self.fresh("t")
            self.line(f"{new} = number({name}, {node.type.dtype!r})")
            name = new
        for view in chain:
            if view.op.name == "broadcast_to":
                sizes = "".join([f"{self.size(self.sizes.host(a))}, " for a in view.args[1:]])
                text = f"{name}.broadcast_to(({sizes}))"
            else:
                text = f"{name}{shuffle_text(view)}"
            name = self.fresh("t")
            self.line(f"{name} = {text}")
        return name

    def empty(self, node: Expr) -> str:
        sizes = [self.size(n) for n in self.sizes.of[node]]
        name = self.fresh("t")
        self.line(f"{name} = empty(({', '.join(sizes)}{',' if len(sizes) == 1 else ''}), {node.type.dtype!r})")
        return name

    # ------------------------------------------------------------ steps
    def region(self, region: Region) -> None:
        try:
            found = DeviceRegion(region, self.sizes, self.operands)
        except FuseTypeError as error:
            self.hosted(region, str(error))
            return
        number = len(self.regions)
        self.regions.append(found)
        over = in_place(self, region, found)
        for node in region.outputs:
            if node in over:
                self.env[node] = self.array(over[node])
            elif node.op.name in SCATTERS and not is_literal(self.operands[node][0].base):
                copied = self.fresh("t")
                self.line(f"{copied} = {self.array(node.args[0])}.copy()")
                self.env[node] = copied
            else:
                self.env[node] = self.empty(node)
        arrays = [self.array(base) for base in found.bases]
        numbers = [self.scalar(s) for s in found.scalars]
        status = "None"
        if found.needs_status:
            self.checked, status = True, "status"
        self.scope[f"kernel{number}"] = found
        self.line(f"kernel{number}([{', '.join(arrays)}], [{', '.join(numbers)}], {status})")
        self.steps.append((f"kernel {number}", ", ".join(str(n.op) for n in region.outputs)))

    def hosted(self, region: Region, why: str) -> None:
        """A region with an op that has no text for GPUs: its kernel runs on the host."""
        bases = list(dict.fromkeys([*region.loads, *region.whole, *_outside(region)]))
        bases = [b for b in bases if b not in region.amap or b in region.loads]
        bases = [b for b in bases if b.op.name not in GENERATORS or b in self.env]  # the host counts by itself
        names = self.host_call(bases, list(region.outputs))
        for node, name in zip(region.outputs, names, strict=True):
            self.env[node] = name
        self.steps.append(("on the host", f"{', '.join(str(n.op) for n in region.outputs)}: {why}"))

    def host_call(self, values: Sequence[Expr], nodes: Sequence[Expr]) -> list[str]:
        """Compute ``nodes`` from ``values``, and what sizes are read from, by a program of the CPU."""
        new = {v: v.type() for v in values if not is_literal(v)}
        outputs = substitute(list(nodes), new)
        known = set(new.values())
        further = {x: x.type() for x in leaves(outputs) if x.op in (INPUT, SHARED) and x not in known}
        outputs = substitute(outputs, further)
        new |= further
        program = self.give("host", HostStep(list(new.values()), list(outputs)))
        names = [self.fresh("t") for _ in outputs]
        arguments = [self.array(v) if isinstance(v.type, TensorType) else self.env[v] for v in new]
        self.line(f"{', '.join(names)}, = {program}({', '.join(arguments)})")
        return names

    def single(self, node: Expr) -> None:
        name = node.op.name
        if name == "part":
            self.env[node] = self.fresh("t")
            self.line(f"{self.env[node]} = {self.env[node.args[0]]}[{node.params['i']}]")
            return
        if name in ("subtensor", "set_subtensor", "inc_subtensor", "reshape", "rebroadcast", "specify_shape"):
            self.view(node)
            return
        if name == "loop":
            first = self.whole(node.args[0])
            arguments = [first, *[self.array(a) for a in node.args[1:]]]
            self.env[node] = self.fresh("t")
            call: Any = device_loop(node)
            if call.whole:
                self.loops.append(call.whole)
                if call.whole.text.checks:
                    self.checked = True
                    arguments.append("status=status")
            self.line(f"{self.env[node]} = {self.give('loop', call)}({', '.join(arguments)})")
            self.steps.append(("loop", f"{call.how}, {origin_text(node.origin)}"))
            return
        if name in ("chosen", "ifelse"):
            rows = node.params.get("rows", (False, False))
            texts = [f"{self.array(a)}{'[0]' * row}" for a, row in zip(node.args[1:], rows, strict=True)]
            self.env[node] = self.fresh("t")
            self.line(f"{self.env[node]} = {texts[0]} if {self.whole(node.args[0])} else {texts[1]}")
            return
        found = call_of(node)
        if found is not None:
            arguments = [self.passed(a) for a in node.args]
            self.env[node] = self.fresh("t")
            self.line(f"{self.env[node]} = {self.give('call', found)}({', '.join(arguments)})")
            self.steps.append(("library call", str(node.op)))
            return
        (self.env[node],) = self.host_call(node.args, [node])
        self.steps.append(("on the host", f"{node.op}, used at {origin_text(node.origin)}"))

    def passed(self, value: Expr) -> str:
        """What a library call gets: a size as a number, an array, or what a part is taken of."""
        if not isinstance(value.type, TensorType):
            return self.env[value]
        return self.whole(value) if self.sizes.is_host(value) else self.array(value)

    def whole(self, number: Expr) -> str:
        """The text of an integer of no axes."""
        if self.sizes.is_host(number):
            size = self.sizes.host(number)
            if isinstance(size, int) or self.is_ready(size):
                return str(size) if isinstance(size, int) else self.size(size)
        if number.op is INPUT and isinstance(number.type, TensorType) and not number.type.ndim:
            return f"int({self.env[number]})"  # which is on the host
        return f"int({self.array(number)})"

    def view(self, node: Expr) -> None:
        base = self.array(node.args[0])
        out = self.env[node] = self.fresh("t")
        match node.op.name:
            case "subtensor":
                self.line(f"{out} = {base}[{slice_text(node, [self.whole(a) for a in node.args[1:]])}]")
            case "reshape":
                sizes = "".join([f"{self.whole(a)}, " for a in node.args[1:]])
                self.line(f"{out} = {base}.reshape(({sizes}))")
            case "set_subtensor" | "inc_subtensor":
                where = slice_text(node, [self.whole(a) for a in node.args[2:]])
                value = self.array(node.args[1])
                call = self.give("stored", storing(node.op.name == "inc_subtensor"))
                self.line(f"{out} = {base}.copy()")
                self.line(f"{call}({out}[{where}], {value})")
            case "rebroadcast":
                self.line(f"{out} = {base}")
                for d, is_one in enumerate(node.params["pattern"]):
                    if is_one:
                        self.line(f"if {out}.shape[{d}] != 1: raise Refused")
            case "specify_shape":
                self.line(f"{out} = {base}")
                for d, wanted in enumerate(node.args[1:]):
                    self.line(f"if {out}.shape[{d}] != {self.whole(wanted)}: raise Refused")

    def result(self, value: Expr) -> str:
        value = self.meant(value)
        if not isinstance(value.type, TensorType):
            return self.env[value]
        name = self.array(value)
        fresh = value in self.env and not value.is_leaf and value.op.kind != "view" and value.op.name not in SAME_MEMORY
        if fresh and sum(self.meant(r) is value for r in self.results) == 1:
            return name
        copied = self.fresh("t")
        self.line(f"{copied} = {name}.copy()")
        return copied

    def meant(self, value: Expr) -> Expr:
        """What a result is in another word for its shape."""
        while value.op.name == "unbroadcast" and value not in self.env:
            value = value.args[0]
        return value


def _outside(region: Region) -> list[Expr]:
    """What the nodes of a region read that is no node of it, through views."""
    found: list[Expr] = []
    for node in region.amap:
        for arg in node.args:
            if arg not in region.amap:
                base = arg
                while base.op.name in SEEN_THROUGH and base not in region.amap:
                    base = base.args[0]
                if base not in region.amap:
                    found.append(base)
    return found


class HostStep:
    """Part of a program that runs on the CPU: device arrays come to the host, and its results go back."""

    def __init__(self, inputs: list[Expr], outputs: list[Expr]) -> None:
        self.program = Program(inputs, outputs, (), "strict")  # rewritten as the whole was, before

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        device.current().counts["steps on the host"] += 1
        found = self.program(*[a.get() if isinstance(a, DeviceArray) else a for a in arrays])
        return tuple([_there(a) for a in found])


def _there(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple([_there(v) for v in value])
    return to_device(value) if isinstance(value, (np.ndarray, np.generic)) else value


# ---------------------------------------------------------------- what a wrapper calls
def taking(variables: Sequence[Expr]) -> Callable[..., list[DeviceArray]]:
    """What turns any values that inputs take into device arrays, those of the host together."""
    kinds = [(v.type.numpy_dtype, v.type.ndim, set(v.type.shape) == {None}) for v in variables]

    def take(*values: Any) -> list[DeviceArray]:
        found: list[Any] = list(values)
        hosted = []
        for k, (value, (dtype, ndim, free)) in enumerate(zip(values, kinds, strict=True)):
            kind = type(value)
            plain = free and (kind is DeviceArray or kind is np.ndarray)
            if not (plain and value.dtype == dtype and len(value.shape) == ndim):
                found[k] = checked(variables[k], value)
                kind = type(found[k])
            if kind is not DeviceArray:
                hosted.append(k)
        if hosted:
            for k, array in zip(hosted, all_to_device([found[k] for k in hosted]), strict=True):
                found[k] = array
        return found

    return take


def checked(variable: Expr, value: Any) -> Any:
    """A value that an input takes: a device array of its type, or an array of the host."""
    kind = variable.type
    if is_on_device(value):
        try:
            array = to_device(value)
        except FuseError as error:
            told = about_input(error, variable, value)
            told.told = True  # the host could say nothing of it
            raise told from None
        shape = array.shape
        fits = len(shape) == kind.ndim and all(n in (None, m) for n, m in zip(kind.shape, shape, strict=True))
        if fits and array.dtype == kind.numpy_dtype:
            return array
        value = array.get()
    try:
        return kind.filter(value)
    except FuseError as error:
        raise about_input(error, variable, value) from None


def taking_number(variable: Expr) -> Callable[[Any], Any]:
    """What takes a number for an input; those of Python that its dtype holds exactly, or by ``floatX``, at once."""
    name, scalar = variable.type.dtype, variable.type.numpy_dtype.type
    most = EXACT.get(name, -1)

    def take(value: Any) -> Any:
        kind = type(value)
        if kind is scalar or kind is int and abs(value) <= most:
            return scalar(value)
        if kind is float and name in ("float64", config.floatX):
            return scalar(value)
        if is_on_device(value):
            value = np.asarray(value)
        try:
            return variable.type.filter(value)[()]
        except FuseError as error:
            raise about_input(error, variable, value) from None

    return take


def number(value: Any, dtype: str) -> DeviceArray:
    """A number as a device array without axes."""
    return to_device(np.asarray(value, dtype))


def cleared() -> DeviceArray:
    """The status of a call, which kernels write."""
    found = empty((), "int64")
    found.memory.on.clear(found.flat())
    return found


def storing(adds: bool) -> Callable[[DeviceArray, DeviceArray], None]:
    def store(target: DeviceArray, value: DeviceArray) -> None:
        value = value.broadcast_to(target.shape) if value.shape != target.shape else value
        (add_into if adds else copy_into)(target, value)

    return store
