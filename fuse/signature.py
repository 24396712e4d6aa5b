"""What a call of ``function`` asks for: inputs, outputs, givens and updates, checked and brought to one form."""
from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fuse.errors import (
    DTypeError,
    FuseError,
    FuseTypeError,
    FuseValueError,
    GivenInputError,
    MissingInputError,
    OutputKeyError,
    ShapeError,
    UnusedInputError,
    namesake,
    origin_text,
)
from fuse.expr import Constant, Expr, as_expr, constant, substitute, toposort, variable
from fuse.frozen import dataclass
from fuse.inout import In as In
from fuse.inout import Out as Out
from fuse.inout import named, rank_of
from fuse.notes import noted
from fuse.op import OPS
from fuse.typebase import Type
from fuse.types import TensorType


@dataclass(frozen=True)
class Signature:
    """A function's graph in one form: every input a leaf, givens replaced, updates complete."""

    inputs: tuple[In, ...]
    leaves: tuple[Expr, ...]  # what the program takes: the inputs' variables, or stand-ins for intermediate ones
    outputs: tuple[Expr, ...]
    keys: tuple[str, ...] | None  # of a dict of outputs
    shape: str  # of the result: "single", "list", "dict", "none"
    updates: tuple[tuple[Any, Expr], ...]
    overwritten: tuple[tuple[int, Expr], ...] = ()  # inputs, by number, and the values that calls leave in them

    @property
    def states(self) -> list[Expr]:
        """The new values of inputs that have an update, in order."""
        return [i.update for i in self.inputs if i.update is not None]

    @property
    def computed(self) -> list[Expr]:
        """What the program gives: outputs, then states of inputs, then values for inputs that are written over."""
        return [*self.outputs, *self.states, *[value for _, value in self.overwritten]]

    @property
    def roots(self) -> list[Expr]:
        """All that is computed: the same, then new values of shared variables."""
        return [*self.computed, *[value for _, value in self.updates]]


def signature(
    inputs: Any,
    outputs: Any = None,
    updates: Any = None,
    givens: Any = None,
    no_default_updates: Any = False,
    allow_input_downcast: bool | None = None,
    on_unused_input: str = "raise",
    strict_givens: bool = True,
    accept_inplace: bool = False,
) -> Signature:
    """Check and normalise what ``function`` was given."""
    ins = read_inputs(inputs, allow_input_downcast)
    shape, keys, outs = read_outputs(outputs)
    own = read_updates(updates)
    replaced = replacements(givens, "givens", strict_givens)
    for item in ins:
        if item.variable in replaced:
            raise GivenInputError(
                f"givens replaces {named(item.variable, 'variable')}, an input of the function, so that the value of "
                f"the call would be ignored or changed: write the replacement into the expression, with fuse.clone"
            )
    # An intermediate expression as an input is cut off from what computes it.
    leaves = tuple([i.variable if i.variable.op.name == "input" else variable(i.type, i.name) for i in ins])
    cut = {i.variable: leaf for i, leaf in zip(ins, leaves, strict=True) if i.variable is not leaf}

    def given(exprs: Sequence[Expr]) -> list[Expr]:
        return substitute(substitute(exprs, cut), dict(zip(*[substitute(e, cut) for e in both], strict=True)))

    both = list(replaced), list(replaced.values())
    roots = given([*outs, *own.values(), *[i.update for i in ins if i.update is not None]])
    if "from_graph" in OPS:  # made when the first one is needed
        from fuse.rules.inlining import inlined

        roots = inlined(roots)
    overwritten: dict[Expr, Expr] = {}
    if "overwriting" in OPS:
        from fuse.frontend.overwriting import taken_apart

        roots, overwritten = taken_apart(roots)
    count = len(outs)
    new_outputs = tuple(roots[:count])
    pairs = dict(zip(own, roots[count : count + len(own)], strict=True))
    states = iter(roots[count + len(own) :])
    ins = tuple([i if i.update is None else _with_update(i, next(states)) for i in ins])
    for target, value in pairs.items():
        pairs[target] = _fitting(target, value)
    pairs = with_default_updates(roots, pairs, no_default_updates, given)
    needed = [*new_outputs, *pairs.values(), *[i.update for i in ins if i.update is not None]]
    _check_used(needed, ins, leaves, on_unused_input)
    _check_complete(needed, leaves)
    places = [k for k, i in enumerate(ins) if leaves[k] in overwritten and (accept_inplace or i.mutable)]
    values = tuple([(k, overwritten[leaves[k]]) for k in places])
    return Signature(ins, leaves, new_outputs, keys, shape, tuple(pairs.items()), values)


# ---------------------------------------------------------------- inputs
def read_inputs(inputs: Any, allow_downcast: bool | None = None) -> tuple[In, ...]:
    """The list of inputs as ``In`` objects."""
    if not isinstance(inputs, (list, tuple)):
        raise FuseTypeError(
            f"the inputs of a function are a list, even where there is one: function([x], ...), "
            f"not {type(inputs).__name__}"
        )
    ins = tuple([_read_input(item, i) for i, item in enumerate(inputs)])
    seen: dict[Expr, int] = {}
    for i, item in enumerate(ins):
        if item.variable in seen:
            raise UnusedInputError(
                f"the variable {named(item.variable)} is input {seen[item.variable]} and input {i}: the value of one "
                f"of them would be ignored; give each variable once"
            )
        seen[item.variable] = i
        if item.allow_downcast is None and not item.strict:
            item.allow_downcast = allow_downcast
    return ins


def _read_input(item: Any, index: int) -> In:
    if isinstance(item, In):
        found = copy.copy(item)
    elif isinstance(item, (list, tuple)):
        found = _read_tuple(item, index)
    elif isinstance(item, Expr):
        found = In(item)
    else:
        raise FuseTypeError(f"input {index} is a symbolic variable or In(...), not {type(item).__name__} {item!r:.60}")
    if found.variable.op.name == "shared":
        raise FuseTypeError(
            f"the shared variable {named(found.variable)} cannot be an input: a function reads it anyway; to give it "
            f"another value for one function use givens={{shared: variable}}"
        )
    if isinstance(found.variable, Constant):
        raise FuseTypeError(f"input {index} is the constant {found.variable.data}: only variables can be inputs")
    if not isinstance(found.type, Type):
        raise FuseTypeError(f"input {index} is a {found.type.describe()}, not a tensor")
    if found.update is not None:
        _check_type(found.variable, found.update, "the update of input")
    return found


def _read_tuple(item: Sequence[Any], index: int) -> In:
    """Theano's short forms: (variable, default) and ((name, variable), default) and (name, variable[, default])."""
    parts = list(item)
    name = parts.pop(0) if parts and isinstance(parts[0], str) else None
    if parts and isinstance(parts[0], (list, tuple)):
        inner = list(parts.pop(0))
        name = inner.pop(0) if inner and isinstance(inner[0], str) else name
        parts = inner + parts
    if not parts or not isinstance(parts[0], Expr) or len(parts) > 2:
        raise FuseTypeError(f"input {index} as a tuple is (variable, default), not {item!r:.80}")
    return In(parts[0], name=name, value=parts[1] if len(parts) > 1 else None)


def _with_update(item: In, update: Expr) -> In:
    item.update = update
    return item


# ---------------------------------------------------------------- outputs
def read_outputs(outputs: Any) -> tuple[str, tuple[str, ...] | None, list[Expr]]:
    """(shape of the result, keys of a dict, expressions)."""
    if outputs is None:
        return "list", None, []
    if isinstance(outputs, dict):
        for key in outputs:
            if not isinstance(key, str):
                raise OutputKeyError(f"the keys of a dict of outputs are strings, not {type(key).__name__} {key!r:.40}")
        keys = tuple(sorted(outputs))  # in Theano's order
        return "dict", keys, [_read_output(outputs[k], repr(k)) for k in keys]
    if isinstance(outputs, (list, tuple)):
        return "list", None, [_read_output(o, str(i)) for i, o in enumerate(outputs)]
    return "single", None, [_read_output(outputs, "0")]


def _read_output(item: Any, which: str) -> Expr:
    if isinstance(item, Out):
        item = item.variable
    try:
        found = item if isinstance(item, Expr) else as_expr(item)
    except (FuseError, TypeError, ValueError):
        text = f"output {which} is an expression or a number, not {type(item).__name__} {item!r:.60}"
        raise FuseTypeError(text) from None
    if not isinstance(found.type, Type):
        raise FuseTypeError(f"output {which} is a {found.type.describe()}, which has no value: leave it out")
    return found


# ---------------------------------------------------------------- givens, replacements
def read_pairs(given: Any, what: str) -> list[tuple[Any, Any]]:
    """A dict, or a list of pairs, as a list of pairs."""
    if given is None:
        return []
    if isinstance(given, Mapping):
        return list(given.items())
    try:
        pairs = [(key, value) for key, value in given]
    except (TypeError, ValueError):
        raise FuseTypeError(f"{what} is a dict or a list of pairs, not {given!r:.80}") from None
    return pairs


def replacements(given: Any, what: str, strict: bool = True, apart: bool = True) -> dict[Expr, Expr]:
    """What replaces what, all at once; with ``apart`` none may need a variable that is itself replaced by another."""
    found: dict[Expr, Expr] = {}
    for key, value in read_pairs(given, what):
        if not isinstance(key, Expr):
            raise FuseTypeError(f"the keys of {what} are expressions, not {type(key).__name__} {key!r:.60}")
        if key in found:
            raise FuseValueError(f"{what} replaces {named(key, 'variable')} twice")
        if isinstance(value, Expr):
            if strict:
                _check_type(key, value, f"the replacement in {what} of")
            found[key] = value
        elif not strict:
            found[key] = as_expr(value)
        else:
            found[key] = _constant_like(key, value, f"the replacement in {what} of")
    if len(found) > 1 and apart:
        for key, value in found.items():
            for node in toposort([value]):
                if node in found and node is not key and found[node] is not node:
                    raise FuseValueError(
                        f"{what} replaces {named(key, 'variable')} by an expression of {named(node, 'variable')}, "
                        f"which it replaces too: all replacements "
                        f"happen at once; substitute in the replacement first, with fuse.clone"
                    )
    return found


def _constant_like(key: Expr, value: Any, what: str) -> Constant:
    try:
        return constant(key.type.filter(value))
    except FuseError as error:
        raise type(error)(f"{what} {named(key, 'variable')}: {error}") from None


def _check_type(key: Expr, value: Expr, what: str) -> None:
    """A replacement has the dtype and rank of what it replaces, and no known size that contradicts it."""
    want, have = key.type, value.type
    if want == have:
        return
    both = f"{what} {named(key, 'variable')} is a {have.describe()}, a {want.describe()} is needed"
    if not (isinstance(want, TensorType) and isinstance(have, TensorType)):
        raise FuseTypeError(both)
    if want.dtype != have.dtype:
        raise DTypeError(f"{both}: cast it ({value.name or 'expression'}.astype('{want.dtype}'))")
    if want.ndim != have.ndim:
        raise ShapeError(both)
    for axis, (n, m) in enumerate(zip(want.shape, have.shape, strict=True)):
        if n is not None and m is not None and n != m:
            raise ShapeError(f"{both}: axis {axis} differs")


# ---------------------------------------------------------------- updates
def read_updates(updates: Any) -> dict[Any, Expr]:
    """The updates as a dict from shared variables to expressions; nothing checked against their types yet."""
    found: dict[Any, Expr] = {}
    for target, value in read_pairs(updates, "updates"):
        if not isinstance(target, Expr) or target.op.name != "shared":
            what = type(target).__name__
            if isinstance(target, Expr):
                what = f"{target.type.describe()} {target.name or ''}".strip()
            raise FuseTypeError(f"an update belongs to a shared variable (fuse.shared(value)), not to a {what}")
        if target in found:
            raise FuseValueError(f"the shared variable {named(target)} has two updates: give it one")
        found[target] = value if isinstance(value, Expr) else _constant_like(target, value, "the update of")
    return found


def _fitting(target: Any, value: Expr) -> Expr:
    """An update of the shared variable's own type; raises where a cast would be needed."""
    want, have = target.type, value.type
    if not (isinstance(want, TensorType) and isinstance(have, TensorType)):
        _check_type(target, value, "the update of")
        return value
    if want.dtype != have.dtype or want.ndim != have.ndim:
        kind = DTypeError if want.ndim == have.ndim else ShapeError
        hint = f": cast it (fuse.tensor.cast(expression, '{want.dtype}'))" if want.ndim == have.ndim else ""
        if kind is DTypeError and want.dtype == "float32" and have.dtype == "float64":
            hint += (
                ", or keep float64 out of it: float64 arrays, arrays of integers and (unless config.floatX is "
                "'float32') numbers such as 0.1 make float64 of float32"
            )
        name = named(target, "shared variable")
        both = f"the update of {name} is a {have.describe()}, the shared variable is a {want.describe()}"
        raise kind(both + hint)
    for axis, (n, m) in enumerate(zip(want.shape, have.shape, strict=True)):
        if n is not None and n != m:
            size = "a size known at run time" if m is None else f"size {m}"
            loose = tuple([None if a == axis else s for a, s in enumerate(want.shape)])
            raise ShapeError(
                f"the update of {named(target, 'shared variable')} has {size} along axis {axis}, the shared variable "
                f"has size {n} there for good: make it with fuse.shared(value, shape={loose})"
            )
    return value


def with_default_updates(
    roots: Sequence[Expr], updates: dict[Any, Expr], without: Any, given: Callable[[Sequence[Expr]], list[Expr]]
) -> dict[Any, Expr]:
    """``updates`` and those that shared variables of the graph carry themselves (random streams).

    ``without`` is True for none of them, or a list of shared variables that keep their value; ``given`` replaces in
    expressions what the function's givens replace.
    """
    if without is True:
        return updates
    skipped = set() if without is False or without is None else set(_listed(without))
    found = dict(updates)
    known: set[Expr] = set()
    pending = [*roots, *updates]
    while pending:
        order = toposort(pending, known=known)
        known.update(order)
        pending = []
        for node in order:
            default = getattr(node, "default_update", None) if node.op.name == "shared" else None
            if default is not None and node not in found and node not in skipped:
                found[node] = _fitting(node, given([as_expr(default)])[0])
                pending.append(found[node])
    return found


def _listed(without: Any) -> Iterable[Any]:
    if not isinstance(without, (list, tuple, set, frozenset)):
        kind = type(without).__name__
        raise FuseTypeError(f"no_default_updates is True, False or a list of shared variables, not {kind}")
    return without


# ---------------------------------------------------------------- completeness
def _check_complete(roots: Sequence[Expr], leaves: Sequence[Expr]) -> None:
    given = set(leaves)
    order = toposort(roots, known=given)
    missing = next((n for n in order if n.op.name == "input"), None)
    if missing is None:
        return
    reader = next((n for n in order if missing in n.args), None)
    used = f"\n  used by {reader.op} at {origin_text(reader.origin)}" if reader is not None else ""
    raise MissingInputError(
        f"the function needs a value for {missing.name or 'a variable without a name'} "
        f"({missing.type.describe()}), which is not among its inputs\n  made at {origin_text(missing.origin)}{used}"
        f"{namesake(missing, leaves)}\n"
        f"  add it to the inputs, or give it a value with givens={{variable: value}}"
    )


def _check_used(roots: Sequence[Expr], ins: Sequence[In], leaves: Sequence[Expr], how: str) -> None:
    if how not in ("raise", "warn", "ignore"):
        raise FuseValueError(f"on_unused_input is 'raise', 'warn' or 'ignore', not {how!r}")
    if how == "ignore":
        return
    order = toposort(roots)
    varying: set[Expr] = set()
    for n in order:
        if n.is_leaf and not isinstance(n, Constant) or not varying.isdisjoint(n.args):
            varying.add(n)
    if any(r not in varying and rank_of(r.type) in (0, 1) and r.type.dtype == "int64" for r in roots):
        return  # shapes that types tell
    used = set(order)
    for node in list(used):  # a derivative uses what it was derived from, even where it does not need it
        used.update(noted(node, "derived_from", ()), toposort(noted(node, "given_with", ())))
    for i, (item, leaf) in enumerate(zip(ins, leaves, strict=True)):
        if leaf not in used and item.update is None:
            text = (
                f"input {i}, {named(item.variable)}, is not used: no output or update depends on it; leave it out, or "
                f"pass on_unused_input='warn' or 'ignore'{namesake(leaf, [n for n in toposort(roots) if n.is_leaf])}"
            )
            if how == "raise":
                raise UnusedInputError(text)
            warnings.warn(text, stacklevel=4)
