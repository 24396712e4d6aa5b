"""When two lengths are surely one number: sums of sizes brought to a normal form."""
from __future__ import annotations

from collections.abc import Container, Hashable
from typing import Any

from fuse.expr import CONSTANT, Expr, toposort
from fuse.frontend.sizes import shape_of

Form = tuple[Hashable, ...]  # ("sum", constant, {(atom, factor), ...}), where an atom is a node or an extremum of forms


def form(size: Any) -> Form:
    """The normal form of a size: equal forms are equal numbers, whatever the sizes they are made of.

    >>> import fuse.tensor as T
    >>> x = T.vector("x")
    >>> n = x.shape[0]
    >>> form(n - 1) == form(n + (-1)), form(T.minimum(n, n)) == form(n), form(n - 1) == form(n)
    (True, True, False)
    >>> form(T.exp(x[::-1]).shape[0]) == form(n)
    True
    """
    if isinstance(size, int):
        return _number(size)
    known: dict[Expr, Form] = {}
    stack = [size]
    while stack:
        for node in toposort([stack[-1]], known=known):
            of = _computed(node)
            if isinstance(of, Expr) and of not in known:
                stack.append(of)
                break
            if node not in known:
                args = [known[a] for a in node.args]
                known[node] = _form(node, args) if of is None else _number(of) if isinstance(of, int) else known[of]
        else:
            stack.pop()
    return known[size]


def _computed(node: Expr) -> Any:
    """A size of what is computed, in terms of the sizes of what it is computed of; None of anything else."""
    if node.op.name != "shape_i" or node.args[0].is_leaf:
        return None
    of = shape_of(node.args[0])[node.params["axis"]]
    return None if of is node else of


def _number(value: int) -> Form:
    return "sum", value, frozenset()


def _form(node: Expr, args: list[Form]) -> Form:
    name = node.op.name
    if node.op is CONSTANT and node.type.ndim == 0 and node.data.dtype.kind in "iub":
        return _number(int(node.data))
    if name == "cast" and node.type.dtype == "int64" and node.args[0].type.dtype[:3] == "int":
        return args[0]
    if name in ("add", "sub"):
        return _added(args[0], args[1], 1 if name == "add" else -1)
    if name == "switch" and node.args[0].op.name == "lt" and _never_negative(args[2]):
        test, bound = node.args[0].args  # how a slice counts from the end
        return args[2] if form(test) == args[2] and form(bound) == _number(0) else ("sum", 0, frozenset([(node, 1)]))
    if name in ("minimum", "maximum", "broadcast_size"):
        found: set[Form] = set()
        for arg in args:
            inner = _alone(arg)
            found |= inner[1] if isinstance(inner, tuple) and inner[0] == name else {arg}
        if name != "broadcast_size":
            found = {a for a in found if not any(_surely(a, b, name) for b in found if b is not a)}
        return found.pop() if len(found) == 1 else ("sum", 0, frozenset([((name, frozenset(found)), 1)]))
    return "sum", 0, frozenset([(node, 1)])


def _surely(a: Form, b: Form, name: str) -> bool:
    """Whether ``a`` can be left out beside ``b``: in a minimum what is surely larger, in a maximum what is smaller."""
    more = _added(a, b, -1) if name == "minimum" else _added(b, a, -1)
    return more != _number(0) and _never_negative(more)


def _never_negative(size: Form) -> bool:
    """Whether a size is surely not negative: a sum of lengths."""

    def is_length(atom: Any) -> bool:
        if isinstance(atom, tuple):
            return atom[0] == "maximum" and any(a == _number(0) for a in atom[1])
        return atom.op.name == "shape_i"

    return int(size[1]) >= 0 and all(f > 0 and is_length(a) for a, f in size[2])  # type: ignore


def _alone(form: Form) -> Any:
    """The one atom that a form is."""
    atoms: Any = form[2]
    if form[1] == 0 and len(atoms) == 1:
        [pair] = atoms
        return pair[0] if pair[1] == 1 else None
    return None


def _added(a: Form, b: Form, sign: int) -> Form:
    atoms: dict[Any, int] = dict(a[2])  # type: ignore[call-overload]
    for atom, factor in b[2]:  # type: ignore[attr-defined]
        atoms[atom] = atoms.get(atom, 0) + sign * factor
    constant = a[1] + sign * b[1]  # type: ignore[operator]
    return "sum", constant, frozenset([(k, v) for k, v in atoms.items() if v])


def has_rows(x: Expr, count: Expr) -> bool:
    """Whether ``x`` surely has ``count`` rows."""
    wanted = form(count)
    while True:
        if form(shape_of(x)[0]) == wanted:
            return True
        cut = _cut(x)
        if cut is None:
            return False
        if isinstance(cut, Expr):
            return form(cut) == wanted and has_all(x.args[0], cut)
        x = x.args[0]


def has_all(sequence: Expr, steps: Expr) -> bool:
    """Whether a sequence surely has an element for every one of ``steps``."""
    wanted = form(steps)
    while True:
        own = form(shape_of(sequence)[0])
        if own == wanted:
            return True
        atom = _alone(wanted)
        if isinstance(atom, tuple) and atom[0] == "minimum" and own in atom[1]:
            return True
        more = _added(own, wanted, -1)
        if not more[2] and int(more[1]) >= 0 and (wanted[2] or int(wanted[1]) >= 0):  # type: ignore[call-overload]
            return True
        cut = _cut(sequence)
        if cut is None or isinstance(cut, Expr) and form(cut) != wanted:
            return False
        sequence = sequence.args[0]


def _cut(x: Expr) -> Expr | bool | None:
    """How many first rows ``x`` takes of another array; True: all of them, last first; None: it is something else."""
    if x.op.name != "subtensor" or not x.params["spec"]:
        return None
    kind, *entry = x.params["spec"][0]
    if kind != "slice" or entry[0] is not None:
        return None
    if entry[1:] == [None, -1]:
        return True
    return x.args[1 + entry[1][1]] if isinstance(entry[1], tuple) and entry[2] is None else None


def is_steady(x: Expr, moving: Container[Expr]) -> bool:
    """Whether a value of a loop's body has the same shape in every step: its sizes read no value of ``moving``."""
    for size in shape_of(x):
        pending = [size] if isinstance(size, Expr) else []
        while pending:
            node = pending.pop()
            if node in moving or node.op.name == "shape_i" and not node.args[0].is_leaf:
                return False
            if node.op.name != "shape_i":
                pending.extend(node.args)
    return True


def uncut(x: Expr) -> tuple[Expr, bool]:
    """(array, whether its rows are taken last first): ``x`` without slices that take all rows."""
    backwards = False
    while len(x.params.get("spec", ())) == 1:
        cut = _cut(x)
        if cut is True:
            backwards = not backwards
        elif not isinstance(cut, Expr) or not has_rows(x.args[0], cut):
            break
        x = x.args[0]
    return x, backwards
