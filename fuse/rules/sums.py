"""Procedures: sums of any length. Constants fold to one, equal terms combine, opposite terms cancel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse.expr import Constant, Expr, constant, make
from fuse.op import OPS
from fuse.rewrite import Context, procedure
from fuse.rewrite.chains import Terms, improved, opened
from fuse.rewrite.match import cast, computed, kind_of

EXTRA = 4  # operations more that a cancellation may cost where it opens what others read too


def terms_of(node: Expr, context: Context) -> Terms:
    """The signed terms of the sum ``node`` in their order, those of sums that others read too among them."""
    return opened("sum", node, context)[1].terms


def improved_sum(
    node: Expr, context: Context, change: Callable[[Terms, str], Terms | None], extra: int, only: bool = False
) -> Expr | None:
    """The sum ``node`` after ``change``; see ``chains.improved``."""
    dtype = node.type.dtype
    changed = improved("sum", node, context, lambda chain: change(chain.terms, dtype), _operations, extra, only)
    return None if changed is None else sum_of(changed, dtype, context)


def _operations(terms: Terms, changed: Terms) -> int:
    known = {t for _, t in terms}
    return len(changed) - 1 + sum(t not in known and not isinstance(t, Constant) for _, t in changed)


def sum_of(terms: Terms, dtype: str, context: Context) -> Expr:
    """The sum of ``terms``, in their order but for a first one that is positive."""
    if not terms:
        return constant(0, dtype=dtype)
    first = next((i for i, (sign, _) in enumerate(terms) if sign > 0), None)
    if first is None:
        return make(OPS["neg"], (cast(sum_of([(1, t) for _, t in terms], dtype, context), dtype),))
    total = terms[first][1]
    steps = terms[:first] + terms[first + 1 :]
    for i, (sign, term) in enumerate(steps):
        total = computed("add" if sign > 0 else "sub", total, term, dtype)
        if i < len(steps) - 1:
            context.inner.add(total)
    return total


def folded_constant(values: Sequence[Any], dtype: str, combine: Any) -> Any:
    """The constant arrays ``values`` combined in ``dtype``, or None where that overflows or grows."""
    with np.errstate(all="ignore"):
        total = values[0].astype(dtype)
        for value in values[1:]:
            total = np.asarray(combine(total, value.astype(dtype)), dtype=dtype)
    if total.size > max(v.size for v in values):
        return None
    if total.dtype.kind in "fc" and not np.isfinite(total).all() and all(np.isfinite(v).all() for v in values):
        return None
    return total


def _folded(terms: Terms, dtype: str) -> Terms | None:
    """``terms`` with all constants in the place of the first; None where there is but one."""
    places = [i for i, (_, t) in enumerate(terms) if isinstance(t, Constant)]
    if len(places) < 2:
        return None
    with np.errstate(all="ignore"):
        signed = [terms[i][1].data.astype(dtype) * np.array(terms[i][0]).astype(dtype) for i in places]
    total = folded_constant(signed, dtype, np.add)
    if total is None or not _holds_all(signed, dtype):
        return None
    result: Terms = []
    for i, (sign, term) in enumerate(terms):
        if not isinstance(term, Constant):
            result.append((sign, term))
        elif i == places[0] and (total.any() or total.ndim):
            result.append((-1, constant(-total)) if _below_zero(total) else (1, constant(total)))
    return result


_LOST = 16  # units in the last place of the least of several numbers, which their sum may lose


def _holds_all(parts: Sequence[Any], dtype: str) -> bool:
    """Whether the sum of the constant arrays ``parts`` in ``dtype`` has all digits of the least of them.

    In ``1 - y + 1e-10`` the terms between may cancel, and then it is what is left: in short floats ``1 + 1e-10`` is 1.
    """
    if np.dtype(dtype).kind not in "fc":
        return True
    with np.errstate(all="ignore"):
        total, lost, least = parts[0], np.zeros((), dtype), np.array(np.inf)
        for part in parts[1:]:  # what each addition loses: Knuth's two-sum
            before, total = total, total + part
            added = total - before
            lost = lost + ((before - (total - added)) + (part - added))
        for part in parts:
            least = np.minimum(least, np.where(part == 0, np.inf, np.abs(part)))
        return bool(np.all(np.abs(lost) <= _LOST * np.finfo(dtype).eps * least))


def _below_zero(total: Any) -> bool:
    """Whether ``total`` is one negative number that has an opposite."""
    if total.dtype.kind not in "if" or total.size != 1 or not total.item() < 0:
        return False
    return total.dtype.kind == "f" or total.item() != np.iinfo(total.dtype).min


def coefficient_of(term: Expr, dtype: str) -> tuple[Any, Expr]:
    """``term`` as (number, rest)."""
    if term.op.name == "mul" and term.type.dtype == dtype:
        a, b = term.args
        if isinstance(a, Constant) and a.data.size == 1:
            return a.data.item(), b
        if isinstance(b, Constant) and b.data.size == 1:
            return b.data.item(), a
    if term.op.name == "true_div" and term.type.dtype == dtype:
        a, b = term.args
        if isinstance(b, Constant):
            return (1 / b.data.item(), a) if b.data.size == 1 and b.data.item() != 0 else (1, term)
        if isinstance(a, Constant):
            return (a.data.item(), make(term.op, (constant(1, dtype=dtype), b))) if a.data.size == 1 else (1, term)
        factor, rest = coefficient_of(a, dtype)
        return factor, make(term.op, (rest, b)) if factor != 1 else term
    return 1, term


def _combined(terms: Terms, dtype: str) -> Terms | None:
    """``terms`` with those of the same expression as one; None where all differ."""
    places: dict[Expr, int] = {}
    factors: list[Any] = []
    repeated = False
    for i, (sign, term) in enumerate(terms):
        factor, base = (1, term) if isinstance(term, Constant) else coefficient_of(term, dtype)
        factors.append(sign * factor)
        if not isinstance(term, Constant) and base in places:
            repeated = True
        places.setdefault(base, i)
    if not repeated:
        return None
    numbers: dict[Expr, list[Any]] = {}
    for (_, term), factor in zip(terms, factors, strict=True):
        if not isinstance(term, Constant):
            numbers.setdefault(coefficient_of(term, dtype)[1], []).append(factor)
    totals = {base: sum(several) for base, several in numbers.items()}
    result: Terms = []
    done: set[Expr] = set()
    for sign, term in terms:
        if isinstance(term, Constant):
            result.append((sign, term))
            continue
        base = coefficient_of(term, dtype)[1]
        if base in done:
            continue
        done.add(base)
        total = totals[base]
        if not _is_number_of(dtype, total, numbers[base]):
            return None
        if total != 0:
            result.append((-1, _times(-total, base, dtype)) if _is_negative(total) else (1, _times(total, base, dtype)))
    return result


def _is_number_of(dtype: str, factor: Any, parts: Sequence[Any]) -> bool:
    """Whether ``factor``, the sum of ``parts``, is neither infinite in ``dtype`` nor so small that it loses digits
    there, and loses none of the least of them."""
    if np.dtype(dtype).kind not in "fc":
        return True
    limits = np.finfo(dtype)
    if factor and not float(limits.tiny) <= abs(factor) <= float(limits.max):
        return False
    with np.errstate(all="ignore"):
        return len(parts) == 1 or _holds_all([np.asarray(part, dtype) for part in parts], dtype)


def _is_negative(number: Any) -> bool:
    return not isinstance(number, complex) and number < 0


def _times(number: Any, base: Expr, dtype: str) -> Expr:
    if number == 1:
        return base
    if np.dtype(dtype).kind in "iu":
        bits = 8 * np.dtype(dtype).itemsize
        number = int(number) % 2**bits
        if np.dtype(dtype).kind == "i" and number >= 2 ** (bits - 1):
            number -= 2**bits
    return make(OPS["mul"], (constant(number, dtype=dtype), base))


@procedure("51: constants of a sum", "add sub", "rounding signed-zero", on="iufc", below="add sub neg")
def fold_sum(node: Expr, context: Context) -> Expr | None:
    """One constant instead of several, where the first of them stood: ``1 + x + 2`` is ``3 + x``."""
    return improved_sum(node, context, _folded, 0, only=True)


@procedure(
    "53: equal terms of a sum",
    "add sub",
    "rounding signed-zero special overflow",
    on="iufc",
    below="add sub neg mul true_div",
)
def cancel_sum(node: Expr, context: Context) -> Expr | None:
    """``x + y - x`` is ``y``, ``3*x - x`` is ``2*x``."""
    return improved_sum(node, context, _combined, EXTRA)


@procedure("60: factor of all terms", "true_div", "rounding signed-zero special overflow", on="f", below="add sub")
def divide_sum(node: Expr, context: Context) -> Expr | None:
    """``(a*x + b*x) / x`` is ``a + b``: the divisor is taken into a sum whose terms all have it as a factor."""
    (whole, divisor), dtype = node.args, node.type.dtype
    if whole.op.name not in ("add", "sub") or isinstance(divisor, Constant) or kind_of(whole) != "f":
        return None
    terms = terms_of(whole, context)
    if len(terms) > 8 or not all(t.op.name == "mul" and divisor in t.args or t is divisor for _, t in terms):
        return None
    return sum_of([(s, computed("true_div", t, divisor, dtype)) for s, t in terms], dtype, context)
