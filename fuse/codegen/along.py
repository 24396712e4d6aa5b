"""Steps of the wrapper that walk along one axis: cumulative sums and products, recurrences, places in ordered vectors.

There is one kernel for each op, dtype, rank and axis. Lines along the axis, strips across them, or sought values are
what threads share; along a line everything is done in order, so results are NumPy's to the last bit. What has no kernel
here, and what a kernel refuses, NumPy computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import reference
from fuse.codegen.calls import remembered
from fuse.codegen.native import PART, PLAN, ArgType
from fuse.codegen.pool import ASK, MUCH, MUCH_WORK
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer

Array = Any

LINES = 4  # walked side by side, as each step of a line waits for the one before
MANY = 16  # lines of strips that threads share one by one; of fewer they share the strips
LANES = 1024  # of a strip: the row before stays in the first-level cache
UNIT = 64  # lanes that stay together
SOUGHT = 256  # values that are looked for side by side
FEW = 4096  # elements of a result that are done by NumPy until there is a kernel
WORK = 40  # units of `parallel` that one element costs; of a sought value each halving
DTYPES = ("float64", "float32", *[f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)])
_STEPS = {"cumsum": "{old} + {x}", "cumprod": "{old} * {x}", "recurrence": "{factor} * {old} + {x}"}


def has_kernel(node: Expr) -> bool:
    """Whether there is a kernel for an op and its dtypes."""
    if node.op.name not in (*_STEPS, "searchsorted"):
        return False
    dtypes = [a.type.dtype for a in node.args]
    if not {*dtypes} <= {*DTYPES}:
        return False
    if node.op.name == "searchsorted":
        return len(dtypes) == 2 and np.result_type(*dtypes).name in DTYPES  # a third operand sorts the vector
    return len({*dtypes}) == 1


# ---------------------------------------------------------------- kernels
def _shared(items: str, work: str) -> list[str]:
    """Lines that plan what threads share, and say which of it a part of the work is."""
    return [
        f"items = {items}",
        f"work = {work}",
        f"if part.segment == {ASK} and work >= {MUCH_WORK}:",
        "    put(part, 0, 1)",
        "    ask(part, 0)",
        "    tell(part, 1, items, work, 1, 4)",
        f"    return {MUCH}",
        "low, high = part.low, reach(part, items)",
    ]


def _indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    return ["    " * depth + line for line in lines]


def _step(name: str, dtype: str) -> str:
    """What makes the next element of the one before: of a recurrence in one rounding where the machine has that."""
    if name == "recurrence" and dtype in ("float32", "float64"):
        from fuse.codegen.multiply_add import has_multiply_add

        if has_multiply_add():
            return "fma({factor}, {old}, {x})"
    text = _STEPS[name]
    return text if dtype in ("float64", "float32", "int64", "uint64") else f"{dtype}({text})"


def walk_source(name: str, dtype: str, ndim: int, axis: int, reverse: bool) -> str:
    """The kernel of what adds or multiplies along an axis: operands of any step along it, contiguous across it."""
    operands = ["a0", "a1"] if name == "recurrence" else ["a0"]
    x, sizes = operands[-1], [f"n{d}" for d in range(ndim)]
    step = _step(name, dtype)
    before, after = sizes[:axis], sizes[axis + 1 :]
    lines = [f"{n} = size(out, {d})" for d, n in enumerate(sizes)]
    wanted = "; ".join([f"S-1 {' '.join(sizes)}"] * len(operands) + [f"C {' '.join(sizes)}"])
    lines += [
        f"status = refused('{wanted}', {', '.join([*operands, 'out', *sizes])})",
        "if status != 0:",
        "    return status",
        f"lines, length, lanes = {' * '.join(before) or '1'}, n{axis}, {' * '.join(after) or '1'}",
        "if lines * length * lanes == 0:",
        "    return 0",
    ]
    for a in operands:
        for d in range(ndim):
            if d != axis and d != axis - 1:  # what lies side by side there is walked as one dimension
                inner = sizes[d + 1 : axis] if d < axis else sizes[d + 1 :]
                unit = f"stride({a}, {axis - 1})" if d < axis else "1"
                lines += [f"if n{d} > 1 and stride({a}, {d}) != {' * '.join([*inner, unit])}:", "    return 1"]
        across = f"stride({a}, {axis - 1})" if axis else "0"
        lines.append(f"{a}_line, {a}_step = {across}, stride({a}, {axis})")
    first, at, past = ("length - 1", "length - 1 - t", "length - t") if reverse else ("0", "t", "t - 1")

    def together(count: int) -> list[str]:
        """Whole lines of contiguous results, so many at once."""
        rows = range(count)
        body = [f"k, j = {at}, {past}"]
        for r in rows:
            value = f"load({x}, (i + {r}) * {x}_line + k * {x}_step)"
            factor = f"load(a0, (i + {r}) * a0_line + {'j' if reverse else 'k'} * a0_step)"
            body.append(f"next{r} = {step.format(old=f'value{r}', x=value, factor=factor)}")
        for r in rows:
            body += [f"value{r} = next{r}", f"store(out, (i + {r}) * length + k, next{r})"]
        start = [f"value{r} = load({x}, (i + {r}) * {x}_line + ({first}) * {x}_step)" for r in rows]
        start += [f"store(out, (i + {r}) * length + {first}, value{r})" for r in rows]
        return [*start, "for t in range(1, length):", *_indented(body)]

    by_lines = [
        "for group in range(low, high):",
        f"    i = group * {LINES}",
        f"    if i + {LINES} <= lines:",
        *_indented(together(LINES), 2),
        "    else:",
        "        for i in range(i, lines):",
        *_indented(together(1), 3),
    ]
    if not after:
        lines += _shared(f"(lines + {LINES - 1}) // {LINES}", f"lines * length * {WORK}")
        lines += by_lines
    else:
        place = f"load({x}, i * {x}_line + k * {x}_step + lane)"
        factor = f"load(a0, i * a0_line + {'j' if reverse else 'k'} * a0_step + lane)"
        old = "load(out, (i * length + j) * lanes + lane)"
        strip = [
            f"start = left + strip * {LANES}",
            f"stop = smaller(start + {LANES}, right)",
            f"k = {first}",
            "for lane in range(start, stop):",
            "    independent()",
            f"    store(out, (i * length + k) * lanes + lane, {place})",
            "for t in range(1, length):",
            f"    k, j = {at}, {past}",
            "    for lane in range(start, stop):",
            "        independent()",
            f"        store(out, (i * length + k) * lanes + lane, {step.format(old=old, x=place, factor=factor)})",
        ]
        items = [f"(lines + {LINES - 1}) // {LINES}", "lines", f"(lanes + {UNIT - 1}) // {UNIT}"]
        lines += _shared(
            f"{items[0]} if lanes == 1 else {items[1]} if lines >= {MANY} else {items[2]}",
            f"lines * length * lanes * {WORK}",
        )
        lines += [
            "if lanes == 1:",
            *_indented(by_lines),
            "else:",
            "    top, bottom, left, right = low, high, 0, lanes",
            f"    if lines < {MANY}:",
            f"        top, bottom, left, right = 0, lines, low * {UNIT}, smaller(high * {UNIT}, lanes)",
            "    for i in range(top, bottom):",
            f"        for strip in range((right - left + {LANES - 1}) // {LANES}):",
            *_indented(strip, 3),
        ]
    return _function([*operands, "out"], lines)


def search_source(dtypes: Sequence[str], ndim: int, side: str) -> str:
    """The kernel of places in an ordered vector: many values take the same halvings, none of which branches.

    What is no number stands behind all numbers in the vector, which end there; so does its place. The dtypes are those
    of the vector and of the values, which are compared in the one that holds both, as NumPy has it.
    """
    sizes, common = [f"n{d}" for d in range(ndim)], np.result_type(*dtypes).name
    there, value = [
        text if dtype == common else f"{common}({text})"
        for dtype, text in zip(dtypes, ("load(a0, at + half - 1)", "load(a1, start + k)"), strict=True)
    ]
    count, values = " * ".join(sizes) or "1", f" {' '.join(sizes)}" if sizes else ""
    comparison = ">=" if side == "left" else ">"
    more = f"not ({there} {comparison} value)"
    lines = [f"{n} = size(out, {d})" for d, n in enumerate(sizes)]
    lines += [
        "n = size(a0, 0)",
        f"status = refused('C n; C{values}; C{values}', {', '.join(['a0', 'a1', 'out', 'n', *sizes])})",
        "if status != 0:",
        "    return status",
        "halvings = 1",
        "half = n",
        "while half > 1:",
        "    half = half - half // 2",
        "    halvings = halvings + 1",
        *_shared(f"({count} + {SOUGHT - 1}) // {SOUGHT}", f"{count} * halvings * {WORK}"),
        "known = n",
    ]
    if dtypes[0].startswith("float"):
        lines += [
            "if n > 0 and load(a0, n - 1) != load(a0, n - 1):",
            "    known = 0",
            "    while n - known > 0:",  # the numbers end before n
            "        half = known + (n - known) // 2",
            "        if load(a0, half) == load(a0, half):",
            "            known = half + 1",
            "        else:",
            "            n = half",
            "    n = size(a0, 0)",
        ]
    result = "load(places, k)"
    if dtypes[1].startswith("float") and side == "right":
        result = "n if load(a1, start + k) != load(a1, start + k) else load(places, k)"
    lines += [
        f"places = scratch('int64', {SOUGHT})",
        "for block in range(low, high):",
        f"    start = block * {SOUGHT}",
        f"    count = smaller({SOUGHT}, {count} - start)",
        "    for k in range(count):",
        "        store(places, k, 0)",
        "    left = known",
        "    while left > 0:",
        "        half = left - left // 2",
        "        for k in range(count):",
        "            independent()",
        f"            value, at = {value}, load(places, k)",
        f"            store(places, k, at + half if {more} else at)",
        "        left = left // 2",
        "    for k in range(count):",
        "        independent()",
        f"        store(out, start + k, {result})",
    ]
    return _function(["a0", "a1", "out"], lines)


def _function(arrays: Sequence[str], lines: Sequence[str]) -> str:
    return f"def kernel({', '.join([*arrays, 'part'])}):\n" + "".join(f"    {line}\n" for line in [*lines, "return 0"])


class Along:
    """The kernel for one op, dtypes of operands, rank and way; compiled for many elements, or many calls."""

    def __init__(self, name: str, dtypes: str, ndim: int, way: int | str, reverse: bool) -> None:
        self.name, self.dtypes, self.ndim, self.way, self.reverse = name, dtypes.split(), ndim, way, reverse
        self.kernel: Callable[..., int] | None = None

    def __call__(self, *arrays: Array) -> int:
        if self.kernel is None and arrays[-1].size < FEW and self.name != "recurrence":  # of which NumPy has none
            return 1
        return self.compiled()(*arrays)

    def compiled(self) -> Callable[..., int]:
        if self.kernel is None:
            from fuse.codegen.load import compile_kernel

            first, last = self.dtypes[0], self.dtypes[-1]
            if self.name == "searchsorted":
                text = search_source(self.dtypes, self.ndim, str(self.way))
                types = [ArgType(first, 1), ArgType(last, self.ndim), ArgType("int64", self.ndim, True)]
            else:
                text = walk_source(self.name, first, self.ndim, int(self.way), self.reverse)
                types = [*[ArgType(each, self.ndim) for each in self.dtypes], ArgType(first, self.ndim, True)]
            self.kernel = compile_kernel(text, "kernel", (*types, ArgType(PART, 1 + PLAN)))
        return self.kernel


@cache
def _along(name: str, dtypes: str, ndim: int, way: int | str, reverse: bool) -> Along:
    return Along(name, dtypes, ndim, way, reverse)


@remembered
def along(name: str, dtypes: str, ndim: int, way: int | str, reverse: bool) -> Along:
    """The kernel of the op ``name`` for operands of these dtypes (words) and results of this rank.

    It goes along an axis, or to one side of equal values.
    """
    return _along(name, dtypes, ndim, way, reverse)


@remembered
def along_into(node: Expr, kernel: Along) -> Callable[..., None]:
    """What a kernel refused, into the last argument: on contiguous arrays, or by NumPy."""

    def call(*arrays: Array) -> None:
        *operands, out = arrays
        if node.op.name != "recurrence" or kernel(*map(np.ascontiguousarray, operands), out):
            np.copyto(out, reference.apply(node, operands))

    return call


# ---------------------------------------------------------------- in the wrapper
def write_along(writer: Writer, node: Expr, name: str, arguments: list[str]) -> None:
    """A step along an axis: by a kernel of ours, and by NumPy where that refuses."""
    way = node.params["side"] if node.op.name == "searchsorted" else node.params["axis"]
    dtypes, reverse = " ".join([a.type.dtype for a in node.args]), bool(node.params.get("reverse"))
    found = along(node.op.name, dtypes, node.type.ndim, way, reverse)
    kernel, call = writer.give("along", found), writer.give("call", along_into(node, found))
    given = ", ".join([*arguments, name])
    writer.line(f"{name} = {writer.empty_text(node)}")
    writer.line(f"if {kernel}({given}): {call}({given})")
    writer.owned.add(node)
