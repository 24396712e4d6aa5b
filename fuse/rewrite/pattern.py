"""Patterns and rules as data: expressions over wildcards, and what a rewrite does not keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Union

from fuse.expr import Constant, Expr
from fuse.frozen import dataclass
from fuse.notes import notes

if TYPE_CHECKING:
    from fuse.rewrite.context import Context

# What a rewrite may change. A mode is the set of changes that it allows.
CHANGES: Mapping[str, str] = {
    "rounding": "the last digits, or digits that the left side had lost to cancellation",
    "signed-zero": "the sign of a zero",
    "overflow": "an infinity, zero or nan that only came from an intermediate step becomes the number itself",
    "special": "the value at isolated points (0/0, inf - inf, 0*inf, empty sums * inf, -inf to a power), as in Theano",
    "domain": "a nan outside the real domain of the left side becomes a number",
}
MODES: Mapping[str, frozenset[str]] = {
    "strict": frozenset(),
    "default": frozenset({"rounding", "signed-zero", "overflow", "special"}),
    "fast": frozenset(CHANGES),
}

DISCRETE_KINDS = frozenset("biu")


class Pattern:
    """The shape of an expression, written with the usual operators.

    >>> x, = wildcards("x")
    >>> log, = heads("log")
    >>> log(1 + x)
    log(1 + x)
    """

    def __add__(self, other: Operand) -> Call:
        return call("add", self, other)

    def __radd__(self, other: Operand) -> Call:
        return call("add", other, self)

    def __sub__(self, other: Operand) -> Call:
        return call("sub", self, other)

    def __rsub__(self, other: Operand) -> Call:
        return call("sub", other, self)

    def __mul__(self, other: Operand) -> Call:
        return call("mul", self, other)

    def __rmul__(self, other: Operand) -> Call:
        return call("mul", other, self)

    def __truediv__(self, other: Operand) -> Call:
        return call("true_div", self, other)

    def __rtruediv__(self, other: Operand) -> Call:
        return call("true_div", other, self)

    def __pow__(self, other: Operand) -> Call:
        return call("pow", self, other)

    def __rpow__(self, other: Operand) -> Call:
        return call("pow", other, self)

    def __neg__(self) -> Call:
        return call("neg", self)

    def __ge__(self, other: Operand) -> Call:
        return call("ge", self, other)

    def __le__(self, other: Operand) -> Call:
        return call("le", self, other)

    def __gt__(self, other: Operand) -> Call:
        return call("gt", self, other)

    def __lt__(self, other: Operand) -> Call:
        return call("lt", self, other)


Operand = Union["Pattern", bool, int, float]


class Wild(Pattern):
    """Stands for any expression that passes ``test``; the same name stands for the same expression."""

    def __init__(self, name: str, test: Callable[[Expr], bool] | None = None) -> None:
        self.name, self.test = name, test
        self.constant = getattr(test, "only_constants", False)

    def __repr__(self) -> str:
        return self.name


class Literal(Pattern):
    """A number: a constant of any dtype and rank whose elements all have this value (zeros by their sign)."""

    def __init__(self, value: bool | int | float) -> None:
        self.value = value
        self.negative_zero = value == 0 and math.copysign(1.0, value) < 0
        self.constants: dict[str, Expr] = {}  # by dtype, as they were needed

    def __repr__(self) -> str:
        return repr(self.value)

    def accepts(self, value: Any) -> bool:
        if value == 0 == self.value:
            return (isinstance(value, float) and math.copysign(1.0, value) < 0) == self.negative_zero
        return bool(value == self.value or (self.value != self.value and value != value))


class Param:
    """Stands for the value of a parameter."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "true_div": "/",
    "pow": "**",
    "ge": ">=",
    "le": "<=",
    "gt": ">",
    "lt": "<",
}


class Call(Pattern):
    """An op on patterns; parameters that are not mentioned may have any value."""

    def __init__(self, op: str, args: tuple[Pattern, ...], params: Mapping[str, Any], spelled: bool = True) -> None:
        self.op, self.args, self.params = op, args, params
        self.spelled = spelled  # False: matches what is the negative of something without a negation written
        self.in_order = bool(params)  # else the operands of a commutative op may stand in either order
        self.order = sorted(range(len(args)), key=lambda i: _SELECTIVE[type(args[i])])  # what fails soonest comes first

    def __repr__(self) -> str:
        shown = [
            f"({a})" if isinstance(a, Call) and a.op in _INFIX and self.op in _INFIX else str(a) for a in self.args
        ]
        if self.op in _INFIX:
            return f" {_INFIX[self.op]} ".join(shown)
        if self.op == "neg":
            return f"-({shown[0]})" if isinstance(self.args[0], Call) else f"-{shown[0]}"
        return f"{self.op}({', '.join([*shown, *[f'{k}={v}' for k, v in self.params.items()]])})"


_SELECTIVE = {Literal: 0, Call: 1, Wild: 2}


def call(op: str, *args: Operand, **params: Any) -> Call:
    """The pattern of ``op`` on ``args``; numbers become literals."""
    return Call(op, tuple([a if isinstance(a, Pattern) else Literal(a) for a in args]), params)


def head(op: str) -> Callable[..., Call]:
    """A function that makes patterns of the op of this name."""

    def builder(*args: Operand, **params: Any) -> Call:
        return call(op, *args, **params)

    return builder


def ordered(pattern: Call) -> Call:
    """``pattern`` with its operands in this order only."""
    again = Call(pattern.op, pattern.args, pattern.params, pattern.spelled)
    again.in_order = True
    return again


def minus(x: Pattern) -> Call:
    """``-x`` in every spelling: of a negation, a difference (b - a for a - b), a product with a negative number."""
    return Call("neg", (x,), {}, spelled=False)


def heads(names: str) -> list[Callable[..., Call]]:
    """One pattern-making function per name, for tables: ``exp, log = heads("exp log")``."""
    return [head(name) for name in names.split()]


def wildcards(names: str, test: Callable[[Expr], bool] | None = None) -> list[Wild]:
    """One wildcard per name, each with the constraint ``test``."""
    return [Wild(name, test) for name in names.split()]


def walk(pattern: Pattern) -> Iterator[Pattern]:
    """``pattern`` and all its parts (patterns are a few levels deep)."""
    yield pattern
    if isinstance(pattern, Call):
        for arg in pattern.args:
            yield from walk(arg)


def _losses(text: str) -> frozenset[str]:
    losses = frozenset(text.split())
    if not losses <= CHANGES.keys():
        raise ValueError(f"unknown change in {text!r}: a rule may lose {', '.join(CHANGES)}")
    return losses


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Rule:
    """``left`` may be replaced by ``right``, which loses nothing but ``loses``.

    ``on`` lists the dtype kinds (b, i, u, f, c) of the arithmetic it is valid in; on integers it is exact modulo 2**n.
    ``when(**bindings)`` is a further condition, over the expressions that the wildcards stand for. ``right`` may be a
    function of the bindings that gives an expression or None.
    """

    name: str
    left: Call
    right: Any
    loses: frozenset[str]
    when: Callable[..., bool] | None
    on: frozenset[str]

    def __init__(
        self,
        name: str,
        left: Call,
        right: Pattern | bool | int | float | Callable[..., Expr | None],
        loses: str = "",
        when: Callable[..., bool] | None = None,
        on: str = "f",
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "right", Literal(right) if isinstance(right, (bool, int, float)) else right)
        object.__setattr__(self, "loses", _losses(loses))
        object.__setattr__(self, "when", when)
        object.__setattr__(self, "on", frozenset(on))

    def __repr__(self) -> str:
        return f"{self.name}: {self.left} -> {self.right}"


@dataclass(frozen=True, eq=False, repr=False)
class Procedure:
    """A rewrite that no pattern can say: ``function(node, context)`` gives a new expression or None.

    Only nodes are tried of which a child is an op in ``below`` (where given; "constant" for numbers). ``same_shape``
    says that the new expression has the shape of the node by construction; else the driver compares. ``local`` says
    that it asks nothing about readers (``uses`` and ``inner`` of the context), so that what it refused once it always
    refuses.
    """

    name: str
    ops: tuple[str, ...]
    function: Callable[[Expr, Context], Expr | None]
    loses: frozenset[str] = field(default=frozenset())
    on: frozenset[str] = field(default=frozenset("biufc"))
    same_shape: bool = False
    below: tuple[str, ...] = ()
    local: bool = False

    def __repr__(self) -> str:
        return f"{self.name}: {' '.join(self.ops)}"


def procedure(
    name: str,
    ops: str,
    loses: str = "",
    on: str = "biufc",
    same_shape: bool = False,
    below: str = "",
    local: bool = False,
) -> Callable[[Callable[[Expr, Context], Expr | None]], Procedure]:
    """Make a Procedure of the decorated function; ``ops`` are the names of the ops it looks at ("*": all)."""

    def decorate(function: Callable[[Expr, Any], Expr | None]) -> Procedure:
        return Procedure(
            name, tuple(ops.split()), function, _losses(loses), frozenset(on), same_shape, tuple(below.split()), local
        )

    return decorate


# ---------------------------------------------------------------- constants
def uniform(expr: Expr) -> Any:
    """The one value of all elements of a constant (also filled, broadcast, cast or reshaped), or None.

    >>> from fuse.expr import constant
    >>> uniform(constant([2.0, 2.0])), uniform(constant([1, 2]))
    (2.0, None)
    """
    while expr.op.name in _SAME_VALUE:
        expr = expr.args[_SAME_VALUE[expr.op.name]]
    return _uniform_constant(expr) if isinstance(expr, Constant) else None


_SAME_VALUE = {"fill": 1, "broadcast_to": 0, "dimshuffle": 0, "reshape": 0}


def _uniform_constant(expr: Constant) -> Any:
    known = notes(expr)
    if "uniform" not in known:
        data = expr.data
        value = data.flat[0].item() if data.size else None
        same = data.size == 1 or data.size > 1 and data.tobytes() == data.flat[0].tobytes() * data.size
        known["uniform"] = value if same else None
    return known["uniform"]


def of_constants(test: Callable[[Expr], bool]) -> Callable[[Expr], bool]:
    """Mark a constraint that holds for constants only: rules are indexed by it."""
    test.only_constants = True  # type: ignore[attr-defined]
    return test


@of_constants
def is_constant(expr: Expr) -> bool:
    """Whether all elements are one number known at build time."""
    return uniform(expr) is not None


def _real(expr: Expr) -> Any:
    value = uniform(expr)
    return math.nan if value is None or isinstance(value, complex) else value


@of_constants
def is_positive(expr: Expr) -> bool:
    """A constant > 0."""
    return _real(expr) > 0


@of_constants
def is_negative(expr: Expr) -> bool:
    """A constant < 0."""
    return _real(expr) < 0


@of_constants
def is_integral(expr: Expr) -> bool:
    """A constant with an integer value."""
    value = _real(expr)
    return math.isfinite(value) and value == int(value)
