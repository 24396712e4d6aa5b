"""States that a step changes in a few places: the memory of windows, and stores that copy nothing."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fuse.codegen.loop_emit import Place, copy_lines, plus, product, total
from fuse.codegen.loop_entry import ROOM
from fuse.codegen.text import as_dtype
from fuse.expr import Constant, Expr, constant, toposort
from fuse.frontend.loops import Body
from fuse.frontend.windows import Change, change_of, is_alone

if TYPE_CHECKING:
    from fuse.codegen.loop_steps import Steps as Writer

_VIEWS = ("subtensor", "dimshuffle", "unbroadcast", "reshape", "broadcast_to", "diagonal")


def changes(body: Body, results: list[Expr]) -> dict[int, Change]:
    """The states that are changed in place, by number: their values of all steps are not asked for."""
    found: dict[int, Change] = {}
    order: list[Expr] = []
    for k, x in enumerate(body.states):
        if not x.type.ndim or any(y is x or y is body.nexts[k] for y in body.ys):
            continue
        change = change_of(x, results[k])
        if change is None or not all(a.type.dtype == x.type.dtype for a in sources(change) if a.type.ndim):
            continue
        order = order or toposort(results)
        if is_alone(change, results[k], order, results) and not any(_is_view(a, body) for a in sources(change)):
            found[k] = change
    return found


def sources(change: Change) -> list[Expr]:
    """What a change reads besides the state: rows, values to store."""
    return [*change.new, *[s.args[1] for s in change.stores]]


def read(change: Change) -> list[Expr]:
    """What must be computed for a change."""
    indices = [i for s in change.stores for i in s.args[2:]]
    values = [a if (number := _number(a)) is None else number for a in sources(change)]
    return [a for a in [*values, *indices] if not a.is_leaf]


def _number(x: Expr) -> Expr | None:
    """The number that an array of one element repeats; None of any other."""
    if isinstance(x, Constant) and x.type.ndim == 1 and x.data.size == 1:
        return constant(x.data[0], dtype=x.type.dtype)
    if x.op.name == "dimshuffle" and x.params["pattern"] == ("x",):
        return x.args[0]
    repeated = x.op.name == "broadcast_to" and x.type.shape == (1,) and not x.args[0].type.ndim
    return x.args[0] if repeated else None


def _is_view(x: Expr, body: Body) -> bool:
    """Whether an array is in the memory of a state, which others of the step may change."""
    while x.type.ndim and x.op.name in _VIEWS:
        x = x.args[0]
    return x.type.ndim > 0 and x in body.states


def together(changed: Mapping[int, Change], k: int) -> list[int]:
    """The states whose windows move along with that of state ``k``, this one among them: they share one position."""
    return [j for j, c in changed.items() if c.shift == changed[k].shift]


def begin(w: Writer, k: int, x: Expr, change: Change) -> None:
    """Say where the state is before a step."""
    shape = w.shape_of_leaf(x)
    name = w.changed_memory(k, x, change.shift != 0)
    if not change.shift:
        w.values[x] = Place(name, "0", shape)
        return
    at = position(w, change)
    row, n, rows = product(shape[1:]), shape[0], abs(change.shift)
    w.root.before += [f"if {n} < {rows}:", "    return 3",
                      f"{at}_end = {n} + {ROOM} if {n} + {ROOM} > {at}_end else {at}_end"]
    w.root.least[n] = max(rows, w.root.least.get(n, 0))
    w.values[x] = Place(name, plus(at, row), shape)


def position(w: Writer, change: Change) -> str:
    """The name of the number of rows in front of all windows that move along by as many rows."""
    if change.shift not in w.positions:
        w.positions[change.shift] = at = w.fresh("w")
        w.root.before.append(f"{at}_end = {ROOM}")
        w.first_position(at)
    return w.positions[change.shift]


def finish(w: Writer) -> None:
    """Write the changes of all states: everything that reads the old ones comes before."""
    for change in w.changed.values():
        for a in read(change):
            if a.type.ndim:
                continue
            text = w.number(a)
            if not text.isidentifier() and not isinstance(a, Constant):
                name = w.fresh("g")
                w.lines.append(f"{name} = {text}")
                w.values[a] = name
    places = {k: w.values[w.body.states[k]] for k in w.changed}
    for shift, at in w.positions.items():
        _move(w, at, shift, [p for k, p in places.items() if w.changed[k].shift == shift and isinstance(p, Place)])
    for k, change in w.changed.items():
        place = places[k]
        assert isinstance(place, Place)
        if change.new:
            _take_in(w, place, change)
        for store in change.stores:
            w.store_into(place, store)


def _move(w: Writer, at: str, shift: int, places: Sequence[Place]) -> None:
    """Move windows along; where their memory ends, what stays is copied to its other end."""
    rows = abs(shift)
    if shift > 0:
        w.lines += [f"{at} = {at} + {rows}", f"if {at} > {at}_end:"]
        source, target = at, "0"
    else:
        w.lines += [f"{at} = {at} - {rows}", f"if {at} < 0:"]
        source, target = f"({at} + {rows})", f"({at}_end + {rows})"
    for place in places:
        name, row, c = place.buffer, product(place.shape[1:]), w.fresh("c")
        there = total([plus(target, row), c])
        w.lines += [
            f"    for {c} in range({plus(f'({place.shape[0]} - {rows})', row)}):", "        independent()",
            f"        store({name}, {there}, load({name}, {plus(source, row)} + {c}))",
        ]
    w.lines.append(f"    {at} = {'0' if shift > 0 else f'{at}_end'}")


def _take_in(w: Writer, place: Place, change: Change) -> None:
    """Write the new rows of a window, beside those that stay."""
    name, row = place.buffer, product(place.shape[1:])
    start = place.offset
    if change.shift > 0:
        start = total([start, plus(f"({place.shape[0]} - {change.shift})", row)])
    before: list[str] = []
    for arg in change.new:
        number = _number(arg)
        at = total([start, *before])
        if number is not None:
            w.lines.append(f"store({name}, {at}, {as_dtype(w.number(number), arg.type.dtype)})")
            before.append("1")
            continue
        source = w.place(arg)
        target = w.fresh("p")
        w.lines.append(f"{target} = {at}")
        w.lines += copy_lines(w.fresh("c"), source, Place(name, target, source.shape))
        before.append(product(source.shape))


def return_home(w: Writer, name: str, x: Expr, change: Change) -> list[str]:
    """The lines after the last step that copy a window to the beginning of its memory."""
    shape, at, c = w.shape_of_leaf(x), position(w, change), w.fresh("c")
    return [f"if {at} != 0:", f"    for {c} in range({product(shape)}):",
            f"        store({name}, {c}, load({name}, {plus(at, product(shape[1:]))} + {c}))"]
