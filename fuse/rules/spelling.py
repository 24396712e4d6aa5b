"""Table: one spelling for what can be written in several ways, with no or the least change of value."""

from __future__ import annotations

from typing import Any

from fuse.op import OPS
from fuse.rewrite import Rule, head, heads, ordered, wildcards
from fuse.rewrite.pattern import Call, is_constant, is_negative
from fuse.rules.values import negated_sum, negative, opposite_term, safely_negated

x, y, z = wildcards("x y z")
(n,) = wildcards("n", is_negative)
(c,) = wildcards("c", is_constant)
abs_, cos, cosh, exp2, sqr, sqrt, reciprocal, pow_ = heads("abs cos cosh exp2 sqr sqrt reciprocal pow")
switch, invert = heads("switch invert")

NUMBERS = "iufc"


def _scaled(name: str, left: Call, right: Any, on: str = NUMBERS, **when: Any) -> list[Rule]:
    """A rule about products or quotients: of complex numbers these add products up, whose zeros and infinities tell."""
    real = on.replace("c", "")
    return [
        Rule(name, left, right, on=real, **when),
        Rule(f"{name}, complex", left, right, "signed-zero special overflow", on="c", **when),
    ]


SPELLING = (
    # differences: a - b, with no negation inside and no negative constant behind the sign
    Rule("55: x + -y", x + -y, x - y, on=NUMBERS),
    Rule("55: x - -y", x - -y, x + y, on=NUMBERS),
    Rule("55: -x - y", -x - y, -(x + y), "signed-zero", on="ifc"),
    Rule("55: -(-x)", -(-x), x, on=NUMBERS),  # noqa: B002
    Rule("55: -(x - y)", -(x - y), y - x, "signed-zero", on=NUMBERS),
    Rule("55: x + negative", x + n, lambda x, n: negative(n, "sub", x), on="if", when=safely_negated),
    Rule("55: x - negative", x - n, lambda x, n: negative(n, "add", x), on="if", when=safely_negated),
    Rule(
        "55: x + negative * y", x + n * y, lambda x, y, n: opposite_term("sub", x, n, y), on="if", when=safely_negated
    ),
    Rule(
        "55: x - negative * y", x - n * y, lambda x, y, n: opposite_term("add", x, n, y), on="if", when=safely_negated
    ),
    Rule("55: negative * x - y", n * x - y, lambda x, y, n: negated_sum(n, x, y), "signed-zero", on="f"),
    Rule("55: x + negative / y", x + n / y, lambda x, y, n: opposite_term("sub", x, n, y, "true_div"), on="f"),
    Rule("55: x - negative / y", x - n / y, lambda x, y, n: opposite_term("add", x, n, y, "true_div"), on="f"),
    # products and quotients: the sign in front, or in the constant
    *_scaled("55: -x * y", ordered(-x * y), -(x * y), on=NUMBERS),
    *_scaled("55: x * -y", ordered(x * -y), -(x * y), on=NUMBERS),
    *_scaled("55: -x / y", -x / y, -(x / y), on="fc"),
    *_scaled("55: x / -y", x / -y, -(x / y), on="fc"),
    *_scaled(
        "55: -(c * x)", -(c * x), lambda c, x: negative(c, "mul", x), on="ifc", when=lambda c, x: not is_constant(x)
    ),
    *_scaled("55: -(c / x)", -(c / x), lambda c, x: negative(c, "true_div", x), on="fc"),
    *_scaled("55: -(x / c)", -(x / c), lambda c, x: negative(c, "true_div", x, last=True), on="fc"),
    *_scaled("55: x * -1", x * -1, -x, on="ifc"),
    *_scaled("55: x / -1", x / -1, -x, on="fc"),
    Rule("55: reciprocal(x)", reciprocal(x), 1 / x, on="f"),
    Rule("58: x * x", x * x, sqr(x), on=NUMBERS),
    Rule("58: x**2", pow_(x, 2), sqr(x), "rounding", on=NUMBERS),
    Rule("58: x**0.5", pow_(x, 0.5), sqrt(x), "rounding signed-zero special"),
    Rule("58: x**-0.5", pow_(x, -0.5), 1 / sqrt(x), "rounding signed-zero special"),
    Rule("58: 2**x", pow_(2, x), exp2(x), "rounding"),
    Rule("58: x**-1", pow_(x, -1), 1 / x, "rounding"),
    Rule("58: x**-2", pow_(x, -2), 1 / sqr(x), "rounding"),
    # neutral elements that are exact
    Rule("54: x - 0", x - 0, x, on=NUMBERS),
    Rule("54: x + -0.0", x + -0.0, x, on="f"),
    *_scaled("54: x * 1", x * 1, x, on="biufc"),
    *_scaled("54: x / 1", x / 1, x, on="fc"),
    Rule("54: x**1", pow_(x, 1), x, on="iufc"),
    Rule("54: x**0", pow_(x, 0), 1, on="iuf"),
    Rule("54: 1**x", pow_(1, x), 1, on="iuf"),
    # even and odd functions, signs
    Rule("57: abs(-x)", abs_(-x), abs_(x), on="if"),
    Rule("57: sqr(-x)", sqr(-x), sqr(x), on="iufc"),
    Rule("57: sqr(abs(x))", sqr(abs_(x)), sqr(x), on="iuf"),
    Rule("57: cos(-x)", cos(-x), cos(x)),
    Rule("57: cosh(-x)", cosh(-x), cosh(x)),
    *[Rule(f"57: {f(-x)}", f(-x), -f(x)) for f in [head(op.name) for op in OPS.values() if "odd" in op.traits]],
    Rule("57: abs(abs(x))", abs_(abs_(x)), abs_(x), on="iuf"),
    # a choice by a negated condition
    Rule(
        "46: switch(invert(c), x, y)",
        switch(invert(z), x, y),
        switch(z, y, x),
        on="bfiuc",
        when=lambda x, y, z: z.type.dtype == "bool",
    ),
)
