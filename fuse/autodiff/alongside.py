"""The gradient of a loop of numbers in a few numbers, forwards: tangents run in the same loop, and nothing is kept.

A recursion over a long series with one parameter or a few (a moving average, smoothing, a conditional variance) is
bound by how long a step waits for the one before. Tangents are more work for a step, but wait no longer; a loop
backwards waits a second time, and reads what the first one had to write.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuse.autodiff.sweep import cast_like, is_discrete, op
from fuse.expr import Constant, Expr, constant, toposort, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.loops import Body, arguments, loop_node, results
from fuse.op import DISCONNECTED, ZERO

MOST = 4  # numbers to differentiate by
# Ops with finite slopes wherever their values are finite: tangents of zero then stay zero, as they do backwards.
_SMOOTH = {
    "add", "sub", "mul", "neg", "sqr", "true_div", "reciprocal", "abs", "maximum", "minimum", "switch", "cast", "fill",
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "sinh", "cosh", "tanh", "arctan", "sigmoid",
    "softplus", "erf", "erfc", "eq", "neq", "lt", "le", "gt", "ge", "and_", "or_", "invert", "xor", "sgn", "relu",
}


def gradient(
    given: Sequence[Expr | None], out: Expr, wanted: Sequence[bool], body: Body, params: dict[str, Any]
) -> list[Any] | None:
    """The cotangents of a loop's arguments that are ``wanted``; None where they are found backwards.

    ``given`` are the cotangents of the final states and of the kept values.
    """
    targets = [k for k, w in enumerate(wanted[1:]) if w]
    plain = not params.keys() - {"label", "nonempty"} and body.until is None
    numbers = all(x.type.ndim == 0 and (is_discrete(x) or x.type.dtype.startswith("float")) for x in body.inputs)
    if not plain or not numbers or not 0 < len(targets) <= MOST or min(targets) < len(body.sequences):
        return None
    nodes = [n for n in toposort(body.outputs) if not n.is_leaf]
    if any(n.op.name not in _SMOOTH or n.type.ndim for n in nodes) or any(is_discrete(body.inputs[k]) for k in targets):
        return None
    from fuse.autodiff.forward import tangents

    sequences, inits, fixed = arguments(out)
    inner = body.opened()
    a, count = len(sequences), len(inits)
    states: list[Expr] = []
    starts: list[Expr] = []
    nexts: list[Expr] = []
    kept: list[Expr] = []
    finals_of: list[dict[int, int]] = []  # for each target, by state: which of the new states is its tangent
    kept_of: list[dict[int, int]] = []
    for k in targets:
        one = constant(1, dtype=inner.inputs[k].type.dtype)
        dots = {k - a: variable(inner.inputs[k].type)} if k < a + count else {}
        seeds: dict[Expr, Any] = {} if k < a + count else {inner.inputs[k]: one}
        while True:  # states get a tangent as soon as another one's reaches them
            found = tangents(inner.outputs, {**seeds, **{inner.states[s]: v for s, v in dots.items()}})
            new = [s for s in range(count) if isinstance(found[s], Expr) and s not in dots
                   and not is_discrete(inner.states[s])]
            if not new:
                break
            dots.update({s: variable(inner.states[s].type) for s in new})
        finals_of.append({s: len(states) + i for i, s in enumerate(dots)})
        states += dots.values()
        starts += [one if s == k - a else constant(0, dtype=v.type.dtype) for s, v in dots.items()]
        nexts += [_dense(found[s], v) for s, v in dots.items()]
        moving = [m for m in range(len(inner.ys))
                  if isinstance(given[count + m], Expr) and isinstance(found[count + m], Expr)]
        kept_of.append({m: len(kept) + i for i, m in enumerate(moving)})
        kept += [_dense(found[count + m], inner.ys[m]) for m in moving]
    whole = Body(
        inner.sequences, [*inner.states, *states], inner.fixed, [*inner.nexts, *nexts], [*inner.ys, *kept],
    )
    node = loop_node(out.args[0], sequences, [*inits, *starts], fixed, whole, **params)
    finals, values, _ = results(node)
    result: list[Any] = [DISCONNECTED] * len(wanted)
    for k, by_state, by_kept in zip(targets, finals_of, kept_of, strict=True):
        terms = [ew.mul(g, finals[count + i]) for s, i in by_state.items() if (g := given[s]) is not None]
        terms += [
            op("sum", ew.mul(g, values[len(inner.ys) + i]), axis=(0,), dtype=g.type.dtype)
            for m, i in by_kept.items() if (g := given[count + m]) is not None
        ]
        total: Any = ZERO
        for term in terms:
            total = term if total is ZERO else ew.add(total, term)
        result[1 + k] = total if total is ZERO else cast_like(total, inner.inputs[k])
    return result


def _dense(t: Any, like: Expr) -> Expr:
    """The tangent of a number; zero where there is none."""
    return cast_like(t, like) if isinstance(t, Expr) else constant(0, dtype=like.type.dtype)


def is_zero(g: Any) -> bool:
    """Whether a cotangent is surely zero everywhere."""
    while isinstance(g, Expr) and g.op.name in ("fill", "cast", "dimshuffle"):
        g = g.args[1 if g.op.name == "fill" else 0]
    return isinstance(g, Constant) and not g.data.any()
