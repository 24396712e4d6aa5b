"""What ``scan`` is given and what its function returns, read into one form each."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.expr import SHARED, Constant, Expr, as_expr, constant, leaves, rebuild, substitute, toposort, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.graph import equal_computations as equal_computations
from fuse.frontend.sizes import static_int
from fuse.types import DISCRETE, TensorType, only_arrays


class until:
    """The condition that ends a ``scan``: returned by its function, last; the step it becomes true in is the last one.

    A number is true where it is not 0.

    >>> import fuse, fuse.tensor as T
    >>> limit = T.dscalar("limit")
    >>> powers, _ = fuse.scan(lambda p: (p * 2, until(p * 2 > limit)), outputs_info=T.constant(1.0, dtype="float64"),
    ...                      n_steps=1000)
    >>> powers.eval({limit: 20.0})
    array([ 2.,  4.,  8., 16., 32.])
    """

    def __init__(self, condition: Any) -> None:
        found = as_expr(condition)
        if not isinstance(found.type, TensorType) or found.type.ndim:
            raise FuseTypeError(f"until takes a condition, one truth value, not a {found.type.describe()}")
        self.condition = found if found.type.dtype in DISCRETE else ew.neq(found, 0)


# ---------------------------------------------------------------- sequences
@dataclass(frozen=True)
class Tapped:
    """A sequence with the places, counted from the step, at which it is read."""

    input: Expr
    taps: tuple[int, ...]

    def slices(self) -> list[Expr]:
        """For each tap the sequence whose element of step 0 is the one to read then (as Theano cuts them)."""
        low, high = min(*self.taps, 0, 0), max(*self.taps, 0, 0)
        found = []
        for k in self.taps:
            start, end = k - low, k - high
            x = self.input
            found.append(x if not start and not end else x[start:end] if end else x[start:])
        return found

    def names(self) -> list[str | None]:
        name = self.input.name
        return [None if not name else f"{name}[t{k:+d}]" if k else f"{name}[t]" for k in self.taps]


def read_sequences(sequences: Any) -> list[Tapped]:
    """Every form of ``sequences`` as a list."""
    if sequences is None:
        return []
    listed = list(sequences) if isinstance(sequences, (list, tuple)) else [sequences]
    found = []
    for k, item in enumerate(listed):
        taps: Any = [0]
        if isinstance(item, Mapping):
            _only(item, ("input", "taps"), f"sequence {k}")
            if "input" not in item:
                raise FuseValueError(f"sequence {k} of scan is a dict without 'input'")
            taps = item.get("taps", [0])
            item = item["input"]
            taps = [0] if taps is None else taps
        x = as_expr(item)
        if not x.type.ndim:
            raise FuseTypeError(f"sequence {k} of scan has no axis to walk along: it is a {x.type.describe()}")
        found.append(Tapped(x, _taps(taps, f"sequence {k}")))
    return found


def _taps(taps: Any, what: str) -> tuple[int, ...]:
    listed = list(taps) if isinstance(taps, (list, tuple, range)) else [taps]
    numbers = [static_int(k) for k in listed]
    if not numbers or None in numbers:
        raise FuseValueError(f"the taps of {what} of scan are integers, at least one, not {taps!r}")
    return tuple([int(k) for k in numbers if k is not None])


def _only(item: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    unknown = [k for k in item if k not in names]
    if unknown:
        raise FuseValueError(f"{what} of scan is a dict of {' and '.join(names)}, it has no {unknown[0]!r}")


# ---------------------------------------------------------------- outputs that are read again
@dataclass(frozen=True)
class Info:
    """How one output is read again: its value before the first step, and how many steps back."""

    initial: Expr | None
    taps: tuple[int, ...]


def read_outputs_info(infos: Any) -> list[Info | None] | None:
    """Every form of ``outputs_info`` as a list; None where all outputs are new in each step."""
    if infos is None:
        return None
    listed = list(infos) if isinstance(infos, (list, tuple)) else [infos]
    if not listed:
        return None
    found: list[Info | None] = []
    for k, item in enumerate(listed):
        if item is None:
            found.append(None)
            continue
        taps: Any = None
        if isinstance(item, Mapping):
            _only(item, ("initial", "taps", "inplace", "return_steps"), f"output {k}")
            taps = item.get("taps")
            if item.get("initial") is None:
                if taps is not None:
                    raise FuseValueError(f"output {k} of scan has taps and no initial value")
                found.append(None)
                continue
            item = item["initial"]
        places = _taps([-1] if taps is None else taps, f"output {k}")
        if any(t >= 0 for t in places) or len(set(places)) < len(places):
            raise FuseValueError(
                f"the taps of output {k} of scan are {list(places)}: they count back from the step (-1 is the value of "
                f"the step before), each once"
            )
        x = as_expr(item)
        if min(places) < -1 and not x.type.ndim:
            raise ShapeError(
                f"output {k} of scan reads {-min(places)} steps back, so its initial value has that many rows; it is a "
                f"{x.type.describe()}"
            )
        found.append(Info(x, places))
    return found


class State:
    """One output that is read again: the leaves of its past values (last step first), and where they start."""

    def __init__(self, info: Info) -> None:
        assert info.initial is not None
        self.initial, self.taps = info.initial, info.taps
        self.depth = -min(info.taps)
        self.recast = False
        if not only_arrays(self.initial.type):  # an object such as a generator: its last value is the result
            self.leaves = [variable(self.initial.type, self.initial.name)]
            return
        shape = self.initial.type.shape
        type_ = TensorType(self.initial.type.dtype, shape if self.depth == 1 else shape[1:])
        name = self.initial.name
        self.leaves = [variable(type_, f"{name}[t-{k}]" if name else None) for k in range(1, self.depth + 1)]

    @property
    def type(self) -> TensorType:
        return self.leaves[0].type

    def arguments(self) -> list[Expr]:
        """What the step function is given: a leaf per tap, in the order of the taps."""
        return [self.leaves[-k - 1] for k in self.taps]

    def fit(self, value: Expr, k: int) -> dict[Expr, Expr]:
        """New leaves (and which they replace) where ``value``, made from the present ones, is of another type.

        Sizes that the initial value happens to have may change; a number that was written takes the dtype that it is
        needed in; any other change is the error that Theano tells.
        """
        have, new = self.type, value.type
        if not only_arrays(have) and have == new:
            return {}
        name = self.initial.name or self.initial
        if new.ndim != have.ndim:
            raise FuseTypeError(
                f"output {k} of scan starts as a {have.describe()} and is a {new.describe()} after a step: a value "
                f"that is carried on keeps its number of dimensions"
            )
        if new.dtype != have.dtype:
            cast = _as_dtype(self.initial, new.dtype) if not self.recast else None
            if cast is None:
                raise FuseTypeError(
                    f"The initial state (`outputs_info` in scan nomenclature) of variable {name} (output {k}) has "
                    f"dtype {have.dtype}, while the result of the inner function (`fn`) has dtype {new.dtype}. This "
                    f"can happen if the inner function of scan results in an upcast or downcast: cast the one or the "
                    f"other"
                )
            self.initial, self.recast = cast, True
        shape = tuple([m if m == n else None for m, n in zip(have.shape, new.shape, strict=True)])
        type_ = TensorType(new.dtype, shape)
        if type_ == have:
            return {}
        old = self.leaves
        self.leaves = [variable(type_, x.name) for x in old]
        return dict(zip(old, self.leaves, strict=True))

    def initials(self) -> list[Expr]:
        """The value that each leaf starts with."""
        if self.depth == 1:
            return [self.initial]
        return [self.initial[self.depth - k] for k in range(1, self.depth + 1)]

    def shifted(self, value: Expr) -> list[Expr]:
        """What each leaf is after a step that made ``value``."""
        return [value, *self.leaves[:-1]]


def _as_dtype(x: Expr, dtype: str) -> Constant | None:
    """A written number in another dtype, where that loses nothing."""
    if not isinstance(x, Constant):
        return None
    try:
        cast = TensorType(dtype, x.type.shape).filter(x.data)
    except FuseError:
        return None
    return constant(cast) if (cast == x.data).all() else None


def settled(states: Sequence[State | None], roots: Sequence[Expr]) -> list[Expr]:
    """``roots``, of which the first are the outputs, computed from states that have the types of these."""
    roots = list(roots)
    while True:
        changed: dict[Expr, Expr] = {}
        for k, (state, value) in enumerate(zip(states, roots, strict=False)):
            if state is not None:
                changed.update(state.fit(value, k))
        if not changed:
            return roots
        roots = substitute(roots, changed)


# ---------------------------------------------------------------- what the step function returns
@dataclass
class Returned:
    """Outputs, updates and the condition that ends the loop."""

    outputs: list[Expr] = field(default_factory=list)
    updates: dict[Any, Expr] = field(default_factory=dict)
    until: Expr | None = None

    def with_defaults(self, roots: Sequence[Expr]) -> dict[Any, Expr]:
        """The updates, and the default updates of shared variables (random streams) that the step reads."""
        found = dict(self.updates)
        pending = list(leaves([*roots, *found.values()]))
        seen = set(pending)
        while pending:
            x: Any = pending.pop()
            if x.op is SHARED and x not in found and x.default_update is not None:
                found[x] = x.default_update
                new = [n for n in leaves([x.default_update]) if n not in seen]
                seen.update(new)
                pending.extend(new)
        return found


def read_returned(value: Any) -> Returned:
    """Outputs, updates and condition, in any order and form that Theano takes."""
    found = Returned()
    if value is None:
        return found
    if _is_part(value):
        _take(found, value)
    elif isinstance(value, (list, tuple)) and 2 <= len(value) <= 3 and any(_is_part(v) for v in value[1:]):
        for item in value:
            if _is_part(item):
                _take(found, item)
            else:
                found.outputs += _outputs(item)
    elif isinstance(value, (list, tuple)) and len(value) == 2 and _is_part(value[0]):
        _take(found, value[0])
        found.outputs += _outputs(value[1])
    elif isinstance(value, (list, tuple)) and value and isinstance(value[-1], until):
        _take(found, value[-1])
        found.outputs += _outputs(list(value[:-1]))
    else:
        found.outputs += _outputs(value)
    return found


def _is_part(value: Any) -> bool:
    """Whether ``value`` is no output: updates (a dict, or a list of pairs whose first is shared), or a condition."""
    if isinstance(value, (until, Mapping)):
        return True
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(
        isinstance(v, (list, tuple)) and len(v) == 2 and getattr(getattr(v[0], "op", None), "name", "") == "shared"
        for v in value
    )


def _take(found: Returned, item: Any) -> None:
    if isinstance(item, until):
        found.until = ew.neq(item.condition, 0) if item.condition.type.dtype != "bool" else item.condition
        return
    for target, new in item.items() if isinstance(item, Mapping) else item:
        if getattr(getattr(target, "op", None), "name", "") != "shared":
            raise FuseTypeError(f"the keys of a dict that fn returns are shared variables, not {target!r:.60}")
        found.updates[target] = as_expr(new)


def _outputs(value: Any) -> list[Expr]:
    listed = list(value) if isinstance(value, (list, tuple)) else [value]
    if any(v is None for v in listed):
        raise FuseTypeError("fn of scan returned None among its outputs")
    return [as_expr(v) for v in listed]


def map_variables(
    replacer: Callable[[Expr], Expr], graphs: Iterable[Expr], additional_inputs: Sequence[Expr] = ()
) -> list[Expr]:
    """``graphs`` with each expression replaced by what ``replacer`` returns for it; loops are not opened.

    What it returns stands in the result as it is; an expression that it returns itself gets its operands replaced.

    >>> import fuse.tensor as T
    >>> a, b, c = T.dscalars("a", "b", "c")
    >>> map_variables(lambda x: c if x is b else x, [a + b])[0] is a + c
    True
    """
    roots = list(graphs)
    new: dict[Expr, Expr] = {}
    for node in toposort(roots):
        found = replacer(node)
        new[node] = rebuild(node, [new[x] for x in node.args]) if found is node and node.args else found
    return [new[g] for g in roots]
