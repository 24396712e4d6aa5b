"""The gradient of a loop of numbers in a few numbers, forwards: tangents run in the same loop, and nothing is kept.

A recursion over a long series with one parameter or a few (a moving average, smoothing, a conditional variance) is
bound by how long a step waits for the one before. Tangents are more work for a step, but wait no longer; a loop
backwards waits a second time, and reads what the first one had to write.
"""
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from fuse.autodiff.absent import is_null
from fuse.autodiff.sweep import cast_like, filled, is_discrete, op
from fuse.expr import Constant, Expr, constant, rebuild, substitute, toposort, transform, variable
from fuse.frontend import elementwise as ew
from fuse.frontend.arithmetic import kept_reciprocal
from fuse.frontend.loops import Body, arguments, loop_node, results
from fuse.frontend.signs import element_givers
from fuse.frontend.windows import change_of, is_alone, normal
from fuse.op import ZERO
from fuse.types import only_arrays

MOST = 4  # numbers to differentiate by
FORMULAS = 64  # operations that make the loop's arguments of them


def gradient(
    g: Any, out: Expr, reach: Collection[Expr], ends: Collection[Expr]
) -> dict[Expr, Any] | None:
    """The cotangents of the few numbers in terms of which the loop ``out`` is known; None: they are found backwards.

    ``g`` are the cotangents of its results, ``reach`` has the nodes whose cotangents are wanted. The numbers are those
    of ``ends`` or what is no formula of numbers: a variance that starts at ``w / (1 - a - b)`` needs no tangent of
    its own.
    """
    body: Body = out.params["body"]
    params = {k: v for k, v in out.params.items() if k != "body"}
    plain = not params.keys() - {"label", "nonempty"} and body.until is None
    numbers = plain and all(only_arrays(x.type) for x in body.inputs)
    body = in_normal_form(body) if numbers else body
    arrays = _changed_in_place(body) if numbers else None
    numbers = arrays is not None and all(
        (x.type.ndim == 0 or x in body.states) and (is_discrete(x) or x.type.dtype.startswith("float"))
        for x in body.inputs
    )
    if not plain or not numbers or not isinstance(g, tuple) or any(is_null(h) for h in g):
        return None
    wanted = [k for k, arg in enumerate(out.args[1:]) if arg in reach]
    if not wanted or min(wanted) < len(body.sequences) or any(is_discrete(body.inputs[k]) for k in wanted):
        return None
    if not all(_has_finite_slopes(n) for n in toposort(body.outputs) if not n.is_leaf and n not in (arrays or ())):
        return None
    roots = _roots([out.args[1 + k] for k in wanted], reach, ends)
    if roots is None:
        return None
    from fuse.autodiff.forward import tangents

    targets: list[dict[int, Expr]] = []
    for root in roots:
        one = constant(1, dtype=root.type.dtype)
        found = tangents([out.args[1 + k] for k in wanted], {**dict.fromkeys(roots), root: one})
        targets.append({k: t for k, t in zip(wanted, found, strict=True) if isinstance(t, Expr) and not is_zero(t)})
        fading = [k for k in targets[-1] if not _only_adds(body, k - len(body.sequences))]
        if fading and max(fading) < len(body.sequences) + len(body.states):
            return None  # where a state starts is soon forgotten: its tangent fades, and subnormal numbers are slow
    given = [None if not isinstance(h, Expr) or is_zero(h) else h for h in g]
    return dict(zip(roots, _totals(given, out, body, params, targets), strict=True))


def _has_finite_slopes(node: Expr) -> bool:
    """Whether tangents of zero stay zero through a function of numbers, as they do backwards; ``x ** 2`` is one."""
    if node.op.name == "pow" and isinstance(node.args[1], Constant) and not node.args[1].type.ndim:
        exponent = node.args[1].data.item()
        whole = isinstance(exponent, (int, float)) and exponent >= 1 and float(exponent).is_integer()
        return whole and not node.type.ndim
    return "finite-slopes" in node.op.traits and not node.type.ndim and not any(a.type.ndim for a in node.args)


def _roots(values: Sequence[Expr], reach: Collection[Expr], ends: Collection[Expr]) -> list[Expr] | None:
    """The numbers that ``values`` are formulas of; None where they are too many, or the formulas are no small ones."""
    roots: dict[Expr, None] = {}
    seen: dict[Expr, None] = {}
    stack = list(values)
    while stack:
        node = stack.pop()
        if node in seen or node not in reach:
            continue
        seen[node] = None
        if node in ends or node.is_leaf or not _has_finite_slopes(node):
            roots[node] = None
        else:
            stack += node.args
    if len(roots) > MOST or len(seen) > FORMULAS or any(
        r.type.ndim or not r.type.dtype.startswith("float") for r in roots
    ):
        return None
    return list(roots)


@dataclass
class _Beside:
    """Tangents beside a loop, for several targets at once: further states, fixed and kept values of its body.

    ``states`` begin with ``starts`` and become ``nexts``; ``fixed`` has outer tangents by the leaves that stand for
    them. For each target ``finals`` says which new state is the tangent of a state, and ``values`` which new kept
    value that of a kept one.
    """

    states: list[Expr] = field(default_factory=list)
    starts: list[Expr] = field(default_factory=list)
    nexts: list[Expr] = field(default_factory=list)
    kept: list[Expr] = field(default_factory=list)
    fixed: dict[Expr, Expr] = field(default_factory=dict)
    finals: list[dict[int, int]] = field(default_factory=list)
    values: list[dict[int, int]] = field(default_factory=list)

    def add(self, target: dict[int, Expr], inner: Body, inits: Sequence[Expr], given: Sequence[Expr | None]) -> None:
        """The tangents for one target: those of the body's inputs, by their numbers."""
        a, count = len(inner.sequences), len(inner.states)
        dots = {k - a: variable(inner.inputs[k].type) for k in target if k < a + count}
        seeds: dict[Expr, Any] = {}
        for k, t in target.items():
            if k >= a + count:
                x = inner.inputs[k]
                t = cast_like(t, x)
                seeds[x] = t if isinstance(t, Constant) else variable(x.type)
                if not isinstance(t, Constant):
                    self.fixed[seeds[x]] = t
        found = _spread(inner, seeds, dots)
        self.finals.append({s: len(self.states) + i for i, s in enumerate(dots)})
        self.states += dots.values()
        self.starts += [cast_like(target[a + s], v) if a + s in target else _zero(inits[s], v) for s, v in dots.items()]
        self.nexts += [_dense(found[s], v) for s, v in dots.items()]
        moving = [m for m in range(len(inner.ys))
                  if isinstance(given[count + m], Expr) and isinstance(found[count + m], Expr)]
        self.values.append({m: len(self.kept) + i for i, m in enumerate(moving)})
        self.kept += [_dense(found[count + m], inner.ys[m]) for m in moving]


def _spread(inner: Body, seeds: dict[Expr, Any], dots: dict[int, Expr]) -> list[Any]:
    """The tangents of the body's results; ``dots``, those of states, gets what reaches further states."""
    from fuse.autodiff.forward import tangents

    while True:  # states get a tangent as soon as another one's reaches them
        found = tangents(inner.outputs, {**seeds, **{inner.states[s]: v for s, v in dots.items()}})
        new = [s for s, x in enumerate(inner.states)
               if isinstance(found[s], Expr) and s not in dots and not is_discrete(x)]
        if not new:
            return found
        dots.update({s: variable(inner.states[s].type) for s in new})


def _totals(
    given: Sequence[Expr | None], out: Expr, body: Body, params: dict[str, Any], targets: Sequence[dict[int, Expr]]
) -> list[Any]:
    """The derivative for each of ``targets``: the tangents of some arguments of the loop."""
    sequences, inits, fixed = arguments(out)
    inner, more = body.opened(), _Beside()
    for target in targets:
        more.add(target, inner, inits, given)
    slopes = _divided_once([*more.nexts, *more.kept], inner.outputs)
    nexts, kept = slopes[: len(more.nexts)], slopes[len(more.nexts) :]
    whole = Body(
        inner.sequences, [*inner.states, *more.states], [*inner.fixed, *more.fixed], [*inner.nexts, *nexts],
        [*inner.ys, *kept],
    )
    starts, outer = [*inits, *more.starts], [*fixed, *more.fixed.values()]
    finals, values, _ = results(loop_node(out.args[0], sequences, starts, outer, whole, **params))
    count = len(inner.states)
    totals: list[Any] = []
    for by_state, by_kept in zip(more.finals, more.values, strict=True):
        terms = [ew.mul(h, finals[count + i]) for s, i in by_state.items() if (h := given[s]) is not None]
        terms = [op("sum", t, axis=(0,), dtype=t.type.dtype) if t.type.ndim else t for t in terms]
        terms += [
            op("sum", ew.mul(h, values[len(inner.ys) + i]), axis=(0,), dtype=h.type.dtype)
            for m, i in by_kept.items() if (h := given[count + m]) is not None
        ]
        totals.append(reduce(ew.add, terms) if terms else ZERO)
    return totals


def _divided_once(values: Sequence[Expr], known: Sequence[Expr]) -> list[Expr]:
    """``values`` with products by one reciprocal where they divide by the same number twice or more.

    What is in ``known``, the user's own formula, keeps its quotients.
    """
    own = set(toposort(known))
    quotients = [
        n for n in toposort(values) if n.op.name == "true_div" and n not in own and not isinstance(n.args[1], Constant)
        and n.type.ndim == 0 and all(a.type == n.type for a in n.args)
    ]
    divisors = [n.args[1] for n in quotients]
    often = {n for n in quotients if divisors.count(n.args[1]) > 1}

    def visit(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node in often:
            return ew.mul(args[0], kept_reciprocal(args[1]))
        return rebuild(node, args) if args else node

    return transform(values, visit) if often else list(values)


def _only_adds(body: Body, k: int) -> bool:
    """Whether the state ``k`` is one to which steps add, and which they do not read otherwise: its tangent is 1."""
    if not 0 <= k < len(body.states):
        return False
    state = body.states[k]
    node, others = body.nexts[k], [*body.nexts[:k], *body.nexts[k + 1 :], *body.ys]
    while node.op.name == "add" and node is not state:
        after = [a for a in node.args if state in toposort([a])]
        if len(after) != 1:
            return False
        others += [a for a in node.args if a is not after[0]]
        [node] = after
    return node is state and state not in toposort(others)


def _dense(t: Any, like: Expr) -> Expr:
    """The tangent of a value; zero where there is none."""
    return cast_like(t, like) if isinstance(t, Expr) else _zero(like, like)


def _zero(model: Expr, like: Expr) -> Expr:
    """Zero in the shape of ``model``."""
    return filled(model, 0.0) if model.type.ndim else constant(0, dtype=like.type.dtype)


def in_normal_form(body: Body) -> Body:
    """A body with the windows among its states written in one way."""
    changes = {
        after: new for x, after in zip(body.states, body.nexts, strict=True)
        if only_arrays(x.type) and (new := normal(x, after)) is not after
    }
    return body.on(substitute(body.outputs, changes)) if changes else body


def _changed_in_place(body: Body) -> set[Expr] | None:
    """The nodes that change arrays among the states by single numbers, and read them; None where others are arrays."""
    arrays = [x for x in body.states if x.type.ndim]
    if not arrays:
        return set()
    found: set[Expr] = set()
    order = toposort(body.outputs)
    if any(y.type.ndim for y in body.ys):
        return None
    for x, after in zip(body.states, body.nexts, strict=True):
        if not x.type.ndim:
            continue
        change = change_of(x, after) if x.type.ndim == 1 else None
        if change is None or not is_alone(change, after, order, body.outputs):
            return None
        rows = [r for r in change.new if r.op.name == "dimshuffle" and r.params["pattern"] == ("x",)]
        if len(rows) < len(change.new) or any(s.args[1].type.ndim for s in change.stores):
            return None
        if any(not _is_one(s) for s in change.stores):
            return None
        found |= {change.moved, *change.stores, *rows, *[a for a in change.moved.args if a.type.ndim]}
    found.difference_update(body.inputs)
    reads = {n for n in order if n.op.name == "subtensor" and n.args[0] in arrays and not n.type.ndim}
    return found | reads


def _is_one(store: Expr) -> bool:
    """Whether a store is one of a single number."""
    return all(entry[0] == "int" for entry in store.params["spec"])


def is_zero(g: Any) -> bool:
    """Whether a cotangent is surely zero everywhere."""
    while isinstance(g, Expr) and g.op.name in ("fill", "cast", "dimshuffle"):
        (g,) = element_givers(g)
    return isinstance(g, Constant) and not g.data.any()
