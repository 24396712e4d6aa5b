"""Branches on values in transformed functions: `grad(f)(x)` knows its arguments, so it can say which way `f` goes.

A trace that fails because the function branches on a value, or counts with one, is done again with the arguments at
hand: questions for a truth or a whole number are answered, and remembered. What is compiled then serves all calls that
give the same answers. Such questions have no derivative, so nothing is lost; the value of a float stays unknown.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fuse.compiled import Function, function
from fuse.errors import FuseError
from fuse.expr import INPUT, Expr, leaves, substitute, toposort
from fuse.forks import cached_property
from fuse.reference import evaluate


class Decisions:
    """The questions that one trace asked, in terms of its inputs, with the answers for the values they had."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self._known: dict[Expr, Any] = {}
        self._inputs: Sequence[Expr] = ()
        self._meant: dict[Expr, Expr] = {}
        self._made: list[tuple[Expr, Callable[[Any], Any], Any]] = []

    def __bool__(self) -> bool:
        return bool(self._made)

    def about(self, inputs: Sequence[Expr]) -> None:
        """The variables of the trace that have the values."""
        self._inputs = inputs
        self._known = {x: np.asarray(v, x.type.dtype) for x, v in zip(inputs, self._values, strict=True)}

    def stand_in(self, variables: Iterable[Expr], values: Sequence[Expr]) -> None:
        """Variables that a derivative has put in place of values."""
        self._meant.update(zip(variables, substitute(values, self._meant), strict=True))

    def answer(self, question: Expr, convert: Callable[[Any], Any]) -> Any:
        """``convert`` of the value of ``question``; None where it depends on more than the arguments, or is drawn.

        What is drawn for an answer would not be what the compiled function draws.
        """
        [whole] = substitute([question], self._meant)
        if any(n.op is INPUT and n not in self._known for n in leaves([whole])):
            return None
        if any(_draws(n) for n in toposort([whole])):
            return None
        answer = convert(evaluate([whole], self._known)[0])
        self._made.append((whole, convert, answer))
        return answer

    def forget(self) -> None:
        """Drop the values, which are asked for in the trace alone."""
        self._values, self._known, self._meant = (), {}, {}

    @cached_property
    def _asked(self) -> Function:
        return function(
            self._inputs, [q for q, _, _ in self._made], mode="FAST_COMPILE", on_unused_input="ignore"
        )

    def hold(self, values: Sequence[Any]) -> bool:
        """Whether these arguments give the same answers."""
        try:
            found = self._asked(*values)
        except FuseError:  # a question that these values never come to
            return False
        return all(convert(np.asarray(v)) == a for v, (_, convert, a) in zip(found, self._made, strict=True))


def _draws(node: Expr) -> bool:
    return node.op.stateful or getattr(node, "default_update", None) is not None


__all__ = ["Decisions"]
