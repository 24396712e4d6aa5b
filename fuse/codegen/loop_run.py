"""Running loops: the compiled function of a body with its memory, or the body's program called for each step."""
from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.codegen import load, memory
from fuse.codegen.calls import remembered
from fuse.codegen.loop_emit import NotCompiled
from fuse.codegen.loop_plan import LoopRecipe, compile_loop
from fuse.codegen.native import ArgType
from fuse.codegen.runner import SizeMismatch
from fuse.expr import Expr, make
from fuse.frontend.loops import Body, stepwise
from fuse.op import OPS

Array = Any
MAPPED = 1 << 17  # bytes that the C library asks of the system anew each time
PIECE = 1 << 14  # steps of a loop of unknown length for which memory is made at first
LONGEST = 1 << 24  # steps of one entry into a loop without kept values: between them Ctrl-C is heard


@remembered
def compiled(*data: Any) -> Callable[..., list[Array]]:
    """The function that runs the loop of this recipe, on (steps, sequences, initial states, fixed values).

    It raises SizeMismatch where the loop does not serve: the interpreter then tells what is wrong, or computes it.
    """
    recipe = LoopRecipe(*data)
    kernel = load.stored_kernel(recipe.key, recipe.text, tuple([ArgType(*t) for t in recipe.argtypes]))
    if kernel is None:
        raise KeyError(recipe.key)
    scope: dict[str, Any] = {}
    exec(compile(recipe.measure, "<fuse loop>", "exec"), {}, scope)
    measure = scope["measure"]
    sequences = recipe.sequences
    fills = [_FILLS[a[0]](a, recipe) for a in recipe.arguments]
    told = [k for k, a in enumerate(recipe.arguments) if a[0] == "done"]
    growing = recipe.ends and any(a[0] in ("kept", "rows") for a in recipe.arguments)
    results = recipe.results

    def run(steps: Any, *given: Array) -> list[Array]:
        count = int(steps)
        arrays = [np.asarray(a) for a in given]
        if count < 0 or any(len(a) < count for a in arrays[:sequences]):
            raise SizeMismatch
        sizes = measure(arrays)
        if sizes is None:
            raise SizeMismatch
        room = min(count, PIECE) if growing else count
        made = [fill(arrays, sizes, room) for fill in fills]
        start = 0
        while True:
            stop = min(count, room) if growing else min(count, start + LONGEST)
            if kernel(start, stop, *sizes, *made):
                raise SizeMismatch
            done = int(made[told[0]]) if told and stop > start else stop
            if done < stop or stop == count:
                break
            start = stop
            if growing:
                room = min(count, 2 * room)
                made = [_longer(a, m, room) for a, m in zip(recipe.arguments, made, strict=True)]
        return [_READ[how](made[k], done) for k, how in results]

    run.owned = tuple([how in ("number", "rows") and not growing for _, how in results])  # type: ignore[attr-defined]
    return run


def _size(shape: Any, sizes: Any) -> int:
    count = 1
    for n in shape:
        count *= n if type(n) is int else sizes[n[1]]
    return count


def _sequence(what: Any, recipe: LoopRecipe) -> Any:
    k = what[1]

    def fill(arrays: Any, sizes: Any, room: int) -> Array:
        x = arrays[k]
        if not x.flags.aligned or x.strides[0] % x.itemsize or x.ndim > 1 and len(x) and not x[0].flags.c_contiguous:
            return np.ascontiguousarray(x)
        return x

    return fill


def _fixed(what: Any, recipe: LoopRecipe) -> Any:
    k = recipe.sequences + recipe.states + what[1]
    return lambda arrays, sizes, room: _contiguous(arrays[k])


def _contiguous(x: Array) -> Array:
    return x if x.flags.c_contiguous and x.flags.aligned else np.array(x, order="C")


def _turned(what: Any, recipe: LoopRecipe) -> Any:
    k = recipe.sequences + recipe.states + what[1]
    return lambda arrays, sizes, room: _contiguous(arrays[k].T)


def _state(what: Any, recipe: LoopRecipe) -> Any:
    k = recipe.sequences + what[1]
    return lambda arrays, sizes, room: np.array(arrays[k])


def _halves(what: Any, recipe: LoopRecipe) -> Any:
    k = recipe.sequences + what[1]

    def fill(arrays: Any, sizes: Any, room: int) -> Array:
        x = arrays[k]
        made = np.empty((2, *x.shape), x.dtype)
        made[0] = x
        return made

    return fill


def _rows(what: Any, recipe: LoopRecipe) -> Any:
    k = recipe.sequences + what[1]

    def fill(arrays: Any, sizes: Any, room: int) -> Array:
        x = arrays[k]
        made = _empty((room + 1, *x.shape), x.dtype)
        made[0] = x
        return made

    return fill


def _kept(what: Any, recipe: LoopRecipe) -> Any:
    dtype = _dtype_of(what, recipe)
    shape = what[-1]
    return lambda arrays, sizes, room: _empty((room, *[n if type(n) is int else sizes[n[1]] for n in shape]), dtype)


def _empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory for many steps, that of arrays which were let go where it is much."""
    count = dtype.itemsize
    for n in shape:
        count *= n
    return np.empty(shape, dtype) if count < MAPPED else memory.recycled(shape, dtype)


def _dtype_of(what: Any, recipe: LoopRecipe) -> Any:
    first = len(recipe.argtypes) - len(recipe.arguments)
    return np.dtype(recipe.argtypes[first + recipe.arguments.index(what)][0])


def _scratch(what: Any, recipe: LoopRecipe) -> Any:
    dtype, shape = np.dtype(what[1]), what[2]
    return lambda arrays, sizes, room: np.empty(_size(shape, sizes), dtype)


def _done(what: Any, recipe: LoopRecipe) -> Any:
    return lambda arrays, sizes, room: np.zeros((), "int64")


_FILLS: dict[str, Callable[..., Any]] = {
    "sequence": _sequence, "fixed": _fixed, "turned": _turned, "state": _state, "halves": _halves, "rows": _rows,
    "kept": _kept, "scratch": _scratch, "done": _done,
}


def _longer(what: Any, array: Array, room: int) -> Array:
    """Memory of a loop of unknown length, when there is more to keep."""
    if what[0] not in ("kept", "rows"):
        return array
    made = np.empty((room + (what[0] == "rows"), *array.shape[1:]), array.dtype)
    made[: len(array)] = array
    return made


_READ: dict[str, Callable[..., Array]] = {
    "number": lambda array, done: array,
    "rows": lambda array, done: array if len(array) == done else array[:done],
    "before": lambda array, done: array[:done],
    "after": lambda array, done: array[1 : done + 1],
    "last": lambda array, done: array[done],
    "half": lambda array, done: array[done % 2],
}


def write_loop(writer: Any, node: Expr, name: str, arguments: Sequence[str]) -> None:
    """The lines of a wrapper that run a loop, or take one of the results of a node that has several."""
    if node.op.name == "part":
        writer.line(f"{name} = {arguments[0]}[{node.params['i']}]")
        return
    call = loop_call(node)
    writer.owned.update(make(OPS["part"], (node,), {"i": i}) for i, own in enumerate(getattr(call, "owned", ())) if own)
    writer.line(f"try: {name} = {writer.give('loop', call)}({', '.join(arguments)})")
    writer.line(f"except SizeMismatch: return serve(({writer.arguments}))")


def loop_call(node: Expr) -> Callable[..., list[Array]]:
    """What computes a loop in a wrapper."""
    body: Body = node.params["body"]
    if node.params.get("branch"):
        return _branch(body)
    start = time.perf_counter()
    try:
        recipe = compile_loop(body)
    except NotCompiled as reason:
        return _by_program(node, str(reason))
    from dataclasses import astuple

    run: Any = compiled(*_plain(astuple(recipe)))
    if node.params.get("nonempty"):
        run = nonempty(run)
    run.made_in = time.perf_counter() - start  # for profiles
    return run


def loop_texts(wrapper: str, scope: Mapping[str, Any]) -> dict[str, str]:
    """The text of each loop of a wrapper by its name there; of one without a compiled form, why that is so."""
    texts = {}
    for name in dict.fromkeys(re.findall(r"\bloop\d+\b", wrapper)):
        call = scope[name]
        made_by = getattr(call, "made_by", ())
        while made_by and callable(made_by[1]):  # a loop with a condition around it
            made_by = made_by[1].made_by
        if made_by:
            texts[name] = str(made_by[2])
        else:
            texts[name] = f"# not compiled as a whole, each step is a call: {getattr(call, 'why', '')}\n"
    return texts


def _plain(value: Any) -> Any:
    return tuple([_plain(v) for v in value]) if isinstance(value, (tuple, list)) else value


@remembered
def nonempty(run: Callable[..., list[Array]]) -> Callable[..., list[Array]]:
    """``run``, for which no steps are an error."""

    def call(steps: Any, *given: Array) -> list[Array]:
        if int(steps) < 1:
            raise SizeMismatch
        return run(steps, *given)

    call.owned = run.owned  # type: ignore[attr-defined]
    return call


def _branch(body: Body) -> Callable[..., list[Any]]:
    """The values of a branch, each as the only element of a list; empty lists where it is not taken.

    Nothing but choices and branches of the same side read them.
    """
    from fuse.codegen.program import Program

    program: list[Any] = []
    sequences = len(body.sequences)
    nothing: list[Any] = [[]] * len(body.ys)

    def run(steps: Any, *given: Any) -> list[Any]:
        if not steps:
            return nothing
        if not program:
            program.append(Program(body.inputs, body.outputs, (), "default"))
        return [[v] for v in program[0](*[x[0] for x in given[:sequences]], *given[sequences:])]

    return run


def _by_program(node: Expr, reason: str) -> Callable[..., list[Array]]:
    """The body's own program, called for each step."""
    from fuse import reference
    from fuse.codegen.program import Program

    body: Body = node.params["body"]
    program: list[Any] = []

    def step(*values: Array) -> Any:
        if not program:
            program.append(Program(body.inputs, body.outputs, (), "default"))
        return program[0](*values)

    run = reference.guarded(node, stepwise(step))
    run.why = reason
    return run
