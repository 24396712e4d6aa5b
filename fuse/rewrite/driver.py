"""The one driver: rewrites a graph bottom-up until no rule fires, without recursion, and notes what fired."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fuse.collector import uncollected
from fuse.errors import FuseError
from fuse.expr import PLACE, Expr, rebuild, toposort
from fuse.rewrite.context import Context, Fired
from fuse.rewrite.ruleset import RuleSet

_ENTER, _LEAVE, _RESULT = range(3)


def rewrite(
    outputs: Sequence[Expr], rules: RuleSet, context: Context, settled: dict[Expr, Any] | None = None
) -> list[Expr]:
    """``outputs`` with ``rules`` applied to every node, arguments first, until none fires.

    ``settled`` has the nodes (with their keys) on which no rule of the set fired that ``rules`` come ``after``; it is
    replaced by those on which none of ``rules`` does.
    """
    with uncollected():
        try:
            walk = _Walk(rules, context, settled or {})
            found = walk.all(outputs)
            if settled is not None:
                settled.clear()
                settled.update(walk.idle)
            return found
        finally:
            PLACE.origin = None


class _Walk:
    """The walk of ``rewrite``.

    One visit per node: what a rule puts in place is visited in turn, its already finished parts are not. A rule may not
    lead back to a node whose replacement is still being worked out, so cycles of rules end; growth ends at a bound.
    """

    def __init__(self, rules: RuleSet, context: Context, settled: Mapping[Expr, Any]) -> None:
        self.rules, self.context, self.settled = rules, context, settled
        self.final: dict[Expr, Expr] = {}
        self.pending: set[Expr] = set()
        self.idle: dict[Expr, Any] = {}  # where nothing fired
        self.budget = 0

    def all(self, outputs: Sequence[Expr]) -> list[Expr]:
        """``outputs`` after all visits."""
        order, frozen, final = self.context.read(outputs), self.context.frozen, self.final
        self.budget = 200 * len(order) + 20_000
        if frozen:
            final.update(zip(frozen, frozen, strict=True))
            order = toposort(outputs, known=frozen)
        for node in order:
            if node not in final and not self.stays(node):
                self.visit(node)
        return [final[o] for o in outputs]

    def stays(self, node: Expr) -> bool:
        """Whether a node is finished as it is: a leaf, or settled before on arguments that are the same."""
        key = self.settled.get(node)
        final = self.final
        if not node.args or key is not None and not self.rules.of_key_again(key) and all(
            final[a] is a for a in node.args
        ):
            final[node] = node
            if key is not None:
                self.idle[node] = key
            return True
        return False

    def visit(self, start: Expr) -> None:
        """Finish a node whose arguments are finished, and all that rules put in its place."""
        final = self.final
        stack: list[tuple[int, Expr, Any]] = [(_LEAVE, start, None)]
        while stack:
            state, node, extra = stack.pop()
            if state == _RESULT:
                self.replaced(node, *extra)
                continue
            if node in final:
                continue
            if state == _ENTER:
                if not node.args:
                    final[node] = node
                    continue
                waiting = [a for a in node.args if a not in final]
                if waiting:
                    stack.append((_LEAVE, node, extra))
                    stack.extend([(_ENTER, a, extra) for a in reversed(waiting)])
                    continue
            if extra is not None:  # put in place by a rule: errors name the line of what it replaced
                node.origin = extra
            PLACE.origin = node.origin
            now = _with(node, final)
            if now is not node:
                self.stands_for(now, node)
                if now in final:
                    final[node] = final[now]
                    continue
            new = self.fired(now)
            if new is None:
                final[now] = final[node] = now
                continue
            self.budget -= 1
            self.pending.add(now)
            if now in self.context.inner:
                self.context.inner.add(new)
            stack.append((_RESULT, node, (now, new)))
            stack.append((_ENTER, new, now.origin))

    def replaced(self, node: Expr, before: Expr, after: Expr) -> None:
        """Note that ``before``, which ``node`` is on finished arguments, has become ``after``."""
        result = self.final[after] = self.final.get(after, after)
        self.final[node] = self.final[before] = result
        self.stands_for(result, node)
        self.pending.discard(before)

    def stands_for(self, new: Expr, old: Expr) -> None:
        """Note that ``new`` has the readers of ``old``."""
        uses, inner = self.context.uses, self.context.inner
        uses[new] = max(uses.get(new, 1), uses.get(old, 1))
        if old in inner:
            inner.add(new)

    def fired(self, node: Expr) -> Expr | None:
        """What the first rule that fires makes of a node; None where none does."""
        if node in self.pending or self.budget <= 0 or not node.args:
            return None
        key = self.settled.get(node)
        if key is None:
            key = self.rules.key(node)
            candidates = self.rules.of_key(key)
        else:
            candidates = self.rules.of_key_again(key)
        new = _fire(node, candidates, self.context, self.pending) if candidates else None
        if new is None:
            self.idle[node] = key
        return None if new is node else new


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
