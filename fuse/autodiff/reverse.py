"""Reverse mode: ``grad`` of a scalar cost, ``Lop`` (row vector times Jacobian) and gradients of subgraphs."""
from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fuse import types as ty
from fuse.argnames import also
from fuse.autodiff import loops as _loops  # noqa: F401 (gives the loop its gradient)
from fuse.autodiff.absent import DisconnectedType, is_disconnected, is_null
from fuse.autodiff.functions import also_of_functions
from fuse.autodiff.sweep import Cotangent, cast_like, cotangents, filled, is_tensor, op
from fuse.errors import (
    DisconnectedInputError,
    FuseTypeError,
    FuseValueError,
    NullTypeGradError,
    ShapeError,
    namesake,
    origin_text,
)
from fuse.expr import INPUT, SHARED, Constant, Expr, as_expr, leaves, substitute, toposort, variable
from fuse.notes import noted, notes
from fuse.op import DISCONNECTED, ZERO

_CHOICES = {
    "disconnected_inputs": ("raise", "warn", "ignore"),
    "return_disconnected": ("zero", "none", "disconnected"),
    "null_gradients": ("raise", "return"),
}


@also_of_functions("grad")
def grad(
    cost: Expr | None,
    wrt: Any,
    consider_constant: Iterable[Expr] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Expr, Any] | None = None,
    return_disconnected: str = "zero",
    null_gradients: str = "raise",
) -> Any:
    """The gradient of the scalar ``cost`` with respect to ``wrt``, as an expression of the shape of ``wrt``.

    ``wrt`` is one expression (an input, a shared variable or any node inside the graph of ``cost``) or a list or tuple
    of them, and so is the result. With respect to integers the gradient is zero, in ``floatX``; ties and edges follow
    Theano (``abs`` at 0 gives 0, a tie in ``maximum`` goes to the first argument).

    * ``consider_constant``: nodes through which nothing is differentiated;
    * ``known_grads``: a map from nodes to their gradients, used in place of computed ones; ``cost`` may then be None;
    * ``disconnected_inputs``: what to do where ``cost`` does not depend on an entry of ``wrt``: raise, warn, ignore;
    * ``return_disconnected``: what is then returned: ``'zero'``, ``'None'`` or ``'Disconnected'``;
    * ``add_names``: name the results ``(dcost/dwrt)`` where both have names;
    * ``null_gradients``: raise where the gradient is undefined, or return the placeholder that says why.

    Of a Python function it is another function: ``grad(f, argnums=0, has_aux=False)``, as ``value_and_grad``.

    Raises FuseTypeError where ``cost`` is not a real scalar, DisconnectedInputError, NullTypeGradError.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x")
    >>> fuse.grad(T.sin(x), x)
    fill(sin(x), 1.0) * cos(x)
    >>> float(fuse.grad(fuse.grad(x ** 3, x), x).eval({x: 2.0}))
    12.0
    >>> float(fuse.grad(lambda a: a ** 3)(2.0))
    12.0
    """
    check_choices(
        disconnected_inputs=disconnected_inputs, return_disconnected=return_disconnected, null_gradients=null_gradients
    )
    targets = targets_of(wrt, "grad")
    known = dict(known_grads or {})
    if cost is None and not known:
        raise FuseValueError("grad needs a cost, or known_grads in its place")
    if cost is not None:
        cost = _scalar_cost(cost)
    for node, g in known.items():
        known[node] = _known_gradient(node, g)
    stop = as_nodes(consider_constant)
    roots = ([cost] if cost is not None else []) + list(known)
    outputs: list[tuple[Expr, Cotangent]] = []
    if cost is not None and cost not in known:
        outputs = [(cost, filled(cost, 1.0))]
    found = stable_cotangents(outputs, targets, stop, known)
    results = [
        _result(found[t], t, disconnected_inputs, return_disconnected, null_gradients, roots) for t in targets
    ]
    if add_names and cost is not None and cost.name:
        _name_results(cost, targets, results)
    return in_form_of(wrt, derived(results, [*roots, *known.values()]))


@also(cotangents="eval_points")
def Lop(
    f: Any,
    wrt: Any,
    eval_points: Any,
    consider_constant: Iterable[Expr] | None = None,
    disconnected_inputs: str = "raise",
    return_disconnected: str = "zero",
) -> Any:
    """The row vector ``eval_points`` times the Jacobian of ``f`` with respect to ``wrt`` (a vector-Jacobian product).

    ``eval_points`` has the structure and shapes of ``f``, the result those of ``wrt``.

    >>> import fuse, fuse.tensor as T
    >>> x, v = T.dvectors("x", "v")
    >>> fuse.Lop(x ** 2, x, v).eval({x: [1.0, 2.0], v: [1.0, 10.0]})
    array([ 2., 40.])
    """
    check_choices(disconnected_inputs=disconnected_inputs, return_disconnected=return_disconnected)
    heads = list(f) if isinstance(f, (list, tuple)) else [f]
    points = list(eval_points) if isinstance(eval_points, (list, tuple)) else [eval_points]
    if len(heads) != len(points):
        raise FuseValueError(f"Lop got {len(heads)} outputs and {len(points)} eval_points: one per output is needed")
    targets = targets_of(wrt, "Lop")
    points = [_known_gradient(h, p) for h, p in zip(heads, points, strict=True)]
    stop = as_nodes(consider_constant)
    found = stable_cotangents(list(zip(heads, points, strict=True)), targets, stop)
    results = [_result(found[t], t, disconnected_inputs, return_disconnected, "raise", heads) for t in targets]
    return in_form_of(wrt, derived(results, [*heads, *points]))


def subgraph_grad(
    wrt: Any,
    end: Any,
    start: Mapping[Expr, Any] | None = None,
    cost: Expr | None = None,
    details: bool = False,
) -> Any:
    """Gradients with respect to ``wrt`` of a part of a graph that ends at the nodes ``end``.

    They come from ``cost``, from the known gradients ``start`` (a map from nodes to gradients), or from both added.
    Returns the gradients of ``wrt`` and those of ``end``, with which the next part may start; with ``details``
    also those from ``start`` alone and from ``cost`` alone.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x"); h = T.exp(x); cost = h ** 2
    >>> _, at_h = fuse.gradient.subgraph_grad([], [h], cost=cost)
    >>> [at_x], _ = fuse.gradient.subgraph_grad([x], [], start={h: at_h[0]})
    >>> float(at_x.eval({x: 0.0}))
    2.0
    """
    if start is None and cost is None:
        raise FuseValueError("subgraph_grad needs a cost, a start, or both")
    wrt, end = as_nodes([wrt] if isinstance(wrt, Expr) else wrt), as_nodes([end] if isinstance(end, Expr) else end)
    targets = list(dict.fromkeys([*wrt, *end]))
    options: dict[str, Any] = {"consider_constant": end, "disconnected_inputs": "ignore"}
    from_start = grad(None, targets, known_grads=start, **options) if start is not None else None
    from_cost = grad(cost, targets, **options) if cost is not None else None
    given = [g for g in (from_start, from_cost) if g is not None]
    total = dict(
        zip(targets, given[0] if len(given) == 1 else [a + b for a, b in zip(*given, strict=True)], strict=True)
    )
    pair = [total[w] for w in wrt], [total[e] for e in end]
    return (*pair, from_start, from_cost) if details else pair


def derived(results: list[Any], sources: Iterable[Any]) -> list[Any]:
    """``results``, which remember the variables of what they were derived from.

    A derivative often needs fewer variables than the expression (that of ``dot(x, W)`` along V needs no W), but
    who made it from them may still list them all as inputs of a function: they are not unused by mistake.
    """
    inputs = frozenset(n for n in leaves([s for s in sources if isinstance(s, Expr)]) if n.op in (INPUT, SHARED))
    for node in results:
        if isinstance(node, Expr) and not node.is_leaf:
            notes(node)["derived_from"] = inputs | noted(node, "derived_from", frozenset())
    return results


# ---------------------------------------------------------------- checks of what users pass
def check_choices(**given: str) -> None:
    """FuseValueError where an option of ``grad`` is none of its choices."""
    for name, value in given.items():
        if value not in _CHOICES[name] and str(value).lower() not in _CHOICES[name]:
            raise FuseValueError(f"{name} is one of {', '.join(map(repr, _CHOICES[name]))}, not {value!r}")


def as_nodes(items: Iterable[Any] | None) -> list[Expr]:
    """``items`` as a list of expressions; FuseTypeError for anything else."""
    nodes = [items] if isinstance(items, Expr) else list(items or ())
    for node in nodes:
        if not isinstance(node, Expr):
            raise FuseTypeError(f"gradients are taken at expressions, not at {type(node).__name__} {node!r:.60}")
    return nodes


def targets_of(wrt: Any, name: str) -> list[Expr]:
    """``wrt`` as a list of tensor variables; FuseTypeError, which names the function, for anything else."""
    targets = list(wrt) if isinstance(wrt, (list, tuple)) else [wrt]
    for t in targets:
        if not isinstance(t, Expr):
            raise FuseTypeError(
                f"{name} differentiates with respect to symbolic variables, not {type(t).__name__} {t!r:.60}: "
                f"pass the variable from which the cost was built"
            )
        if not is_tensor(t):
            raise FuseTypeError(f"{name} differentiates with respect to tensors, not a {t.type.describe()}")
    return targets


def _scalar_cost(cost: Any) -> Expr:
    if not isinstance(cost, Expr):
        raise FuseTypeError(f"the cost of grad is an expression, not {type(cost).__name__} {cost!r:.60}")
    if is_null(cost):
        raise NullTypeGradError(f"the cost is undefined: {cost.type.why_null}")  # type: ignore[attr-defined]
    if is_disconnected(cost):
        raise FuseTypeError("the cost is a disconnected gradient: give one that depends on a variable")
    if cost.type.ndim != 0:
        raise FuseTypeError(
            f"grad needs a scalar cost, not a {cost.type.describe()}: take cost.sum() or cost.mean(), jacobian(cost, "
            f"wrt) for all derivatives, or Lop(cost, wrt, weights)\n  the cost was built at {origin_text(cost.origin)}"
        )
    if cost.type.dtype in ty.COMPLEX:
        raise FuseTypeError(f"grad needs a real cost, not {cost.type.dtype}: take its real part or abs(cost) ** 2")
    return cost


def _known_gradient(node: Any, g: Any) -> Cotangent:
    if not isinstance(node, Expr):
        raise FuseTypeError(f"the keys of known_grads are expressions, not {type(node).__name__}")
    if is_disconnected(g):
        return DISCONNECTED
    if is_null(g):
        return g
    g = as_expr(g)
    if node.type.ndim and not g.type.ndim:
        g = op("fill", node, g)
    if g.type.ndim != node.type.ndim:
        raise ShapeError(
            f"a gradient has the rank of its variable: {node.name or 'the variable'} is a {node.type.describe()}, "
            f"the given gradient a {g.type.describe()}"
        )
    return cast_like(g, node)


def stable_cotangents(
    outputs: Sequence[tuple[Expr, Cotangent]],
    targets: Sequence[Expr],
    stop: Sequence[Expr] = (),
    known: Mapping[Expr, Cotangent] | None = None,
) -> dict[Expr, Cotangent]:
    """``cotangents`` through the stable form of ``outputs`` and ``known``.

    A target that this form does without, as softmax(x - c) does without c, is one that the outputs depend on: by zero.
    """
    known = known or {}
    heads = [*[node for node, _ in outputs], *known]
    stable = stabilized(heads, [*targets, *stop, *known])
    count = len(outputs)
    found = cotangents(
        [(node, g) for node, (_, g) in zip(stable, outputs, strict=False)], targets, stop,
        dict(zip(stable[count:], known.values(), strict=True)),
    )
    lost = [t for t in targets if found[t] is DISCONNECTED]
    if lost and any(a is not b for a, b in zip(heads, stable, strict=True)):
        written = cotangents(outputs, lost, stop, known)
        found.update({t: ZERO for t in lost if written[t] is not DISCONNECTED})
    return found


def stabilized(outputs: Sequence[Expr], keep: Sequence[Expr]) -> list[Expr]:
    """The graph with stable ops in place of spellings that overflow, so that their gradients are stable too."""
    from fuse.rules import stabilize  # the rules load when they are first needed

    numbers: dict[Expr, Expr] = {
        n: variable(n.type) for n in keep if isinstance(n, Constant) and n.type.dtype in ty.CONTINUOUS
    }
    if not numbers:
        return stabilize(list(outputs), keep=keep)
    # what is differentiated by is a variable, which is not folded with other constants
    count = len(outputs)
    varied = substitute([*outputs, *keep], numbers)
    return substitute(stabilize(varied[:count], keep=varied[count:]), {v: n for n, v in numbers.items()})


# ---------------------------------------------------------------- what users get
def _result(
    found: Cotangent, target: Expr, disconnected_inputs: str, absent: str, null_gradients: str, costs: Sequence[Expr]
) -> Any:
    if isinstance(found, Expr):
        if is_null(found) and null_gradients == "raise":
            raise NullTypeGradError(
                f"the gradient with respect to {target.name or target} passes through an op without one: "
                f"{found.type.why_null}"  # type: ignore[attr-defined]
            )
        return found
    if found is DISCONNECTED:
        complain(target, disconnected_inputs, costs)
        if absent.lower() == "none":
            return None
        if absent.lower() == "disconnected":
            return DisconnectedType()()
    return filled(target, 0.0)


def complain(target: Expr, disconnected_inputs: str, costs: Sequence[Expr]) -> None:
    """Raise, warn or say nothing of a target that ``costs`` do not depend on, as ``disconnected_inputs`` asks."""
    if disconnected_inputs == "ignore":
        return
    text = (
        f"the cost does not depend on {target.name or target} (or only on its shape or dtype), so its gradient is "
        f"disconnected: was another variable meant? disconnected_inputs='ignore' gives zeros\n"
        f"  {target.name or 'it'} was made at {origin_text(target.origin)}{namesake(target, leaves(costs))}"
    )
    if disconnected_inputs == "raise":
        raise DisconnectedInputError(text)
    if disconnected_inputs == "warn":
        warnings.warn(text, stacklevel=5)


def _name_results(cost: Expr, targets: Sequence[Expr], results: Sequence[Any]) -> None:
    """Name new nodes only: nodes are shared, and one that the user has built keeps what it is called."""
    old = set(toposort([cost]))
    for target, result in zip(targets, results, strict=True):
        if (
            isinstance(result, Expr)
            and target.name
            and result.name is None
            and not result.is_leaf
            and result not in old
        ):
            result.name = f"(d{cost.name}/d{target.name})"


def in_form_of(wrt: Any, results: list[Any]) -> Any:
    """The results as ``wrt`` was given: a tuple, a list or one."""
    return tuple(results) if isinstance(wrt, tuple) else results if isinstance(wrt, list) else results[0]
