"""One sweep: statistics of columns that need one another, from one reading of the rows.

A softmax's sum of exponentials needs the largest value, a variance the mean: by rows, one reading of memory each.
Here tiles of rows, which stay in cache, have statistics of their own, taken about what the tile itself knows (its
largest value, its mean), and those of all tiles are then put together:

    sum exp(x - m) w           = sum over tiles of exp(m_t - m) * (sum exp(x - m_t) w)
    sum (x - c) w              = sum over tiles of (sum (x - c_t) w) + (c_t - c) * (sum w)
    sum (x - c)²               = sum over tiles of (sum (x - c_t)²) + (c_t - c) (2 (sum (x - c_t)) + n_t (c_t - c))

the last after Chan, Golub and LeVeque (1979), and with what their formula leaves out, as a mean is rounded. What else
a column's own values multiply or divide comes after the sum, so that what is summed needs nothing but the tile; a
number that everything is added up in is the sum of those.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fuse.codegen.kernel import Axis, Buffer, Compute, Const, Kernel, Load, Loop, Store, Update, walk
from fuse.codegen.terms import COLUMN, FIXED, Sweeps, Term
from fuse.op import OPS

TILE_BYTES = 1 << 19  # of the rows of a tile: they are read twice, the second time from the second-level cache
TILE_ROWS = 16  # of a tile at least: each has rows of statistics
MOST_TILE_ROWS = 512  # at most: a tile's own sums of float32 are float32

Partial = tuple[str, int, str]  # the reduction, of which value, its dtype


class Tiles(Sweeps):
    """The partial statistics of tiles of rows."""

    def __init__(self, kernel: Kernel, rows: Axis, lanes: Axis) -> None:
        constants = {s.name: s for s in kernel.body if isinstance(s, Const)}
        kept = {b.name for b in kernel.buffers if b.lent}
        super().__init__(rows, lanes, Axis("tile", None), kept, constants)
        self.partials: dict[Partial, str] = {}
        self.first: dict[Partial, None] = {}  # partials that others are taken about
        self.about: dict[Partial, str] = {}  # buffers of what others are taken about
        self.counted = False
        read: dict[str, set[str]] = {}
        for s in walk(kernel.body):
            if isinstance(s, Load) and s.buffer in kept:
                read.setdefault(s.buffer, set()).add(s.dtype)
        self.narrow = {name for name, dtypes in read.items() if dtypes == {"float32"}}  # whatever they are added up in

    def reference(self, op: str, row: int, dtype: str) -> str:
        """The buffer of what a tile's values are taken about."""
        self.first["max" if op == "max" else "sum", row, dtype if op == "max" else self.sums[row]] = None
        self.about[op, row, dtype] = self.centres[op, row, dtype]
        return self.about[op, row, dtype]

    def partial(self, op: str, core: int, dtype: str) -> str:
        return self.partials.setdefault((op, core, dtype), f"part{len(self.partials)}")

    def in_two(self) -> tuple[dict[Partial, str], dict[Partial, str]]:
        """The partial results that others are taken about, and these others."""
        centres = [self.partial(*key) for key in self.first]
        first = {key: name for key, name in self.partials.items() if name in centres}
        return first, {key: name for key, name in self.partials.items() if name not in centres}

    def at(self, buffer: str, dtype: str) -> int:
        return self.values.load(buffer, self.place, dtype, COLUMN)

    def held(self, s: Any) -> str:
        """The dtype of a tile's own sum: its rows are few."""
        narrow = s.buffer in self.narrow if isinstance(s, Update) else s.dtype == "float32"
        return "float32" if narrow and s.op.name == "sum" and s.value_dtype == "float32" else self.wide(s)

    def found(self, op: str, core: int, held: str, dtype: str) -> int:
        """The value of a tile's partial, held as such, in another dtype."""
        value = self.at(self.partial(op, core, held), held)
        return value if held == dtype else self.cast(value, held, dtype)

    def cast(self, value: int, have: str, dtype: str) -> int:
        like = Compute("", dtype, OPS["cast"], ("",), (have,), (have,), (("dtype", dtype),))
        return self.values.compute(like, (value,), COLUMN)

    def together(self, found: list[tuple[Any, tuple[Term, ...]]]) -> Loop:
        """The loop over tiles that takes the place of a sweep."""
        wanted: list[tuple[Any, int, str]] = []
        for s, terms in found:
            wide = self.wide(s)
            total: int | None = None
            for term in terms:
                value = self.share(s.op.name, term, self.held(s), wide)
                for name, by in term.after:
                    value = self.values.apply(name, wide, (value, wide), (by, self.values.dtype(by)))
                total = value if total is None else self.values.apply("add", wide, (total, wide), (value, wide))
            assert total is not None
            wanted.append((s, total, wide))
        body = [*self.values.statements([v for _, v, _ in wanted])]
        body += [replace(s, value=self.values.name(v), value_dtype=wide) for s, v, wide in wanted]
        return Loop(self.tile, self.in_lanes(body))

    def wide(self, s: Any) -> str:
        """The dtype in which the sums of tiles are put together."""
        return s.dtype if isinstance(s, Update) or s.op.name != "sum" else "float64"

    def in_lanes(self, body: list[Any]) -> tuple[Any, ...]:
        """What is done for each column."""
        return (Loop(self.lanes, tuple(body)),)

    def share(self, op: str, term: Term, held: str, dtype: str) -> int:
        """What a tile adds to the sum of a term, before what comes after."""
        own = self.found(op, term.core, held, dtype)
        if term.about is None:
            return own
        row, column = term.about
        kind = self.values.dtype(column)
        if term.kind == "shifted":
            self.reference("max", row, kind)
            top = self.at(self.partial("max", row, kind), kind)
            change = self.values.apply("exp", kind, (self.values.apply("sub", kind, (top, kind), (column, kind)), kind))
            return self.values.apply("mul", dtype, (own, dtype), (change, kind))
        narrow = self.values.dtype(term.core)
        centre = self.at(self.reference("sum", row, narrow), narrow)
        step = self.values.apply("sub", dtype, (centre, narrow), (column, kind))
        change = self.values.apply("mul", dtype, (step, dtype), self.weight(term.unit, held, dtype))
        if term.kind == "square":
            rest = self.found("sum", term.deviation, held, dtype)
            rest = self.values.apply("add", dtype, (rest, dtype), (rest, dtype))
            rest = self.values.apply("mul", dtype, (rest, dtype), (term.unit, narrow))
            change = self.values.apply("add", dtype, (change, dtype), (rest, dtype))
            change = self.values.apply("mul", dtype, (change, dtype), (step, dtype))
        return self.values.apply("add", dtype, (own, dtype), (change, dtype))

    def weight(self, unit: int, held: str, dtype: str) -> tuple[int, str]:
        """(value, dtype) of the sum of ``unit`` over the rows of a tile."""
        if self.values.classes[unit] != FIXED:
            return self.found("sum", unit, held, dtype), dtype
        self.counted = True
        count = self.values.load("count", (self.tile,), "float64", COLUMN)
        return self.values.apply("mul", dtype, (count, "float64"), (unit, self.values.dtype(unit))), dtype

    # ------------------------------------------------------------ the sweep over tiles
    def sweep(self) -> Loop:
        """The one loop over the rows: in each tile first what others are taken about, then all the others."""
        first, others = self.in_two()
        body: list[Any] = []
        self.counted = self.counted or any(op == "sum" for op, _, _ in self.about)
        if self.counted:
            one = Const("one", "float64", 1.0)
            step = Update("count", (self.tile,), OPS["sum"], "float64", "one", "float64")
            body += [Const("nothing", "float64", 0.0), Store("count", (self.tile,), "nothing")]
            body.append(Loop(self.rows, (one, step), "tile"))
        body += [self.cleared(first), self.summed(first), *self.referred(), self.cleared(others), self.summed(others)]
        return Loop(self.tile, tuple(body))

    def cleared(self, partials: dict[Partial, str]) -> Loop:
        body: list[Any] = []
        for (op, _, dtype), name in partials.items():
            identity = OPS[op].identity
            assert identity is not None
            body.append(Const(f"{name}_identity", dtype, identity(dtype)))
            body.append(Store(name, (self.tile, self.lanes), f"{name}_identity"))
        return Loop(self.lanes, tuple(body))

    def summed(self, partials: dict[Partial, str]) -> Loop:
        body = [*self.values.statements([core for _, core, _ in partials])]
        for (op, core, dtype), name in partials.items():
            value, have = self.values.name(core), self.value_dtype(core, dtype)
            body.append(Update(name, (self.tile, self.lanes), OPS[op], dtype, value, have))
        return Loop(self.rows, (Loop(self.lanes, tuple(body)),), "tile")

    def value_dtype(self, core: int, dtype: str) -> str:
        return dtype if isinstance(self.values.made[core][0], str) else self.values.dtype(core)

    def referred(self) -> tuple[Any, ...]:
        """What the values of a tile are taken about: its largest value, or 0 where that is infinite; its mean."""
        body: list[Any] = []
        wanted: list[Partial] = []
        values = self.values
        for (op, row, dtype), name in self.about.items():
            if op == "max":
                top = self.at(self.partial("max", row, dtype), dtype)
                wanted.append((name, self.finite(top, dtype), dtype))
            else:
                wide = self.sums[row]
                total, count = self.sample(row, wide)
                mean = values.apply("true_div", wide, (total, wide), (count, "float64"))
                mean = mean if wide == dtype else self.cast(mean, wide, dtype)
                wanted.append((name, self.centre(mean, dtype), dtype))
        body += values.statements([v for _, v, _ in wanted])
        body += [Store(name, self.place, values.name(v)) for name, v, _ in wanted]
        return self.in_lanes(body)

    def finite(self, value: int, dtype: str) -> int:
        """A value, or 0 in the place of an infinite one."""
        like = Compute("", "bool", OPS["isinf"], ("",), (dtype,), (dtype,))
        none = self.values.compute(like, (value,), COLUMN)
        zero = self.values.constant(0.0, dtype)
        like = Compute("", dtype, OPS["switch"], ("",) * 3, ("bool", dtype, dtype), ("bool", dtype, dtype))
        return self.values.compute(like, (none, zero, value), COLUMN)

    def centre(self, mean: int, dtype: str) -> int:
        """What values with this mean are taken about."""
        return mean

    def sample(self, row: int, wide: str) -> tuple[int, int]:
        """The sum of what a tile's mean is taken of, and of how many values."""
        total = self.at(self.partial("sum", row, wide), wide)
        return total, self.values.load("count", (self.tile,), "float64", COLUMN)

    def buffers(self) -> list[Buffer]:
        both = 1 + self.lanes.width
        made = [Buffer(name, key[2], both, True, scratch=True, lent=True) for key, name in self.partials.items()]
        made += [Buffer(name, key[2], both, True, scratch=True, lent=True) for key, name in self.about.items()]
        return made + [Buffer("count", "float64", 1, True, scratch=True, lent=True)] * self.counted


def bytes_read(kernel: Kernel, sweep: Loop, along: Axis) -> int:
    """How many bytes a sweep reads of arrays for each step along an axis."""
    read = {s.buffer for s in walk((sweep,)) if isinstance(s, Load) and along in s.index}
    return sum(np.dtype(b.dtype).itemsize for b in kernel.buffers if b.name in read)


def one_sweep(kernel: Kernel) -> Kernel:
    """``kernel``, by rows, with as many sweeps as can be made one; itself where that is none."""
    assert kernel.tall is not None
    lanes, down = kernel.tall
    if len(down) != 1:
        return kernel
    rows, tiles, body, merged = down[0], Tiles(kernel, down[0], lanes), list(kernel.body), []
    for k, s in enumerate(body):
        if isinstance(s, Loop) and s.axis == rows:
            inner = s.body[0] if len(s.body) == 1 else None
            if not isinstance(inner, Loop) or inner.axis != lanes or any(isinstance(c, Loop) for c in inner.body):
                break
            found = tiles.read(inner.body)
            if found is None:
                break
            tiles.know(found)
            merged.append((k, found))
        elif isinstance(s, Loop) and s.axis == lanes:
            tiles.column(s.body)
    for k, found in merged:
        body[k] = tiles.together(found)
    if not tiles.first:
        return kernel
    body.insert(merged[0][0], tiles.sweep())
    size = bytes_read(kernel, body[merged[0][0]], rows)
    own = len(kernel.sizes)
    return replace(
        kernel,
        buffers=(*kernel.buffers, *tiles.buffers()),
        axes=(*kernel.axes[:own], tiles.tile, *kernel.axes[own:]),
        sizes=(*kernel.sizes, ("tiles", rows, lanes, size)),
        body=tuple(body),
    )
