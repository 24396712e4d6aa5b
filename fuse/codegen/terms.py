"""Terms: what the sums over the rows of a column reduction are made of, as tiles of rows can have them.

What is summed is read as a value of the row alone (``core``), taken about what a tile knows instead of what the column
has, and operations with the column's own values that come after the sum. See `onesweep`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fuse.codegen.kernel import Axis, Combine, Compute, Const, Load, Position, Store, Update
from fuse.op import OPS

REAL = ("float32", "float64")
FIXED, ROW, COLUMN = "fixed", "row", "column"  # the same for all rows; of a row, before any statistics; from statistics
ORDER = {ROW: 1, FIXED: 1, COLUMN: 2}  # of the operands of what commutes, after terms


@dataclass(frozen=True)
class Term:
    """What is summed over rows, ``core``, and by what a column then multiplies or divides the sum (``after``).

    ``kind``: "plain"; "difference" from the largest value, of which an exponential is to be taken, and "shifted", that
    exponential, where ``about`` is (its row, it); "linear" or "square" in deviations from a centre, where ``about`` is
    (what deviates, the centre), and ``unit`` the core with 1 for the ``deviation`` or its square.
    """

    kind: str
    core: int
    after: tuple[tuple[str, int], ...] = ()
    about: tuple[int, int] | None = None
    unit: int = -1
    deviation: int = -1


class Named(str):
    """The name of a value that is defined outside the loops, and its dtype."""

    dtype: str

    def __new__(cls, name: str, dtype: str) -> Named:
        found = super().__new__(cls, name)
        found.dtype = dtype
        return found


@dataclass
class Values:
    """Values of a kernel's loops by number: what is computed alike is one value, whichever sweep it stands in."""

    rows: Axis
    lanes: Axis
    kept: set[str]
    constants: Mapping[str, Const]  # those outside all loops
    numbers: dict[Any, int] = field(default_factory=dict)
    made: list[tuple[Any, tuple[int, ...]]] = field(default_factory=list)
    classes: list[Any] = field(default_factory=list)  # FIXED, ROW, COLUMN, a tuple of Terms, or None

    def number(self, key: Any, statement: Any, args: tuple[int, ...], of: Any) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.made)
            self.made.append((statement, args))
            self.classes.append(of)
        return self.numbers[key]

    def outer(self, name: str, dtype: str) -> int:
        """A value that is defined outside all loops."""
        if name in self.constants:
            return self.constant(self.constants[name].value, self.constants[name].dtype)
        return self.number(("name", name), Named(name, dtype), (), FIXED)

    def load(self, buffer: str, index: tuple[Any, ...], dtype: str, of: Any = None) -> int:
        if of is None:
            of = COLUMN if buffer in self.kept else ROW if self.rows in index else FIXED
        return self.number(("load", buffer, index, dtype), Load("", dtype, buffer, index), (), of)

    def constant(self, value: Any, dtype: str) -> int:
        return self.number(("const", repr(value), dtype), Const("", dtype, value), (), FIXED)

    def compute(self, like: Compute, args: tuple[int, ...], of: Any) -> int:
        pairs = list(zip(args, like.arg_dtypes, strict=True))
        if like.op.name in ("add", "mul") and len(set(like.signature)) == 1:
            pairs.sort()
        key = ("op", like.op.name, like.params, like.dtype, like.signature, tuple(pairs))
        return self.number(key, like, args, of)

    def apply(self, name: str, dtype: str, *args: tuple[int, str]) -> int:
        """An operation at ``dtype`` on (value, dtype) pairs."""
        given = (dtype,) * len(args)
        like = Compute("", dtype, OPS[name], ("",) * len(args), tuple(d for _, d in args), given)
        return self.compute(like, tuple(v for v, _ in args), COLUMN)

    def statements(self, wanted: Iterable[int]) -> tuple[Any, ...]:
        """What defines the ``wanted`` values, in order."""
        needed: set[int] = set()
        stack = list(wanted)
        while stack:
            value = stack.pop()
            if value not in needed:
                needed.add(value)
                stack.extend(self.made[value][1])
        out = []
        for value in sorted(needed):
            statement, args = self.made[value]
            if isinstance(statement, Compute):
                out.append(replace(statement, name=f"u{value}", args=tuple(map(self.name, args))))
            elif not isinstance(statement, str):
                out.append(replace(statement, name=f"u{value}"))
        return tuple(out)

    def name(self, value: int) -> str:
        statement = self.made[value][0]
        return statement if isinstance(statement, str) else f"u{value}"

    def dtype(self, value: int) -> str:
        return str(self.made[value][0].dtype)


class Sweeps:
    """What the sweeps over the rows sum up, read one after the other."""

    def __init__(self, rows: Axis, lanes: Axis, tile: Axis, kept: set[str], constants: Mapping[str, Const]) -> None:
        self.rows, self.lanes, self.tile = rows, lanes, tile
        self.place: tuple[Axis, ...] = tile, lanes  # of what a tile knows, in memory
        self.values = Values(rows, lanes, kept, constants)
        self.begun = False  # whether a sweep has been read: what is stored before it, tiles of rows can read
        self.tops: dict[int, int] = {}  # the value of a largest one: of what
        self.defined: dict[int, int] = {}  # what a column's value that is loaded was stored as
        self.sums: dict[int, str] = {}  # of what there is a sum: its dtype
        self.centres: dict[tuple[str, int, str], str] = {}  # buffers of what a tile's values may be taken about

    def read(self, body: Sequence[Any]) -> list[tuple[Any, tuple[Term, ...]]] | None:
        """(statement, terms) of the sums and extrema of one sweep; None where tiles cannot have them."""
        self.begun = True
        names: dict[str, int] = {}
        found: list[tuple[Any, tuple[Term, ...]]] = []
        values = self.values
        for s in body:
            match s:
                case Load() if all(isinstance(i, Axis) or i == 0 for i in s.index):
                    names[s.name] = values.load(s.buffer, s.index, s.dtype)
                case Const():
                    names[s.name] = values.constant(s.value, s.dtype)
                case Position():
                    of = ROW if self.rows in s.axes else FIXED
                    names[s.name] = values.number(("position", s.axes, s.dtype), replace(s, name=""), (), of)
                case Compute():
                    names[s.name] = self.computed(s, self.operands(s, names))
                case Update() | Combine():
                    if s.value not in names or (terms := self.terms(s, names[s.value])) is None:
                        return None
                    found.append((s, terms))
                case _:
                    return None
        return found

    def operands(self, s: Compute, names: Mapping[str, int]) -> tuple[int, ...]:
        """The values of a statement's operands: of those that have names here, and of others."""
        pairs = zip(s.args, s.arg_dtypes, strict=True)
        return tuple([names[a] if a in names else self.outer(a, dtype) for a, dtype in pairs])

    def outer(self, name: str, dtype: str) -> int:
        """A value that a sweep uses and does not define."""
        return self.values.outer(name, dtype)

    def terms(self, s: Any, value: int) -> tuple[Term, ...] | None:
        of = self.values.classes[value]
        if of in (ROW, FIXED):
            of = (Term("plain", value),)
            if isinstance(s, Update):
                return of
        if not isinstance(of, tuple) or s.op.name != "sum" or s.dtype not in REAL or s.value_dtype not in REAL:
            return None
        return None if any(t.kind == "difference" for t in of) else of

    def computed(self, s: Compute, args: tuple[int, ...]) -> int:
        classes = [self.values.classes[a] for a in args]
        plain = [c for c in classes if isinstance(c, str)]
        if len(plain) == len(classes) and not {ROW, COLUMN}.issubset(plain):
            of: Any = next((c for c in plain if c != FIXED), FIXED)
        else:
            real = s.dtype in REAL and all(d == s.dtype for d in (*s.arg_dtypes, *s.signature))
            of = self.combined(s, args, classes) if real and None not in classes else None
        return self.values.compute(s, args, of)

    def combined(self, s: Compute, args: tuple[int, ...], classes: list[Any]) -> tuple[Term, ...] | None:
        """The terms of an operation on values of rows and on what is known of columns."""
        name = s.op.name
        if len(args) == 1:
            (terms,) = classes
            (only,) = terms if len(terms) == 1 else (None,)
            if name == "exp" and only and only.kind == "difference":
                return (replace(only, kind="shifted", core=self.again(s, only.core)),)
            if name == "sqr" and only:
                return self.square(s, only)
            if name == "neg":
                return self.each(terms, lambda t: self.scaled(s, t, None))
            return None
        if len(args) != 2:
            return None
        (a, b), (x, y) = args, classes
        if name in ("mul", "add") and ORDER.get(x, 0) > ORDER.get(y, 0):
            a, b, x, y = b, a, y, x
        if name in ("mul", "true_div") and x in (ROW, FIXED) and y == COLUMN:
            return (Term("plain", a, ((name, b),)),)
        if name == "sub" and x == ROW and y == COLUMN:
            return self.difference(s, a, b)
        if name in ("mul", "true_div") and isinstance(x, tuple):
            if y == COLUMN:
                return self.each(x, lambda t: _with_after(t, name, b))
            if y in (ROW, FIXED):
                return self.each(x, lambda t: self.scaled(s, t, b, y == ROW))
            if name == "mul" and a == b and len(x) == 1:
                return self.square(s, x[0])
        if name in ("add", "sub"):
            left, right = self.as_terms(a, x), self.as_terms(b, y)
            if name == "sub" and right is not None:
                like = Compute("", s.dtype, OPS["neg"], ("",), (s.dtype,), (s.dtype,))
                right = self.each(right, lambda t: self.scaled(like, t, None))
            if left and right and (_sums_to_little(left, self.values) or _sums_to_little(right, self.values)):
                return (*left, *right)
        return None

    def as_terms(self, value: int, of: Any) -> tuple[Term, ...] | None:
        if isinstance(of, tuple):
            return None if any(t.kind == "difference" for t in of) else of
        return (Term("plain", value),) if of in (ROW, FIXED) else None

    def each(self, terms: tuple[Term, ...], change: Callable[[Term], Term | None]) -> tuple[Term, ...] | None:
        found = [change(t) for t in terms]
        return None if None in found else tuple([t for t in found if t is not None])

    def again(self, s: Compute, *args: int) -> int:
        """The operation of ``s`` on values that a tile has: it needs no statistics of columns."""
        return self.values.compute(s, args, ROW)

    def scaled(self, s: Compute, term: Term, by: int | None, varies: bool = False) -> Term | None:
        """A term under an operation that is linear in it, with another value of the row."""
        if term.kind in ("difference", "square") and (varies or term.kind == "difference"):
            return None
        if by is not None and not varies and term.kind == "linear":
            return _with_after(term, s.op.name, by)  # deviations are summed once, whatever their factors
        rest = () if by is None else (by,)
        is_one = term.unit >= 0 and self.values.made[term.unit][0] == Const("", self.values.dtype(term.unit), 1.0)
        if by is not None and is_one and s.op.name == "mul":
            return replace(term, core=self.again(s, term.core, by), unit=by)
        unit = -1 if term.unit < 0 else self.again(s, term.unit, *rest)
        if unit >= 0 and not varies and self.values.classes[term.unit] == FIXED:
            self.values.classes[unit] = FIXED
        return replace(term, core=self.again(s, term.core, *rest), unit=unit)

    def square(self, s: Compute, term: Term) -> tuple[Term, ...] | None:
        if term.kind != "linear" or self.values.made[term.unit][0] != Const("", self.values.dtype(term.unit), 1.0):
            return None
        core = self.again(s, *(term.core,) * len(s.args))
        return (replace(term, kind="square", core=core, after=term.after * 2, deviation=term.core),)

    def difference(self, s: Compute, row: int, column: int) -> tuple[Term, ...] | None:
        """A row less a value of its column: the tile has its own such value."""
        if self.is_top(column, row):
            op, kind, unit = "max", "difference", -1
        elif row in self.sums:
            op, kind, unit = "sum", "linear", self.values.constant(1.0, s.dtype)
        else:
            return None
        name = self.centres.setdefault((op, row, s.dtype), f"about{len(self.centres)}")
        centre = self.values.load(name, self.place, s.dtype, ROW)
        return (Term(kind, self.again(s, row, centre), (), (row, column), unit),)

    def is_top(self, column: int, row: int) -> bool:
        """Whether a column's value is the largest of the row's, or 0 in the place of an infinite one (logsumexp)."""
        column = self.defined.get(column, column)
        chosen, args = self.values.made[column]
        if isinstance(chosen, Compute) and chosen.op.name == "switch":
            unless, other, column = args
            check, of = self.values.made[unless]
            if not isinstance(check, Compute) or check.op.name != "isinf" or of != (column,):
                return False
            if self.values.made[other][0] != Const("", chosen.dtype, 0.0):
                return False
        return self.tops.get(column, -1) == row

    def column(self, body: Sequence[Any]) -> None:
        """Take in what is computed of columns between two sweeps."""
        names: dict[str, int] = {}
        for s in body:
            match s:
                case Load() if all(isinstance(i, Axis) or i == 0 for i in s.index):
                    names[s.name] = self.values.load(s.buffer, s.index, s.dtype)
                case Compute() if all(a in names or a in self.values.constants for a in s.args):
                    names[s.name] = self.computed(s, self.operands(s, names))
                case Store() if s.value in names and s.buffer in self.values.kept:
                    value = names[s.value]
                    loaded = self.values.load(s.buffer, s.index, self.values.dtype(value))
                    self.defined[loaded] = value
                    if not self.begun and self.values.classes[value] == FIXED:
                        self.values.classes[loaded] = FIXED

    def held(self, s: Any) -> str:
        """The dtype in which what is summed is held."""
        return str(s.dtype)

    def know(self, found: list[tuple[Any, tuple[Term, ...]]]) -> None:
        """Take in the sums and largest values of a sweep, which later ones are taken about."""
        for s, terms in found:
            column = self.result(s)
            if column is not None and len(terms) == 1 and terms[0].kind == "plain" and not terms[0].after:
                core = terms[0].core
                if s.op.name == "max" and s.dtype in REAL and s.dtype == s.value_dtype:
                    self.tops[column] = core
                elif s.op.name == "sum" and s.dtype in REAL and s.value_dtype in REAL:
                    self.sums[core] = self.held(s)

    def result(self, s: Any) -> int | None:
        """The value of a reduction, as later sweeps know it."""
        return self.values.load(s.buffer, s.index, s.dtype) if isinstance(s, Update) else None


def _with_after(term: Term, name: str, column: int) -> Term | None:
    return None if term.kind == "difference" else replace(term, after=(*term.after, (name, column)))


def _sums_to_little(terms: tuple[Term, ...], values: Values) -> bool:
    """Whether the terms are multiples of deviations from a mean: apart from what stands beside them, none is lost."""
    return all(t.kind == "linear" and values.classes[t.unit] == FIXED for t in terms)
