"""The call of a compiled loop: Python text written for its recipe, which makes its arrays and enters it.

Stored plans make these calls by name, so nothing of planning is imported here.
"""
from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuse.codegen import load, memory
from fuse.codegen.calls import remembered
from fuse.codegen.native import ArgType
from fuse.codegen.runner import SizeMismatch

Array = Any
Argument = tuple[Any, ...]
PIECE = 1 << 14  # steps of a loop of unknown length for which memory is made at first
ROOM = 64  # rows of a window's memory besides those of two: it begins anew when it comes to the end
LINE = 64  # bytes of a line of the caches
MANY = 64  # steps of a loop for which the memory of its states, and of what a step computes, is aligned
REFUSED = 1  # what a kernel returns for arrays that are laid out otherwise than it wants them
LONGEST = 1 << 24  # steps of one entry into a loop: between them Ctrl-C is heard


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory for many steps, that of arrays which were let go where it is much."""
    count = dtype.itemsize
    for n in shape:
        count *= n
    return np.empty(shape, dtype) if count < memory.LARGE else memory.recycled(shape, dtype)


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory that begins where a line of the caches does; much of it, as in `empty`, begins anywhere.

    A step reads number by number what the one before wrote as vectors: processors pass that on at once, unless the
    vectors lie across two lines. It takes half a microsecond more than `new`.
    """
    count = dtype.itemsize
    for n in shape:
        count *= n
    if count >= memory.LARGE:
        return memory.recycled(shape, dtype)
    bytes_: Any = np.empty(count + LINE, np.uint8)
    return np.ndarray(shape, dtype, bytes_, -ctypes.addressof(ctypes.c_char.from_buffer(bytes_)) % LINE)


def contiguous(x: Array) -> Array:
    """``x``, or a copy, in C order and on whole elements; one without elements is copied, for its strides."""
    return x if x.size and x.flags.c_contiguous and x.flags.aligned else x.copy("C")


def walkable(x: Array) -> Array:
    """A sequence, or a copy, whose elements are in C order."""
    if x.size and x.flags.aligned and not x.strides[0] % x.itemsize and (x.ndim == 1 or x[0].flags.c_contiguous):
        return x
    return x.copy("C")


@dataclass(frozen=True)
class LoopRecipe:
    """A compiled loop as data: ``arguments`` says for each array what it is, ``results`` where each result is.

    Arguments: ("sequence", k), ("fixed", k), ("turned", k) (a matrix, transposed), ("state", k) (a number),
    ("halves", k) (an array's memory twice), ("rows", k) (its value before the first and after each step),
    ("array", k) (an array that is changed in place), ("window", k, states) (one that moves along, with others),
    ("kept", m, sizes), ("scratch", dtype, sizes), ("done",) (the steps done, negative where the condition ended them,
    which it may do with the last one of a piece). Results: (index of the argument, how it is read).
    """

    key: str
    text: str
    argtypes: tuple[tuple[Any, ...], ...]
    measure: str  # Python text: the sizes of the loop from the arrays, or None where they are not as planned
    arguments: tuple[Argument, ...]
    results: tuple[tuple[Any, ...], ...]
    sequences: int
    states: int
    ends: bool  # whether the loop may end early

    def source(self, what: Argument) -> int | None:
        """The input that an argument is made of, counted through sequences, states and fixed values."""
        if what[0] in _OF_STATES:
            return int(self.sequences + what[1])
        if what[0] in ("fixed", "turned"):
            return int(self.sequences + self.states + what[1])
        return int(what[1]) if what[0] == "sequence" else None


_OF_STATES = ("state", "halves", "rows", "array", "window")


def called(recipe: LoopRecipe, kernel: Callable[..., int]) -> Callable[..., list[Array]]:
    """The function of (steps, sequences, initial states, fixed values) that runs the loop of a recipe."""
    call = _Call(recipe)
    call.begin()
    for k, what in enumerate(recipe.arguments):
        call.make(k, what)
    call.run()
    call.finish()
    scope = call.scope | {"kernel": kernel, "ended": _ended(recipe, kernel) if recipe.ends else None}
    exec(compile(call.text, "<fuse loop>", "exec"), scope)
    run: Callable[..., list[Array]] = scope["run"]
    return run


class _Call:
    """The text of the call of a loop: inputs are ``x0``, ... and ``rest``, sizes ``n0``, ..., arguments ``a0``, ..."""

    def __init__(self, recipe: LoopRecipe) -> None:
        self.recipe = recipe
        self.first = len(recipe.argtypes) - len(recipe.arguments)
        read = [k + 1 for a in recipe.arguments if (k := recipe.source(a)) is not None]
        self.inputs = max([recipe.sequences + recipe.states, *read])
        self.sizes = [f"n{k}" for k in range(self.first - 2)]
        self.lines: list[str] = []
        self.copies: list[str] = []  # what follows where the kernel refuses arrays that are laid out otherwise
        self.rooms: dict[Any, str] = {}  # of windows that move along: how many rows more than they have
        self.scope: dict[str, Any] = {
            "ndarray": np.ndarray, "asarray": np.asarray, "new": np.empty, "empty": empty, "aligned": aligned,
            "contiguous": contiguous, "walkable": walkable, "SizeMismatch": SizeMismatch,
            "zero": lambda: np.zeros((), "int64"),
        }

    @property
    def text(self) -> str:
        given = "".join([f"x{k}, " for k in range(self.inputs)])
        return f"def run(steps, {given}*rest):\n" + "\n".join("    " + line for line in self.lines)

    def begin(self) -> None:
        """Lines that take the inputs and find sizes."""
        recipe = self.recipe
        self.lines.append("count = int(steps)")
        self.lines += [f"if type(x{k}) is not ndarray: x{k} = asarray(x{k})" for k in range(self.inputs)]
        short = "".join([f" or len(x{k}) < count" for k in range(recipe.sequences)]) if recipe.ends else ""
        self.lines.append(f"if count < 0{short}: raise SizeMismatch")
        self.lines += _measured(recipe.measure, self.inputs, self.sizes)
        growing = recipe.ends and grows(recipe)
        self.lines.append(f"room = min(count, {PIECE})" if growing else "room = count")

    def make(self, k: int, what: Argument) -> None:
        """Lines that make argument ``k``."""
        self.scope[f"d{k}"] = np.dtype(self.recipe.argtypes[self.first + k][0])
        self.lines += _MAKES[what[0]](self, f"a{k}", f"x{self.recipe.source(what)}", k, what)

    def run(self) -> None:
        """Lines that enter the kernel."""
        recipe = self.recipe
        arrays = ", ".join([f"a{k}" for k in range(len(recipe.arguments))])
        if recipe.ends:
            sizes = f"({''.join(n + ', ' for n in self.sizes)})"
            self.lines += [*self.copies, f"found = ended(count, room, {sizes}, [{arrays}])"]
            return
        passed = "".join([f", {name}" for name in (*self.sizes, *([arrays] if arrays else ()))])
        results = ", ".join([_READ[how].format(f"a{k}") for k, how in recipe.results])
        self.lines += [
            f"status = kernel(0, count{passed}) if count <= {LONGEST} else {REFUSED}", "if status:",
            f"    if status != {REFUSED}: raise SizeMismatch", *["    " + line for line in self.copies],
            f"    for start in range(0, max(count, 1), {LONGEST}):",
            f"        if kernel(start, min(count, start + {LONGEST}){passed}): raise SizeMismatch",
            f"found = [{results}]",
        ]

    def finish(self) -> None:
        """Lines that return the results."""
        recipe = self.recipe
        for i, (k, how) in enumerate(recipe.results):
            if how == "window":
                rows = f"len(x{recipe.sequences + recipe.arguments[k][1]})"
                self.lines.append(f"found[{i}] = found[{i}][:{rows}]")
        self.lines.append("return found")

    def shape(self, parts: Sequence[Any]) -> list[str]:
        return [str(n) if type(n) is int else self.sizes[n[1]] for n in parts]

    def few(self, k: int) -> int:
        """How many elements of argument ``k`` the C library has at hand."""
        return memory.LARGE // int(self.scope[f"d{k}"].itemsize)

    # ------------------------------------------------------------ arguments by their kinds
    def given(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        # The kernel refuses arrays that are laid out otherwise.
        self.copies.append(f"{made} = {'walkable' if what[0] == 'sequence' else 'contiguous'}({made})")
        return [f"{made} = {x}"]

    def turned(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        return [f"{made} = contiguous({x}.T)"]

    def copied(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        return [f"{made} = {x}.copy()"]  # in C order

    def window(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        lines = []
        room = self.rooms.get(what[2])
        if room is None:  # the windows that move along have one position, and as much memory as the longest needs
            room = self.rooms[what[2]] = f"room{k}"
            lengths = ", ".join([f"len(x{self.recipe.sequences + j})" for j in what[2]])
            lines.append(f"{room} = max(0, {lengths}) + {ROOM}")
        return [*lines, f"{made} = new((len({x}) + {room}, *{x}.shape[1:]), d{k})", f"{made}[:len({x})] = {x}"]

    def halves(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        return [f"{made} = (new if count < {MANY} else aligned)((2, *{x}.shape), d{k})", f"{made}[0] = {x}"]

    def rows(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        small = f"(room + 1) * {x}.size < {self.few(k)}"
        return [f"{made} = (aligned if count >= {MANY} else new if {small} else empty)((room + 1, *{x}.shape), d{k})",
                f"{made}[0] = {x}"]

    def done(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        return [f"{made} = zero()"]

    def kept(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        sizes = ["room", *self.shape(what[-1])]
        small = f"{' * '.join(sizes)} < {self.few(k)}"
        return [f"{made} = (new if {small} else empty)(({''.join([n + ', ' for n in sizes])}), d{k})"]

    def scratch(self, made: str, x: str, k: int, what: Argument) -> list[str]:
        count = " * ".join(self.shape(what[2])) or "1"
        return [f"{made} = (new if count < {MANY} else aligned)(({count},), d{k})"]


# What makes an argument of each kind: lines for its name, the input it is made of, its number and what is said of it.
_MAKES: dict[str, Callable[[_Call, str, str, int, Argument], list[str]]] = {
    "sequence": _Call.given, "fixed": _Call.given, "turned": _Call.turned, "state": _Call.copied,
    "array": _Call.copied, "window": _Call.window, "halves": _Call.halves, "rows": _Call.rows, "done": _Call.done,
    "kept": _Call.kept, "scratch": _Call.scratch,
}


def _measured(measure: str, inputs: int, names: Sequence[str]) -> list[str]:
    """The lines of the function ``measure`` as those of a call, in which its arrays have names."""

    def name(found: re.Match[str]) -> str:
        k = int(found[1])
        return f"x{k}" if k < inputs else f"rest[{k - inputs}]"

    *lines, last = [re.sub(r"\bx\[(\d+)\]", name, line).strip() for line in measure.splitlines()[1:]]
    found = [line.replace("return None", "raise SizeMismatch") for line in lines]
    return [*found, f"{', '.join(names)}, = {last.removeprefix('return ')}"] if names else found


@remembered
def compiled(*data: Any) -> Callable[..., list[Array]]:
    """The function that runs the loop of this recipe, on (steps, sequences, initial states, fixed values).

    It raises SizeMismatch where the loop does not serve: the interpreter then tells what is wrong, or computes it.
    """
    recipe = LoopRecipe(*data)
    kernel = load.stored_kernel(recipe.key, recipe.text, tuple([ArgType(*t) for t in recipe.argtypes]))
    if kernel is None:
        raise KeyError(recipe.key)
    run: Any = called(recipe, kernel)
    growing = recipe.ends and grows(recipe)
    run.owned = tuple([how in ("number", "rows") and not growing for _, how in recipe.results])
    return run


@remembered
def nonempty(run: Callable[..., list[Array]]) -> Callable[..., list[Array]]:
    """``run``, for which no steps are an error."""

    def call(steps: Any, *given: Array) -> list[Array]:
        if int(steps) < 1:
            raise SizeMismatch
        return run(steps, *given)

    call.owned = run.owned  # type: ignore[attr-defined]
    return call


def grows(recipe: LoopRecipe) -> bool:
    """Whether the loop has memory for each step."""
    return any(a[0] in ("kept", "rows") for a in recipe.arguments)


def _ended(recipe: LoopRecipe, kernel: Callable[..., int]) -> Callable[..., list[Array]]:
    """What runs a loop that may end early: in pieces, with more memory for each where it has memory for each step."""
    [told] = [k for k, a in enumerate(recipe.arguments) if a[0] == "done"]
    growing = grows(recipe)

    def run(count: int, room: int, sizes: Any, made: list[Array]) -> list[Array]:
        start = done = 0
        while True:
            stop = min(count, room if growing else start + LONGEST)
            if kernel(start, stop, *sizes, *made):
                raise SizeMismatch
            done = int(made[told]) if stop > start else stop
            if done < 0 or stop == count:
                break
            start = stop
            if growing:
                room = min(count, 2 * room)
                made = [_longer(a, m, room) for a, m in zip(recipe.arguments, made, strict=True)]
        made[told][...] = done = abs(done)
        return [_READ_ENDED[how](made[k], done) for k, how in recipe.results]

    return run


def _longer(what: Any, array: Array, room: int) -> Array:
    """Memory of a loop of unknown length, when there is more to keep."""
    if what[0] not in ("kept", "rows"):
        return array
    made = np.empty((room + (what[0] == "rows"), *array.shape[1:]), array.dtype)
    made[: len(array)] = array
    return made


_READ_ENDED: dict[str, Callable[..., Array]] = {
    "number": lambda array, done: array,
    "rows": lambda array, done: array if len(array) == done else array[:done],
    "before": lambda array, done: array[:done],
    "after": lambda array, done: array[1 : done + 1],
    "last": lambda array, done: array[done],
    "half": lambda array, done: array[done % 2],
    "window": lambda array, done: array,
}
_READ = {
    "number": "{0}", "rows": "{0}", "before": "{0}[:count]", "after": "{0}[1:]", "last": "{0}[count]",
    "half": "{0}[count % 2]", "window": "{0}",
}
