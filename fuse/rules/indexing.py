"""Procedures: indexing and joining. Merged, moved below arithmetic, read from what was just written."""

from __future__ import annotations

from typing import Any

from fuse.expr import Constant, Expr, constant, make
from fuse.frontend import elementwise as ew
from fuse.frontend.layout import broadcast_to, iota
from fuse.frontend.signs import element_givers
from fuse.frontend.sizes import as_size_expr
from fuse.frontend.slices import FULL, is_dynamic, trimmed, unmarked
from fuse.frontend.subtensor import moved_positions
from fuse.op import OPS
from fuse.rewrite import Context, procedure, uniform
from fuse.rewrite.match import cast, shuffled
from fuse.rewrite.sizes import same_size
from fuse.rules.seen import joins_surely, reduced

REVERSED = ("slice", None, None, -1)


def _index(x: Expr, spec: tuple[Any, ...], dynamic: tuple[Expr, ...] = ()) -> Expr:
    spec = trimmed(spec)
    return make(OPS["subtensor"], (x, *dynamic), {"spec": spec}) if spec else x


def _static(spec: tuple[Any, ...]) -> bool:
    return not any(is_dynamic(v) for entry in spec for v in entry[1:])


def _padded(spec: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    return (*spec, *[FULL] * (ndim - len(spec)))


# ---------------------------------------------------------------- subtensor
@procedure("78: full slices", "subtensor", same_shape=True)
def drop_full_slices(node: Expr, context: Context) -> Expr | None:
    """x[:], x[0:], x[0:n] and x[::1] are x."""
    x, *dynamic = node.args
    spec = node.params["spec"]
    plain = []
    for axis, entry in enumerate(unmarked(spec)):
        size = x.type.shape[axis]
        if entry[0] == "slice" and not any(is_dynamic(v) for v in entry[1:]):
            _, start, stop, step = entry
            whole = start in (None, 0) and step in (None, 1) and (stop is None or size is not None and stop >= size)
            entry = FULL if whole else entry
        plain.append(entry)
    new = trimmed(plain)
    if not new:
        return x
    return None if new == spec else _index(x, new, tuple(dynamic)) if _all_used(new, dynamic) else None


def _all_used(spec: tuple[Any, ...], dynamic: list[Expr]) -> bool:
    return {v[1] for entry in spec for v in entry[1:] if is_dynamic(v)} == set(range(len(dynamic)))


@procedure("78: index of an index", "subtensor", same_shape=True)
def merge_subtensors(node: Expr, context: Context) -> Expr | None:
    """x[a:b][c:d], x[i][j], x[::-1][::-1] as one, where the positions are known while the graph is built."""
    x, spec = node.args[0], unmarked(node.params["spec"])
    if x.op.name != "subtensor" or x in context.frozen or not _static(spec):
        return None
    base, first = x.args[0], _padded(unmarked(x.params["spec"]), x.args[0].type.ndim)
    second = iter(_padded(spec, x.type.ndim))
    merged = []
    for axis, entry in enumerate(first):
        if entry[0] == "int":
            merged.append(entry)
            continue
        one = _merged_entry(entry, next(second), base.type.shape[axis])
        if one is None:
            return None
        merged.append(one)
    return _index(base, tuple(merged), x.args[1:])


def _merged_entry(first: tuple[Any, ...], second: tuple[Any, ...], size: int | None) -> tuple[Any, ...] | None:
    """The entry that does what ``first`` and then ``second`` do on an axis of ``size``."""
    if second == FULL:
        return first
    if first == FULL:
        return second
    if first == second == REVERSED:
        return FULL
    if any(is_dynamic(v) for v in first[1:]):
        return None
    if size is not None:
        positions = range(size)[slice(*first[1:])]
        if second[0] == "int":
            return ("int", positions[second[1]]) if -len(positions) <= second[1] < len(positions) else None
        return _as_slice(positions[slice(*second[1:])])
    _, start, stop, step = first
    start, step = 0 if start is None else start, 1 if step is None else step
    if start < 0 or step < 0 or stop is not None and (stop < 0 or second[0] == "int"):
        return None
    if second[0] == "int":
        return ("int", start + step * second[1]) if second[1] >= 0 else None
    _, start2, stop2, step2 = second
    start2, step2 = 0 if start2 is None else start2, 1 if step2 is None else step2
    if start2 < 0 or step2 < 0 or stop2 is not None and stop2 < 0 or step != 1:
        return None
    ends = [e for e in (stop, None if stop2 is None else start + stop2) if e is not None]
    return ("slice", start + start2, min(ends) if ends else None, None if step2 == 1 else step2)


def _as_slice(positions: range) -> tuple[Any, ...]:
    if not len(positions):
        return ("slice", 0, 0, None)
    stop: int | None = positions[-1] + (1 if positions.step > 0 else -1)
    return ("slice", positions[0], None if stop == -1 else stop, None if positions.step == 1 else positions.step)


@procedure("78: index of an elementwise op", "subtensor gather", same_shape=True)
def index_below_elementwise(node: Expr, context: Context) -> Expr | None:
    """f(x, y)[i] is f(x[i], y[i]) for an elementwise op with no other reader: only what is read is computed."""
    x, *rest = node.args
    if x.op.kind != "elementwise" or x in context.frozen or context.uses.get(x, 1) > 1 or x.op.name == "fill":
        return None
    if node.op.name == "subtensor" and not _shrinks(node):
        return None
    if not any(context.same_shape(arg, x) and not (isinstance(arg, Constant) and arg.data.size == 1) for arg in x.args):
        return None  # nothing of one element can tell that an index is out of bounds
    args = []
    for arg in x.args:
        if not arg.type.ndim or isinstance(arg, Constant) and arg.data.size == 1:
            args.append(shuffled(arg, ()) if arg.type.ndim else arg)
        elif context.same_shape(arg, x):
            args.append(make(node.op, (arg, *rest), node.params))
        else:
            return None
    return make(x.op, tuple(args), x.params)


def _shrinks(node: Expr) -> bool:
    return any(e[0] == "int" or e != FULL and e != REVERSED for e in node.params["spec"])


@procedure("78: index of a repeated value", "subtensor gather")
def index_of_filled(node: Expr, context: Context) -> Expr | None:
    """broadcast_to(c, ...)[i] is c in the shape of the result, for a single value c."""
    x = node.args[0]
    if x.op.name not in ("fill", "broadcast_to") or x in context.frozen:
        return None
    (value,) = element_givers(x)
    if value.type.ndim or node.op.name == "gather" or any(e[0] == "int" for e in node.params["spec"]):
        return None  # an index may be out of bounds, which is an error
    return value


@procedure("78: index of a dimshuffle", "subtensor", same_shape=True)
def index_below_dimshuffle(node: Expr, context: Context) -> Expr | None:
    """x.T[i] is x[:, i]; indices of inserted axes go."""
    x, *dynamic = node.args
    if x.op.name != "dimshuffle" or x in context.frozen or context.uses.get(x, 1) > 1:
        return None
    pattern, inner = x.params["pattern"], x.args[0]
    entries = _padded(unmarked(node.params["spec"]), x.type.ndim)
    below: list[Any] = [FULL] * inner.type.ndim
    left: list[Any] = []
    for p, entry in zip(pattern, entries, strict=True):
        if p == "x":
            if entry not in (FULL, ("int", 0), ("int", -1)):
                return None
            left += ["x"] if entry == FULL else []
        else:
            below[p] = entry
            left += [p] if entry[0] == "slice" else []
    kept = [a for a, entry in enumerate(below) if entry[0] == "slice"]
    return shuffled(_index(inner, tuple(below), tuple(dynamic)), ["x" if a == "x" else kept.index(a) for a in left])


@procedure("78: index of a sum", "subtensor", same_shape=True)
def index_below_reduction(node: Expr, context: Context) -> Expr | None:
    """sum(x, 1)[i] is sum(x[i], 0), for a reduction with no other reader."""
    x, *dynamic = node.args
    if x.op.kind != "reduction" or x in context.frozen or context.uses.get(x, 1) > 1 or not _shrinks(node):
        return None
    (inner,), axes = x.args, x.params["axis"]
    entries = iter(_padded(unmarked(node.params["spec"]), x.type.ndim))
    below = [FULL if a in axes else next(entries) for a in range(inner.type.ndim)]
    kept = [a for a, entry in enumerate(below) if entry[0] == "slice"]
    return reduced(
        x.op.name, _index(inner, tuple(below), tuple(dynamic)), [kept.index(a) for a in axes], x.params["dtype"]
    )


@procedure("78: index of a dot", "subtensor", same_shape=True)
def index_below_dot(node: Expr, context: Context) -> Expr | None:
    """dot(a, b)[i] is dot(a[i], b), and dot(a, b)[:, j] is dot(a, b[:, j]), for a dot with no other reader."""
    x, *dynamic = node.args
    if x.op.name != "dot" or x in context.frozen or context.uses.get(x, 1) > 1 or not _shrinks(node):
        return None
    a, b = x.args
    entries = list(_padded(unmarked(node.params["spec"]), x.type.ndim))
    rows = entries.pop(0) if a.type.ndim == 2 else FULL
    columns = entries.pop(0) if b.type.ndim == 2 else FULL
    if dynamic and rows != FULL != columns:
        return None
    top = _index(a, (rows,), tuple(dynamic) if rows != FULL else ())
    right = _index(b, (FULL, columns), tuple(dynamic) if columns != FULL else ()) if columns != FULL else b
    return make(x.op, (top, right))


@procedure("78: index of positions", "subtensor", same_shape=True)
def index_of_iota(node: Expr, context: Context) -> Expr | None:
    """iota(n)[:m] for a constant m <= n known while the graph is built."""
    x, spec = node.args[0], node.params["spec"]
    n = x.type.shape[0] if x.op.name == "iota" else None
    if n is None or len(spec) != 1 or not _static(spec) or spec[0][0] != "slice":
        return None
    positions = range(n)[slice(*spec[0][1:])]
    return iota(len(positions)) if positions.start == 0 and positions.step == 1 else None


# ---------------------------------------------------------------- reading what was written
@procedure("79: read what was written", "subtensor gather")
def read_written(node: Expr, context: Context) -> Expr | None:
    """set_subtensor(x[i], y)[i] is y in the shape of x[i]."""
    x = node.args[0]
    wanted = "set_subtensor" if node.op.name == "subtensor" else None  # equal indices of a gather may hide values
    if (
        x.op.name != wanted
        or x.args[2:] != node.args[1:]
        or x.params["spec"] != node.params["spec"]
        or x in context.frozen
    ):
        return None
    target, value = x.args[:2]
    if any(e[0] == "int" for e in node.params["spec"]) and not _surely_inside(target, node.params["spec"]):
        return None
    return cast(value, node.type.dtype)


def _surely_inside(x: Expr, spec: tuple[Any, ...]) -> bool:
    return all(
        e[0] != "int" or not is_dynamic(e[1]) and n is not None and -n <= e[1] < n
        for e, n in zip(spec, x.type.shape, strict=False)
    )


@procedure("79: write into all", "set_subtensor inc_subtensor")
def write_whole(node: Expr, context: Context) -> Expr | None:
    """set_subtensor(x[:], y) is y, inc_subtensor(x[:], y) is x + y; set_subtensor(x[::-1], y) is y[::-1]."""
    x, y = node.args[:2]
    spec = unmarked(node.params["spec"])
    if any(entry not in (FULL, REVERSED) for entry in spec):
        return None
    y = _index(cast(y, node.type.dtype), spec)
    return y if node.op.name == "set_subtensor" else make(OPS["add"], (x, y))


@procedure("79: increment of zeros", "inc_subtensor", "signed-zero", same_shape=True)
def increment_zeros(node: Expr, context: Context) -> Expr | None:
    """inc_subtensor(zeros[i], y) is set_subtensor(zeros[i], y)."""
    return make(OPS["set_subtensor"], node.args, node.params) if uniform(node.args[0]) == 0 else None


@procedure("79: two writes to one place", "set_subtensor inc_subtensor", "rounding", same_shape=True)
def merge_writes(node: Expr, context: Context) -> Expr | None:
    """Of two sets of the same index the last stays; two increments add up."""
    x, y, *rest = node.args
    if x.op.name not in ("set_subtensor", "inc_subtensor") or tuple(rest) != x.args[2:] or x in context.frozen:
        return None
    if x.params["spec"] != node.params["spec"] or context.uses.get(x, 1) > 1:
        return None
    if node.op.name == "set_subtensor":
        return make(node.op, (x.args[0], y, *rest), node.params)
    before = x.args[1]
    if y.type.ndim < before.type.ndim or not context.same_shape(y, make(OPS["add"], (y, before))):
        return None
    return make(
        x.op,
        (x.args[0], make(OPS["add"], (cast(before, node.type.dtype), cast(y, node.type.dtype))), *rest),
        node.params,
    )


# ---------------------------------------------------------------- join
@procedure("77: join", "join", same_shape=True)
def simplify_join(node: Expr, context: Context) -> Expr | None:
    """A join of one is that one; empty parts go; joins of joins are one, and joins of vectors of scalars."""
    axis, parts = node.params["axis"], list(node.args)
    if len(parts) == 1:
        return parts[0]
    if all(p.op.name == "make_vector" for p in parts):
        return make(OPS["make_vector"], tuple([cast(a, node.type.dtype) for p in parts for a in p.args]))
    flat: list[Expr] = []
    for part in parts:
        nested = part.op is node.op and part.params["axis"] == axis and part not in context.frozen
        flat += part.args if nested and context.uses.get(part, 1) <= 1 else (part,)
    kept = [p for p in flat if p.type.shape[axis] != 0] or flat[:1]
    if len(kept) == len(parts) and all(a is b for a, b in zip(kept, parts, strict=True)):
        return None
    same = [cast(p, node.type.dtype) for p in kept] if len(kept) < len(flat) else kept
    return same[0] if len(same) == 1 else make(node.op, tuple(same), node.params)


@procedure("77: index of a join", "subtensor", same_shape=True)
def index_of_join(node: Expr, context: Context) -> Expr | None:
    """stack([a, b])[0] is a; join(a, b)[:n] is a, for sizes known while the graph is built."""
    x, spec = node.args[0], unmarked(node.params["spec"])
    if x.op.name != "join" or x in context.frozen or len(node.args) > 1:
        return None
    axis = x.params["axis"]
    entries = list(_padded(spec, x.type.ndim))
    sizes = [a.type.shape[axis] for a in x.args]
    entry = entries[axis]
    if None in sizes or entry == FULL or not joins_surely(x, context):
        return None
    positions = range(sum(sizes))
    wanted = [positions[entry[1]]] if entry[0] == "int" else list(positions[slice(*entry[1:])])
    begin = 0
    for part, size in zip(x.args, sizes, strict=True):
        if wanted and begin <= min(wanted) and max(wanted) < begin + size:
            local = (
                range(wanted[0] - begin, wanted[-1] - begin + 1)
                if len(wanted) > 1
                else range(wanted[0] - begin, wanted[0] - begin + 1)
            )
            if entry[0] == "slice" and list(local) != [w - begin for w in wanted]:
                return None
            entries[axis] = (
                ("int", wanted[0] - begin) if entry[0] == "int" else ("slice", local.start, local.stop, None)
            )
            return cast(_index(part, tuple(entries)), node.type.dtype)
        begin += size
    return None


# ---------------------------------------------------------------- pairs of indices
def _picks(node: Expr) -> tuple[Expr, Expr, Expr] | None:
    """(zeros, g, y) of inc_gather(zeros, g, iota(k), y) on a matrix."""
    if node.op.name != "inc_gather" or len(node.args) != 4:
        return None
    zeros, g, rows, labels = node.args
    if zeros.type.ndim != 2 or rows.op.name != "iota" or labels.type.ndim != 1 or uniform(zeros) != 0:
        return None
    return zeros, g, labels


def _per_row(node: Expr, value: Expr, rest: Any, context: Context) -> Expr | None:
    """The vector ``value``, one entry per picked row, with ``rest`` in the rows that were not picked."""
    zeros, rows, labels = node.args[0], node.args[2], node.args[3]
    count = context.shape_of(zeros)[0]
    if same_size(context.shape_of(rows)[0], count):
        return value
    if not same_size(context.shape_of(rows)[0], context.shape_of(labels)[0]):
        return None
    size = as_size_expr(count)
    filler = broadcast_to(constant(rest, dtype=value.type.dtype), (size,))
    picked = context.shape_of(rows)[0]
    return make(
        OPS["set_subtensor"], (filler, value, as_size_expr(picked)), {"spec": (("slice", None, ("arg", 0), None),)}
    )


@procedure("80: one place per row", "inc_gather", "signed-zero")
def one_hot_increment(node: Expr, context: Context) -> Expr | None:
    """inc_gather(zeros(n, m), g, iota(n), y) chooses g where the column is y, else 0: elementwise, so that it fuses."""
    found = _picks(node)
    if found is None:
        return None
    zeros, g, labels = found
    columns = as_size_expr(context.shape_of(zeros)[1])
    place = _per_row(node, make(OPS["gather"], (iota(columns), labels)), -1, context)  # checked, as indices are
    value = g if not g.type.ndim or g.type.shape == (1,) else _per_row(node, g, 0, context)
    if place is None or value is None:
        return None
    value = cast(shuffled(value, (0, "x")) if value.type.ndim else value, node.type.dtype)
    hot = ew.eq(shuffled(iota(columns), ("x", 0)), shuffled(place, (0, "x")))
    return ew.switch(hot, value, constant(0, dtype=node.type.dtype))


@procedure("80: sum of one place per row", "sum", "signed-zero")
def sum_of_one_hot(node: Expr, context: Context) -> Expr | None:
    """The sum over the columns of inc_gather(zeros(n, m), g, iota(n), y) is g."""
    (x,) = node.args
    found = _picks(x)
    if found is None or node.params["axis"] != (1,) or x in context.frozen or node.type.dtype != x.type.dtype:
        return None
    zeros, g, labels = found
    if g.type.ndim != 1 or g.type.shape == (1,) or not context.same_shape(g, labels):
        return None
    sizes = *context.shape_of(g), context.shape_of(zeros)[1]
    wide = broadcast_to(shuffled(g, (0, "x")), tuple(map(as_size_expr, sizes)))
    total = _per_row(x, make(OPS["gather"], (wide, x.args[2], labels)), 0, context)  # g, with labels checked
    return None if total is None else cast(total, node.type.dtype)


@procedure("78: gather of all", "gather", same_shape=True)
def gather_all(node: Expr, context: Context) -> Expr | None:
    """x[iota(n)] with n the first size of x is x."""
    if len(node.args) != 2:
        return None
    x, index = node.args
    if index.op.name != "iota" or not same_size(context.shape_of(index)[0], context.shape_of(x)[0]):
        return None
    return x


@procedure("78: places that go around", "gather", same_shape=True)
def places_around(node: Expr, context: Context) -> Expr | None:
    """x[(arange(n) + a) % n] with n the first size of x is x[arange(n) - (n - a % n)]: no remainder for each place."""
    if len(node.args) != 2 or node.args[1].op.name != "mod":
        return None
    x, index = node.args
    size = context.shape_of(x)[0]
    moved = moved_positions(index.args[0]) if index.type.dtype == "int64" else None
    if moved is None or not same_size(index.args[1], size) or not same_size(context.shape_of(index)[0], size):
        return None
    places, moves = moved
    distance: Expr = constant(0, dtype="int64")
    for name, by in moves:
        distance = (ew.add if name == "add" else ew.sub)(distance, by)
    n = as_size_expr(size)
    return make(OPS["gather"], (x, ew.sub(places, ew.sub(n, ew.mod(distance, n)))))


INDEXING = (
    places_around,
    sum_of_one_hot,
    drop_full_slices,
    merge_subtensors,
    index_below_elementwise,
    index_of_filled,
    index_below_dimshuffle,
    index_below_reduction,
    index_below_dot,
    index_of_iota,
    read_written,
    write_whole,
    increment_zeros,
    merge_writes,
    simplify_join,
    index_of_join,
    gather_all,
)
LAST = (one_hot_increment,)
