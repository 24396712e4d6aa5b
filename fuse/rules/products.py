"""Procedures: products and quotients of any length. Constants fold, equal factors cancel, pairs that belong meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from fuse.expr import Constant, Expr, constant, make
from fuse.op import OPS
from fuse.rewrite import Context, RuleSet, chains, procedure
from fuse.rewrite.match import cast, computed
from fuse.rewrite.pattern import MODES, Call, uniform
from fuse.rules.stable import PAIRS
from fuse.rules.sums import EXTRA, folded_constant, sum_of, terms_of

Factors = list[Expr]
# What becomes of the factors above and below the line (None: it goes), and a number for all of them.
Changed = tuple[list[Expr | None], list[Expr | None], Constant | None]
Change = Callable[[Factors, Factors, str], Changed | None]
# How factors are put together, in Polish notation: ops, and for each factor whether it is above, and its number there.
Form = list[Any]
# Numbers as people write them, by which factors may be multiplied sooner than they were.
_MODERATE = {"float16": 1e2, "float32": 1e6, "complex64": 1e6}
_SMALLEST = {"float16": 2.0**-14, "float32": 2.0**-126, "float64": 2.0**-1022}


def factors_of(node: Expr, context: Context) -> tuple[Factors, Factors]:
    """The factors of ``node`` above and below the line, in their order; of products that others read too as well."""
    return opened(node, context)[:2]


def opened(node: Expr, context: Context) -> tuple[Factors, Factors, Form]:
    """``factors_of`` and how they are put together: see ``put_together``."""
    return _split(chains.opened("product", node, context)[1])


def _split(chain: chains.Chain) -> tuple[Factors, Factors, Form]:
    above: Factors = []
    below: Factors = []
    form: Form = []
    for token in chain.form:
        if isinstance(token, str):
            form.append(token)
            continue
        sign, factor = chain.terms[token]
        factors = above if sign > 0 else below
        form.append((sign > 0, len(factors)))
        factors.append(factor)
    return above, below, form


def _improved(node: Expr, context: Context, change: Change, extra: int, only: bool = False) -> Expr | None:
    """The product ``node`` after ``change``; see ``chains.improved``."""
    dtype = node.type.dtype

    def changed(chain: chains.Chain) -> tuple[Form, Changed] | None:
        above, below, form = _split(chain)
        found = change(above, below, dtype)
        return None if found is None else (form, found)

    found = chains.improved("product", node, context, changed, _operations, extra, only)
    return None if found is None else put_together(*found, dtype, context)


def _operations(terms: chains.Terms, changed: tuple[Form, Changed]) -> int:
    above, below, number = changed[1]
    tops = sum(f is not None for f in above) + (number is not None)
    return tops - (tops > 0) + sum(f is not None for f in below)


def put_together(form: Form, changed: Changed, dtype: str, context: Context) -> Expr:
    """A product of other factors in the form it had: what was divided first still is, and overflows no sooner."""
    above, below, number = changed
    values: list[_Quotient] = []
    made: list[Expr] = []

    def combined(op: str, a: Expr, b: Expr) -> Expr:
        made.append(computed(op, a, b, dtype))
        return made[-1]

    first = next(i for i, token in enumerate(form) if not isinstance(token, str))  # it is above the line
    for i in range(len(form) - 1, -1, -1):
        token = form[i]
        if not isinstance(token, str):
            factor = (above if token[0] else below)[token[1]]
            if i == first and number is not None:
                factor = number if factor is None else combined("mul", number, factor)
            values.append((factor, None))
            continue
        (top, bottom), (by, under) = values.pop(), values.pop()
        if token == "true_div":
            by, under = under, by
        tops, bottoms = [f for f in (top, by) if f is not None], [f for f in (bottom, under) if f is not None]
        numerator = combined("mul", *tops) if len(tops) == 2 else tops[0] if tops else None
        denominator = combined("mul", *bottoms) if len(bottoms) == 2 else bottoms[0] if bottoms else None
        if numerator is not None and denominator is not None:
            numerator, denominator = combined("true_div", numerator, denominator), None
        values.append((numerator, denominator))
    [(numerator, denominator)] = values
    context.inner.update(made[:-1] if denominator is None else made)
    if denominator is not None:
        return combined("true_div", constant(1, dtype=dtype), denominator)
    return constant(1, dtype=dtype) if numerator is None else cast(numerator, dtype)


_Quotient = tuple[Expr | None, Expr | None]  # what is above the line or below it, the other one None


def product_of(above: Factors, below: Factors, dtype: str, context: Context) -> Expr:
    """``above`` multiplied in their order, divided by the product of ``below``."""
    top = _chain(above, dtype, context)
    if not below:
        return top
    bottom = _chain(below, dtype, context)
    return computed("true_div", top, bottom, dtype)


def _chain(factors: Factors, dtype: str, context: Context) -> Expr:
    if not factors:
        return constant(1, dtype=dtype)
    total = factors[0]
    for factor in factors[1:]:
        context.inner.add(total)
        total = computed("mul", total, factor, dtype)
    return total


def _fold(above: Factors, below: Factors, dtype: str) -> Changed | None:
    """One constant for all, in front; None where that changes nothing or overflows."""
    tops = [f for f in above if isinstance(f, Constant)]
    bottoms = [f for f in below if isinstance(f, Constant)]
    if len(tops) + len(bottoms) < 2:
        return None
    rest = [None if isinstance(f, Constant) else f for f in above]
    others = [None if isinstance(f, Constant) else f for f in below]
    if all(f is None for f in (*rest, *others)):
        return None  # folded by themselves
    several = sum(f is not None for f in (*rest, *others)) > 1
    if several and not all(_is_moderate(f, dtype) for f in (*tops, *bottoms)):
        return None  # the factors that a number held within the range would meet without it
    value = _product(bottoms, dtype)
    if value is None or bottoms and not np.all(value):
        return None
    if not tops:
        others[others.index(None)] = constant(value)
        return rest, others, None
    top = _product(tops, dtype)
    if top is None:
        return None
    if bottoms:
        top = folded_constant([top, value], dtype, np.true_divide)
        if top is None or _lost(top, [*tops, *bottoms], dtype):
            return None
    unit = top.size == 1 and top.item() == 1 and any(f is not None for f in rest)
    return rest, others, None if unit else constant(top)


def _is_moderate(number: Constant, dtype: str) -> bool:
    """Whether the elements of ``number``, a factor in ``dtype``, are neither large nor small for it."""
    if np.dtype(dtype).kind not in "fc":
        return True
    most = _MODERATE.get(dtype, 1e100)
    sizes = np.abs(number.data.astype(np.result_type(number.data, np.float64)))  # which hold the bound, and -128 too
    return bool(((sizes >= 1 / most) & (sizes <= most) | (sizes == 0)).all())


def _product(factors: Sequence[Constant], dtype: str) -> Any:
    """The product of constants (1 of none), or None where it is lost."""
    total = folded_constant([f.data for f in factors] or [np.ones((), dtype)], dtype, np.multiply)
    return None if total is None or _lost(total, factors, dtype) else total


def _lost(value: Any, parts: Sequence[Constant], dtype: str) -> bool:
    """Whether a product of non-zero constants became 0 or subnormal."""
    if value.dtype.kind != "f":
        return False
    if value.size == 1 and abs(value.item()) >= _SMALLEST[dtype]:
        return False
    tiny = (np.abs(value) < _SMALLEST[dtype]) & (value != 0)
    zero = (value == 0).any() and all(f.data.all() for f in parts)
    return bool(tiny.any() or zero)


def _base_and_power(factor: Expr) -> tuple[Expr, int]:
    return (factor.args[0], 2) if factor.op.name == "sqr" else (factor, 1)


def _cancel(context: Context, above: Factors, below: Factors, dtype: str) -> Changed | None:
    """Without the factors that stand above and below; None where there are none."""
    if not below:
        return None
    powers: dict[Expr, list[int]] = {}
    for place, factors in ((0, above), (1, below)):
        for factor in factors:
            if not isinstance(factor, Constant):
                base, power = _base_and_power(factor)
                powers.setdefault(base, [0, 0])[place] += power
    twice = {base: up - down for base, (up, down) in powers.items() if up and down}
    if not twice:
        return None
    result: tuple[list[Expr | None], list[Expr | None]] = ([], [])
    done: set[Expr] = set()
    for place, factors in ((0, above), (1, below)):
        for factor in factors:
            base, _ = _base_and_power(factor)
            if isinstance(factor, Constant) or base not in twice:
                result[place].append(factor)
                continue
            net = twice[base] if place == 0 else -twice[base]
            if net > 0 and base not in done:
                done.add(base)
                left = [make(OPS["sqr"], (base,))] * (net // 2) + [base] * (net % 2)
                result[place].append(_chain(left, dtype, context))
            else:
                result[place].append(None)
    return *result, None


@procedure(
    "51: constants of a product", "mul true_div", "rounding signed-zero overflow", on="iufc", below="mul true_div"
)
def fold_product(node: Expr, context: Context) -> Expr | None:
    """One constant instead of several: ``2*x*3`` is ``6*x``, ``(2*x)/(4*y)`` is ``(0.5*x)/y``."""
    return _improved(node, context, _folded, 0, only=True)


def _folded(above: Factors, below: Factors, dtype: str) -> Changed | None:
    folded = _fold(above, below, dtype)
    if folded is None and len(above) + len(below) > 2 and dtype.startswith("float"):
        ones = [f for f in above if isinstance(f, Constant) and uniform(f) == 1]
        if ones and len(above) > 1:  # x * (1/y) is x/y
            folded = [None if f in ones else f for f in above], [*below], None
    return folded


@procedure(
    "52: equal factors of a quotient",
    "mul true_div",
    "rounding signed-zero special overflow",
    on="fc",
    below="mul true_div sqr",
)
def cancel_product(node: Expr, context: Context) -> Expr | None:
    """``(x*y)/x`` is ``y``, ``(a/b)*(b/c)`` is ``a/c``, ``sqr(x)/x`` is ``x``."""
    return _improved(node, context, partial(_cancel, context), EXTRA)


@procedure("60: greedy distribution", "mul", "rounding signed-zero special overflow", on="f", below="add sub mul")
def distribute(node: Expr, context: Context) -> Expr | None:
    """``(a/x + b)*x`` is ``a + b*x``: a factor goes into a sum where it cancels a divisor."""
    if node in context.inner:
        return None
    above, below, form = opened(node, context)
    dtype = node.type.dtype
    sums = [(i, f) for i, f in enumerate(above) if f.op.name in ("add", "sub")]
    for i, whole in sums:
        if whole.type.dtype != dtype or whole in context.frozen:
            continue
        terms = terms_of(whole, context)
        if len(terms) > 8:
            continue
        divisors = {d for _, t in terms if t.op.name == "true_div" for d in factors_of(t, context)[1]}
        for j, factor in enumerate(above):
            if (
                j == i
                or isinstance(factor, Constant)
                or factor not in divisors
                or context.same_shape(factor, whole) is False
            ):
                continue
            inside = sum_of([(s, computed("mul", t, factor, dtype)) for s, t in terms], dtype, context)
            rest = [inside if k == i else None if k == j else f for k, f in enumerate(above)]
            return put_together(form, (rest, [*below], None), dtype, context)
    return None


# ---------------------------------------------------------------- pairs
_PAIRED = frozenset(part.op for rule in PAIRS for part in rule.left.args if isinstance(part, Call))


@cache
def _pair_rules() -> RuleSet:
    return RuleSet(PAIRS, MODES["default"])


@procedure(
    "11: factors that belong together",
    "mul true_div",
    "rounding signed-zero overflow special",
    on="f",
    below="mul true_div",
)
def pair_factors(node: Expr, context: Context) -> Expr | None:
    """Two factors of a longer product that the table of pairs knows, wherever they stand."""
    return _improved(node, context, partial(_paired, context), 0)


def _paired(context: Context, above: Factors, below: Factors, dtype: str) -> Changed | None:
    if len(above) + len(below) < 3 or len(above) + len(below) > 12:
        return None
    for i, first in enumerate(above):
        if first.op.name not in _PAIRED:
            continue
        for factors, op in ((above, "mul"), (below, "true_div")):
            for j, second in enumerate(factors):
                if op == "mul" and j == i or not first.type.dtype == second.type.dtype == dtype:
                    continue
                if not _pair_rules().of_key(_pair_rules().key_of(op, (first, second))):
                    continue
                met = _met(make(OPS[op], (first, second)), context)
                if met is None:
                    continue
                top = [met if k == i else None if op == "mul" and k == j else f for k, f in enumerate(above)]
                bottom = [None if op == "true_div" and k == j else f for k, f in enumerate(below)]
                return top, bottom, None
    return None


def _met(pair: Expr, context: Context) -> Expr | None:
    for rule in _pair_rules().candidates(pair):
        new = rule.apply(pair, context)
        if new is not None:
            return new
    return None
