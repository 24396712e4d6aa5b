"""Table: choices. A factor of a choice with 0 goes into the branch, so that 0 * inf is never computed."""

from __future__ import annotations

from fuse.op import OPS
from fuse.rewrite import Rule, head, heads, wildcards
from fuse.rewrite.pattern import is_constant
from fuse.rules.values import number

x, y, a, b, c = wildcards("x y a b c")
(k,) = wildcards("k", is_constant)
(switch,) = heads("switch")
BINARY = heads("add sub mul true_div maximum minimum")
ANY = "biufc"

CHOICES = (
    Rule("46: switch(c, a, a)", switch(c, a, a), a, on=ANY),
    Rule(
        "46: switch(constant, a, b)",
        switch(k, a, b),
        lambda k, a, b: a if number(k) != 0 else b,
        on=ANY,
        when=lambda k, a, b: number(k) == number(k),
    ),
    Rule("46: switch(c, switch(c, a, x), b)", switch(c, switch(c, a, x), b), switch(c, a, b), on=ANY),
    Rule("46: switch(c, a, switch(c, x, b))", switch(c, a, switch(c, x, b)), switch(c, a, b), on=ANY),
    *[
        Rule(
            f"45: {op(switch(c, a, b), switch(c, x, y))}",
            op(switch(c, a, b), switch(c, x, y)),
            switch(c, op(a, x), op(b, y)),
            on=ANY,
        )
        for op in BINARY
    ],
    Rule("43: y * switch(c, 0, b)", y * switch(c, 0, b), switch(c, 0, y * b), "special signed-zero", on="iufc"),
    Rule("43: y * switch(c, a, 0)", y * switch(c, a, 0), switch(c, y * a, 0), "special signed-zero", on="iufc"),
    Rule("44: switch(c, 0, b) / y", switch(c, 0, b) / y, switch(c, 0, b / y), "special signed-zero", on="fc"),
    Rule("44: switch(c, a, 0) / y", switch(c, a, 0) / y, switch(c, a / y, 0), "special signed-zero", on="fc"),
)

LAST = tuple(
    rule
    for f in [head(op.name) for op in OPS.values() if "dear" in op.traits]
    for rule in (
        Rule(f"47: {f(switch(c, k, b))}", f(switch(c, k, b)), switch(c, f(k), f(b))),
        Rule(f"47: {f(switch(c, a, k))}", f(switch(c, a, k)), switch(c, f(a), f(k))),
    )
)
