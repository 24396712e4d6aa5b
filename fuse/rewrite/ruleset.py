"""Sets of rules, indexed by the op of the root and by what a child must be, so that few are tried on a node."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from typing import Any

from fuse.expr import Constant, Expr
from fuse.rewrite.context import Context
from fuse.rewrite.match import Matcher, build, kind_of
from fuse.rewrite.pattern import DISCRETE_KINDS, Call, Literal, Pattern, Procedure, Rule, Wild, uniform, walk

ALL_KINDS = frozenset("biufc")


class _Compiled:
    """A rule ready to apply: what of it is allowed, and what its children must be."""

    __slots__ = ("drops", "exact", "on", "rule")
    local = True

    def __init__(self, rule: Rule, on: frozenset[str], exact: bool) -> None:
        self.rule, self.on, self.exact = rule, on, exact
        left = {p.name for p in walk(rule.left) if isinstance(p, Wild)}
        right = {p.name for p in walk(rule.right) if isinstance(p, Wild)} if isinstance(rule.right, Pattern) else set()
        literals = any(isinstance(p, Literal) for p in walk(rule.left))
        self.drops = left != right or literals  # the result may then lack a dimension or a size

    def apply(self, node: Expr, context: Context) -> Expr | None:
        rule = self.rule
        for found in Matcher(self.on, context.frozen, self.exact).solutions(rule.left, node):
            if rule.when is not None and not rule.when(**found):
                continue
            if isinstance(rule.right, Pattern):
                new: Expr | None = build(rule.right, found, node.type.dtype)
            else:
                new = rule.right(**found)
            if new is not None:
                new = context.conform(new, node, self.drops)
            if new is not None and new is not node:
                return new
        return None


class _Applied:
    """A procedure ready to apply."""

    __slots__ = ("local", "on", "rule")

    def __init__(self, rule: Procedure, on: frozenset[str]) -> None:
        self.rule, self.local = rule, rule.local
        self.on = ALL_KINDS if on == ALL_KINDS else on

    def apply(self, node: Expr, context: Context) -> Expr | None:
        if self.on is not ALL_KINDS:
            kind = getattr(node.type, "dtype", None) and kind_of(node)
            if kind is not None and kind not in self.on:
                return None
        new = self.rule.function(node, context)
        if new is None or new is node:
            return None
        return context.conform(new, node, not self.rule.same_shape)


_THROUGH = {"cast": 0, "dimshuffle": 0}
_FILLED = {"fill": 1, "broadcast_to": 0}
_SAME = "same"  # in place of a child: both arguments are one expression
_NUMBERS = (0, 1, -1, 2, 0.5, -0.5, -2)


def _visible(expr: Expr) -> tuple[str, ...]:
    """The names by which a pattern knows ``expr``: the ops behind casts and dimshuffles, a constant and its value."""
    name = expr.op.name
    names: tuple[str, ...] = ()
    while name in _THROUGH:
        names += (name,)
        expr = expr.args[0]
        name = expr.op.name
    if name in _FILLED:
        names += (name,)
        if not isinstance(expr.args[_FILLED[name]], Constant):
            return names
        name = "constant"
    if name == "constant":
        value = uniform(expr)
        return (*names, name, _number(value)) if value in _NUMBERS else (*names, name)
    return (*names, name)


def _number(value: Any) -> str:
    return "=0.0" if value == 0 else f"={float(value.real)}"  # _NUMBERS are real


def _needed_child(left: Call) -> str | None:
    """The child without which ``left`` cannot match, the most telling one; None where any may do."""
    calls = [a.op for a in left.args if isinstance(a, Call) and a.spelled]
    if calls:
        rare = [c for c in calls if c not in ("add", "sub", "mul", "true_div", "neg")]
        return (rare or calls)[0]
    for arg in left.args:
        if isinstance(arg, Literal):
            return _number(arg.value) if arg.value in _NUMBERS else "constant"
    if any(isinstance(a, Wild) and a.constant for a in left.args):
        return "constant"
    names = [a.name for a in left.args if isinstance(a, Wild)]
    return _SAME if len(names) == len(left.args) == 2 and names[0] == names[1] else None


class RuleSet:
    """Rules indexed by the op of the root and, below it, by what one child must be."""

    def __init__(self, rules: Iterable[Rule | Procedure], allowed: Collection[str]) -> None:
        self.rules: list[_Compiled | _Applied] = []
        self._by_child: dict[tuple[str, str | None], list[tuple[int, Any]]] = {}
        self._cache: dict[Any, tuple[Any, ...]] = {}
        self._again: dict[Any, tuple[Any, ...]] = {}
        self._before: frozenset[Any] = frozenset()
        for rule in rules:
            # on integers a rule of ints loses nothing; in floats all it loses must be allowed
            on = rule.on if rule.loses <= set(allowed) else rule.on & DISCRETE_KINDS
            if on:
                self._add(rule, on, "rounding" not in allowed)

    def _add(self, rule: Rule | Procedure, on: frozenset[str], exact: bool) -> None:
        number = len(self.rules)
        if isinstance(rule, Procedure):
            applied: Any = _Applied(rule, on)
            places = [(op, child) for op in rule.ops for child in rule.below or (None,)]
        else:
            applied = _Compiled(rule, on, exact)
            places = [(rule.left.op, _needed_child(rule.left))]
        self.rules.append(applied)
        for place in places:
            self._by_child.setdefault(place, []).append((number, applied))

    def after(self, earlier: RuleSet) -> RuleSet:
        """The same rules, where ``earlier`` was applied just before: see ``of_key_again``."""
        again = copy.copy(self)
        again._again = {}
        again._before = frozenset([r.rule for r in earlier.rules if r.local])
        return again

    def key(self, node: Expr) -> Any:
        """What decides on the rules that may fit ``node``."""
        return self.key_of(node.op.name, node.args)

    def key_of(self, name: str, args: tuple[Expr, ...]) -> Any:
        """The key of a node of the op ``name`` on ``args``."""
        if len(args) == 2:
            a, b = args
            return (name, _visible(a), _SAME) if a is b else (name, _visible(a), _visible(b))
        return (name, *[_visible(a) for a in args[:8]])

    def candidates(self, node: Expr) -> tuple[Any, ...]:
        """The rules that may fit ``node``, in the order of the table."""
        return self.of_key(self.key(node))

    def of_key(self, key: Any) -> tuple[Any, ...]:
        """The rules that may fit nodes of this ``key``, in the order of the table."""
        found = self._cache.get(key)
        if found is None:
            children: set[str | None] = {None, _SAME} if key[-1] == _SAME else {None}
            for names in key[1:]:
                children.update(names if names != _SAME else ())
            entries = {e for op in (key[0], "*") for c in children for e in self._by_child.get((op, c), ())}
            found = self._cache[key] = tuple([e[1] for e in sorted(entries, key=lambda e: e[0])])
        return found

    def of_key_again(self, key: Any) -> tuple[Any, ...]:
        """Those of them that may fit although none of the earlier set did: new ones, and what asks for readers."""
        found = self._again.get(key)
        if found is None:
            found = self._again[key] = tuple([r for r in self.of_key(key) if r.rule not in self._before])
        return found
