"""Rules and their order: canonical, stable, last; the entry points ``optimize``, ``stabilize`` and ``simplify``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

from fuse.errors import FuseValueError
from fuse.expr import Expr, as_expr
from fuse.rewrite import MODES, Context, Fired, Procedure, Rule, RuleSet, rewrite
from fuse.rules.inlining import inlined
from fuse.rules.user import rewritten

# Which tables a phase uses, in the order in which rules are tried; see ``_tables``.
PHASES: dict[str, tuple[str, ...]] = {
    "canonical": (
        "loops",
        "spelling",
        "constants",
        "choices",
        "identities",
        "cancellation",
        "shapes",
        "reductions",
        "indexing",
    ),
    "stable": (
        "spelling",
        "constants",
        "choices",
        "stable",
        "rows",
        "identities",
        "cancellation",
        "shapes",
        "reductions",
        "indexing",
    ),
    "recognise": ("loops", "spelling", "constants", "sizes", "stable", "rows"),
    "last": (
        "loops",
        "spelling",
        "constants",
        "choices",
        "stable",
        "rows",
        "inverses",
        "identities",
        "cancellation",
        "shapes",
        "reductions",
        "indexing",
        "final",
    ),
}
# What a mode does, one phase after the other, and the changes that it allows.
PLANS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "strict": (("canonical", "last"), MODES["strict"]),
    "default": (("canonical", "stable", "last"), MODES["default"]),
    "fast": (("canonical", "stable", "last"), MODES["fast"]),
    "FAST_COMPILE": (("recognise",), MODES["default"]),
}
ALIASES = {"FAST_RUN": "default", None: "default", "fast_run": "default", "fast_compile": "FAST_COMPILE"}


@cache
def tables() -> dict[str, tuple[Rule | Procedure, ...]]:
    """Every rule by table. Loaded when first needed."""
    from fuse.rules import (
        choices,
        identities,
        indexing,
        loops,
        powers,
        products,
        reductions,
        rows,
        shapes,
        spelling,
        stable,
        sums,
    )
    from fuse.rules.folding import fold_constants

    return {
        "loops": loops.LOOPS,
        "spelling": spelling.SPELLING,
        "constants": (fold_constants, sums.fold_sum, products.fold_product),
        "choices": choices.CHOICES,
        "identities": identities.IDENTITIES,
        "cancellation": (sums.cancel_sum, sums.divide_sum, products.cancel_product, products.distribute),
        "stable": (*stable.STABLE, products.pair_factors),
        "inverses": stable.INVERSES,
        "rows": rows.ROWS,
        "sizes": shapes.SIZES,
        "shapes": (*shapes.SHAPES, *shapes.SIZES),
        "reductions": reductions.REDUCTIONS,
        "indexing": indexing.INDEXING,
        "final": (*identities.LAST, *choices.LAST, *powers.POWERS, *reductions.LAST, *indexing.LAST),
    }


def all_rules() -> list[Rule | Procedure]:
    """Every rule of every table."""
    return [rule for table in tables().values() for rule in table]


@cache
def _ruleset(phase: str, allowed: frozenset[str], before: str | None = None) -> RuleSet:
    """The rules of ``phase``, as they are applied after the phase ``before``."""
    if before is not None:
        return _ruleset(phase, allowed).after(_ruleset(before, allowed))
    return RuleSet([rule for name in PHASES[phase] for rule in tables()[name]], allowed)


def _run(
    phases: Iterable[str],
    allowed: frozenset[str],
    outputs: Sequence[Expr],
    keep: Collection[Expr],
    trace: list[Fired] | None,
) -> list[Expr]:
    from fuse.frontend.sizes import shape_of

    result = list(outputs)
    before, settled = None, {}  # type: str | None, dict[Expr, Any]
    for phase in phases:
        result = rewrite(result, _ruleset(phase, allowed, before), Context(shape_of, keep, trace), settled)
        before = phase
    return result


def optimize(outputs: Sequence[Expr], mode: str | None = "default", trace: list[Fired] | None = None) -> list[Expr]:
    """``outputs`` in their simplest and most stable form, each with its own dtype and shape.

    ``mode``: "strict" changes no bit, "default" may change rounding, signs of zeros and what Theano does, "fast" also
    domains (see ``fuse.rewrite.CHANGES``); "FAST_COMPILE" only folds constants and recognises stable ops. What fired is
    appended to ``trace``. Raises FuseValueError for another mode.

    >>> import fuse.tensor as T
    >>> x, y = T.scalars("x", "y")
    >>> optimize([x * y / x])[0] is y
    True
    """
    name = ALIASES.get(mode, mode)
    if name not in PLANS:
        raise FuseValueError(f"rewriting has the modes {', '.join(PLANS)}, not {mode!r}")
    phases, allowed = PLANS[name]
    return _run(phases, allowed, rewritten(inlined(outputs)), (), trace)


def stabilize(outputs: Sequence[Expr], keep: Collection[Expr] = ()) -> list[Expr]:
    """``outputs`` with formulas that overflow or cancel replaced by stable ops; ``grad`` does so before its sweep.

    Nodes in ``keep`` stay as they are and are not looked into. Where there is nothing to recognise, everything stays as
    it was written.

    >>> import fuse.tensor as T
    >>> x = T.scalar("x")
    >>> stabilize([T.log(1 + T.exp(x))])[0].op.name
    'softplus'
    """
    fired: list[Fired] = []
    result = _run(("recognise",), MODES["default"], outputs, keep, fired)
    recognising = {*tables()["loops"], *tables()["stable"], *tables()["rows"]}
    return result if any(f.rule in recognising for f in fired) else list(outputs)


def simplify(expr: Expr, mode: str | None = "default", trace: list[Fired] | None = None) -> Expr:
    """``expr`` in its simplest form; see ``optimize``.

    >>> import fuse.tensor as T
    >>> x = T.vector("x")
    >>> simplify(T.exp(x) / (1 + T.exp(x))).op.name
    'sigmoid'
    """
    return optimize([as_expr(expr)], mode, trace)[0]
