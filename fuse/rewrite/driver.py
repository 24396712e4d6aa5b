"""The one driver: rewrites a graph bottom-up until no rule fires, without recursion, and notes what fired."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fuse.errors import FuseError
from fuse.expr import PLACE, Constant, Expr, make, rebuild, toposort
from fuse.op import OPS
from fuse.rewrite.match import Matcher, build, cast, kind_of
from fuse.rewrite.pattern import DISCRETE_KINDS, Call, Literal, Pattern, Procedure, Rule, Wild, uniform, walk
from fuse.rewrite.sizes import same_size

ALL_KINDS = frozenset("biufc")
ShapeOf = Callable[[Expr], tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Fired:
    """One firing of a rule, for ``explain``; prints itself only when asked.

    >>> import fuse.tensor as T
    >>> from fuse.rules import simplify
    >>> x = T.scalar("x")
    >>> trace = []
    >>> simplified = simplify(T.log(1 + x), trace=trace)
    >>> trace[0].rule.name
    '1: log(1 + x)'
    """

    rule: Rule | Procedure
    before: Expr
    after: Expr

    @property
    def name(self) -> str:
        return self.rule.name

    def __str__(self) -> str:
        return f"{self.name}\n    {self.before}\n    -> {self.after}"


# ---------------------------------------------------------------- rule sets
class _Compiled:
    """A rule ready to apply: what of it is allowed, and what its children must be."""

    __slots__ = ("drops", "on", "rule")
    local = True

    def __init__(self, rule: Rule, on: frozenset[str]) -> None:
        self.rule, self.on = rule, on
        left = {p.name for p in walk(rule.left) if isinstance(p, Wild)}
        right = {p.name for p in walk(rule.right) if isinstance(p, Wild)} if isinstance(rule.right, Pattern) else set()
        literals = any(isinstance(p, Literal) for p in walk(rule.left))
        self.drops = left != right or literals  # the result may then lack a dimension or a size

    def apply(self, node: Expr, context: Context) -> Expr | None:
        rule = self.rule
        for found in Matcher(self.on, context.frozen).solutions(rule.left, node):
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
                self._add(rule, on)

    def _add(self, rule: Rule | Procedure, on: frozenset[str]) -> None:
        number = len(self.rules)
        if isinstance(rule, Procedure):
            applied: Any = _Applied(rule, on)
            places = [(op, child) for op in rule.ops for child in rule.below or (None,)]
        else:
            applied = _Compiled(rule, on)
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


# ---------------------------------------------------------------- context
_CHAINS = {"add": "sum", "sub": "sum", "mul": "product", "true_div": "product"}


class Context:
    """What rules may ask about: shapes, frozen nodes, and which nodes only continue a chain of their one reader."""

    def __init__(self, shape_of: ShapeOf, frozen: Collection[Expr] = (), trace: list[Fired] | None = None) -> None:
        self.shape_of, self.frozen, self.trace = shape_of, frozenset(frozen), trace
        self.inner: set[Expr] = set()
        self.uses: dict[Expr, int] = {}
        self.opened: dict[str, tuple[Expr, Any]] = {}  # the last sum and product that procedures took apart

    def read(self, outputs: Sequence[Expr]) -> list[Expr]:
        """Every node in order; count readers, and find the add/mul nodes whose one reader is of the same family."""
        order = toposort(outputs)
        uses: dict[Expr, int] = dict.fromkeys(outputs, 1)
        reader: dict[Expr, Expr] = {}
        for node in order:
            for arg in node.args[1:] if node.op.name == "fill" else node.args:  # models lend their shape alone
                uses[arg] = uses.get(arg, 0) + 1
                reader[arg] = node
        for node, parent in reader.items():
            if uses[node] > 1:
                continue
            family = _CHAINS.get(node.op.name)
            if (
                family is not None
                and _CHAINS.get(parent.op.name) == family
                and node.type.dtype == parent.type.dtype
            ):
                self.inner.add(node)
        self.uses = uses
        return order

    def same_shape(self, a: Expr, b: Expr) -> bool:
        """Whether ``a`` and ``b`` surely have the same shape at run time."""
        if a is b:
            return True
        sa, sb = a.type.shape, b.type.shape
        if len(sa) != len(sb):
            return False
        if None not in sa and None not in sb:
            return sa == sb
        if sa != sb:
            for m, n in zip(sa, sb, strict=True):
                if m is not None and n is not None and m != n:
                    return False
        sizes, others = self.shape_of(a), self.shape_of(b)
        if sizes is others:
            return True
        return all(m is n or same_size(m, n) for m, n in zip(sizes, others, strict=True))

    def conform(self, new: Expr, old: Expr, check: bool) -> Expr | None:
        """``new`` in the dtype and shape of ``old``, or None where that cannot be."""
        if new.type.dtype != old.type.dtype:
            new = cast(new, old.type.dtype)
        if (
            not check
            and new.type.ndim == old.type.ndim
            or new.type.shape == old.type.shape
            and None not in new.type.shape
        ):
            return new
        if new.type.ndim > old.type.ndim:
            return None
        if self.same_shape(new, old):
            return new
        for model in old.args if old.op.kind == "elementwise" else ():
            if model is not new and self.same_shape(model, old):
                return make(OPS["fill"], (shape_model(model, self), new))
        sizes = tuple([n if isinstance(n, Expr) else _size(n) for n in self.shape_of(old)])
        return make(OPS["broadcast_to"], (new, *sizes))


def shape_model(model: Expr, context: Context) -> Expr:
    """A leaf-ward operand of the same shape as ``model``, so that its value need not be computed."""
    for _ in range(8):
        if model.op.kind != "elementwise":
            break
        smaller = next((a for a in model.args if context.same_shape(a, model)), None)
        if smaller is None:
            break
        model = smaller
    return model


def _size(n: int) -> Expr:
    from fuse.expr import constant

    return constant(n, dtype="int64")


# ---------------------------------------------------------------- the driver
_ENTER, _LEAVE, _RESULT = range(3)


def rewrite(
    outputs: Sequence[Expr], rules: RuleSet, context: Context, settled: dict[Expr, Any] | None = None
) -> list[Expr]:
    """``outputs`` with ``rules`` applied to every node, arguments first, until none fires.

    ``settled`` has the nodes (with their keys) on which no rule of the set fired that ``rules`` come ``after``; it is
    replaced by those on which none of ``rules`` does. The collector of cyclic garbage rests meanwhile: nodes make no
    cycles, and it would walk all of them often.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _rewrite(outputs, rules, context, {} if settled is None else settled)
    finally:
        PLACE.origin = None
        if collecting:
            gc.enable()


def _rewrite(outputs: Sequence[Expr], rules: RuleSet, context: Context, settled: dict[Expr, Any]) -> list[Expr]:
    """The walk of ``rewrite``.

    One visit per node: what a rule puts in place is visited in turn, its already finished parts are not. A rule may not
    lead back to a node whose replacement is still being worked out, so cycles of rules end; growth ends at a bound.
    """
    order = context.read(outputs)
    budget = 200 * len(order) + 20_000
    final: dict[Expr, Expr] = {}
    pending: set[Expr] = set()
    idle: dict[Expr, Any] = {}  # where nothing fired
    inner, frozen, uses = context.inner, context.frozen, context.uses
    if frozen:
        final.update(zip(frozen, frozen, strict=True))
        order = toposort(outputs, known=frozen)
    for start in order:
        if start in final:
            continue
        key = settled.get(start)
        if not start.args or key is not None and not rules.of_key_again(key) and all(final[a] is a for a in start.args):
            final[start] = start
            if key is not None:
                idle[start] = key
            continue
        stack: list[tuple[int, Expr, Any]] = [(_LEAVE, start, None)]
        while stack:
            state, node, extra = stack.pop()
            if state == _ENTER:
                if node in final:
                    continue
                if not node.args:
                    final[node] = node
                    continue
                waiting = [a for a in node.args if a not in final]
                if waiting:
                    stack.append((_LEAVE, node, extra))
                    stack.extend([(_ENTER, a, extra) for a in reversed(waiting)])
                    continue
            if state == _RESULT:
                before, after = extra
                result = final[after] = final.get(after, after)
                final[node] = final[before] = result
                uses[result] = max(uses.get(result, 1), uses.get(node, 1))
                pending.discard(before)
                if node in inner:
                    inner.add(result)
                continue
            if node in final:
                continue
            if extra is not None:  # put in place by a rule: errors name the line of what it replaced
                node.origin = extra
            PLACE.origin = node.origin
            now = _with(node, final)
            if now is not node:
                uses[now] = max(uses.get(now, 1), uses.get(node, 1))
                if node in inner:
                    inner.add(now)
                if now in final:
                    final[node] = final[now]
                    continue
            new = None
            if now not in pending and budget > 0 and now.args:
                key = settled.get(now)
                if key is None:
                    key = rules.key(now)
                    candidates = rules.of_key(key)
                else:
                    candidates = rules.of_key_again(key)
                new = _fire(now, candidates, context, pending) if candidates else None
                if new is None:
                    idle[now] = key
                elif new is now:
                    new = None
            if new is None:
                final[now] = final[node] = now
                continue
            budget -= 1
            pending.add(now)
            if now in inner:
                inner.add(new)
            stack.append((_RESULT, node, (now, new)))
            stack.append((_ENTER, new, now.origin))
    settled.clear()
    settled.update(idle)
    return [final[o] for o in outputs]


def _with(node: Expr, final: Mapping[Expr, Expr]) -> Expr:
    """``node`` on the finished arguments."""
    for arg in node.args:
        if final[arg] is not arg:
            return rebuild(node, [final[a] for a in node.args])
    return node


def _forgets(old: Expr, new: Expr) -> bool:
    """Whether ``new`` no longer tells a size that ``old`` has: what stands on that could not be built again."""
    sizes = [getattr(x.type, "shape", ()) for x in (old, new)]
    return any(m is not None and n is None for m, n in zip(*sizes, strict=False))


def _fire(node: Expr, rules: Iterable[Any], context: Context, pending: Collection[Expr]) -> Expr | None:
    """What the first of ``rules`` that fits puts in place of ``node``; ``node`` where that is being worked out."""
    refused: Expr | None = None
    context.opened.clear()
    for rule in rules:
        try:
            new = rule.apply(node, context)
        except FuseError:  # a replacement that cannot be typed is no replacement
            continue
        if new is None or new is node or new.type is not node.type and _forgets(node, new):
            continue
        if new in pending:
            refused = node
            continue
        if context.trace is not None:
            context.trace.append(Fired(rule.rule, node, new))
        return new
    return refused
