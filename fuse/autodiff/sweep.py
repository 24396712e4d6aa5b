"""The reverse sweep: cotangents flow from outputs to inputs, once over the graph and without recursion.

Everything that the gradient rules of ops leave out happens here: sums over broadcast axes, casts to the argument's
dtype, addition of what several uses contribute, and the markers for gradients that are zero, disconnected or undefined.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fuse import types as ty
from fuse.autodiff.absent import NullType, grad_not_implemented, is_disconnected, is_null
from fuse.errors import FuseTypeError, ShapeError, origin_text
from fuse.expr import Expr, as_expr, constant, toposort
from fuse.frontend.apply import Apply
from fuse.frontend.lazy import IFELSE, edge_guard, guards, has_choices, under
from fuse.frontend.loops import DERIVATIVES, LOOP
from fuse.op import DISCONNECTED, OPS, ZERO, Marker
from fuse.types import TensorType

# What flows: an expression (of the node's shape), ZERO, DISCONNECTED, or a placeholder of NullType.
Cotangent = Expr | Marker
# Within the sweep: zeros that flow because somebody asked for them, and so ask nothing of the ops they come to.
_CONSTANT = Marker("CONSTANT")


def op(name: str, *args: Expr, **params: Any) -> Expr:
    """The core op called ``name`` on ``args``."""
    return OPS[name](*args, **params)


def filled(model: Expr, value: float, dtype: str | None = None) -> Expr:
    """``value`` in the shape of ``model``, in floatX where ``model`` is no float and ``dtype`` is not given."""
    return op("fill", model, constant(value, dtype=dtype or gradient_dtype(model)))


def dense(g: Any, like: Expr) -> Expr:
    """What flows, in the dtype of ``like``: zeros where it is no expression."""
    return cast_like(g, like) if isinstance(g, Expr) else filled(like, 0.0)


def gradient_dtype(node: Expr) -> str:
    """The dtype of gradients with respect to ``node``: its own, floatX for integers and bools."""
    return node.type.dtype if node.type.dtype in ty.CONTINUOUS else ty.dtype_name("floatX")


def is_tensor(node: Expr) -> bool:
    return isinstance(node.type, TensorType)


def is_discrete(node: Expr) -> bool:
    """Whether values have no derivative: integers, and objects of a user's own types."""
    return node.type.dtype in ty.DISCRETE if is_tensor(node) else not isinstance(node.type, ty.TupleType)


def cotangents(
    outputs: Sequence[tuple[Expr, Cotangent]],
    wrt: Iterable[Expr],
    stop: Collection[Expr] = (),
    known: Mapping[Expr, Cotangent] | None = None,
) -> dict[Expr, Cotangent]:
    """The cotangent of each node of ``wrt`` for the given cotangents of ``outputs``.

    Nothing flows through the nodes of ``stop`` to their arguments. The cotangents in ``known`` replace whatever would
    arrive at their nodes. A node that no output depends on maps to DISCONNECTED.
    """
    known = known or {}
    targets = set(wrt)
    stop = set(stop)
    order = toposort([*(node for node, _ in outputs), *known])
    reach = _reaching(order, targets, stop)
    roots = [*(node for node, _ in outputs), *known, *targets.intersection(order)]
    lazy = guards(order, roots) if has_choices(order) else {}
    terms: dict[Any, list[Cotangent]] = {}
    for node, g in outputs:
        terms.setdefault(node, []).append(g)
    result: dict[Expr, Cotangent] = {}
    for node in reversed(order):
        if node not in reach:
            continue
        g = known[node] if node in known else _arrived(node, terms)
        if node in targets:
            result[node] = ZERO if g is _CONSTANT else g
        if node in stop or node.is_leaf or g is DISCONNECTED:
            continue
        wanted = tuple([arg in reach for arg in node.args])
        if not any(wanted):
            continue
        if node.op.name == "part":
            g = _leaving(node, 0, g, lazy, node)
            flat = is_discrete(node) and not is_null(g) and g is not _CONSTANT
            terms.setdefault((node.args[0], node.params["i"]), []).append(ZERO if flat else g)
            continue
        numbers = None
        if node.op is LOOP and not lazy:
            numbers = DERIVATIVES["alongside"](g, node, reach, targets | known.keys())
        if numbers is not None:
            for arg, h in numbers.items():
                terms.setdefault(arg, []).append(h)
            continue
        for k, (arg, h) in enumerate(zip(node.args, _flowing(node, g, wanted), strict=True)):
            if h is not DISCONNECTED and arg in reach:
                terms.setdefault(arg, []).append(_leaving(node, k, h, lazy, arg))
    for node in targets:
        result.setdefault(node, DISCONNECTED)
    return result


def _flowing(node: Expr, g: Any, wanted: Sequence[bool]) -> Sequence[Any]:
    """What flows to each argument of ``node``, at which ``g`` arrived."""
    if g is _CONSTANT or node.op.meta.get("for_gradients") and node.op.grad == (ZERO,):
        return [DISCONNECTED if _is_disconnected_rule(node, i) else _CONSTANT for i in range(len(wanted))]
    if node.op is IFELSE and isinstance(g, Expr) and not is_null(g):
        return [ZERO, g, g]
    return pull_back(node, g, wanted)


def _leaving(node: Expr, k: int, h: Any, lazy: Mapping[Expr, Any], like: Expr) -> Any:
    """``h``, which flows from ``node`` to its argument ``k``; nothing where ``node`` is in a branch not taken.

    The argument is needed by others too; within a branch everything is computed as if there were no choice.
    """
    if not lazy or not isinstance(h, Expr) or is_null(h):
        return h
    conditions = edge_guard(node, k, lazy[node]) - lazy[node.args[k]]
    return under(conditions, lazy, h, filled(like, 0.0, h.type.dtype)) if conditions else h


def _reaching(order: Sequence[Expr], targets: set[Expr], stop: set[Expr]) -> set[Expr]:
    """The nodes of ``order`` from which something can flow to ``targets``."""
    reach: set[Expr] = set()
    for node in order:
        if node in targets or node not in stop and not reach.isdisjoint(node.args):
            reach.add(node)
    return reach


def _arrived(node: Expr, terms: Mapping[Any, list[Cotangent]]) -> Any:
    """The sum of what arrived at ``node``; a tuple, one entry per output, for a node with several outputs."""
    if not isinstance(node.type, ty.TupleType):
        return _total(terms.get(node, ()))
    parts = tuple([_total(terms.get((node, i), ())) for i in range(len(node.type.elements))])
    if all(isinstance(p, Marker) for p in parts) and not (ZERO in parts and _hides_jumps(node)):
        return next((kind for kind in (ZERO, _CONSTANT) if kind in parts), DISCONNECTED)
    return tuple([ZERO if p is _CONSTANT else p for p in parts])


def _hides_jumps(node: Expr) -> bool:
    """Whether a loop has an op in its body that no gradient passes, not even one of zeros."""
    return node.op is LOOP and any("undefined" in n.op.meta for n in toposort(node.params["body"].outputs))


def _total(terms: Sequence[Cotangent]) -> Cotangent:
    """The sum of ``terms``, as a balanced tree: 100,000 uses of one variable make no chain."""
    if not terms:
        return DISCONNECTED
    for term in terms:
        if is_null(term):
            return term
    level = [t for t in terms if not isinstance(t, Marker)]
    if not level:
        return next((kind for kind in (ZERO, _CONSTANT) if kind in terms), DISCONNECTED)
    while len(level) > 1:
        paired: list[Any] = [op("add", a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2:]
    return level[0]


# ---------------------------------------------------------------- one node
def pull_back(node: Expr, g: Any, wanted: Sequence[bool]) -> list[Cotangent]:
    """The cotangents of the arguments of ``node`` for its own cotangent ``g`` (a tuple for several outputs).

    Arguments that are not ``wanted`` are skipped where their rules stand alone, and get DISCONNECTED.
    """
    null = next((p for p in (g if isinstance(g, tuple) else (g,)) if is_null(p)), None)
    if null is not None:
        pattern = _connections(node) if isinstance(g, tuple) else None
        if pattern is not None:  # an output without a gradient spoils that of the inputs which it depends on
            spoilt = [any(c and is_null(p) for c, p in zip(row, g, strict=True)) for row in pattern]
            rest = tuple([DISCONNECTED if is_null(p) else p for p in g])
            known = any(not isinstance(p, Marker) for p in rest)
            found = pull_back(node, rest, wanted) if known else [DISCONNECTED] * len(node.args)
            return [null if s else h for s, h in zip(spoilt, found, strict=True)]
        return [DISCONNECTED if _is_disconnected_rule(node, i) else null for i in range(len(node.args))]
    if (why := node.op.meta.get("undefined")) is not None:
        return _undefined(node, why)
    if g is ZERO or is_discrete(node) and "floats" not in node.op.meta:
        return [DISCONNECTED if _is_disconnected_rule(node, i) else ZERO for i in range(len(node.args))]
    if isinstance(g, tuple):
        g = tuple([_dense(node, i, p) for i, p in enumerate(g)])
    rules = node.op.grad
    if rules is None or isinstance(rules, str):
        missing = NullType(f"the op {node.op} has no gradient{f': {rules}' if rules else ' rule'}")()
        return [ZERO if is_discrete(a) else missing for a in node.args]
    if node.op.kind == "elementwise":
        raw = [_elementwise_rule(node, i, rule, g, w) for i, (rule, w) in enumerate(zip(rules, wanted, strict=True))]
    else:
        raw = list(rules(g, node, *node.args, **node.params))
        if len(raw) != len(node.args):
            raise FuseTypeError(f"the gradient of {node.op} has {len(raw)} entries for {len(node.args)} arguments")
    return [_fit(node, i, h) if w else DISCONNECTED for i, (h, w) in enumerate(zip(raw, wanted, strict=True))]


def _connections(node: Expr) -> Any:
    """Which outputs each input of a user's op is connected to, where the op says so."""
    instance: Any = node.op.meta.get("instance")
    return instance.connection_pattern(Apply._view(node)) if hasattr(instance, "connection_pattern") else None


def _undefined(node: Expr, why: str) -> list[Cotangent]:
    """What an op passes on that declares that it has no gradient, also where nothing but zeros would flow."""
    missing = NullType(f"{why}\n  it was made at {origin_text(node.origin)}")()
    pattern = _connections(node)
    if pattern is not None:
        return [missing if any(row) else DISCONNECTED for row in pattern]
    return [DISCONNECTED if _is_disconnected_rule(node, i) else missing for i in range(len(node.args))]


def _is_disconnected_rule(node: Expr, i: int) -> bool:
    """Whether the rules say, without being called, that argument ``i`` is disconnected."""
    if node.op.kind == "shape" or i >= node.op.meta.get("sizes_from", len(node.args)):
        return True
    rules = node.op.grad
    return node.op.kind == "elementwise" and rules is not None and rules[i] is DISCONNECTED


def _elementwise_rule(node: Expr, i: int, rule: Any, g: Expr, wanted: bool) -> Any:
    """What ``rule`` makes of ``g`` for argument ``i``; text, as the rule or from it, says why there is none."""
    if not wanted or isinstance(rule, Marker):
        return rule
    if isinstance(rule, str):
        return grad_not_implemented(node.op.name, i, node, rule)
    found = rule(g, node, *node.args, **node.params)
    return grad_not_implemented(node.op.name, i, node, found) if isinstance(found, str) else found


def _dense(node: Expr, i: int, g: Cotangent) -> Cotangent:
    """ZERO as an array of zeros (as nothing for what is no array), for rules that take those of several outputs."""
    part = op("part", node, i=i)
    return (filled(part, 0.0) if is_tensor(part) else DISCONNECTED) if g is ZERO else g


def _fit(node: Expr, i: int, h: Any) -> Cotangent:
    """What a rule returned for argument ``i``, in the shape and dtype of that argument."""
    arg = node.args[i]
    if h is DISCONNECTED or h is None or is_disconnected(h):
        return DISCONNECTED
    if is_null(h):
        return h
    if h is ZERO:
        return ZERO
    h = as_expr(h)
    if node.op.kind == "elementwise":
        h = unbroadcast(spread(h, node), arg, node) if node.type.ndim else h
    elif h.type.ndim != arg.type.ndim:
        raise ShapeError(
            f"the gradient of {node.op} for argument {i} has {h.type.ndim} dimensions, the argument "
            f"({arg.type.describe()}) has {arg.type.ndim}"
        )
    return cast_like(h, arg)


def cast_like(h: Expr, like: Expr) -> Expr:
    """``h`` in the dtype of gradients of ``like``; the real part where ``like`` is real.

    What is a float stays as it is where ``like`` is an integer: a gradient with respect to integers is the one with
    respect to the same numbers as floats.
    """
    if h.type.dtype == like.type.dtype and not is_discrete(like) or is_discrete(like) and h.type.dtype in ty.FLOATING:
        return h
    if is_discrete(like):
        return op("cast", h, dtype=gradient_dtype(like)) if h.type.dtype not in ty.COMPLEX else op("real", h)
    if h.type.dtype in ty.COMPLEX and like.type.dtype not in ty.COMPLEX:
        h = op("real", h)
    return h if h.type.dtype == like.type.dtype else op("cast", h, dtype=like.type.dtype)


def spread(h: Expr, node: Expr) -> Expr:
    """``h``, which broadcasts to ``node``, in the full shape of ``node``."""
    have = (1,) * (node.type.ndim - h.type.ndim) + h.type.shape
    full = all(m != 1 or n == 1 for m, n in zip(have, node.type.shape, strict=True))
    return h if full and h.type.ndim == node.type.ndim else op("fill", node, h)


def unbroadcast(h: Expr, arg: Expr, out: Expr) -> Expr:
    """``h`` (in the shape of ``out``) summed over the axes along which ``arg`` was broadcast to make ``out``."""
    lead = h.type.ndim - arg.type.ndim
    if lead:
        h = op("sum", h, axis=tuple(range(lead)), dtype=h.type.dtype)
    ones = [a for a, n in enumerate(arg.type.shape) if n == 1 and out.type.shape[lead + a] != 1]
    if ones:
        kept: Any = iter(range(arg.type.ndim))
        pattern = tuple(["x" if a in ones else next(kept) for a in range(arg.type.ndim)])
        h = op("dimshuffle", op("sum", h, axis=tuple(ones), dtype=h.type.dtype), pattern=pattern)
    return op("unbroadcast", h, arg) if may_broadcast(arg, out) else h


def may_broadcast(arg: Expr, out: Expr) -> bool:
    """Whether a size of ``arg`` that is known only at run time may be 1 where that of ``out`` is not."""
    lead = out.type.ndim - arg.type.ndim
    axes = [a for a, n in enumerate(arg.type.shape) if n is None and out.type.shape[lead + a] != 1]
    others = [o for o in out.args if o is not arg]
    if not axes or not any(_could_widen(o, out.type.ndim, lead + a) for o in others for a in axes):
        return False
    from fuse.frontend.shape import shape_of
    from fuse.rewrite.sizes import same_size

    sizes, wide = shape_of(arg), shape_of(out)
    return not all(same_size(sizes[a], wide[lead + a]) for a in axes)


def _could_widen(other: Expr, ndim: int, axis: int) -> bool:
    own = axis - (ndim - other.type.ndim)
    return own >= 0 and other.type.shape[own] != 1
