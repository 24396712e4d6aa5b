"""Plans kept in memory and on disk: a function of a structure met before is neither planned nor compiled again.

A plan is stored as plain data (JSON) under a hash of the formula's structure, of fuse's own files, and of what compiled
code depends on. What a wrapper's scope holds is data, something importable, or says in ``made_by`` what made it (see
``fuse.codegen.calls.remembered``); a program with anything else in it, such as a user's own op, is planned each time.
Object code is not in here: the loader keeps it under each kernel's key, and a plan counts only where it is all there.
"""

from __future__ import annotations

import atexit
import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from fuse.codegen import load, native
from fuse.codegen.plan_data import (
    Describer,
    Unstorable,
    array_of,
    data_of,
    data_of_recipe,
    data_of_type,
    named,
    recipe_of,
    stub,
    undata,
)
from fuse.codegen.runner import TURNED, Callback, Layouts, Recipe, Runner, SizeMismatch, rearranged, unmade
from fuse.codegen.taped import with_tape
from fuse.config import current_flags
from fuse.expr import CONSTANT, INPUT, SHARED, Expr, toposort
from fuse.frontend.loops import Body
from fuse.frozen import dataclass
from fuse.op import OPS, USER_REWRITES

if TYPE_CHECKING:
    from fuse.codegen.launch import Launcher
    from fuse.codegen.planning import Planned
    from fuse.codegen.program import Program

Array = Any
MEMORY_LIMIT = 512  # plans kept for being asked for again
MANY = 32  # kernels beyond which a plan is not stored after each of them

_records: OrderedDict[str, dict[str, Any]] = OrderedDict()
_unsaved: WeakSet[Origin] = WeakSet()  # those with kernels that are not stored yet


# ---------------------------------------------------------------- what a plan depends on
@cache
def _environment() -> str:
    """fuse's own files (by size and time, which a change of any of them changes), and what object code depends on."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found: list[Any] = [package, load.surroundings()]
    folders = [package]
    if not os.path.isdir(package):  # in an archive
        archive = next(path for path in Path(package).parents if path.exists())
        status = archive.stat()
        folders, found = [], [*found, (str(archive), status.st_size, status.st_mtime_ns)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("__"):
                        folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    status = entry.stat()
                    found.append((entry.path, status.st_size, status.st_mtime_ns))
    return repr((found[:2], sorted(found[2:])))


def _line(node: Expr, index: Mapping[Expr, int]) -> Any:
    """What a constant or an operation is; raises Unstorable where that is more than data."""
    if node.op is CONSTANT:
        return "constant", data_of_type(node.type), hashlib.sha256(np.ascontiguousarray(node.data).data).hexdigest()
    if OPS.get(node.op.name) is not node.op:
        raise Unstorable(node.op.name)
    params = [(k, _body(v) if isinstance(v, Body) else data_of(v)) for k, v in sorted(node.params.items())]
    return node.op.name, [index[a] for a in node.args], params, data_of_type(node.type)


def _body(body: Body) -> Any:
    """The graph that a loop repeats."""
    order = toposort([*body.inputs, *body.outputs])
    index = {node: i for i, node in enumerate(order)}
    own = {x: k for k, x in enumerate(body.inputs)}
    lines = [("input", own[n], data_of_type(n.type)) if n in own else _line(n, index) for n in order]
    counts = len(body.sequences), len(body.states), len(body.fixed), len(body.ys)
    return counts, lines, [index[o] for o in body.outputs]


def structure(program: Program, order: Sequence[Expr]) -> str | None:
    """Hash of the program's formulas and of all that planning reads; None where that is more than data."""
    if USER_REWRITES:  # what a user's own rewrites do is more than data
        return None
    index = {node: i for i, node in enumerate(order)}
    position = {v: i for i, v in enumerate(program.inputs)}
    cells: dict[int, int] = {}
    flags = replace(current_flags(), threads=0, recycle=0)
    kind = program.mode, program.assuming, program.takes_outputs, program.products, program.overwrites, program.together
    lines: list[Any] = [kind, repr(flags)]
    try:
        for node in order:
            type_ = data_of_type(node.type)
            if node.op is INPUT:
                lines.append(("input", position[node], type_))
            elif node.op is SHARED:
                lines.append(("shared", cells.setdefault(id(node.container), len(cells)), type_))
            else:
                lines.append(_line(node, index))
        lines.append([data_of_type(v.type) for v in program.inputs])
        lines.append([index[o] for o in program.outputs])
        lines.append([(index[t], index[v]) for t, v in program.updates])
    except (Unstorable, KeyError):
        return None
    return hashlib.sha256(f"{lines}{_environment()}".encode("utf-8", "surrogatepass")).hexdigest()


# ---------------------------------------------------------------- a program's place in the store
@dataclass(frozen=True)
class Found:
    """A stored plan, bound to the variables of a program."""

    text: str
    scope: dict[str, Any]
    runners: list[Runner]
    shared: list[Any]
    assumes: bool


class Origin:
    """Where the plan of one program comes from and is kept."""

    def __init__(self, program: Program) -> None:
        self.program = program
        targets = [target for target, _ in program.updates]
        self.order = toposort([*program.outputs, *[value for _, value in program.updates], *targets])
        self.key = structure(program, self.order)

    def find(self) -> Found | None:
        """The stored plan with its kernels; None where there is none, or a kernel of it is gone."""
        if self.key is None:
            return None
        record = _records.get(self.key)
        if record is None:
            stored = load.store().load(self.key)
            if stored is None or "plan" not in stored[0]:
                return None
            record = stored[0]["plan"]
        try:
            found = self._bound(record)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ImportError):
            return None
        if found is not None:
            _remember(self.key, record)
            load.count("plan_hits")
        return found

    def _bound(self, record: Mapping[str, Any]) -> Found | None:
        runners: list[Runner] = []
        for number, kernel in enumerate(record["kernels"]):
            runner = Stored(self, number, kernel, record["text"])
            for layouts, entry in kernel["variants"]:
                recipe = recipe_of(entry)
                callback = _callback(recipe)
                if callback is None:
                    return None
                runner.ready(tuple(layouts), callback, recipe)
            if not runner.recipes and self.program.updates and f"kernel{number}(" in record["text"]:
                return None  # see Stored.make: a call may fail only before anything is updated in place
            runners.append(runner)
        scope = {name: self._value(data) for name, data in record["scope"].items()}
        shared = [self.order[i] for i in record["shared"]]
        self.watch(runners, {**record, "kernels": list(record["kernels"])})
        return Found(record["text"], scope, runners, shared, record["assumes"])

    # ------------------------------------------------------------ storing
    def keep_as_made(self, planned: Planned) -> None:
        """Store the new plan, now and whenever a kernel of it is compiled."""
        if self.key is None:
            return
        describe = Describer(self.program, self.order)
        try:
            scope = {name: describe(value) for name, value in planned.scope.items() if not isinstance(value, Runner)}
            shared = [describe.index[s] for s in planned.shared]
        except (Unstorable, KeyError):
            return
        self.watch(planned.launchers, {
            "text": planned.wrapper_source, "scope": scope, "shared": shared, "assumes": bool(planned.assumed),
            "kernels": [_data_of_kernels(runner) for runner in planned.launchers],
        })
        _remember(self.key, self.record)
        self.save()

    def watch(self, runners: Sequence[Runner], record: dict[str, Any]) -> None:
        """Take in the plan ``record``, and hear of the kernels that its runners get from now on."""
        self.runners, self.record = list(runners), record
        self.kernels = sum(len(runner.recipes) for runner in runners)
        self.saved, self.without = self.kernels, sum(not runner.recipes for runner in runners)
        for number, runner in enumerate(runners):
            runner.changed = partial(self.kernel_made, number)

    def kernel_made(self, number: int) -> None:
        """Note a further kernel, and store the plan: one of many kernels where it is complete now, or a quarter larger.

        To store it after each of them takes a time that grows as the square of how many there are. What is not stored
        yet is when the process ends.
        """
        assert self.key is not None
        runner = self.runners[number]
        self.record["kernels"][number] = _data_of_kernels(runner)
        _remember(self.key, self.record)
        self.kernels += 1
        self.without -= len(runner.recipes) == 1
        complete = not self.without and len(runner.recipes) == 1
        if self.kernels <= MANY or complete or self.kernels * 4 >= self.saved * 5:
            self.save()
        else:
            _unsaved.add(self)

    def save(self) -> None:
        assert self.key is not None
        self.saved = self.kernels
        load.store().save(self.key, {"plan": self.record}, b"")
        _unsaved.discard(self)

    # ------------------------------------------------------------ values of the scope
    def _value(self, data: Any) -> Any:
        kind, value = data
        if kind == "data":
            return undata(value)
        if kind == "list":
            return []
        if kind == "name":
            return named(*value)
        if kind == "dtype":
            return np.dtype(value)
        if kind == "shared":
            return self.order[value].container
        if kind == "constant":
            return self.order[value].data
        if kind == "array":
            return array_of(*value)
        if kind == "input":
            return self.program.inputs[value]
        if kind == "node":
            return stub(value, self.order)
        if kind == "call":
            function, arguments = value
            return named(*function)(*[self._value(a) for a in arguments])
        raise ValueError(f"a plan holds a {kind}")


class Stored(Runner):
    """The kernels of a stored plan; for other layouts the program is planned after all."""

    def __init__(self, origin: Origin, number: int, kernel: Mapping[str, Any], text: str) -> None:
        super().__init__(kernel["count"], kernel["orders"], kernel["alike"])
        self.origin, self.number, self.text = origin, number, text

    def launcher(self) -> Launcher | None:
        """The runner of the program planned anew that stands for this one; None where it was planned otherwise."""
        planned = self.origin.program.planned
        if planned.wrapper_source != self.text:
            return None
        launcher: Launcher = planned.launchers[self.number]
        same = all(launcher.source(known).text == recipe.text for known, recipe in list(self.recipes.items()))
        return launcher if same else None

    def expected(self, flags: list[str], layouts: Layouts, arrays: Sequence[Array], args: Sequence[Any]) -> list[str]:
        launcher = None if (*layouts, *flags) in self.variants else self.launcher()
        owner: Any = launcher or super()
        return owner.expected(flags, layouts, arrays, args)

    def make(self, layouts: Layouts) -> tuple[Callback, Recipe | None]:
        launcher = self.launcher()
        if launcher is not None:
            return launcher.make(layouts)
        # The same structure can be planned in two ways; then the arrays take a layout that there is a kernel for, or
        # the call goes to the interpreter.
        usable = [known for known in list(self.recipes) if TURNED not in known]
        if not usable:
            raise SizeMismatch
        flags = layouts[self.count :]
        known = max(usable, key=lambda known: known[self.count :] == flags)
        return rearranged(self.variants[known], known, self.recipes[known].argtypes), None


def _data_of_kernels(runner: Runner) -> dict[str, Any]:
    made = list(runner.recipes.items())  # at once: other threads may be making some
    variants = [[list(layouts), data_of_recipe(recipe)] for layouts, recipe in made if recipe.key]
    return {"count": runner.count, "orders": runner.orders, "alike": runner.alike, "variants": variants}


@atexit.register
def _save_the_rest() -> None:
    for origin in list(_unsaved):
        origin.save()


def _remember(key: str, record: dict[str, Any]) -> None:
    with native.lock:  # between two of these lines another thread could take the entry out
        _records[key] = record
        _records.move_to_end(key)
        while len(_records) > MEMORY_LIMIT:
            _records.popitem(last=False)


def enter(scope: dict[str, Any], number: int, runner: Runner) -> None:
    """Put a runner into a wrapper's scope: as ``launch<n>``, and as ``kernel<n>`` until its kernel takes that place."""
    name = f"kernel{number}"
    scope[f"launch{number}"] = runner
    scope[name] = runner.variants[list(runner.recipes)[-1]] if runner.recipes else unmade

    def install(fast: Callback) -> None:
        scope[name] = fast
        if runner.taken is not None:
            runner.taken.take(fast)

    runner.install = install


def _callback(recipe: Recipe) -> Callback | None:
    """The compiled kernel of a recipe, with its tape; None where some of it is not stored."""
    kernel: Callback | None = load.stored_kernel(recipe.key, recipe.text, recipe.argtypes)
    if kernel is None or recipe.tape is None:
        return kernel
    operations = [load.stored_kernel(*step, block=True) for step in recipe.tape.steps]
    return None if None in operations else with_tape(kernel, recipe.tape, operations)
