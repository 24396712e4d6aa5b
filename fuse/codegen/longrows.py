"""Long rows: statistics that need one another from one reading of a row that does not stay in cache.

A loop over rows sweeps each row once for every statistic that needs another: a variance the mean, a sum of exponentials
the largest value. Where a row is larger than the cache, each sweep reads it from memory again. Here pieces of the row,
which stay in the first-level cache, have statistics of their own, which are put together as those of tiles of rows are
(`onesweep`), about the mean of the head of each: a centre need not be the mean, it must only lie within what the piece
holds. What later sweeps need again is computed again rather than kept: a row kept is read from memory too. Statistics
of everything are those of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fuse.codegen.kernel import (
    IN_PARTS,
    Axis,
    Buffer,
    Combine,
    Compute,
    Const,
    Init,
    Kernel,
    Load,
    Loop,
    Position,
    Store,
    Update,
    walk,
)
from fuse.codegen.onesweep import Partial, Tiles, bytes_read
from fuse.codegen.terms import COLUMN, FIXED, REAL, ROW, Named, Term
from fuse.op import OPS

LONG_ROW = 1 << 19  # bytes of what is read of a row: half of a second-level cache
PIECE_BYTES = 1 << 14  # of a piece: it is read twice, the second time from the first-level cache


class _Pieces(Tiles):
    """The partial statistics of pieces of a row."""

    def __init__(self, kernel: Kernel, along: Axis, body: Sequence[Any], written: set[str]) -> None:
        super().__init__(kernel, along, along)
        self.place = (self.tile,)
        self.written = written
        self.inside = {s.acc for s in body if isinstance(s, Init)} | {s.name for s in body if hasattr(s, "name")}
        self.heads: dict[tuple[int, str], str] = {}  # accumulators of (value, dtype) over the head of a piece
        self.known: dict[str, int] = {}  # values of the row as sweeps name them
        self.made_of: dict[str, int] = {}  # and as they were computed

    # ------------------------------------------------------------ what is known of a row
    def outer(self, name: str, dtype: str) -> int:
        if name in self.known:
            return self.known[name]
        if name in self.inside:
            return self.values.number(("name", name), Named(name, dtype), (), None)
        return self.values.outer(name, dtype)

    def can_read(self, loop: Loop) -> bool:
        """Whether a sweep reads what is given and leaves nothing but statistics of the row."""
        return all(isinstance(s, (Const, Compute, Position, Combine)) or self.is_given(s) for s in loop.body)

    def is_given(self, s: Any) -> bool:
        return isinstance(s, Load) and s.buffer not in self.written

    def statement(self, s: Any) -> None:
        """Take in what is computed of the row between two sweeps."""
        match s:
            case Load() if self.is_given(s) and not any(isinstance(i, str) for i in s.index):
                self.known[s.name] = self.made_of[s.name] = self.values.load(s.buffer, s.index, s.dtype)
            case Const():
                self.known[s.name] = self.made_of[s.name] = self.values.constant(s.value, s.dtype)
            case Compute() if all(a in self.made_of or a not in self.inside for a in s.args):
                pairs = zip(s.args, s.arg_dtypes, strict=True)
                args = [self.made_of[a] if a in self.made_of else self.values.outer(a, dtype) for a, dtype in pairs]
                value = self.computed(s, tuple(args))
                of = self.values.classes[value]
                if of in (FIXED, COLUMN):
                    self.made_of[s.name] = value
                    self.known[s.name] = value if of == FIXED else self.named(s.name, s.dtype)
                    self.defined[self.known[s.name]] = value

    def named(self, name: str, dtype: str) -> int:
        """A statistic, or what is computed of some, by its name."""
        return self.values.number(("name", name), Named(name, dtype), (), COLUMN)

    def result(self, s: Any) -> int | None:
        found = self.known[s.acc] = self.made_of[s.acc] = self.named(s.acc, s.dtype)
        return found

    def terms(self, s: Any, value: int) -> tuple[Term, ...] | None:
        if self.values.classes[value] not in (ROW, FIXED):
            return super().terms(s, value)
        ordered = s.op.name not in ("max", "min") or not s.dtype.startswith("complex")
        return (Term("plain", value),) if s.op.name in IN_PARTS and s.dtype != "bool" and ordered else None

    def wide(self, s: Any) -> str:
        return "float64" if s.op.name == "sum" and s.dtype in REAL else str(s.dtype)

    def held(self, s: Any) -> str:
        return str(s.dtype)

    def in_lanes(self, body: list[Any]) -> tuple[Any, ...]:
        return tuple(body)

    # ------------------------------------------------------------ what pieces are taken about
    def reference(self, op: str, row: int, dtype: str) -> str:
        if op == "max":
            return super().reference(op, row, dtype)
        self.heads.setdefault((row, self.sums[row]), f"head{len(self.heads)}")
        self.about[op, row, dtype] = self.centres[op, row, dtype]
        return self.about[op, row, dtype]

    def centre(self, mean: int, dtype: str) -> int:
        return self.finite(mean, dtype)

    def sample(self, row: int, wide: str) -> tuple[int, int]:
        return self.named(self.heads[row, wide], wide), self.named("head_count", "float64")

    def share(self, op: str, term: Term, held: str, dtype: str) -> int:
        """As of tiles; where a row is infinite somewhere, it deviates from its mean by what is no number.

        What a sum is taken about takes part in it once for all: of a row of nearly equal values little is rounded.
        """
        about = "sum", term.core, self.values.dtype(term.core) if self.values.classes[term.core] == ROW else ""
        if op == "sum" and term.kind == "plain" and about in self.about:
            row, kind = term.core, about[2]
            centre = self.values.load(self.about[about], self.place, kind, ROW)
            like = Compute("", kind, OPS["sub"], ("",) * 2, (kind,) * 2, (kind,) * 2)
            rest = self.found("sum", self.values.compute(like, (row, centre), ROW), held, dtype)
            self.counted = True
            count = self.values.load("count", self.place, "float64", COLUMN)
            whole = self.values.apply("mul", dtype, (count, "float64"), (self.at(self.about[about], kind), kind))
            return self.values.apply("add", dtype, (whole, dtype), (rest, dtype))
        found = super().share(op, term, held, dtype)
        if term.kind != "linear" or term.about is None:
            return found
        row, column = term.about
        narrow, kind = self.values.dtype(term.core), self.values.dtype(column)
        centre = self.at(self.reference("sum", row, narrow), narrow)
        step = self.values.apply("sub", dtype, (centre, narrow), (column, kind)), dtype
        return self.values.apply("add", dtype, (found, dtype), (self.values.apply("sub", dtype, step, step), dtype))

    # ------------------------------------------------------------ the sweep over pieces
    def sweep(self) -> Loop:
        """The one loop over the row: in each piece first what others are taken about, then all the others."""
        first, others = self.in_two()
        body = self.count("tile", "piece") if self.counted else []
        if self.counted:
            body.append(Store("count", self.place, "piece_count"))
        body += [*self.pieces(first), *self.head(), *self.referred(), *self.pieces(others)]
        return Loop(self.tile, tuple(body))

    def count(self, kind: str, name: str) -> list[Any]:
        """The length of a piece, or of its head; LLVM sees what the loop comes to."""
        step = Combine(f"{name}_length", OPS["sum"], "int64", f"{name}_one", "int64")
        to_real = (f"{name}_length",), ("int64",), ("int64",), (("dtype", "float64"),)
        wide = Compute(f"{name}_count", "float64", OPS["cast"], *to_real)
        loop = Loop(self.rows, (Const(f"{name}_one", "int64", 1), step), kind)
        return [Init(f"{name}_length", OPS["sum"], "int64"), loop, wide]

    def head(self) -> list[Any]:
        """The sums over the head of a piece."""
        if not self.heads:
            return []
        body = [*self.values.statements([row for row, _ in self.heads])]
        for (row, wide), name in self.heads.items():
            body.append(Combine(name, OPS["sum"], wide, self.values.name(row), self.value_dtype(row, wide)))
        starts = [Init(name, OPS["sum"], wide) for (_, wide), name in self.heads.items()]
        return [*self.count("head", "head"), *starts, Loop(self.rows, tuple(body), "head")]

    def pieces(self, partials: dict[Partial, str]) -> list[Any]:
        if not partials:
            return []
        body = [*self.values.statements([core for _, core, _ in partials])]
        for (op, core, dtype), name in partials.items():
            body.append(Combine(f"{name}_of", OPS[op], dtype, self.values.name(core), self.value_dtype(core, dtype)))
        starts = [Init(f"{name}_of", OPS[op], dtype) for (op, _, dtype), name in partials.items()]
        ends = [Store(name, self.place, f"{name}_of") for name in partials.values()]
        return [*starts, Loop(self.rows, tuple(body), "tile"), *ends]

    def memory(self) -> tuple[Buffer, ...]:
        return tuple([replace(b, ndim=1) for b in self.buffers()])


def may_be_long(kernel: Kernel) -> bool:
    """Whether rows are swept more than once; what `in_pieces` makes of that is another question."""
    return any(len(_sweeps(body)) > 1 for body in _bodies(kernel.body))


def in_pieces(kernel: Kernel) -> Kernel:
    """``kernel`` with as many sweeps over its rows as can be made one, and `long`; itself where that is none."""
    written = {s.buffer for s in walk(kernel.body) if isinstance(s, (Store, Update))}
    for body in _bodies(kernel.body):
        if len(_sweeps(body)) > 1 and (found := _merged(kernel, body, written)) is not None:
            new, pieces, sweep = found
            size = bytes_read(kernel, sweep, pieces.rows)
            own = len(kernel.sizes)
            return replace(
                kernel,
                buffers=(*kernel.buffers, *pieces.memory()),
                axes=(*kernel.axes[:own], pieces.tile, *kernel.axes[own:]),
                sizes=(*kernel.sizes, ("tiles", pieces.rows, None, size)),
                body=_with_body(kernel.body, body, new),
                long=(pieces.rows, size, True),
            )
    return kernel


def _merged(
    kernel: Kernel, body: tuple[Any, ...], written: set[str]
) -> tuple[tuple[Any, ...], _Pieces, Loop] | None:
    along = body[_sweeps(body)[0]].axis
    pieces = _Pieces(kernel, along, body, written)
    found = []
    for k, s in enumerate(body):
        if isinstance(s, Loop):
            terms = pieces.read(s.body) if k in _sweeps(body) and pieces.can_read(s) else None
            if terms is None:
                break
            pieces.know(terms)
            found.append((k, terms))
        else:
            pieces.statement(s)
    out = list(body)
    for k, terms in reversed(found):  # so that what values are taken about is known where these are summed up
        out[k] = pieces.together(terms)
    if not (pieces.first or pieces.heads):
        return None
    sweep = pieces.sweep()
    out.insert(found[0][0], sweep)
    return tuple(out), pieces, sweep


def _bodies(body: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The bodies of a kernel's loops, outermost first."""
    return [body, *[s.body for s in walk(body) if isinstance(s, Loop) and s.kind == "serial"]]


def _sweeps(body: tuple[Any, ...]) -> list[int]:
    """Where in a body the loops are that sweep along the axis of its first one."""
    loops = [k for k, s in enumerate(body) if isinstance(s, Loop)]
    flat = [k for k in loops if body[k].kind == "serial" and not any(isinstance(c, Loop) for c in body[k].body)]
    return [k for k in flat if body[k].axis == body[loops[0]].axis] if flat and flat[0] == loops[0] else []


def _with_body(body: tuple[Any, ...], old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
    if body is old:
        return new
    return tuple([replace(s, body=_with_body(s.body, old, new)) if isinstance(s, Loop) else s for s in body])
