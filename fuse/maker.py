"""The parts of a Function: its program, its stored values, its call path, and what it was made from."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from keyword import iskeyword
from typing import Any

import numpy as np

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, toposort
from fuse.frontend.fgraph import FunctionGraph
from fuse.inout import In, rank_of
from fuse.mode import Mode
from fuse.op import NAMED_REWRITES
from fuse.signature import Signature, read_pairs
from fuse.types import only_arrays


def build_program(
    inputs: Sequence[Expr],
    outputs: Sequence[Expr],
    updates: Sequence[tuple[Any, Expr]],
    mode: Mode,
    overwrites: Sequence[int] = (),
) -> Any:
    """What computes ``outputs`` and stores ``updates``, run as ``mode`` says; some inputs may be overwritten."""
    from fuse.codegen import interpreted

    if not all(only_arrays(v.type) for v in toposort([*inputs, *outputs, *[v for _, v in updates]])):
        return interpreted.ReferenceProgram(inputs, outputs, updates, "none")  # objects of a user's own types
    if mode.backend == "interpreted":
        return interpreted.ReferenceProgram(inputs, outputs, updates, mode.rewriting)
    if mode.backend == "guard":
        step = interpreted.nan_guard(mode.check.nan_is_error, mode.check.inf_is_error, mode.check.big_is_error)
        return interpreted.ReferenceProgram(inputs, outputs, updates, mode.rewriting, step)
    if mode.backend == "monitor":
        step = interpreted.monitored(mode.check.before, mode.check.after)
        return interpreted.ReferenceProgram(inputs, outputs, updates, mode.rewriting, step)
    from fuse.codegen.program import compile_program

    written = [*outputs, *[v for _, v in updates]]
    stages: list[tuple[str, list[Expr]]] = []
    if mode.backend == "debug":
        overwrites = ()  # the interpreter is to see the same values
        stages = rewritten_by_the_user(inputs, written, mode)
        if stages:
            last = stages[-1][1]
            outputs, targets = last[: len(outputs)], [t for t, _ in updates]
            updates = list(zip(targets, last[len(outputs) :], strict=True))
    if mode.device == "cuda":
        from fuse.codegen.cuda_program import DeviceProgram

        program: Any = DeviceProgram(inputs, outputs, updates, mode.rewriting)
        return interpreted.DebugProgram(written, stages, updates, program) if mode.backend == "debug" else program
    rewriting = "strict" if mode.rewriting == "none" else mode.rewriting  # DebugMode compiles in any case
    program = compile_program(inputs, outputs, updates, rewriting, overwrites)
    return interpreted.DebugProgram(written, stages, updates, program) if mode.backend == "debug" else program


def profile_of(asked: Any, name: str | None) -> Any:
    """The profile that ``profile=`` asks for: True, a title, or a Profile that several functions share."""
    from fuse.profiling import Profile

    if isinstance(asked, Profile):
        return asked
    return Profile(message=asked if isinstance(asked, str) else name)


class Cell:
    """The stored value of one input: its default, or its state where it has an update."""

    __slots__ = ("_input", "_storage", "_value")

    def __init__(self, item: In, value: Any = None) -> None:
        self._input = item
        self._storage: list[Any] = [None]
        self._value = None if value is None else item.filter(value)

    @property
    def name(self) -> str | None:
        return self._input.name

    @property
    def type(self) -> Any:
        return self._input.type

    @property
    def value(self) -> Any:
        """The array, or None."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = None if value is None else self.type.copied(self._input.filter(value))

    data = value

    @property
    def storage(self) -> list[Any]:
        """Theano's form of a cell: a list of the one value, the same list for the same cell."""
        self._storage[0] = self._value
        return self._storage

    def lent(self) -> Any:
        """The array for one call, which may overwrite it where the input is mutable."""
        return self.type.copied(self._value) if self._input.mutable and self._value is not None else self._value

    def __reduce__(self) -> Any:
        item = self._input
        plain = In(
            item.variable, name=item.name, strict=item.strict, allow_downcast=item.allow_downcast, mutable=item.mutable
        )
        return Cell, (plain, self._value)

    def __repr__(self) -> str:
        return f"<{self.name}: {self._value}>"


class Containers:
    """The cells of a function (``values``: what they hold) by variable, by name and by the number of the input."""

    def __init__(self, cells: Sequence[Cell], find: Callable[[Any], Any], values: bool) -> None:
        self._cells, self._find, self._values = cells, find, values

    def __getitem__(self, item: Any) -> Any:
        cell = self._cells[item] if isinstance(item, int) else self._find(item)
        return cell.value if self._values else cell

    def __setitem__(self, item: Any, value: Any) -> None:
        (self._cells[item] if isinstance(item, int) else self._find(item)).value = value

    def __contains__(self, item: Any) -> bool:
        try:
            self[item]
        except (KeyError, IndexError):
            return False
        return True

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[Any]:
        return iter([cell.value if self._values else cell for cell in self._cells])


def cell_of(item: In) -> Cell:
    """The cell of an input: a new one, or that of another function, where this was given as its value."""
    if not isinstance(item.value, Cell):
        return Cell(item, item.value)
    if item.value.type != item.type:
        text = f"the input {item.name or item.type.describe()} is a {item.type.describe()}"
        raise FuseTypeError(f"{text}, the container given as its value holds a {item.value.type.describe()}")
    return item.value


class Maker:
    """What a function was made from: ``inputs``, ``outputs``, ``mode``, and ``fgraph``, the graph that it runs."""

    def __init__(self, graph: Signature, mode: Mode, program: Any) -> None:
        self.signature = graph
        self.mode = mode
        self.inputs = list(graph.inputs)
        self.outputs = list(graph.outputs)
        self._program = program
        self._fgraph: FunctionGraph | None = None

    @property
    def fgraph(self) -> FunctionGraph:
        """The graph after rewriting; its outputs are the function's, then the updates."""
        if self._fgraph is None:
            from fuse.codegen.interpreted import optimized

            graph = self.signature
            self._fgraph = FunctionGraph.of(graph.leaves, optimized(graph.roots, self.mode.rewriting))
        return self._fgraph

    @property
    def expanded_inputs(self) -> list[In]:
        """The inputs, and after them the shared variables that the function reads."""
        shared = [v for v in toposort(self.signature.roots) if v.op.name == "shared"]
        return [*self.inputs, *[In(v, implicit=True, shared=True) for v in shared]]


class SharedCell:
    """A shared variable, read and written as an input's cell is."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    @property
    def value(self) -> Any:
        return self._shared.get_value()

    @value.setter
    def value(self, value: Any) -> None:
        self._shared.set_value(value)


# ---------------------------------------------------------------- parts of the call path
def with_checks(run: Callable[..., Any], checked: Sequence[tuple[int, In]]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        values = list(args)
        for i, item in checked:
            values[i] = item.filter(values[i])
        return run(*values)

    return call


def with_states(run: Callable[..., Any], cells: Sequence[Cell]) -> Callable[..., Any]:
    count = len(cells)

    def call(*args: Any) -> Any:
        results = run(*args)
        for cell, value in zip(cells, results[-count:], strict=True):
            cell._value = value
        return results[:-count]

    return call


def with_overwritten(run: Callable[..., Any], graph: Signature) -> Callable[..., Any]:
    """``run``, whose last results are then written into arguments; outputs of the same value are those arguments."""
    count = len(graph.overwritten)
    same = [(k, i) for i, value in graph.overwritten for k, out in enumerate(graph.outputs) if out is value]

    def call(*args: Any) -> Any:
        results = run(*args)
        kept, values = list(results[:-count]), results[-count:]
        written = set()
        for (i, _), value in zip(graph.overwritten, values, strict=True):
            target = args[i]
            alike = isinstance(target, np.ndarray) and (target.dtype, target.shape) == (value.dtype, value.shape)
            if alike and target.flags.writeable:
                np.copyto(target, value)
                written.add(i)
        for k, i in same:
            kept[k] = args[i] if i in written else kept[k]
        return kept

    return call


def described(value: Any) -> str:
    """What was given, for messages."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    return f"{type(value).__name__} {value!r:.60}"


def _single(run: Callable[..., Any], keys: Any) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return run(*args)[0]

    return call


def _dict(run: Callable[..., Any], keys: Any) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return dict(zip(keys, run(*args), strict=True))

    return call


def _none(run: Callable[..., Any], keys: Any) -> Callable[..., Any]:
    def call(*args: Any) -> None:
        run(*args)

    return call


RESULTS = {"single": _single, "list": lambda run, keys: run, "dict": _dict, "none": _none}


QUICKEN_AT = 4  # calls after which a function is worth a call path of its own
QUICKEN_AGAIN = 100  # calls until that is tried again, where kernels wait to be made
QUICKEN_COLD = 1000  # calls after which it is worth compiling what is common to all such calls


def quicken(function: Any, base: type, waited: bool = False) -> int:
    """Let calls of ``function`` run at C level from now on, where its program and inputs allow it.

    Python then calls it by a pointer in it, for which its class becomes a subclass of ``base``, or one with a built-in
    ``__call__`` where Python has no such objects. Behind that the Python path stays for every call that is out of the
    ordinary. Gives the number of calls after which to try again, or 0; ``waited`` says that this is not the first time.
    """
    graph, program = function.maker.signature, function.fn
    plain = not graph.overwritten and all(
        i.update is None and not (i.strict and rank_of(i.type) == 0) for i in graph.inputs
    )
    call: Any = None
    on_cpu = function.maker.mode.device == "cpu" and hasattr(program, "wrapper_source")
    if plain and function.profile is None and on_cpu:
        from fuse.codegen import memory, vectorcall
        from fuse.codegen.call_plan import NotYet, native_call

        if not waited and not memory.is_at_hand():
            return QUICKEN_COLD
        try:
            call = native_call(program.wrapper_source, program.scope, graph.shape, graph.keys, function._call)
        except NotYet:
            return QUICKEN_AGAIN
        if call and vectorcall.point(function, base, memory.addresses().get("fuse_pointed", 0), call.__self__):
            return 0
    function.__class__ = called_by(base, call) if call is not None else _called_by_python(base)
    return 0


def called_by(base: Any, call: Any) -> type:
    """A subclass of ``base`` whose objects are called by ``call``."""
    members = {"__call__": call, "__slots__": (), "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), members)


@cache
def _called_by_python(base: Any) -> type:
    return called_by(base, base._call)


def unique_names(inputs: Sequence[In]) -> dict[str, int]:
    """Position by name; -1 for a name that several inputs have."""
    names: dict[str, int] = {}
    for i, item in enumerate(inputs):
        if item.name is not None:
            names[item.name] = -1 if item.name in names else i
    return names


def python_signature(graph: Signature, names: Mapping[str, int], cells: Sequence[Cell]) -> inspect.Signature:
    parameters = []
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    had_default = False
    for i, (item, cell) in enumerate(zip(graph.inputs, cells, strict=True)):
        word = item.name or ""
        usable = word.isidentifier() and not iskeyword(word) and names[word] == i
        default = inspect.Parameter.empty if cell.value is None else cell.value
        if had_default and cell.value is None:
            kind = inspect.Parameter.KEYWORD_ONLY
        had_default = had_default or cell.value is not None
        parameters.append(inspect.Parameter(word if usable else f"input_{i}", kind, default=default))
    return inspect.Signature(parameters)


def _rewrites(mode: Mode) -> list[Any]:
    """The rewrites of whole graphs of the user's own that the mode has or chooses by tags."""
    whole = not isinstance(mode.optimizer, str) and mode.optimizer is not None
    if not whole and not NAMED_REWRITES:
        return []
    from fuse.rules import named

    found = named.REGISTERED.chosen(mode.wanted, mode.excluded)
    return [mode.optimizer, *found] if whole else found


def rewritten_signature(graph: Signature, mode: Mode) -> Signature:
    """``graph`` after the user's own rewrites of graphs; in DebugMode the program applies them, one after the other."""
    rewrites = [] if mode.backend == "debug" else _rewrites(mode)
    if not rewrites:
        return graph
    from fuse.rules import named

    return with_roots(graph, named.after(graph.leaves, graph.roots, rewrites))


def rewritten_by_the_user(
    inputs: Sequence[Expr], roots: Sequence[Expr], mode: Mode
) -> list[tuple[str, list[Expr]]]:
    """What ``roots`` are after each of the user's own rewrites of graphs, with the name of that rewrite."""
    from fuse.rules import named

    stages, current = [], list(roots)
    for rewrite in _rewrites(mode):
        current = named.after(inputs, current, [rewrite])
        name = getattr(rewrite, "name", None) or getattr(rewrite, "__name__", None) or type(rewrite).__name__
        stages.append((str(name), current))
    return stages


def with_roots(graph: Signature, roots: Sequence[Expr]) -> Signature:
    """The signature with other formulas for its outputs, the states of its inputs and its updates."""
    count, states = len(graph.outputs), len(graph.states)
    fresh = iter(roots[count : count + states])
    pairs = zip([t for t, _ in graph.updates], roots[count + states :], strict=True)
    return replace(
        graph, inputs=tuple([copied_input(i, i.value, fresh) for i in graph.inputs]), outputs=tuple(roots[:count]),
        updates=tuple(pairs),
    )


def copied_input(item: In, value: Any, updates: Any) -> In:
    """An input as another function takes it, with the next of ``updates`` where it has one."""
    update = None if item.update is None else next(updates)
    return In(
        item.variable, name=item.name, value=value, update=update, mutable=item.mutable, strict=item.strict,
        allow_downcast=item.allow_downcast,
    )


def checked_swap(swap: Any, known: Sequence[Any]) -> dict[Expr, Any]:
    """The shared variables that ``swap`` exchanges, by the old ones; raises where they do not fit."""
    found = {}
    for old, new in read_pairs(swap, "swap"):
        if old not in known:
            raise FuseValueError(f"swap: the function has no shared variable {getattr(old, 'name', None) or old}")
        if getattr(getattr(new, "op", None), "name", None) != "shared" or new.type != old.type:
            raise FuseTypeError(f"swap: {old.name or old} takes a shared variable of the same type ({old.type})")
        found[old] = new
    return found
