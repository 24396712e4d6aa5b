"""Table: algebraic identities of two operands; cancellation in longer sums and products is in sums and products."""

from __future__ import annotations

from fuse.rewrite import Rule, heads, wildcards
from fuse.rewrite.pattern import is_constant, is_negative, is_positive
from fuse.rules.values import are_real, is_nonnegative, number

x, y = wildcards("x y")
(m,) = wildcards("m", is_nonnegative)
(p,) = wildcards("p", is_positive)
(n,) = wildcards("n", is_negative)
c1, c2 = wildcards("c1 c2", is_constant)
abs_, sgn, sqr, sqrt, pow_, exp, log, fill = heads("abs sgn sqr sqrt pow exp log fill")
int_div, mod, maximum, minimum, clip, switch, eq, neq = heads("int_div mod maximum minimum clip switch eq neq")
lt, le, gt, ge, and_, or_, xor, invert = heads("lt le gt ge and_ or_ xor invert")
floor, ceil, trunc, real, imag, conj = heads("floor ceil trunc real imag conj")
round_even, round_away = heads("round_half_to_even round_half_away_from_zero")

NUMBERS = "iufc"
NAN = float("nan")

IDENTITIES = (
    # ---- 53, 54: equal operands, neutral and absorbing numbers
    Rule("53: x - x", x - x, 0, "special", on=NUMBERS),
    Rule("52: x / x", x / x, 1, "special", on="fc"),
    Rule("54: x + 0", x + 0, x, "signed-zero", on="biufc"),
    Rule("54: 0 - x", 0 - x, -x, "signed-zero", on=NUMBERS),
    Rule("54: x * 0", x * 0, 0, "special signed-zero", on="biufc"),
    Rule("54: x * -0.0", x * -0.0, 0, "special signed-zero", on="f"),
    Rule("54: 0 / x", 0 / x, 0, "special signed-zero", on="fc"),
    Rule("54: x // 1", int_div(x, 1), x, on="iu"),
    Rule("54: x % 1", mod(x, 1), 0, on="iu"),
    Rule("53: x + x", x + x, 2 * x, on="fc"),
    # ---- 57: magnitude and sign
    Rule("57: abs(nonnegative)", abs_(m), m, "signed-zero", on="iuf"),
    Rule("57: x / abs(x)", x / abs_(x), sgn(x), "special"),
    Rule("57: abs(x) / x", abs_(x) / x, sgn(x), "special"),
    Rule("57: abs(x) * abs(y)", abs_(x) * abs_(y), abs_(x * y), when=are_real),
    Rule("57: abs(x) / abs(y)", abs_(x) / abs_(y), abs_(x / y), when=are_real),
    Rule("57: sgn(p * x)", sgn(p * x), sgn(x), "overflow"),
    Rule("57: sgn(x) * abs(x)", sgn(x) * abs_(x), x, "signed-zero"),
    Rule("57: sgn(sgn(x))", sgn(sgn(x)), sgn(x), on="if"),
    # ---- 58: powers
    Rule("58: sqrt(sqr(x))", sqrt(sqr(x)), abs_(x), "rounding overflow"),
    Rule("58: sqr(sqrt(x))", sqr(sqrt(x)), switch(x >= 0, x, NAN), "rounding signed-zero"),
    Rule("58: sqr(x) / x", sqr(x) / x, x, "special rounding overflow signed-zero"),
    # ---- 62: comparisons and extrema of the same, of sizes, of constants
    Rule("62: x < x", lt(x, x), False, on="biuf"),
    Rule("62: x > x", gt(x, x), False, on="biuf"),
    Rule("62: x <= x", le(x, x), True, on="biu"),
    Rule("62: x >= x", ge(x, x), True, on="biu"),
    Rule("62: x == x", eq(x, x), True, on="biu"),
    Rule("62: x != x", neq(x, x), False, on="biu"),
    Rule("62: max(x, x)", maximum(x, x), x, on="biufc"),
    Rule("62: min(x, x)", minimum(x, x), x, on="biufc"),
    Rule("62: n >= 0", ge(m, 0), True, on="iu"),
    Rule("62: 0 <= n", le(0, m), True, on="iu"),
    Rule("62: n < 0", lt(m, 0), False, on="iu"),
    Rule("62: 0 > n", gt(0, m), False, on="iu"),
    Rule("62: n == negative", eq(m, n), False, on="i"),
    Rule("62: n != negative", neq(m, n), True, on="i"),
    Rule("62: max(n, 0)", maximum(m, 0), m, on="iu"),
    Rule("62: min(n, 0)", minimum(m, 0), 0, on="iu"),
    Rule("62: max(max(x, c1), c2)", maximum(maximum(x, c1), c2), maximum(x, maximum(c1, c2)), on="biuf"),
    Rule("62: min(min(x, c1), c2)", minimum(minimum(x, c1), c2), minimum(x, minimum(c1, c2)), on="biuf"),
    # ---- 63: logic; on integers these are bitwise
    Rule("63: ~~x", invert(invert(x)), x, on="biu"),
    Rule("63: ~(x == y)", invert(eq(x, y)), neq(x, y), on="biufc"),
    Rule("63: ~(x != y)", invert(neq(x, y)), eq(x, y), on="biufc"),
    Rule("63: ~(x < y)", invert(lt(x, y)), ge(x, y), on="biu"),
    Rule("63: ~(x <= y)", invert(le(x, y)), gt(x, y), on="biu"),
    Rule("63: ~(x > y)", invert(gt(x, y)), le(x, y), on="biu"),
    Rule("63: ~(x >= y)", invert(ge(x, y)), lt(x, y), on="biu"),
    Rule("63: x & x", and_(x, x), x, on="biu"),
    Rule("63: x | x", or_(x, x), x, on="biu"),
    Rule("63: x ^ x", xor(x, x), 0, on="iu"),
    Rule("63: b ^ b", xor(x, x), False, on="b"),
    Rule("63: x & 0", and_(x, 0), 0, on="iu"),
    Rule("63: x | 0", or_(x, 0), x, on="biu"),
    Rule("63: x ^ 0", xor(x, 0), x, on="biu"),
    Rule("63: b & True", and_(x, True), x, on="b"),
    Rule("63: b & False", and_(x, False), False, on="b"),
    Rule("63: b | True", or_(x, True), True, on="b"),
    Rule("63: b ^ True", xor(x, True), invert(x), on="b"),
    # ---- 65: what is whole or real already
    *[
        Rule(f"65: {f(g(x))}", f(g(x)), g(x))
        for f in (floor, ceil, trunc, round_even, round_away)
        for g in (floor, ceil, trunc, round_even, round_away)
    ],
    Rule("59: conj(conj(x))", conj(conj(x)), x, on="c"),
    Rule("65: real(conj(x))", real(conj(x)), real(x), on="fc"),
    Rule("65: imag(conj(x))", imag(conj(x)), -imag(x), on="fc"),
)

# Once, after everything else: one op for what users write with two; small powers by multiplication.
LAST = tuple(
    Rule(name, source, clip(x, c1, c2), on="iuf", when=lambda x, c1, c2: number(c1) <= number(c2))
    for name, source in (
        ("66: min(max(x, y), z)", minimum(maximum(x, c1), c2)),
        ("66: max(min(x, z), y)", maximum(minimum(x, c2), c1)),
        ("66: clip(clip(x))", clip(clip(x, c1, c2), c1, c2)),
    )
)
