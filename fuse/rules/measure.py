"""Why rewriting ends: a weight of expressions that every rule of the tables lowers.

Each op is a function of its arguments' weights that grows with each of them, so that a rule which lowers the weight of
a part lowers that of the whole, and no graph can be rewritten for ever. Rising slopes order the families: a logarithm
weighs more than all that rules put in its place; a negation weighs little inside, so that it moves outwards.
The tests evaluate both sides of every rule. (The procedures remove nodes or axes, or move indices and fills towards
the leaves or the root; the driver bounds them besides.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fuse.expr import Constant, Expr, toposort

# Slope of functions of one argument.
SLOPE: Mapping[str, float] = {
    "sqr": 3,
    "sqrt": 2000,
    "exp": 20,
    "expm1": 39,
    "log": 1000,
    "log1p": 25,
    "softplus": 100,
    "log1mexp": 200,
    "sigmoid": 50,
    "erf": 500,
    "erfc": 900,
    "erfcx": 50,
    "cos": 100,
    "cosh": 38,
    "sinh": 37,
    "tanh": 60,
    "invert": 2,
    "sgn": 2,
}
# Slope of functions of two arguments, in both.
SLOPE_OF_TWO: Mapping[str, float] = {"true_div": 3, "pow": 20000, "logaddexp": 150}


def measure(expr: Expr, inputs: float) -> float:
    """The weight of ``expr`` where each input weighs ``inputs``.

    >>> import fuse.tensor as T
    >>> x = T.scalar("x")
    >>> measure(T.log(1 + x), 10) > measure(T.log1p(x), 10)
    True
    """
    weight: dict[Expr, float] = {}
    for node in toposort([expr]):
        if isinstance(node, Constant):
            weight[node] = 1.3 if node.data.dtype.kind in "if" and (node.data < 0).any() else 1.0
        elif node.is_leaf:
            weight[node] = inputs
        else:
            weight[node] = _of_op(node.op.name, [weight[a] for a in node.args])
    return weight[expr]


def _of_op(name: str, parts: Sequence[float]) -> float:
    if name == "neg":
        return parts[0] + 1
    if name == "abs":
        return parts[0] + 2
    if name == "mul":
        return 2 * sum(parts) + 1
    if name in ("switch", "clip", "fill", "broadcast_to", "cast", "dimshuffle"):
        return sum(parts) + 1
    if len(parts) == 1:
        return SLOPE.get(name, 10) * parts[0]
    return SLOPE_OF_TWO.get(name, 2) * sum(parts)
