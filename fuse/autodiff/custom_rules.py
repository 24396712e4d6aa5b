"""custom_vjp and custom_jvp: Python functions of expressions with derivatives of the user's own."""
from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from fuse import tree
from fuse.autodiff.custom import Graph, Rule
from fuse.errors import FuseTypeError, FuseValueError
from fuse.expr import Expr, as_expr, variable
from fuse.frontend.creation import zeros_like
from fuse.frontend.weak import numpys
from fuse.op import DISCONNECTED
from fuse.reference import evaluate
from fuse.trace import TRACE, tracing


@dataclass(frozen=True)
class _Call:
    """One kind of call: what its arguments and results are like, which of them are fixed, and whether it is traced."""

    structures: tuple[tree.Structure, ...]
    fixed: tuple[tuple[int, Any], ...]
    active: bool
    single: bool

    def arguments(self, leaves: Sequence[Any]) -> list[Any]:
        """The trees of these leaves."""
        rest = iter(leaves)
        return [tree.unflatten(s, [next(rest) for _ in range(s.count)]) for s in self.structures]

    def all(self, leaves: Sequence[Any]) -> list[Any]:
        """All arguments, in order: the trees of these leaves among those that are fixed."""
        found = self.arguments(leaves)
        for place, value in self.fixed:
            found.insert(place, value)
        return found

    def run(self, rule: Callable[..., Any], *args: Any) -> Any:
        """A rule of the user's own, whose lines mean what those of the function meant."""
        with tracing(self.active, self.single):
            return rule(*args)

    def pull(self, name: str, backward: Callable[..., Any], forward: Callable[..., Any], shape: tree.Structure) -> Rule:
        def pull(args: list[Expr], outputs: list[Expr], gs: list[Any]) -> list[Any]:
            needed = self.run(forward, *self.all(args))[1]
            dense = [zeros_like(o) if g is DISCONNECTED else g for o, g in zip(outputs, gs, strict=True)]
            found = self.run(backward, *[v for _, v in self.fixed], needed, tree.unflatten(shape, dense))
            found = found if isinstance(found, (tuple, list)) else [found]
            if len(found) != len(self.structures):
                counts = f"{len(found)} entries for {len(self.structures)} inputs"
                raise FuseTypeError(f"the gradient of {name} has {counts}")
            each = [[None] * s.count if f is None else tree.upto(s, f)
                    for s, f in zip(self.structures, found, strict=True)]
            return [DISCONNECTED if leaf is None else leaf for leaves in each for leaf in leaves]

        return pull

    def push(self, rule: Callable[..., Any], shape: tree.Structure) -> Rule:
        def push(args: list[Expr], outputs: list[Expr], tangents: list[Any]) -> list[Any]:
            dense = [zeros_like(a) if t is None else t for a, t in zip(args, tangents, strict=True)]
            both = tuple(self.arguments(args)), tuple(self.arguments(dense))
            return tree.upto(shape, self.run(rule, *[v for _, v in self.fixed], *both)[1])

        return push


class _Custom(ABC):
    """A function of expressions whose formula is traced once per types of the arguments."""

    _needed = ""

    def __init__(self, function: Callable[..., Any] | None = None, nondiff_argnums: Any = ()) -> None:
        if function is None:
            raise FuseTypeError(f"{type(self).__name__} takes a function first")
        self.function, self._graphs = function, {}  # type: Callable[..., Any], dict[Any, tuple[Graph, tree.Structure]]
        self.fixed = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(sorted(nondiff_argnums))
        if any(k < 0 for k in self.fixed):
            raise FuseValueError(f"nondiff_argnums are positions from 0 on, not {nondiff_argnums}")
        self._rules: tuple[Callable[..., Any], ...] = ()
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            self._signature = None
        wraps(function)(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The results; arrays where all arguments are arrays, and nothing is traced."""
        name = self.__name__  # type: ignore[attr-defined]
        if not self._rules:
            raise FuseValueError(f"{name} has no derivative yet: {self._needed}")
        args = self._positional(args, kwargs, name)
        if not TRACE.active and not any(isinstance(v, Expr) for v in tree.leaves(args)):
            return tree.map(lambda v: evaluate([v], {})[0] if isinstance(v, Expr) else v, self.function(*args))
        parts = [tree.flatten(a) for k, a in enumerate(args) if k not in self.fixed]
        given = [as_expr(*numpys(leaf)) if TRACE.active else as_expr(leaf) for leaves, _ in parts for leaf in leaves]
        fixed = tuple([(k, args[k]) for k in self.fixed])
        call = _Call(tuple([s for _, s in parts]), fixed, TRACE.active, TRACE.single)
        # 2 and 2.0, or 0.0 and -0.0, are equal and mean different formulas
        exact = tuple([tree.fixed_as(v) for _, v in fixed])
        key: Any = (tuple([a.type for a in given]), call, exact)
        try:
            known = self._graphs.get(key)
        except TypeError:  # a fixed value without a hash: a list, an array
            known = key = None
        if known is None:
            inputs = [variable(a.type, a.name) for a in given]
            results, shape = tree.flatten(self.function(*call.all(inputs)))
            if not all(isinstance(r, Expr) for r in results) or not results:
                raise FuseTypeError(f"{name} returns an expression or a tree of them, not {results!r:.60}")
            pull, push = self._derivatives(call, shape)
            known = Graph(inputs, results, pull, push, name), shape
            if key is not None:
                self._graphs[key] = known
        graph, shape = known
        return tree.unflatten(shape, graph(*given))

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> tuple[Any, ...]:
        """All arguments by position, with defaults: the rules know no names."""
        if self._signature is None:
            if kwargs:
                raise FuseTypeError(f"{name} takes arguments by position")
            return args
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise FuseTypeError(f"{name}: {error}") from None
        bound.apply_defaults()
        if bound.kwargs:
            raise FuseTypeError(
                f"the rules of {name} get arguments by position, which {', '.join(bound.kwargs)} cannot be given by"
            )
        return bound.args

    @abstractmethod
    def _derivatives(self, call: _Call, shape: tree.Structure) -> tuple[Rule | None, Rule | None]:
        """The reverse and the forward rule of a call whose results have the form ``shape``."""


class custom_vjp(_Custom):
    """A function of expressions with a reverse rule of its own, given by ``defvjp(forward, backward)``.

    ``forward(*args)`` returns the result and what the backward rule needs; ``backward(needed, g)`` returns the
    cotangent of each argument for the cotangent ``g`` of the result. Arguments, results and cotangents may be trees.
    Arguments at ``nondiff_argnums`` are any values, which ``backward`` gets before the others.

    >>> import fuse, fuse.tensor as T
    >>> @custom_vjp
    ... def clipped(x):
    ...     return T.sqr(x)
    >>> clipped.defvjp(lambda x: (T.sqr(x), x), lambda x, g: (T.clip(2 * x * g, -1, 1),))
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(clipped(x), x).eval({x: 5.0}))
    1.0
    """

    _needed = "give it with defvjp(forward, backward)"

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        self._rules = forward, backward
        self._graphs.clear()

    def _derivatives(self, call: _Call, shape: tree.Structure) -> tuple[Rule | None, Rule | None]:
        forward, backward = self._rules
        return call.pull(self.__name__, backward, forward, shape), None  # type: ignore[attr-defined]


class custom_jvp(_Custom):
    """A function of expressions with a forward rule of its own, given by ``defjvp(rule)``; reverse mode uses it too.

    ``rule(args, tangents)`` returns the result and its tangent; both arguments are tuples, the tangent is linear in the
    tangents.

    >>> import fuse, fuse.tensor as T
    >>> @custom_jvp
    ... def f(x):
    ...     return T.sin(x)
    >>> rule = f.defjvp(lambda args, tangents: (T.sin(args[0]), 10 * tangents[0]))
    >>> x = T.dscalar("x")
    >>> float(fuse.grad(f(x), x).eval({x: 5.0}))
    10.0
    """

    _needed = "give it with defjvp(rule)"

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        self._rules = (rule,)
        self._graphs.clear()
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """One rule per argument, ``rule(tangent, result, *args)``; None where the result does not move."""
        def rule(args: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
            result = self.function(*args)
            found = [r(t, result, *args) for r, t in zip(rules, tangents, strict=True) if r is not None]
            total = found[0] if found else zeros_like(result)
            for term in found[1:]:
                total = total + term
            return result, total

        self.defjvp(rule)

    def _derivatives(self, call: _Call, shape: tree.Structure) -> tuple[Rule | None, Rule | None]:
        return None, call.push(self._rules[0], shape)


__all__ = ["custom_jvp", "custom_vjp"]
