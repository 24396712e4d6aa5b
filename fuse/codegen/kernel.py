"""Kernel: a fused region as a small tree of loops, the middle representation between Expr and source text.

A kernel is made for many outputs, several stages per row, and both targets: it says which loops run over which
axes, what is computed once per iteration of each loop, and what is kept between stages. It knows nothing of
strides; the emitters do. Of threads it knows which of its outermost loops they may share (`Loop.split`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from fuse.frozen import dataclass
from fuse.op import Op

Index = tuple[Any, ...]  # per dimension of a buffer: an Axis, a value's name (gather), or 0
IN_PARTS = ("sum", "prod", "max", "min")  # reductions whose emitters put partial results together


@dataclass(frozen=True)
class Axis:
    """A loop axis: its name, its size if that is known before run time, and the axes it is made of."""

    name: str
    size: int | None
    parts: tuple[Axis, ...] = ()

    @property
    def width(self) -> int:
        """How many dimensions of a buffer this axis walks."""
        return len(self.parts) or 1


@dataclass(frozen=True)
class Buffer:
    """An array parameter. ``layout`` is "C", or "S<k>": any strides, with unit stride along dimension k (-1: none).

    ``scratch`` is memory that nobody reads after the call; where it is ``lent``, the kernel asks for it itself.
    """

    name: str
    dtype: str
    ndim: int
    output: bool = False
    layout: str = "C"
    scratch: bool = False
    lent: bool = False


@dataclass(frozen=True)
class Scalar:
    """A number parameter."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Local:
    """Scratch memory of the kernel with one element per point of ``axes`` (a row kept between stages).

    A ``row`` has one element per lane of a block, for each point of the axes before the last, which is the lane axis.
    Any other is memory that each thread has for itself, loaded and stored like a buffer; no iteration of a split loop
    leaves anything in it.
    """

    name: str
    dtype: str
    axes: tuple[Axis, ...]
    row: bool = False


# ---------------------------------------------------------------- statements
@dataclass(frozen=True)
class Load:
    """``name = buffer[index]``; a gathered dimension is checked against its size and wraps below zero.

    A Bounded value is known to be an index.
    """

    name: str
    dtype: str
    buffer: str
    index: Index


@dataclass(frozen=True)
class Const:
    """``name = value``."""

    name: str
    dtype: str
    value: Any


@dataclass(frozen=True)
class Position:
    """``name`` = the C-order position in ``axes`` (one axis: its index)."""

    name: str
    dtype: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class Bounded:
    """``name = value``, an index that is checked against ``size`` (an axis' size or a scalar) and wraps below zero."""

    name: str
    dtype: str
    value: str
    size: Axis | str


@dataclass(frozen=True)
class Compute:
    """``name = op(args)``, each argument cast to ``signature`` first and the result to ``dtype``."""

    name: str
    dtype: str
    op: Op
    args: tuple[str, ...]
    arg_dtypes: tuple[str, ...]
    signature: tuple[str, ...]
    params: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Store:
    """``buffer[index] = value``; values in an index are Bounded ones."""

    buffer: str
    index: Index
    value: str


@dataclass(frozen=True)
class Update:
    """``buffer[index] = op(buffer[index], value)``: a reduction that is kept in memory, or a scatter."""

    buffer: str
    index: Index
    op: Op
    dtype: str
    value: str
    value_dtype: str


@dataclass(frozen=True)
class Init:
    """``acc`` = the identity of ``op``. ``lane`` accumulators have one element per point of that axis."""

    acc: str
    op: Op
    dtype: str
    lane: Axis | None = None


@dataclass(frozen=True)
class Combine:
    """``acc = op(acc, value)``; the order of combinations is free where the op allows it."""

    acc: str
    op: Op
    dtype: str
    value: str
    value_dtype: str
    lane: Axis | None = None


@dataclass(frozen=True)
class Get:
    """``name = local[its axes]``."""

    name: str
    dtype: str
    local: str


@dataclass(frozen=True)
class Put:
    """``local[its axes] = value``."""

    local: str
    value: str


@dataclass(frozen=True)
class Split:
    """How threads share an outermost loop: its iterations (of a "block" loop: blocks) are independent but for ``accs``.

    Where there are any, the loop runs in blocks of a length that depends on sizes alone. Each block starts the
    accumulators anew, and what it leaves is combined in the order of the blocks. So it is with ``sums``: the loop's
    updates of memory that its iterations meet in.
    """

    accs: tuple[Init, ...] = ()
    sums: tuple[Update, ...] = ()


@dataclass(frozen=True)
class Loop:
    """``body`` for every index of ``axis``.

    ``kind``: "serial"; "block" (``axis`` in cache-sized blocks, or of ``width``, narrower where rows ``along`` an axis
    are long) around "lane" loops (one block; those of some ``width`` walk so many rows side by side); "tile" (the rows
    of one tile, in a loop over tiles); "head" (an eighth of them). Rows of a serial or a tile's loop of some ``width``
    are added up in such groups.
    """

    axis: Axis
    body: tuple[Any, ...]
    kind: str = "serial"
    split: Split | None = None
    width: int = 0
    along: Axis | None = None


@dataclass(frozen=True)
class Kernel:
    """Parameters, scratch memory, and the statements."""

    buffers: tuple[Buffer, ...]
    scalars: tuple[Scalar, ...]
    axes: tuple[Axis, ...]
    # For each axis of run-time size: ("buffer", name, dimensions whose product it is), ("scalar", name), or
    # ("tiles", rows, lanes, bytes of a row per lane): tiles of rows that stay in cache, or without lanes pieces of one.
    sizes: tuple[tuple[Any, ...], ...]
    locals: tuple[Local, ...]
    body: tuple[Any, ...]
    nonempty: tuple[Axis, ...] = ()  # the axes that max and min reduce: over nothing they have no value
    # (axes that an index varies with, others of the loops that check it): with nothing along these nobody looks at it.
    unseen: tuple[tuple[tuple[Axis, ...], tuple[Axis, ...]], ...] = ()
    # Axes (rows, along a row) of a kernel that there is in two forms: for long rows, and turned, with lanes over rows.
    rows: tuple[Axis, Axis] | None = None
    turned: bool = False
    short: int = 0  # up to so many elements such rows are short
    tall: tuple[Axis, tuple[Axis, ...]] | None = None  # lanes and rows, where a kernel by strips has one by rows
    # Rows and columns of a kernel that there is in two forms: for many columns, and (then true) for few.
    narrow: tuple[Axis, Axis, bool] | None = None
    # The axis along rows, the bytes read of each of its elements, and whether the kernel is the one for long rows.
    long: tuple[Axis, int, bool] | None = None
    plain: Kernel | None = None  # the form for little work, where it is another one: it tells how much work there is

    def __str__(self) -> str:
        from fuse.codegen.listing import listing

        return "\n".join(listing(self))


def index_width(index: Index) -> int:
    """How many dimensions ``index`` covers."""
    return sum(i.width if isinstance(i, Axis) else 1 for i in index)


def walk(body: tuple[Any, ...]) -> Iterator[Any]:
    """Every statement, loops before what they contain."""
    stack = list(reversed(body))
    while stack:
        statement = stack.pop()
        yield statement
        if isinstance(statement, Loop):
            stack.extend(reversed(statement.body))


def uses(statement: Any) -> tuple[str, ...]:
    """The names of values that a statement (not a loop's body) uses."""
    match statement:
        case Compute():
            return statement.args
        case Bounded(size=str(size)):
            return (statement.value, size)
        case Bounded() | Combine() | Put():
            return (statement.value,)
        case Load():
            return tuple([i for i in statement.index if isinstance(i, str)])
        case Store() | Update():
            return (statement.value, *[i for i in statement.index if isinstance(i, str)])
    return ()


def renamed(statement: Any, name: Callable[[str], str]) -> Any:
    """A statement (no loop) that uses the value ``name(v)`` wherever it used ``v``."""
    match statement:
        case Compute():
            return replace(statement, args=tuple(map(name, statement.args)))
        case Bounded(size=str(size)):
            return replace(statement, value=name(statement.value), size=name(size))
        case Bounded() | Combine() | Put():
            return replace(statement, value=name(statement.value))
        case Load() | Store() | Update():
            index = tuple([name(i) if isinstance(i, str) else i for i in statement.index])
            statement = replace(statement, index=index)
            return statement if isinstance(statement, Load) else replace(statement, value=name(statement.value))
    return statement


@dataclass(frozen=True)
class Accesses:
    """Where loop bodies load and store each buffer: (number of the body, place in it)."""

    bodies: tuple[tuple[Any, ...], ...]
    loads: dict[str, list[tuple[int, int]]]
    stores: dict[str, list[tuple[int, int]]]


def accesses(kernel: Kernel) -> Accesses:
    """The accesses of all loops, each loop's own; of a kernel without loops those of its body."""
    found = Accesses(tuple([s.body for s in walk(kernel.body) if isinstance(s, Loop)]) or (kernel.body,), {}, {})
    for number, body in enumerate(found.bodies):
        for place, s in enumerate(body):
            if isinstance(s, (Load, Store)):
                table = found.loads if isinstance(s, Load) else found.stores
                table.setdefault(s.buffer, []).append((number, place))
    return found


def prune(body: tuple[Any, ...]) -> tuple[Any, ...]:
    """``body`` without values that nothing uses and loops that do nothing; an index is checked, used or not."""
    while True:
        used = {name for s in walk(body) for name in uses(s)}
        kept = _pruned(body, used)
        if kept == body:
            return body
        body = kept


def _pruned(body: tuple[Any, ...], used: set[str]) -> tuple[Any, ...]:
    out = []
    for s in body:
        if isinstance(s, Loop):
            inner = _pruned(s.body, used)
            if inner:
                out.append(replace(s, body=inner))
        elif not hasattr(s, "name") or s.name in used or isinstance(s, Bounded):
            out.append(s)
    return tuple(out)
