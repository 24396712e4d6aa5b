"""Units of a loop's body that walk along one axis: positions, cumulative sums, recurrences."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fuse.codegen.loop_emit import NotCompiled, Place
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer

_NUMBERS = ("float64", "float32", "int64")
ROWS = 4  # that are compared with the largest elements so far in one pass over these


def _around(w: Writer, place: Place, axis: int) -> tuple[list[str], list[str]]:
    """Lines of loops over all axes but one, and an index in them that lacks this one."""
    index = [w.fresh("o") for _ in place.shape]
    rest = [(i, n) for d, (i, n) in enumerate(zip(index, place.shape, strict=True)) if d != axis]
    return ["    " * d + f"for {i} in range({n}):" for d, (i, n) in enumerate(rest)], index


def _position(w: Writer, node: Expr) -> None:
    """The first largest or smallest element; one that is no number counts as either."""
    arg, axis = node.args[0], node.params["axis"]
    if arg.type.dtype not in _NUMBERS:
        raise NotCompiled(f"{node.op.name} of this dtype")
    x = w.place(arg)
    loops, index = _around(w, x, axis)
    u = w.fresh("m")
    best, at, value, k = f"{u}_best", f"{u}_at", f"{u}_value", f"{u}_k"
    first = x.at(*["0" if d == axis else i for d, i in enumerate(index)])
    now = x.at(*[k if d == axis else i for d, i in enumerate(index)])
    within = "<=" if node.op.name == "argmax" else ">="  # neither holds of what is no number
    if axis < len(x.shape) - 1:
        _positions_by_rows(w, node, x, loops, index, within)
        return
    lines = [
        f"{best} = load({x.buffer}, {first})", f"{at} = 0", f"for {k} in range(1, {x.shape[axis]}):",
        f"    {value} = load({x.buffer}, {now})",
        f"    {u}_more = (not {value} {within} {best}) & ({best} == {best})",
        f"    {best} = {value} if {u}_more else {best}", f"    {at} = {k} if {u}_more else {at}",
    ]
    w.lines += [f"if {x.shape[axis]} < 1:", "    return 3"]
    if node.type.ndim:
        out = w.new(node)
        lines.append(f"store({out.buffer}, {out.at(*[i for d, i in enumerate(index) if d != axis])}, {at})")
        w.values[node] = out
    else:
        w.values[node] = at
    w.lines += [*loops, *["    " * len(loops) + line for line in lines]]


def _positions_by_rows(w: Writer, node: Expr, x: Place, loops: list[str], index: list[str], within: str) -> None:
    """Positions along another axis than the last one: rows are compared with the best so far, several in one pass."""
    axis, u = node.params["axis"], w.fresh("m")
    lead, rest = loops[:axis], ["    " * d + line.strip() for d, line in enumerate(loops[axis:])]
    best, best_at = [w.near(dtype, x.shape[axis + 1:]) for dtype in (node.args[0].type.dtype, "int64")]
    to_best, to_at = [f"{place.buffer}, {place.at(*index[axis + 1:])}" for place in (best, best_at)]
    out = w.new(node)
    to_out = f"{out.buffer}, {out.at(*[i for d, i in enumerate(index) if d != axis])}"

    def element(row: str) -> str:
        return f"load({x.buffer}, {x.at(*[row if d == axis else i for d, i in enumerate(index)])})"

    def each(lines: Sequence[str]) -> list[str]:
        return [*rest, *["    " * len(rest) + line for line in ("independent()", *lines)]]

    def compared(rows: Sequence[str]) -> list[str]:
        lines = [f"{u}_best0 = load({to_best})", f"{u}_at0 = load({to_at})"]
        for r, row in enumerate(rows):
            value, held = f"{u}_value{r}", f"{u}_best{r}"
            lines += [
                f"{value} = {element(row)}",
                f"{u}_more{r} = (not {value} {within} {held}) & ({held} == {held})",
                f"{u}_best{r + 1} = {value} if {u}_more{r} else {held}",
                f"{u}_at{r + 1} = {row} if {u}_more{r} else {u}_at{r}",
            ]
        return each([*lines, f"store({to_best}, {u}_best{len(rows)})", f"store({to_at}, {u}_at{len(rows)})"])

    n = x.shape[axis]
    rows = [f"{u}_row{r}" for r in range(ROWS)]
    w.lines += [f"if {n} < 1:", "    return 3", *lead]
    w.lines += ["    " * axis + line for line in [
        *each([f"store({to_best}, {element('0')})", f"store({to_at}, 0)"]),
        f"for {u}_b in range(({n} - 1) // {ROWS}):",
        *[f"    {row} = 1 + {u}_b * {ROWS} + {r}" for r, row in enumerate(rows)],
        *["    " + line for line in compared(rows)],
        f"for {u}_k in range(1 + ({n} - 1) // {ROWS} * {ROWS}, {n}):",
        *["    " + line for line in compared([f"{u}_k"])],
        *each([f"store({to_out}, load({to_at}))"]),
    ]]
    w.values[node] = out


def _searched(w: Writer, node: Expr) -> None:
    """Where values belong in an ordered vector; as in NumPy, what is no number belongs behind all others.

    All values take the same steps, each without a branch, so that vectors of them are done at once.
    """
    if len(node.args) > 2 or any(a.type.dtype not in _NUMBERS for a in node.args):
        raise NotCompiled(f"{node.op.name} of these arguments")
    if node.args[0].type.dtype != node.args[1].type.dtype:
        raise NotCompiled(f"{node.op.name} of several dtypes")
    x, sought = w.place(node.args[0]), node.args[1]
    (n,), u = x.shape, w.fresh("m")
    value, at, there = f"{u}_value", f"{u}_at", f"{u}_there"
    index = [w.fresh("o") for _ in range(sought.type.ndim)]
    left = f"({there} < {value}) | (({value} != {value}) & ({there} == {there}))"
    right = f"not (({value} < {there}) | (({there} != {there}) & ({value} == {value})))"
    step = [
        f"{u}_next = {at} + {u}_half", f"{u}_last = {u}_next if {u}_next < {n} else {n}",
        f"{there} = load({x.buffer}, {x.at(f'({u}_last - 1)')})",
        f"{u}_before = {left if node.params['side'] == 'left' else right}",
        f"{at} = {u}_next if {u}_before & ({u}_next <= {n}) else {at}",
    ]
    if index:
        source, out = w.place(sought), w.new(node)
        loops = ["    " * d + f"for {i} in range({m}):" for d, (i, m) in enumerate(zip(index, out.shape, strict=True))]
        loops.append("    " * len(index) + "independent()")
        pad, to_out = "    " * len(index), f"{out.buffer}, {out.at(*index)}"
        first = [*loops, f"{pad}store({to_out}, 0)"]
        step = [f"{value} = load({source.buffer}, {source.at(*index)})", f"{at} = load({to_out})", *step,
                f"store({to_out}, {at})"]
        step = [*loops, *[pad + line for line in step]]
        w.values[node] = out
    else:
        first = [f"{value} = {w.number(sought)}", f"{at} = 0"]
        w.values[node] = at
    w.lines += [
        f"if {n} < 1:", "    return 3", *first, f"{u}_half = 1", f"while 2 * {u}_half <= {n}:",
        f"    {u}_half = 2 * {u}_half", f"while {u}_half > 0:", *["    " + line for line in step],
        f"    {u}_half = {u}_half // 2",
    ]


def _cumulative(w: Writer, node: Expr) -> None:
    """Sums, products and recurrences along an axis."""
    axis, dtype, name = node.params["axis"], node.type.dtype, node.op.name
    if dtype not in _NUMBERS or any(a.type.dtype != dtype for a in node.args):
        raise NotCompiled(f"{name} of this dtype")
    places, out = [w.place(a) for a in node.args], w.new(node)
    x = places[-1]
    loops, index = _around(w, x, axis)
    u = w.fresh("m")
    step, at, last = f"{u}_step", index[axis], f"({x.shape[axis]} - 1)"
    reverse = node.params.get("reverse")
    factor = f"load({places[0].buffer}, {places[0].at(*[f'({i} + 1)' if reverse and i == at else i for i in index])})"
    start = {"float64": "0.0", "float32": "float32(0.0)", "int64": "0"}[dtype]
    steps = {
        "cumsum": f"{u} + {u}_value", "cumprod": f"{u} * {u}_value", "recurrence": f"{factor} * {u} + {u}_value",
    }
    lines = [
        f"{u} = {start}", f"for {step} in range({x.shape[axis]}):",
        f"    {at} = {f'{last} - {step}' if reverse else step}", f"    {u}_value = load({x.buffer}, {x.at(*index)})",
        f"    if {step} == 0:", f"        {u} = {u}_value", "    else:", f"        {u} = {steps[name]}",
        f"    store({out.buffer}, {out.at(*index)}, {u})",
    ]
    w.lines += [*loops, *["    " * len(loops) + line for line in lines]]
    w.values[node] = out


POSITIONS = {"argmax": _position, "argmin": _position}
ALONG = {
    **POSITIONS, "searchsorted": _searched, "cumsum": _cumulative, "cumprod": _cumulative, "recurrence": _cumulative,
}
