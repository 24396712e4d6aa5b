"""Rewrites of the user's own: functions of one application, and patterns; applied before the rules of fuse.

A rewrite gets an Apply (``node.op``, ``node.inputs``, ``node.outputs``) and returns replacements for its outputs, or
None (or False) where it does not fit.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Constant, Expr, as_expr, rebuild, transform
from fuse.frontend.apply import Apply
from fuse.frontend.graph import fits
from fuse.op import USER_REWRITES, Op

Rewrite = Callable[[Apply], Any]
_PASSES = 100  # rewrites that undo each other end with an error


def register(rewrite: Rewrite, name: str | None = None) -> Rewrite:
    """Apply ``rewrite`` when functions are made from now on, until ``remove``."""
    USER_REWRITES[name or getattr(rewrite, "__name__", None) or repr(rewrite)] = rewrite
    return rewrite


def remove(name: str) -> None:
    """Take a rewrite back; FuseValueError where none has this name."""
    if name not in USER_REWRITES:
        raise FuseValueError(f"no rewrite is registered as {name!r}; there are: {', '.join(USER_REWRITES) or 'none'}")
    del USER_REWRITES[name]


def rewritten(outputs: Sequence[Expr], rewrites: Sequence[Rewrite] | None = None) -> list[Expr]:
    """``outputs`` after ``rewrites`` (those registered), each applied wherever it fits until none does."""
    current = list(outputs)
    chosen = list(USER_REWRITES.values()) if rewrites is None else list(rewrites)
    if not chosen:
        return current
    for _ in range(_PASSES):
        before = current
        for rewrite in chosen:
            current = _applied(current, rewrite)
        if current == before:
            return current
    raise FuseValueError(f"rewrites still change the graph after {_PASSES} passes: one undoes the other")


def _applied(outputs: Sequence[Expr], rewrite: Rewrite) -> list[Expr]:
    replaced: dict[Expr, list[Expr]] = {}  # a node with several results -> what its parts become

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.is_leaf:
            return node
        if node.op.name == "part" and args[0] in replaced:
            return replaced[args[0]][node.params["i"]]
        new = rebuild(node, args)
        if new.is_leaf or new.op.name == "part":
            return new
        apply = Apply._view(new)
        found = rewrite(apply)
        if found is None or found is False:
            return new
        results = _results(found, apply, rewrite)
        if len(results) == 1:
            return results[0]
        replaced[new] = results
        return new

    return transform(list(outputs), visit)


def _results(found: Any, apply: Apply, rewrite: Rewrite) -> list[Expr]:
    if isinstance(found, Mapping):
        found = [found.get(o, o) for o in apply.outputs]
    results = [as_expr(f) for f in (found if isinstance(found, (list, tuple)) else [found])]
    name = getattr(rewrite, "__name__", rewrite)
    if len(results) != len(apply.outputs):
        raise FuseValueError(f"rewrite {name} returned {len(results)} replacements for {len(apply.outputs)} outputs")
    for new, old in zip(results, apply.outputs, strict=True):
        if not fits(old, new):
            raise FuseTypeError(
                f"rewrite {name} replaces a {old.type.describe()} by a {new.type.describe()}: dtype and rank must stay"
            )
    return results


# ---------------------------------------------------------------- patterns
def record_of(op: Any) -> Any:
    """What identifies an op: the record of a function of fuse, or the instance of a class op."""
    return op if isinstance(op, Op) else getattr(op, "op", op)


def same_op(op: Any, pattern: Any) -> bool:
    """Whether the op of an application is what a pattern names: an op, a function of fuse, or a class of ops."""
    if isinstance(pattern, type):
        return isinstance(op, pattern)
    wanted = record_of(pattern)
    return op is wanted or op == wanted


class Pattern:
    """``(op, pattern, ...)`` with names for what varies, rewritten to another such pattern.

    An entry of a pattern is a name, a number, an expression, a nested tuple, or a dict with a 'pattern' and a
    'constraint' (a function of the expression found).

    >>> import fuse.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> rule = Pattern((T.sub, (T.add, "x", "y"), "y"), "x")
    >>> rewritten([T.exp((x + y) - y)], [rule])[0]
    exp(x)
    """

    def __init__(self, source: Any, target: Any, name: str | None = None) -> None:
        if not isinstance(source, (tuple, dict)):
            raise FuseTypeError(f"a pattern is a tuple of an op and its arguments, not {source!r:.60}")
        self.source, self.target = source, target
        self.__name__ = name or f"{source!r:.40} -> {target!r:.40}"

    def __call__(self, node: Apply) -> Any:
        if len(node.outputs) != 1:
            return None
        found: dict[str, Expr] = {}
        if not self._matches(self.source, node.outputs[0], found):
            return None
        return [self._built(self.target, found, node.outputs[0])]

    def _matches(self, pattern: Any, expr: Expr, found: dict[str, Expr]) -> bool:
        work = [(pattern, expr)]
        while work:
            pattern, expr = work.pop()
            if isinstance(pattern, dict):
                constraint = pattern.get("constraint")
                if constraint is not None and not constraint(expr):
                    return False
                work.append((pattern["pattern"], expr))
            elif isinstance(pattern, str):
                if found.setdefault(pattern, expr) is not expr:
                    return False
            elif isinstance(pattern, tuple):
                if expr.is_leaf or not same_op(Apply._view(expr).op, pattern[0]) or len(expr.args) != len(pattern) - 1:
                    return False
                work += zip(pattern[1:], expr.args, strict=True)
            elif isinstance(pattern, Expr) and not isinstance(pattern, Constant):
                if pattern is not expr:
                    return False
            else:
                value = pattern.data if isinstance(pattern, Constant) else pattern
                if not isinstance(expr, Constant) or not (expr.data == value).all():
                    return False
        return True

    def _built(self, target: Any, found: Mapping[str, Expr], like: Expr) -> Expr:
        if isinstance(target, str):
            return found[target]
        if isinstance(target, tuple):
            args = [self._built(t, found, like) for t in target[1:]]  # as deep as the user has written it
            return target[0](*args)
        return as_expr(target)
