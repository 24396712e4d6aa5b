"""Assumptions: what holds of sizes in the ordinary use of an idiom, taken for granted and guarded.

``x[arange(y.shape[0]), y]`` picks one place in each row of ``x``; only if ``y`` has as many entries as ``x`` has rows
is it a function of the row, and fuses. ``x - x[:, :1]`` repeats a column, unless ``x`` has no column. What is said to
have a shape has it. Programs mean that, so plans assume it; a call where it does not hold is served by a plan that
assumes nothing. That a size is not negative every plan assumes: the interpreter tells the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.codegen.sizes import in_ints
from fuse.expr import CONSTANT, Expr, constant, make, rebuild, toposort, transform
from fuse.frontend import elementwise as ew
from fuse.frontend.asserting import required
from fuse.frontend.loops import Body
from fuse.frontend.shape import shape_of
from fuse.frontend.signs import never_negative
from fuse.frontend.sizes import as_size_expr, size_add, size_max, size_min, size_sub, static_int
from fuse.frontend.slices import resolve
from fuse.op import OPS

_FORMULAS = ("elementwise", "reduction")
_WIDE = ("int32", "int64")
_NOWHERE = 2**62  # an index that no array has
_FIRST_INDEX = {"gather": 1, "inc_gather": 2, "set_gather": 2}


def assume_idioms(outputs: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    """``outputs`` with what programs mean by their indices taken for granted, and the sizes that say that it holds."""
    chosen, rows = assume_picks(outputs)
    chosen, ones = assume_ones(chosen)
    chosen, shapes = assume_shapes(chosen)
    return chosen, [*rows, *ones, *shapes]


def assume_picks(outputs: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    """``outputs`` with each ``x[iota(k), y]`` as ``x[iota(rows), y]``, and the (k, rows) that must be equal."""
    equal: dict[tuple[Expr, Expr], None] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        at = _FIRST_INDEX.get(node.op.name)
        if at is not None and len(args) > at + 1 and args[at].op.name == "iota":
            count, rows = args[at].args[0], shape_of(args[0])[0]
            size = constant(rows, dtype="int64") if isinstance(rows, int) else rows
            if size is not count and count.op.name != "constant":
                equal[count, size] = None
                args = (*args[:at], make(OPS["iota"], (size,)), *args[at + 1 :])
        return node if node.is_leaf else rebuild(node, args)

    return transform(outputs, visit), list(equal)


def assume_shapes(outputs: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    """``outputs`` in which a value said to have a shape, as gradients of functions have their arguments', is itself.

    With the sizes that are then equal: only those that are known before anything is computed. A check within a formula
    would part the kernels before it from those behind it.
    """
    equal: dict[tuple[Expr, Expr], None] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.op.name == "specify_shape" and args[0].type == node.type:
            pairs = [(as_size_expr(have), want) for have, want in zip(shape_of(args[0]), args[1:], strict=True)]
            pairs = [pair for pair in pairs if pair[0] is not pair[1]]
            if all(_of_arguments(n, met=True) for pair in pairs for n in pair):
                equal.update(dict.fromkeys(pairs))
                return args[0]
        return node if node.is_leaf else rebuild(node, args)

    return transform(outputs, visit), list(equal)


def assume_rows(outputs: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    """``outputs`` with ``x[i]`` joined to ``x[i + 1:]`` as ``x[i:]``, and the sizes that say that there is an ``x[i]``.

    That is what a state which is the element of the step before becomes outside the loop (`fuse.looping`).
    """
    equal: dict[tuple[Expr, Expr], None] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.op.name == "join" and node.params["axis"] == 0 and len(args) == 2:
            first, rest = args
            start = _start_of(rest)
            x = rest.args[0] if start is not None else node
            if start is not None and _is_row(first, x, start - 1) and x.type.dtype == node.type.dtype:
                rows = shape_of(x)[0]
                if not isinstance(rows, int) and rows.op.name == "shape_i" and rows.args[0].is_leaf:
                    equal[make(OPS["maximum"], (rows, constant(start, dtype="int64"))), rows] = None
                    spec = (("slice", start - 1, None, None),)
                    return make(OPS["subtensor"], (x,), {"spec": spec}) if start > 1 else x
        return node if node.is_leaf else rebuild(node, args)

    return transform(outputs, visit), list(equal)


def assume_ones(outputs: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    """``outputs`` with ``x[:, :1]`` as ``x[:, 0]`` of one column, and the sizes that say that there is an ``x[:, 0]``.

    Only where formulas read such a slice: it repeats there, ``x - x[:, :1]``, unless the axis has one element or none.
    So with ``x[i:i + 1]``, where the ``i`` is an argument, which is then taken to be the place of a row.
    """
    return _ones(outputs, in_steps=False)


def _ones(outputs: Sequence[Expr], in_steps: bool) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    nodes = toposort(outputs)
    read = {a for n in nodes if n.op.kind in _FORMULAS or n.op.name in ("dimshuffle", "dot") for a in n.args}
    read |= {n.args[1] for n in nodes if n.op.name in ("set_subtensor", "inc_subtensor")}
    equal: dict[tuple[Expr, Expr], None] = {}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.is_leaf:
            return node
        new = rebuild(node, args)
        if node.op.name == "loop":
            params = {**node.params, "body": _assumed_in_steps(node.params["body"])}
            return _with_origin(make(node.op, args, params), node)
        if node not in read or new.op.name != "subtensor":
            return new
        x, spec = args[0], resolve(new.params["spec"], args[1:])
        ones: dict[int, int | Expr] = {}
        for axis, entry in enumerate(spec):
            at = _only_place(entry)
            size = shape_of(x)[axis]
            if at is None or x.type.shape[axis] is not None and not isinstance(at, Expr):
                continue
            if isinstance(at, Expr):
                wide = _offset(entry[1])[0].type.dtype == "int64"
                if in_steps and wide:  # nothing is asked beforehand: where the slice is empty there is no such place
                    ones[axis] = at if never_negative(at) else ew.switch(ew.eq(at, -1), _NOWHERE, at)
                elif not in_steps and _of_arguments(at):
                    ones[axis] = at
                    last = size_sub(size, 1)
                    last = last if wide else size_min(last, 2**31 - 2)  # beyond it i + 1 is negative
                    equal[as_size_expr(size_min(size_max(at, 0), last)), at] = None
            elif isinstance(size, Expr):
                ones[axis] = at
                least = constant(at + 1 if at >= 0 else -at, dtype="int64")
                equal[make(OPS["maximum"], (size, least)), size] = None
        if not ones:
            return new
        spec = [("int", ones[axis]) if axis in ones else entry for axis, entry in enumerate(spec)]
        bounds = list(dict.fromkeys(v for entry in spec for v in entry[1:] if isinstance(v, Expr)))
        numbered = [tuple([("arg", bounds.index(v)) if isinstance(v, Expr) else v for v in entry]) for entry in spec]
        row = make(new.op, (x, *bounds), {"spec": tuple(numbered)})
        kept = [axis for axis in range(x.type.ndim) if axis >= len(spec) or spec[axis][0] != "int" or axis in ones]
        counter = iter(range(row.type.ndim))
        pattern = tuple(["x" if axis in ones else next(counter) for axis in kept])
        return _with_origin(make(OPS["dimshuffle"], (_with_origin(row, node),), {"pattern": pattern}), node)

    return transform(outputs, visit), list(equal)


def _with_origin(new: Expr, node: Expr) -> Expr:
    new.origin = new.origin or node.origin
    return new


def _assumed_in_steps(body: Body) -> Body:
    """The same of what a loop does in each step; a step that has no such place is told to the interpreter."""
    found, _ = _ones(body.outputs, in_steps=True)
    if all(new is old for new, old in zip(found, body.outputs, strict=True)):
        return body
    values = [new if new.type == old.type else old for new, old in zip(found, body.outputs, strict=True)]
    a, b = len(body.nexts), len(body.nexts) + len(body.ys)
    until = values[-1] if body.until is not None else None
    return Body(body.sequences, body.states, body.fixed, values[:a], values[a:b], until)


def _only_place(entry: tuple[Any, ...]) -> int | Expr | None:
    """The ``k`` of a slice ``k:k + 1``."""
    if entry[0] != "slice" or entry[3] is not None and entry[3] != 1:
        return None
    if isinstance(entry[1], Expr) and isinstance(entry[2], Expr):
        (base, low), (other, high) = _offset(entry[1]), _offset(entry[2])
        if base is other and high == low + 1:
            return as_size_expr(size_add(ew.cast(base, "int64"), low))
        return None
    start = 0 if entry[1] is None else entry[1]
    if start == -1:  # to the end: what ends at 0 begins there too
        return start if entry[2] is None else None
    return start if isinstance(start, int) and isinstance(entry[2], int) and entry[2] == start + 1 else None


def _offset(bound: Expr) -> tuple[Expr, int]:
    """``bound`` as an integer and what is added to it, in 32 bits or more."""
    by = 0
    while bound.type.dtype in _WIDE:
        if bound.op.name == "cast" and bound.args[0].type.dtype == "int32":
            bound = bound.args[0]
        elif bound.op.name in ("add", "sub") and (number := static_int(bound.args[1])) is not None:
            bound, by = bound.args[0], by + number if bound.op.name == "add" else by - number
        elif bound.op.name == "add" and (number := static_int(bound.args[0])) is not None:
            bound, by = bound.args[1], by + number
        else:
            break
    return bound, by


def _start_of(rest: Expr) -> int | None:
    """The ``n`` of ``x[n:]``."""
    if rest.op.name != "subtensor" or len(rest.args) > 1 or len(rest.params["spec"]) > 1:
        return None
    kind, start, *others = rest.params["spec"][0]
    to_the_end = kind == "slice" and others in ([None, None], [None, 1])
    return start if to_the_end and isinstance(start, int) and start > 0 else None


def _is_row(first: Expr, x: Expr, i: int) -> bool:
    """Whether ``first`` is ``x[i]`` as an array of one row, and ``x`` is not known to be too short for that."""
    rows = x.type.shape[0]
    if rows is not None and rows <= i:
        return False
    row = make(OPS["subtensor"], (x,), {"spec": (("int", i),)})
    return first is make(OPS["dimshuffle"], (row,), {"pattern": ("x", *range(row.type.ndim))})


def with_sure_sizes(outputs: Sequence[Expr]) -> list[Expr]:
    """``outputs`` in which a new array's size that is computed from data is told where it is negative.

    Where the array goes, as in ``ones(n).sum()``, nothing else would refuse it; `asked_sizes` has those of arguments.
    """
    none = constant(0, dtype="int64")

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.op.name == "broadcast_to":
            sure = [n if never_negative(n) or _of_arguments(n) else _not_below(n, none) for n in args[1:]]
            args = (args[0], *sure)
        return node if node.is_leaf else rebuild(node, args)

    return transform(outputs, visit)


def _not_below(size: Expr, none: Expr) -> Expr:
    return required(size, [ew.ge(size, none)], "a size of a new array is negative", "ShapeError")


def asked_sizes(outputs: Sequence[Expr]) -> list[tuple[Expr, Expr]]:
    """Sizes that must be equal for new arrays to be possible, as far as a function's arguments tell.

    Those of the array and of one that it repeats; max(n, 0) and n, where n could be negative. The rewritten formula may
    not make the array any more (``ones(n).sum()`` is ``n``, and an array of an array is one), so that nothing else
    refuses it.
    """
    none = constant(0, dtype="int64")
    equal: dict[tuple[Expr, Expr], None] = {}
    for node in toposort(outputs):
        if node.op.name == "broadcast_to":
            x, sizes = node.args[0], node.args[1:]
            equal |= {(make(OPS["maximum"], (n, none)), n): None for n in sizes if not never_negative(n)}
            if x.op.name == "broadcast_to":
                beside = zip(x.args[:0:-1], reversed(sizes), reversed(x.type.shape), strict=False)
                equal |= {(m, n): None for m, n, known in beside if known != 1 and m is not n}
    return [(m, n) for m, n in equal if _of_arguments(m) and _of_arguments(n)]


def _of_arguments(size: Expr, met: bool = False) -> bool:
    """Whether ``size`` is known when a call begins: made of integers that are arguments, and of arguments' sizes.

    ``met``: also where some of these broadcast one another.
    """
    stack = [size]
    while stack:
        node = stack.pop()
        if node.op is CONSTANT or node.op.name == "shape_i" and node.args[0].is_leaf:
            continue
        if in_ints(node) or met and node.op.name == "broadcast_size":
            stack.extend(node.args)
        elif not node.is_leaf:
            return False
    return True
