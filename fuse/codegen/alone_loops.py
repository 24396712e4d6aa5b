"""Loops in text that stands alone: the function of a loop's body, and the lines that make its arrays and enter it."""
from __future__ import annotations

import re
from typing import Any

from fuse.codegen.emit_cpu import Source
from fuse.codegen.loop_emit import NotCompiled
from fuse.codegen.loop_entry import PIECE, ROOM, grows
from fuse.codegen.loop_plan import LoopWriter
from fuse.codegen.text import numpy_dtype
from fuse.errors import FuseTypeError, origin_text
from fuse.expr import Expr
from fuse.frontend.loops import arguments

_READ = {
    "number": "{0}", "rows": "{0}[:{1}]", "before": "{0}[:{1}]", "after": "{0}[1:{1} + 1]", "last": "{0}[{1}]",
    "half": "{0}[{1} % 2]", "window": "{0}[:{2}.shape[0]]",
}


def write_loop(writer: Any, node: Expr) -> list[str]:
    """Write a loop into the text of ``compute``; the names of its results, in order."""
    body = node.params["body"]
    try:
        if node.params.get("branch"):
            raise NotCompiled("a choice of which only one side is computed")
        loop = LoopWriter(body, writer.exact, for_file=True)
        recipe = loop.recipe()
    except NotCompiled as reason:
        raise FuseTypeError(f"the loop at {origin_text(node.origin)} cannot stand alone: {reason}") from None
    number = len(writer.kernels)
    writer.kernels.append(writer.text_of(Source(loop.text, "kernel", (), loop.helpers), f"kernel{number}"))
    sequences, states, fixed = arguments(node)
    given = [writer.array(x) for x in (*sequences, *states, *fixed)]
    count = writer.fresh("n")
    writer.line(f"{count} = {writer.whole(node.args[0])}")
    least = 1 if node.params.get("nonempty") else 0
    short = "".join([f" or {x}.shape[0] < {count}" for x in given[: len(sequences)]])
    writer.line(f"if {count} < {least}{short}: raise ValueError('a loop has fewer steps than it needs')")
    sizes = _measured(writer, recipe.measure, given)
    growing = recipe.ends and grows(recipe)
    room = writer.fresh("n")
    writer.line(f"{room} = min({count}, {PIECE})" if growing else f"{room} = {count}")
    first = len(recipe.argtypes) - len(recipe.arguments)
    made = []
    for k, what in enumerate(recipe.arguments):
        source = recipe.source(what)
        x = "" if source is None else given[source]
        beside = [given[len(sequences) + j] for j in what[2]] if what[0] == "window" else []
        made.append(_argument(writer, what, x, recipe.argtypes[first + k], sizes, room, beside))
    called = ", ".join([*sizes, *made])
    error = "raise ValueError('sizes or indices in a loop do not fit')"
    if not recipe.ends:
        writer.line(f"if kernel{number}(0, {count}, {called}) != 0: {error}")
        done = count
    else:
        done = _in_pieces(writer, recipe, number, count, room, sizes, made, error, growing)
    names = []
    for k, how in recipe.results:
        name = writer.fresh("t")
        state = given[len(sequences) + recipe.arguments[k][1]] if how == "window" else ""
        writer.line(f"{name} = {_READ[how].format(made[k], done, state)}")
        names.append(name)
    return names


def _measured(writer: Any, measure: str, given: list[str]) -> list[str]:
    """The sizes of a loop, from the text that computes them from its arrays."""
    prefix = writer.fresh("m")
    lines = measure.splitlines()[1:]
    for line in lines[:-1]:
        text = re.sub(r"\bm(\d+)\b", rf"{prefix}_\1", line.strip())
        text = re.sub(r"int\(x\[(\d+)\]\)", lambda m: f"int({given[int(m[1])]}[()])", text)
        text = re.sub(r"\bx\[(\d+)\]", lambda m: given[int(m[1])], text)
        writer.line(text.replace("return None", "raise ValueError('sizes in a loop do not fit')"))
    found = lines[-1].strip().removeprefix("return (").removesuffix(")")
    return [re.sub(r"\bm(\d+)\b", rf"{prefix}_\1", n.strip()) for n in found.split(",") if n.strip()]


def _argument(
    writer: Any, what: Any, x: str, argtype: Any, sizes: list[str], room: str, beside: list[str]
) -> str:
    """The name of one array of a loop."""
    kind, (dtype, ndim, _) = what[0], argtype
    dtype = numpy_dtype(dtype)

    def shape(parts: Any) -> list[str]:
        return [str(n) if type(n) is int else sizes[n[1]] for n in parts]

    if kind in ("sequence", "fixed"):
        return str(writer.lined_up(x, ndim))
    name = str(writer.fresh("t"))
    own = "".join([f"{x}.shape[{d}], " for d in range(ndim - 1)])
    if kind == "turned":
        writer.line(f"{name} = np.ascontiguousarray({x}.T)")
    elif kind == "state":
        writer.line(f"{name} = np.empty((), {dtype})")
        writer.line(f"{name}[()] = {x}[()]")
    elif kind in ("array", "window"):
        rows = f"{x}.shape[0]"
        if kind == "window":
            rows += f" + max({', '.join([f'{y}.shape[0]' for y in beside])}, 0) + {ROOM}"
        rest = "".join([f"{x}.shape[{d}], " for d in range(1, ndim)])
        writer.line(f"{name} = np.empty(({rows}, {rest}), {dtype})")
        writer.line(f"{name}[:{x}.shape[0]] = {x}")
    elif kind in ("halves", "rows"):
        writer.line(f"{name} = np.empty(({'2' if kind == 'halves' else f'{room} + 1'}, {own}), {dtype})")
        writer.line(f"{name}[0] = {x}")
    elif kind == "kept":
        writer.line(f"{name} = np.empty(({room}, {''.join([n + ', ' for n in shape(what[-1])])}), {dtype})")
    elif kind == "scratch":
        writer.line(f"{name} = np.empty({' * '.join(shape(what[2])) or '1'}, {dtype})")
    else:
        writer.line(f"{name} = np.zeros((), np.int64)")
    return name


def _in_pieces(
    writer: Any, recipe: Any, number: int, count: str, room: str, sizes: list[str], made: list[str], error: str,
    growing: bool,
) -> str:
    """The lines of a loop that may end early, and the name of the number of steps that it took."""
    told = made[[a[0] for a in recipe.arguments].index("done")]
    start, stop, done = [writer.fresh("n") for _ in range(3)]
    for line in (
        f"{start} = 0", f"{done} = 0", "while True:", f"    {stop} = {room if growing else count}",
        f"    if kernel{number}({start}, {stop}, {', '.join([*sizes, *made])}) != 0: {error}",
        f"    {done} = int({told}[()]) if {stop} > {start} else {stop}",
        f"    if {done} < 0 or {stop} == {count}: break", f"    {start} = {stop}",
    ):
        writer.line(line)
    if growing:
        writer.line(f"    {room} = min({count}, 2 * {room})")
    for what, name in zip(recipe.arguments, made, strict=True):
        if what[0] in ("kept", "rows"):
            writer.line(f"    {name} = longer({name}, {room}{' + 1' if what[0] == 'rows' else ''})")
    writer.line(f"{done} = abs({done})")
    writer.line(f"{told}[()] = {done}")
    return str(done)
